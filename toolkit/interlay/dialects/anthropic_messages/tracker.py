"""What the record needs of a response, gathered while it passes."""

from __future__ import annotations

from typing import Final

import msgspec

from interlay.dialects._tails import ends_whole, last_object
from interlay.dialects.anthropic_messages import failures, figures
from interlay.dialects.counts import text
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent
from interlay.model.record import Failure
from interlay.model.tokens import estimate
from interlay.model.usage import Usage

FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""The provider's stop reasons in canonical words; others stand as they are."""
_NOTHING: Final = msgspec.Raw()
_MAX_USAGE: Final = 64 * 1024


class _Message(msgspec.Struct):
    type: str | None = None
    id: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    usage: msgspec.Raw = _NOTHING


class _Block(msgspec.Struct):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    name: str | None = None
    input: msgspec.Raw = _NOTHING


class _Content(msgspec.Struct):
    content: list[_Block] | None = None


class _Delta(msgspec.Struct):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str | None = None
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: msgspec.Raw = _NOTHING


_messages: Final = json.Reader(_Message)
_events: Final = json.Reader(_Event)
_content: Final = json.Reader(_Content)


class Tracker:
    """Gathers from events, or from a body, what the record needs. Holds two usage objects and a few words."""

    __slots__ = (
        "_final", "_start", "failure", "finish_reasons", "finished", "id", "model", "output_tokens_estimate",
    )  # fmt: skip

    def __init__(self) -> None:
        self.id: str | None = None
        self.model: str | None = None
        self.finished = False
        self.failure: Failure | None = None
        self.finish_reasons: list[str] = []
        self.output_tokens_estimate = 0.0
        self._start: bytes | None = None
        self._final: bytes | None = None

    @property
    def ended_well(self) -> bool:
        return self.finished

    @property
    def service_tier(self) -> str | None:
        usage = self.usage
        return None if usage is None else usage.service_tier

    @property
    def usage(self) -> Usage | None:
        """Exact once ``message_delta`` came; before that only the input side is known, and ``output_tokens`` is
        None."""
        if self._final is not None:
            return figures.read(self._final if self._start is None else figures.merge(self._start, self._final))
        if self._start is None:
            return None
        return msgspec.structs.replace(figures.read(self._start), output_tokens=None, reasoning_tokens=0)

    def event(self, event: WireEvent) -> None:
        data = event.data
        if data is None or self.finished:
            return
        if event.name == "error":
            self.failure = self.failure or failures.decode(data)
            return
        try:
            said = _events.lenient(data)
        except DecodeError:
            return
        kind = said.type
        if kind == "content_block_delta":
            delta = said.delta
            if delta is not None and (piece := delta.text or delta.partial_json or delta.thinking):
                self.output_tokens_estimate += estimate(piece)
        elif kind == "content_block_start":
            if said.content_block is not None:
                self._count(said.content_block)
        elif kind == "message_start":
            if self._start is None and (message := said.message) is not None:
                self._take(message)
                self._start = _object(message.usage) or self._start
        elif kind == "message_delta":
            if said.delta is not None and said.delta.stop_reason is not None:
                self._stop(said.delta.stop_reason)
            self._final = _object(said.usage) or self._final
        elif kind == "message_stop":
            self.finished = True
        elif kind == "error":
            self.failure = self.failure or failures.decode(data)

    def body(self, data: bytes) -> None:
        try:
            message = _messages.lenient(data)
        except DecodeError:
            self.finished = ends_whole(data)
            self.tail(data)
            return
        self.finished = True
        if message.type == "error":
            self.failure = failures.decode(data)
            return
        self._take(message)
        self._final = _object(message.usage)
        usage = self.usage
        if usage is None or usage.output_tokens is None:
            try:
                content = _content.lenient(data).content
            except DecodeError:
                return
            for block in content or ():
                self._count(block)

    def tail(self, data: bytes) -> None:
        """Usage stands behind the content in the bodies this API sends."""
        if (raw := last_object(data, "usage")) is not None:
            self._final = raw

    def _take(self, message: _Message) -> None:
        self.id, self.model = text(message.id), text(message.model)
        if message.stop_reason is not None:
            self._stop(message.stop_reason)

    def _stop(self, reason: str) -> None:
        self.finish_reasons = [FINISH.get(reason) or text(reason) or "other"]

    def _count(self, block: _Block) -> None:
        """A block that came whole, or the head of one. What a tool returned is no output of the model."""
        if block.text:
            self.output_tokens_estimate += estimate(block.text)
        if block.thinking:
            self.output_tokens_estimate += estimate(block.thinking)
        if block.name:
            called = bytes(block.input)
            self.output_tokens_estimate += estimate(block.name)
            if called not in (b"", b"{}"):
                self.output_tokens_estimate += estimate(called.decode("utf-8", "replace"))


def _object(raw: msgspec.Raw) -> bytes | None:
    data = bytes(raw)
    return data if data.startswith(b"{") and len(data) <= _MAX_USAGE else None
