"""A request at a glance."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interlay.dialects.counts import figures_of, items_in, text
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.protocols import Outline

_NOTHING: Final = msgspec.Raw()


class _Options(msgspec.Struct, gc=False):
    num_predict: int | None = None
    temperature: int | float | None = None
    top_p: int | float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: int | float | None = None
    presence_penalty: int | float | None = None
    stop: msgspec.Raw = _NOTHING


class _Request(msgspec.Struct, gc=False):
    model: str | None = None
    stream: bool | None = None
    options: _Options | None = None
    think: bool | str | None = None
    format: msgspec.Raw = _NOTHING
    tools: msgspec.Raw = _NOTHING


_FIGURES: Final = {"num_predict": "max_tokens"} | {
    name: name for name in ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")
}
"""Members of ``options``, and what records call them."""
_FORM: Final = 8
_requests: Final = json.Reader(_Request, marks=None)


def outline(body: bytes) -> Outline:
    """What the record needs of a request. Never raises. This API streams unless it is told not to."""
    try:
        request = _requests.lenient(body)
    except DecodeError:
        return Outline(readable=False)
    return Outline(
        model=text(request.model, 256), streamed=request.stream is not False, parameters=_parameters(request)
    )


def _parameters(request: _Request) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if (options := request.options) is not None:
        found = figures_of(options, _FIGURES)
        if count := items_in(options.stop):
            found["stop_count"] = count
    if isinstance(request.think, str) and (effort := text(request.think, 64)):
        found["reasoning_effort"] = effort
    form = bytes(memoryview(request.format)[:_FORM])
    if form.startswith(b"{"):
        found["response_format"] = "json_schema"
    elif form == b'"json"':
        found["response_format"] = "json_object"
    if count := items_in(request.tools):
        found["tool_count"] = count
    return found
