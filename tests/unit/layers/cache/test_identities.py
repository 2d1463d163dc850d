"""Nobody ever gets another's answer: callers of many identities, with many questions, in threads and in tasks,
cancelled at random, over a store that fails in every way a store can."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2
import pytest
from tests.unit.layers.cache.bench import URL, answer, events

import interlay
from interlay.chain.io import IO
from interlay.stores.guarded import GuardedStore
from interlay.stores.memory import MemoryStore
from interlay.stores.store import Found, StoreError

SECRET = "sk-" + "k" * 60
BUDGET = 0.02


@dataclass(frozen=True)
class Identity:
    """Who asks: by a tenant, or by a credential; and which of its users."""

    tenant: str | None
    credential: str
    user: str

    @property
    def owner(self) -> str:
        """Whose answers these are."""
        return f"{self.tenant or self.credential}|{self.user}"


@dataclass(frozen=True)
class Asking:
    """One call that is to be made."""

    identity: Identity
    question: str
    streamed: bool
    leaves_after: float | None
    """Seconds after which it is cancelled, or closes."""
    extra: dict[str, Any] = field(hash=False)


def identities() -> list[Identity]:
    found = []
    for user in ("ann", "bob"):
        # They differ in their last character alone, as do names that begin with another's.
        found += [Identity(None, f"{SECRET}{last}", user) for last in "abcdef"]
        found += [Identity(tenant, f"{SECRET}x", user) for tenant in ("acme", "acme2", "acm", "ACME", "key:acme")]
    return found


def askings(count: int, rng: random.Random) -> Iterator[Asking]:
    everybody = identities()
    extras: list[dict[str, Any]] = [
        {},
        {},
        {"temperature": 0},
        {"temperature": 1},
        {"seed": 1},
        {"seed": 1.0},
        {"user": "no"},
    ]
    for _ in range(count):
        extra = rng.choice(extras)
        leaves = rng.random() * 0.01 if rng.random() < 0.15 else None
        yield Asking(rng.choice(everybody), f"question {rng.randrange(12)}", rng.random() < 0.5, leaves, extra)


def digest(owner: str, question: str, seed: Any, temperature: object) -> str:
    # 1 and 1.0 ask the same, and are equal here too.
    return hashlib.sha256(repr((owner, question, seed and float(seed), temperature)).encode()).hexdigest()


def expected(asking: Asking) -> str:
    seed = asking.extra.get("seed")
    return digest(asking.identity.owner, asking.question, seed, asking.extra.get("temperature"))


class Echo(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Answers with a digest of who asked what. Who it is it reads off a header that is no part of any key."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._lock = threading.Lock()
        self.requests = 0

    def _answer(self, request: httpx2.Request) -> tuple[list[bytes], bool, float]:
        body = json.loads(request.content)
        owner = request.headers["x-request-tag"]
        said = digest(owner, body["messages"][0]["content"], body.get("seed"), body.get("temperature"))
        with self._lock:
            self.requests += 1
            chance, pause = self._rng.random(), self._rng.random() * 0.004
        whole = events(said[:20], said[20:40], said[40:]) if body.get("stream") else answer(said)
        if chance < 0.1:
            return [whole[: len(whole) // 2]], chance < 0.05, pause
        third = len(whole) // 3
        return [whole[:third], whole[third : 2 * third], whole[2 * third :]], False, pause

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        chunks, breaks, pause = self._answer(request)
        time.sleep(pause)
        return _response(request, chunks, breaks=breaks, pause=pause)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        chunks, breaks, pause = self._answer(request)
        await anyio.sleep(pause)
        return _response(request, chunks, breaks=breaks, pause=pause)


def _response(request: httpx2.Request, chunks: list[bytes], *, breaks: bool, pause: float) -> httpx2.Response:
    kind = "text/event-stream" if b'"stream":true' in request.content else "application/json"
    return httpx2.Response(200, headers={"content-type": kind}, stream=_Body(chunks, breaks=breaks, pause=pause))


class _Body(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    def __init__(self, chunks: list[bytes], *, breaks: bool, pause: float) -> None:
        self.chunks = chunks
        self.breaks = breaks
        self.pause = pause

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            time.sleep(self.pause / 4)
            yield chunk
        if self.breaks:
            raise httpx2.ReadError("reset by peer")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            await anyio.sleep(self.pause / 4)
            yield chunk
        if self.breaks:
            raise httpx2.ReadError("reset by peer")

    async def aclose(self) -> None:
        pass


class Unreliable(MemoryStore):
    """Raises, hangs within its budget, gives garbage, gives what belongs to another key, forgets."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng
        self._guard = threading.Lock()
        self._seen: list[bytes] = []

    def _chance(self) -> float:
        with self._guard:
            return self._rng.random()

    async def get(self, io: IO, key: str) -> bytes | None:
        chance = self._chance()
        if chance < 0.01:
            raise StoreError("down")
        if chance < 0.02:
            raise ValueError("a store of one's own")
        if chance < 0.05:
            await io.sleep(BUDGET / 10)
        found = await super().get(io, key)
        if chance < 0.10:
            return b"\x80\x04garbage" + bytes(str(chance), "ascii")
        if chance < 0.30 and self._seen:
            return self._seen[int(chance * 1e6) % len(self._seen)]
        if chance < 0.35 and found:
            return found[: len(found) // 2]
        if chance < 0.40 and found:
            at = int(chance * 1e6) % len(found)
            return found[:at] + bytes([found[at] ^ 0x20]) + found[at + 1 :]
        return None if chance < 0.45 else found

    async def find(self, io: IO, key: str) -> Found | None:
        value = await self.get(io, key)
        return None if value is None else Found(value, 60.0)

    async def set(self, io: IO, key: str, value: bytes, **said: Any) -> bool:
        chance = self._chance()
        if chance < 0.02:
            raise StoreError("full")
        with self._guard:
            self._seen = [*self._seen[-50:], value]
        return await super().set(io, key, value, **said)


class Crowd:
    """Makes all these calls, and looks at what each got."""

    def __init__(self, seed: int, count: int) -> None:
        self.rng = random.Random(seed)
        self.seed = seed
        self.askings = list(askings(count, self.rng))
        self.echo = Echo(random.Random(seed + 1))
        store = GuardedStore(Unreliable(random.Random(seed + 2)), budget=BUDGET * 50)
        # A breaker that is open would hide what is to be seen.
        store._reading.open = store._writing.open = lambda now: False  # type: ignore[method-assign]
        self.cache = interlay.Cache(store, vary_by=["user"], ttl="1h")
        self.answered = 0
        self.hits = 0
        self.wrong: list[str] = []

    def parts(self) -> tuple[object, ...]:
        return self.cache, interlay.Observe(self._look, inline=True)

    def _look(self, record: interlay.Record) -> None:
        self.hits += record.cache is not None and record.cache.outcome == "hit"

    def request(self, asking: Asking) -> dict[str, Any]:
        body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": asking.question}]}
        if asking.streamed:
            body["stream"] = True
        headers = {
            "authorization": f"Bearer {asking.identity.credential}",
            "x-request-tag": asking.identity.owner,
        }
        return {"json": {**body, **asking.extra}, "headers": headers}

    def check(self, asking: Asking, response: httpx2.Response, body: bytes) -> None:
        """Of who got all of an answer. A broken plain body is no JSON, a broken stream has no end."""
        if response.headers["content-type"] == "text/event-stream":
            if b"[DONE]" not in body:
                return
            said = ""
            for line in body.splitlines():
                if line.startswith(b"data: {"):
                    said += "".join(choice["delta"].get("content") or "" for choice in json.loads(line[6:])["choices"])
        else:
            try:
                said = json.loads(body)["choices"][0]["message"]["content"]
            except ValueError:
                return
        self.answered += 1
        if said != expected(asking):
            self.wrong.append(f"seed {self.seed}: {asking} got {said}")

    def ask(self, client: httpx2.Client, asking: Asking) -> None:
        identity = asking.identity
        with interlay.using(tenant=identity.tenant, user=identity.user):
            try:
                with client.stream("POST", URL, **self.request(asking)) as response:
                    body = b""
                    for piece in response.iter_raw():
                        body += piece
                        if asking.leaves_after is not None:
                            return
                    self.check(asking, response, body)
            except httpx2.TransportError:
                pass

    async def aask(self, client: httpx2.AsyncClient, asking: Asking) -> None:
        identity = asking.identity
        with interlay.using(tenant=identity.tenant, user=identity.user), anyio.move_on_after(asking.leaves_after):
            try:
                async with client.stream("POST", URL, **self.request(asking)) as response:
                    self.check(asking, response, await response.aread())
            except httpx2.TransportError:
                pass

    def threads(self, mine: list[Asking]) -> None:
        with httpx2.Client(transport=self.echo, timeout=None) as client:
            interlay.wrap(client, *self.parts())
            with ThreadPoolExecutor(16) as pool:
                for done in [pool.submit(self.ask, client, asking) for asking in mine]:
                    done.result(120)

    async def tasks(self, mine: list[Asking]) -> None:
        limit = anyio.CapacityLimiter(64)
        async with httpx2.AsyncClient(transport=self.echo, timeout=None) as client:
            interlay.wrap(client, *self.parts())

            async def one(asking: Asking) -> None:
                async with limit:
                    await self.aask(client, asking)

            async with anyio.create_task_group() as group:
                for asking in mine:
                    group.start_soon(one, asking)

    def run(self) -> None:
        """Half of them in threads, half in tasks, at the same time, and over one store."""
        half = len(self.askings) // 2
        failed: list[BaseException] = []

        def beside(work: Callable[[], None]) -> threading.Thread:
            def body() -> None:
                try:
                    work()
                except BaseException as error:  # noqa: BLE001 - raised below
                    failed.append(error)

            thread = threading.Thread(target=body)
            thread.start()
            return thread

        running = [
            beside(lambda: self.threads(self.askings[:half])),
            beside(lambda: asyncio.run(self.tasks(self.askings[half:]))),
        ]
        for thread in running:
            thread.join(250)
            assert not thread.is_alive(), f"seed {self.seed}: somebody waits for ever"
        assert not failed, f"seed {self.seed}: {failed}"
        assert not self.wrong, self.wrong[0]
        assert not self.cache._state.flights, f"seed {self.seed}: a flight was left behind"


@pytest.mark.parametrize("count", [600, pytest.param(10_000, marks=pytest.mark.long)])
def test_everybody_gets_an_answer_to_their_own_question(count: int, rng: random.Random) -> None:
    crowd = Crowd(rng.getrandbits(32), count)
    crowd.run()
    # It has been a test: most had whole answers, and many of these without a request.
    assert crowd.answered > count // 3
    assert crowd.hits > count // 20
    assert crowd.echo.requests < count
