"""A request at a glance."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interlay.dialects.counts import MAX_COUNT, figures_of, items_in, text
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.protocols import Outline

_NOTHING: Final = msgspec.Raw()


class _Format(msgspec.Struct, gc=False):
    type: str | None = None


class _Thinking(msgspec.Struct, gc=False):
    type: str | None = None
    token_budget: int | None = None


class _Request(msgspec.Struct, gc=False):
    model: str | None = None
    stream: bool | None = None
    max_tokens: int | None = None
    temperature: int | float | None = None
    p: int | float | None = None
    k: int | None = None
    seed: int | None = None
    frequency_penalty: int | float | None = None
    presence_penalty: int | float | None = None
    logprobs: bool | None = None
    safety_mode: str | None = None
    response_format: _Format | None = None
    thinking: _Thinking | None = None
    stop_sequences: msgspec.Raw = _NOTHING
    tools: msgspec.Raw = _NOTHING


_FIGURES: Final = {"p": "top_p", "k": "top_k"} | {
    name: name for name in ("max_tokens", "temperature", "seed", "frequency_penalty", "presence_penalty")
}
"""Members of a request, and what records call them."""
_requests: Final = json.Reader(_Request, marks=None)


def outline(body: bytes) -> Outline:
    """What the record needs of a request. Never raises."""
    try:
        request = _requests.lenient(body)
    except DecodeError:
        return Outline(readable=False)
    return Outline(model=text(request.model, 256), streamed=request.stream is True, parameters=_parameters(request))


def _parameters(request: _Request) -> dict[str, Any]:
    found = figures_of(request, _FIGURES)
    if request.logprobs is not None:
        found["logprobs"] = request.logprobs
    if word := text(request.safety_mode, 64):
        found["safety_mode"] = word
    if request.response_format is not None and (kind := text(request.response_format.type, 64)):
        found["response_format"] = kind
    if (thinking := request.thinking) is not None:
        if kind := text(thinking.type, 64):
            found["thinking"] = kind
        if thinking.token_budget is not None and 0 <= thinking.token_budget <= MAX_COUNT:
            found["reasoning_budget"] = thinking.token_budget
    if count := items_in(request.stop_sequences):
        found["stop_count"] = count
    if count := items_in(request.tools):
        found["tool_count"] = count
    return found
