"""Calls that meet: a provider that answers piece by piece as a test says, and callers that read as it says, as threads
or as tasks of asyncio or trio. Nothing here depends on which of two is quicker: what has to have happened is waited
for."""

from __future__ import annotations

import contextvars
import gc
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar

import anyio
import anyio.abc
import anyio.to_thread
import httpx2
from tests.unit.layers.cache.bench import KEY, URL, answer, events, question

import interlay
from interlay.entry.process import recorder
from interlay.testing import capture

T = TypeVar("T")

Colour = Literal["threads", "asyncio", "trio"]
PATIENCE = 60.0
"""Seconds after which what is waited for will not come any more."""

STREAM = events("Hel", "lo", ", you")
PIECES = [piece + b"\n\n" for piece in STREAM.split(b"\n\n") if piece]
PLAIN = answer()
END = b""


class Feed(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """One answer of the provider: its headers come when it is let, its body as it is given."""

    def __init__(
        self,
        *steps: bytes | Exception,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        held: bool = False,
        fails: Exception | None = None,
    ) -> None:
        self.status = status
        self.headers = dict(headers or {})
        self.fails = fails
        self.closed = 0
        self.pulled = 0
        self.waiting = 0
        """How many wait for its headers, or for what comes next."""
        self._steps: deque[bytes | Exception] = deque(steps)
        self._held = held
        self._changed = threading.Condition()
        self._event: anyio.Event | None = None

    def give(self, *steps: bytes | Exception) -> None:
        """More of the body; empty bytes are its end."""
        with self._changed:
            self._steps += steps
            self._wake()

    def let(self) -> None:
        """Send the headers."""
        with self._changed:
            self._held = False
            self._wake()

    def give_up(self) -> None:
        with self._changed:
            self._held = False
            self._steps.append(httpx2.ReadError("the test is over"))
            self._wake()

    def _wake(self) -> None:
        self._changed.notify_all()
        if self._event is not None:
            self._event.set()

    def _is_ready(self) -> bool:
        return not self._held and bool(self._steps or self.fails)

    def wait(self, ready: Callable[[], bool]) -> None:
        with self._changed:
            self.waiting += 1
            try:
                assert self._changed.wait_for(ready, PATIENCE)
            finally:
                self.waiting -= 1

    async def await_(self, ready: Callable[[], bool]) -> None:
        self.waiting += 1
        try:
            while not ready():
                if self._event is None or self._event.is_set():
                    self._event = anyio.Event()
                await self._event.wait()
            await anyio.lowlevel.checkpoint()
        finally:
            self.waiting -= 1

    def _next(self) -> bytes:
        step = self._steps[0]
        if isinstance(step, Exception):
            raise step
        if step:
            self._steps.popleft()
        self.pulled += 1
        return step

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.wait(self._is_ready)
            if not (piece := self._next()):
                return
            yield piece

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self  # no generator, which trio would want closed

    async def __anext__(self) -> bytes:
        await self.await_(self._is_ready)
        if piece := self._next():
            return piece
        raise StopAsyncIteration

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1

    def response(self) -> httpx2.Response:
        if self.fails is not None:
            raise self.fails
        kind = "text/event-stream"
        if self._steps and isinstance(self._steps[0], bytes) and self._steps[0].startswith(b"{"):
            kind = "application/json"
        return httpx2.Response(self.status, headers={"content-type": kind, **self.headers}, stream=self)

    @property
    def is_held(self) -> bool:
        return self._held


class Provider(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Answers with these feeds in their order, then with whole answers."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []
        self.feeds: list[Feed] = []
        self._script: list[Feed] = []
        self._lock = threading.Lock()

    def script(self, *feeds: Feed) -> None:
        self._script += feeds

    def _feed(self, request: httpx2.Request) -> Feed:
        with self._lock:
            self.requests.append(request)
            if self._script:
                feed = self._script.pop(0)
            else:
                feed = Feed(*PIECES, END) if b'"stream":true' in request.content else Feed(PLAIN, END)
            self.feeds.append(feed)
            return feed

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        feed = self._feed(request)
        feed.wait(lambda: not feed.is_held)
        return feed.response()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        feed = self._feed(request)
        await feed.await_(lambda: not feed.is_held)
        return feed.response()


class Arrivals:
    """A layer outside of all others that counts who has come."""

    role = interlay.Role.ADMIT

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    async def __call__(self, call: Any, next: Any) -> Any:
        with self._lock:
            self.count += 1
        return await next(call)


class Doing(Generic[T]):
    """Something that is done beside the test."""

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.done = anyio.Event()
        self.value: T
        self.error: BaseException | None = None

    def cancel(self) -> None:
        self.scope.cancel()

    @property
    def is_done(self) -> bool:
        return self.done.is_set()

    async def result(self) -> T:
        with anyio.fail_after(PATIENCE):
            await self.done.wait()
        if self.error is not None:
            raise self.error
        return self.value


class Caller:
    """One call, and what it got."""

    def __init__(self, world: World, name: str, body: Any, headers: Mapping[str, str] | None, url: str) -> None:
        self.world = world
        self.name = name
        self.body = body
        self.headers = headers
        self.url = url
        self.read_timeout: float | None = None
        """Seconds that its HTTP client waits for the next byte."""
        self.response: httpx2.Response | None = None
        self.got: list[bytes] = []
        self._iterator: Any = None

    async def open(self) -> Caller:
        """Send the request and wait for the headers."""
        with interlay.using(session=self.name):
            if self.world.colour == "threads":
                client = self.world.sync

                def send() -> httpx2.Response:
                    request = client.build_request("POST", self.url, **self._asked())
                    return client.send(request, stream=True)

                self.response = await self.world.thread(send)
                self._iterator = self.response.iter_raw()
            else:
                held = self.world.asynchronous
                request = held.build_request("POST", self.url, **self._asked())
                self.response = await held.send(request, stream=True)
                self._iterator = self.response.aiter_raw()
        return self

    def _asked(self) -> dict[str, Any]:
        waits = httpx2.Timeout(None, read=self.read_timeout)
        return {"json": self.body, "headers": self.headers, "timeout": waits}

    @property
    def status(self) -> int:
        assert self.response is not None
        return self.response.status_code

    async def read(self) -> bytes:
        """The next piece; empty at the end."""
        if self.world.colour == "threads":
            piece: bytes = await self.world.thread(lambda: next(self._iterator, b""))
        else:
            piece = await anext(self._iterator, b"")
        if piece:
            self.got.append(piece)
        return piece

    async def read_all(self) -> bytes:
        """All that is left."""
        while await self.read():
            pass
        return self.whole

    async def ask(self) -> bytes:
        """Make the call and read it whole."""
        await self.open()
        await self.read_all()
        await self.close()
        return self.whole

    @property
    def whole(self) -> bytes:
        return b"".join(self.got)

    async def close(self) -> None:
        assert self.response is not None
        if self.world.colour == "threads":
            await self.world.thread(self.response.close)
        else:
            await self.response.aclose()
            await self._iterator.aclose()

    def drop(self) -> None:
        """Let go of it without a word."""
        self._iterator = self.response = None
        for _ in range(3):
            gc.collect()

    @property
    def record(self) -> interlay.Record:
        """Its one record."""
        (found,) = [record for record in self.world.records if record.identity.session == self.name]
        return found

    @property
    def end(self) -> str:
        return self.record.end

    @property
    def found(self) -> tuple[str, str]:
        cache = self.record.cache
        assert cache is not None
        return cache.outcome, cache.reason


class World:
    """A client in one colour, with a cache under it."""

    def __init__(self, colour: Colour, group: anyio.abc.TaskGroup, records: Sequence[interlay.Record]) -> None:
        self.colour = colour
        self.provider = Provider()
        self.records = records
        self.cache = interlay.Cache()
        self.sync = httpx2.Client(transport=self.provider, headers=KEY, timeout=None)
        self.asynchronous = httpx2.AsyncClient(transport=self.provider, headers=KEY, timeout=None)
        self._group = group
        self._limiter = anyio.CapacityLimiter(200)
        self._names = 0

    def wrap(self, *parts: object, cache: interlay.Cache | None = None) -> interlay.Cache:
        """Put these parts beside a cache."""
        self.cache = interlay.Cache() if cache is None else cache
        interlay.wrap(self.sync, self.cache, *parts)
        interlay.wrap(self.asynchronous, self.cache, *parts)
        return self.cache

    def wrap_as_given(self, *parts: object) -> None:
        interlay.wrap(self.sync, interlay.Chain(*parts, as_given=True))
        interlay.wrap(self.asynchronous, interlay.Chain(*parts, as_given=True))

    def script(self, *feeds: Feed) -> None:
        self.provider.script(*feeds)

    @property
    def sent(self) -> int:
        return len(self.provider.requests)

    def caller(
        self,
        name: str = "",
        asked: Any = None,
        *,
        streamed: bool = True,
        headers: Mapping[str, str] | None = None,
        url: str = URL,
    ) -> Caller:
        self._names += 1
        body = question(streamed=streamed) if asked is None else asked
        return Caller(self, name or f"caller-{self._names}", body, headers, url)

    async def opened(self, name: str = "", asked: Any = None, **more: Any) -> Caller:
        return await self.caller(name, asked, **more).open()

    async def thread(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._limiter, abandon_on_cancel=True)

    def start(self, work: Callable[[], Awaitable[T]]) -> Doing[T]:
        """Do it beside the test."""
        doing: Doing[T] = Doing()

        async def body() -> None:
            try:
                with doing.scope:
                    doing.value = await work()
                if doing.scope.cancelled_caught:
                    doing.error = Cancelled()
            except Exception as error:  # noqa: BLE001 - raised to whoever asks for the result
                doing.error = error
            finally:
                doing.done.set()

        contextvars.copy_context().run(self._group.start_soon, body)
        return doing

    async def until(self, happened: Callable[[], object]) -> None:
        """Wait until something has happened."""
        with anyio.fail_after(PATIENCE):
            while not happened():  # noqa: ASYNC110 - anything at all, and in any thread
                await anyio.sleep(0.002)

    async def settle(self) -> None:
        """What was handed to the runner is done, and what that handed to the loop."""
        for _ in range(3):
            assert await anyio.to_thread.run_sync(recorder.runner.drain, 30)
            await anyio.wait_all_tasks_blocked()

    async def lost(self, caller: Caller) -> None:
        """Wait until a caller that was dropped has its record."""
        await self.until(lambda: any(record.identity.session == caller.name for record in self.records))

    @property
    def attempts(self) -> int:
        """Requests that records tell of."""
        return sum(len(record.attempts) for record in self.records)

    @property
    def flights(self) -> list[Any]:
        return list(self.cache._state.flights.values())

    @property
    def waiting(self) -> int:
        """How many wait for the headers of the one flight that there is."""
        (flight,) = self.flights or [None]
        if flight is None:
            return 0
        event = flight.ready._event
        return len(event._cond._waiters) if self.colour == "threads" else event.statistics().tasks_waiting

    async def wait_for_more(self, count: int) -> None:
        """Wait until so many wait for what comes next of the one flight that there is."""

        def waiting() -> bool:
            signal = self.flights[0].shared._woken
            if signal is None:
                return False
            event = signal._event
            found = len(event._cond._waiters) if self.colour == "threads" else event.statistics().tasks_waiting
            return bool(found == count)

        await self.until(waiting)


class Cancelled(Exception):
    """It was cancelled, as it was told to be."""


Scenario = Callable[[World], Awaitable[None]]


def play(colour: Colour, scenario: Scenario) -> None:
    """Run a scenario. Nothing may be left behind: no flight, no open answer."""

    async def main() -> None:
        with capture() as records:
            async with anyio.create_task_group() as group:
                world = World(colour, group, records)
                world.wrap()
                try:
                    with anyio.fail_after(PATIENCE * 2):
                        await scenario(world)
                        await world.settle()
                        await world.until(lambda: not world.flights)
                        await world.until(lambda: all(feed.closed for feed in world.provider.feeds if not feed.fails))
                finally:
                    for feed in world.provider.feeds:
                        feed.give_up()
                    group.cancel_scope.cancel()
            world.sync.close()
            await world.asynchronous.aclose()
            # Each request is in one record, and no record has one that was not sent.
            assert world.attempts == world.sent
            names = [record.identity.session for record in records]
            assert len(set(names)) == len(names)

    anyio.run(main, backend="trio" if colour == "trio" else "asyncio")
