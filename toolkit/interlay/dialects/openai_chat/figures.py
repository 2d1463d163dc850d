"""Usage objects of chat completions: OpenAI's own, and what other hosts add to it or count otherwise.

Inclusive totals everywhere: ``prompt_tokens`` holds cached tokens, ``completion_tokens`` holds reasoning. Two hosts
differ. xAI counts reasoning beside the completion, and its ``total_tokens`` tells. Perplexity reports reasoning and
citation tokens at the top level, billed beside a completion that does not hold them, and its total leaves them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec

from interlay.dialects.counts import MAX_COUNT, Counts, kept, text, usage_of_mapping, usage_of_text
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.usage import Usage

_TICKS: Final = 10
"""xAI states costs in ticks: 10^10 to the US dollar."""
_NOTHING: Final = msgspec.Raw()
_PERPLEXITY: Final = ("search_context_size", "num_search_queries", "citation_tokens")

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]


class _Details(msgspec.Struct):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    audio_tokens: _Count | None = None
    image_tokens: _Count | None = None
    reasoning_tokens: _Count | None = None
    accepted_prediction_tokens: _Count | None = None
    rejected_prediction_tokens: _Count | None = None


class _Figures(msgspec.Struct):
    """The usage object as OpenAI sends it, and by name what other hosts add to it."""

    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    service_tier: str | None = None
    cost: msgspec.Raw = _NOTHING
    cost_in_usd_ticks: msgspec.Raw = _NOTHING
    estimated_cost: msgspec.Raw = _NOTHING
    prompt_cache_hit_tokens: msgspec.Raw = _NOTHING
    cached_tokens: msgspec.Raw = _NOTHING
    cache_read_input_tokens: msgspec.Raw = _NOTHING
    cache_creation_input_tokens: msgspec.Raw = _NOTHING
    reasoning_tokens: msgspec.Raw = _NOTHING
    citation_tokens: msgspec.Raw = _NOTHING
    num_search_queries: msgspec.Raw = _NOTHING
    server_tool_use: msgspec.Raw = _NOTHING
    search_context_size: msgspec.Raw = _NOTHING


_figures: Final = json.Reader(_Figures)
_NO_DETAILS: Final = _Details()


def read(raw: bytes) -> Usage:
    """Usage from the JSON text of a usage object. Never raises."""
    try:
        figures = _figures.read(raw)
    except DecodeError:
        pass
    else:
        # What nearly all responses carry is read in one typed pass; anything else number by number.
        if (usage := _plain(figures, raw)) is not None:
            return usage
    return usage_of_text(raw, _canonical)


def _plain(said: _Figures, raw: bytes) -> Usage | None:
    """Usage in OpenAI's own shape, with nothing to doubt; None for every other."""
    inputs, outputs = said.prompt_tokens, said.completion_tokens
    if said.total_tokens != inputs + outputs or (
        said.cost
        or said.cost_in_usd_ticks
        or said.estimated_cost
        or said.prompt_cache_hit_tokens
        or said.cached_tokens
        or said.cache_read_input_tokens
        or said.cache_creation_input_tokens
        or said.reasoning_tokens
        or said.citation_tokens
        or said.num_search_queries
        or said.server_tool_use
        or said.search_context_size
    ):
        return None
    if said.prompt_tokens_details is said.completion_tokens_details is None:
        return Usage(input_tokens=inputs, output_tokens=outputs, service_tier=text(said.service_tier), raw=kept(raw))
    prompt = said.prompt_tokens_details or _NO_DETAILS
    completion = said.completion_tokens_details or _NO_DETAILS
    usage = Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        cache_read_tokens=prompt.cached_tokens or 0,
        cache_write_tokens=prompt.cache_write_tokens or 0,
        input_audio_tokens=prompt.audio_tokens or 0,
        input_image_tokens=prompt.image_tokens or 0,
        reasoning_tokens=completion.reasoning_tokens or 0,
        output_audio_tokens=completion.audio_tokens or 0,
        output_image_tokens=completion.image_tokens or 0,
        accepted_prediction_tokens=completion.accepted_prediction_tokens or 0,
        rejected_prediction_tokens=completion.rejected_prediction_tokens or 0,
        service_tier=text(said.service_tier),
        raw=kept(raw),
    )
    return usage if _consistent(usage) else None


def of_mapping(fields: Mapping[str, Any]) -> Usage:
    """Usage from the members of a usage object that was decoded elsewhere. Never raises."""
    return usage_of_mapping(fields, _canonical)


def _canonical(fields: Mapping[str, Any], raw: bytes) -> Usage:
    counts = Counts(fields)
    inputs, outputs = counts.get("prompt_tokens"), counts.get("completion_tokens")
    total = counts.get("total_tokens")
    details, output_details = "prompt_tokens_details", "completion_tokens_details"
    inside = counts.get(output_details, "reasoning_tokens")
    beside = counts.get("reasoning_tokens")
    citations = counts.get("citation_tokens") or 0
    reasoning = inside if inside is not None else beside or 0
    if inputs is not None and outputs is not None:
        if inside is None and any(name in fields for name in _PERPLEXITY):
            if total is not None and total not in (
                inputs + outputs,
                inputs + outputs + reasoning + citations,
            ):
                counts.flag("usage_inconsistent")
            outputs += reasoning + citations
        elif total is not None and total != inputs + outputs:
            if total == inputs + outputs + reasoning:
                outputs += reasoning
            else:
                counts.flag("usage_inconsistent")
    hits, misses = counts.get("prompt_cache_hit_tokens"), counts.get("prompt_cache_miss_tokens")
    if None not in (hits, misses, inputs) and hits + misses != inputs:  # type: ignore[operator]
        counts.flag("usage_inconsistent")
    usage = Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        cache_read_tokens=_first(
            counts,
            (details, "cached_tokens"),
            ("prompt_cache_hit_tokens",),
            ("cached_tokens",),
            ("cache_read_input_tokens",),
        ),
        cache_write_tokens=_first(counts, (details, "cache_write_tokens"), ("cache_creation_input_tokens",)),
        input_audio_tokens=_first(counts, (details, "audio_tokens")),
        input_image_tokens=_first(counts, (details, "image_tokens")),
        reasoning_tokens=reasoning,
        citation_tokens=citations,
        output_audio_tokens=_first(counts, (output_details, "audio_tokens")),
        output_image_tokens=_first(counts, (output_details, "image_tokens")),
        accepted_prediction_tokens=_first(counts, (output_details, "accepted_prediction_tokens")),
        rejected_prediction_tokens=_first(counts, (output_details, "rejected_prediction_tokens")),
        tools=_tools(counts),
        service_tier=text(fields.get("service_tier")),
        cost=_cost(counts, fields),
        raw=kept(raw),
    )
    if not _consistent(usage):
        counts.flag("usage_inconsistent")
    return msgspec.structs.replace(usage, flags=counts.flags)


def _first(counts: Counts, *paths: tuple[str, ...]) -> int:
    for path in paths:
        if (count := counts.get(*path)) is not None:
            return count
    return 0


def _consistent(usage: Usage) -> bool:
    """Whether no part is more than its whole."""
    inputs, outputs = usage.input_tokens, usage.output_tokens
    if inputs is not None and (
        usage.cache_read_tokens + usage.cache_write_tokens > inputs
        or usage.input_audio_tokens + usage.input_image_tokens > inputs
    ):
        return False
    return outputs is None or (
        usage.reasoning_tokens + usage.citation_tokens <= outputs
        and usage.output_audio_tokens + usage.output_image_tokens <= outputs
        and usage.accepted_prediction_tokens + usage.rejected_prediction_tokens <= outputs
    )


def _tools(counts: Counts) -> dict[str, int]:
    """Searches: Perplexity's own count, or OpenRouter's in the form of Anthropic's API. Perplexity's fee for a
    request goes by the size of what was found for it."""
    tools: dict[str, int] = {}
    for path in (("num_search_queries",), ("server_tool_use", "web_search_requests")):
        if searches := counts.get(*path):
            tools["web_search"] = searches
            break
    if (size := counts.raw.get("search_context_size")) in ("low", "medium", "high"):
        tools[f"request_{size}"] = 1
    return tools


def _cost(counts: Counts, fields: Mapping[str, Any]) -> Decimal | None:
    """What the host says it charged, in US dollars, exact: OpenRouter, Perplexity, DeepInfra, xAI."""
    stated = ("cost", "total_cost") if isinstance(fields.get("cost"), Mapping) else ("cost",)
    for path in (stated, ("estimated_cost",)):
        if (amount := counts.money(*path)) is not None:
            return amount
    ticks = counts.money("cost_in_usd_ticks")
    return None if ticks is None else ticks.scaleb(-_TICKS)
