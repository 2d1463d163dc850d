"""Answers in a folder, which processes may share."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from interlay.chain.aio import AsyncIO
from interlay.chain.forks import in_children
from interlay.chain.io import IO
from interlay.chain.segments import open_folder
from interlay.model.arguments import is_count, is_number, shown
from interlay.model.errors import ConfigError
from interlay.stores.gathering import Gathering
from interlay.stores.store import LONGEST, LONGEST_LEASE, Found, Stats, StoreError, labels, wanted

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
_ASIDE: Final = 60.0
"""Seconds that a process may lie between looking at its clock and writing down what it saw."""
_IDLE: Final = 8
"""Connections that are kept open for the next ones who come."""
_ROOMS: Final = "answers-"

_LOOK_UP: Final = "SELECT mode, filename, value, expire_time FROM Cache WHERE key = ? AND raw = 1 AND expire_time > ?"
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
    """diskcache on one connection, used by one thread at a time, with our settings and our patience.

    diskcache's own has a connection for each thread, which nobody but that thread can close; takes any name in the
    folder's settings for an attribute; and waits up to a minute for each lock that opening it needs.
    """

    def __init__(self, folder: Path, timeout: float, size_limit: int) -> None:
        self._ours: dict[str, Any] = {
            **diskcache.DEFAULT_SETTINGS,
            "size_limit": size_limit,
            "sqlite_journal_size_limit": _LOG,
        }
        self._connection: sqlite3.Connection | None = None
        self._patience = timeout
        self._is_opening = True
        try:
            super().__init__(str(folder), timeout=timeout, disk=BytesDisk, **self._ours)
            self._sql(
                "CREATE TABLE IF NOT EXISTS Leases (name BLOB PRIMARY KEY, owner BLOB NOT NULL, ends REAL NOT NULL)"
                " WITHOUT ROWID"
            )
            self._pragma("synchronous", self._ours["sqlite_synchronous"])
        except BaseException:
            self._is_opening = False
            self.close()
            raise
        self._is_opening = False

    def another(self) -> _Cache:
        """One more, with a connection of its own."""
        found = _Cache.__new__(_Cache)  # what `copy` does would open everything anew
        found.__dict__.update(self.__dict__, _connection=None, _txn_id=None)
        return found

    @property
    def _con(self) -> sqlite3.Connection:
        if self._connection is None:
            database = Path(self.directory) / DBNAME
            self._connection = sqlite3.connect(
                database, timeout=self._patience, isolation_level=None, check_same_thread=False
            )
            pragmas = {key.removeprefix("sqlite_"): v for key, v in self._ours.items() if key.startswith("sqlite_")}
            if self._is_opening:
                # A call waits for this. What is not written whole, as the power went, is no database and left behind.
                pragmas = {"synchronous": 0} | pragmas | {"synchronous": 0}
            for name, value in pragmas.items():
                self._pragma(name, value)
        return self._connection

    @property
    def _sql_retry(self) -> Callable[..., sqlite3.Cursor | None]:
        execute = self._con.execute

        def once(statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor | None:
            # Writing down what is there already, or what nobody reads, would need a lock at each opening.
            if statement.startswith("INSERT OR REPLACE INTO Settings"):
                return None
            if statement.startswith("INSERT OR IGNORE INTO Settings"):
                there = execute("SELECT 1 FROM Settings WHERE key = ?", values[:1]).fetchall()
                return None if there else execute(statement, values)
            return execute(statement, values)

        return once

    def reset(self, key: str, value: Any = diskcache.ENOVAL, update: bool = True) -> Any:  # noqa: ANN401, FBT001, FBT002
        if key in ("count", "size"):
            ((value,),) = self._sql("SELECT value FROM Settings WHERE key = ?", (key,)).fetchall()
            return int(value)
        if key in self._ours and not key.startswith("sqlite_"):
            # What the folder says is nobody's business, and writing it down would need a lock.
            return super().reset(key, self._ours[key], update=False)
        return None

    @contextmanager
    def patient(self, seconds: float) -> Iterator[None]:
        """Wait that long for locks."""
        self._con.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}").close()
        try:
            yield
        finally:
            if self._connection is not None:
                self._connection.execute(f"PRAGMA busy_timeout = {self._patience * 1000:.0f}").close()

    def _pragma(self, name: str, value: object) -> None:
        # Setting what is set already may need a lock.
        rows = self._con.execute(f"PRAGMA {name}").fetchall()
        if rows != [(value,)]:
            self._con.execute(f"PRAGMA {name} = {value}").fetchall()

    def close(self) -> None:
        if self._is_opening:
            return  # diskcache would begin anew, to wait for locks from now on: this one does so already
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class DiskStore:
    """Bounded, in a folder of its own that only its user can read; what was stored the longest ago goes first.

    The folder is made at first use. Processes may share it, and die at any moment. A row that is not ours is a miss,
    and a database that is not is left behind for a new one. Nothing waits for another process longer than it may.

    An asynchronous caller's work is done in a worker thread. What many tasks look up at once is looked up together.

    Args:
        path: the folder. It is refused (``StoreError``) if it belongs to somebody else, or others may write to it.
        max_bytes: all that its files may take, 16 MiB at least. Nothing longer than a thirty-second of it is kept.
        timeout: seconds to wait for a lock, if need be to look something up, and for a lease.
        patience: the same for writing, for which no call waits; ``timeout`` where that is longer.

    Raises ``ConfigError`` for a bound or a time that is none.
    """

    def __init__(
        self, path: str | os.PathLike[str], max_bytes: int = 2**30, *, timeout: float = 0.05, patience: float = 1.0
    ) -> None:
        if not is_count(max_bytes) or max_bytes < _LEAST:
            raise ConfigError(f"DiskStore(max_bytes={shown(max_bytes)}): expected bytes, {_LEAST} or more")
        for field, value in (("timeout", timeout), ("patience", patience)):
            if not is_number(value) or value <= 0:
                raise ConfigError(f"DiskStore({field}={shown(value)}): expected seconds above 0")
        self.path = Path(path).expanduser()
        self.max_bytes = max_bytes
        self._timeout = timeout
        self._patience = max(patience, timeout)
        self._longest = max_bytes // _SHARE
        self._room: _Room | None = None
        self._inherited: list[_Room] = []
        self._lock = threading.Lock()
        self._gathering = Gathering(self._look_up_all, "disk")
        in_children(self._after_fork)

    def _after_fork(self) -> None:
        # A connection must not be used in a child, nor closed there.
        self._lock = threading.Lock()
        if self._room is not None:
            self._inherited.append(self._room)
            self._room = None

    async def get(self, io: IO, key: str) -> bytes | None:
        return (await self._look_up(io, key))[0]

    async def find(self, io: IO, key: str) -> Found | None:
        value, ends = await self._look_up(io, key)
        left = float(ends) - time.time() if isinstance(ends, int | float) else 0.0
        return Found(value, left) if value is not None and left > 0 else None

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

        return await self._write(io, work)

    async def delete(self, io: IO, key: str) -> bool:
        name = _key(key)
        return await self._write(io, lambda cache: bool(cache.delete(name)))

    async def forget(
        self, io: IO, *, scope: str | None = None, tag: str | None = None, older_than: float | None = None
    ) -> int:
        words = wanted(scope, tag)
        return await self._write(io, lambda cache: _forget(cache, words, older_than))

    async def stats(self, io: IO) -> Stats:
        return await self._aside(io, lambda cache: Stats(len(cache), cache.volume()))

    async def lease(self, io: IO, name: str, owner: str, *, lifetime: float) -> bool:
        words, lifetime = (_key(name), _key(owner)), min(lifetime, LONGEST_LEASE)
        return await self._aside(io, lambda cache: _lease(cache, *words, lifetime))

    async def release(self, io: IO, name: str, owner: str) -> None:
        words = _key(name), _key(owner)
        give_back = "DELETE FROM Leases WHERE name = ? AND owner = ?"
        await self._write(io, lambda cache: cache._sql(give_back, words).close())  # noqa: SLF001 - ours

    def close(self) -> None:
        """Let go of the database. What other threads are doing with it they finish."""
        with self._lock:
            room, self._room = self._room, None
        if room is not None:
            room.close()

    async def _aside(self, io: IO, work: Callable[[_Cache], T]) -> T:
        return await io.run(lambda: self._try(work), group="disk")

    async def _write(self, io: IO, work: Callable[[_Cache], T]) -> T:
        def patiently(cache: _Cache) -> T:
            with cache.patient(self._patience):
                return work(cache)

        return await self._aside(io, patiently)

    async def _look_up(self, io: IO, key: str) -> tuple[bytes | None, object]:
        """What a row holds, and when it ends. Looking up waits for nobody, and so many tasks may do it together."""
        name = _key(key)
        if not isinstance(io, AsyncIO):
            return self._try(lambda cache: _looked_up(cache, name))
        found = await self._gathering.ask(io, name)
        if isinstance(found, StoreError):
            raise found
        return found

    def _look_up_all(self, names: Sequence[bytes]) -> list[tuple[bytes | None, object] | StoreError]:
        return [self._look_up_one(name) for name in names]

    def _look_up_one(self, name: bytes) -> tuple[bytes | None, object] | StoreError:
        try:
            return self._try(lambda cache: _looked_up(cache, name))
        except StoreError as error:
            return error

    def _try(self, work: Callable[[_Cache], T]) -> T:
        """Do something with the database. Everything that can go wrong with a file is a ``StoreError``."""
        room: _Room | None = None
        cache: _Cache | None = None
        try:
            room = self._room or self._open()
            cache = room.take()
            done = work(cache)
        except BaseException as error:
            if room is not None and cache is not None:
                # A transaction may be half done on this connection.
                with suppress(sqlite3.Error):
                    cache.close()
            if not isinstance(error, Exception):
                raise
            # diskcache fails in any way of what it did not write.
            if room is not None and _is_damage(error):
                self._leave(room)
            raise StoreError(f"the store in {self.path} failed: {type(error).__name__}") from error
        room.give(cache)
        return done

    def _leave(self, room: _Room) -> None:
        with self._lock:
            if self._room is room:
                self._room = None
                _leave(Path(room.first.directory))
        room.close()

    def _open(self) -> _Room:
        with self._lock:
            if self._room is None:
                with open_folder(self.path) as folder:
                    rooms = _rooms(self.path)
                    self._room = _Room(self._enter(folder, max(rooms, default=1)))
            return self._room

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


class _Room:
    """A folder with one database, and the connections to it that nobody uses right now."""

    def __init__(self, first: _Cache) -> None:
        self.first = first
        self._idle: deque[_Cache] = deque([first])
        self._closed = False

    def take(self) -> _Cache:
        try:
            return self._idle.pop()
        except IndexError:
            return self.first.another()

    def give(self, cache: _Cache) -> None:
        if len(self._idle) >= _IDLE:
            cache.close()
            return
        self._idle.append(cache)
        if self._closed:
            self.close()

    def close(self) -> None:
        self._closed = True
        while True:
            try:
                cache = self._idle.pop()
            except IndexError:
                return
            cache.close()


def _forget(cache: _Cache, words: tuple[str, ...], older_than: float | None) -> int:
    now = time.time()
    conditions, values = ["store_time <= ?"], [now if older_than is None else now - older_than]
    found: list[Any] = []
    for word in words:
        conditions.append("instr(tag, ?)")
        found.append(_joined((word,)))
    where = f"rowid > ? AND {' AND '.join(conditions)}"
    count, last = 0, -1
    execute = cache._sql  # noqa: SLF001 - ours
    # In slices, as others wait meanwhile. The counts in the database are kept by its own triggers.
    while True:
        rows = execute(
            f"SELECT rowid FROM Cache WHERE {where} ORDER BY rowid LIMIT {_SLICE}",  # noqa: S608 - ours
            (last, *values, *found),
        ).fetchall()
        if not rows:
            return count
        count += execute(
            f"DELETE FROM Cache WHERE {where} AND rowid <= ?",  # noqa: S608 - ours
            (last, *values, *found, rows[-1][0]),
        ).rowcount
        last = rows[-1][0]


def _looked_up(cache: _Cache, name: bytes) -> tuple[bytes | None, object]:
    """What a row holds, and when it ends. diskcache's own ``get`` does the same in twice the time."""
    connection = cache._connection or cache._con  # noqa: SLF001 - ours
    try:
        rows = connection.execute(_LOOK_UP, (name, time.time())).fetchall()
    except sqlite3.OperationalError as error:
        if hasattr(error, "sqlite_errorcode"):
            raise
        return None, None  # Python's own: a row has text that is none
    if not rows:
        return None, None
    ((mode, filename, value, ends),) = rows
    if mode != MODE_RAW or filename is not None or type(value) is not bytes:
        return None, None  # not ours
    return value, ends


def _lease(cache: _Cache, name: bytes, owner: bytes, lifetime: float) -> bool:
    now = time.time()
    execute = cache._sql  # noqa: SLF001 - ours
    execute("DELETE FROM Leases WHERE NOT ends BETWEEN ? AND ?", (now, now + LONGEST_LEASE + _ASIDE))
    return bool(
        execute(
            "INSERT INTO Leases VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET ends = excluded.ends"
            " WHERE owner = excluded.owner",
            (name, owner, now + lifetime),
        ).rowcount
    )


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
