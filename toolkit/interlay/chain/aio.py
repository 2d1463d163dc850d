"""The asynchronous colour, on asyncio and trio alike."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import anyio
import anyio.to_thread

from interlay.chain.io import Beside
from interlay.chain.runner import Runner
from interlay.model.errors import WireTimeout

T = TypeVar("T")

_SHIELD_SECONDS = 5.0
"""The longest a shielded release may take: beyond it a cancelled task gets its cancellation."""


class AsyncIO:
    """The colour that suspends. Cancellation reaches what it runs."""

    __slots__ = ("runner", "slept")

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.slept = 0.0

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float, *, deadline: float | None = None) -> None:
        if deadline is not None and time.monotonic() + seconds > deadline:
            raise WireTimeout("the wait would go past the deadline", phase="deadline")
        self.slept += seconds
        await anyio.sleep(seconds)

    async def run(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work)

    async def shield(self, work: Callable[[], Awaitable[T]]) -> T:
        with anyio.fail_after(_SHIELD_SECONDS, shield=True):
            return await work()

    def later(self, work: Callable[[], None]) -> bool:
        return self.runner.submit(work)

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
        async with anyio.create_task_group() as group:
            group.start_soon(handle.run)
            try:
                yield handle
            finally:
                group.cancel_scope.cancel()


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
