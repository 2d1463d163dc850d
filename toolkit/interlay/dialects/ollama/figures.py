"""Usage of this API in canonical form.

The counts are members of the last object, beside the times that it took: ``prompt_eval_count`` and ``eval_count``,
which holds what was spent on thinking. A count that is not there is not known: the prompt's was left out, in older
versions, where all of it was cached.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlay.dialects._codec import Object, without_none
from interlay.dialects.counts import Counts, kept, usage_of_mapping, usage_of_text
from interlay.model.usage import Usage

INPUT: Final = "prompt_eval_count"
OUTPUT: Final = "eval_count"


def read(raw: bytes) -> Usage:
    """Usage from JSON text that has the counts. Never raises: what is wrong is in ``Usage.flags``."""
    return usage_of_text(raw, _canonical)


def of_mapping(fields: Mapping[str, Any]) -> Usage:
    """Usage from the members of an object that was decoded elsewhere. Never raises."""
    return usage_of_mapping({name: fields[name] for name in (INPUT, OUTPUT) if name in fields}, _canonical)


def of_answer(answer: Mapping[str, Any]) -> Usage | None:
    """Usage from a decoded answer; None where it has no count."""
    return None if answer.get(INPUT) is None and answer.get(OUTPUT) is None else of_mapping(answer)


def write(usage: Usage) -> Object:
    """The members that usage makes."""
    return without_none(**{INPUT: usage.input_tokens, OUTPUT: usage.output_tokens})


def _canonical(fields: Mapping[str, Any], raw: bytes) -> Usage:
    counts = Counts(fields)
    inputs, outputs = counts.get(INPUT), counts.get(OUTPUT)
    return Usage(input_tokens=inputs, output_tokens=outputs, flags=counts.flags, raw=kept(raw))
