"""Usage of this API in canonical form.

It counts twice: ``billed_units`` is what is paid for, ``tokens`` is what the model read and wrote, with the template
round the conversation and, at some models, its thoughts. What counts here is what is billed. How much of the prompt was
cached, and what was thought, is said of the other count alone, and changes no price: it is in ``Usage.raw``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlay.dialects._codec import Object, without_none
from interlay.dialects.counts import Counts, kept, usage_of_mapping, usage_of_text
from interlay.model.usage import Usage

_BILLED: Final = "billed_units"
_COUNTED: Final = "tokens"


def read(raw: bytes) -> Usage:
    """Usage from the JSON text of a usage object. Never raises: what is wrong is in ``Usage.flags``."""
    return usage_of_text(raw, _canonical)


def of_mapping(fields: Mapping[str, Any]) -> Usage:
    """Usage from the members of such an object that was decoded elsewhere. Never raises."""
    return usage_of_mapping(fields, _canonical)


def write(usage: Usage) -> Object:
    """The usage object that canonical figures make."""
    counts = without_none(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
    return {_BILLED: counts, _COUNTED: counts}


def _canonical(fields: Mapping[str, Any], raw: bytes) -> Usage:
    counts = Counts(fields)
    billed = [counts.get(_BILLED, name) for name in ("input_tokens", "output_tokens")]
    counted = [counts.get(_COUNTED, name) for name in ("input_tokens", "output_tokens")]
    inputs, outputs = billed if any(count is not None for count in billed) else counted
    return Usage(input_tokens=inputs, output_tokens=outputs, flags=counts.flags, raw=kept(raw))
