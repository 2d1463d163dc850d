"""Answers in this process's memory."""

from __future__ import annotations

import heapq
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

import msgspec

from interlay.chain.forks import in_children
from interlay.chain.io import IO
from interlay.model.arguments import is_count, shown
from interlay.model.errors import ConfigError
from interlay.stores.store import LONGEST, LONGEST_LEASE, Found, Stats, labels, wanted

G = TypeVar("G", str, float)

# Bytes, as `tracemalloc` sees them at the worst moment, when a table has just been doubled; a test holds them to that.
_ITEM: Final = 360
_LABEL: Final = 130
_GROUP: Final = 480
_LEASE: Final = 480

_LEAST: Final = 2**20
_SHARE: Final = 4
_LEASES: Final = 500
"""Names that are taken at once; beyond that the first ones are free again."""
_SLICE: Final = 500
"""Items that are forgotten before others may have the store again."""
_SWEPT: Final = 50
"""Items past their lifetime that one ``set`` takes away at most."""


class _Item(msgspec.Struct, gc=False):
    value: bytes
    expires: float
    stored: float
    due: float
    size: int
    labels: tuple[str, ...]


class MemoryStore:
    """Bounded in bytes, everything counted; what was used the longest ago goes first.

    Reading and writing take the same few steps however much is in it, and never wait but for one another. What is
    past its lifetime is never given, and makes room before anything else does: a thirty-second of its lifetime after
    its end, or a second. A forked child goes on with a copy of its own.

    Args:
        max_bytes: all it may take, 1 MiB at least. Nothing that takes more than a quarter of it is kept.
        clock: seconds, as ``time.monotonic`` has them.

    Raises ``ConfigError`` for a bound that is no whole number of bytes, or too low.
    """

    def __init__(self, max_bytes: int = 256 * 1024 * 1024, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not is_count(max_bytes) or max_bytes < _LEAST:
            raise ConfigError(f"MemoryStore(max_bytes={shown(max_bytes)}): expected bytes, {_LEAST} or more")
        self.max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._empty()
        in_children(self._after_fork)

    def _empty(self) -> None:
        self._items: OrderedDict[str, _Item] = OrderedDict()
        self._labelled: _Groups[str] = _Groups()
        self._due: _Groups[float] = _Groups()
        self._dues: list[float] = []
        self._leases: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._bytes = 0

    def _after_fork(self) -> None:
        # Held by a thread that is not here: what it was doing will not be finished.
        if self._lock.locked():
            self._lock = threading.Lock()
            self._empty()

    async def get(self, io: IO, key: str) -> bytes | None:
        with self._lock:
            item = self._items.get(key)
            if item is None:
                return None
            if item.expires <= self._clock():
                self._drop(key)
                return None
            self._items.move_to_end(key)
            return item.value

    async def find(self, io: IO, key: str) -> Found | None:
        value = await self.get(io, key)
        with self._lock:
            item = self._items.get(key)
            if item is None or item.value is not value:
                return None
            return Found(value, item.expires - self._clock())

    async def set(
        self, io: IO, key: str, value: bytes, *, lifetime: float, scope: str = "", tags: Iterable[str] = ()
    ) -> bool:
        words = labels(scope, tags)
        size = _ITEM + sys.getsizeof(key) + sys.getsizeof(value) + _LABEL * len(words)
        most = size + sum(_GROUP + sys.getsizeof(word) for word in words)
        with self._lock:
            self._drop(key)
            if not lifetime > 0 or most * _SHARE > self.max_bytes:
                return False
            now = self._clock()
            self._sweep(now, _SWEPT)
            lifetime = min(lifetime, LONGEST)
            words = tuple([self._labelled.known(word) for word in words])
            item = _Item(value, now + lifetime, now, _due(now, lifetime), size, words)
            self._add(key, item)
            while self._bytes > self.max_bytes and self._items:
                self._drop(next(iter(self._items)))
            return True

    async def delete(self, io: IO, key: str) -> bool:
        with self._lock:
            item = self._drop(key)
            return item is not None and item.expires > self._clock()

    async def forget(
        self, io: IO, *, scope: str | None = None, tag: str | None = None, older_than: float | None = None
    ) -> int:
        return await io.run(lambda: self._forget(wanted(scope, tag), older_than))

    async def stats(self, io: IO) -> Stats:
        return await io.run(self._stats)

    async def lease(self, io: IO, name: str, owner: str, *, lifetime: float) -> bool:
        with self._lock:
            now = self._clock()
            holder, ends = self._leases.get(name, (owner, now))
            if holder != owner and ends > now:
                return False
            self._free(name)
            while self._leases and (len(self._leases) >= _LEASES or self._leases[next(iter(self._leases))][1] <= now):
                self._free(next(iter(self._leases)))
            self._leases[name] = owner, now + min(lifetime, LONGEST_LEASE)
            self._bytes += _lease_size(name, owner)
            return True

    async def release(self, io: IO, name: str, owner: str) -> None:
        with self._lock:
            if self._leases.get(name, ("", 0.0))[0] == owner:
                self._free(name)

    def close(self) -> None:
        with self._lock:
            self._empty()

    def _stats(self) -> Stats:
        while True:
            with self._lock:
                if self._sweep(self._clock(), _SLICE) < _SLICE:
                    return Stats(len(self._items), self._bytes)

    def _forget(self, words: tuple[str, ...], older_than: float | None) -> int:
        with self._lock:
            now = self._clock()
            doomed = min((self._labelled.keys(word) for word in words), key=len) if words else list(self._items)
        count = 0
        for start in range(0, len(doomed), _SLICE):
            with self._lock:
                for key in doomed[start : start + _SLICE]:
                    item = self._items.get(key)
                    if item is None or item.stored > now or not set(words).issubset(item.labels):
                        continue
                    if older_than is None or now - item.stored > older_than:
                        self._drop(key)
                        count += item.expires > now
        return count

    # What follows is called with the lock held.

    def _add(self, key: str, item: _Item) -> None:
        self._items[key] = item
        self._bytes += item.size
        for word in item.labels:
            if self._labelled.add(word, key):
                self._bytes += _GROUP + sys.getsizeof(word)
        if self._due.add(item.due, key):
            heapq.heappush(self._dues, item.due)
            self._bytes += _GROUP

    def _free(self, name: str) -> None:
        held = self._leases.pop(name, None)
        if held is not None:
            self._bytes -= _lease_size(name, held[0])

    def _drop(self, key: str) -> _Item | None:
        item = self._items.pop(key, None)
        if item is not None:
            self._bytes -= item.size
            for word in item.labels:
                if self._labelled.discard(word, key):
                    self._bytes -= _GROUP + sys.getsizeof(word)
            self._due.discard(item.due, key, keep=True)
        return item

    def _sweep(self, now: float, most: int) -> int:
        """Drop what is past its lifetime, ``most`` items at most. How many there were."""
        count = 0
        while self._dues and self._dues[0] <= now:
            for key in self._due.keys(self._dues[0], most - count):
                self._drop(key)
                count += 1
            if count == most:
                break
            self._due.remove(heapq.heappop(self._dues))
            self._bytes -= _GROUP
        return count


def _lease_size(name: str, owner: str) -> int:
    return _LEASE + sys.getsizeof(name) + sys.getsizeof(owner)


def _due(now: float, lifetime: float) -> float:
    """When an item is looked at that expires then: at one of a few points in time that many items share.

    For lifetimes of like length there are at most a hundred and thirty such points ahead, however many items.
    """
    width = 1.0
    while width * 64 < lifetime:
        width *= 2
    return (now + lifetime) // width * width + width


class _Keys(dict[str, None], Generic[G]):
    """Keys in order. A ``dict`` keeps the table of its best days; this gives it back."""

    __slots__ = ("_most", "name")

    def __init__(self, name: G) -> None:
        self.name: G = name
        self._most = 0

    def add(self, key: str) -> None:
        self[key] = None
        self._most = max(self._most, len(self))

    def discard(self, key: str) -> None:
        self.pop(key, None)
        if len(self) * 4 < self._most and self._most > 32:
            rest = list(self)
            self.clear()
            self.update(dict.fromkeys(rest))
            self._most = len(rest)


class _Groups(Generic[G]):
    """Keys by what they have in common."""

    __slots__ = ("_groups",)

    def __init__(self) -> None:
        self._groups: dict[G, _Keys[G]] = {}

    def known(self, name: G) -> G:
        """The very same object that others of the group hold, where there are others."""
        group = self._groups.get(name)
        return name if group is None else group.name

    def add(self, name: G, key: str) -> bool:
        """Whether the group is a new one."""
        group = self._groups.get(name)
        new = group is None
        if group is None:
            group = self._groups[name] = _Keys(name)
        group.add(key)
        return new

    def discard(self, name: G, key: str, *, keep: bool = False) -> bool:
        """Whether the group is gone with its last key, which it is not if it is to be kept."""
        group = self._groups[name]
        group.discard(key)
        if group or keep:
            return False
        del self._groups[name]
        return True

    def remove(self, name: G) -> None:
        """Remove an empty group."""
        del self._groups[name]

    def keys(self, name: G, most: int | None = None) -> list[str]:
        """The first ``most`` keys of a group."""
        group = self._groups.get(name, ())
        return [key for key, _ in zip(group, range(len(group) if most is None else most), strict=False)]
