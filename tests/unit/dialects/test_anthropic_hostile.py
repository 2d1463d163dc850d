"""Hostile bytes at the codec of the Messages API: at most a ``DecodeError``, and the bars held.

The inputs are numbers 6 to 16 and 37 to 39 of the project's forty hostile inputs.
"""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dialects.anthropic_recordings import ALL, DIALECT, STREAMS, events_of, sse
from tests.unit.dialects.bars import LOOSE, Bars

from interlay.dialects._sse import MAX_EVENT
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent

STEPS: dict[str, Callable[[bytes], object]] = {
    "outline": DIALECT.outline,
    "body": lambda data: DIALECT.tracker().body(data),
    "tail": lambda data: DIALECT.tracker().tail(data[-65_536:]),
    "request": lambda data: DIALECT.encode_request(DIALECT.decode_request(data)),
    "response": lambda data: DIALECT.encode_response(DIALECT.decode_response(data)),
    "error": lambda data: DIALECT.decode_error(500, {}, data),
    "usage": DIALECT.usage,
}
each_step = pytest.mark.parametrize("step", STEPS)


def body(data: bytes) -> None:
    """Everything that is done with a body."""
    for work in STEPS.values():
        tried(lambda work=work: work(data))  # type: ignore[misc]


def wire_event(data: bytes) -> WireEvent:
    return WireEvent(b"data: " + data + b"\n\n", "content_block_delta", data)


def rewrite(wire: WireEvent) -> bytes:
    return DIALECT.rewrite(wire, {place.channel: "x" for place in DIALECT.event_places(wire)[:3]})


EVENT_STEPS: dict[str, Callable[[WireEvent], object]] = {
    "tracker": lambda wire: DIALECT.tracker().event(wire),
    "places": DIALECT.event_places,
    "rewrite": rewrite,
    "decode": lambda wire: DIALECT.encode_event(DIALECT.decode_event(wire)),
    "assemble": lambda wire: DIALECT.assemble([wire, wire]),
}
each_event_step = pytest.mark.parametrize("step", EVENT_STEPS)


def event(data: bytes) -> None:
    """Everything that is done with an event's data."""
    wire = wire_event(data)
    for work in EVENT_STEPS.values():
        tried(lambda work=work: work(wire))  # type: ignore[misc]


def tried(work: Callable[[], object]) -> None:
    try:
        work()
    except DecodeError as error:
        if "canary" in str(error):
            raise AssertionError("a message tells what was in the bytes") from error


def in_places(value: bytes) -> list[bytes]:
    """A value wherever a body of this API has one."""
    return [
        value,
        b'{"messages":%s}' % value,
        b'{"messages":[{"role":"user","content":%s}]}' % value,
        b'{"content":%s,"usage":%s}' % (value, value),
        b'{"content":[{"type":"tool_use","name":"f","input":{"a":%s}}]}' % value,
        b'{"model":%s,"max_tokens":%s,"stream":%s,"tools":%s,"system":%s}' % ((value,) * 5),
        b'{"error":%s}' % value,
        b'{"type":"content_block_delta","index":%s,"delta":%s}' % (value, value),
        b'{"type":"message_start","message":%s}' % value,
    ]


NUMBERS = [b"NaN", b"1e400", b"-0", b"9223372036854775808", b"9" * 5000, b"1e1000000", b"-1", b"0", b"1.5", b"true"]
STRINGS = [
    rb'"\ud800"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', rb'"\u0000"', '"\u202e\u200b\U000e0041"'.encode(),
    b'\xef\xbb\xbf"x"',    '"canary"'.encode("utf-16"), b"\x00", b'"canary', b"",
]  # fmt: skip
SHAPES = [b"[]", b"{}", b"[[]]", b"[{}]", b'{"a":[1]}', b'[{"type":5}]', b'[{"type":"text"}]', b'["canary"]', b"null"]


@pytest.mark.parametrize("value", NUMBERS + STRINGS + SHAPES, ids=lambda value: repr(value[:20]))
def test_odd_values_anywhere(value: bytes) -> None:
    for data in in_places(value):
        LOOSE.hold(lambda data=data: body(data))  # type: ignore[misc]
        LOOSE.hold(lambda data=data: event(data))  # type: ignore[misc]


@each_step
@pytest.mark.parametrize("depth", [100, 900, 1000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"content":', b"}]")])
def test_depth(depth: int, opening: bytes, closing: bytes, step: str, bars: Bars) -> None:
    for data in [*in_places(opening * depth + b"1" + closing * depth), opening * depth]:
        bars.hold(lambda data=data: tried(lambda: STEPS[step](data)))  # type: ignore[misc]


@each_event_step
@pytest.mark.parametrize("depth", [100, 900, 1000, 100_000])
def test_depth_in_events(depth: int, step: str, bars: Bars) -> None:
    for data in in_places(b'{"content":[' * depth + b"]}" * depth):
        wire = wire_event(data[:MAX_EVENT])
        bars.hold(lambda wire=wire: tried(lambda: EVENT_STEPS[step](wire)))  # type: ignore[misc]


WIDE = {
    "objects, refused": b"{}," * 3_300_000 + b"{}",
    "objects, let through": b'{"type":"text"},' * 200_000 + b"{}",
    "as many blocks as may be": b'{"type":"text","text":""},' * 19_998 + b"{}",
    "numbers": b"1," * 490_000 + b"1",
    "texts": b'{"type":"text","text":""},' * 120_000 + b"{}",
}


@each_step
@pytest.mark.parametrize("width", WIDE)
def test_width(width: str, step: str, bars: Bars) -> None:
    for form in (b'{"messages":[{"role":"user","content":[%s]}]}', b'{"content":[%s]}', b'{"messages":[%s]}'):
        data = form % WIDE[width]
        # What is let through is decoded before it is known to be too many blocks.
        bars.hold(lambda data=data: tried(lambda: STEPS[step](data)), slack=3)  # type: ignore[misc]


@each_step
def test_one_string_of_ten_megabytes(step: str, bars: Bars) -> None:
    for data in in_places(b'"%s"' % (b"A" * 10_000_000))[:4]:
        bars.hold(lambda data=data: tried(lambda: STEPS[step](data)))  # type: ignore[misc]


def test_every_truncation_and_trailing_bytes() -> None:
    recorded = min(
        (each for each in ALL if not each.streamed and b"tool_use" in each.request), key=lambda e: len(e.request)
    )
    for data in (recorded.request, recorded.answer):
        for end in range(0, len(data), 7):
            body(data[:end])
        body(data + b"}canary")


def test_a_stream_cut_anywhere_is_never_complete() -> None:
    recorded = min(STREAMS, key=lambda each: len(each.answer))
    whole = len(recorded.answer.rstrip(b"\n"))
    for end in range(whole):
        tracker = DIALECT.tracker()
        events = events_of(recorded.answer[:end])
        for each in events:
            tracker.event(each)
        assert not tracker.finished
        DIALECT.assemble(events)


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
def test_line_ends_and_a_missing_last_one(ending: bytes) -> None:
    answer = STREAMS[0].answer.rstrip(b"\n").replace(b"\n", ending)
    assert DIALECT.assemble(events_of(answer)) == DIALECT.assemble(events_of(STREAMS[0].answer))


def test_an_event_of_three_megabytes_with_data_in_its_content(bars: Bars) -> None:
    text = "data: {}\n\nevent: message_stop\n\n" * 100_000
    [wire] = sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
    bars.hold(lambda: event(wire.data or b""), slack=len(EVENT_STEPS))
    tracker = DIALECT.tracker()
    tracker.event(wire)
    assert not tracker.finished


@pytest.mark.parametrize("index", [None, -1, 10**9, 2**70, "0", 1.5, True, []])
def test_odd_indices(index: Any) -> None:
    start = {
        "type": "content_block_start",
        "index": index,
        "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    }
    piece = {
        "type": "content_block_delta",
        "index": index,
        "delta": {"type": "input_json_delta", "partial_json": "{no"},
    }
    events = sse({"type": "message_start", "message": {"content": []}}, start, start, piece, {"type": "message_stop"})
    DIALECT.assemble(events)
    for wire in events:
        event(wire.data or b"")


@pytest.mark.parametrize(
    "usage",
    [{}, None, [], "9", {"output_tokens": -5}, {"output_tokens": 10**30}, {"output_tokens": 1e9},
     {"output_tokens": "9"}, {"input_tokens": {}}, {"cache_creation": [1]}, {"server_tool_use": {"x_requests": -1}},
     {"iterations": [{}] * 9999},
     {"iterations": [{"type": "compaction", "input_tokens": -1}]}, {"service_tier": "x" * 10**6}],
    ids=repr,
)  # fmt: skip
def test_odd_usage(usage: Any) -> None:
    events = sse(
        {"type": "message_start", "message": {"usage": usage}},
        {"type": "message_delta", "delta": usage, "usage": usage},
        {"type": "message_delta", "usage": usage},
        {"type": "message_stop"},
    )

    tracker = DIALECT.tracker()
    for wire in events:
        tracker.event(wire)
    found = tracker.usage
    assert tracker.finished
    for count in (found.input_tokens, found.output_tokens) if found is not None else ():
        assert count is None or 0 <= count <= 2**55
    DIALECT.assemble(events)


def test_a_long_stream_is_held_in_a_few_words() -> None:
    tracker = DIALECT.tracker()
    events = sse(
        {"type": "message_start", "message": {"id": "x" * 10_000, "model": "m", "usage": {"input_tokens": 1}}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello " * 20}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "new", "content": ["x" * 1000] * 100}},
    )
    tracemalloc.start()
    try:
        for _ in range(20_000):
            for wire in events:
                tracker.event(wire)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()
    assert tracker.id is None


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: json.dumps({"type": text}).encode()))
def test_any_bytes(data: bytes) -> None:
    body(data)
    event(data)
    for wire in events_of(data):
        DIALECT.tracker().event(wire)
