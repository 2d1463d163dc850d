"""The journal's folder: segment files, who may write them, and how the whole stays within its bounds.

A segment belongs to the process that holds its lock (``flock``, taken once when it is opened and let go by
the kernel when the process ends, however it ends). What a dead process left unfilled is taken over by the
next one of its service, so that a thousand short programs do not leave a thousand files. A segment's name says whose
records it holds, as a digest of the service: what is of no service was written by an earlier version. Nothing here
waits for a lock.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import platformdirs

from interlay.chain.frames import VERSION, Frame, Scanner

MAX_FILES: Final = 1024
"""Segments in a folder, whatever their sizes."""

_NAME: Final = re.compile(r"\d{20}-\d+-[0-9a-f]{8}(?:-([0-9a-f]{16}))?\.seg")
_SERVICE: Final = re.compile(r"(?:[0-9a-f]{16})?")
_TALLY: Final = "dropped.json"
_LOCK: Final = "lock"
_TAIL_BYTES: Final = 64 * 1024
_NEW_FILE: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW


class UnsafeFolder(OSError):
    """The folder is one that other users can write to. Says what to do."""


class Segment(NamedTuple):
    """A segment as the folder lists it."""

    name: str
    size: int
    changed_ns: int
    """When it was last written, nanoseconds since the epoch."""

    @property
    def created_ns(self) -> int:
        """When it was made: no record in it is older."""
        return int(self.name[:20])

    @property
    def service(self) -> str:
        """Whose records it holds."""
        return service_of(self.name)


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What was deleted to stay within the bounds, over the folder's whole life."""

    segments: int = 0
    records: int = 0
    bytes: int = 0
    last: tuple[str, ...] = ()
    """Segments of the latest round. They are counted, even if they should still be there."""
    services: dict[str, int] = {}
    """Of the records: how many were of each service."""

    def of(self, service: str | None) -> int:
        """The records that were deleted of one service, or of all."""
        if service is None:
            return self.records
        return self.services.get(service, 0) if service else self.records - sum(self.services.values())


class Writable(NamedTuple):
    """A segment that this process alone appends to, as long as ``fd`` is open."""

    fd: int
    name: str
    size: int
    sequence: int
    """Number of its next frame."""


def default_path() -> Path:
    """``$INTERLAY_HOME/journal``, else ``journal`` in the platform's folder for the state of ``interlay``."""
    home = os.environ.get("INTERLAY_HOME")
    root = Path(home).expanduser() if home else platformdirs.user_state_path("interlay", appauthor=False)
    return root / "journal"


def service_of(name: str) -> str:
    """Whose records a segment of this name holds; empty where it does not say."""
    matched = _NAME.fullmatch(name)
    return (matched[1] or "") if matched is not None else ""


def is_service(word: str) -> bool:
    """Whether a segment's name can hold it: sixteen hexadecimal digits, or nothing."""
    return _SERVICE.fullmatch(word) is not None


def list_segments(folder: Path | int, service: str | None = None) -> list[Segment]:
    """The folder's segments, or one service's, by name, which is the order they were made in. A missing folder has
    none."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                matched = _NAME.fullmatch(entry.name)
                if matched is not None and (service is None or service == (matched[1] or "")):
                    with suppress(FileNotFoundError):
                        is_ = entry.stat(follow_symlinks=False)
                        if stat.S_ISREG(is_.st_mode):
                            found.append(Segment(entry.name, is_.st_size, is_.st_mtime_ns))
    except (FileNotFoundError, NotADirectoryError):
        return []
    found.sort()
    return found


def read_tally(folder: Path | int) -> Tally:
    """What was deleted so far; nothing, if that cannot be read."""
    try:
        if isinstance(folder, Path):
            return msgspec.json.decode((folder / _TALLY).read_bytes(), type=Tally)
        fd = os.open(_TALLY, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=folder)
        with os.fdopen(fd, "rb") as file:
            return msgspec.json.decode(file.read(), type=Tally)
    except (OSError, msgspec.DecodeError):
        return Tally()


def open_segment(path: Path, need: int, segment_bytes: int, max_bytes: int, service: str = "") -> Writable:
    """A segment of a service with room for ``need`` bytes, in a folder that is made if missing and kept within bounds.

    Takes over a segment of that service that nobody writes to any more where there is one. Raises ``OSError``, of
    which ``UnsafeFolder`` is one.
    """
    with open_folder(path) as folder:
        segments = list_segments(folder)
        segments = _make_room(folder, segments, max_bytes - max(segment_bytes, need))
        for segment in sorted(segments, key=lambda s: s.changed_ns, reverse=True):
            # Those that are nearly full are not worth looking into.
            most = min(segment_bytes * 3 // 4, segment_bytes - need)
            if segment.service == service and segment.size <= most:
                taken = _take_over(folder, segment.name, most)
                if taken is not None:
                    return taken
        return _create(folder, service)


def write_atomically(folder: int, name: str, data: bytes) -> None:
    """Put a file of mode 0600 in ``folder`` so that a reader finds the old one or the new one, whole."""
    temporary = f"{name}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    fd = os.open(temporary, _NEW_FILE, 0o600, dir_fd=folder)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def try_lock(fd: int) -> bool:
    """Take the exclusive lock of an open file, if nobody has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def open_folder(path: Path) -> Iterator[int]:
    """A descriptor of the folder, which is ours alone: what was checked is what is used."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        _make_folder(path)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        is_ = os.fstat(fd)
        if is_.st_uid != os.geteuid():
            raise UnsafeFolder(errno.EPERM, f"it belongs to user {is_.st_uid}, not to {os.geteuid()}", str(path))
        if is_.st_mode & 0o022:
            raise UnsafeFolder(errno.EPERM, "others may write to it; `chmod 700` it")
        yield fd
    finally:
        os.close(fd)


def _make_folder(path: Path) -> None:
    """Like ``mkdir -p``, but every folder made is 0700."""
    for folder in (*reversed(path.parents), path):
        if not folder.is_dir():
            with suppress(FileExistsError):
                folder.mkdir(0o700)


def _create(folder: int, service: str) -> Writable:
    whose = f"-{service}" if service else ""
    while True:
        name = f"{time.time_ns():020d}-{os.getpid()}-{os.urandom(4).hex()}{whose}.seg"
        fd = os.open(name, _NEW_FILE | os.O_APPEND, 0o600, dir_fd=folder)
        try:
            locked = try_lock(fd)
        except OSError:  # a file system without locks: nobody can take the segment over, or delete it, either
            locked = True
        is_ = os.fstat(fd)
        if locked and not is_.st_size and is_.st_nlink:
            return Writable(fd, name, 0, 0)
        os.close(fd)  # between its making and its locking somebody took it over, and may even be done with it


def _take_over(folder: int, name: str, most: int) -> Writable | None:
    """Become the writer of a segment that has none, less what its last writer left half written."""
    with _unless_in_use(folder, name, os.O_RDWR | os.O_APPEND) as fd:
        if fd is None:
            return None
        size = os.fstat(fd).st_size
        if size > most:  # its writer went on since the folder was listed
            return None
        last = last_frame(fd, size)
        if size and (last is None or last.version != VERSION):
            return None
        end, sequence = (last.end, last.sequence + 1) if last else (0, 0)
        if end < size:
            os.ftruncate(fd, end)
        return Writable(os.dup(fd), name, end, sequence)  # a duplicate keeps the lock


@contextmanager
def _unless_in_use(folder: int, name: str, flags: int) -> Iterator[int | None]:
    """A segment's descriptor, locked; None when somebody writes to it, or it is gone or not ours."""
    try:
        fd = os.open(name, flags | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=folder)
    except OSError:
        yield None
        return
    try:
        free = False
        with suppress(OSError):
            free = try_lock(fd)
        is_ = os.fstat(fd)
        yield fd if free and is_.st_nlink and is_.st_uid == os.geteuid() else None
    finally:
        os.close(fd)


def last_frame(fd: int, size: int) -> Frame | None:
    """The last whole frame of a segment, found from its end."""
    window = _TAIL_BYTES
    while size:
        start = max(0, size - window)
        scanner = Scanner(start)
        frames = scanner.feed(os.pread(fd, size - start, start)) + scanner.finish()
        if frames:
            return frames[-1]
        if not start:
            break
        window *= 8
    return None


def _make_room(folder: int, segments: list[Segment], limit: int) -> list[Segment]:
    """Delete what was written the longest ago until ``limit`` bytes are left; return the rest.

    One process at a time does this; the others go on without. Segments in use stay.
    """
    if _fits(segments, limit):
        return segments
    lock = os.open(_LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    try:
        return _delete_oldest(folder, limit) if try_lock(lock) else segments
    finally:
        os.close(lock)


def _delete_oldest(folder: int, limit: int) -> list[Segment]:
    kept = sorted(list_segments(folder), key=lambda s: (s.changed_ns, s.name))
    tally, doomed = read_tally(folder), list[tuple[Segment, int]]()
    with ExitStack() as locked:  # until all are gone, or one could be taken over in between
        for segment in list(kept):
            if _fits(kept, limit):
                break
            fd = locked.enter_context(_unless_in_use(folder, segment.name, os.O_RDONLY))
            if fd is None:
                continue
            kept.remove(segment)
            if segment.name in tally.last:  # counted already, by somebody who died before deleting it
                os.unlink(segment.name, dir_fd=folder)
            else:
                size = os.fstat(fd).st_size
                last = last_frame(fd, size)
                doomed.append((segment._replace(size=size), last.sequence + 1 if last else 0))
        if doomed:
            _delete(folder, tally, doomed)
    return sorted(kept)


def _delete(folder: int, tally: Tally, doomed: list[tuple[Segment, int]]) -> None:
    services = dict(tally.services)
    for segment, records in doomed:
        if segment.service:
            services[segment.service] = services.get(segment.service, 0) + records
    told = msgspec.json.encode(
        Tally(
            segments=tally.segments + len(doomed),
            records=tally.records + sum(records for _, records in doomed),
            bytes=tally.bytes + sum(segment.size for segment, _ in doomed),
            last=tuple(segment.name for segment, _ in doomed),
            services=services,
        )
    )
    # Counted first: a crash in between is then made good by `last`. On a full disk there may be no room to
    # count before something was deleted.
    counted = _save_tally(folder, told)
    for segment, _ in doomed:
        with suppress(FileNotFoundError):
            os.unlink(segment.name, dir_fd=folder)
    if not counted:
        _save_tally(folder, told)


def _save_tally(folder: int, told: bytes) -> bool:
    try:
        write_atomically(folder, _TALLY, told)
    except OSError:
        return False
    return True


def _fits(segments: list[Segment], limit: int) -> bool:
    return len(segments) < MAX_FILES and sum(segment.size for segment in segments) <= limit
