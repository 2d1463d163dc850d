"""What the record needs of a request, read without building it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interlay.dialects.counts import figures_of, items_in, text
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.protocols import Outline

_NOTHING: Final = msgspec.Raw()


class _Format(msgspec.Struct, gc=False):
    type: str | None = None


class _Text(msgspec.Struct, gc=False):
    format: _Format | None = None
    verbosity: str | None = None


class _Reasoning(msgspec.Struct, gc=False):
    effort: str | None = None


class _Request(msgspec.Struct, gc=False):
    model: str | None = None
    stream: bool | None = None
    temperature: int | float | None = None
    top_p: int | float | None = None
    top_logprobs: int | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    parallel_tool_calls: bool | None = None
    background: bool | None = None
    store: bool | None = None
    service_tier: str | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    tools: msgspec.Raw = _NOTHING


_NAMES: Final = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_logprobs": "top_logprobs",
    "max_output_tokens": "max_tokens",
    "max_tool_calls": "max_tool_calls",
    "parallel_tool_calls": "parallel_tool_calls",
    "background": "background",
    "store": "store",
}
"""Members of a request, and what records call them."""
_requests: Final = json.Reader(_Request, marks=None)


def outline(body: bytes) -> Outline:
    """A request at a glance. Never raises; what is of another type than it should be is left out."""
    try:
        request = _requests.lenient(body)
    except DecodeError:
        return Outline(readable=False)
    return Outline(model=text(request.model, 256), streamed=request.stream is True, parameters=_parameters(request))


def _parameters(request: _Request) -> dict[str, Any]:
    found = figures_of(request, _NAMES)
    words = {"service_tier": request.service_tier}
    if request.reasoning is not None:
        words["reasoning_effort"] = request.reasoning.effort
    if request.text is not None:
        words["verbosity"] = request.text.verbosity
        if request.text.format is not None:
            words["response_format"] = request.text.format.type
    found |= {name: word for name, value in words.items() if (word := text(value, 64)) is not None}
    if count := items_in(request.tools):
        found["tool_count"] = count
    return found
