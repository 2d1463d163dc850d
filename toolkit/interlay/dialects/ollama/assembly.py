"""Lines added up to the answer that the API would have sent whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from interlay.dialects._codec import Object, object_or_none
from interlay.model.protocols import WireEvent

_JOINED: Final = ("content", "thinking")
_LISTED: Final = ("tool_calls", "images")


class Assembly:
    """Adds up the lines of one stream. Never raises on foreign bytes; lines that say nothing are passed over.

    Of members that come again the last counts; text is joined, and calls follow one another.
    """

    def __init__(self) -> None:
        self._top: Object = {}
        self._message: Object = {}
        self._texts: dict[str, list[str]] = {}
        self._lists: dict[str, list[Any]] = {}
        self._logprobs: list[Any] = []
        self._over = False

    def add(self, event: WireEvent) -> None:
        """Take in one line, in the order they came."""
        if not self._over and (said := object_or_none(event.data)) is not None:
            self.add_line(said)

    def response(self) -> Object:
        """The answer so far."""
        message = dict(self._message)
        message |= {key: "".join(pieces) for key, pieces in self._texts.items()}
        message |= self._lists
        top = dict(self._top)
        if message:
            top["message"] = message
        return {**top, **({"logprobs": self._logprobs} if self._logprobs else {})}

    def add_line(self, said: Object) -> None:
        """Take in one line's JSON object."""
        for key, value in said.items():
            if key == "message" and isinstance(value, dict):
                self._top.setdefault(key, {})  # its place among the members
                self._say(value)
            elif key == "logprobs" and isinstance(value, list):
                self._logprobs += value
            elif key != "message" and (value is not None or key not in self._top):
                self._top[key] = value
        self._over = said.get("done") is True or bool(said.get("error"))

    def _say(self, message: Object) -> None:
        for key, value in message.items():
            if key in _JOINED and isinstance(value, str):
                self._texts.setdefault(key, []).append(value)
                self._message.setdefault(key, "")
            elif key in _LISTED and isinstance(value, list):
                self._lists.setdefault(key, []).extend(value)
            elif value is not None or key not in self._message:
                self._message[key] = value


def whole(events: Iterable[WireEvent]) -> Object:
    """The answer that lines add up to."""
    assembly = Assembly()
    for event in events:
        assembly.add(event)
    return assembly.response()
