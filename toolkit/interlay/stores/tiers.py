"""Several stores that are one: the near ones quick, the far ones large and shared."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from interlay.chain.io import IO
from interlay.model.arguments import is_number, shown
from interlay.model.errors import ConfigError
from interlay.stores.store import Found, Stats, Store, StoreError

_NEAR_SECONDS: Final = 60.0


class Tiers:
    """Stores in a row, nearest first: memory before Redis, say. What one has is put into all before it.

    Nothing is kept near for longer than it is far, nor for longer than ``near_seconds``: that is how long a near store
    of another process may answer with what this one has deleted or replaced. In this process it is gone at once:
    ``delete`` and ``forget`` go to all of the stores, and ``forget`` empties the near ones, which hold copies without
    scope and tags. How many were forgotten is what the farthest store says; so are leases. A near store that fails is
    passed by.

    Args:
        stores: two or more, nearest first; all are closed with this one.
        near_seconds: the longest that something is kept in any but the last.

    Raises ``ConfigError`` for fewer stores, and a time that is none.
    """

    def __init__(self, *stores: Store, near_seconds: float = _NEAR_SECONDS) -> None:
        if len(stores) < 2:
            raise ConfigError(f"Tiers(): expected two or more stores, nearest first, and got {len(stores)}")
        if not is_number(near_seconds) or near_seconds <= 0:
            raise ConfigError(f"Tiers(near_seconds={shown(near_seconds)}): expected seconds above 0")
        self.stores = stores
        self.near_seconds = near_seconds
        self._near, self._far = stores[:-1], stores[-1]
        self._changes = 0
        """Whatever was read before the latest of them may be no more."""

    async def get(self, io: IO, key: str) -> bytes | None:
        with suppress(StoreError):
            # It is asked the most, and need not say for how long.
            value = await self._near[0].get(io, key)
            if value is not None:
                return value
        found = await self._find(io, key, 1)
        return None if found is None else found.value

    async def find(self, io: IO, key: str) -> Found | None:
        return await self._find(io, key, 0)

    async def set(
        self, io: IO, key: str, value: bytes, *, lifetime: float, scope: str = "", tags: Iterable[str] = ()
    ) -> bool:
        tags = tuple(tags)
        self._changes += 1
        near = [await self._keep(store, io, key, value, lifetime, scope, tags) for store in self._near]
        far = await self._far.set(io, key, value, lifetime=lifetime, scope=scope, tags=tags)
        return far or any(near)

    async def delete(self, io: IO, key: str) -> bool:
        try:
            return await self._far.delete(io, key)
        finally:
            self._changes += 1
            for store in self._near:
                await store.delete(io, key)

    async def forget(
        self, io: IO, *, scope: str | None = None, tag: str | None = None, older_than: float | None = None
    ) -> int:
        try:
            return await self._far.forget(io, scope=scope, tag=tag, older_than=older_than)
        finally:
            self._changes += 1
            for store in self._near:
                await store.forget(io)

    async def stats(self, io: IO) -> Stats:
        """Answers of the farthest store, and the bytes of all."""
        entries, total = await self._far.stats(io)
        for store in self._near:
            total += (await store.stats(io)).bytes
        return Stats(entries, total)

    async def lease(self, io: IO, name: str, owner: str, *, lifetime: float) -> bool:
        return await self._far.lease(io, name, owner, lifetime=lifetime)

    async def release(self, io: IO, name: str, owner: str) -> None:
        await self._far.release(io, name, owner)

    def close(self) -> None:
        for store in self.stores:
            store.close()

    async def _find(self, io: IO, key: str, first: int) -> Found | None:
        """What a store from the ``first`` on has. It is put into those before that one."""
        changes = self._changes
        for at in range(first, len(self._near)):
            with suppress(StoreError):
                found = await self._near[at].find(io, key)
                if found is not None:
                    await self._copy(io, key, found, at, changes)
                    return found
        found = await self._far.find(io, key)
        if found is not None:
            await self._copy(io, key, found, len(self._near), changes)
        return found

    async def _copy(self, io: IO, key: str, found: Found, count: int, changes: int) -> None:
        for store in self._near[:count]:
            if changes == self._changes:
                await self._keep(store, io, key, found.value, found.rest, "", ())

    async def _keep(
        self, store: Store, io: IO, key: str, value: bytes, lifetime: float, scope: str, tags: tuple[str, ...]
    ) -> bool:
        with suppress(StoreError):
            return await store.set(io, key, value, lifetime=min(lifetime, self.near_seconds), scope=scope, tags=tags)
        return False
