"""Usage of Gemini in canonical form.

``promptTokenCount`` holds what was read from a cache; what tools put into the prompt (``toolUsePromptTokenCount``) and
what was spent on thoughts stand beside the prompt and the candidates, and ``totalTokenCount`` is the sum of all four.
Some say that the tools' share is inside the prompt: the total decides. A count that is not there is zero, as this API
leaves out zeros, so the total says what was not said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlay.dialects.counts import Counts, kept, text, usage_of_mapping, usage_of_text
from interlay.model.usage import Usage

_MODALITIES: Final = {"TEXT": 1, "IMAGE": 2, "VIDEO": 3, "AUDIO": 4}
"""Vertex's numbers, which clients that ask for them get in place of the words."""
_TIERS: Final = {"ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_FLEX": "flex", "PROVISIONED_THROUGHPUT": "provisioned"}
"""Vertex's kinds of traffic that are not its standard one."""
_MAX_LISTED: Final = 64


def read(raw: bytes) -> Usage:
    """Usage from the JSON text of a ``usageMetadata`` object. Never raises: what is wrong is in ``Usage.flags``."""
    return usage_of_text(raw, _canonical)


def of_mapping(fields: Mapping[str, Any]) -> Usage:
    """Usage from the members of such an object that was decoded elsewhere. Never raises."""
    return usage_of_mapping(fields, _canonical)


def tier_of(fields: Mapping[str, Any]) -> str | None:
    """The tier that served the call, as the API or Vertex names it."""
    tier, traffic = text(fields.get("serviceTier"), 64), fields.get("trafficType")
    return tier.lower() if tier is not None else _TIERS.get(traffic) if isinstance(traffic, str) else None


def _canonical(fields: Mapping[str, Any], raw: bytes) -> Usage:
    counts = Counts(fields)
    prompt, said, total = (counts.get(name) for name in ("promptTokenCount", "candidatesTokenCount", "totalTokenCount"))
    thoughts = counts.get("thoughtsTokenCount") or 0
    used = counts.get("toolUsePromptTokenCount") or 0
    inputs = None if prompt is None else prompt + used
    outputs = None if said is None and not thoughts else (said or 0) + thoughts
    if inputs is not None and total is not None:
        if outputs is None:
            outputs = max(total - inputs, 0)
        if inputs + outputs != total:
            if used and prompt is not None and prompt + outputs == total:
                inputs = prompt
            else:
                counts.flag("usage_inconsistent")
    cached = counts.part(inputs, ("cachedContentTokenCount",))
    return Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        cache_read_tokens=cached,
        reasoning_tokens=thoughts,
        input_audio_tokens=_of(fields, "promptTokensDetails", "AUDIO", counts),
        input_image_tokens=_of(fields, "promptTokensDetails", "IMAGE", counts),
        cache_read_audio_tokens=_of(fields, "cacheTokensDetails", "AUDIO", counts),
        cache_read_image_tokens=_of(fields, "cacheTokensDetails", "IMAGE", counts),
        output_audio_tokens=_of(fields, "candidatesTokensDetails", "AUDIO", counts),
        output_image_tokens=_of(fields, "candidatesTokensDetails", "IMAGE", counts),
        service_tier=tier_of(fields),
        flags=counts.flags,
        raw=kept(raw),
    )


def _of(fields: Mapping[str, Any], name: str, modality: str, counts: Counts) -> int:
    """The tokens of one modality in a list of them."""
    listed = fields.get(name)
    for item in listed[:_MAX_LISTED] if isinstance(listed, list) else ():
        if isinstance(item, Mapping) and item.get("modality") in (modality, _MODALITIES[modality]):
            inner = Counts(item)
            count = inner.get("tokenCount") or 0
            for flag in inner.flags:
                counts.flag(flag)
            return count
    return 0
