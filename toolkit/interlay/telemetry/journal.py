"""Reading the journal: from either end, or as it grows.

Segments are merged by the time of their appends. Nothing here writes, takes a lock or stops a writer; what is
damaged is stepped over and counted, and what a newer version wrote is left alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import Final, NamedTuple

from interlay.chain.frames import VERSION, Frame, Scanner
from interlay.chain.segments import Segment, Tally, default_path, last_frame, list_segments, read_tally
from interlay.model.record import Record

_CHUNK: Final = 128 * 1024
_CLOCK_SLACK_NS: Final = 1_000_000_000
"""The kernel stamps files by a coarser clock than ours."""


class Entry:
    """One record as it stands in the journal: the bytes that were appended, and where and when."""

    __slots__ = ("_record", "at_ns", "raw", "segment", "sequence")

    def __init__(self, segment: str, frame: Frame) -> None:
        self.segment = segment
        self.sequence = frame.sequence
        """Its number in the segment. With ``segment`` it names the entry for good."""
        self.at_ns = frame.time_ns
        """Wall clock at the append, nanoseconds since the epoch."""
        self.raw = frame.payload
        """The record's JSON, with the fields that this version does not know."""
        self._record: Record | None = None

    @property
    def record(self) -> Record:
        """The record, decoded once. Raises ``msgspec.ValidationError`` where the bytes are no record."""
        if self._record is None:
            self._record = Record.from_json(self.raw)
        return self._record

    def __repr__(self) -> str:
        return f"Entry({self.segment}#{self.sequence}, {len(self.raw)} bytes)"


class Counts:
    """What a reader came past besides whole records."""

    __slots__ = ("damaged", "missed", "skipped_bytes", "unknown")

    def __init__(self) -> None:
        self.damaged = 0
        """Records that were appended and cannot be read any more."""
        self.skipped_bytes = 0
        """Bytes of damaged and of half written frames."""
        self.unknown = 0
        """Frames of a version that is not known."""
        self.missed = 0
        """Records that their writer could not write, as it said later."""

    def note(self, place: Place, frame: Frame) -> Place:
        """Count what lay between ``place`` and ``frame``; return the place after it."""
        self.skipped_bytes += frame.start - place.offset
        if frame.version != VERSION:
            self.unknown += 1
            return Place(frame.end, place.sequence + 1 if place.sequence >= 0 else -1)
        if place.sequence >= 0:
            self.damaged += max(0, frame.sequence - place.sequence)
        self.missed += frame.missed
        return Place(frame.end, frame.sequence + 1)


class Place(NamedTuple):
    """How far one segment has been read."""

    offset: int = 0
    """Where the next frame begins."""
    sequence: int = 0
    """The number it should have; -1 when that is not known."""


class JournalReader:
    """Reads the journal in ``path``, by default the one that ``Journal()`` writes.

    A missing folder is an empty journal.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path: Final = Path(path).expanduser() if path is not None else default_path()
        self.counts = Counts()
        """Of everything this reader read; what is read twice is counted twice."""

    def entries(self, *, newest_first: bool = False, since: float | None = None) -> Iterator[Entry]:
        """Everything that stands in the journal, or what was appended since a time (seconds since the epoch).

        Holds a small part of the journal at a time. Raises ``OSError`` when the folder may not be read.
        """
        since_ns = int((since or 0) * 1e9)
        found = [s for s in list_segments(self.path) if s.changed_ns + _CLOCK_SLACK_NS >= since_ns]
        merged = self._backwards(found) if newest_first else self._forwards(found)
        return (entry for entry in merged if entry.at_ns >= since_ns) if since else merged

    def tail(self, service: str | None = None) -> Tail:
        """Make a tail that begins at the present end, of all records or of one service's."""
        places = {s.name: self._end(s) for s in list_segments(self.path, service)}
        return Tail(self.path, self.counts, places, service)

    def follow(self, *, every: float = 0.25, wait: Callable[[float], object] = time.sleep) -> Iterator[Entry]:
        """What is appended from now on, for ever; looks every so many seconds, ``wait``ing in between."""
        tail = self.tail()
        while True:
            yield from tail.read()
            wait(every)

    def deleted(self) -> Tally:
        """What was deleted to stay within the journal's bounds."""
        return read_tally(self.path)

    def _forwards(self, found: list[Segment]) -> Iterator[Entry]:
        sources = [(s.created_ns, s.name, _frames(self.path / s.name, 0)) for s in found]
        return _deliver(_merge(sources), {}, self.counts)

    def _backwards(self, found: list[Segment]) -> Iterator[Entry]:
        sources = [(-s.changed_ns - _CLOCK_SLACK_NS, s.name, self._reversed(s.name)) for s in found]
        return (Entry(name, frame) for name, frame in _merge(sources, sign=-1))

    def _reversed(self, name: str) -> Iterator[Frame]:
        """A segment from its end: where its frames stand is noted first, then each is read when it is due."""
        path, place, index = self.path / name, Place(), []
        for frame in _frames(path, 0):
            place = self.counts.note(place, frame)
            if frame.version == VERSION:
                index.append((frame.start, frame.end))
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            for start, end in reversed(index):
                yield from Scanner(start).feed(os.pread(fd, end - start, start))
        finally:
            os.close(fd)

    def _end(self, segment: Segment) -> Place:
        try:
            fd = os.open(self.path / segment.name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return Place()
        try:
            last = last_frame(fd, segment.size)
        finally:
            os.close(fd)
        if last is None:
            return Place()
        return Place(last.end, last.sequence + 1 if last.version == VERSION else -1)


class Tail:
    """The growing end of a journal: what came since the last look."""

    def __init__(self, path: Path, counts: Counts, places: dict[str, Place], service: str | None = None) -> None:
        self.path = path
        self.service = service
        """Whose records it reads; None for everybody's."""
        self.counts = counts
        self.places = places
        """How far each segment was read. New segments are read from their start."""

    def read(self, *, ignore: tuple[str, ...] = ()) -> Iterator[Entry]:
        """What was appended and not yet read, in order. ``places`` moves on with each entry that is taken."""
        found = [s for s in list_segments(self.path, self.service) if s.name not in ignore]
        for gone in self.places.keys() - {s.name for s in found}:
            del self.places[gone]
        sources = []
        for segment in found:
            offset = self.places.get(segment.name, Place()).offset
            if segment.size > offset:
                sources.append((segment.created_ns, segment.name, _frames(self.path / segment.name, offset)))
        return _deliver(_merge(sources), self.places, self.counts)

    def waiting(self) -> int:
        """About how many bytes have not been read."""
        nowhere = Place()
        found = list_segments(self.path, self.service)
        return sum(max(0, s.size - self.places.get(s.name, nowhere).offset) for s in found)


def _frames(path: Path, offset: int) -> Iterator[Frame]:
    """A segment's frames from ``offset`` to its present end."""
    scanner = Scanner(offset)
    while True:
        # Opened for each chunk: a thousand segments merged are not a thousand open files.
        try:
            with path.open("rb", buffering=0) as file:
                file.seek(scanner.fed)
                data = file.read(_CHUNK)
        except FileNotFoundError:
            return
        frames = scanner.feed(data) if data else scanner.finish()
        yield from frames
        if not data and not frames:
            return


def _merge(sources: list[tuple[int, str, Iterator[Frame]]], sign: int = 1) -> Iterator[tuple[str, Frame]]:
    """Merge by time. Each source comes with a bound before which it has nothing, and is not begun until
    then.
    """
    heap: list[tuple[int, str, Frame | None, Iterator[Frame]]] = [(b, n, None, source) for b, n, source in sources]
    heapify(heap)
    while heap:
        _, name, frame, source = heappop(heap)
        if frame is not None:
            yield name, frame
        following = next(source, None)
        if following is not None:
            heappush(heap, (sign * following.time_ns, name, following, source))


def _deliver(merged: Iterable[tuple[str, Frame]], places: dict[str, Place], counts: Counts) -> Iterator[Entry]:
    """Entries of the frames, noting how far each segment has come as each is taken."""
    for name, frame in merged:
        places[name] = counts.note(places.get(name, Place()), frame)
        if frame.version == VERSION:
            yield Entry(name, frame)
