"""The journal's writer: one append per record, which never raises, never waits, and survives ``kill -9``."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic, time_ns
from typing import Final

from interlay.chain.forks import in_children
from interlay.chain.frames import MAX_PAYLOAD, OVERHEAD, encode
from interlay.chain.segments import default_path, is_service, open_segment

logger = logging.getLogger("interlay.journal")

SEGMENT_BYTES: Final = 4 * 1024 * 1024
MAX_BYTES: Final = 256 * 1024 * 1024
_LOOK_SECONDS: Final = 1.0
"""How often a place that failed is tried again, and one that works is looked at."""
_SMALLEST_SEGMENT: Final = 1024
_LARGEST_SEGMENT: Final = 1024 * 1024 * 1024

_News = tuple[int, str, object, object]
"""Level, message and arguments of a line to be logged."""


class Journal:
    """Appends records to a folder, by default ``$INTERLAY_HOME/journal`` or the platform's state folder.

    The folder (0700) holds segments of about ``segment_bytes``, and no more than ``max_bytes`` of them
    beyond the ones being written: the oldest are deleted, and counted in the folder's tally. Each process
    writes a segment of its own, a forked child too. Nothing is touched before the first ``append`` or
    ``prepare``.

    When the place cannot be written (full, read-only, unsafe), records are dropped and counted, one line is
    logged, and the place is tried again once a second. There is no fsync: what was appended survives the
    death of the process, not of the machine.

    Services that share a folder have segments of their own: ``service`` stands for one, in sixteen hexadecimal
    digits. ``stamp`` gives what is added to each record, a JSON object, before its closing brace: which process
    wrote it. It is asked once, and once more in a forked child.

    Safe to use from many threads. Takes a lock, so finalisers must leave appending to somebody else. Raises
    ``ValueError`` for bounds that cannot hold.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        max_bytes: int = MAX_BYTES,
        service: str = "",
        stamp: Callable[[], bytes] | None = None,
    ) -> None:
        if not _SMALLEST_SEGMENT <= segment_bytes <= _LARGEST_SEGMENT:
            raise ValueError(f"segment_bytes={segment_bytes}: expected {_SMALLEST_SEGMENT} to {_LARGEST_SEGMENT}")
        if max_bytes < 2 * segment_bytes:
            raise ValueError(f"max_bytes={max_bytes}: expected two segments of {segment_bytes} or more")
        if not is_service(service):
            raise ValueError(f"service={service!r}: expected sixteen hexadecimal digits")
        self.path: Final = (Path(path).expanduser() if path is not None else default_path()).absolute()
        self.dropped = 0
        """Records of this process that could not be written."""
        self.trouble: str | None = None
        """Why records are being dropped now, if they are."""
        self._segment_bytes = segment_bytes
        self._max_bytes = max_bytes
        self._service = service
        self._ask_stamp = stamp
        self._fd = -1
        self._name = ""
        self._busy = False
        self._closed = False
        self._news: _News | None = None
        self._reset()
        in_children(self._in_child)

    def append(self, payload: bytes) -> bool:
        """Write one record at the end. Returns whether it stands there; if not, ``dropped`` counts it."""
        with self._lock:
            if self._busy:
                # A signal's handler in the middle of an append of this very thread, which will write it.
                self._late.append(payload)
                return True
            self._busy = True
            try:
                written = self._write(payload)
                while self._late:
                    self._write(self._late.popleft())
            finally:
                self._busy = False
            news, self._news = self._news, None
        if news is not None:
            _tell(news)
        return written

    def prepare(self) -> bool:
        """Open the segment now, so that the first call need not. If it cannot, ``trouble`` says why."""
        with self._lock:
            ready = self._busy or self._ready(monotonic(), OVERHEAD)
            news, self._news = self._news, None
        if news is not None:
            _tell(news)
        return ready

    def close(self) -> None:
        """Let go of the segment. What is appended afterwards is dropped. Nothing is lost without it."""
        with self._lock:
            self._closed = True
            self._release()

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        # No lock: nobody else has this object any more. At the interpreter's exit `os` may be gone.
        if getattr(self, "_fd", -1) >= 0:
            close(self._fd)

    def _reset(self) -> None:
        # Reentrant for signal handlers; looked up at use: under gevent's monkey patching it is gevent's own.
        self._lock = threading.RLock()
        self._busy = False
        self._late: deque[bytes] = deque()
        self._news = None
        self._stamp = self._ask_stamp() if self._ask_stamp is not None else b""
        self._size = self._sequence = 0
        self._missed = 0
        """Dropped since the last frame, which the next one will say."""
        self._look_at = self._retry_at = 0.0
        self._refused = False

    def _in_child(self) -> None:
        """After a fork: the segment, and what was dropped, are the parent's."""
        self._release()
        self._reset()
        self.dropped, self.trouble = 0, None

    def _release(self) -> None:
        # Forgotten before it is closed: a fork in between must not close another's file of the same number.
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    def _write(self, payload: bytes) -> bool:
        if self._stamp:
            payload = payload[:-1] + self._stamp
        now, size = monotonic(), len(payload) + OVERHEAD
        usable = now < self._look_at and self._fd >= 0 and self._size + size <= self._segment_bytes
        if not usable and not self._ready(now, size):
            self._missed += 1
            self.dropped += 1
            return False
        try:
            frame = encode(payload, time_ns(), self._sequence, min(self._missed, 0xFFFF_FFFF))
            sent = os.write(self._fd, frame)
            while sent < size:
                sent += os.write(self._fd, frame[sent:])
        except (OSError, MemoryError) as error:
            self._missed += 1
            self.dropped += 1
            self._fail(error, now)
            return False
        self._size += size
        self._sequence += 1
        self._missed = 0
        if self.trouble is not None:  # over, now that a write went through: a full disk opens files gladly
            self.trouble = None
            line = "the journal at %s is written again; %s records were dropped"
            self._news = (logging.INFO, line, self.path, self.dropped)
        return True

    def _ready(self, now: float, need: int) -> bool:
        """Whether there is a segment with room for ``need`` bytes, opening one if that may be tried now."""
        if self._closed or now < self._retry_at:
            return False
        if need > min(MAX_PAYLOAD + OVERHEAD, self._max_bytes):
            if not self._refused:
                self._refused = True
                line = "a record of %s bytes is too large for the journal at %s; such records are dropped"
                self._news = (logging.WARNING, line, need, self.path)
            return False
        try:
            self._look_at = now + _LOOK_SECONDS
            if self._fd >= 0:
                # An empty segment takes a record of any size; a deleted one takes none.
                room = not self._size or self._size + need <= self._segment_bytes
                if room and os.fstat(self._fd).st_nlink:
                    return True
                self._release()
            opened = open_segment(self.path, need, self._segment_bytes, self._max_bytes, self._service)
        except OSError as error:
            self._fail(error, now)
            return False
        self._fd, self._name, self._size, self._sequence = opened
        return True

    def _fail(self, error: OSError | MemoryError, now: float) -> None:
        """Take back what was half written, let go, and try again in a while."""
        reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        if self._fd >= 0:
            if getattr(error, "errno", None) == errno.EFBIG and self._size >= _SMALLEST_SEGMENT:
                self._segment_bytes = self._size  # a limit on files: the next one ends before it
            # If this fails too, readers step over the half frame.
            with suppress(OSError):
                os.ftruncate(self._fd, self._size)
                if not self._size:
                    (self.path / self._name).unlink()
            self._release()
        self._retry_at = now + _LOOK_SECONDS
        if self.trouble is None:
            line = "the journal at %s cannot be written: %s; calls go on, their records are dropped and counted"
            self._news = (logging.WARNING, line, self.path, reason)
        self.trouble = reason


def _tell(news: _News) -> None:
    """Log a line, never under the lock: a handler may be another thread's, on its way to ``append``."""
    with suppress(Exception):  # a filter of the user's must not break their call
        logger.log(*news)
