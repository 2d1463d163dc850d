"""What each store promises, in both colours. A store's own test module makes a subclass with a ``bench`` fixture."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import anyio
import pytest

from interlay.chain.aio import AsyncIO
from interlay.chain.io import IO, SyncIO, drive
from interlay.chain.runner import Runner
from interlay.stores.store import Store

T = TypeVar("T")

KEY, OTHER, THIRD = "a" * 64, "b" * 64, "c" * 64
HOUR = 3600.0


class Bench(Protocol):
    """A store, and the only clock that it knows."""

    store: Store

    def pass_(self, seconds: float) -> None:
        """Let this much time go by."""
        ...


class Bomb:
    """Makes a folder if somebody unpickles it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.path),))


def share_leases(command: Sequence[str]) -> None:
    """Run a program twice at once, as ``a`` and as ``b``. It says that it is ready, and when it is told to go, which
    of 300 leases it got: of two processes one has to get each."""
    both = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for name in "ab"
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    got = [process.communicate(timeout=240)[0].split() for process in both]
    assert sorted(got[0] + got[1], key=int) == [str(at) for at in range(300)]


def sync(work: Callable[[IO], Awaitable[T]]) -> T:
    """Run it in the blocking colour."""

    async def body() -> T:
        return await work(SyncIO(Runner()))

    return drive(body())


def on_asyncio(work: Callable[[IO], Awaitable[T]]) -> T:
    async def body() -> T:
        return await work(AsyncIO(Runner()))

    return asyncio.run(body())


def on_trio(work: Callable[[IO], Awaitable[T]]) -> T:
    async def body() -> T:
        return await work(AsyncIO(Runner()))

    return anyio.run(body, backend="trio")


COLOURS = [sync, on_asyncio, on_trio]


@pytest.fixture(params=COLOURS, ids=lambda colour: colour.__name__)
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[IO], Awaitable[object]]], object]:
    """One of the colours."""
    colour: Callable[[Callable[[IO], Awaitable[object]]], object] = request.param
    return colour


class Conformance:
    """The suite. Each test is one coroutine, run in each colour."""

    def test_gives_what_was_set_last(self, bench: Bench, run: Callable[..., object]) -> None:
        async def work(io: IO) -> None:
            assert await bench.store.get(io, KEY) is None
            assert await bench.store.set(io, KEY, b"first", lifetime=HOUR)
            assert await bench.store.get(io, KEY) == b"first"
            assert await bench.store.set(io, KEY, b"second", lifetime=HOUR, scope="s", tags=["t"])
            assert await bench.store.get(io, KEY) == b"second"
            assert await bench.store.get(io, OTHER) is None
            assert (await bench.store.stats(io)).entries == 1

        run(work)

    def test_keeps_bytes_as_they_are(self, bench: Bench, run: Callable[..., object], rng: random.Random) -> None:
        async def work(io: IO) -> None:
            for value in (b"", b"\0", bytes(range(256)), b"\x80\x04N.", rng.randbytes(70_000)):
                assert await bench.store.set(io, KEY, value, lifetime=HOUR)
                assert await bench.store.get(io, KEY) == value

        run(work)

    def test_gives_nothing_past_its_lifetime(self, bench: Bench, run: Callable[..., object]) -> None:
        async def work(io: IO) -> None:
            await bench.store.set(io, KEY, b"short", lifetime=60)
            await bench.store.set(io, OTHER, b"long", lifetime=HOUR)
            bench.pass_(50)
            assert await bench.store.get(io, KEY) == b"short"
            bench.pass_(20)
            assert await bench.store.get(io, KEY) is None
            assert await bench.store.get(io, OTHER) == b"long"

        run(work)

    def test_says_how_long_it_will_be_there(self, bench: Bench, run: Callable[..., object]) -> None:
        async def work(io: IO) -> None:
            assert await bench.store.find(io, KEY) is None
            await bench.store.set(io, KEY, b"value", lifetime=HOUR)
            bench.pass_(600)
            found = await bench.store.find(io, KEY)
            assert found is not None
            assert found.value == b"value"
            assert 2700 < found.rest <= 3000, "this may be a slow machine"
            bench.pass_(3100)
            assert await bench.store.find(io, KEY) is None

        run(work)

    def test_setting_again_begins_a_new_lifetime(self, bench: Bench, run: Callable[..., object]) -> None:
        async def work(io: IO) -> None:
            await bench.store.set(io, KEY, b"old", lifetime=60)
            bench.pass_(50)
            await bench.store.set(io, KEY, b"new", lifetime=60)
            bench.pass_(50)
            assert await bench.store.get(io, KEY) == b"new"
            bench.pass_(20)
            assert await bench.store.get(io, KEY) is None

        run(work)

    @pytest.mark.parametrize("lifetime", [0.0, -5.0, float("nan")])
    def test_what_has_no_lifetime_is_not_kept_nor_what_it_replaces(
        self, bench: Bench, run: Callable[..., object], lifetime: float
    ) -> None:
        async def work(io: IO) -> None:
            await bench.store.set(io, KEY, b"old", lifetime=HOUR)
            assert not await bench.store.set(io, KEY, b"new", lifetime=lifetime)
            assert await bench.store.get(io, KEY) is None

        run(work)

    def test_a_lifetime_without_end_is_a_long_one(self, bench: Bench, run: Callable[..., object]) -> None:
        async def work(io: IO) -> None:
            assert await bench.store.set(io, KEY, b"kept", lifetime=float("inf"))
            assert await bench.store.get(io, KEY) == b"kept"

        run(work)

    def test_deletes_one_key(self, bench: Bench, run: Callable[..., object]) -> None:
        async def work(io: IO) -> None:
            await bench.store.set(io, KEY, b"1", lifetime=HOUR, scope="s", tags=["t"])
            await bench.store.set(io, OTHER, b"2", lifetime=HOUR, scope="s", tags=["t"])
            assert await bench.store.delete(io, KEY)
            assert not await bench.store.delete(io, KEY)
            assert await bench.store.get(io, KEY) is None
            assert await bench.store.get(io, OTHER) == b"2"

        run(work)

    def test_forgets_by_tag_and_scope(self, bench: Bench, run: Callable[..., object]) -> None:
        async def work(io: IO) -> None:
            await bench.store.set(io, KEY, b"1", lifetime=HOUR, scope="ann", tags=["faq", "de"])
            await bench.store.set(io, OTHER, b"2", lifetime=HOUR, scope="bob", tags=["de", "de"])
            await bench.store.set(io, THIRD, b"3", lifetime=HOUR)
            assert await bench.store.forget(io, tag="fa") == 0
            assert await bench.store.forget(io, scope="ann", tag="none") == 0
            assert await bench.store.forget(io, scope="bob", tag="de") == 1
            assert await bench.store.get(io, OTHER) is None
            assert await bench.store.get(io, KEY) == b"1"
            assert await bench.store.forget(io, tag="faq") == 1
            assert await bench.store.get(io, KEY) is None
            assert await bench.store.get(io, THIRD) == b"3"
            assert await bench.store.forget(io, scope="ann") == 0

        run(work)

    def test_a_scope_is_no_tag_and_a_part_no_whole(self, bench: Bench, run: Callable[..., object]) -> None:
        async def work(io: IO) -> None:
            odd = ["x", "x\0y", "\\", "\\0", "\0", "x\\", "ünï", "a,b", "%", "*", "sx", "\0sx\0"]
            for at, tag in enumerate(odd):
                await bench.store.set(io, f"{at:064d}", b"v", lifetime=HOUR, scope="x", tags=[tag])
            assert await bench.store.forget(io, scope="ünï") == 0
            assert await bench.store.forget(io, tag="y") == 0
            assert [await bench.store.forget(io, tag=tag) for tag in odd] == [1] * len(odd)
            assert (await bench.store.stats(io)).entries == 0

        run(work)

    def test_labels_are_those_it_was_set_with_last(self, bench: Bench, run: Callable[..., object]) -> None:
        async def work(io: IO) -> None:
            await bench.store.set(io, KEY, b"1", lifetime=HOUR, scope="ann", tags=["old"])
            await bench.store.set(io, KEY, b"2", lifetime=HOUR, scope="bob", tags=["new"])
            assert await bench.store.forget(io, tag="old") == 0
            assert await bench.store.forget(io, scope="ann") == 0
            assert await bench.store.forget(io, scope="bob", tag="new") == 1

        run(work)

    def test_forgets_by_age(self, bench: Bench, run: Callable[..., object]) -> None:
        async def work(io: IO) -> None:
            await bench.store.set(io, KEY, b"1", lifetime=HOUR, tags=["t"])
            await bench.store.set(io, OTHER, b"2", lifetime=HOUR)
            bench.pass_(100)
            await bench.store.set(io, THIRD, b"3", lifetime=HOUR, tags=["t"])
            assert await bench.store.forget(io, older_than=1000) == 0
            assert await bench.store.forget(io, tag="t", older_than=50) == 1
            assert await bench.store.get(io, KEY) is None
            assert await bench.store.forget(io, older_than=50) == 1
            assert await bench.store.get(io, THIRD) == b"3"

        run(work)

    def test_forgets_everything(self, bench: Bench, run: Callable[..., object]) -> None:
        async def work(io: IO) -> None:
            for at in range(1200):
                await bench.store.set(io, f"{at:064d}", b"v", lifetime=HOUR, scope=str(at % 3))
            assert await bench.store.forget(io, scope="1") == 400
            assert await bench.store.forget(io) == 800
            assert await bench.store.get(io, f"{0:064d}") is None
            assert (await bench.store.stats(io)).entries == 0

        run(work)

    def test_counts_what_it_holds(self, bench: Bench, run: Callable[..., object]) -> None:
        async def work(io: IO) -> None:
            empty = await bench.store.stats(io)
            assert empty.entries == 0
            for key in (KEY, OTHER):
                await bench.store.set(io, key, bytes(100_000), lifetime=HOUR)
            full = await bench.store.stats(io)
            assert full.entries == 2
            assert full.bytes > empty.bytes + 190_000, "some of it may have been room already"
            bench.pass_(2 * HOUR)
            await bench.store.set(io, THIRD, b"v", lifetime=HOUR)
            assert await bench.store.get(io, KEY) is None

        run(work)

    def test_threads_see_whole_values(self, bench: Bench) -> None:
        keys, wrong = [f"{at:064d}" for at in range(8)], list[object]()

        def worker(name: int) -> None:
            async def work(io: IO) -> None:
                for at in range(40):
                    key = keys[(at + name) % len(keys)]
                    await bench.store.set(io, key, key.encode() + bytes([name]) * 3000, lifetime=HOUR, tags=[str(name)])
                    found = await bench.store.get(io, keys[at % len(keys)])
                    if found is not None and (
                        found[:64] != keys[at % len(keys)].encode() or len(found) != 3064 or len(set(found[64:])) != 1
                    ):
                        wrong.append(found)
                    if at % 10 == 9:
                        await bench.store.forget(io, tag=str(name - 1))

            try:
                sync(work)
            except Exception as error:  # noqa: BLE001 - shown by the test
                wrong.append(error)

        threads = [threading.Thread(target=worker, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong

    def test_tasks_share_it(self, bench: Bench) -> None:
        async def work(io: IO) -> None:
            async def one(name: int) -> None:
                key = f"{name:064d}"
                await bench.store.set(io, key, key.encode(), lifetime=HOUR)
                assert await bench.store.get(io, key) == key.encode()

            async with anyio.create_task_group() as group:
                for name in range(30):
                    group.start_soon(one, name)
            assert (await bench.store.stats(io)).entries == 30

        on_asyncio(work)
        sync(bench.store.forget)
        on_trio(work)

    def test_a_name_is_leased_to_one_at_a_time(self, bench: Bench, run: Callable[..., object]) -> None:
        async def work(io: IO) -> None:
            store = bench.store
            assert await store.lease(io, "name", "ann", lifetime=60)
            assert not await store.lease(io, "name", "bob", lifetime=60)
            assert await store.lease(io, "other", "bob", lifetime=60)
            await store.release(io, "name", "bob")
            assert not await store.lease(io, "name", "bob", lifetime=60), "it was not bob's to give back"
            await store.release(io, "name", "ann")
            await store.release(io, "name", "ann")
            await store.release(io, "nobody's", "ann")
            assert await store.lease(io, "name", "bob", lifetime=60)
            assert not await store.lease(io, "name", "ann", lifetime=60)

        run(work)

    def test_a_lease_lapses_and_is_prolonged_by_who_has_it(self, bench: Bench, run: Callable[..., object]) -> None:
        async def work(io: IO) -> None:
            store = bench.store
            assert await store.lease(io, "name", "ann", lifetime=60)
            bench.pass_(50)
            assert await store.lease(io, "name", "ann", lifetime=60)
            bench.pass_(50)
            assert not await store.lease(io, "name", "bob", lifetime=60)
            bench.pass_(20)
            assert await store.lease(io, "name", "bob", lifetime=60)
            await store.release(io, "name", "ann")
            assert not await store.lease(io, "name", "ann", lifetime=60)
            assert await store.lease(io, "long", "ann", lifetime=1e9)
            bench.pass_(3700)
            assert await store.lease(io, "long", "bob", lifetime=60), "an hour is the longest"

        run(work)

    def test_leases_are_apart_from_what_is_kept(self, bench: Bench, run: Callable[..., object]) -> None:
        async def work(io: IO) -> None:
            store = bench.store
            assert await store.lease(io, KEY, "ann", lifetime=60)
            assert await store.get(io, KEY) is None
            assert (await store.stats(io)).entries == 0
            assert await store.set(io, KEY, b"v", lifetime=HOUR)
            assert await store.forget(io) == 1
            assert not await store.lease(io, KEY, "bob", lifetime=60)

        run(work)

    def test_of_many_threads_one_gets_the_lease(self, bench: Bench) -> None:
        got, start = list[tuple[str, str]](), threading.Barrier(8)

        def worker(owner: str) -> None:
            async def work(io: IO) -> None:
                start.wait(60)
                for at in range(20):
                    if await bench.store.lease(io, str(at), owner, lifetime=HOUR):
                        got.append((str(at), owner))

            sync(work)

        threads = [threading.Thread(target=worker, args=(str(owner),)) for owner in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(name for name, _ in got) == sorted(str(at) for at in range(20))

    def test_closes_twice(self, bench: Bench) -> None:
        sync(lambda io: bench.store.set(io, KEY, b"v", lifetime=HOUR))
        bench.store.close()
        bench.store.close()
