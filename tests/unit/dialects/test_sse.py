from __future__ import annotations

import gc
import random
import re
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlay.dialects._sse import MAX_EVENT, SSEFramer, reframed
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent

Framed = list[tuple[bytes, str | None, bytes | None]]


def framed(chunks: list[bytes]) -> Framed:
    framer = SSEFramer()
    events: list[WireEvent] = []
    for chunk in chunks:
        events += framer.feed(chunk)
    events += framer.finish()
    return [(event.raw, event.name, event.data) for event in events]


def events_of(stream: bytes) -> list[WireEvent]:
    framer = SSEFramer()
    return [*framer.feed(stream), *framer.finish()]


def data_of(stream: bytes) -> list[bytes]:
    return [data for _, _, data in framed([stream]) if data is not None]


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    at = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:end] for start, end in pairwise(at)]


def by_lines(stream: bytes) -> list[tuple[str | None, bytes]]:
    """What the standard's own algorithm gives, line by line; what is left at the end counts too."""
    events: list[tuple[str | None, bytes]] = []
    name: str | None = None
    lines: list[bytes] = []
    for number, line in enumerate([*re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z", stream), b""]):
        text = line.rstrip(b"\r\n")
        if number == 0:
            text = text.removeprefix(b"\xef\xbb\xbf")
        if not text:
            if lines:
                events.append((name, b"\n".join(lines)))
            name, lines = None, []
            continue
        field, _, value = text.partition(b":")
        if field == b"data":
            lines.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ").decode("utf-8", "replace")
    return events


tokens = st.sampled_from(
    [b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\r\n", b"data: x", b"data", b"data:", b"data:  y", b": c",
     b"event: e", b"id:3", b"\xef\xbb\xbf", "é".encode(), b" ", b"data: {}\n\n", b"event: a\ndata: b\n\n"]
)  # fmt: skip
streams = st.lists(tokens, max_size=24).map(b"".join)


@given(streams, st.lists(st.integers(0, 400), max_size=12))
def test_splits_make_no_difference(stream: bytes, places: list[int]) -> None:
    whole = framed([stream])
    assert framed(cut(stream, places)) == whole
    assert framed([bytes([byte]) for byte in stream]) == whole


@given(streams)
def test_raws_join_to_the_stream(stream: bytes) -> None:
    assert b"".join(raw for raw, _, _ in framed([stream])) == stream


@given(streams)
def test_events_are_those_of_the_standard(stream: bytes) -> None:
    assert [(name, data) for _, name, data in framed([stream]) if data is not None] == by_lines(stream)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["lf", "crlf", "cr"])
def test_lines_end_in_any_of_three_ways(end: bytes) -> None:
    stream = end.join([b"event: a", b"data: 1", b"data: 2", b"", b": note", b"", b"data: [DONE]", b"", b""])
    assert [(name, data) for _, name, data in framed([stream])] == [("a", b"1\n2"), (None, None), (None, b"[DONE]")]


def test_a_byte_order_mark_is_no_part_of_the_first_field() -> None:
    stream = b"\xef\xbb\xbfdata: 1\n\ndata: 2\n\n\xef\xbb\xbfdata: 3\n\n"
    assert data_of(stream) == [b"1", b"2"]
    assert framed([stream[:1], stream[1:]]) == framed([stream])


def test_a_byte_order_mark_after_the_first_event_is_text() -> None:
    stream = "event: a\ndata: b\n\n\ufeffdata: x\n\n".encode()
    assert [event.data for event in SSEFramer().feed(stream)] == [b"b", None]


def test_an_event_without_its_blank_line_is_given_at_the_end() -> None:
    framer = SSEFramer()
    assert framer.feed(b"data: 1") == []
    assert [(event.raw, event.data) for event in framer.finish()] == [(b"data: 1", b"1")]
    assert framer.finish() == []


def test_data_in_the_text_is_no_field() -> None:
    assert data_of(b'data: {"content":"\\ndata: x\\n\\n"}\n\n') == [b'{"content":"\\ndata: x\\n\\n"}']


def test_comments_are_events_without_data() -> None:
    assert framed([b": PROCESSING\n\ndata: 1\n\n"]) == [(b": PROCESSING\n\n", None, None), (b"data: 1\n\n", None, b"1")]


@pytest.mark.parametrize("size", [MAX_EVENT + 1, 10_000_000])
@pytest.mark.parametrize("chunk", [1024, 65536, 1 << 30])
def test_an_event_over_the_limit_is_refused_and_given_back(size: int, chunk: int) -> None:
    stream = b"data: 1\n\n" + b"data: " + b"x" * size + b"\n\n"
    framer = SSEFramer()
    given: list[WireEvent] = []
    fed = 0
    refused = False
    for start in range(0, len(stream) + chunk, chunk):
        piece = stream[start : start + chunk]
        fed += len(piece)
        try:
            given += framer.feed(piece)
        except DecodeError:
            refused = True
            break
    assert refused
    assert [event.data for event in given] == [b"1"]
    given += framer.finish()
    assert b"".join(event.raw for event in given) == stream[:fed]


def test_what_is_within_the_limit_is_not_refused() -> None:
    line = b"data: " + b"x" * (MAX_EVENT - 8) + b"\n\n"
    assert len(line) == MAX_EVENT
    assert framed([line])[0][2] == line[6:-2]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_a_long_line_in_small_pieces_takes_linear_time(end: bytes) -> None:
    stream = b"data: " + b"x" * 4_000_000 + end + end
    started = time.process_time()
    assert len(framed([stream[at : at + 1024] for at in range(0, len(stream), 1024)])) == 1
    assert time.process_time() - started < 2


def test_single_bytes_take_linear_time(rng: random.Random) -> None:
    stream = b"data: " + rng.randbytes(200_000).replace(b"\n", b"").replace(b"\r", b"") + b"\n\n"
    started = time.process_time()
    assert len(framed([bytes([byte]) for byte in stream])) == 1
    assert time.process_time() - started < 3


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@given(
    before=st.lists(st.sampled_from(["id: 7", ": data: x", "event: e", "data", "data:1", "data: 2"]), max_size=5),
    data=st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=3), max_size=3),
)  # fmt: skip
def test_an_event_with_other_data(end: str, before: list[str], data: list[str]) -> None:
    wanted = "\n".join(data).encode()
    [event] = events_of((end.join([*before, "data:0"]) + end + end).encode())
    raw = reframed(event, wanted)
    [again] = events_of(raw)
    assert (again.name, again.data) == (event.name, wanted)
    kept = [line.encode() for line in before if not line.startswith("data")]
    assert [line for line in re.split(rb"[\r\n]+", raw) if line and not line.startswith(b"data")] == kept


class Holder:
    """Something in a cycle of its own that, as a stream does, asks for what is left when it is finalised, and outlives
    that."""

    def __init__(self, framer: SSEFramer, kept: list[Holder]) -> None:
        self.framer, self.kept, self.itself = framer, kept, self

    def __del__(self) -> None:
        self.kept.append(self)


@pytest.mark.parametrize("begun", [b"", b"dat"])
def test_pain_12_a_stream_in_a_garbage_cycle_can_be_told_of_its_end(begun: bytes) -> None:
    framer, kept = SSEFramer(), list[Holder]()
    framer.feed(begun)
    Holder(framer, kept)
    del framer
    gc.collect()
    # The collector has finalised all that it found, what holds the bytes too.
    framer = kept[0].framer
    assert framer.feed(b"data: 1"[len(begun) :]) == []
    assert [event.data for event in framer.finish()] == [b"1"]
