"""Where records wait to be shipped: the journal, or a thousand of them in memory."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import msgspec

from interlay.chain.segments import list_segments
from interlay.model.record import Record
from interlay.telemetry.cursors import Cursor
from interlay.telemetry.journal import Counts, Place, Tail

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
    """Records in the journal, by a cursor of the destination's own. Raises ``CursorBusy`` and ``OSError``."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._cursor = Cursor(path, name, start="now")
        self._cursor.commit()  # what is appended from here on is ours, even if nothing else is ever committed
        self._unreadable = 0

    @property
    def lost(self) -> int:
        """Deleted unread, damaged, or no record."""
        return self._cursor.lost + self._cursor.counts.damaged + self._unreadable

    def read(self, limit: int) -> list[Record]:
        """See ``Source``. What is no record is counted and stepped over."""
        found: list[Record] = []
        size = 0
        while size < _MOST_BYTES and len(found) < limit:
            entries = self._cursor.read(min(_AT_ONCE, limit - len(found)))
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
        self._cursor.commit()

    def unread(self) -> int:
        """See ``Source``."""
        return sum(1 for _ in Tail(self._path, Counts(), self._places()).read())

    def waiting(self) -> int:
        """See ``Source``."""
        places, nowhere = self._places(), Place()
        return sum(max(0, s.size - places.get(s.name, nowhere).offset) for s in list_segments(self._path))

    def close(self) -> None:
        """Let another process have the cursor."""
        self._cursor.close()

    def _places(self) -> dict[str, Place]:
        return dict(self._cursor._tail.places)  # noqa: SLF001 - where it is; to be read from there once more


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
