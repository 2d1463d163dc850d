"""Usage of embeddings: a prompt, and no completion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlay.dialects.counts import Counts, kept, usage_of_mapping, usage_of_text
from interlay.model.usage import Usage


def read(raw: bytes) -> Usage:
    """Usage from the JSON text of a usage object. Never raises: what is wrong is in ``Usage.flags``."""
    return usage_of_text(raw, _canonical)


def of_mapping(fields: Mapping[str, Any]) -> Usage:
    """Usage from the members of a usage object that was decoded elsewhere. Never raises."""
    return usage_of_mapping(fields, _canonical)


def _canonical(fields: Mapping[str, Any], raw: bytes) -> Usage:
    """Voyage states the total alone. What comes out is a vector, so the output is nothing, not unknown."""
    counts = Counts(fields)
    prompt, total = counts.get("prompt_tokens"), counts.get("total_tokens")
    outputs = counts.get("completion_tokens") or 0
    if prompt is None:
        prompt = None if total is None or total < outputs else total - outputs
    elif total is not None and total != prompt + outputs:
        counts.flag("usage_inconsistent")
    cost = counts.money("cost")  # OpenRouter's
    return Usage(
        input_tokens=prompt,
        output_tokens=outputs if prompt is not None else None,
        cost=cost,
        flags=counts.flags,
        raw=kept(raw),
    )
