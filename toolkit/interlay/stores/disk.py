"""Answers in a folder, which processes may share."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from interlay.chain.io import IO
from interlay.chain.segments import open_folder
from interlay.model.arguments import is_count, is_number, shown
from interlay.model.errors import ConfigError
from interlay.stores.store import LONGEST, Stats, StoreError, labels, wanted

try:
    import diskcache
    from diskcache.core import DBNAME, MODE_RAW
except ImportError as missing:
    raise ConfigError("DiskStore needs the package diskcache: pip install 'interlay[disk]'") from missing

T = TypeVar("T")

_LEAST: Final = 16 * 2**20
_LOG: Final = 4 * 2**20
"""Bytes: SQLite empties its log when a thousand pages are in it."""
_SHARE: Final = 32
_SLICE: Final = 500
_ROOMS: Final = "answers-"

_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class BytesDisk(diskcache.Disk):  # type: ignore[misc] # it has no types
    """Bytes in, bytes out, and all of them in the database.

    diskcache's own unpickles a row that says it is a pickle (CVE-2025-69872), in JSON mode too, and reads and deletes
    whatever file a row names.
    """

    def __init__(self, directory: str, **_settings: object) -> None:
        super().__init__(directory)

    def put(self, key: Any) -> tuple[memoryview, bool]:  # noqa: ANN401
        return memoryview(_bytes(key)), True

    def get(self, key: Any, raw: Any) -> bytes:  # noqa: ANN401
        # No key of ours is empty: to whoever walks through keys, this is nothing.
        return key if raw and type(key) is bytes else b""

    def store(self, value: Any, read: Any, key: Any = None) -> tuple[int, int, None, memoryview]:  # noqa: ANN401
        return 0, MODE_RAW, None, memoryview(_bytes(value))

    def fetch(self, mode: Any, filename: Any, value: Any, read: Any) -> bytes:  # noqa: ANN401
        if mode != MODE_RAW or filename is not None or read or type(value) is not bytes:
            raise OSError("the row holds something other than bytes")  # to diskcache: it is not there
        return value

    def filename(self, key: Any = None, value: Any = None) -> tuple[str, str]:  # noqa: ANN401
        raise TypeError("values are in the database, not in files")

    def remove(self, file_path: Any) -> None:  # noqa: ANN401
        """Nothing: no row of ours names a file."""


def _bytes(value: object) -> bytes:
    if type(value) is not bytes:
        raise TypeError("expected bytes")
    return value


class _Cache(diskcache.Cache):  # type: ignore[misc] # it has no types
    """diskcache with our settings, whatever the folder says: it would take any name there for an attribute."""

    def __init__(self, folder: Path, timeout: float, size_limit: int) -> None:
        self._ours: dict[str, Any] = {
            **diskcache.DEFAULT_SETTINGS,
            "size_limit": size_limit,
            "sqlite_journal_size_limit": _LOG,
        }
        super().__init__(str(folder), timeout=timeout, disk=BytesDisk, **self._ours)

    def reset(self, key: str, value: Any = diskcache.ENOVAL, update: bool = True) -> Any:  # noqa: ANN401, FBT001, FBT002
        if key in self._ours:
            return super().reset(key, self._ours[key], update)
        if key not in ("count", "size"):
            return None
        ((value,),) = self._sql("SELECT value FROM Settings WHERE key = ?", (key,)).fetchall()
        return int(value)


class DiskStore:
    """Bounded, in a folder of its own that only its user can read; what was stored the longest ago goes first.

    The folder is made at first use. Processes may share it, and die at any moment. A row that is not ours is a miss,
    and a database that is not is left behind for a new one. Neither reading nor writing waits for another process
    longer than ``timeout``.

    An asynchronous caller's work is done in a worker thread.

    Args:
        path: the folder. It is refused (``StoreError``) if it belongs to somebody else, or others may write to it.
        max_bytes: all that its files may take, 16 MiB at least. Nothing longer than a thirty-second of it is kept.
        timeout: seconds to wait for a lock.

    Raises ``ConfigError`` for a bound or a time that is none.
    """

    def __init__(self, path: str | os.PathLike[str], max_bytes: int = 2**30, *, timeout: float = 0.05) -> None:
        if not is_count(max_bytes) or max_bytes < _LEAST:
            raise ConfigError(f"DiskStore(max_bytes={shown(max_bytes)}): expected bytes, {_LEAST} or more")
        if not is_number(timeout) or timeout <= 0:
            raise ConfigError(f"DiskStore(timeout={shown(timeout)}): expected seconds above 0")
        self.path = Path(path).expanduser()
        self.max_bytes = max_bytes
        self._timeout = timeout
        self._longest = max_bytes // _SHARE
        self._cache: _Cache | None = None
        self._inherited: list[_Cache] = []
        self._lock = threading.Lock()
        store = weakref.ref(self)

        def in_child() -> None:
            if (self_ := store()) is not None:
                self_._after_fork()  # noqa: SLF001 - its own

        os.register_at_fork(after_in_child=in_child)

    def _after_fork(self) -> None:
        # A connection must not be used in a child, nor closed there.
        self._lock = threading.Lock()
        if self._cache is not None:
            self._inherited.append(self._cache)
            self._cache = None

    async def get(self, io: IO, key: str) -> bytes | None:
        name = _key(key)

        def work(cache: _Cache) -> bytes | None:
            try:
                found: bytes | None = cache.get(name)
            except sqlite3.OperationalError as error:
                if hasattr(error, "sqlite_errorcode"):
                    raise
                return None  # Python's own: a row has text that is none
            return found

        return await io.run(lambda: self._try(work))

    async def set(
        self, io: IO, key: str, value: bytes, *, lifetime: float, scope: str = "", tags: Iterable[str] = ()
    ) -> bool:
        # All that could be wrong with arguments is so before the database is asked.
        name, value, words = _key(key), _bytes(value), labels(scope, tags)
        tag = _joined(words) if words else None
        fits = lifetime > 0 and len(value) + len(tag or b"") <= self._longest
        ends = min(lifetime, LONGEST)

        def work(cache: _Cache) -> bool:
            if not fits:
                cache.delete(name)
                return False
            cache.set(name, value, expire=ends, tag=tag)
            # With each row that comes, ten go: not enough where the old ones are smaller.
            if cache.volume() > cache.size_limit:
                cache.cull()
            return True

        return await io.run(lambda: self._try(work))

    async def delete(self, io: IO, key: str) -> bool:
        name = _key(key)
        return await io.run(lambda: self._try(lambda cache: bool(cache.delete(name))))

    async def forget(
        self, io: IO, *, scope: str | None = None, tag: str | None = None, older_than: float | None = None
    ) -> int:
        words = wanted(scope, tag)
        return await io.run(lambda: self._try(lambda cache: self._forget(cache, words, older_than)))

    async def stats(self, io: IO) -> Stats:
        return await io.run(lambda: self._try(lambda cache: Stats(len(cache), cache.volume())))

    def close(self) -> None:
        """Let go of the database. Connections of other threads close when those threads end."""
        with self._lock:
            if self._cache is not None:
                self._cache.close()
                self._cache = None

    def _try(self, work: Callable[[_Cache], T]) -> T:
        """Do something with the database. Everything that can go wrong with a file is a ``StoreError``."""
        cache: _Cache | None = None
        try:
            cache = self._cache
            if cache is None:  # an empty one is false
                cache = self._open()
            return work(cache)
        except Exception as error:  # diskcache fails in any way of what it did not write
            if cache is not None:
                self._recover(cache, damaged=_is_damage(error))
            raise StoreError(f"the store in {self.path} failed: {type(error).__name__}") from error

    def _recover(self, cache: _Cache, *, damaged: bool) -> None:
        # A transaction may be half done on this thread's connection.
        with suppress(sqlite3.Error):
            cache.close()
        if damaged:
            with self._lock:
                if self._cache is cache:
                    self._cache = None
                    _leave(Path(cache.directory))

    def _open(self) -> _Cache:
        with self._lock:
            if self._cache is None:
                with open_folder(self.path) as folder:
                    rooms = _rooms(self.path)
                    self._cache = self._enter(folder, max(rooms, default=1))
            return self._cache

    def _enter(self, folder: int, number: int) -> _Cache:
        """Open a room; where there is no use in that, the next."""
        while True:
            room = f"{_ROOMS}{number}"
            with suppress(FileExistsError):
                os.mkdir(room, 0o700, dir_fd=folder)
            # SQLite would make it readable for all; its other files are as this one is.
            os.close(os.open(f"{room}/{DBNAME}", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600, dir_fd=folder))
            try:
                limit = self.max_bytes - _LOG - 2 * self._longest
                return _Cache(self.path / room, self._timeout, limit)
            except Exception as error:
                if not _is_damage(error):
                    raise
                _leave(self.path / room)
                number += 1

    def _forget(self, cache: _Cache, words: tuple[str, ...], older_than: float | None) -> int:
        now = time.time()
        conditions, values = ["store_time <= ?"], [now if older_than is None else now - older_than]
        found: list[Any] = []
        for word in words:
            conditions.append("instr(tag, ?)")
            found.append(_joined((word,)))
        where = f"rowid > ? AND {' AND '.join(conditions)}"
        count, last = 0, -1
        database = Path(cache.directory) / DBNAME
        # In slices, as others wait meanwhile. The counts in the database are kept by its own triggers.
        with closing(sqlite3.connect(database, timeout=self._timeout, isolation_level=None)) as connection:
            while True:
                rows = connection.execute(
                    f"SELECT rowid FROM Cache WHERE {where} ORDER BY rowid LIMIT {_SLICE}",  # noqa: S608 - ours
                    (last, *values, *found),
                ).fetchall()
                if not rows:
                    return count
                count += connection.execute(
                    f"DELETE FROM Cache WHERE {where} AND rowid <= ?",  # noqa: S608 - ours
                    (last, *values, *found, rows[-1][0]),
                ).rowcount
                last = rows[-1][0]


def _key(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _joined(words: tuple[str, ...]) -> bytes:
    """Words as one column that each can be found in, whole, whatever is in it."""
    return b"\0".join(
        (b"", *(w.encode("utf-8", "surrogatepass").replace(b"\\", b"\\\\").replace(b"\0", b"\\0") for w in words), b"")
    )


def _is_damage(error: Exception) -> bool:
    """Whether it says that a database is not ours, or not any more. One that cannot be had now says something else."""
    if isinstance(error, diskcache.Timeout | OSError | MemoryError):
        return False
    if not isinstance(error, sqlite3.Error):
        return True
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    return code in _DAMAGE or (code == sqlite3.SQLITE_ERROR and str(error).startswith("no such "))


def _rooms(folder: Path) -> list[int]:
    numbers = (entry.name.removeprefix(_ROOMS) for entry in folder.iterdir() if entry.name.startswith(_ROOMS))
    return [int(number) for number in numbers if number.isascii() and number.isdecimal()]


def _leave(room: Path) -> None:
    """Take away what is of no use. Others may have it open still, and so its name is not used again."""
    (room.parent / f"{_ROOMS}{int(room.name[len(_ROOMS) :]) + 1}").mkdir(0o700, exist_ok=True)
    shutil.rmtree(room, ignore_errors=True)
