"""Stores by name, as a configuration or ``Cache("disk:answers")`` has them."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from typing import Any, Final

from interlay.model.arguments import shown
from interlay.model.errors import ConfigError
from interlay.stores.guarded import GuardedStore
from interlay.stores.memory import MemoryStore
from interlay.stores.store import Store
from interlay.stores.tiers import Tiers

_SIZE: Final = re.compile(r"(\d{1,6}) ?(MB|GB|MiB|GiB)", re.IGNORECASE)
_UNITS: Final = {"mb": 10**6, "gb": 10**9, "mib": 2**20, "gib": 2**30}
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z+_-]{0,20}")
_REDIS: Final = frozenset(
    ("redis", "rediss", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel"),
)
_METHODS: Final = ("get", "find", "set", "delete", "forget", "stats", "lease", "release", "close")
_EXPECTED: Final = (
    "'memory', 'memory:64MB', 'disk:PATH', 'redis://…', 'redis+cluster://…', 'redis+sentinel://…', a Store, or a list "
    "of these, nearest first"
)


def open_store(spec: str | Store | Sequence[str | Store]) -> Store:
    """The store that ``spec`` names.

    ``memory``, ``memory:64MB``; ``disk:PATH``; ``redis://host:port/db``, ``rediss://…`` with TLS,
    ``redis+cluster://host:port,host:port``, ``redis+sentinel://host:port,host:port/service/db``. What may be slow or
    away is guarded: see ``GuardedStore``. A ``Store`` is used as it is. A list are tiers, nearest first: see ``Tiers``.

    Nothing is opened before first use. Raises ``ConfigError`` for what names none, or needs a package that is not
    there; it never shows what may hold a password.
    """
    if isinstance(spec, str):
        return _named(spec)
    if isinstance(spec, Sequence) and not isinstance(spec, bytes | bytearray | memoryview):
        return _tiers(spec)
    return _store(spec)


def _named(spec: str) -> Store:
    kind, _, rest = spec.partition(":")
    if kind == "memory":
        return MemoryStore(_bytes(rest)) if rest else MemoryStore()
    if kind == "disk" and rest:
        return _guarded(_load("disk").DiskStore(rest), spec)
    if kind in _REDIS:
        store = _load("redis").RedisStore(spec)
        return _guarded(store, str(store.address))
    word = f"{kind}…" if _WORD.fullmatch(kind) else "…"
    raise ConfigError(f"store={word}: expected {_EXPECTED}")


def _load(name: str) -> Any:  # noqa: ANN401 - a module
    # Its package is optional.
    return importlib.import_module(f"interlay.stores.{name}")


def _guarded(store: Store, name: str) -> Store:
    return GuardedStore(store, name=f"the store {name}")


def _tiers(specs: Sequence[str | Store]) -> Store:
    if not specs:
        raise ConfigError(f"store=[]: expected {_EXPECTED}")
    if any(isinstance(spec, Sequence) and not isinstance(spec, str) for spec in specs):
        raise ConfigError("store=[…]: expected no list within the list")
    stores = [open_store(spec) for spec in specs]
    return Tiers(*stores) if len(stores) > 1 else stores[0]


def _store(spec: object) -> Store:
    if isinstance(spec, type) or not all(callable(getattr(spec, method, None)) for method in _METHODS):
        raise ConfigError(f"store={shown(spec)}: expected {_EXPECTED}")
    return spec  # type: ignore[return-value] # looked at


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ConfigError(f"store=memory:{shown(text)}: expected a size, such as 64MB or 1GB")
    return int(match[1]) * _UNITS[match[2].lower()]
