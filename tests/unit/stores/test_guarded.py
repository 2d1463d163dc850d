"""A guarded store: all that a store promises, and that a broken one is a miss, once late and never again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import anyio
import pytest
from tests.unit.stores.conformance import HOUR, KEY, Conformance, on_asyncio, on_trio, run, sync
from tests.unit.stores.test_memory import MemoryBench

from interlay.chain.io import IO, SyncIO, drive
from interlay.chain.runner import Runner
from interlay.model.errors import ConfigError
from interlay.stores import guarded
from interlay.stores.guarded import GuardedStore
from interlay.stores.store import Found, StoreBusy, StoreError

__all__ = ["run"]

T = TypeVar("T")


class Guarded(MemoryBench):
    def __init__(self) -> None:
        super().__init__()
        # Nothing here is about being slow, and a busy machine is.
        self.store = GuardedStore(self.store, 600.0)  # type: ignore[assignment]


@pytest.fixture
def bench() -> Guarded:
    return Guarded()


class TestGuarded(Conformance):
    pass


class Shaky(MemoryBench):
    """A store that can be broken, on a clock that can be moved, and the calls that it was asked by."""

    def __init__(self, budget: float = 600.0) -> None:
        super().__init__()
        self.reads: Callable[[], Awaitable[None]] = self.fine
        self.writes: Callable[[], Awaitable[None]] = self.fine
        self.asked = 0
        self.runner = Runner()
        self.guarded = GuardedStore(self, budget, name="shaky")

    async def fine(self) -> None:
        pass

    async def fails(self) -> None:
        raise StoreError("down")

    async def crashes(self) -> None:
        raise ZeroDivisionError

    async def is_slow(self) -> None:
        self.pass_(self.guarded.budget * 2)

    # What it is guarded for.

    async def get(self, io: IO, key: str) -> bytes | None:
        self.asked += 1
        await self.reads()
        return await self.store.get(io, key)

    async def find(self, io: IO, key: str) -> Found | None:
        self.asked += 1
        await self.reads()
        return await self.store.find(io, key)

    async def set(
        self, io: IO, key: str, value: bytes, *, lifetime: float, scope: str = "", tags: Iterable[str] = ()
    ) -> bool:
        self.asked += 1
        await self.writes()
        return await self.store.set(io, key, value, lifetime=lifetime, scope=scope, tags=tags)

    async def delete(self, io: IO, key: str) -> bool:
        await self.writes()
        return await self.store.delete(io, key)

    async def forget(
        self, io: IO, *, scope: str | None = None, tag: str | None = None, older_than: float | None = None
    ) -> int:
        await self.writes()
        return await self.store.forget(io, scope=scope, tag=tag, older_than=older_than)

    async def lease(self, io: IO, name: str, owner: str, *, lifetime: float) -> bool:
        self.asked += 1
        await self.writes()
        return await self.store.lease(io, name, owner, lifetime=lifetime)

    async def release(self, io: IO, name: str, owner: str) -> None:
        self.asked += 1
        await self.writes()
        await self.store.release(io, name, owner)

    stats = property(lambda self: self.store.stats)
    close = property(lambda self: self.store.close)

    # How a call uses it.

    def io(self) -> SyncIO:
        return _IO(self)

    def read(self) -> bytes | None:
        return drive(self.guarded.get(self.io(), KEY))

    def write(self) -> bool:
        return drive(self.guarded.set(self.io(), KEY, b"value", lifetime=HOUR * 24))

    def trial(self) -> None:
        """Give the runner time to end what it was handed."""
        assert self.runner.drain(60)


class _IO(SyncIO):
    def __init__(self, shaky: Shaky) -> None:
        super().__init__(shaky.runner)
        self.shaky = shaky

    def monotonic(self) -> float:
        return self.shaky.now

    async def until(self, deadline: float, work: Callable[[], Awaitable[T]]) -> T:
        return await work()


@pytest.fixture
def shaky() -> Iterable[Shaky]:
    found = Shaky()
    yield found
    found.runner.close()


@pytest.mark.parametrize("how", ["fails", "crashes", "is_slow"])
def test_a_store_that_is_down_or_slow_is_a_miss_and_not_asked_again(
    shaky: Shaky, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    shaky.reads = getattr(shaky, how)
    for _ in range(50):
        assert shaky.read() is None
        assert not shaky.write() or how == "is_slow"
    assert shaky.asked == 1
    (line,) = caplog.messages
    assert line.startswith("shaky is not used until it answers again: ")


def test_writing_for_which_no_call_waits_may_take_longer(caplog: pytest.LogCaptureFixture) -> None:
    shaky = Shaky(0.05)
    shaky.writes = shaky.is_slow
    for _ in range(3):
        assert shaky.write()

    async def is_too_slow() -> None:
        shaky.pass_(shaky.guarded.patience * 2)

    assert caplog.messages == []
    shaky.writes = is_too_slow
    assert shaky.write()
    assert not shaky.write()
    assert caplog.messages == ["shaky is not written to until it answers again: an answer after more than 1 s"]
    shaky.runner.close()


def test_it_is_tried_again_off_the_calls_path_and_used_again(shaky: Shaky, caplog: pytest.LogCaptureFixture) -> None:
    assert shaky.write()
    shaky.reads = shaky.fails
    assert shaky.read() is None
    threads = set[threading.Thread]()

    async def fine() -> None:
        threads.add(threading.current_thread())

    shaky.reads = fine
    shaky.pass_(0.5)
    assert shaky.read() is None, "it is too early"
    shaky.pass_(1)
    assert shaky.read() is None, "the trial is not waited for"
    shaky.trial()
    assert threads == {shaky.runner._thread}
    assert shaky.read() == b"value"
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert caplog.messages[1] == "shaky is used again"


def test_trials_become_rarer_and_stay_quiet(shaky: Shaky, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    shaky.reads = shaky.fails
    for _ in range(600):
        shaky.read()
        shaky.trial()
        shaky.pass_(1)
    assert 20 <= shaky.asked <= 30, "one at once, then after 1, 2, 4, 8, 16, 30, 30, … seconds"
    assert len(caplog.messages) == 1


def test_a_full_store_is_still_read(shaky: Shaky, caplog: pytest.LogCaptureFixture) -> None:
    assert shaky.write()
    shaky.writes = shaky.fails
    assert not any(shaky.write() for _ in range(20))
    assert shaky.asked == 2
    assert shaky.read() == b"value"
    assert caplog.messages == ["shaky is not written to until it answers again: down"]
    shaky.writes = shaky.fine
    shaky.pass_(2)
    assert not shaky.write()
    shaky.trial()
    assert shaky.write()
    assert caplog.messages[1:] == ["shaky is written to again"]


@pytest.mark.parametrize("what", ["reads", "writes"])
def test_everybody_gets_the_lease_of_a_store_that_is_down(shaky: Shaky, what: str) -> None:
    def lease(owner: str) -> bool:
        return drive(shaky.guarded.lease(shaky.io(), "name", owner, lifetime=HOUR))

    assert lease("ann")
    assert not lease("bob")
    setattr(shaky, what, shaky.fails)
    if what == "reads":
        assert shaky.read() is None
    asked = shaky.asked
    for owner in ("bob", "carol", "dave"):
        assert lease(owner)
        drive(shaky.guarded.release(shaky.io(), "name", owner))
    assert shaky.asked == asked + (what == "writes")


def test_whoever_wants_something_gone_is_told_that_it_is_not(shaky: Shaky) -> None:
    shaky.writes = shaky.fails
    assert not shaky.write()
    with pytest.raises(StoreError):
        drive(shaky.guarded.delete(shaky.io(), KEY))
    with pytest.raises(StoreError):
        drive(shaky.guarded.forget(shaky.io()))


def test_many_threads_see_one_change(shaky: Shaky, caplog: pytest.LogCaptureFixture) -> None:
    shaky.reads = shaky.fails
    threads = [threading.Thread(target=lambda: [shaky.read() for _ in range(50)]) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(caplog.messages) == 1
    assert shaky.asked <= 16, "those that were under way already"


@pytest.mark.parametrize("colour", [on_asyncio, on_trio])
def test_an_async_operation_is_cut_at_its_budget(
    colour: Callable[[Callable[[IO], Awaitable[None]]], None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guarded, "_FIRST_PAUSE", 3600.0)  # no trial, however busy the machine
    shaky, ended = Shaky(budget=1.0), list[str]()

    async def hangs() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("cancelled")

    shaky.reads = hangs

    async def work(io: IO) -> None:
        assert await shaky.guarded.get(io, KEY) is None
        assert ended == ["cancelled"]
        for _ in range(20):
            assert await shaky.guarded.get(io, KEY) is None
        assert shaky.asked == 1

    colour(work)
    assert caplog.messages == ["shaky is not used until it answers again: no answer within 1 s"]


def test_a_store_with_no_room_just_now_is_a_miss_and_asked_again(
    shaky: Shaky, caplog: pytest.LogCaptureFixture
) -> None:
    async def is_busy_while_another_is_served() -> None:
        shaky.reads = shaky.fine
        shaky.pass_(0.01)
        assert shaky.read() == b"value"
        raise StoreBusy("busy")

    async def is_busy() -> None:
        shaky.pass_(0.01)
        raise StoreBusy("busy")

    assert shaky.write()
    shaky.reads = is_busy_while_another_is_served
    assert shaky.read() is None
    assert shaky.read() == b"value"
    shaky.reads = is_busy
    shaky.pass_(1)
    assert shaky.read() is None
    assert caplog.messages == ["shaky is not used until it answers again: busy"]


@pytest.mark.parametrize("colour", [on_asyncio, on_trio])
def test_a_program_that_is_busy_is_no_failure_of_the_store(
    colour: Callable[[Callable[[IO], Awaitable[None]]], None], caplog: pytest.LogCaptureFixture
) -> None:
    shaky = Shaky(budget=0.5)

    async def work(io: IO) -> None:
        assert await shaky.guarded.set(io, KEY, b"value", lifetime=HOUR)

        async def is_answered_while_the_loop_is_held_up() -> None:
            time.sleep(0.6)  # noqa: ASYNC251 - that is what is wrong with such a program

        shaky.reads = is_answered_while_the_loop_is_held_up
        assert await shaky.guarded.get(io, KEY) == b"value"

        async def one() -> None:
            assert await shaky.guarded.get(io, KEY) is None

        shaky.reads = anyio.sleep_forever
        async with anyio.create_task_group() as group:
            group.start_soon(one)
            await anyio.sleep(0.1)
            shaky.reads = shaky.fine
            assert await shaky.guarded.get(io, KEY) == b"value"
        assert await shaky.guarded.get(io, KEY) == b"value"

    colour(work)
    assert not caplog.messages


def test_cancelling_a_call_is_no_failure_of_the_store() -> None:
    shaky = Shaky()
    shaky.reads = anyio.sleep_forever

    async def work(io: IO) -> None:
        with anyio.move_on_after(0):
            await shaky.guarded.get(io, KEY)
        shaky.reads = shaky.fine
        assert await shaky.guarded.set(io, KEY, b"value", lifetime=HOUR)
        assert await shaky.guarded.get(io, KEY) == b"value"

    on_asyncio(work)


@pytest.mark.parametrize("budget", [0, -1, float("nan"), "50ms", None])
def test_says_what_a_budget_is(budget: object) -> None:
    with pytest.raises(ConfigError, match=r"GuardedStore\(budget=.*expected seconds"):
        GuardedStore(MemoryBench().store, budget)  # type: ignore[arg-type]


def test_closes_what_it_guards() -> None:
    bench = Guarded()
    assert sync(lambda io: bench.store.set(io, KEY, b"v", lifetime=HOUR))
    bench.store.close()
    assert sync(lambda io: bench.store.get(io, KEY)) is None
