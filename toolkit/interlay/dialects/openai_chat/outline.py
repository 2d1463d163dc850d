"""A request at a glance, and asking for usage in its stream."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interlay.dialects.counts import items_in, text
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.members import members, set_member
from interlay.model.protocols import Outline

_NOTHING: Final = msgspec.Raw()
_ASKED: Final = b'{"include_usage":true}'


class _StreamOptions(msgspec.Struct, gc=False):
    include_usage: bool | None = None


class _Format(msgspec.Struct, gc=False):
    type: str | None = None


class _Reasoning(msgspec.Struct, gc=False):
    effort: str | None = None
    max_tokens: int | None = None


class _Request(msgspec.Struct, gc=False):
    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    temperature: int | float | None = None
    top_p: int | float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    seed: int | None = None
    frequency_penalty: int | float | None = None
    presence_penalty: int | float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    service_tier: str | None = None
    verbosity: str | None = None
    response_format: _Format | None = None
    reasoning: _Reasoning | None = None
    stop: msgspec.Raw = _NOTHING
    tools: msgspec.Raw = _NOTHING


_FIGURES: Final = slice(3, 15)
_NAMES: Final = _Request.__struct_fields__[_FIGURES]
_WORDS: Final = ("reasoning_effort", "service_tier", "verbosity")
_requests: Final = json.Reader(_Request, marks=None)


def outline(body: bytes) -> Outline:
    """What the record needs of a request. Never raises."""
    try:
        request = _requests.lenient(body)
    except DecodeError:
        return Outline(readable=False)
    options = request.stream_options
    return Outline(
        model=text(request.model, 256),
        streamed=request.stream is True,
        parameters=_parameters(request),
        wants_usage=options is not None and options.include_usage is True,
    )


def _parameters(request: _Request) -> dict[str, Any]:
    figures = zip(_NAMES, msgspec.structs.astuple(request)[_FIGURES], strict=True)
    found: dict[str, Any] = {name: value for name, value in figures if value is not None}
    for name in _WORDS:
        value = getattr(request, name)
        if value is not None and (word := text(value, 64)) is not None:
            found[name] = word
    if request.response_format is not None and (kind := text(request.response_format.type, 64)):
        found["response_format"] = kind
    if (reasoning := request.reasoning) is not None:
        if effort := text(reasoning.effort, 64):
            found["reasoning_effort"] = effort
        if reasoning.max_tokens is not None:
            found["reasoning_budget"] = reasoning.max_tokens
    if count := items_in(request.stop):
        found["stop_count"] = count
    if count := items_in(request.tools):
        found["tool_count"] = count
    return found


def ask_usage(body: bytes) -> bytes | None:
    """The request with ``stream_options.include_usage`` set, every other byte as it was.

    None where that is not needed (no stream, or it is asked for), and where it is not clear what the host would
    read: no JSON, other types, ``stream`` or ``stream_options`` twice.
    """
    try:
        found = members(body)
        streams = [member for member in found if member.key == "stream"]
        options = [member for member in found if member.key == "stream_options"]
        if len(streams) != 1 or len(options) > 1 or body[streams[0].value : streams[0].end] != b"true":
            return None
        if not options:
            end = streams[0].end
            return b"".join((body[:end], b',"stream_options":', _ASKED, body[end:]))
        start, end = options[0].value, options[0].end
        asked = _ASKED if body[start:end] == b"null" else _asked(body[start:end])
        return None if asked is None else b"".join((body[:start], asked, body[end:]))
    except DecodeError:
        return None


def _asked(options: bytes) -> bytes | None:
    asked = [option for option in members(options) if option.key == "include_usage"]
    if not asked:
        return set_member(options, "include_usage", b"true")
    if len(asked) > 1 or options[asked[0].value : asked[0].end] not in (b"false", b"null"):
        return None
    return set_member(options, "include_usage", b"true")
