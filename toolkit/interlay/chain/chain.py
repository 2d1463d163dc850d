"""Parts in order, round the one function that really sends a call."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Awaitable, Callable, Sequence
from os import PathLike
from time import perf_counter
from typing import Any, ClassVar, Final

from interlay.chain.call import Call, Response
from interlay.chain.current import current
from interlay.chain.layer import Layer, Next, Role
from interlay.chain.recorder import Guarded, Observe, Recorder, is_observer
from interlay.chain.run import Run, failure_of
from interlay.chain.stream import Stream
from interlay.model.cost import PriceFn
from interlay.model.errors import ConfigError, PartError

Terminal = Callable[[Call], Awaitable[Response]]

_NOT_FOR_CHILDREN: Final = (Role.GUARD, Role.CACHE)


_chains: Final[weakref.WeakSet[Chain]] = weakref.WeakSet()


class Chain:
    """Layers and observers, and what a run of them needs: ``Chain(Retry(attempts=3), Timeout(attempt=30))``.

    Layers are sorted by role, equal roles keep the given order; ``as_given=True`` keeps the order of all, for those
    who know better. Raises ``PartError`` for something that is neither a layer nor an observer.
    """

    def __init__(self, *parts: object, as_given: bool = False) -> None:
        layers, observers = _sorted_out(parts)
        if not as_given:
            layers.sort(key=lambda layer: layer.role)
        self.layers: tuple[Layer, ...] = tuple(layers)
        self.observers: tuple[Guarded, ...] = tuple(map(Guarded, observers))
        _chains.add(self)
        self._beginnings: tuple[Callable[[Call], None], ...] = tuple(
            layer.begin for layer in layers if hasattr(layer, "begin")
        )

    loader: ClassVar[Callable[[str | PathLike[str]], Chain] | None] = None
    """What reads a configuration: given by ``interlay.config``, which this room does not know."""

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Chain:
        """The chain that a configuration file describes: ``interlay.wrap(client, Chain.load("interlay.yaml"))``.

        What the file says of the process besides (journal, contents, prices, export, prometheus) is in force from
        then on, as by ``setup()``; a file that says nothing of these leaves them as they are. Functions that it
        names are imported.

        Raises:
            ConfigurationError: a ``ConfigError`` with everything that is wrong in the file, by line and column.
            ConfigError: where PyYAML is not installed: ``pip install 'interlay[yaml]'``.
        """
        if cls.loader is None:
            raise ConfigError("Chain.load() is there once interlay.Chain or interlay.config has been imported")
        return cls.loader(path)

    def __repr__(self) -> str:
        return f"Chain({', '.join(type(layer).__name__ for layer in self.layers)})"

    def owns(self, role: Role) -> bool:
        """Whether some layer has this role."""
        return any(layer.role is role for layer in self.layers)

    @staticmethod
    def some_owns(role: Role) -> bool:
        """Whether some chain of this process has a layer with this role."""
        return any(chain.owns(role) for chain in list(_chains))

    def bind(self, terminal: Terminal, call: Call) -> Next:
        """The layers round ``terminal``, as one function. A call that one of these layers makes meets none of the
        guards and caches, or a judge would be judged for ever."""
        entry: Next = terminal
        if self.layers:
            is_child = call.is_within(self)
            for layer in reversed(self.layers):
                if not (is_child and layer.role in _NOT_FOR_CHILDREN):
                    entry = _round(layer, entry)
        return entry

    def open(self, recorder: Recorder, price: PriceFn | None) -> Run:
        """The state of a run that begins now."""
        return Run(recorder, price, self.observers)

    async def run(self, call: Call, entry: Next) -> Response:
        """Send ``call`` through the layers (as ``bind`` made them) and see to it that the run ends in one sealed
        record, whatever happens. Raises what the layers and the terminal raise."""
        token = current.set(call) if self.layers else None
        try:
            self.begin(call)
            for begin in self._beginnings:
                begin(call)
            if call.deadline is None:
                response = await entry(call)
            else:
                response = await call.io.until(call.deadline, lambda: entry(call))
                response.stream.expire(call.deadline)
            if response.stream.staged:
                await response.stream.settle()
        except BaseException as error:
            self.failed(call, error)
            raise
        finally:
            if token is not None:
                current.reset(token)
        self.answered(call, response.stream)
        return response

    def begin(self, call: Call) -> None:
        """A run begins. With ``failed`` and ``answered`` this is all that ``run`` does where there is no layer."""
        run, call.chain = call.run, self
        if run.is_watched:
            run.recorder.started(call)

    def failed(self, call: Call, error: BaseException) -> None:
        """A run ends without a response."""
        call.run.seal(call, "error" if isinstance(error, Exception) else "cancelled", failure_of(error), None)

    def answered(self, call: Call, stream: Stream) -> None:
        """A run has its response, and ends with it."""
        # What a layer read ahead is in the stream's own seconds.
        call.run.entered_seconds = perf_counter() - call.run.started - stream.ahead
        stream.seals(call)


def _is_async(kind: type) -> bool:
    return any(inspect.iscoroutinefunction(vars(base).get("__call__")) for base in kind.__mro__)


def _round(layer: Layer, inner: Next) -> Next:
    def through(call: Call) -> Awaitable[Response]:
        return layer(call, inner)

    return through


def _sorted_out(parts: Sequence[object]) -> tuple[list[Layer], list[object]]:
    layers: list[Any] = []
    observers: list[object] = []
    for position, part in enumerate(parts, 1):
        if isinstance(part, type):
            raise PartError(
                f"part {position} is the class {part.__name__}; expected one made of it: {part.__name__}(…)"
            )
        if isinstance(part, Observe):
            observers.append(part)
        elif isinstance(getattr(part, "role", None), Role) and _is_async(type(part)):
            layers.append(part)
        elif is_observer(part):
            observers.append(part)
        else:
            hint = "; wrap a function that looks at records in Observe(…)" if callable(part) else ""
            raise PartError(
                f"part {position} is {type(part).__name__}, which is neither a layer (a role and "
                f"`async def __call__(self, call, next)`) nor an observer (on_start, on_attempt, on_end){hint}"
            )
    return layers, observers
