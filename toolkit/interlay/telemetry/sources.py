"""Where records wait to be shipped: the journal, or a thousand of them in memory."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import msgspec

from interlay.model.record import Record
from interlay.telemetry.cursors import Cursor, CursorBusy, has_cursor

MEMORY: Final = 1_000
"""Records that wait where there is no journal."""
_MOST_BYTES: Final = 2 * 1024 * 1024
"""Of records that are read at once."""
_AT_ONCE: Final = 64


class Source(Protocol):
    """Where records wait to be shipped."""

    @property
    def lost(self) -> int:
        """Records that went before they were read."""
        ...

    def read(self, limit: int) -> list[Record]:
        """The next records, oldest first."""
        ...

    def commit(self) -> None:
        """All that was read has arrived."""
        ...

    def unread(self) -> int:
        """How many records there are beyond what was read."""
        ...

    def waiting(self) -> int:
        """About how many bytes they take."""
        ...

    def close(self) -> None: ...


class JournalSource:
    """A service's records in the journal, by a cursor of the destination's own; before them what an earlier version,
    which did not say whose a record is, has left for the destination. Raises ``CursorBusy`` and ``OSError``."""

    def __init__(self, path: Path, name: str, service: str = "") -> None:
        self._path = path
        cursor = Cursor(path, name, start="now", service=service)
        cursor.commit()  # what is appended from here on is ours, even if nothing else is ever committed
        self._cursors = [cursor]
        if service and has_cursor(path, name):
            with suppress(CursorBusy):  # one service does it, and it does not matter which
                self._cursors.insert(0, Cursor(path, name, service=""))
        self._unreadable = 0

    @property
    def lost(self) -> int:
        """Deleted unread, damaged, no record, or never written, as their writer said when it could write again."""
        lost = sum(cursor.lost + cursor.counts.damaged + cursor.counts.missed for cursor in self._cursors)
        return lost + self._unreadable

    def read(self, limit: int) -> list[Record]:
        """See ``Source``. What is no record is counted and stepped over."""
        found: list[Record] = []
        size = 0
        while size < _MOST_BYTES and len(found) < limit:
            wanted = min(_AT_ONCE, limit - len(found))
            entries = next(filter(None, (cursor.read(wanted) for cursor in self._cursors)), None)
            if not entries:
                break
            for entry in entries:
                size += len(entry.raw)
                try:
                    found.append(entry.record)
                except msgspec.DecodeError:
                    self._unreadable += 1
        return found

    def commit(self) -> None:
        """See ``Source``. Raises ``OSError``."""
        for cursor in self._cursors:
            cursor.commit()

    def unread(self) -> int:
        """See ``Source``."""
        return sum(sum(1 for _ in cursor.ahead().read()) for cursor in self._cursors)

    def waiting(self) -> int:
        """See ``Source``."""
        return sum(cursor.ahead().waiting() for cursor in self._cursors)

    def close(self) -> None:
        """Let another process have the cursor."""
        for cursor in self._cursors:
            cursor.close()


class MemorySource:
    """The last records of this process: an observer, given to the recorder beside."""

    def __init__(self, limit: int = MEMORY) -> None:
        self._waiting: deque[Record] = deque()
        self._limit = limit
        self.lost = 0

    def on_end(self, record: Record) -> None:
        if len(self._waiting) >= self._limit:
            with suppress(IndexError):
                self._waiting.popleft()
                self.lost += 1
        self._waiting.append(record)

    def read(self, limit: int) -> list[Record]:
        """See ``Source``."""
        found: list[Record] = []
        while self._waiting and len(found) < limit:
            found.append(self._waiting.popleft())
        return found

    def commit(self) -> None:
        """See ``Source``."""

    def unread(self) -> int:
        """See ``Source``."""
        return len(self._waiting)

    def waiting(self) -> int:
        """See ``Source``. Nobody counts bytes in memory."""
        return 0

    def close(self) -> None:
        """See ``Source``."""
        self._waiting.clear()
