"""Stores by name, as a configuration or ``Cache("disk:answers")`` has them."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from typing import Final

from interlay.model.arguments import shown
from interlay.model.errors import ConfigError
from interlay.stores.guarded import GuardedStore
from interlay.stores.memory import MemoryStore
from interlay.stores.store import Store

_SIZE: Final = re.compile(r"(\d{1,6}) ?(MB|GB|MiB|GiB)", re.IGNORECASE)
_UNITS: Final = {"mb": 10**6, "gb": 10**9, "mib": 2**20, "gib": 2**30}
_EXPECTED: Final = "'memory', 'memory:64MB', 'disk:PATH', 'redis://…', a Store, or a list of these"


def open_store(spec: str | Store | Sequence[str | Store]) -> Store:
    """The store that ``spec`` names: ``memory``, ``memory:64MB``, ``disk:PATH``. A ``Store`` is used as it is. What may
    be slow or away is guarded. Raises ``ConfigError`` for what names none, without showing what may hold a password."""
    if isinstance(spec, str):
        return _named(spec)
    if not isinstance(spec, Sequence):
        return spec
    raise ConfigError(f"store={shown(spec)}: expected {_EXPECTED}")


def _named(spec: str) -> Store:
    kind, _, rest = spec.partition(":")
    if kind == "memory":
        return MemoryStore(_bytes(rest)) if rest else MemoryStore()
    if kind == "disk" and rest:
        # Its package is optional.
        made: Store = importlib.import_module("interlay.stores.disk").DiskStore(rest)
        return GuardedStore(made)
    raise ConfigError(f"store={kind}…: expected {_EXPECTED}")


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ConfigError(f"store=memory:{shown(text)}: expected a size, such as 64MB or 1GB")
    return int(match[1]) * _UNITS[match[2].lower()]
