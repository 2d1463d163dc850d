"""Stores that fail under a cache: a call is delayed once, by no more than the store's budget, and by next to nothing
after that; the event loop is never blocked; nobody gets an error of it."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import anyio
import httpx2
import pytest
from tests.unit.layers.cache.bench import KEY, URL, answer, question

import interlay
from interlay.chain.io import IO, SyncIO
from interlay.entry.process import recorder
from interlay.stores.guarded import GuardedStore
from interlay.stores.memory import MemoryStore
from interlay.testing import Player, Turn, capture, transports

Colour = Literal["sync", "async"]
both_colours = pytest.mark.parametrize("colour", ["sync", "async"])

BUDGET = 1.0
"""Far longer than a call takes on any machine, so that one that waits for a store is told from one that does not."""
CALLS = 30


class Client:
    """Asks in one colour, and counts what it got."""

    def __init__(self, colour: Colour, store: Any, **settings: Any) -> None:
        self.colour = colour
        self.player = Player(otherwise=Turn(body=answer()))
        self.cache = interlay.Cache(store, **settings)
        self._loop = asyncio.Runner()
        self._sync = httpx2.Client(transport=transports(httpx2).sync(self.player), headers=KEY)
        self._async = httpx2.AsyncClient(transport=transports(httpx2).asynchronous(self.player), headers=KEY)
        interlay.wrap(self._sync, self.cache)
        interlay.wrap(self._async, self.cache)

    def ask(self, text: str = "hi") -> float:
        """One call, which has to go well. Gives the seconds it took."""
        began = time.monotonic()
        if self.colour == "sync":
            response = self._sync.post(URL, json=question(text))
        else:
            response = self._loop.run(self._async.post(URL, json=question(text)))
        assert (response.status_code, response.content) == (200, answer())
        return time.monotonic() - began

    async def aask(self, text: str) -> None:
        response = await self._async.post(URL, json=question(text))
        assert (response.status_code, response.content) == (200, answer())

    def run(self, work: Any) -> Any:
        return self._loop.run(work)

    @property
    def sent(self) -> int:
        return len(self.player.requests)

    def close(self) -> None:
        self._loop.run(self._async.aclose())
        self._loop.close()
        self._sync.close()


@contextmanager
def client(colour: Colour, store: Any, **settings: Any) -> Iterator[Client]:
    made = Client(colour, store, **settings)
    try:
        yield made
    finally:
        made.close()


class Hanging(MemoryStore):
    """Some of its operations never end, until it is well again. One that blocks has a time-out of its own, as it has to
    have."""

    def __init__(self, *hangs: str) -> None:
        super().__init__()
        self.hangs = set(hangs)
        self.asked: list[str] = []
        """Which operations callers waited for; trials are the runner's."""

    async def _do(self, io: IO, name: str) -> None:
        if threading.current_thread().name != "interlay":
            self.asked.append(name)
        if name in self.hangs:
            if not isinstance(io, SyncIO):
                await anyio.sleep_forever()
            await io.sleep(BUDGET)
            raise TimeoutError

    async def get(self, io: IO, key: str) -> bytes | None:
        await self._do(io, "get")
        return await super().get(io, key)

    async def set(self, io: IO, key: str, value: bytes, **said: Any) -> bool:
        await self._do(io, "set")
        return await super().set(io, key, value, **said)

    async def lease(self, io: IO, name: str, owner: str, *, lifetime: float) -> bool:
        await self._do(io, "lease")
        return await super().lease(io, name, owner, lifetime=lifetime)

    async def release(self, io: IO, name: str, owner: str) -> None:
        await self._do(io, "release")
        await super().release(io, name, owner)


def guarded(store: Hanging) -> GuardedStore:
    return GuardedStore(store, BUDGET, name="the store")


@both_colours
class TestAStoreThatHangs:
    @pytest.mark.parametrize("hangs", ["get", "lease"])
    def test_is_waited_for_once(self, colour: Colour, hangs: str, caplog: pytest.LogCaptureFixture) -> None:
        store = Hanging(hangs)
        with client(colour, guarded(store)) as held, caplog.at_level(logging.WARNING, "interlay.stores"):
            first = held.ask("first")
            rest = sum(held.ask(f"question {n}") for n in range(CALLS))
        assert first >= BUDGET * 0.9
        assert rest < CALLS * BUDGET / 10
        assert store.asked.count(hangs) == 1
        assert held.sent == CALLS + 1
        assert len([record for record in caplog.records if record.name == "interlay.stores"]) == 1

    def test_while_it_is_written_to_delays_nobody(self, colour: Colour) -> None:
        store = Hanging("set", "release")
        with client(colour, guarded(store), lease=0) as held:
            took = sum(held.ask(f"question {n}") for n in range(CALLS))
            # What could not be written yet is given all the same, as long as it waits.
            assert took < CALLS * BUDGET / 10
            assert recorder.runner.drain(60)

    def test_is_used_again_when_it_is_well(self, colour: Colour) -> None:
        store = Hanging("get")
        with client(colour, guarded(store)) as held:
            held.ask()
            store.hangs.clear()
            until = time.monotonic() + 60
            while store.asked.count("get") < 2:
                held.ask()
                assert time.monotonic() < until
                time.sleep(0.01)
            held.ask()
            assert recorder.runner.drain(60)
            sent = held.sent
            held.ask()
            assert held.sent == sent

    def test_delays_many_at_once_by_one_budget_in_all(self, colour: Colour) -> None:
        """Those who were on their way already wait too, but all at the same time."""
        store = Hanging("get")
        with client(colour, guarded(store)) as held:
            began = time.monotonic()
            if colour == "async":

                async def many() -> None:
                    async with anyio.create_task_group() as group:
                        for n in range(CALLS):
                            group.start_soon(held.aask, f"question {n}")

                held.run(many())
            else:
                threads = [threading.Thread(target=held.ask, args=(f"question {n}",)) for n in range(CALLS)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(60)
            assert time.monotonic() - began < CALLS * BUDGET / 3
            assert held.sent == CALLS


def test_the_loop_goes_on_while_a_store_hangs() -> None:
    beats = 0

    async def heart() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    with client("async", guarded(Hanging("get", "set", "lease", "release"))) as held:

        async def main() -> None:
            beating = asyncio.create_task(heart())
            await held.aask("first")
            assert beats > BUDGET / 0.01 / 10
            for n in range(5):
                await held.aask(f"question {n}")
            beating.cancel()

        held.run(main())


def test_a_call_that_is_cancelled_while_a_store_hangs_says_nothing_against_the_store() -> None:
    store = Hanging("get")
    guard = guarded(store)

    with client("async", guard) as held:

        async def main() -> None:
            with anyio.move_on_after(BUDGET / 10):
                await held.aask("cancelled")
            store.hangs.clear()
            await held.aask("next")

        with capture() as records:
            held.run(main())
    assert [record.end for record in records] == ["cancelled", "complete"]
    assert guard._reading.pause == 0
    assert held.sent == 1


class Peer:
    """Something that listens where a Redis server should be."""

    def __init__(self, manner: str) -> None:
        self.manner = manner
        self.connections: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listening.getsockname()[1]
        if manner == "refuses":
            self._listening.close()
        else:
            threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
                self.connections.append(connection)
                if self.manner == "closes":
                    connection.close()
                elif self.manner == "garbage":
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 20)
            except OSError:
                return

    def close(self) -> None:
        self._listening.close()
        for connection in self.connections:
            connection.close()


@both_colours
@pytest.mark.parametrize("manner", ["freezes", "closes", "garbage", "refuses"])
def test_pain_7_a_redis_server_that_cannot_be_reached_hangs_nobody(colour: Colour, manner: str) -> None:
    pytest.importorskip("redis")
    peer = Peer(manner)
    try:
        with client(colour, f"redis://127.0.0.1:{peer.port}/0") as held:
            took = [held.ask(f"question {n}") for n in range(CALLS)]
            held.cache.close()
        # A client without a time-out would wait for ever, one with its usual five seconds for two minutes and a half.
        assert sum(took) < CALLS
        assert held.sent == CALLS
        assert recorder.runner.drain(60)
        assert len(peer.connections) < CALLS
    finally:
        peer.close()
