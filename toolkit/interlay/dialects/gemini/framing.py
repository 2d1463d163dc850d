"""Streams of this API, sans-io: server-sent events with ``alt=sse``, else one JSON array whose elements come one by
one. Which of the two it is the first byte tells."""

from __future__ import annotations

import re
from typing import Final

from interlay.dialects._sse import MAX_EVENT, SSEFramer, reframed
from interlay.model.errors import DecodeError
from interlay.model.protocols import Framer, WireEvent

END: Final = b"]"
"""The data of the event that ends an array."""

_BLANK: Final = b" \t\r\n"
_BOM: Final = b"\xef\xbb\xbf"
_MARK: Final = re.compile(rb'["{}\[\]]')
_IN_STRING: Final = re.compile(rb'["\\]')


def framed_anew(event: WireEvent, data: bytes) -> bytes:
    """The bytes of ``event`` with other data, in either form. In an array they end with the data, whatever stands
    before; so they do in a server-sent event whose last line, one of data, did not end."""
    raw, was = event.raw, event.data
    line = raw[max(raw.rfind(b"\n"), raw.rfind(b"\r")) + 1 :].removeprefix(_BOM)
    if was and raw.endswith(was) and not line.startswith(b"data:"):
        return raw[: -len(was)] + data
    return reframed(event, data)


class GeminiFramer:
    """Cuts a stream in either form. Where the bytes were split into chunks makes no difference to the events."""

    __slots__ = ("_held", "_inner", "_limit")

    def __init__(self, *, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._held = b""
        self._inner: Framer | None = None

    def feed(self, chunk: bytes) -> list[WireEvent]:
        """Events completed by ``chunk``. Raises ``DecodeError`` when one exceeds the limit, after those before it have
        been given out; then ``finish`` gives back what is held, and nothing more can be fed."""
        if self._inner is not None:
            return self._inner.feed(chunk)
        held = self._held + chunk
        first = held.lstrip(_BLANK)[:1]
        if not first:
            self._held = held
            if len(held) > self._limit:
                raise DecodeError(f"an event of more than {self._limit} bytes")
            return []
        self._held = b""
        self._inner = ArrayFramer(limit=self._limit) if first in b"[{" else SSEFramer(limit=self._limit)
        return self._inner.feed(held)

    def finish(self) -> list[WireEvent]:
        """What is left at the end of bytes."""
        if self._inner is not None:
            return self._inner.finish()
        held, self._held = self._held, b""
        return [WireEvent(held, None, None)] if held else []


class ArrayFramer:
    """Cuts a JSON array into its objects: the bytes before one, with the bracket or the comma, belong to its event. The
    bracket that ends the array is an event of its own. An object that stands alone is one event."""

    __slots__ = ("_at", "_base", "_begun", "_depth", "_held", "_in_string", "_limit", "_over", "_start")

    def __init__(self, *, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._held = bytearray()
        self._at = 0
        """How far what is held was looked through."""
        self._depth = 0
        self._base = 0
        """The depth at which objects stand."""
        self._begun = 0
        """Where what was not given out begins; at the start, but while a chunk is cut."""
        self._start = 0
        """Where the object begins that is not whole yet."""
        self._in_string = False
        self._over = False

    def feed(self, chunk: bytes) -> list[WireEvent]:
        """Events completed by ``chunk``. Raises ``DecodeError`` as ``GeminiFramer.feed``."""
        self._held += chunk
        events: list[WireEvent] = []
        while not self._over and (event := self._next()) is not None:
            events.append(event)
        if events:
            del self._held[: self._begun]
            self._at -= self._begun
            self._start -= self._begun
            self._begun = 0
        if not events and len(self._held) > self._limit:
            raise DecodeError(f"an event of more than {self._limit} bytes")
        return events

    def finish(self) -> list[WireEvent]:
        """What is left: white space behind the array, or an object that was cut off."""
        held = bytes(self._held)
        self._held.clear()
        if not held:
            return []
        cut = not self._over and self._depth > self._base and len(held) <= self._limit
        return [WireEvent(held, None, held[max(self._start, 0) :] if cut else None)]

    def _next(self) -> WireEvent | None:
        """Look on, until an object is whole or nothing more is there."""
        held, size = self._held, len(self._held)
        while self._at < size:
            if self._in_string:
                match = _IN_STRING.search(held, self._at)
                if match is None:
                    self._at = size
                elif held[match.start()] != 0x5C:
                    self._in_string, self._at = False, match.end()
                elif match.end() == size:
                    self._at = match.start()  # what is escaped has not come yet
                    return None
                else:
                    self._at = match.end() + 1
                continue
            match = _MARK.search(held, self._at)
            if match is None:
                self._at = size
                return None
            self._at = match.end()
            if (event := self._take(match.group(), match.start())) is not None:
                return event
        return None

    def _take(self, mark: bytes, at: int) -> WireEvent | None:
        if mark == b'"':
            self._in_string = True
        elif mark in b"{[":
            if self._depth == self._base:
                self._start = at
            if self._depth == 0 and mark == b"[" and not self._base:
                self._base = 1
            self._depth += 1
        else:
            self._depth -= 1
            if self._depth == self._base:
                return self._cut(at + 1, bytes(self._held[self._start : at + 1]))
            if self._depth < self._base:
                self._over = True
                return self._cut(at + 1, END)
        return None

    def _cut(self, end: int, data: bytes) -> WireEvent:
        raw = bytes(self._held[self._begun : end])
        self._begun = end
        self._over = self._over or self._base == 0
        return WireEvent(raw, None, data)
