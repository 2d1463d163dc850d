"""What a store is: bytes by key, each with a lifetime, a scope and tags."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from interlay.chain.io import IO
from interlay.model.errors import InterlayError

LONGEST: Final = 10 * 365 * 86_400.0
"""Seconds. Longer lifetimes are cut to it."""
LONGEST_LEASE: Final = 3600.0
"""Seconds. Longer leases are cut to it, and a clock that was set back holds none up for longer."""


class StoreError(InterlayError):
    """A store could not do what it was asked: it is down, slow, full or damaged. ``__cause__`` says more. To whoever
    asked, it means a miss."""


class StoreBusy(StoreError):
    """A store had no room for one more just now. It may well serve others."""


class Stats(NamedTuple):
    """How much a store holds."""

    entries: int
    bytes: int
    """With all that the store needs to find them again."""


class Found(NamedTuple):
    """What a store gives, and for how long."""

    value: bytes
    rest: float
    """Seconds of its lifetime that are left."""


class Store(Protocol):
    """Keeps bytes, in both colours: what has to wait does so through ``io``.

    Every method but ``close`` may raise ``StoreError``. Threads and tasks may share a store. None is told apart from
    absence: a store may lose anything at any time.
    """

    async def get(self, io: IO, key: str) -> bytes | None:
        """What was set for ``key`` last, if it is still there and its lifetime is not over."""
        ...

    async def find(self, io: IO, key: str) -> Found | None:
        """The same, and how long it will be there."""
        ...

    async def set(
        self, io: IO, key: str, value: bytes, *, lifetime: float, scope: str = "", tags: Iterable[str] = ()
    ) -> bool:
        """Keep ``value`` for ``lifetime`` seconds in place of what the key had. False when it is not kept: it is too
        long for this store, or has no lifetime; the key then has nothing."""
        ...

    async def delete(self, io: IO, key: str) -> bool:
        """Forget one key. Whether there was something to forget."""
        ...

    async def forget(
        self, io: IO, *, scope: str | None = None, tag: str | None = None, older_than: float | None = None
    ) -> int:
        """Forget all that meets every condition given, and everything when none is: set with this scope, with this
        tag among its own, more than ``older_than`` seconds ago. How many were forgotten."""
        ...

    async def stats(self, io: IO) -> Stats:
        """How much it holds. What is past its lifetime may be counted until the store comes by."""
        ...

    async def lease(self, io: IO, name: str, owner: str, *, lifetime: float) -> bool:
        """Take a name for ``lifetime`` seconds, an hour at most: False if somebody else has it. Of all who ask at the
        same time, in all processes that share the store, one gets it; who has it already has it for longer. Names
        are apart from keys: nothing but ``release`` and time frees them."""
        ...

    async def release(self, io: IO, name: str, owner: str) -> None:
        """Give a name back. Nothing happens if it is not, or no longer, the owner's."""
        ...

    def close(self) -> None:
        """Let go of files, sockets and memory. Closing twice is fine, using it afterwards is not."""
        ...


def labels(scope: str, tags: Iterable[str]) -> tuple[str, ...]:
    """Scope and tags as words that cannot be mistaken for each other, each once."""
    return tuple(dict.fromkeys((f"s{scope}", *(f"t{tag}" for tag in tags))) if scope or tags else ())


def wanted(scope: str | None, tag: str | None) -> tuple[str, ...]:
    """The labels that something must have to be forgotten."""
    found = []
    if scope is not None:
        found.append(f"s{scope}")
    if tag is not None:
        found.append(f"t{tag}")
    return tuple(found)
