"""Answers, both ways. An answer has one choice, and no name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from interlay.dialects._codec import Object, a_str, an_object, encode_node, refuse_many, shell, without_none
from interlay.dialects.ollama import figures
from interlay.dialects.ollama.names import ORIGIN
from interlay.dialects.ollama.tracker import finish_of
from interlay.dialects.ollama.turns import NODES, decode_message, encode_message
from interlay.model import json
from interlay.model.messages import ChatResponse, Choice, Message, ToolCall

_WORDS: Final = {"tool_calls": "stop", "content_filter": "stop", "error": "stop"}
"""Canonical finish reasons for which this API has no word of its own."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def decode(body: bytes) -> ChatResponse:
    """Raises ``DecodeError``."""
    return read(an_object(json.decode(body), "the response"))


def read(wire: Object) -> ChatResponse:
    """The canonical response of a JSON object. Raises ``DecodeError`` where its shape is none of this API's."""
    refuse_many([wire], NODES)
    response = _read(wire)
    response.raw, response.origin = shell(wire, "message"), ORIGIN
    said = wire.get("message")
    if said is not None:
        choice = response.choices[0]
        choice.message = decode_message(an_object(said, "message"), "assistant")
        choice.finish_reason = _finish(choice)
    return response


def encode(response: ChatResponse) -> bytes:
    """The response as this API gives it: of several choices the first."""
    wire = dict(encode_node(response, ORIGIN, _read, _write))
    ours = response.raw is not None and response.origin == ORIGIN
    choice = response.choices[0] if response.choices else None
    if choice is not None and (not ours or isinstance(wire.get("message"), dict) or choice.message.content):
        wire["message"] = encode_message(choice.message, {}, answer=True)[-1]
    return json.encode(wire)


def wire_word(finish: str | None, provider: str | None) -> str | None:
    """The API's word for a finish reason: its own where that means the same."""
    if provider is not None and finish in (provider, finish_of(provider, calls=True)):
        return provider
    return None if finish is None else _WORDS.get(finish, finish)


def _read(wire: Object) -> ChatResponse:
    word = a_str(wire.get("done_reason"))
    choice = Choice(message=Message(role="assistant"), finish_reason=word, provider_finish_reason=word)
    return ChatResponse(
        model=a_str(wire.get("model")),
        created=_seconds(a_str(wire.get("created_at"))),
        choices=[choice],
        usage=figures.of_answer(wire),
        raw=wire,
        origin=ORIGIN,
    )


def _write(response: ChatResponse) -> Object:
    """The time in ``raw`` is finer than ours, and stays."""
    choice = response.choices[0] if response.choices else None
    word = None if choice is None else wire_word(choice.finish_reason, choice.provider_finish_reason)
    wire = without_none(model=response.model, done_reason=word)
    if response.raw is None or response.origin != ORIGIN:
        wire = {**without_none(model=response.model), "created_at": time_of(response.created), **wire, "done": True}
    return wire if response.usage is None else {**wire, **figures.write(response.usage)}


def _finish(choice: Choice) -> str | None:
    word = choice.provider_finish_reason
    calls = any(isinstance(part, ToolCall) for part in choice.message.content)
    return None if word is None else finish_of(word, calls=calls)


def time_of(seconds: int | None) -> str:
    """A time as this API writes it; the epoch where none is known, as its clients want one."""
    try:
        return f"{_EPOCH + timedelta(seconds=seconds or 0):%Y-%m-%dT%H:%M:%SZ}"
    except OverflowError:
        return f"{_EPOCH:%Y-%m-%dT%H:%M:%SZ}"


def _seconds(written: str | None) -> int | None:
    try:
        return None if written is None else int((datetime.fromisoformat(written) - _EPOCH).total_seconds())
    except (ValueError, TypeError, OverflowError):  # no time, or one without a zone
        return None
