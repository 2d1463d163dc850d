"""Processes that share a store: whoever asks a plain question first sends it, and the others wait for the answer, not
for the process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import anyio
import pytest
from tests.unit.layers.cache.bench import answer, question
from tests.unit.layers.cache.flights_bench import END, PLAIN, Colour, Feed, World, play

import interlay
from interlay.entry.process import recorder
from interlay.stores.disk import DiskStore
from interlay.stores.guarded import GuardedStore
from interlay.stores.memory import MemoryStore
from interlay.stores.store import StoreError

each_colour = pytest.mark.parametrize("colour", ["threads", "asyncio"])

# Asks the question of ``bench``, or what it is told, and says all that happens. ``hangs``: its provider says nothing.
OTHER = """
import asyncio, json, os, sys, time
import httpx2
import interlay
from interlay.stores.disk import DiskStore
from interlay.stores.guarded import GuardedStore
from interlay.testing import capture

folder, colour, manner, asked, key, lease = sys.argv[1:]

def say(*what):
    os.write(1, (json.dumps(what) + "\\n").encode())

class Telling(DiskStore):
    async def lease(self, io, name, owner, *, lifetime):
        given = await super().lease(io, name, owner, lifetime=lifetime)
        say("lease", given)
        return given

class Wire(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    def handle_request(self, request):
        say("sent")
        while manner == "hangs":
            time.sleep(60)
        return httpx2.Response(200, headers={"content-type": "application/json"}, content=manner.encode())

    async def handle_async_request(self, request):
        return self.handle_request(request)

cache = interlay.Cache(GuardedStore(Telling(folder, timeout=30), budget=30), lease=lease)
headers = {"authorization": key}
url = "https://api.openai.com/v1/chat/completions"

async def ask():
    async with httpx2.AsyncClient(transport=Wire(), headers=headers) as client:
        interlay.wrap(client, cache)
        return await client.post(url, content=asked.encode())

with capture() as records:
    if colour == "asyncio":
        said = asyncio.run(ask())
    else:
        with httpx2.Client(transport=Wire(), headers=headers) as client:
            interlay.wrap(client, cache)
            said = client.post(url, content=asked.encode())
(record,) = records
say("got", said.text, record.cache.outcome, record.cache.reason, [link.kind for link in record.links])
"""


def disk(folder: Path) -> GuardedStore:
    """A store with all the time in the world: here nothing is about how quick it is."""
    return GuardedStore(DiskStore(folder, timeout=30), budget=30)


class Other:
    """Another process that asks the same."""

    def __init__(self, child: subprocess.Popen[bytes], out: IO[bytes]) -> None:
        self.child = child
        self._out = out

    def says(self) -> Any:
        line = self._out.readline()
        assert line, "it died"
        return json.loads(line)


@contextmanager
def other(folder: Path, colour: str, manner: str, lease: str = "10m") -> Iterator[Other]:
    asked = json.dumps(question())
    command = [sys.executable, "-c", OTHER, str(folder), colour, manner, asked, "Bearer sk-first", lease]
    home = {**os.environ, "INTERLAY_HOME": str(folder / "home")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=home) as child:
        assert child.stdout is not None
        try:
            yield Other(child, child.stdout)
        finally:
            child.kill()


@each_colour
class TestTwoProcesses:
    def test_that_ask_the_same_send_one_request(self, colour: Colour, tmp_path: Path) -> None:
        async def scenario(world: World) -> None:
            world.wrap(cache=interlay.Cache(disk(tmp_path), lease="10m"))
            feed = Feed(PLAIN, END, held=True)
            world.script(feed)
            mine = world.caller("mine", streamed=False)
            asking = world.start(mine.ask)
            await world.until(lambda: feed.waiting)
            with other(tmp_path, colour, "nothing of mine") as process:
                assert await world.thread(process.says) == ["lease", False]
                feed.let()
                assert await asking.result() == PLAIN
                while (said := await world.thread(process.says))[0] == "lease":
                    assert said[1] is False
            assert said == ["got", PLAIN.decode(), "hit", "lease", ["cache_producer"]]

        play(colour, scenario)

    def test_wait_for_no_more_than_the_lease_when_its_holder_is_killed(self, colour: Colour, tmp_path: Path) -> None:
        async def scenario(world: World) -> None:
            with other(tmp_path, colour, "hangs", lease="2s") as process:
                assert await world.thread(process.says) == ["lease", True]
                assert await world.thread(process.says) == ["sent"]
            world.wrap(cache=interlay.Cache(disk(tmp_path), lease="10m"))
            mine = world.caller("mine", streamed=False)
            assert await mine.ask() == PLAIN
            assert (world.sent, mine.found) == (1, ("miss", "absent"))

        play(colour, scenario)

    def test_wait_no_longer_than_their_own_lease_lasts(self, colour: Colour, tmp_path: Path) -> None:
        async def scenario(world: World) -> None:
            with other(tmp_path, colour, "hangs") as process:
                assert await world.thread(process.says) == ["lease", True]
                world.wrap(cache=interlay.Cache(disk(tmp_path), lease=0.2))
                mine = world.caller("mine", streamed=False)
                assert await mine.ask() == PLAIN
                assert (world.sent, mine.found) == (1, ("miss", "absent"))

        play(colour, scenario)


class _Named(MemoryStore):
    """Leases as another process would have them: not by name of a class."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[str] = []
        self.given_back: list[str] = []

    async def lease(self, io: Any, name: str, owner: str, *, lifetime: float) -> bool:
        self.taken.append(owner)
        return await super().lease(io, name, owner, lifetime=lifetime)

    async def release(self, io: Any, name: str, owner: str) -> None:
        self.given_back.append(owner)
        await super().release(io, name, owner)


def leased(store: MemoryStore) -> interlay.Cache:
    """A cache that leases though its store is in memory."""
    return interlay.Cache(GuardedStore(store, budget=30), lease="10m")


@each_colour
class TestALease:
    @pytest.mark.parametrize(
        "feed",
        [
            lambda: Feed(PLAIN, END),
            lambda: Feed(b"{}", END, status=500),
            lambda: Feed(answer(finish="content_filter"), END),
            lambda: Feed(PLAIN[:50], END, headers={"content-type": "application/json"}),
            lambda: Feed(fails=ConnectionError("of a transport of one's own")),
        ],
        ids=["good", "status", "filtered", "cut", "raises"],
    )
    def test_is_given_back_however_the_call_ends(self, colour: Colour, feed: Callable[[], Feed]) -> None:
        async def scenario(world: World) -> None:
            store = _Named()
            world.wrap(cache=leased(store))
            script = feed()
            world.script(script)
            asking = world.start(world.caller("first", streamed=False).ask)
            await world.until(lambda: asking.is_done)
            await world.settle()
            assert store.given_back == store.taken
            assert len(store.taken) == 1
            script.closed = 1

        play(colour, scenario)

    def test_is_given_back_when_the_caller_closes_early(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            store = _Named()
            world.wrap(cache=leased(store))
            world.script(Feed(PLAIN[:9], headers={"content-type": "application/json"}))
            caller = await world.opened("first", streamed=False)
            await caller.read()
            await caller.close()
            await world.settle()
            assert store.given_back == store.taken != []

        play(colour, scenario)

    def test_is_given_back_after_the_answer_is_there(self, colour: Colour) -> None:
        """Whoever gets it next finds the answer."""

        class Ordered(_Named):
            def __init__(self) -> None:
                super().__init__()
                self.done: list[str] = []

            async def set(self, *args: Any, **said: Any) -> bool:
                self.done.append("set")
                return await super().set(*args, **said)

            async def release(self, io: Any, name: str, owner: str) -> None:
                self.done.append("release")
                await super().release(io, name, owner)

        async def scenario(world: World) -> None:
            store = Ordered()
            world.wrap(cache=leased(store))
            await world.caller(streamed=False).ask()
            await world.settle()
            assert store.done == ["set", "release"]

        play(colour, scenario)

    def test_is_taken_for_no_stream(self, colour: Colour) -> None:
        """Only in one process can a stream be shared while it comes."""

        async def scenario(world: World) -> None:
            store = _Named()
            world.wrap(cache=leased(store))
            await world.caller(streamed=True).ask()
            await world.settle()
            assert store.taken == []

        play(colour, scenario)

    def test_leaves_no_flight_behind_where_another_process_was_quicker(self, colour: Colour) -> None:
        class Quicker(_Named):
            """Has the answer of another process by the time the lease is given."""

            hidden = True

            async def get(self, io: Any, key: str) -> bytes | None:
                return None if self.hidden else await super().get(io, key)

            async def lease(self, io: Any, name: str, owner: str, *, lifetime: float) -> bool:
                self.hidden = False
                return await super().lease(io, name, owner, lifetime=lifetime)

        async def scenario(world: World) -> None:
            store = Quicker()
            world.wrap(cache=leased(store))
            store.hidden = False
            await world.caller(streamed=False).ask()
            await world.settle()
            store.hidden = True
            late = world.caller("late", streamed=False)
            assert await late.ask() == PLAIN
            assert late.found == ("hit", "lease")
            assert not world.flights
            await world.settle()
            assert store.given_back == store.taken
            # And whoever asks when it is there no more does not wait for a flight that is over.
            await world.cache.aforget()
            assert await world.caller(streamed=False).ask() == PLAIN
            assert world.sent == 2

        play(colour, scenario)

    def test_of_a_store_that_fails_holds_nobody_up(self, colour: Colour) -> None:
        class Broken(MemoryStore):
            async def lease(self, io: Any, name: str, owner: str, *, lifetime: float) -> bool:
                raise StoreError("no")

            async def release(self, io: Any, name: str, owner: str) -> None:
                raise StoreError("no")

        async def scenario(world: World) -> None:
            world.wrap(cache=leased(Broken()))
            mine = world.caller("mine", streamed=False)
            assert await mine.ask() == PLAIN
            assert (world.sent, mine.found) == (1, ("miss", "absent"))

        play(colour, scenario)

    def test_is_waited_for_beside_the_loop(self, colour: Colour) -> None:
        if colour == "threads":
            return

        async def scenario(world: World) -> None:
            store = _Named()
            world.wrap(cache=leased(store))
            key = await _key(world, store)
            taken = await store.lease(None, key, "somebody else", lifetime=600)
            assert taken
            asking = world.start(world.caller(streamed=False).ask)
            refused = len(store.taken)
            await world.until(lambda: len(store.taken) > refused + 2)
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
            await store.release(None, key, "somebody else")
            assert await asking.result() == PLAIN

        play("asyncio", scenario)


async def _key(world: World, store: _Named) -> str:
    """The key of the question, as its record has it."""
    first = world.caller("first", streamed=False)
    await first.ask()
    await world.settle()
    key = first.record.key
    assert key is not None
    await world.cache.aforget(key=key)
    assert recorder.runner.drain(30)
    return key
