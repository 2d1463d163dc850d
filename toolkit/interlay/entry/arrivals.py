"""Being told when a module is imported that is not there yet, and leaving nothing behind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from importlib.abc import Loader

Told = Callable[[ModuleType], None]


class Arrivals:
    """Calls ``told`` with each module of ``names`` right after it was imported, for as long as it ``watch``es.

    It finds nothing itself: it asks the finders that are there, and is in the module's way only while that is
    loaded. A module's ``__loader__`` and ``__spec__`` are what they would be without it. (No subclass of
    ``importlib.abc``'s, which takes longer to import than all of this.)
    """

    def __init__(self, names: Sequence[str], told: Told) -> None:
        self._names = frozenset(names)
        self._told = told

    def watch(self) -> None:
        """Stand first among the finders."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def leave(self) -> None:
        """Be gone."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._names:
            return None
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec: ModuleSpec | None = find(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = cast("Loader", _Loader(spec.loader, self))
                return spec
        return None

    def arrived(self, module: ModuleType) -> None:
        """A module was loaded. Who has left meanwhile is not told."""
        if self in sys.meta_path:
            self._told(module)


class _Loader:
    """Loads as the module's own loader does, in whose place it is until then."""

    def __init__(self, inner: Any, arrivals: Arrivals) -> None:
        self._inner = inner
        self._arrivals = arrivals

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._inner.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        for holder, name in ((module.__spec__, "loader"), (module, "__loader__")):
            if getattr(holder, name, None) is self:
                setattr(holder, name, self._inner)
        self._inner.exec_module(module)
        self._arrivals.arrived(module)

    def __getattr__(self, name: str) -> Any:
        # Those who only look a module up may ask its loader for more.
        if name in ("_inner", "_arrivals"):
            raise AttributeError(name)
        return getattr(self._inner, name)
