"""Requests sent together: each gets its own answer, whoever else comes, goes or is cancelled."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence

import anyio
import anyio.lowlevel
import pytest

from interlay.chain.aio import AsyncIO
from interlay.chain.runner import Runner
from interlay.stores.gathering import Gathering

BACKENDS = ["asyncio", "trio"]


class Work:
    """Squares numbers, when it is let go on."""

    def __init__(self) -> None:
        self.batches = list[list[int]]()
        self.go = threading.Event()
        self.go.set()

    def __call__(self, requests: Sequence[int]) -> list[int]:
        self.batches.append(list(requests))
        assert self.go.wait(60)
        return [request * request for request in requests]


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_goes_at_once(backend: str) -> None:
    work = Work()

    async def body() -> None:
        gathering = Gathering(work, "test")
        for number in range(10):
            assert await gathering.ask(AsyncIO(Runner()), number) == number * number

    anyio.run(body, backend=backend)
    assert work.batches == [[number] for number in range(10)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_those_that_come_meanwhile_go_together(backend: str) -> None:
    work = Work()

    async def body() -> None:
        gathering, io, answers = Gathering(work, "test"), AsyncIO(Runner()), dict[int, int]()

        async def one(number: int) -> None:
            answers[number] = await gathering.ask(io, number)

        work.go.clear()
        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(one, number)
            while len(work.batches) < 4:  # noqa: ASYNC110 - it is threads that are waited for
                await anyio.sleep(0.001)
            work.go.set()
        assert answers == {number: number * number for number in range(100)}

    anyio.run(body, backend=backend)
    assert [len(batch) for batch in work.batches] == [1, 1, 1, 1, 32, 32, 32]


@pytest.mark.parametrize("backend", BACKENDS)
def test_whoever_leaves_takes_nobody_along(backend: str, rng: random.Random) -> None:
    def work(requests: Sequence[int]) -> list[int]:
        time.sleep(rng.expovariate(2000))
        return [request * request for request in requests]

    async def body() -> None:
        gathering, io = Gathering(work, "test"), AsyncIO(Runner())
        counts = {"answered": 0, "left": 0}

        async def one(number: int) -> None:
            await anyio.sleep(rng.expovariate(500))
            patience = rng.choice([None, rng.expovariate(1000), 0.0])
            with anyio.move_on_after(patience) as scope:
                assert await gathering.ask(io, number) == number * number
                counts["answered"] += 1
            counts["left"] += scope.cancelled_caught
            assert patience is not None or not scope.cancelled_caught

        for _ in range(20):
            async with anyio.create_task_group() as group:
                for number in range(150):
                    group.start_soon(one, number)
        assert counts["answered"] >= 20 * 30
        assert counts["left"] > 100
        queue = gathering._queue()
        assert queue.under_way == 0
        assert not queue.entries

    anyio.run(body, backend=backend)


def test_each_loop_has_its_own(rng: random.Random) -> None:
    gathering, wrong = Gathering(Work(), "test"), list[object]()

    async def many() -> None:
        async def one(number: int) -> None:
            if await gathering.ask(AsyncIO(Runner()), number) != number * number:
                wrong.append(number)

        for _ in range(20):
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(one, rng.randrange(10**6))

    threads = [
        threading.Thread(target=anyio.run, args=(many,), kwargs={"backend": backend}) for backend in BACKENDS * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
