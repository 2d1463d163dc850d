"""What the record needs of a response, gathered while it passes."""

from __future__ import annotations

from typing import Final

import msgspec

from interlay.dialects._tails import ends_whole, last_object
from interlay.dialects.cohere import failures, figures
from interlay.dialects.cohere.names import finish_of
from interlay.dialects.counts import text
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent
from interlay.model.record import Failure
from interlay.model.tokens import estimate
from interlay.model.usage import Usage

DONE: Final = b"[DONE]"
"""The data of an event that may stand behind the last."""
_NOTHING: Final = msgspec.Raw()
_MAX_USAGE: Final = 64 * 1024


class _Piece(msgspec.Struct, gc=False):
    text: str | None = None
    thinking: str | None = None


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct, gc=False):
    function: _Function | None = None


class _Message(msgspec.Struct, gc=False):
    """Whole, or what one event adds to it: an item, where a message has a list."""

    content: str | list[_Piece] | _Piece | None = None
    tool_plan: str | None = None
    tool_calls: list[_Call] | _Call | None = None


class _Delta(msgspec.Struct, gc=False):
    message: _Message | None = None
    finish_reason: str | None = None
    usage: msgspec.Raw = _NOTHING
    error: msgspec.Raw = _NOTHING


class _Said(msgspec.Struct, gc=False):
    """A whole answer, or an event of one."""

    type: str | None = None
    id: str | None = None
    delta: _Delta | None = None
    message: _Message | None = None
    finish_reason: str | None = None
    usage: msgspec.Raw = _NOTHING


_said: Final = json.Reader(_Said)


def is_failure(error: object, word: object) -> bool:
    """Whether the end of a stream is one."""
    return bool(error) or word in ("ERROR", "TIMEOUT")


class Tracker:
    """Gathers from events, or from a body, what the record needs."""

    __slots__ = ("_usage", "failure", "finish_reasons", "finished", "id", "output_tokens_estimate")

    model: str | None = None
    """This API's answers do not say which model made them."""
    service_tier: str | None = None

    def __init__(self) -> None:
        self.id: str | None = None
        self.finished = False
        self.failure: Failure | None = None
        self.finish_reasons: list[str] = []
        self.output_tokens_estimate = 0.0
        self._usage: bytes | None = None

    @property
    def ended_well(self) -> bool:
        return self.finished

    @property
    def usage(self) -> Usage | None:
        return None if self._usage is None else figures.read(self._usage)

    def event(self, event: WireEvent) -> None:
        data = event.data
        if data is None or self.finished or data.startswith(DONE):
            return
        try:
            said = _said.lenient(data)
        except DecodeError:
            return
        delta = said.delta
        if delta is not None and delta.message is not None:
            self._count(delta.message)
        if said.type == "message-start":
            self.id = self.id or text(said.id)
        elif said.type == "message-end" and delta is not None:
            self._heard(delta.usage)
            error = bytes(delta.error)
            if is_failure(error not in (b"", b"null", b'""'), delta.finish_reason):
                self.failure = self.failure or failure_of(data)
            else:
                self._stop(delta.finish_reason)
                self.finished = True

    def body(self, data: bytes) -> None:
        try:
            said = _said.lenient(data)
        except DecodeError:
            self.finished = ends_whole(data)
            self.tail(data)
            return
        self.finished = True
        self.id = text(said.id)
        if said.message is not None:
            self._count(said.message)
        self._stop(said.finish_reason)
        self._heard(said.usage)

    def tail(self, data: bytes) -> None:
        """Usage stands behind the message in the bodies this API sends."""
        if (raw := last_object(data, "usage")) is not None:
            self._heard(msgspec.Raw(raw))

    def _stop(self, word: str | None) -> None:
        if word is not None:
            self.finish_reasons = [finish_of(text(word, 64) or "other")]

    def _heard(self, usage: msgspec.Raw) -> None:
        raw = bytes(usage)
        if raw.startswith(b"{") and len(raw) <= _MAX_USAGE:
            self._usage = raw

    def _count(self, message: _Message) -> None:
        content, calls = message.content, message.tool_calls
        if isinstance(content, str):
            self.output_tokens_estimate += estimate(content)
        elif content is not None:
            for piece in content if isinstance(content, list) else (content,):
                if said := piece.text or piece.thinking:
                    self.output_tokens_estimate += estimate(said)
        if message.tool_plan:
            self.output_tokens_estimate += estimate(message.tool_plan)
        for call in calls if isinstance(calls, list) else () if calls is None else (calls,):
            if (function := call.function) is not None:
                self.output_tokens_estimate += estimate(function.name or "") + estimate(function.arguments or "")


def failure_of(data: bytes) -> Failure:
    """The failure that the end of a stream tells of. Never raises."""
    try:
        said = json.decode(data)
    except DecodeError:
        said = {}
    delta = said.get("delta") if isinstance(said, dict) else None
    return failures.of_object(delta if isinstance(delta, dict) else {})
