"""What a layer may await besides ``next(call)``, in two colours, and the stepping that makes one source serve both.

An asynchronous caller awaits the chain. A synchronous caller steps the very same coroutines with ``drive``: every
leaf blocks instead of suspending, so the first step runs to the end, in the caller's own thread and context.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any, Protocol, TypeVar

from interlay.chain.runner import Runner
from interlay.model.errors import ForeignAwaitError, WireTimeout

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class IO(Protocol):
    """The only doors out of a layer. Times are seconds; deadlines are points on ``monotonic()``'s clock."""

    runner: Runner
    slept: float
    """Seconds spent in ``sleep`` so far."""

    @property
    def domain(self) -> Hashable:
        """Equal for those who can wait for each other: all threads, or the tasks of one event loop."""
        ...

    def monotonic(self) -> float:
        """The clock that deadlines are measured by."""
        ...

    def time(self) -> float:
        """Seconds since the epoch."""
        ...

    def left(self) -> float | None:
        """Seconds until the deadline that whatever waits has to mind by itself; None where nothing has."""
        ...

    async def sleep(self, seconds: float, *, deadline: float | None = None) -> None:
        """Wait. Raises ``WireTimeout`` at once when the wait would go past ``deadline``."""
        ...

    async def run(self, work: Callable[[], T], *, group: str = "") -> T:
        """Run blocking code: in the caller's thread in sync, in a worker thread with this context in async. A group
        has a few threads of its own, so that none of it waits until the program's other threads are done."""
        ...

    async def shield(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run ``work`` to its end, whatever is cancelled meanwhile. Raises ``WireTimeout`` for work that takes
        longer than a release may: five seconds, in async."""
        ...

    def later(self, work: Callable[[], None]) -> bool:
        """Hand plain work to the runner. False when its queue is full: then the work is dropped and counted."""
        ...

    def background(self, work: Callable[[IO], Awaitable[None]]) -> bool:
        """Have ``work`` done beside everything else, with a copy of this context and an ``io`` of its own: on a thread
        in sync, in a task of the loop in async. What it raises is logged. False when too much is under way already."""
        ...

    def signal(self) -> Signal:
        """Something to wait for, within one domain."""
        ...

    async def until(self, deadline: float, work: Callable[[], Awaitable[T]]) -> T:
        """Run ``work`` under a deadline; raises ``WireTimeout`` when it is past. Async cancels the work; sync
        cannot interrupt a blocking read: it narrows the wire's own time-outs and checks between reads, so it can
        overrun by one read."""
        ...

    def both(self, beside: Callable[[], Awaitable[T]]) -> AbstractAsyncContextManager[Beside[T]]:
        """Run ``beside`` next to the block. Leaving the block cancels what is still under way; ``await
        handle.result()`` waits for it. In sync it runs on a worker thread, with a copy of the context, and is
        waited for instead of cancelled."""
        ...


class Signal(Protocol):
    """Happens once. Any number may wait for it."""

    def set(self) -> None:
        """It has happened. May be called from any thread, and more than once."""
        ...

    async def wait(self, seconds: float | None = None) -> None:
        """Returns when it has happened. Raises ``WireTimeout`` when it has not for so long."""
        ...


class Beside(Protocol[T_co]):
    """What runs next to a block."""

    async def result(self) -> T_co: ...


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine whose leaves block instead of suspending. Raises ``ForeignAwaitError`` inside the coroutine,
    at the offending await, when something does suspend."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    try:
        coroutine.throw(
            ForeignAwaitError(
                "a layer awaited something other than next(call) and call.io in a synchronous call; "
                "wrap blocking work in call.io.run, waiting in call.io.sleep"
            )
        )
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    finally:
        coroutine.close()
    raise ForeignAwaitError("a layer went on awaiting after it was told that it cannot in a synchronous call")


class SyncIO:
    """The blocking colour. One per call: it carries the deadline that the wire narrows its time-outs to."""

    __slots__ = ("deadline", "runner", "slept")

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.slept = 0.0
        self.deadline: float | None = None

    @property
    def domain(self) -> Hashable:
        return SyncIO

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()

    def left(self) -> float | None:
        return None if self.deadline is None else max(self.deadline - self.monotonic(), 0.0)

    async def sleep(self, seconds: float, *, deadline: float | None = None) -> None:
        if deadline is not None and time.monotonic() + seconds > deadline:
            raise WireTimeout("the wait would go past the deadline", phase="deadline")
        self.slept += seconds
        time.sleep(seconds)  # noqa: ASYNC251 - stepped, not awaited: blocking is what this colour does

    async def run(self, work: Callable[[], T], *, group: str = "") -> T:
        return work()

    async def shield(self, work: Callable[[], Awaitable[T]]) -> T:
        return await work()

    def later(self, work: Callable[[], None]) -> bool:
        return self.runner.submit(work)

    def background(self, work: Callable[[IO], Awaitable[None]]) -> bool:
        async def body() -> None:
            await work(type(self)(runner))

        runner, context = self.runner, contextvars.copy_context()
        return runner.beside(lambda: context.run(drive, body()))

    def signal(self) -> Signal:
        return _Happening()

    async def until(self, deadline: float, work: Callable[[], Awaitable[T]]) -> T:
        if time.monotonic() >= deadline:
            raise WireTimeout("the deadline is past", phase="deadline")
        with self._narrowed(deadline):
            return await work()

    @contextmanager
    def _narrowed(self, deadline: float) -> Iterator[None]:
        before = self.deadline
        self.deadline = deadline if before is None else min(before, deadline)
        try:
            yield
        finally:
            self.deadline = before

    @asynccontextmanager
    async def both(self, beside: Callable[[], Awaitable[T]]) -> AsyncIterator[_Thread[T]]:
        worker = _Thread(beside)
        worker.start()
        try:
            yield worker
        finally:
            worker.join()


class _Happening(Signal):
    """Among threads."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, seconds: float | None = None) -> None:
        if not self._event.wait(seconds):
            raise WireTimeout("what was waited for has not happened in time", phase="deadline")


class _Thread(threading.Thread, Beside[T]):
    """One coroutine stepped on a thread of its own, in a copy of the maker's context."""

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        super().__init__(name="interlay-beside", daemon=True)
        self._work = work
        self._context = contextvars.copy_context()
        self._value: T
        self._error: BaseException | None = None

    def run(self) -> None:
        async def body() -> T:
            return await self._work()

        try:
            self._value = self._context.run(drive, body())
        except BaseException as error:  # noqa: BLE001 - handed to whoever asks for the result
            self._error = error

    async def result(self) -> T:
        self.join()
        if self._error is not None:
            raise self._error
        return self._value
