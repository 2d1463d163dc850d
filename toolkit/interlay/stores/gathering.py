"""Requests of many tasks, sent together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar
from weakref import WeakKeyDictionary

import anyio
from anyio.lowlevel import RunVar

from interlay.chain.io import IO

A = TypeVar("A")
B = TypeVar("B")

_AT_ONCE: Final = 4
"""Batches under way: while one has to do with something large, others go by."""
_MOST: Final = 32
"""Requests in a batch: a few large answers must not take longer than each of them may."""


class Gathering(Generic[A, B]):
    """Has blocking work for the requests of many tasks done in few worker threads.

    A request that finds little under way goes at once. Those that come meanwhile are the next batch: the way to a
    thread and back, which is most of what one request costs, is shared by all of them. Each event loop has a queue.

    Args:
        work: answers requests, in their order, and raises nothing.
        group: see ``IO.run``.
    """

    def __init__(self, work: Callable[[Sequence[A]], Sequence[B]], group: str) -> None:
        self._work = work
        self._group = group

    async def ask(self, io: IO, request: A) -> B:
        """The answer to one request. A caller that is cancelled leaves; what it asked may be done all the same."""
        queue = self._queue()
        entry = _Entry[A, B](request)
        if queue.under_way < _AT_ONCE:
            queue.under_way += 1
            entry.batch = [entry]
        else:
            await self._wait(queue, entry)
        if entry.batch is not None:
            await self._lead(io, queue, entry.batch)
        return entry.answers[0]

    async def _wait(self, queue: _Queue[A, B], entry: _Entry[A, B]) -> None:
        """Until there is an answer, or a batch to be sent by this one."""
        entry.called = anyio.Event()
        queue.entries.append(entry)
        try:
            await entry.called.wait()
        except BaseException:
            entry.left = True
            with suppress(ValueError):
                queue.entries.remove(entry)
            if entry.batch is not None:
                queue.go_on(entry.batch)
            raise

    async def _lead(self, io: IO, queue: _Queue[A, B], batch: list[_Entry[A, B]]) -> None:
        def send() -> None:
            for entry, answer in zip(batch, self._work([entry.request for entry in batch]), strict=True):
                entry.answers.append(answer)

        try:
            await io.run(send, group=self._group)
        finally:
            # Whoever is cancelled here has had it done all the same, or it was never begun: then others do it.
            rest = [entry for entry in batch[1:] if not entry.answers]
            for entry in batch[1:]:
                if entry.answers and entry.called is not None:
                    entry.called.set()
            queue.go_on(rest)

    def _queue(self) -> _Queue[A, B]:
        try:
            queues = _queues.get()
        except LookupError:
            queues = WeakKeyDictionary()
            _queues.set(queues)
        found = queues.get(self)
        if found is None:
            found = queues[self] = _Queue()
        return found


class _Entry(Generic[A, B]):
    __slots__ = ("answers", "batch", "called", "left", "request")

    def __init__(self, request: A) -> None:
        self.request = request
        self.answers: list[B] = []
        """The answer, when it is there."""
        self.batch: list[_Entry[A, B]] | None = None
        """What its task has to send, itself among it."""
        self.called: anyio.Event | None = None
        self.left = False


class _Queue(Generic[A, B]):
    __slots__ = ("entries", "under_way")

    def __init__(self) -> None:
        self.entries: deque[_Entry[A, B]] = deque()
        """Empty as long as fewer batches are under way than may be."""
        self.under_way = 0

    def go_on(self, batch: Sequence[_Entry[A, B]]) -> None:
        """One batch less is under way: have these sent, or the next ones."""
        batch = [entry for entry in batch if not entry.left]
        if not batch:
            batch = [self.entries.popleft() for _ in range(min(_MOST, len(self.entries)))]
        if not batch:
            self.under_way -= 1
            return
        first = batch[0]
        first.batch = batch
        assert first.called is not None
        first.called.set()


_queues: RunVar[WeakKeyDictionary[Gathering[Any, Any], _Queue[Any, Any]]] = RunVar("interlay.gathering")
