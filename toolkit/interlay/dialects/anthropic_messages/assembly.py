"""The events of a stream, added up to the message that the API would have sent whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from interlay.dialects._codec import Object, a_dict, an_int, object_or_none
from interlay.dialects.anthropic_messages import figures, response
from interlay.dialects.anthropic_messages.parts import input_of, set_arguments
from interlay.model import json
from interlay.model.messages import ChatResponse
from interlay.model.protocols import WireEvent


class _Block:
    """A content block, as far as it has come."""

    def __init__(self, start: Object) -> None:
        self._start = start
        self._texts: dict[str, list[str]] = {}
        self._last: Object = {}
        self._arguments: list[str] = []
        self._citations: list[Any] = []

    def add(self, delta: Object) -> None:
        for key, value in delta.items():
            if key == "type":
                continue
            if key in {"text", "thinking"} and isinstance(value, str):
                self._texts.setdefault(key, []).append(value)
            elif key == "partial_json" and isinstance(value, str):
                self._arguments.append(value)
            elif key == "citation":
                self._citations.append(value)
            else:
                self._last[key] = value

    @property
    def arguments(self) -> str:
        """The pieces of a tool's arguments, joined."""
        return "".join(self._arguments)

    def whole(self) -> Object:
        block = {**self._start, **self._last}
        for key, pieces in self._texts.items():
            before = self._start.get(key)
            block[key] = (before if isinstance(before, str) else "") + "".join(pieces)
        if self.arguments:
            block["input"] = input_of(self.arguments)
        if self._citations:
            before = self._start.get("citations")
            block["citations"] = [*(before if isinstance(before, list) else []), *self._citations]
        return block


class Assembly:
    """Adds up the events of one stream. Never raises on foreign bytes: what is no event is passed over."""

    def __init__(self) -> None:
        self._message: Object | None = None
        self._changes: Object = {}
        self._usage: Object | None = None
        self._blocks: dict[int, _Block] = {}
        self._stopped = False

    def add(self, event: WireEvent) -> None:
        """Take in one event, in the order they came."""
        if not self._stopped and (said := object_or_none(event.data)) is not None:
            self.add_event(said)

    def add_event(self, said: Object) -> None:
        """Take in one event's JSON object."""
        kind, index = said.get("type"), an_int(said.get("index"))
        if kind == "message_start" and self._message is None:
            self._message = a_dict(said.get("message"))
        elif kind == "content_block_start" and index is not None:
            self._blocks[index] = _Block(a_dict(said.get("content_block")) or {})
        elif kind == "content_block_delta" and index in self._blocks:
            self._blocks[index].add(a_dict(said.get("delta")) or {})
        elif kind == "message_delta":
            self._changes |= a_dict(said.get("delta")) or {}
            self._changes |= {key: said[key] for key in said.keys() - {"type", "delta", "usage"}}
            self._usage = a_dict(said.get("usage")) or self._usage
        elif kind == "message_stop":
            self._stopped = True

    def message(self) -> Object | None:
        """The message object; None when the stream never began one."""
        if self._message is None:
            return None
        message = {**self._message, **self._changes}
        began = message.get("content")
        message["content"] = [
            *(began if isinstance(began, list) else []),
            *(block.whole() for block in self._blocks.values()),
        ]
        if self._usage is not None:
            start = json.encode(a_dict(message.get("usage")) or {})
            message["usage"] = json.decode(figures.merge(start, json.encode(self._usage)))
        return message

    def response(self) -> ChatResponse:
        """What was answered. Until the final usage came, the count of output tokens is not known."""
        message = self.message()
        if message is None:
            return ChatResponse()
        answer = response.read(message)
        parts = answer.choices[0].message.content
        for part, block in zip(parts[-len(self._blocks) :], self._blocks.values(), strict=False):
            set_arguments(part, block.arguments.encode())
        if self._usage is None and answer.usage is not None:
            answer.usage = msgspec.structs.replace(answer.usage, output_tokens=None, reasoning_tokens=0)
        return answer


def assemble(events: Iterable[WireEvent]) -> ChatResponse:
    """The answer that events add up to. Raises ``DecodeError`` when they are not this API's."""
    return _added(events).response()


def message_of(events: Iterable[WireEvent]) -> Object | None:
    """The message object that events add up to."""
    return _added(events).message()


def _added(events: Iterable[WireEvent]) -> Assembly:
    assembly = Assembly()
    for event in events:
        assembly.add(event)
    return assembly
