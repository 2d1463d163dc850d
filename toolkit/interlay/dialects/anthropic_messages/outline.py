"""What the record needs of a request, read without building it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interlay.dialects.counts import MAX_COUNT, figures_of, items_in, text
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.protocols import Outline

_NOTHING: Final = msgspec.Raw()


class _Thinking(msgspec.Struct):
    type: str | None = None
    budget_tokens: int | None = None


class _OutputConfig(msgspec.Struct):
    effort: str | None = None


class _Request(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    service_tier: str | None = None
    speed: str | None = None
    stop_sequences: msgspec.Raw = _NOTHING
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    tools: msgspec.Raw = _NOTHING


_FIGURES: Final = {name: name for name in ("max_tokens", "temperature", "top_p", "top_k")}
_requests: Final = json.Reader(_Request, marks=None)


def outline(body: bytes) -> Outline:
    """A request at a glance. Never raises; what is of another type than it should be is left out."""
    try:
        request = _requests.lenient(body)
    except DecodeError:
        return Outline(readable=False)
    return Outline(model=text(request.model), streamed=request.stream is True, parameters=_parameters(request))


def _parameters(request: _Request) -> dict[str, Any]:
    found = figures_of(request, _FIGURES)
    if count := items_in(request.stop_sequences):
        found["stop_count"] = count
    if (thinking := request.thinking) is not None:
        if (kind := text(thinking.type)) is not None:
            found["thinking"] = kind
        if thinking.budget_tokens is not None and 0 <= thinking.budget_tokens <= MAX_COUNT:
            found["reasoning_budget"] = thinking.budget_tokens
    if request.output_config is not None and (effort := text(request.output_config.effort)) is not None:
        found["reasoning_effort"] = effort
    if count := items_in(request.tools):
        found["tool_count"] = count
    for name in ("service_tier", "speed"):
        if (word := text(getattr(request, name))) is not None:
            found[name] = word
    return found
