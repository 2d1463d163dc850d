"""Server-sent events, sans-io: bytes in, events out, and every byte accounted for.

Format: the HTML standard, section "Server-sent events".
"""

from __future__ import annotations

import re
from typing import Final

from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent

MAX_EVENT: Final = 4 * 1024 * 1024
_BLANK: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r|\r\n\n|\r\n\r(?!\n)|\n\r\n|\n\r(?!\n)|\r\r\n")
_LINES: Final = re.compile(rb"\r\n|\n|\r")


class SSEFramer:
    """Cuts a byte stream into events at blank lines. The ``raw`` of all events, joined, is what was fed."""

    __slots__ = ("_parts", "_size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[WireEvent]:
        """Events completed by ``chunk``. Raises ``DecodeError`` for an event of more than 4 MB; ``finish`` then gives
        everything that was not yet given."""
        parts = self._parts
        if parts:
            # The blank line may straddle the seam: three bytes of what is held can be part of it.
            held = parts[-1] if len(parts[-1]) >= 3 else b"".join(parts)[-3:]
            if not _ends(held[-3:] + chunk):
                self._hold(chunk)
                return []
            chunk = b"".join(parts) + chunk
            self._parts, self._size = [], 0
        events: list[WireEvent] = []
        start = 0
        if b"\r" not in chunk:
            while (end := chunk.find(b"\n\n", start)) >= 0:
                events.append(_event(chunk[start : end + 2]))
                start = end + 2
        else:
            for match in _BLANK.finditer(chunk):
                end = match.end()
                if end == len(chunk) and chunk[-1:] == b"\r":
                    break  # a line feed may follow that belongs to this line end
                events.append(_event(chunk[start:end]))
                start = end
        if start < len(chunk):
            self._hold(chunk[start:] if start else chunk)
        return events

    def finish(self) -> list[WireEvent]:
        """The bytes of an event that no blank line ended, as one event; readers of this format drop its data, SDKs
        of LLM providers do not, so its data is given."""
        rest = b"".join(self._parts)
        self._parts, self._size = [], 0
        return [_event(rest)] if rest else []

    def _hold(self, chunk: bytes) -> None:
        self._parts.append(chunk)
        self._size += len(chunk)
        if self._size > MAX_EVENT:
            raise DecodeError(f"an event of the stream is longer than {MAX_EVENT} bytes")


def _ends(data: bytes) -> bool:
    if b"\r" not in data:
        return b"\n\n" in data
    return _BLANK.search(data) is not None


def _event(raw: bytes) -> WireEvent:
    if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw:
        return WireEvent(raw, None, raw[6:-2])
    name: str | None = None
    data: list[bytes] = []
    for line in _LINES.split(raw.removeprefix(b"\xef\xbb\xbf")):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    return WireEvent(raw, name, b"\n".join(data) if data else None)
