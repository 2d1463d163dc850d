"""The store in memory: what all promise, its bounds, and what goes first."""

from __future__ import annotations

import gc
import os
import random
import resource
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable

import pytest
from tests.unit.stores.conformance import HOUR, KEY, OTHER, Conformance, run, sync

from interlay.chain.io import IO, SyncIO, drive
from interlay.chain.runner import Runner
from interlay.model.errors import ConfigError
from interlay.stores.memory import MemoryStore

__all__ = ["run"]

MIB = 2**20


class MemoryBench:
    def __init__(self, max_bytes: int = 64 * MIB) -> None:
        self.now = 1000.5
        self.store = MemoryStore(max_bytes, clock=lambda: self.now)

    def pass_(self, seconds: float) -> None:
        self.now += seconds

    def fill(self, count: int, size: int, *, first: int = 0, tags: Callable[[int], list[str]] = lambda at: []) -> None:
        async def work(io: IO) -> None:
            for at in range(first, first + count):
                await self.store.set(io, f"{at:064d}", bytes(size), lifetime=HOUR, tags=tags(at))

        sync(work)

    def has(self, at: int) -> bool:
        return sync(lambda io: self.store.get(io, f"{at:064d}")) is not None

    @property
    def bytes(self) -> int:
        return sync(self.store.stats).bytes

    @property
    def count(self) -> int:
        return sync(self.store.stats).entries


@pytest.fixture
def bench() -> MemoryBench:
    return MemoryBench()


class TestMemory(Conformance):
    pass


def test_awaits_nothing_on_the_way_of_a_call(bench: MemoryBench) -> None:
    class Untouchable:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(f"io.{name} was used")

    async def work() -> None:
        io: IO = Untouchable()  # type: ignore[assignment]
        assert await bench.store.set(io, KEY, b"v", lifetime=HOUR)
        assert await bench.store.get(io, KEY) == b"v"
        assert await bench.store.delete(io, KEY)

    drive(work())


class TestBound:
    def test_what_was_used_the_longest_ago_goes_first(self) -> None:
        bench = MemoryBench(MIB)
        bench.fill(9, 100_000)
        assert all(bench.has(at) for at in range(8, -1, -1)), "8 is now the one used the longest ago"
        bench.fill(2, 100_000, first=9)
        assert [at for at in range(11) if not bench.has(at)] == [8]

    @pytest.mark.parametrize(
        "tags",
        [
            lambda at: [],
            lambda at: ["all"],
            lambda at: [f"own {at}", f"more {at}"],
            lambda at: [f"{at % 50}", "x" * 300],
        ],
        ids=["none", "one", "own", "shared"],
    )
    @pytest.mark.parametrize("size", [0, 2000])
    def test_is_kept_with_everything_counted(self, tags: Callable[[int], list[str]], size: int) -> None:
        bench = MemoryBench(2 * MIB)
        bench.fill(500, size, tags=tags)  # so that nothing is measured which is made once
        sync(bench.store.forget)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            # A power of two is where tables are doubled, and so the worst moment.
            for first in range(0, 2**13 + 256, 512):
                bench.fill(512, size, first=first, tags=tags)
                taken = tracemalloc.get_traced_memory()[0] - before
                assert taken <= bench.bytes + 64 * 1024
                assert bench.bytes <= 2 * MIB
        finally:
            tracemalloc.stop()
        assert bench.bytes > 1.9 * MIB or bench.count == 2**13 + 512

    def test_gives_back_what_was_forgotten(self, bench: MemoryBench) -> None:
        bench.fill(3000, 10, tags=lambda at: [f"{at % 7}", f"own {at}"])
        sync(bench.store.forget)
        bench.pass_(3 * HOUR)
        assert bench.bytes == 0
        assert not bench.store._labelled._groups
        assert not bench.store._due._groups

    def test_what_is_too_long_is_not_kept_nor_what_it_replaces(self) -> None:
        bench = MemoryBench(MIB)

        async def work(io: IO) -> None:
            await bench.store.set(io, KEY, b"old", lifetime=HOUR)
            await bench.store.set(io, OTHER, b"other", lifetime=HOUR)
            assert not await bench.store.set(io, KEY, bytes(MIB // 4), lifetime=HOUR)
            assert await bench.store.get(io, KEY) is None
            assert await bench.store.get(io, OTHER) == b"other"
            assert not await bench.store.set(io, KEY, b"v", lifetime=HOUR, tags=["t" * MIB])

        sync(work)

    @pytest.mark.parametrize("bound", [0, -1, 1000, 1e9, "1GB", None, True])
    def test_says_what_a_bound_is(self, bound: object) -> None:
        with pytest.raises(ConfigError, match=r"MemoryStore\(max_bytes=.*expected bytes"):
            MemoryStore(bound)  # type: ignore[arg-type]

    @pytest.mark.parametrize("lifetimes", [[60.0], [0.5, 60.0, HOUR, 86_400.0, 1e12]], ids=["one", "many"])
    def test_holds_through_any_history(self, rng: random.Random, lifetimes: list[float]) -> None:
        bench = MemoryBench(MIB)

        async def work(io: IO) -> None:
            for _ in range(6000):
                key = f"{rng.randrange(800):064d}"
                match rng.randrange(10):
                    case 0:
                        await bench.store.delete(io, key)
                    case 1:
                        bench.pass_(rng.expovariate(0.1))
                    case 2 | 3 | 4:
                        await bench.store.get(io, key)
                    case 5 if rng.random() < 0.02:
                        await bench.store.forget(io, tag=str(rng.randrange(40)), older_than=rng.choice([None, 50]))
                    case _:
                        await bench.store.set(
                            io,
                            key,
                            bytes(rng.randrange(5000)),
                            lifetime=rng.choice(lifetimes),
                            scope=str(rng.randrange(3)),
                            tags=[str(rng.randrange(40)) for _ in range(rng.randrange(3))],
                        )
                assert bench.store._bytes <= MIB
            items = bench.store._items
            for key, item in items.items():
                assert key in bench.store._due._groups[item.due]
                assert all(key in bench.store._labelled._groups[word] for word in item.labels)
            assert sum(map(len, bench.store._due._groups.values())) == len(items)
            assert sum(map(len, bench.store._labelled._groups.values())) == sum(len(i.labels) for i in items.values())
            assert sorted(bench.store._dues) == sorted(bench.store._due._groups)

        sync(work)

    @pytest.mark.long
    def test_is_kept_under_a_million_inserts(self, rng: random.Random) -> None:
        bound = 64 * MIB
        bench = MemoryBench(bound)
        bench.fill(100_000, 500)
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        async def work(io: IO) -> None:
            for at in range(1_000_000):
                value = bytes(rng.randrange(2000))
                await bench.store.set(io, f"{at:064d}", value, lifetime=HOUR, scope=str(at % 100), tags=[str(at)])
                bench.pass_(0.01)
                assert bench.store._bytes <= bound

        sync(work)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - rss) * 1024
        assert grown < bound, "malloc keeps pages that are partly empty"
        assert len(bench.store._due._groups) < 200


class TestLifetime:
    def test_what_is_past_it_makes_room_first(self) -> None:
        bench = MemoryBench(MIB)

        async def work(io: IO) -> None:
            await bench.store.set(io, KEY, bytes(100_000), lifetime=HOUR)
            for at in range(6):
                await bench.store.set(io, f"{at:064d}", bytes(100_000), lifetime=60)
            bench.pass_(62)
            for at in range(6):
                await bench.store.set(io, f"{at + 10:064d}", bytes(100_000), lifetime=60)
            assert await bench.store.get(io, KEY) is not None

        sync(work)

    def test_is_not_counted_when_over(self, bench: MemoryBench) -> None:
        bench.fill(2000, 10)
        assert bench.count == 2000
        bench.pass_(2 * HOUR)
        assert bench.count == 0
        assert sync(bench.store.forget) == 0

    def test_is_over_when_it_is_deleted_too_late(self, bench: MemoryBench) -> None:
        bench.fill(1, 10)
        bench.pass_(HOUR + 1)
        assert not sync(lambda io: bench.store.delete(io, f"{0:064d}"))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of newer Pythons, for any fork beside threads
def test_a_forked_child_goes_on_with_its_own(bench: MemoryBench) -> None:
    bench.fill(1, 10)
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with bench.store._lock:
            holding.set()
            done.wait(60)

    assert fork_and(lambda: bench.has(0)), "nobody was at work: the child has what was there"
    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(60)
    try:
        assert fork_and(lambda: not bench.has(0)), "half a change may be in it: the child begins anew"
    finally:
        done.set()
        thread.join()
    assert bench.has(0)


def fork_and(check: Callable[[], bool]) -> bool:
    """Whether it holds in a forked child, within a minute."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if check() else 1
        finally:
            os._exit(code)
    deadline = time.monotonic() + 60
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            pytest.fail("the child hangs")
        time.sleep(0.005)
    return os.waitstatus_to_exitcode(ended[1]) == 0


def test_takes_as_many_steps_however_much_is_in_it() -> None:
    def steps(bench: MemoryBench) -> int:
        count = 0

        def trace(frame: object, event: str, arg: object) -> None:
            nonlocal count
            count += 1

        async def work(io: IO) -> None:
            await bench.store.set(io, KEY, b"v", lifetime=HOUR, scope="s", tags=["t"])
            await bench.store.get(io, KEY)
            await bench.store.delete(io, KEY)

        coroutine = work(SyncIO(Runner()))
        before = sys.getprofile()
        gc.disable()  # what other tests have left behind takes steps too when it is collected
        sys.setprofile(trace)
        try:
            drive(coroutine)
        finally:
            sys.setprofile(before)
            gc.enable()
        return count

    few, many = MemoryBench(), MemoryBench()
    few.fill(10, 10, tags=lambda at: ["t"])
    many.fill(5000, 10, tags=lambda at: ["t"])
    assert steps(many) <= steps(few) + 5
