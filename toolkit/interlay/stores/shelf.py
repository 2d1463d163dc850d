"""A store with what is on its way into it: what was handed over is found at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, Protocol

from interlay.chain.forks import in_children
from interlay.chain.io import IO, SyncIO, drive
from interlay.chain.runner import Runner
from interlay.stores.entry import Entry, decode, encode
from interlay.stores.sealing import Seal
from interlay.stores.store import Stats, Store, StoreError

logger = logging.getLogger("interlay.stores")

WAITING: Final = 64 * 1024 * 1024
"""Bytes of answers that may wait to be written. More are not kept: a store that is slow must not fill the memory."""
_LARGE: Final = 128 * 1024
"""Bytes of a stored answer from which it is read beside the event loop."""


class Pending(Protocol):
    """An answer of which nobody has looked yet whether it is to be kept."""

    size: int
    """About how many bytes it holds."""

    def entry(self) -> Entry | None:
        """What is kept of it; None for what is not. May be called more than once, by any thread."""
        ...


class Shelf:
    """Entries in ``store``, sealed where there is a ``seal``. They are written on the runner's thread, and are found
    from the moment they are put here."""

    def __init__(self, store: Store, seal: Seal | None = None) -> None:
        self.store = store
        self._seal = seal
        self.written = 0
        """How often something was put here: who has looked before may find it now."""
        self.epoch = 0
        """How often something was forgotten."""
        self._reset()
        in_children(self._reset)

    def _reset(self) -> None:
        # What waits to be written is the parent's, and so is who holds the lock.
        self._lock = threading.Lock()
        self._waiting: dict[str, Pending] = {}
        self._bytes = 0

    async def find(self, io: IO, key: str, scope: str) -> Entry | None:
        """The entry for a key, whether or not it is fresh. Raises nothing if the store is guarded."""
        pending = self._waiting.get(key)
        if pending is not None and (entry := pending.entry()) is not None:
            return entry if entry.scope == scope else None
        data = await self.store.get(io, key)
        if data is None:
            return None
        if len(data) > _LARGE:
            found = await io.run(lambda: decode(data, key, self._seal))
        else:
            found = decode(data, key, self._seal)
        return found if found is not None and found.scope == scope else None

    def put(
        self, io: IO, key: str, pending: Pending, *, grace: float, epoch: int, then: Callable[[], None] | None = None
    ) -> None:
        """Have an answer written, and kept for ``grace`` seconds after it has become stale. Not if something was
        forgotten since ``epoch``, nor if too much waits already. ``then`` is called when that is decided and done."""
        runner = io.runner

        def write() -> None:
            try:
                if epoch == self.epoch and (entry := pending.entry()) is not None:
                    self._write(runner, entry, grace, epoch)
            finally:
                self._wrote(key, pending)
                if then is not None:
                    then()

        with self._lock:
            room = self._bytes + pending.size <= WAITING
            if room:
                self._bytes += pending.size
                self._waiting[key] = pending
                self.written += 1
        if not room:
            logger.debug("an answer is not kept, as too many wait to be written")
        elif io.later(write):
            return
        else:
            self._wrote(key, pending)
        if then is not None:
            then()

    async def forget(
        self, io: IO, *, key: str | None, scope: str | None, tag: str | None, older_than: float | None
    ) -> int:
        """Forget what meets every condition given, and what waits to be written. How much that was in the store."""
        with self._lock:
            self.epoch += 1
            self._waiting.clear()
        if key is not None:
            return int(await self.store.delete(io, key))
        return await self.store.forget(io, scope=scope, tag=tag, older_than=older_than)

    async def stats(self, io: IO) -> Stats:
        """How much the store holds."""
        return await self.store.stats(io)

    def release(self, runner: Runner, name: str, owner: str) -> None:
        """Give a lease back; one that cannot be given back lapses. Blocks."""

        async def body() -> None:
            await self.store.release(SyncIO(runner), name, owner)

        try:
            drive(body())
        except StoreError as error:
            logger.debug("a lease was not given back: %s", error)

    def _write(self, runner: Runner, entry: Entry, grace: float, epoch: int) -> None:
        data = encode(entry, self._seal)
        if data is None:
            return

        async def body() -> None:
            io, lifetime = SyncIO(runner), entry.fresh_until - entry.created + grace
            await self.store.set(io, entry.key, data, lifetime=lifetime, scope=entry.scope, tags=entry.tags)
            if epoch != self.epoch:
                # What was forgotten meanwhile may have been this.
                await self.store.delete(io, entry.key)

        drive(body())

    def _wrote(self, key: str, pending: Pending) -> None:
        with self._lock:
            self._bytes -= pending.size
            if self._waiting.get(key) is pending:
                del self._waiting[key]
