"""One response that several streams read, and a stream whose source is replaced while it is read ahead."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

import httpx2
import pytest
from tests.unit.layers.bench import EVENTS, URL

import interlay
from interlay.chain.aio import AsyncIO
from interlay.chain.call import Call, Response
from interlay.chain.io import SyncIO, drive
from interlay.chain.layer import Next
from interlay.chain.runner import Runner
from interlay.chain.shared import LIMIT, Reader, Shared, _Tasks, _Threads
from interlay.model.errors import ReadError, WireTimeout
from interlay.model.protocols import WireEvent
from interlay.model.record import End
from interlay.testing import capture

T = TypeVar("T")

both_colours = pytest.mark.parametrize("colour", ["sync", "async"])


class Source:
    """Chunks, and then what it raises, in one colour."""

    def __init__(self, *chunks: bytes, breaks: Exception | None = None) -> None:
        self.chunks = list(chunks)
        self.breaks = breaks
        self.reading = 0
        self.closed = 0

    def plain(self) -> Source:
        return self

    async def read(self) -> bytes:
        self.reading += 1
        assert self.reading == 1, "two read at once"
        try:
            if self.chunks:
                return self.chunks.pop(0)
            if self.breaks is not None:
                raise self.breaks
            return b""
        finally:
            self.reading -= 1

    async def close(self) -> None:
        self.closed += 1

    def abandon(self) -> None:
        self.closed += 1


class Owner:
    """As much of a call as a response needs."""

    def __init__(self, io: Any) -> None:
        self.io = io


def shared(colour: str, source: Source, *begun: bytes) -> tuple[Any, Reader, Callable[[], Reader | None]]:
    """A response, its owner's reader, and what makes another."""
    made: Shared = _Tasks() if colour == "async" else _Threads()
    make: Any = AsyncIO if colour == "async" else SyncIO
    runner = Runner()
    call: Any = Owner(make(runner))
    owner = made.begin(call, source, begun, over=False)
    return made, owner, lambda: made.join(make(runner))


def run(colour: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return asyncio.run(work()) if colour == "async" else drive(work())


async def rest(reader: Reader) -> list[bytes]:
    found = []
    while chunk := await reader.read():
        found.append(chunk)
    return found


@both_colours
class TestReaders:
    def test_all_get_all_of_it_from_the_first_byte_on(self, colour: str) -> None:
        async def scenario() -> None:
            source = Source(b"c", b"d")
            _, owner, join = shared(colour, source, b"a", b"b")
            other = join()
            assert other is not None
            assert await rest(other) == [b"a", b"b", b"c", b"d"]
            # What was read ahead is held by the owner's own stream.
            assert await rest(owner) == [b"c", b"d"]
            late = join()
            assert late is not None
            assert await rest(late) == [b"a", b"b", b"c", b"d"]

        run(colour, scenario)

    def test_read_on_after_the_owner_and_the_last_one_closes(self, colour: str) -> None:
        async def scenario() -> None:
            source = Source(b"a", b"b")
            _, owner, join = shared(colour, source)
            other = join()
            assert other is not None
            await owner.read()
            await owner.close()
            await owner.close()
            assert source.closed == 0
            assert await rest(other) == [b"a", b"b"]
            await other.close()
            assert source.closed == 1

        run(colour, scenario)

    def test_are_let_in_as_long_as_all_of_it_is_there(self, colour: str) -> None:
        async def scenario() -> None:
            _, owner, join = shared(colour, Source(b"a"))
            await rest(owner)
            await owner.close()
            late = join()  # it was read to its end
            assert late is not None
            assert await rest(late) == [b"a"]
            _, owner, join = shared(colour, Source(b"a"))
            await owner.close()
            assert join() is None  # nobody can read on
            _, owner, join = shared(colour, Source(*([b"x" * 2**20] * 5)))
            await rest(owner)
            assert join() is None  # the beginning is gone

        run(colour, scenario)

    def test_are_told_when_it_breaks_and_only_the_owner_why(self, colour: str) -> None:
        async def scenario() -> None:
            trouble = ReadError("the connection broke")
            _, owner, join = shared(colour, Source(b"a", breaks=trouble))
            some, none = join(), join()
            assert some is not None
            assert none is not None
            assert await some.read() == b"a"
            with pytest.raises(ReadError):
                await some.read()
            assert await owner.read() == b"a"
            with pytest.raises(ReadError) as told:
                await owner.read()
            assert told.value is trouble
            # Who has had nothing is told at once.
            with pytest.raises(ReadError, match="broke off"):
                await none.read()
            assert join() is None

        run(colour, scenario)

    def test_never_keep_more_than_the_limit_for_long(self, colour: str) -> None:
        chunk = b"x" * 2**18

        async def scenario() -> None:
            made, owner, join = shared(colour, Source(*([chunk] * 64)))
            behind, ahead = join(), join()
            assert behind is not None
            assert ahead is not None
            with pytest.raises(ReadError, match="too far ahead"):
                await rest(ahead)
            assert made._size <= LIMIT + len(chunk)
            for _ in range(64):
                assert await owner.read() == chunk
                assert made._size <= LIMIT + len(chunk)
            with pytest.raises(ReadError, match="fell behind"):
                await behind.read()
            assert await owner.read() == b""

        run(colour, scenario)


def test_threads_that_wait_for_anothers_pull_mind_their_deadline() -> None:
    gate, pulling = threading.Event(), threading.Event()

    class Slow(Source):
        async def read(self) -> bytes:
            pulling.set()
            gate.wait(30)
            return await super().read()

    _, owner, join = shared("sync", Slow(b"a"))
    other = join()
    assert other is not None
    thread = threading.Thread(target=lambda: drive(owner.read()))
    thread.start()
    assert pulling.wait(30)
    with pytest.raises(WireTimeout):
        drive(other.io.until(other.io.monotonic() + 0.05, other.read))
    gate.set()
    thread.join()
    assert drive(other.read()) == b"a"


def test_many_threads_read_the_same_in_whatever_order() -> None:
    chunks = [b"%d" % n for n in range(500)]
    source = Source(*chunks)
    _, owner, join = shared("sync", source)
    readers = [owner, *filter(None, (join() for _ in range(7)))]
    got: list[list[bytes]] = []

    def read(reader: Reader) -> None:
        got.append(drive(rest(reader)))
        drive(reader.close())

    threads = [threading.Thread(target=read, args=(reader,)) for reader in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert got == [chunks] * 8
    assert source.closed == 1


class Ahead:
    """A guard that reads an answer ahead, or whose stage holds it."""

    role: ClassVar[interlay.Role] = interlay.Role.GUARD
    holds = 1024

    def __init__(self, *, stage: bool) -> None:
        self.stage = stage
        self.held: list[WireEvent] = []

    async def __call__(self, call: Call, next: Next) -> Response:
        response = await next(call)
        if self.stage:
            response.stream.add(self)
        else:
            await response.buffer()
        return response

    async def feed(self, event: WireEvent) -> list[WireEvent]:
        self.held.append(event)
        return []

    async def finish(self, end: End) -> list[WireEvent]:
        held, self.held = self.held, []
        return held


class Breaking(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    def __init__(self, chunks: list[bytes], *, breaks: bool) -> None:
        self.chunks = chunks
        self.breaks = breaks

    def __iter__(self) -> Any:
        yield from self.chunks
        if self.breaks:
            raise httpx2.ReadError("reset by peer")

    async def __aiter__(self) -> Any:
        for chunk in self.chunks:
            yield chunk
        if self.breaks:
            raise httpx2.ReadError("reset by peer")

    async def aclose(self) -> None:
        pass


class Wire(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """The first answer breaks off after its first event."""

    def __init__(self) -> None:
        self.requests = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests += 1
        pieces = [piece + b"\n\n" for piece in EVENTS.split(b"\n\n") if piece]
        first = self.requests == 1
        stream = Breaking(pieces[:1] if first else pieces, breaks=first)
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=stream)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return self.handle_request(request)


def ask(colour: str, wire: Wire, *parts: object) -> bytes:
    asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "stream": True}

    async def await_it() -> bytes:
        async with httpx2.AsyncClient(transport=wire) as client:
            interlay.wrap(client, *parts)
            return (await client.post(URL, json=asked)).content

    if colour == "async":
        return asyncio.run(await_it())
    with httpx2.Client(transport=wire) as client:
        interlay.wrap(client, *parts)
        return client.post(URL, json=asked).content


@both_colours
class TestASourceThatIsReplaced:
    def test_leaves_nothing_of_the_first_one_that_was_read_ahead(self, colour: str) -> None:
        wire = Wire()
        with capture() as records:
            body = ask(colour, wire, Ahead(stage=False), interlay.Retry(3, backoff=0))
        assert body.count(b'"Hel"') == body.count(b"[DONE]") == 1
        assert wire.requests == 2
        (record,) = records
        assert (record.end, len(record.attempts)) == ("complete", 2)

    def test_is_not_replaced_once_a_stage_holds_some_of_it(self, colour: str) -> None:
        """What a stage was fed cannot be taken back: it would give the beginning twice."""
        wire = Wire()
        with capture() as records, pytest.raises(httpx2.ReadError, match="reset by peer"):
            ask(colour, wire, Ahead(stage=True), interlay.Retry(3, backoff=0))
        assert wire.requests == 1
        assert [record.end for record in records] == ["error"]
