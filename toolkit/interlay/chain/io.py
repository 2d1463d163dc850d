"""What a layer may await besides ``next(call)``, in two colours, and the stepping that makes one source serve both.

An asynchronous caller awaits the chain. A synchronous caller steps the very same coroutines with ``drive``: every
leaf blocks instead of suspending, so the first step runs to the end, in the caller's own thread and context.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
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

    def monotonic(self) -> float:
        """The clock that deadlines are measured by."""
        ...

    async def sleep(self, seconds: float, *, deadline: float | None = None) -> None:
        """Wait. Raises ``WireTimeout`` at once when the wait would go past ``deadline``."""
        ...

    async def run(self, work: Callable[[], T]) -> T:
        """Run blocking user code: in the caller's thread in sync, in a worker thread with this context in async."""
        ...

    async def shield(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run ``work`` to its end, whatever is cancelled meanwhile. Raises ``WireTimeout`` for work that takes
        longer than a release may: five seconds, in async."""
        ...

    def later(self, work: Callable[[], None]) -> bool:
        """Hand plain work to the runner. False when its queue is full: then the work is dropped and counted."""
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

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float, *, deadline: float | None = None) -> None:
        if deadline is not None and time.monotonic() + seconds > deadline:
            raise WireTimeout("the wait would go past the deadline", phase="deadline")
        self.slept += seconds
        time.sleep(seconds)  # noqa: ASYNC251 - stepped, not awaited: blocking is what this colour does

    async def run(self, work: Callable[[], T]) -> T:
        return work()

    async def shield(self, work: Callable[[], Awaitable[T]]) -> T:
        return await work()

    def later(self, work: Callable[[], None]) -> bool:
        return self.runner.submit(work)

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
