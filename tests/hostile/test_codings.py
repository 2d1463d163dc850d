"""Compressed bodies that are bombs, nested or damaged: the SDK reads them as ever, and our look at them is bounded."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator
from typing import ClassVar

import httpx2
import pytest
from tests.hostile import codings
from tests.hostile.codings import Coded
from tests.hostile.inputs import BOTH, MARK, Ordinary, chunk, openai_data
from tests.hostile.seam import EVENTS, JSON, SETTINGS, Colour, Exchange, Seam, decent, keeping

import interlay
from interlay.chain import codings as bounds
from interlay.chain.call import Call, Response
from interlay.chain.layer import Next
from interlay.model.protocols import WireEvent
from interlay.model.record import End
from interlay.testing import Player, Turn, capture, every, transports


class Passing:
    """A stage that lets everything pass."""

    role: ClassVar[interlay.Role] = interlay.Role.GUARD
    holds = 0

    async def __call__(self, call: Call, next: Next) -> Response:
        response = await next(call)
        response.stream.add(self)
        return response

    async def feed(self, event: WireEvent) -> list[WireEvent]:
        return [event]

    async def finish(self, end: End) -> list[WireEvent]:
        return []


PLACES = ("answer", "stream", "asked stream", "error", "raw answer", "raw stream")


def exchanges(place: str, ordinary: Ordinary) -> Iterator[tuple[Coded, Exchange]]:
    kind, _, _ = place.rpartition(" ")
    if place.endswith("stream"):
        # Who asks for usage hides it again: here none comes, so nothing may change.
        data = openai_data(usage=None) if place == "asked stream" and ordinary.dialect == "openai" else ordinary.data()
        plain, blank, headers = ordinary.stream(data), b":" + b" " * 4_094 + b"\n", EVENTS
    else:
        plain, blank, headers = ordinary.answer() if "answer" in place else ordinary.error(), b" ", JSON
    for coded in codings.inputs(plain, "modest", blank):
        turn = Turn(
            status=400 if place == "error" else None,
            body=coded.body,
            headers={**headers, "content-encoding": coded.coding},
        )
        yield (
            coded,
            Exchange(
                ordinary,
                turn,
                stream=place.endswith("stream"),
                raw=kind == "raw",
                host="https://api.openai.com" if kind == "asked" else "https://llm.test",
                split=every(max(1000, len(coded.body) // 50)),
            ),
        )


@pytest.mark.parametrize(("colour", "contents"), SETTINGS, ids=["sync", "async", "contents"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("ordinary", BOTH, ids=lambda ordinary: ordinary.dialect)
def test_comes_through_as_it_was(ordinary: Ordinary, place: str, colour: Colour, contents: bool) -> None:  # noqa: FBT001
    seam = Seam(ordinary.dialect, colour)
    with keeping(contents):
        for coded, exchange in exchanges(place, ordinary):
            with decent(coded.name):
                seen = seam.compare(exchange, coded.name)
            record = seen.record
            assert record is not None
            assert contents or MARK.encode() not in record.to_json(), coded.name
            if place == "error":
                assert record.end == "error", coded.name
            elif coded.readable and "error" not in dict(seen.outcome):
                assert record.end == "complete", coded.name
                if place == "asked stream" and ordinary.dialect == "openai":
                    continue
                assert record.usage is not None, coded.name
                assert (record.usage.input_tokens, record.usage.output_tokens) == (9, 2), coded.name
    seam.close()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
@pytest.mark.parametrize("host", ["https://api.openai.com", "https://llm.test"])
def test_a_stream_is_read_to_its_end_whatever_it_inflates_to(
    host: str, coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where usage has to be hidden the coding is undone on the way, and no bound of ours may cut it."""
    monkeypatch.setattr(bounds, "MAX_INFLATED", 100_000)
    monkeypatch.setattr(bounds, "BOMB", 10_000)
    ordinary, seam = Ordinary("openai"), Seam("openai", "sync")
    data = openai_data(usage=None)
    plain = ordinary.stream([data[0], *[chunk({"content": "x" * 900})] * 400, *data[1:]])
    turn = Turn(body=codings.CODERS[coding](plain), headers={**EVENTS, "content-encoding": coding})
    seen = seam.compare(Exchange(ordinary, turn, stream=True, host=host, split=every(50)), coding)
    assert len([what for what, _ in seen.outcome if what == "event"]) == 402
    assert seen.record is not None
    # What is looked at no further may have ended before the SDK closed it, or not.
    assert seen.record.end in ({"complete"} if "openai" in host else {"complete", "closed"})
    seam.close()


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("parts", [(), (interlay.Timeout(total=600),), (Passing(),)], ids=["bare", "deadline", "stage"])
def test_a_bomb_that_is_changed_on_its_way_leaves_in_pieces(coding: str, parts: tuple[object, ...]) -> None:
    """What one network chunk inflates to is never held whole."""
    event = b": " + b" " * 4_000 + b"\n\n"
    plain = Ordinary("openai").stream(openai_data(usage=None)) + event * 8_000
    turn = Turn(body=codings.CODERS[coding](plain), headers={**EVENTS, "content-encoding": coding})
    asked = {"model": "gpt-4o-mini", "messages": [], "stream": True}
    tracemalloc.start()
    pieces = hashlib.sha256()
    longest = total = 0
    with capture() as records, httpx2.Client(transport=transports(httpx2).sync(Player(otherwise=turn))) as held:
        interlay.wrap(held, *parts)
        headers = {"accept-encoding": "gzip, deflate, br, zstd"}
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        with held.stream("POST", "https://api.openai.com/v1/chat/completions", json=asked, headers=headers) as answer:
            assert "content-encoding" not in answer.headers
            for piece in answer.iter_raw():
                longest, total = max(longest, len(piece)), total + len(piece)
                pieces.update(piece)
        peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert pieces.hexdigest() == hashlib.sha256(plain).hexdigest()
    assert total > 30 * 1024 * 1024
    assert longest < 8 * 1024 * 1024
    assert peak < 24 * 1024 * 1024
    (record,) = records
    assert record.end == "complete"
    assert record.response is not None
    assert record.response.bytes == len(turn.body or b"")


@pytest.mark.parametrize("coding", ["br", "zstd", "x-gzip", "gzip, zstd"])
def test_a_coding_that_was_not_accepted_is_left_to_the_sdk(coding: str) -> None:
    plain = Ordinary("openai").stream(openai_data(usage=None))
    turn = Turn(body=b"coded: " + plain, headers={**EVENTS, "content-encoding": coding})
    asked = {"model": "gpt-4o-mini", "messages": [], "stream": True}
    with httpx2.Client(transport=transports(httpx2).sync(Player(otherwise=turn))) as held:
        interlay.wrap(held)
        headers = {"accept-encoding": "gzip;q=0.5"}
        with held.stream("POST", "https://api.openai.com/v1/chat/completions", json=asked, headers=headers) as answer:
            assert answer.headers["content-encoding"] == coding
            assert b"".join(answer.iter_raw()) == turn.body
