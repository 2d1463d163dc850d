"""The law of endings: an answer is given again if, and only if, it was complete and good; then byte for byte in the
form that it came in, and saying the same in the other. For every recorded answer, however it is cut, coded and
ended."""

from __future__ import annotations

import asyncio
import gc
import gzip
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import httpx2
import pytest
from hypothesis import assume, event, example, given, note, settings
from hypothesis import strategies as st
from tests.properties.test_forms import said
from tests.unit.dialects.exchanges import CASSETTES, framed

import interlay
from interlay.chain.keepable import reason_not_to_keep
from interlay.chain.stream import lose_open
from interlay.dialects import find, named
from interlay.entry.process import recorder
from interlay.model import json
from interlay.model.protocols import Codec
from interlay.model.record import Failure
from interlay.testing import Exchange, Recording, capture

Colour = Literal["sync", "async"]
Kind = Literal["whole", "cut", "reset", "closed", "raised", "interrupted", "cancelled", "dropped"]

KINDS: tuple[Kind, ...] = ("whole", "cut", "reset", "closed", "raised", "interrupted", "cancelled", "dropped")
GONE = 418
"""What the provider says to whoever asks again: a cache that gives an answer then has kept one."""


@dataclass(frozen=True)
class Asked:
    """A recorded exchange."""

    name: str
    codec: Codec
    url: str
    request: dict[str, Any]
    status: int
    kind: str
    answer: bytes

    @property
    def streamed(self) -> bool:
        return self.codec.outline(json.encode(self.request)).streamed or "stream" in self.url

    @property
    def is_good(self) -> bool:
        """Whether it may be given again, if it may be asked for."""
        if self.status != 200:
            return False
        events = framed(self.codec, self.answer) if self.streamed else None
        return reason_not_to_keep(self.codec, self.streamed, None if self.streamed else self.answer, events) is None

    def meaning(self, body: bytes, *, streamed: bool) -> Any:
        """What an answer says, apart from what it used."""
        if streamed:
            return said(self.codec.assemble(framed(self.codec, body)))
        return said(self.codec.decode_response(body))


def _asked() -> Iterator[Asked]:
    for folder in sorted(path for path in CASSETTES.iterdir() if path.is_dir()):
        for recording in Recording.load_all(folder):
            for number, exchange in enumerate(recording.exchanges):
                found = _of(f"{recording.id}.{number}", exchange)
                if found is not None:
                    yield found


def _of(name: str, exchange: Exchange) -> Asked | None:
    request, response = exchange.request, exchange.response
    dialect = find(request.method, request.path)
    codec = named(dialect.name) if dialect is not None else None
    if not isinstance(codec, Codec) or not isinstance(request.body, dict):
        return None
    kind = response.headers.get("content-type") or ("text/event-stream" if response.is_events else "application/json")
    return Asked(name, codec, request.url, request.body, response.status, kind, response.content)


ALL = list(_asked())
GOOD = [each for each in ALL if each.is_good]
STREAMS = [each for each in GOOD if each.streamed]


@dataclass(frozen=True)
class Played:
    """How one answer comes and ends."""

    kind: Kind
    at: int
    """Bytes after which the wire breaks, or after which the reader reads no more."""
    sizes: tuple[int, ...]
    coding: str | None

    def wire(self, answer: bytes) -> bytes:
        if self.coding == "gzip":
            return gzip.compress(answer)
        return zlib.compress(answer) if self.coding == "deflate" else answer

    def chunks(self, answer: bytes) -> list[bytes]:
        wire = self.wire(answer)
        if self.kind in ("cut", "reset"):
            wire = wire[: self.at % max(len(wire), 1)]
        found, at, turn = [], 0, 0
        while at < len(wire):
            size = self.sizes[turn % len(self.sizes)] if turn < 200 else len(wire)
            found.append(wire[at : at + size])
            at, turn = at + size, turn + 1
        return found


class Body(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    def __init__(self, chunks: list[bytes], *, breaks: bool) -> None:
        self.chunks = iter(chunks)
        self.breaks = breaks

    def __iter__(self) -> Iterator[bytes]:
        yield from self.chunks
        if self.breaks:
            raise httpx2.ReadError("reset by peer")

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for chunk in self.chunks:
            return chunk
        if self.breaks:
            raise httpx2.ReadError("reset by peer")
        raise StopAsyncIteration

    async def aclose(self) -> None:
        pass


class Wire(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Answers once."""

    def __init__(self, asked: Asked, played: Played, status: int, answer: bytes) -> None:
        headers = {"content-type": asked.kind}
        if played.coding is not None:
            headers["content-encoding"] = played.coding
        body = Body(played.chunks(answer), breaks=played.kind == "reset")
        self.first: httpx2.Response | None = httpx2.Response(status, headers=headers, stream=body)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        first, self.first = self.first, None
        return httpx2.Response(GONE, content=b"{}") if first is None else first

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return self.handle_request(request)


class Reader:
    """Reads until it has enough, and then does what it does."""

    def __init__(self, played: Played) -> None:
        self.played = played
        self.read = 0

    def takes(self, chunk: bytes) -> bool:
        """Whether it goes on. Raises what readers raise."""
        self.read += len(chunk)
        kind = self.played.kind
        if kind in ("whole", "cut", "reset") or self.read < self.played.at:
            return True
        if kind == "raised":
            raise ZeroDivisionError
        if kind == "interrupted":
            raise KeyboardInterrupt
        if kind == "cancelled":
            raise asyncio.CancelledError
        return False


Got = tuple[int, bytes, bool]
"""Status, body, and whether all of it was read without an error."""


def ask(client: httpx2.Client, asked: Asked, body: Any, played: Played | None = None) -> Got:
    got, whole, status = bytearray(), True, 0
    reader = Reader(played) if played is not None else None
    try:
        request = client.build_request("POST", asked.url, json=body, headers=HEADERS)
        response = client.send(request, stream=True)
        status = response.status_code
        try:
            for chunk in response.iter_bytes():
                got += chunk
                if reader is not None and not reader.takes(chunk):
                    whole = False
                    break
        finally:
            if played is None or played.kind != "dropped":
                response.close()
    except (httpx2.HTTPError, ZeroDivisionError, KeyboardInterrupt, asyncio.CancelledError):
        whole = False
    return status, bytes(got), whole


async def aask(client: httpx2.AsyncClient, asked: Asked, body: Any, played: Played | None = None) -> Got:
    got, whole, status = bytearray(), True, 0
    reader = Reader(played) if played is not None else None
    try:
        request = client.build_request("POST", asked.url, json=body, headers=HEADERS)
        response = await client.send(request, stream=True)
        status = response.status_code
        try:
            async for chunk in response.aiter_bytes():
                got += chunk
                if reader is not None and not reader.takes(chunk):
                    whole = False
                    break
        finally:
            if played is None or played.kind != "dropped":
                await response.aclose()
    except (httpx2.HTTPError, ZeroDivisionError, KeyboardInterrupt, asyncio.CancelledError):
        whole = False
    return status, bytes(got), whole


HEADERS = {"authorization": "Bearer sk-of-one", "accept-encoding": "gzip, deflate"}


@dataclass(frozen=True)
class Outcome:
    """What became of a call and of those that ask the same after it."""

    first: Got
    again: Got
    other: Got | None
    record: interlay.Record
    reason: str


def turned(asked: Asked) -> dict[str, Any] | None:
    """The same question in the other form, where the body says the form."""
    if asked.codec.name == "gemini" or asked.request.get("modalities") or asked.request.get("audio"):
        return None
    return {**asked.request, "stream": not asked.streamed}


def play(colour: Colour, asked: Asked, played: Played, *, status: int = 200, answer: bytes | None = None) -> Outcome:
    wire = Wire(asked, played, status, asked.answer if answer is None else answer)
    cache = interlay.Cache()
    other_form = turned(asked)

    def lost() -> None:
        if played.kind != "dropped":
            return
        gc.collect()
        lose_open()
        assert recorder.runner.drain(30)

    def sync() -> list[Any]:
        with httpx2.Client(transport=wire) as client:
            interlay.wrap(client, cache)
            found: list[Any] = [ask(client, asked, asked.request, played)]
            lost()
            found.append(ask(client, asked, asked.request))
            return [*found, None if other_form is None else ask(client, asked, other_form)]

    async def asynchronous() -> list[Any]:
        async with httpx2.AsyncClient(transport=wire) as client:
            interlay.wrap(client, cache)
            found: list[Any] = [await aask(client, asked, asked.request, played)]
            await asyncio.sleep(0)
            lost()
            found.append(await aask(client, asked, asked.request))
            return [*found, None if other_form is None else await aask(client, asked, other_form)]

    with capture() as records:
        first, again, other = sync() if colour == "sync" else asyncio.run(asynchronous())
    look_up = records[1].cache
    assert look_up is not None
    return Outcome(first, again, other, records[0], look_up.reason)


def check(asked: Asked, played: Played, outcome: Outcome, *, good: bool) -> None:
    """The law."""
    status, body, whole = outcome.again
    served = status != GONE
    if outcome.record.end != "complete" or not good:
        assert not served, outcome.record.end
    if served:
        assert status == 200
        assert whole
        # What was left away can be nothing that the answer says.
        assert asked.meaning(body, streamed=asked.streamed) == asked.meaning(asked.answer, streamed=asked.streamed)
        assert body.startswith(outcome.first[1])
        if outcome.first[2]:
            assert body == outcome.first[1]
    elif played.kind == "whole" and good:
        assert outcome.record.cache is not None
        assert outcome.record.cache.outcome == "bypass", "a good answer was not kept"
    if outcome.other is not None and outcome.other[0] != GONE:
        assert served
        assert asked.meaning(outcome.other[1], streamed=not asked.streamed) == asked.meaning(
            asked.answer, streamed=asked.streamed
        )


def plays(*kinds: Kind) -> st.SearchStrategy[Played]:
    sizes = st.lists(st.sampled_from([1, 2, 7, 40, 300, 5000]), min_size=1, max_size=6).map(tuple)
    return st.builds(
        Played,
        kind=st.sampled_from(kinds),
        at=st.integers(0, 1) | st.integers(0, 20_000),
        sizes=sizes,
        coding=st.sampled_from([None, None, "gzip", "deflate"]),
    )


both_colours = pytest.mark.parametrize("colour", ["sync", "async"])
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""A response that is dropped in the asynchronous colour is closed by whoever finds it."""


def test_there_is_something_of_every_dialect_to_play() -> None:
    names = {each.codec.name for each in ALL}
    assert names == {each.codec.name for each in GOOD}
    assert len(names) >= 6
    assert len(STREAMS) >= 20


@both_colours
@pytest.mark.parametrize("each", ALL, ids=lambda each: each.name)
def test_what_was_complete_and_good_is_given_again_byte_for_byte(each: Asked, colour: Colour) -> None:
    played = Played("whole", 0, (17, 300), "gzip" if colour == "sync" else None)
    outcome = play(colour, each, played, status=each.status)
    check(each, played, outcome, good=each.is_good)


@both_colours
@given(each=st.sampled_from(GOOD), played=plays(*KINDS))
def test_pain_29_nothing_is_given_again_that_was_not_complete(colour: Colour, each: Asked, played: Played) -> None:
    note(each.name)
    outcome = play(colour, each, played)
    event(f"{played.kind}: {'gone' if outcome.again[0] == GONE else 'given again'}")
    check(each, played, outcome, good=True)


@both_colours
@given(each=st.sampled_from(STREAMS), data=st.data())
def test_pain_29_a_stream_cut_after_any_event(colour: Colour, each: Asked, data: st.DataObject) -> None:
    """Whether cleanly or not."""
    ends = [0]
    for found in framed(each.codec, each.answer):
        ends.append(ends[-1] + len(found.raw))
    kinds: tuple[Kind, ...] = ("cut", "reset")
    kind = data.draw(st.sampled_from(kinds))
    played = Played(kind, data.draw(st.sampled_from(ends[:-1])), (data.draw(st.sampled_from([1, 64, 5000])),), None)
    note(f"{each.name} {played}")
    check(each, played, play(colour, each, played), good=True)


@both_colours
@given(each=st.sampled_from(GOOD), status=st.sampled_from([201, 202, 206, 304, 400, 401, 403, 404, 429, 500, 503, 529]))
def test_nothing_but_a_status_of_200_is_given_again(colour: Colour, each: Asked, status: int) -> None:
    played = Played("whole", 0, (300,), None)
    check(each, played, play(colour, each, played, status=status), good=False)


ENDS: list[tuple[bytes, bytes]] = [
    (b'"finish_reason":"stop"', b'"finish_reason":"content_filter"'),
    (b'"finish_reason": "stop"', b'"finish_reason": "content_filter"'),
    (b'"finish_reason":"tool_calls"', b'"finish_reason":"content_filter"'),
    (b'"finish_reason": "tool_calls"', b'"finish_reason": "content_filter"'),
    (b'"stop_reason":"end_turn"', b'"stop_reason":"refusal"'),
    (b'"stop_reason":"tool_use"', b'"stop_reason":"refusal"'),
    (b'"stop_reason":"end_turn"', b'"stop_reason":"pause_turn"'),
    (b'"finishReason": "STOP"', b'"finishReason": "SAFETY"'),
    (b'"finishReason":"STOP"', b'"finishReason":"SAFETY"'),
    (b'"finish_reason":"COMPLETE"', b'"finish_reason":"ERROR_TOXIC"'),
    (b'"status":"completed"', b'"status":"failed"'),
    (b'"status": "completed"', b'"status": "failed"'),
]
SPOILT = [
    (each, each.answer.replace(good, bad))
    for each in GOOD
    for good, bad in ENDS
    if good in each.answer
]  # fmt: skip


def test_answers_of_every_way_to_end_can_be_spoilt() -> None:
    assert {each.codec.name for each, _ in SPOILT} >= {"openai-chat", "anthropic-messages", "gemini", "cohere"}


@both_colours
@pytest.mark.parametrize(
    ("each", "spoilt"), SPOILT, ids=[f"{each.name}-{number}" for number, (each, _) in enumerate(SPOILT)]
)
def test_what_was_filtered_refused_or_left_unfinished_is_not_given_again(
    each: Asked, spoilt: bytes, colour: Colour
) -> None:
    played = Played("whole", 0, (300,), None)
    outcome = play(colour, each, played, answer=spoilt)
    assert outcome.first[1]
    assert outcome.again[0] == GONE
    assert outcome.other is None or outcome.other[0] == GONE


@both_colours
@given(each=st.sampled_from(STREAMS), data=st.data())
@settings(max_examples=40)
def test_a_stream_in_which_the_api_tells_of_an_error_is_not_given_again(
    colour: Colour, each: Asked, data: st.DataObject
) -> None:
    events = framed(each.codec, each.answer)
    at = data.draw(st.integers(0, len(events) - 1))
    error = each.codec.encode_error_event(Failure(type="server_error", message="overloaded"))
    answer = b"".join(found.raw for found in events[:at]) + error
    tracker = each.codec.tracker()
    for found in framed(each.codec, answer):
        tracker.event(found)
    assume(tracker.failure is not None)  # after its own end, an answer is over
    outcome = play(colour, each, Played("whole", 0, (64,), None), answer=answer)
    assert outcome.record.end == "error"
    assert outcome.again[0] == GONE


@given(rubbish=st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
@example(b"")
@example(b"{}")
@example(b"null")
@example(b'{"choices":[]}')
@settings(max_examples=50)
def test_what_is_no_answer_is_not_given_again(rubbish: bytes) -> None:
    for each in (GOOD[0], STREAMS[0]):
        played = Played("whole", 0, (64,), None)
        assert play("sync", each, played, answer=rubbish).again[0] == GONE
