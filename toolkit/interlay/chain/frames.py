"""The journal's frames: how a record stands in a file, and how whole ones are found in a damaged one.

A frame is ``marker (3) | version (1) | length (4) | crc32 (4) | body``, little-endian; ``length`` counts the
body. That much holds in every version, so that a reader can step over versions it does not know. The body of
version 1 is ``time (8) | sequence (4) | missed (4) | payload``. The checksum is seeded with the version and
covers the body.

The marker starts with a byte that no UTF-8 text contains, and payloads are JSON: looking for it finds frames.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple
from zlib import crc32

MARKER: Final = b"\xffIL"
VERSION: Final = 1
MAX_PAYLOAD: Final = 64 * 1024 * 1024
"""Bytes. A length above it is damage, not a reason to read on."""

_HEAD: Final = struct.Struct("<3sBII")
_BODY: Final = struct.Struct("<QII")
_MAX_BODY: Final = MAX_PAYLOAD + 1024
HEAD_SIZE: Final = _HEAD.size
OVERHEAD: Final = _HEAD.size + _BODY.size
"""Bytes a frame adds to its payload."""


class Frame(NamedTuple):
    """One whole frame and where it stood."""

    start: int
    """Offset of its first byte."""
    end: int
    """Offset after its last byte."""
    version: int
    time_ns: int
    """Wall clock at the append, nanoseconds since the epoch; 0 for a version that is not known."""
    sequence: int
    """Its number in its segment, from 0."""
    missed: int
    """Records its writer could not write since the frame before."""
    payload: bytes


def encode(payload: bytes, time_ns: int, sequence: int, missed: int = 0) -> bytes:
    """One frame of the current version."""
    body = _BODY.pack(time_ns, sequence, missed)
    check = crc32(payload, crc32(body, VERSION))
    return b"".join((_HEAD.pack(MARKER, VERSION, _BODY.size + len(payload), check), body, payload))


class Scanner:
    """Finds the frames in the bytes of one segment, sans-io: feed what was read, take what is whole.

    Bytes that belong to no whole frame are stepped over and counted in ``skipped`` once it is certain that
    they never will: bytes after them made a frame. Holds the unfinished frame and what was last fed.
    """

    def __init__(self, offset: int = 0) -> None:
        self._buffer = bytearray()
        self.offset = offset
        """Where the next frame is expected; all before it has been dealt with."""
        self.skipped = 0
        """Bytes of damaged frames."""

    @property
    def fed(self) -> int:
        """Offset after the last byte that was fed: where to read on."""
        return self.offset + len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """Frames that ``data`` completes, in order."""
        self._buffer += data
        return self._take(last=False)

    def finish(self) -> list[Frame]:
        """Frames behind an unfinished one, now that no more bytes are to be had.

        A frame cut short by a crash claims bytes that belong to the next ones. If there are none the
        unfinished frame is left as it is: it may still be being written, and ``feed`` goes on from there.
        """
        return self._take(last=True)

    def _take(self, *, last: bool) -> list[Frame]:
        frames: list[Frame] = []
        buffer, base, done, at = self._buffer, self.offset, 0, 0
        # `done`: end of what is settled. `at`: where a frame is looked for; ahead of `done` inside damage.
        with memoryview(buffer) as view:
            while len(view) - at >= HEAD_SIZE:
                marker, version, length, check = _HEAD.unpack_from(view, at)
                start, end = at + HEAD_SIZE, at + HEAD_SIZE + length
                if marker == MARKER and _BODY.size <= length <= _MAX_BODY:
                    if end > len(view):
                        if not last:
                            break
                    elif crc32(view[start:end], version) == check:
                        self.skipped += at - done
                        frames.append(_frame(view, base + at, version, start, end))
                        done = at = end
                        continue
                at = _next_marker(buffer, at + 1)
        if not last and done < at:
            # Damage before an unfinished frame is settled; what `last` looked through is not.
            self.skipped += at - done
            done = at
        del buffer[:done]
        self.offset = base + done
        return frames


def _frame(view: memoryview, offset: int, version: int, start: int, end: int) -> Frame:
    stop = offset + HEAD_SIZE + end - start
    if version != VERSION:
        return Frame(offset, stop, version, 0, 0, 0, bytes(view[start:end]))
    time_ns, sequence, missed = _BODY.unpack_from(view, start)
    return Frame(offset, stop, version, time_ns, sequence, missed, bytes(view[start + _BODY.size : end]))


def _next_marker(buffer: bytearray, at: int) -> int:
    """Where the next marker is, or may yet turn out to be once the bytes after it have come."""
    found = buffer.find(MARKER, at)
    if found >= 0:
        return found
    for tail in (2, 1):
        if len(buffer) - tail >= at and buffer.endswith(MARKER[:tail]):
            return len(buffer) - tail
    return len(buffer)
