"""Stores, as commands use them: which ones are meant, what they hold, and forgetting."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from rich.text import Text

from interlay.chain.chain import Chain
from interlay.chain.io import IO, SyncIO, drive
from interlay.chain.layer import Role
from interlay.cli import words
from interlay.cli.check import configured
from interlay.cli.options import Failed
from interlay.cli.table import Column, Table
from interlay.cli.terminal import Looks
from interlay.entry import process
from interlay.model.errors import ConfigError
from interlay.stores import open_store
from interlay.stores.memory import MemoryStore
from interlay.stores.store import Store, StoreError

T = TypeVar("T")

_PASSWORD: Final = re.compile(r"(?<=//)[^/@]*@")
_PATIENCE: Final = 30.0
"""Seconds that a store may take for one operation."""
_COLUMNS: Final = (
    Column("store", elastic=True, least=12),
    Column("answers", right=True),
    Column("holds", right=True),
    Column("bound", right=True),
)


class Opened(NamedTuple):
    """A store, and what people call it."""

    name: str
    store: Store


class Held(NamedTuple):
    """What a store holds."""

    name: str
    entries: int
    bytes: int
    bound: int | None
    """Bytes that it may take; None where it says nothing of that."""

    def told(self) -> dict[str, Any]:
        """For programs."""
        return {"store": self.name, "entries": self.entries, "bytes": self.bytes, "max_bytes": self.bound}


def stores(spec: str | None, config: str | None) -> list[Opened]:
    """The store that is named, or those of a configuration's caches. Raises ``Failed``."""
    if (spec is None) == (config is None):
        raise Failed("which store is meant?", help="either --store SPEC or --config FILE", exit_code=2)
    if spec is not None:
        return [_only(_shown(spec), _open(spec))]
    assert config is not None
    return stores_in(configured(config)[1].chain(), words.clean(config))


def stores_in(chain: Chain, name: str) -> list[Opened]:
    """The stores of a chain's caches. Raises ``Failed`` where there is none that others can look into."""
    caches: list[Any] = [layer for layer in chain.layers if layer.role is Role.CACHE]
    found = [_only(name, cache.store) for cache in caches if hasattr(cache, "store")]
    if not found:
        raise Failed(
            f"{name} has no cache", help="in a configuration: chain: [cache: {store: 'disk:answers'}]", exit_code=2
        )
    return found


def _open(spec: str) -> Store:
    try:
        return open_store(spec)
    except ConfigError as error:
        raise Failed(str(error), help="--store disk:PATH, or redis://HOST/0", exit_code=2) from error


def _only(name: str, store: Store) -> Opened:
    """A store that can be looked into from here."""
    if isinstance(inmost(store), MemoryStore):
        raise Failed(
            f"{name} is in memory, and what is in a process's memory is its own",
            help="disk:PATH, or redis://HOST, can be looked into",
            exit_code=2,
        )
    return Opened(name, store)


def _shown(spec: str) -> str:
    return words.clean(_PASSWORD.sub("", spec))


def be_patient(store: Any) -> None:
    """Let a store take as long as it needs: a command has the time that a call has not, and pays for what is lost."""
    for limit in ("budget", "timeout"):
        if hasattr(store, limit):
            setattr(store, limit, _PATIENCE)
    for inner in getattr(store, "stores", (store.store,) if hasattr(store, "store") else ()):
        be_patient(inner)


def reach(opened: Opened) -> None:
    """See to it that a store is there. Raises ``Failed``."""
    _ask(opened.name, opened.store.stats)


def holds(opened: Opened, key: str) -> bool:
    """Whether there is something for a key, in the last of several tiers. Raises ``Failed``."""
    return _ask(opened.name, _Asking(_last(opened.store), key).work) is not None


class _Asking(NamedTuple):
    store: Store
    key: str

    async def work(self, io: IO) -> bytes | None:
        return await self.store.get(io, self.key)


def _last(store: Any) -> Any:
    return getattr(store, "stores", (store,))[-1]


def inmost(store: Any) -> Any:
    """The store that keeps things, behind whatever guards it; the last of several tiers."""
    store = _last(store)
    while hasattr(store, "store"):
        store = store.store
    return store


def holdings(spec: str | None, config: str | None) -> list[Held]:
    """What stores hold. Raises ``Failed``."""
    found = []
    for name, store in stores(spec, config):
        held = _ask(name, store.stats)
        found.append(Held(name, held.entries, held.bytes, getattr(inmost(store), "max_bytes", None)))
        store.close()
    return found


def forget(opened: Sequence[Opened], key: str | None, conditions: dict[str, Any]) -> int:
    """Forget one key, or what meets the conditions, in every one of the stores. How many were forgotten."""
    count = 0
    for name, store in opened:
        count += _ask(name, _Forgetting(store, key, conditions).work)
        store.close()
    return count


class _Forgetting(NamedTuple):
    store: Store
    key: str | None
    conditions: dict[str, Any]

    async def work(self, io: IO) -> int:
        if self.key is not None:
            return int(await self.store.delete(io, self.key))
        return await self.store.forget(io, **self.conditions)


def _ask(name: str, work: Callable[[IO], Awaitable[T]]) -> T:
    async def body() -> T:
        return await work(SyncIO(process.recorder.runner))

    try:
        return drive(body())
    except StoreError as error:
        raise Failed(
            f"{name}: {error}", help="calls go on without it, as with a cache that has nothing", exit_code=3
        ) from error


def held_lines(held: Sequence[Held], looks: Looks, *, after: bool) -> list[Text]:
    """What stores hold, for people."""
    rows = [
        [
            Text(each.name),
            Text(f"{each.entries:,}"),
            Text(words.size(each.bytes)),
            Text(words.size(each.bound) if each.bound is not None else ""),
        ]
        for each in held
    ]
    lines = Table(_COLUMNS, rows, looks).lines()
    return [Text(), *lines] if after else lines
