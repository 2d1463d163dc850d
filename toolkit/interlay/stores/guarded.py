"""A store that cannot hurt: what is down, slow or full is a miss."""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from interlay.chain.forks import in_children
from interlay.chain.io import IO, SyncIO, drive
from interlay.model.arguments import is_number, shown
from interlay.model.errors import ConfigError, WireTimeout
from interlay.stores.store import Found, Stats, Store, StoreBusy, StoreError

logger = logging.getLogger("interlay.stores")

T = TypeVar("T")

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 30.0
_PROBE: Final = "interlay probe"


class GuardedStore:
    """Another store, of which a call gets an answer in time or none.

    ``get``, ``find``, ``set``, ``lease`` and ``release`` raise nothing. The first one that fails, or takes longer than
    it may, is the last that waits: until a trial succeeds nothing is asked of the store. Trials are made on the
    runner's thread, after a second first, then after twice as long each time up to half a minute, and only while calls
    come. A store that cannot be written to, because it is full, is still read. While a store is not to be had
    everybody gets the lease that they ask for: calls go on. Each change is one line in the log.

    ``delete``, ``forget`` and ``stats`` are passed on, errors too: whoever wants something gone must know if it is not.

    A blocking operation cannot be interrupted: in sync, and in worker threads, the store's own time-outs hold.

    Args:
        store: the one that is guarded, and closed with this one.
        budget: seconds that looking may take, and asking for a lease.
        name: what the log calls the store.
        patience: seconds that writing may take, for which no call waits; ``budget`` where that is longer.

    Raises ``ConfigError`` for times that are none.
    """

    def __init__(self, store: Store, budget: float = 0.05, *, name: str = "", patience: float = 1.0) -> None:
        for field, value in (("budget", budget), ("patience", patience)):
            if not is_number(value) or value <= 0:
                raise ConfigError(f"GuardedStore({field}={shown(value)}): expected seconds above 0")
        self.store = store
        self.budget = budget
        self.patience = max(patience, budget)
        self.name = name or type(store).__name__
        self._reading = _Breaker()
        self._writing = _Breaker()

    @property
    def is_away(self) -> bool:
        """Whether nothing is asked of the store for now, as it failed or was slow."""
        return bool(self._reading.pause)

    async def get(self, io: IO, key: str) -> bytes | None:
        if self._reading.pause:
            self._try_again(io, self._reading, lambda probe: self.store.get(probe, _PROBE))
            return None
        return await self._within(io, lambda: self.store.get(io, key), self._reading, None)

    async def find(self, io: IO, key: str) -> Found | None:
        if self._reading.pause:
            self._try_again(io, self._reading, lambda probe: self.store.get(probe, _PROBE))
            return None
        return await self._within(io, lambda: self.store.find(io, key), self._reading, None)

    async def set(
        self, io: IO, key: str, value: bytes, *, lifetime: float, scope: str = "", tags: Iterable[str] = ()
    ) -> bool:
        if self._is_off(io):
            return False
        work = lambda: self.store.set(io, key, value, lifetime=lifetime, scope=scope, tags=tags)  # noqa: E731
        return await self._within(io, work, self._writing, False, self.patience)

    async def delete(self, io: IO, key: str) -> bool:
        return await self.store.delete(io, key)

    async def forget(
        self, io: IO, *, scope: str | None = None, tag: str | None = None, older_than: float | None = None
    ) -> int:
        return await self.store.forget(io, scope=scope, tag=tag, older_than=older_than)

    async def stats(self, io: IO) -> Stats:
        return await self.store.stats(io)

    async def lease(self, io: IO, name: str, owner: str, *, lifetime: float) -> bool:
        if self._is_off(io):
            return True
        work = lambda: self.store.lease(io, name, owner, lifetime=lifetime)  # noqa: E731
        return await self._within(io, work, self._writing, True)

    async def release(self, io: IO, name: str, owner: str) -> None:
        if not self._is_off(io):
            work = lambda: self.store.release(io, name, owner)  # noqa: E731
            await self._within(io, work, self._writing, None, self.patience)

    def close(self) -> None:
        self.store.close()

    def _is_off(self, io: IO) -> bool:
        """Whether nothing is to be written now."""
        if self._reading.pause:
            return True
        if self._writing.pause:
            self._try_again(io, self._writing, lambda probe: self.store.set(probe, _PROBE, b"", lifetime=1.0))
            return True
        return False

    async def _within(
        self, io: IO, work: Callable[[], Awaitable[T]], breaker: _Breaker, nothing: T, budget: float = 0.0
    ) -> T:
        budget = budget or self.budget
        begun = io.monotonic()
        try:
            # What blocks cannot be interrupted, and its being looked after is dear.
            found = await (work() if isinstance(io, SyncIO) else io.until(begun + budget, work))
        except (WireTimeout, StoreBusy) as error:
            # If others were answered meanwhile, it is the program that has too much to do at once.
            if breaker.answered < begun:
                reason = str(error) if isinstance(error, StoreBusy) else f"no answer within {budget:g} s"
                self._open(io, breaker, reason)
            return nothing
        except Exception as error:  # noqa: BLE001 - a cache must not be what a call fails of
            # The words of others may hold an address with a password in it.
            self._open(io, breaker, str(error) if isinstance(error, StoreError) else type(error).__name__)
            return nothing
        now = io.monotonic()
        # In async it would have been cut: then it was the event loop that came by late.
        if now - begun > budget and isinstance(io, SyncIO):
            self._open(io, breaker, f"an answer after more than {budget:g} s")
        else:
            breaker.answered = now
        return found

    def _open(self, io: IO, breaker: _Breaker, reason: str) -> None:
        if breaker.open(io.monotonic()):
            what = "is not used" if breaker is self._reading else "is not written to"
            logger.warning("%s %s until it answers again: %s", self.name, what, reason)

    def _try_again(self, io: IO, breaker: _Breaker, work: Callable[[IO], Awaitable[object]]) -> None:
        """Have one trial made, if it is time for one."""
        if not breaker.claim(io.monotonic()):
            return
        runner = io.runner

        def trial() -> None:
            probe = SyncIO(runner)
            begun = probe.monotonic()

            async def body() -> None:
                await probe.until(begun + self.budget, lambda: work(probe))

            try:
                drive(body())
            except Exception as error:
                breaker.failed(io.monotonic())
                logger.debug("%s is still not to be had", self.name, exc_info=error)
                return
            if probe.monotonic() - begun > self.budget:
                breaker.failed(io.monotonic())
            elif breaker.close():
                logger.warning("%s %s again", self.name, "is used" if breaker is self._reading else "is written to")

        if not io.later(trial):
            breaker.failed(io.monotonic())


class _Breaker:
    """Open while something is not to be had. Times are those of ``io.monotonic``."""

    def __init__(self) -> None:
        self.pause = 0.0
        """Seconds between trials; 0 while it is closed."""
        self.answered = float("-inf")
        """When something was answered in time, the last time."""
        self._next = 0.0
        self._claimed = False
        self._lock = threading.Lock()
        in_children(self._after_fork)

    def _after_fork(self) -> None:
        # A trial that was under way is the parent's, and so is who holds the lock.
        self._lock, self._claimed = threading.Lock(), False

    def open(self, now: float) -> bool:
        """Whether it was closed until now."""
        with self._lock:
            if self.pause:
                return False
            self.pause, self._claimed = _FIRST_PAUSE, False
            self._next = now + self.pause
            return True

    def claim(self, now: float) -> bool:
        """Whether the caller is the one to make a trial, now."""
        if now < self._next or self._claimed:
            return False
        with self._lock:
            if self._claimed or not self.pause:
                return False
            self._claimed = True
            return True

    def failed(self, now: float) -> None:
        """A trial came to nothing."""
        with self._lock:
            self.pause = min(self.pause * 2, _LONGEST_PAUSE)
            self._next = now + self.pause
            self._claimed = False

    def close(self) -> bool:
        """Whether it was open until now."""
        with self._lock:
            was, self.pause, self._claimed = bool(self.pause), 0.0, False
            return was
