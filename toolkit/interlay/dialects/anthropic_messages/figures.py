"""Usage of the Messages API in canonical form.

``input_tokens`` on this wire leaves out what was read from and written to the prompt cache, so the three are added
up; ``output_tokens`` includes thinking. In a stream ``message_start`` states the input, and an output count that is
only where counting begins; the figures of ``message_delta`` are cumulative and replace those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from interlay.dialects.counts import Counts, kept, text, usage_of_mapping, usage_of_text
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.usage import Usage

FAST: Final = "fast"
"""The one word of the usage member ``speed`` that has prices of its own."""
_NULL: Final = b"null"
_MAX_ITEMS: Final = 256


def read(raw: bytes) -> Usage:
    """Usage from the JSON text of a usage object. Never raises: what is wrong is in ``Usage.flags``."""
    return usage_of_text(raw, _canonical)


def of_mapping(fields: Mapping[str, Any]) -> Usage:
    """Usage from the members of a usage object that was decoded elsewhere. Never raises."""
    return usage_of_mapping(fields, _canonical)


def _canonical(fields: Mapping[str, Any], raw: bytes) -> Usage:
    counts = Counts(fields)
    whole = _Tokens(counts)
    # A compaction is a request of its own that the provider makes and bills, outside the totals beside it.
    # Source: the docstring of ``BetaUsage.iterations`` in the anthropic SDK 2.13.
    iterations = fields.get("iterations")
    for item in iterations[:_MAX_ITEMS] if isinstance(iterations, list) else ():
        if isinstance(item, Mapping) and item.get("type") == "compaction":
            compaction = Counts(item)
            whole.add(_Tokens(compaction))
            for flag in compaction.flags:
                counts.flag(flag)
    reasoning = counts.part(whole.output, ("output_tokens_details", "thinking_tokens"))
    return Usage(
        input_tokens=None if whole.fresh is None else whole.fresh + whole.read + whole.written,
        output_tokens=whole.output,
        cache_read_tokens=whole.read,
        cache_write_tokens=whole.written,
        cache_write_5m_tokens=whole.short,
        cache_write_1h_tokens=whole.long,
        reasoning_tokens=reasoning,
        tools=_tools(counts, fields.get("server_tool_use")),
        service_tier=_tier(fields),
        flags=counts.flags,
        raw=kept(raw),
    )


def _tier(fields: Mapping[str, Any]) -> str | None:
    """The tier that prices go by: ``fast``, the API's faster inference, is not combined with others."""
    tier = text(fields.get("service_tier"))
    return FAST if fields.get("speed") == FAST and tier in (None, "standard") else tier


class _Tokens:
    """The token counts of a usage object, or of one iteration in it."""

    __slots__ = ("fresh", "long", "output", "read", "short", "written")

    def __init__(self, counts: Counts) -> None:
        self.fresh = counts.get("input_tokens")
        self.output = counts.get("output_tokens")
        self.read = counts.get("cache_read_input_tokens") or 0
        self.short = counts.get("cache_creation", "ephemeral_5m_input_tokens") or 0
        self.long = counts.get("cache_creation", "ephemeral_1h_input_tokens") or 0
        split = self.short + self.long
        written = counts.get("cache_creation_input_tokens")
        self.written = split if written is None else written
        if not split:
            self.short = self.written  # five minutes is what the API does unless told otherwise
        elif split != self.written:
            counts.flag("usage_inconsistent")

    def add(self, other: _Tokens) -> None:
        if self.fresh is not None:
            self.fresh += other.fresh or 0
        if self.output is not None:
            self.output += other.output or 0
        self.read += other.read
        self.written += other.written
        self.short += other.short
        self.long += other.long


def _tools(counts: Counts, used: object) -> dict[str, int]:
    """Units by name: ``web_search_requests`` are ``web_search``."""
    tools: dict[str, int] = {}
    for name in list(used)[:_MAX_ITEMS] if isinstance(used, Mapping) else ():
        if (word := text(name)) and word.endswith("_requests") and (count := counts.get("server_tool_use", word)):
            tools[word.removesuffix("_requests")] = count
    return tools


def merge(start: bytes, final: bytes) -> bytes:
    """The usage object a whole answer would have had: ``message_start``'s, with what ``message_delta`` says over it.

    The lifetimes of cache writes are stated at the start only. Where the total has grown since, they are kept if
    all was of one lifetime, which then holds for the rest too, else left out.
    """
    try:
        fields = json.decode(start, type=dict[str, msgspec.Raw])
        said = json.decode(final, type=dict[str, msgspec.Raw])
    except DecodeError:
        return final
    total = "cache_creation_input_tokens"
    said = {name: value for name, value in said.items() if bytes(value) != _NULL}
    if total in said and "cache_creation" in fields and "cache_creation" not in said:
        told = bytes(said[total])
        if told != bytes(fields.get(total, b"")):
            fields["cache_creation"] = _grown(bytes(fields["cache_creation"]), told)
    fields |= said
    return json.encode(fields)


def _grown(split: bytes, total: bytes) -> msgspec.Raw:
    try:
        lifetimes = json.decode(split)
    except DecodeError:
        return msgspec.Raw(_NULL)
    used = [name for name, count in lifetimes.items() if count] if isinstance(lifetimes, dict) else []
    if len(used) != 1:
        return msgspec.Raw(_NULL)
    return msgspec.Raw(json.encode({name: msgspec.Raw(total if name in used else b"0") for name in lifetimes}))
