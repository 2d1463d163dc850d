"""``observe``: a record for each run of a function, and the calls inside are its children."""

from __future__ import annotations

import collections.abc
import contextvars
import functools
import inspect
import time
from collections.abc import Awaitable, Callable
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar, get_args, overload

from interlay.chain.current import Around, Parent, current, place
from interlay.chain.recorder import Guarded
from interlay.chain.run import new_id
from interlay.entry import process, scope
from interlay.entry.plain import Plain, as_text
from interlay.model.errors import ConfigError
from interlay.model.record import Contents, End, Failure, Record, Trace
from interlay.model.secrets import redact, redact_json

F = TypeVar("F", bound=Callable[..., Any])

Kind = Literal["tool", "agent", "workflow"]
"""What a function is to the calls it makes. Stands in its record as the ``operation``."""

_KINDS: Final = get_args(Kind)
_MAX_MESSAGE: Final = 2000


@overload
def observe(function: F, /) -> F: ...
@overload
def observe(*, kind: Kind = "tool", name: str | None = None, tracer_provider: object = None) -> Callable[[F], F]: ...
def observe(
    function: Any = None, /, *, kind: Kind = "tool", name: str | None = None, tracer_provider: object = None
) -> Any:
    """Record each run of a function: ``@interlay.observe(kind="agent")``.

    The record has the function's name as its ``target``, no usage and no cost of its own, how long it took and how it
    ended: ``complete``, ``error`` with the exception's class, ``cancelled``, and for generators ``closed`` and
    ``lost`` as for streams. Calls and other observed functions inside have its id as their ``parent_id``, across tasks
    and ``asyncio.to_thread``; other threads by ``carry()``. Arguments, results and messages of exceptions are recorded
    only if ``setup(contents=True)`` says so, and then redacted.

    Functions, coroutine functions, generator functions and asynchronous ones are called as before, and their
    exceptions pass through as they are. A generator's record begins with its first step; nothing of it is current
    while it is suspended, so calls made between its steps are its reader's own.

    Args:
        function: what to observe, where neither of the others is given.
        kind: what it is to the calls inside.
        name: what to call it; by default its qualified name.
        tracer_provider: an OpenTelemetry provider in which its runs are to be spans, instead of the one that
            ``setup()`` knows of.

    Raises:
        ConfigError: for a kind, name or provider that is none.
        TypeError: for something that is no function.
    """
    if kind not in _KINDS:
        raise ConfigError(f"observe(kind={kind!r}): expected one of {', '.join(map(repr, _KINDS))}")
    if name is not None and not (isinstance(name, str) and name):
        raise ConfigError(f"observe(name={name!r}): expected some text")

    spans = None if tracer_provider is None else Guarded(process.spans_in(tracer_provider, "observe"))

    def decorate(target: Any) -> Any:
        return _observed(target, _Subject(target, kind, name, spans))

    return decorate if function is None else decorate(function)


class _Subject:
    """A function that is observed."""

    def __init__(self, function: Any, kind: Kind, name: str | None, spans: Guarded | None) -> None:
        if isinstance(function, type) or not callable(function):
            what = function.__name__ if isinstance(function, type) else type(function).__name__
            hint = "; put it below" if isinstance(function, classmethod | staticmethod) else ""
            raise TypeError(f"observe({what}): expected a function{hint}")
        self.function = function
        self.kind = kind
        self.spans = spans
        """What makes spans of its runs, where that is not left to the process."""
        qualified = getattr(function, "__qualname__", None) or type(function).__name__
        self.name = name or qualified.rpartition("<locals>.")[2]

    def given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Its arguments by their names, but for what it is a method of."""
        try:
            bound = inspect.signature(self.function).bind(*args, **kwargs).arguments
        except (TypeError, ValueError):  # it has no signature, or will complain itself
            return {"args": args, **kwargs}
        first = next(iter(bound), None)
        return {name: value for name, value in bound.items() if name != first or name not in ("self", "cls")}


class Activity:
    """One run of an observed function. What is begun inside of ``with activity:`` is its child."""

    __slots__ = (
        "_asked", "_began", "_entered", "_identity", "_plain", "_said", "_sealed", "_subject", "_token", "around",
        "id", "kind", "name", "parent", "started_at", "trace",
    )  # fmt: skip

    chain = None

    def __init__(self, subject: _Subject, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        process.recorder.runner.ensure()
        self.id = new_id()
        self.parent: Parent | None = current.get()
        self.trace: Trace | None = place(self.parent, begins=True)
        self.around: Around | None = None
        self.kind: str = subject.kind
        self.name = subject.name
        self._subject = subject
        self._identity = scope.current().identity
        self._token: contextvars.Token[Parent | None]
        self._sealed = False
        self._plain: Plain | None = None
        """Where contents are kept."""
        self._asked: Any = None
        self._said: list[Any] = []
        if process.recorder.contents:
            self._plain = Plain()
            self._asked = Plain()(subject.given(args, kwargs))
        self.started_at = time.time()
        self._began = perf_counter()
        if subject.spans is not None and subject.spans.on_begin is not None:
            subject.spans.tell(subject.spans.on_begin, self)
        if process.recorder.listens:
            process.recorder.begun(self)

    @property
    def deadline(self) -> float | None:
        """What it is made in has one, perhaps."""
        return self.parent.deadline if self.parent is not None else None

    def __enter__(self) -> None:
        self._token = current.set(self)
        if self.around is not None:
            self._entered = self.around.enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            current.reset(self._token)
        except ValueError:
            return  # dropped while it was suspended, and ended in a context where it never was current
        if self.around is not None:
            self.around.leave(self._entered)

    def gave(self, value: object) -> None:
        """Note a result, or one of a generator's, where contents are kept."""
        if self._plain is not None and not self._plain.is_full:
            self._said.append(self._plain(value))

    def ended(self, end: End, failure: Failure | None = None) -> None:
        """Make the record. Only the first end counts."""
        if not self._sealed:
            self._sealed = True
            self._seal(end, failure, perf_counter() - self._began)

    def broke(self, error: BaseException) -> None:
        """It ended in an exception."""
        if isinstance(error, GeneratorExit):
            self.lost()
        elif not isinstance(error, Exception):
            self.ended("cancelled", Failure(type="cancelled"))
        else:
            message = None
            if self._plain is not None:
                message = redact(_message(error))[:_MAX_MESSAGE] or None
            self.ended("error", Failure(type=type(error).__name__, message=message))

    def lost(self) -> None:
        """Nobody will go on with it. May be called by a finaliser, so the runner does what takes locks."""
        if not self._sealed:
            self._sealed = True
            seconds = perf_counter() - self._began
            process.recorder.runner.put(lambda: self._seal("lost", None, seconds))

    def _seal(self, end: End, failure: Failure | None, seconds: float) -> None:
        parent, spans = self.parent, self._subject.spans
        record = Record(
            id=self.id,
            call_id=self.id,
            parent_id=parent.id if parent is not None else None,
            operation=self.kind,
            target=self.name,
            method="",
            identity=self._identity,
            started_at=self.started_at,
            ended_at=self.started_at + seconds,
            duration=seconds,
            end=end,
            error=failure,
            trace=self.trace,
            contents=self._contents(),
        )
        process.recorder.keep(record)
        if spans is not None and spans.on_end is not None:
            spans.tell(spans.on_end, record)

    def _contents(self) -> Contents | None:
        if self._plain is None:
            return None
        name, role, said = self.name, self.kind, self._said
        if all(isinstance(value, str) for value in said):
            said = ["".join(said)] if said else []  # so that no secret hides between two pieces of a text
        asked = {"type": "tool_call", "name": name, "arguments": redact_json(self._asked)}
        texts = [{"type": "text", "text": as_text(redact_json(value))} for value in said]
        return Contents(
            input=[{"role": role, "content": [asked]}],
            output=[{"role": role, "content": texts}] if texts else [],
            truncated=self._plain.is_full,
        )


def _message(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - somebody else's __str__, and their exception is what counts
        return ""


def _observed(function: Any, subject: _Subject) -> Any:
    """What is called in a function's place."""
    plain = (
        function if inspect.isroutine(function) or isinstance(function, functools.partial) else type(function).__call__
    )
    if inspect.isasyncgenfunction(plain):

        def opened(*args: Any, **kwargs: Any) -> Any:
            return _AsyncGenerator(function(*args, **kwargs), lambda: Activity(subject, args, kwargs))

        return functools.wraps(function)(opened)
    if inspect.isgeneratorfunction(plain):

        def begun(*args: Any, **kwargs: Any) -> Any:
            return _Generator(function(*args, **kwargs), lambda: Activity(subject, args, kwargs))

        return functools.wraps(function)(begun)
    if inspect.iscoroutinefunction(plain):

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            activity = Activity(subject, args, kwargs)
            try:
                with activity:
                    result = await function(*args, **kwargs)
            except BaseException as error:
                activity.broke(error)
                raise
            activity.gave(result)
            activity.ended("complete")
            return result

        return functools.wraps(function)(awaited)

    def called(*args: Any, **kwargs: Any) -> Any:
        activity = Activity(subject, args, kwargs)
        try:
            with activity:
                result = function(*args, **kwargs)
        except BaseException as error:
            activity.broke(error)
            raise
        activity.gave(result)
        activity.ended("complete")
        return result

    return functools.wraps(function)(called)


class _Generator(collections.abc.Generator[Any, Any, Any]):
    """A generator whose steps are observed. An object of ours: only that can tell being closed from being dropped."""

    def __init__(self, inner: Any, begin: Callable[[], Activity]) -> None:
        self._inner = inner
        self._begin = begin
        self._activity: Activity | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return self._step(self._inner.__next__)

    def send(self, value: Any, /) -> Any:
        return self._step(self._inner.send, value)

    def throw(self, *error: Any) -> Any:
        return self._step(self._inner.throw, *error)

    def close(self) -> Any:
        activity = self._activity
        if activity is None or self._inner.gi_running:
            return self._inner.close()
        try:
            with activity:
                value = self._inner.close()
        except BaseException as error:
            activity.broke(error)
            raise
        activity.ended("closed")
        return value

    def __del__(self) -> None:
        if self._activity is not None:
            self._activity.lost()

    def __getattr__(self, name: str) -> Any:
        return _passed_on(self, name)

    def _step(self, advance: Callable[..., Any], *given: Any) -> Any:
        if self._inner.gi_running:
            return advance(*given)  # which complains
        activity = self._activity
        if activity is None:
            activity = self._activity = self._begin()
        try:
            with activity:
                value = advance(*given)
        except StopIteration as stop:
            if stop.value is not None:
                activity.gave(stop.value)
            activity.ended("complete")
            raise
        except GeneratorExit:
            activity.ended("closed")
            raise
        except BaseException as error:
            activity.broke(error)
            raise
        activity.gave(value)
        return value


class _AsyncGenerator(collections.abc.AsyncGenerator[Any, Any]):
    """Its counterpart in the other colour."""

    def __init__(self, inner: Any, begin: Callable[[], Activity]) -> None:
        self._inner = inner
        self._begin = begin
        self._activity: Activity | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await self._step(self._inner.__anext__)

    async def asend(self, value: Any, /) -> Any:
        return await self._step(self._inner.asend, value)

    async def athrow(self, *error: Any) -> Any:
        return await self._step(self._inner.athrow, *error)

    async def aclose(self) -> None:
        activity = self._activity
        if activity is None or self._inner.ag_running:
            await self._inner.aclose()
            return
        try:
            with activity:
                await self._inner.aclose()
        except BaseException as error:
            activity.broke(error)
            raise
        activity.ended("closed")

    def __del__(self) -> None:
        if self._activity is not None:
            self._activity.lost()

    def __getattr__(self, name: str) -> Any:
        return _passed_on(self, name)

    async def _step(self, advance: Callable[..., Awaitable[Any]], *given: Any) -> Any:
        if self._inner.ag_running:
            return await advance(*given)  # which complains
        activity = self._activity
        if activity is None:
            activity = self._activity = self._begin()
        try:
            with activity:
                value = await advance(*given)
        except StopAsyncIteration:
            activity.ended("complete")
            raise
        except BaseException as error:
            activity.broke(error)
            raise
        activity.gave(value)
        return value


def _passed_on(generator: Any, name: str) -> Any:
    """What a generator has beyond the protocol (``gi_frame``, ``__name__``, …)."""
    if name in ("_inner", "_activity"):
        raise AttributeError(name)
    return getattr(generator._inner, name)  # noqa: SLF001 - ours
