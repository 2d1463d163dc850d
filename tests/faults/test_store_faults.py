"""Redis frozen, killed, restarted, full, evicting, a replica, answering garbage or slowly, and callers who go away.

A call loses a stated time once and nothing after that; what is wrong is a miss and a line in the log, never an error;
and nobody ever gets another's answer.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Self

import anyio
import anyio.lowlevel
import pytest
from tests.services.redis_server import RedisServer, running, until
from tests.unit.entry.wires import Wire
from tests.unit.stores.conformance import HOUR, KEY, T, on_asyncio, on_trio, sync

import interlay
from interlay.chain.aio import AsyncIO
from interlay.chain.io import IO, SyncIO, drive
from interlay.chain.runner import Runner
from interlay.stores import guarded as guarding
from interlay.stores import redis
from interlay.stores.guarded import GuardedStore
from interlay.stores.redis import RedisStore
from interlay.stores.store import StoreError

TIMEOUT = 0.05
"""Seconds that a store may take; what is asserted of it here is ten times as loose, as machines are busy."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    found = RedisServer(tmp_path)
    with running(found):
        yield found


@pytest.fixture
def runner() -> Iterator[Runner]:
    found = Runner()
    yield found
    found.close()


@pytest.fixture(autouse=True)
def _quick_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarding, "_FIRST_PAUSE", 0.1)
    monkeypatch.setattr(guarding, "_LONGEST_PAUSE", 0.2)


class Guarded:
    """A guarded store as a program has it, and its log."""

    def __init__(
        self, url: str, runner: Runner, log: pytest.LogCaptureFixture, timeout: float = TIMEOUT, budget: float = 1.0
    ) -> None:
        self.redis = RedisStore(url, timeout=timeout)
        self.store = GuardedStore(self.redis, budget, name="redis")
        self.runner = runner
        self.log = log
        log.set_level(logging.INFO, "interlay.stores")

    def io(self) -> SyncIO:
        return SyncIO(self.runner)

    def get(self, key: str = KEY) -> bytes | None:
        return drive(self.store.get(self.io(), key))

    def set(self, value: bytes = b"value", key: str = KEY) -> bool:
        return drive(self.store.set(self.io(), key, value, lifetime=HOUR, tags=["t"]))

    def works(self) -> bool:
        self.get()  # what asks whether it is back
        return self.set() and self.get() == b"value"

    def recovers(self) -> None:
        until(self.works, "it is not used again")

    def lines(self) -> list[str]:
        return [message.split(":")[0] for message in self.log.messages]


@pytest.fixture(params=[60.0])
def store(
    server: RedisServer, runner: Runner, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> Iterator[Guarded]:
    """One that is as patient as a busy machine asks for, where nothing else is said."""
    found = Guarded(server.url, runner, caplog, request.param, request.param * 20)
    until(found.works)
    caplog.clear()
    yield found
    found.store.close()


def took(work: Callable[[], T]) -> tuple[float, T]:
    begun = time.perf_counter()
    found = work()
    return time.perf_counter() - begun, found


OFF, ON = "redis is not used until it answers again", "redis is used again"
NO_WRITING, WRITING = "redis is not written to until it answers again", "redis is written to again"


@pytest.mark.parametrize("store", [TIMEOUT], indirect=True, ids=["prompt"])
class TestFrozen:
    def test_costs_one_call_a_moment_and_the_others_nothing(self, store: Guarded, server: RedisServer) -> None:
        server.freeze()
        try:
            seconds, found = took(store.get)
            assert found is None
            assert seconds < 10 * 0.06
            seconds, misses = took(lambda: [store.get() or store.set() for _ in range(1000)])
            assert not any(misses)
            assert seconds < 10 * 0.0001 * 2000
            assert store.lines() == [OFF]
        finally:
            server.thaw()
        store.recovers()
        assert store.lines()[:2] == [OFF, ON]

    @pytest.mark.parametrize("colour", [on_asyncio, on_trio])
    def test_never_stops_an_event_loop(
        self, store: Guarded, server: RedisServer, colour: Callable[[Callable[[IO], Awaitable[None]]], None]
    ) -> None:
        async def work(io: IO) -> None:
            turns = 0

            async def turn() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await anyio.lowlevel.checkpoint()

            async with anyio.create_task_group() as group:
                group.start_soon(turn)
                await anyio.lowlevel.checkpoint()
                before = turns
                seconds, found = time.perf_counter(), await store.store.get(io, KEY)
                seconds = time.perf_counter() - seconds
                assert found is None
                assert turns > before + 10, "other tasks had their turns meanwhile"
                assert seconds < 10 * 0.06
                for _ in range(100):
                    assert await store.store.get(io, KEY) is None
                group.cancel_scope.cancel()

        server.freeze()
        try:
            colour(work)
        finally:
            server.thaw()
        assert store.lines() == [OFF]

    def test_for_many_threads_is_one_line(self, store: Guarded, server: RedisServer) -> None:
        server.freeze()
        try:
            threads = [threading.Thread(target=store.get) for _ in range(30)]
            begun = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert time.perf_counter() - begun < 30 * 0.06, "they wait beside each other"
        finally:
            server.thaw()
        store.recovers()
        assert store.lines()[:2] == [OFF, ON]


def test_killed_and_restarted(store: Guarded, server: RedisServer) -> None:
    server.kill()
    assert not any(store.get() or store.set() for _ in range(50))
    assert store.lines() == [OFF]
    server.start()
    store.recovers()
    assert store.lines() == [OFF, ON]


def test_connections_that_the_server_closed_are_no_failure(store: Guarded, server: RedisServer) -> None:
    for _ in range(5):
        server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        until(lambda: server.ask("CLIENT", "LIST").count(b"\n") == 1)
        assert store.get() == b"value"
    assert not store.lines()


def test_full(store: Guarded, server: RedisServer) -> None:
    server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1")
    assert not any(store.set(b"new") for _ in range(20))
    assert store.get() == b"value", "it is still read"
    assert store.lines() == [NO_WRITING]
    assert drive(store.store.forget(store.io(), tag="t")) == 1, "and what is to go goes"
    server.ask("CONFIG", "SET", "maxmemory", "0")
    store.recovers()
    assert store.lines() == [NO_WRITING, WRITING]


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random", "volatile-ttl"])
def test_evicting(store: Guarded, server: RedisServer, rng: random.Random, policy: str) -> None:
    server.ask("CONFIG", "SET", "maxmemory-policy", policy, "maxmemory", str(server_memory(server) + 2**21))
    keys = [f"{at:064d}" for at in range(3000)]
    for at, key in enumerate(keys):
        assert drive(
            store.redis.set(store.io(), key, key.encode() * 30, lifetime=HOUR, tags=["even" if at % 2 == 0 else "odd"])
        )
    there = [key for key in keys if drive(store.redis.get(store.io(), key)) is not None]
    assert 0 < len(there) < len(keys)
    assert all(drive(store.redis.get(store.io(), key)) in (None, key.encode() * 30) for key in rng.sample(keys, 500))
    drive(store.redis.forget(store.io(), tag="even"))
    left = [at for at, key in enumerate(keys) if drive(store.redis.get(store.io(), key)) is not None]
    assert left, "what is odd stays"
    assert all(at % 2 for at in left), "whatever was evicted, nothing that was to go is left"


def server_memory(server: RedisServer) -> int:
    text: bytes = server.ask("INFO", "memory")
    return int(text.split(b"used_memory:")[1].split(b"\r")[0])


def test_a_replica_is_read_and_not_written_to(store: Guarded, server: RedisServer) -> None:
    server.ask("REPLICAOF", "127.0.0.1", "1")
    server.ask("CONFIG", "SET", "replica-serve-stale-data", "yes")
    assert not any(store.set(b"new") for _ in range(20))
    assert store.get() == b"value"
    assert store.lines() == [NO_WRITING]
    server.ask("REPLICAOF", "NO", "ONE")
    store.recovers()
    assert store.lines() == [NO_WRITING, WRITING]


def test_still_loading_is_a_miss(runner: Runner, caplog: pytest.LogCaptureFixture) -> None:
    with Peer(lambda peer: peer.answer(b"-LOADING Redis is loading the dataset in memory\r\n")) as peer:
        store = Guarded(peer.url, runner, caplog)
        assert not any(store.get() for _ in range(20))
        assert store.lines() == [OFF]
        store.store.close()


class Peer:
    """What is no Redis, on a port of its own. ``behave`` is called with each connection."""

    def __init__(self, behave: Callable[[Peer], None]) -> None:
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        self._local = threading.local()
        self._open = list[socket.socket]()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self._local.socket = connection
        try:
            self._behave(self)
        except OSError:
            pass
        finally:
            connection.close()

    @property
    def socket(self) -> socket.socket:
        found: socket.socket = self._local.socket
        return found

    def hear(self) -> bytes:
        return self.socket.recv(65536)

    def answer(self, data: bytes) -> None:
        """The same to everything that is heard."""
        while heard := self.hear():
            # One for each command in it.
            self.socket.sendall(data * max(1, heard.count(b"\r\n$3\r\nGET") + heard.count(b"ZSCORE") or 1))

    def pong(self) -> None:
        """Behave until a connection is made."""
        heard = b""
        while b"PING" not in heard:
            heard = self.hear()
            self.socket.sendall(b"+PONG\r\n")


def trickle(peer: Peer) -> None:
    peer.pong()
    peer.hear()
    for byte in b"$2000\r\n" + b"x" * 2000:
        peer.socket.sendall(bytes([byte]))
        time.sleep(0.01)


def reset(peer: Peer) -> None:
    peer.pong()
    peer.hear()
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def cut(peer: Peer) -> None:
    peer.pong()
    peer.hear()
    peer.socket.sendall(b"$10\r\nILR")


def silent(peer: Peer) -> None:
    while peer.hear():
        pass


def falls_silent(peer: Peer) -> None:
    peer.pong()
    silent(peer)


def noise(peer: Peer) -> None:
    while peer.hear():
        peer.socket.sendall(random.randbytes(100))


def after_pong(data: bytes) -> Callable[[Peer], None]:
    def behave(peer: Peer) -> None:
        peer.pong()
        peer.answer(data)

    return behave


GARBAGE: dict[str, Callable[[Peer], None]] = {
    "trickle": trickle,
    "reset": reset,
    "cut": cut,
    "silent": silent,
    "falls silent": falls_silent,
    "noise": noise,
    "http": lambda peer: peer.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "ok to all": lambda peer: peer.answer(b"+OK\r\n"),
    "numbers": after_pong(b":5\r\n"),
    "nulls": after_pong(b"$-1\r\n"),
    "lists": after_pong(b"*2\r\n$1\r\na\r\n:1\r\n"),
    "deep": after_pong(b"*1\r\n" * 10_000),
    "too much": after_pong(b"$1\r\nx\r\n" * 5),
    "errors": after_pong(b"-ERR no\r\n"),
    "surrogates": after_pong(b"-\xff\xfe\r\n"),
    "negative": after_pong(b"$-7\r\n"),
    "huge": after_pong(b"$99999999999999999999\r\n"),
    "moved": after_pong(b"-MOVED 1 127.0.0.1:1\r\n"),
}


class TestGarbage:
    @pytest.mark.parametrize("kind", GARBAGE)
    def test_is_a_miss_in_time(
        self, runner: Runner, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        with Peer(GARBAGE[kind]) as peer:
            store = Guarded(peer.url, runner, caplog)
            for _ in range(10):
                seconds, found = took(store.get)
                assert found is None
                assert seconds < 10 * 0.06
                seconds, _ = took(store.set)
                assert seconds < 10 * 1.0
            assert len(store.lines()) <= 4, "a server that answers now this and now that may be used now and then"
            monkeypatch.setattr(redis, "_PATIENCE", 0.1)
            for work in (
                store.redis.forget,
                store.redis.stats,
                lambda io: store.redis.delete(io, KEY),
                lambda io: store.redis.find(io, KEY),
                lambda io: store.redis.lease(io, "name", "ann", lifetime=60),
            ):
                with suppress(StoreError):
                    drive(work(store.io()))
            store.store.close()

    def test_that_nobody_asked_for_is_nobodys_answer(self, runner: Runner, caplog: pytest.LogCaptureFixture) -> None:
        value = b"ILR1" + b"0" * 20 + b"another's"
        extra = b"$%d\r\n%b\r\n" % (len(value), value)

        def behave(peer: Peer) -> None:
            peer.pong()
            while peer.hear():
                # To what was asked: nothing, and that it is on the list. Then what nobody asked for.
                peer.socket.sendall(b"$-1\r\n$1\r\n5\r\n" + extra + b"$1\r\n5\r\n")

        with Peer(behave) as peer:
            store = Guarded(peer.url, runner, caplog, 60.0)
            for _ in range(50):
                assert drive(store.redis.get(store.io(), KEY)) is None
            store.store.close()


def value_of(key: str) -> bytes:
    return key.encode() * 20


def fill(store: RedisStore, keys: list[str]) -> None:
    async def work(io: IO) -> None:
        for key in keys:
            await store.set(io, key, value_of(key), lifetime=HOUR)

    sync(work)


class TestNobodyGetsAnothersAnswer:
    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_whoever_is_cancelled_whenever(self, server: RedisServer, rng: random.Random, backend: str) -> None:
        """Ten thousand calls of different identities, a third of them cancelled at any point, on a server that now and
        then stops for a moment."""
        store = RedisStore(server.url, timeout=60.0)
        keys = [f"{at:064d}" for at in range(500)]
        fill(store, keys)
        store.timeout = 0.05  # so that some are too late, too
        wrong, counts = list[object](), {"found": 0, "late": 0, "cancelled": 0}

        async def one(io: IO, key: str, patience: float | None) -> None:
            with anyio.move_on_after(patience) as scope:
                try:
                    if rng.random() < 0.1:
                        await store.set(io, key, value_of(key), lifetime=HOUR)
                    found = await store.get(io, key)
                except StoreError:
                    counts["late"] += 1
                    return
                counts["found"] += found is not None
                if found not in (None, value_of(key)):
                    wrong.append((key, found))
            counts["cancelled"] += scope.cancelled_caught

        async def everybody() -> None:
            io = AsyncIO(Runner())
            for _ in range(50):
                if rng.random() < 0.2:
                    server.freeze()
                async with anyio.create_task_group() as group:
                    for _ in range(200):
                        patience = rng.choice([None, None, rng.expovariate(500)])
                        group.start_soon(one, io, rng.choice(keys), patience)
                    await anyio.sleep(0.005)
                    server.thaw()

        try:
            anyio.run(everybody, backend=backend)
        finally:
            server.thaw()
        assert not wrong
        assert counts["found"] > 300
        assert counts["cancelled"] > 100
        store.close()

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
    def test_whoever_is_interrupted_whenever(self, server: RedisServer, rng: random.Random) -> None:
        """In sync, as Ctrl-C does it: an exception at any line of ours or of redis-py's."""

        class Interrupted(BaseException):
            pass

        def interrupt(_number: int, _frame: FrameType | None) -> None:
            raise Interrupted

        store, io = RedisStore(server.url, timeout=60.0), SyncIO(Runner())
        keys = [f"{at:064d}" for at in range(50)]
        fill(store, keys)
        interrupted = 0
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            for _ in range(3000):
                key = rng.choice(keys)
                try:
                    signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.00001, 0.0003))
                    found = drive(store.get(io, key))
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except Interrupted:
                    interrupted += 1
                    continue
                assert found == value_of(key)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert interrupted > 10
        assert all(drive(store.get(io, key)) == value_of(key) for key in keys)
        store.close()

    def test_threads_beside_tasks(self, server: RedisServer) -> None:
        store = RedisStore(server.url, timeout=60.0)
        keys = [f"{at:064d}" for at in range(100)]
        fill(store, keys)
        wrong = list[object]()

        async def check(io: IO) -> None:
            for key in keys * 3:
                if (found := await store.get(io, key)) != value_of(key):
                    wrong.append((key, found))

        async def tasks(io: IO) -> None:
            await asyncio.gather(*(check(io) for _ in range(10)))

        threads = [threading.Thread(target=sync, args=(check,)) for _ in range(6)]
        threads += [threading.Thread(target=on_asyncio, args=(tasks,)), threading.Thread(target=on_trio, args=(check,))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        store.close()


class TestPain07UnreachableRedisHangsEveryRequest:
    """Seen elsewhere: a Redis that does not answer holds every request up for as long as its client cares to try."""

    @staticmethod
    def question(number: int) -> Any:
        return [{"role": "user", "content": f"What is {number} and one?"}]

    def test_pain_07_frozen(self, server: RedisServer) -> None:
        wire = Wire(200)
        client = interlay.wrap(wire.for_openai(), interlay.Cache(server.url))

        def ask(number: int) -> float:
            seconds, answer = took(
                lambda: client.chat.completions.create(model="gpt-4o-mini", messages=self.question(number))
            )
            assert answer.choices[0].message.content == "Hello"
            return seconds

        ask(0)  # whatever is made once
        server.freeze()
        try:
            assert ask(1) < 10 * (0.06 + 0.01)
            assert sum(ask(number) for number in range(2, 102)) < 10 * 100 * 0.003
        finally:
            server.thaw()
        assert len(wire.requests) == 102
        outcomes = [record.cache for record in reversed(interlay.last(101)) if record.cache is not None]
        assert {(cache.outcome, cache.reason) for cache in outcomes} == {("error", "store")}

    def test_pain_07_frozen_in_async(self, server: RedisServer) -> None:
        wire = Wire(200)

        async def body() -> None:
            client = interlay.wrap(wire.for_async_openai(), interlay.Cache(server.url))

            async def ask(number: int) -> None:
                answer = await client.chat.completions.create(model="gpt-4o-mini", messages=self.question(number))
                assert answer.choices[0].message.content == "Hello"

            await ask(0)
            server.freeze()
            begun = time.perf_counter()
            await asyncio.gather(*(ask(number) for number in range(1, 51)))
            assert time.perf_counter() - begun < 10 * (0.06 + 50 * 0.003), "they wait beside each other, once"
            begun = time.perf_counter()
            for number in range(51, 101):
                await ask(number)
            assert time.perf_counter() - begun < 10 * 50 * 0.003
            await client.close()

        try:
            asyncio.run(body())
        finally:
            server.thaw()
        assert len(wire.requests) == 101

    @pytest.mark.parametrize(
        "address", ["redis://127.0.0.1:1", "redis://no-such-host.invalid", "redis+cluster://127.0.0.1:1"]
    )
    def test_pain_07_not_there_from_the_beginning(self, address: str) -> None:
        client = interlay.wrap(Wire(200).for_openai(), interlay.Cache(address))
        seconds, _ = took(
            lambda: [
                client.chat.completions.create(model="gpt-4o-mini", messages=self.question(number))
                for number in range(50)
            ]
        )
        assert seconds < 10 * (0.06 + 50 * 0.003)
