"""The asynchronous colour, on asyncio and trio alike."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
from anyio.lowlevel import RunVar

from interlay.chain.io import IO, Beside, Signal
from interlay.chain.runner import Runner
from interlay.model.errors import WireTimeout

if TYPE_CHECKING:
    import asyncio

logger = logging.getLogger("interlay.stream")

T = TypeVar("T")

_GROUP_THREADS = 16
"""Threads that a group of blocking work may have at once, in each event loop."""
_limiters: RunVar[dict[str, anyio.CapacityLimiter]] = RunVar("interlay")

_SHIELD_SECONDS = 5.0
"""The longest a shielded release may take: beyond it a cancelled task gets its cancellation."""


class AsyncIO:
    """The colour that suspends. Cancellation reaches what it runs."""

    __slots__ = ("runner", "slept")

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.slept = 0.0

    @property
    def domain(self) -> Hashable:
        return Loop().identity

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()

    def left(self) -> float | None:
        return None  # whoever waits is cancelled

    async def sleep(self, seconds: float, *, deadline: float | None = None) -> None:
        if deadline is not None and time.monotonic() + seconds > deadline:
            raise WireTimeout("the wait would go past the deadline", phase="deadline")
        self.slept += seconds
        await anyio.sleep(seconds)

    async def run(self, work: Callable[[], T], *, group: str = "") -> T:
        return await anyio.to_thread.run_sync(work, limiter=_limiter(group) if group else None)

    async def shield(self, work: Callable[[], Awaitable[T]]) -> T:
        with anyio.move_on_after(_SHIELD_SECONDS, shield=True):
            return await work()
        await anyio.lowlevel.checkpoint_if_cancelled()
        raise WireTimeout(f"not done within {_SHIELD_SECONDS:g} seconds", phase="deadline")

    def later(self, work: Callable[[], None]) -> bool:
        return self.runner.submit(work)

    def background(self, work: Callable[[IO], Awaitable[None]]) -> bool:
        runner = self.runner
        if not runner.enter_beside():
            return False

        async def body() -> None:
            try:
                await work(type(self)(runner))
            finally:
                runner.leave_beside()

        Loop().spawn(body)
        return True

    def signal(self) -> Signal:
        return _Happening()

    async def until(self, deadline: float, work: Callable[[], Awaitable[T]]) -> T:
        left = deadline - time.monotonic()
        if left <= 0:
            raise WireTimeout("the deadline is past", phase="deadline")
        with anyio.move_on_after(left):
            return await work()
        raise WireTimeout("the deadline is past", phase="deadline")

    @asynccontextmanager
    async def both(self, beside: Callable[[], Awaitable[T]]) -> AsyncIterator[Beside[T]]:
        handle = _Task(beside)
        raised: Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(handle.run)
            try:
                yield handle
            except Exception as error:  # noqa: BLE001 - raised again, outside the group, which would wrap it
                raised = error
            finally:
                group.cancel_scope.cancel()
        if raised is not None:
            try:
                raise raised
            finally:
                del raised


class _Happening(Signal):
    """Among the tasks of one loop."""

    __slots__ = ("_event", "_loop")

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._loop = Loop()

    def set(self) -> None:
        self._loop.call(self._event.set)

    async def wait(self, seconds: float | None = None) -> None:
        with anyio.move_on_after(seconds):
            await self._event.wait()
            return
        raise WireTimeout("what was waited for has not happened in time", phase="deadline")


class _Task(Generic[T]):
    """One coroutine in a task of its own."""

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._work = work
        self._done = anyio.Event()
        self._value: T
        self._error: Exception | None = None

    async def run(self) -> None:
        try:
            self._value = await self._work()
        except Exception as error:  # noqa: BLE001 - handed to whoever asks for the result
            self._error = error
        finally:
            self._done.set()

    async def result(self) -> T:
        await self._done.wait()
        if self._error is not None:
            raise self._error
        return self._value


def _limiter(group: str) -> anyio.CapacityLimiter:
    try:
        limiters = _limiters.get()
    except LookupError:
        limiters = {}
        _limiters.set(limiters)
    return limiters.get(group) or limiters.setdefault(group, anyio.CapacityLimiter(_GROUP_THREADS))


class Loop:
    """The event loop this code runs in, so that another thread can hand it work.

    Loops that are gone have released everything already: what they are given then is let go.
    """

    __slots__ = ("_asyncio", "_trio")

    def __init__(self) -> None:
        self._asyncio: asyncio.AbstractEventLoop | None = None
        self._trio: Any = None
        # Which of the two it is, and neither imported for it. Trio first: as a guest it runs within asyncio's loop.
        if (trio := sys.modules.get("trio")) is not None:
            try:
                self._trio = trio.lowlevel.current_trio_token()
            except RuntimeError:
                pass
            else:
                return
        if (asyncio_ := sys.modules.get("asyncio")) is not None:
            self._asyncio = asyncio_._get_running_loop()  # noqa: SLF001 - documented, for event loops

    @property
    def identity(self) -> Hashable:
        """The loop itself."""
        return self._trio if self._trio is not None else self._asyncio

    def call(self, work: Callable[[], object]) -> None:
        """Call ``work`` in the loop: at once where this is its thread, else soon. May be called from any thread."""
        if Loop().identity is self.identity:
            work()
            return
        with contextlib.suppress(RuntimeError):
            if self._asyncio is not None:
                self._asyncio.call_soon_threadsafe(work)
            elif self._trio is not None:
                self._trio.run_sync_soon(work)

    def spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` in a task of the loop; what it raises is logged. May be called from any thread."""
        # Both raise a kind of RuntimeError when the loop is gone.
        with contextlib.suppress(RuntimeError):
            if self._asyncio is not None:
                self._asyncio.call_soon_threadsafe(_begin, self._asyncio, work)
            elif self._trio is not None:
                self._trio.run_sync_soon(sys.modules["trio"].lowlevel.spawn_system_task, _quietly, work)


_tasks: set[asyncio.Task[None]] = set()


def _begin(loop: asyncio.AbstractEventLoop, work: Callable[[], Awaitable[None]]) -> None:
    # The loop holds tasks weakly.
    task = loop.create_task(_quietly(work))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


async def _quietly(work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except Exception:
        # Nobody awaits it, and trio ends the whole run for an exception of a task without a parent.
        logger.debug("work handed to an event loop failed", exc_info=True)
