"""Cursors: how far each destination of records has come, kept beside the journal."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import msgspec

from interlay.chain.segments import list_segments, open_folder, read_tally, try_lock, write_atomically
from interlay.telemetry.journal import Counts, Entry, JournalReader, Place, Tail

_FOLDER: Final = "cursors"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class CursorBusy(RuntimeError):
    """Another process, or another part of this one, reads by this cursor."""


class _State(msgspec.Struct, frozen=True, kw_only=True):
    places: dict[str, Place]
    deleted: int
    """The tally's records, as far as they have been taken into account."""
    lost: int


class Cursor:
    """A destination's place in the journal: ``read`` a batch, hand it on, ``commit``.

    What was read and not committed is read again after a restart, so each record arrives at least once.

    ``name`` is up to 64 lower-case letters, digits, dots, hyphens and underscores. A cursor that is used for
    the first time begins with the ``"oldest"`` record, or ``"now"``. It belongs to one process at a time
    (not to its forks) and to one thread at a time. With a ``service`` (see ``Journal``) it comes to that service's
    records alone, and another service has a cursor of the same name.

    Raises ``ValueError`` for another kind of name, ``CursorBusy``, and ``OSError`` where the folder cannot
    be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        name: str,
        *,
        start: Literal["oldest", "now"] = "oldest",
        service: str | None = None,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a cursor: up to 64 of a-z 0-9 . _ -, a letter or digit first")
        reader = JournalReader(path)
        self.name: Final = name
        self._path: Final = reader.path
        self._service: Final = service
        self._file_name: Final = file_name(name, service)
        self._lock = -1
        self._lock = self._take()
        state = self._load()
        if state is None:
            places = reader.tail(service).places if start == "now" else {}
            state = _State(places=places, deleted=read_tally(self._path).of(service), lost=0)
        self._deleted = state.deleted
        self._tail = Tail(self._path, reader.counts, state.places, service)
        self.lost = state.lost
        """Records deleted, to keep the journal within its bounds, before this cursor came to them."""

    @property
    def counts(self) -> Counts:
        """What was come past since the cursor was opened: damage, and what writers could not write."""
        return self._tail.counts

    def read(self, limit: int = 1000) -> list[Entry]:
        """The next records, oldest first; empty when there are none."""
        deleted = self._settle()
        return list(islice(self._tail.read(ignore=deleted), limit))

    def ahead(self) -> Tail:
        """What has not been read, to be looked at without moving on."""
        return Tail(self._path, Counts(), dict(self._tail.places), self._service)

    def commit(self) -> None:
        """Remember that all that was read has arrived. Raises ``OSError``; the older place then stands."""
        state = _State(places=self._tail.places, deleted=self._deleted, lost=self.lost)
        with open_folder(self._path / _FOLDER) as folder:
            write_atomically(folder, f"{self._file_name}.json", msgspec.json.encode(state))

    def close(self) -> None:
        """Let another process have the cursor."""
        fd, self._lock = self._lock, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_lock", -1) >= 0:
            self.close()

    def _take(self) -> int:
        with open_folder(self._path), open_folder(self._path / _FOLDER) as folder:
            flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open(f"{self._file_name}.lock", flags, 0o600, dir_fd=folder)
        if not try_lock(fd):
            os.close(fd)
            raise CursorBusy(f"the cursor {self.name!r} of {self._path} is in use")
        return fd

    def _load(self) -> _State | None:
        # A damaged one begins anew: records arrive twice rather than never.
        with suppress(OSError, msgspec.DecodeError):
            path = self._path / _FOLDER / f"{self._file_name}.json"
            return msgspec.json.decode(path.read_bytes(), type=_State)
        return None

    def _settle(self) -> tuple[str, ...]:
        """Count what was deleted unread since the last look; return the names that are as good as deleted.

        The tally grows by all records of the segments that went. Those read already are no loss.
        """
        present = {segment.name for segment in list_segments(self._path, self._service)}
        tally = read_tally(self._path)
        gone = [name for name in self._tail.places if name not in present or name in tally.last]
        read = sum(max(0, self._tail.places.pop(name).sequence) for name in gone)
        deleted = tally.of(self._service)
        self.lost += max(0, deleted - self._deleted - read)
        self._deleted = deleted
        return tally.last


def file_name(name: str, service: str | None) -> str:
    """What a cursor's files are called. No cursor's name has an ``@``."""
    return f"{name}@{service}" if service else name


def has_cursor(path: Path, name: str, service: str | None = None) -> bool:
    """Whether such a cursor was ever committed."""
    return (path / _FOLDER / f"{file_name(name, service)}.json").is_file()
