"""Events added up to the answer that the API would have sent whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from interlay.dialects._codec import Object, a_dict, a_str, an_int, object_or_none
from interlay.model.protocols import WireEvent

_MAX_BLOCKS: Final = 4096


class Assembly:
    """Adds up the events of one stream. Never raises on foreign bytes; what is no event is passed over."""

    def __init__(self) -> None:
        self._top: Object = {}
        self._message: Object = {}
        self._plan: list[str] = []
        self._content: dict[int, _Pieces] = {}
        self._calls: dict[int, _Pieces] = {}
        self._citations: list[Any] = []
        self._logprobs: list[Any] = []

    def add(self, event: WireEvent) -> None:
        """Take in one event, in the order they came."""
        if (said := object_or_none(event.data)) is not None:
            self.add_event(said)

    def response(self) -> Object:
        """The answer so far."""
        message = dict(self._message)
        if self._plan:
            message["tool_plan"] = "".join(self._plan)
        for key, found in (("content", self._content), ("tool_calls", self._calls)):
            if found:
                message[key] = [pieces.whole() for _, pieces in sorted(found.items(), key=lambda item: item[0])]
        if self._citations:
            message["citations"] = self._citations
        # What a message begins with is empty, and a whole one leaves out what is.
        message = {key: value for key, value in message.items() if value not in ("", [])}
        answer = {**({"id": self._top["id"]} if "id" in self._top else {}), **({"message": message} if message else {})}
        answer |= self._top
        return {**answer, **({"logprobs": self._logprobs} if self._logprobs else {})}

    def add_event(self, said: Object) -> None:
        """Take in one event's JSON object."""
        delta = a_dict(said.get("delta")) or {}
        kind, message = said.get("type"), a_dict(delta.get("message")) or {}
        if kind == "message-start":
            self._top |= {key: value for key, value in said.items() if key not in ("type", "delta")}
            self._message |= message
        elif kind == "message-end":
            self._top |= {key: value for key, value in said.items() if key not in ("type", "delta")}
            self._top |= delta
        elif kind in ("content-start", "content-delta"):
            self._piece(self._content, said, message.get("content"))
            if isinstance(logprobs := said.get("logprobs"), dict):
                self._logprobs.append(logprobs)
        elif kind in ("tool-call-start", "tool-call-delta"):
            self._piece(self._calls, said, message.get("tool_calls"))
        elif kind == "tool-plan-delta":
            self._plan.append(a_str(message.get("tool_plan")) or "")
        elif kind == "citation-start" and message.get("citations") is not None:
            self._citations.append(message["citations"])

    def _piece(self, found: dict[int, _Pieces], said: Object, piece: Any) -> None:
        index = an_int(said.get("index")) or 0
        if isinstance(piece, dict) and (index in found or len(found) < _MAX_BLOCKS):
            found.setdefault(index, _Pieces()).add(piece)


class _Pieces:
    """An object whose texts come in pieces; of its other members the last counts."""

    _JOINED: Final = ("text", "thinking", "arguments")

    def __init__(self) -> None:
        self._members: Object = {}
        self._texts: dict[str, list[str]] = {}
        self._inner: dict[str, _Pieces] = {}

    def add(self, piece: Object) -> None:
        for key, value in piece.items():
            self._members.setdefault(key, None)
            if key in self._JOINED and isinstance(value, str):
                self._texts.setdefault(key, []).append(value)
            elif key == "function" and isinstance(value, dict):
                self._inner.setdefault(key, _Pieces()).add(value)
            elif value is not None:
                self._members[key] = value

    def whole(self) -> Object:
        texts = {key: "".join(pieces) for key, pieces in self._texts.items()}
        return self._members | texts | {key: inner.whole() for key, inner in self._inner.items()}


def whole(events: Iterable[WireEvent]) -> Object:
    """The answer that events add up to."""
    assembly = Assembly()
    for event in events:
        assembly.add(event)
    return assembly.response()
