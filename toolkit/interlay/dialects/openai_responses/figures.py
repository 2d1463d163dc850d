"""Usage of the Responses API in canonical form.

Inclusive totals: ``input_tokens`` holds cached tokens, ``output_tokens`` holds reasoning. What a response's own tools
did is not in its usage object but beside it, in ``tool_usage`` and in the items of its output: see ``tools_of``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

import msgspec

from interlay.dialects.counts import MAX_COUNT, Counts, kept, text, usage_of_mapping, usage_of_text
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.usage import Usage

_TICKS: Final = 10
"""xAI states costs in ticks: 10^10 to the US dollar."""
_NOTHING: Final = msgspec.Raw()
_UNITS: Final = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "image_generation_call": "image_generation",
}
"""Items of an output that are billed apart from tokens, and the units they are priced in. A code interpreter is
billed by its container's session, of which no response tells whether it is a new one."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]


class _Input(msgspec.Struct, gc=False):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None


class _Output(msgspec.Struct, gc=False):
    reasoning_tokens: _Count | None = None


class _Figures(msgspec.Struct, gc=False):
    """The usage object as OpenAI sends it."""

    input_tokens: _Count
    output_tokens: _Count
    total_tokens: _Count
    input_tokens_details: _Input | None = None
    output_tokens_details: _Output | None = None
    cost: msgspec.Raw = _NOTHING
    cost_in_usd_ticks: msgspec.Raw = _NOTHING
    service_tier: msgspec.Raw = _NOTHING


_figures: Final = json.Reader(_Figures)
_NO_INPUT: Final = _Input()
_NO_OUTPUT: Final = _Output()


def read(raw: bytes) -> Usage:
    """Usage from the JSON text of a usage object. Never raises: what is wrong is in ``Usage.flags``."""
    try:
        said = _figures.read(raw)
    except DecodeError:
        pass
    else:
        # What nearly all responses carry is read in one typed pass; anything else number by number.
        if (usage := _plain(said, raw)) is not None:
            return usage
    return usage_of_text(raw, _canonical)


def of_mapping(fields: Mapping[str, Any]) -> Usage:
    """Usage from the members of a usage object that was decoded elsewhere. Never raises."""
    return usage_of_mapping(fields, _canonical)


def tools_of(items: Iterable[tuple[str | None, str | None]], searches: int | None = None) -> dict[str, int]:
    """Units of tools that the provider ran, from the type of each item of an output and the type of its action.

    ``searches`` is what the response itself says of web searches. Of those only searching is billed, not that a page
    was opened or looked through.
    """
    units: dict[str, int] = {}
    for kind, action in items:
        unit = _UNITS.get(kind or "")
        if unit is not None and action in (None, "search"):
            units[unit] = units.get(unit, 0) + 1
    if searches is not None:
        units.pop("web_search", None)
        if searches:
            units["web_search"] = searches
    return units


def with_tools(usage: Usage | None, tools: dict[str, int]) -> Usage | None:
    """The same figures with the units of tools."""
    return msgspec.structs.replace(usage, tools=tools) if usage is not None and tools else usage


def _plain(said: _Figures, raw: bytes) -> Usage | None:
    """Usage in OpenAI's own shape, with nothing to doubt; None for every other."""
    inputs, outputs = said.input_tokens, said.output_tokens
    if said.total_tokens != inputs + outputs or said.cost or said.cost_in_usd_ticks or said.service_tier:
        return None
    prompt, completion = said.input_tokens_details or _NO_INPUT, said.output_tokens_details or _NO_OUTPUT
    read, written = prompt.cached_tokens or 0, prompt.cache_write_tokens or 0
    reasoning = completion.reasoning_tokens or 0
    if read + written > inputs or reasoning > outputs:
        return None
    return Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
        raw=kept(raw),
    )


def _canonical(fields: Mapping[str, Any], raw: bytes) -> Usage:
    counts = Counts(fields)
    inputs, outputs, total = counts.get("input_tokens"), counts.get("output_tokens"), counts.get("total_tokens")
    reasoning = counts.get("output_tokens_details", "reasoning_tokens") or 0
    if inputs is not None and outputs is not None and total is not None and total != inputs + outputs:
        if total == inputs + outputs + reasoning:
            outputs += reasoning  # a host that counts it beside the answer: its total tells
        else:
            counts.flag("usage_inconsistent")
    read = counts.get("input_tokens_details", "cached_tokens") or 0
    written = counts.get("input_tokens_details", "cache_write_tokens") or 0
    if (inputs is not None and read + written > inputs) or (outputs is not None and reasoning > outputs):
        counts.flag("usage_inconsistent")
    ticks = counts.money("cost_in_usd_ticks")
    cost = counts.money("cost")
    return Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
        service_tier=text(fields.get("service_tier")),
        cost=cost if cost is not None or ticks is None else ticks.scaleb(-_TICKS),
        flags=counts.flags,
        raw=kept(raw),
    )
