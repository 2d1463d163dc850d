"""Streams of JSON lines, sans-io: bytes in, an event for each line out."""

from __future__ import annotations

from typing import Final

from interlay.dialects._codec import Object
from interlay.dialects._sse import MAX_EVENT, Held
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent

_BLANK: Final = b" \t\r\n"


def framed(said: Object) -> bytes:
    """The line that says an object."""
    return json.encode(said) + b"\n"


def reframed(event: WireEvent, data: bytes) -> bytes:
    """The bytes of ``event`` with other data: its white space and the end of its line stay."""
    return event.raw.replace(event.data or b"", data, 1) if event.data else event.raw


class LineFramer:
    """Cuts lines. Where the bytes were split into chunks makes no difference to the events."""

    __slots__ = ("_held", "_limit", "_size")

    def __init__(self, *, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._held = Held()
        """The beginning of a line whose end has not come."""
        self._size = 0

    def feed(self, chunk: bytes) -> list[WireEvent]:
        """Events completed by ``chunk``.

        Raises ``DecodeError`` when one exceeds the limit, after those before it have been given out. Then ``finish``
        gives back what is held, and nothing more can be fed.
        """
        end = chunk.find(b"\n") + 1
        events: list[WireEvent] = []
        start = 0
        while end and self._size + end - start <= self._limit:
            line = chunk[start:end]
            events.append(_event(self._take() + line if self._size else line))
            start, end = end, chunk.find(b"\n", end) + 1
        if start < len(chunk):
            rest = chunk[start:] if start else chunk
            self._held.write(rest)
            self._size += len(rest)
            if self._size > self._limit and not events:
                raise DecodeError(f"an event of more than {self._limit} bytes")
        return events

    def finish(self) -> list[WireEvent]:
        """The line that was not ended, if there is one."""
        held = self._take()
        if not held:
            return []
        return [WireEvent(held, None, None) if len(held) > self._limit else _event(held)]

    def _take(self) -> bytes:
        held = self._held.getvalue()
        self._held, self._size = Held(), 0
        return held


def _event(line: bytes) -> WireEvent:
    return WireEvent(line, None, line.strip(_BLANK) or None)
