"""Server-sent events, sans-io: bytes in, events out.

Written to the event stream format of the WHATWG HTML standard: lines end in CR LF, LF or CR, a blank line ends an
event, ``data`` lines are joined by newlines. What is cut off at the end of bytes the standard throws away; here it
is given out by ``finish``, since a provider's last event may lack its blank line.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import Final

from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent

MAX_EVENT: Final = 4 * 1024 * 1024

_BOM: Final = b"\xef\xbb\xbf"
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_LINES: Final = re.compile(rb"([^\r\n]*+)(\r\n|\n|\r|(?<=[^\r\n])\Z)")
# A CR at the end of what has come may be the first half of a CR LF: then the event is not over yet.
_EVENT_END: Final = re.compile(rb"[\r\n](?:(?<=\r)\n|(?<=\n)|(?!\n|\Z))(?:\r\n|\n|\r(?!\n|\Z))")


def _named(raw: bytes) -> WireEvent | None:
    """An event of the two lines ``event`` and ``data``, read quickly; None when it is of another form."""
    if raw.startswith(b"event: "):
        end = raw.find(b"\n")
        if raw.startswith(b"data: ", end + 1) and raw.find(b"\n", end + 1) == len(raw) - 2:
            return WireEvent(raw, raw[7:end].decode("utf-8", "replace"), raw[end + 7 : -2])
    return None


def reframed(event: WireEvent, data: bytes) -> bytes:
    """The bytes of ``event`` with other data: it stands where the first line of its own data stood, and all lines that
    are no data stay."""
    lines: list[bytes] = []
    written = False
    for line, end in _LINES.findall(event.raw):
        field, _, value = line.partition(b":")
        if field.removeprefix(_BOM) != b"data":
            lines += (line, end)
        elif not written:
            written = True
            space = b" " if value.startswith(b" ") or data.startswith(b" ") else b""
            lines += (field, b":", space, data.replace(b"\n", b"\ndata: "), end or b"\n\n")
    return b"".join(lines)


class Held(BytesIO):
    """Bytes to come back to. Unlike a ``bytearray`` it gives them out without a copy.

    A ``BytesIO`` is closed by its finaliser. In a cycle that nobody reaches the collector may come to that before it
    comes to whoever tells the stream its end, and wants these bytes for it: so this one does not close.
    """

    __slots__ = ()

    def close(self) -> None:
        """Nothing: it is only memory."""


class SSEFramer:
    """Cuts server-sent events. Where the bytes were split into chunks makes no difference to the events."""

    __slots__ = ("_cr", "_first", "_held", "_last", "_limit", "_size")

    def __init__(self, *, limit: int = MAX_EVENT) -> None:
        self._limit = limit
        self._held: Held | None = None
        self._size = 0
        """Bytes that are held."""
        self._last = b""
        """The last of them, in which the end of an event may have begun: "\\r\\n\\r" and "\\n"."""
        self._cr = False
        """Whether a CR is in what is held."""
        self._first = True

    def feed(self, chunk: bytes) -> list[WireEvent]:
        """Events completed by ``chunk``.

        Raises ``DecodeError`` when one event exceeds the limit, after those before it have been given out. Then
        ``finish`` gives back what is held, and nothing more can be fed.
        """
        if not self._size:
            # What nearly all chunks are: one event of one line.
            size = len(chunk)
            is_line = chunk.startswith(b"data: ") and chunk.find(b"\n") == size - 2 and chunk.endswith(b"\n")
            if is_line and size <= self._limit and b"\r" not in chunk:
                self._first = False
                return [WireEvent(chunk, None, chunk[6:-2])]
            return self._cut(chunk)
        was_large = self._size > self._limit
        self._hold(chunk)
        self._cr = self._cr or b"\r" in chunk
        near = self._last + chunk
        if not was_large and (_EVENT_END.search(near) if self._cr else b"\n\n" in near):
            return self._cut(self._take())
        self._last = near[-3:]
        self._refuse_if_large()
        return []

    def finish(self) -> list[WireEvent]:
        """The event that was not ended, if there is one."""
        held = self._take()
        if not held:
            return []
        return [WireEvent(held, None, None) if len(held) > self._limit else self._event(held)]

    def _hold(self, data: bytes) -> None:
        if self._held is None:
            self._held = Held()  # most streams never split an event
        self._held.write(data)
        self._size += len(data)

    def _take(self) -> bytes:
        if self._held is None or not self._size:
            return b""
        held = self._held.getvalue()
        self._held.seek(0)
        self._held.truncate()
        self._size, self._last = 0, b""
        return held

    def _cut(self, data: bytes) -> list[WireEvent]:
        events: list[WireEvent] = []
        start, size = 0, len(data)
        plain = b"\r" not in data
        while start < size:
            if plain:
                end = data.find(b"\n\n", start) + 2
                if end == 1:
                    break
            else:
                match = _EVENT_END.search(data, start)
                if match is None:
                    break
                end = match.end()
            if end - start > self._limit:
                break
            raw = data[start:end]
            if plain and raw.startswith(b"data: ") and raw.find(b"\n") == end - start - 2:
                events.append(WireEvent(raw, None, raw[6:-2]))
            else:
                events.append((plain and _named(raw)) or self._event(raw))
            self._first = False
            start = end
        if start < size:
            rest = data[start:]
            self._hold(rest)
            self._last = rest[-3:]
            self._cr = not plain
            if not events:
                self._refuse_if_large()
        return events

    def _refuse_if_large(self) -> None:
        if self._size > self._limit:
            raise DecodeError(f"an event of more than {self._limit} bytes")

    def _event(self, raw: bytes) -> WireEvent:
        text = raw
        if self._first:
            self._first = False
            text = raw.removeprefix(_BOM)
        name: str | None = None
        lines: list[bytes] = []
        for line in _LINE_END.split(text):
            field, _, value = line.partition(b":")
            if field == b"data":
                lines.append(value.removeprefix(b" "))
            elif field == b"event":
                name = value.removeprefix(b" ").decode("utf-8", "replace")
        return WireEvent(raw, name, b"\n".join(lines) if lines else None)
