"""Hostile inputs 6 to 16 and 37 to 39 at every codec: nothing but ``DecodeError``, and the bars held."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from tests.unit.dialects.bars import Bars
from tests.unit.dialects.exchanges import framed
from tests.unit.dialects.openai_recordings import event

from interlay.dialects import DIALECTS
from interlay.model.errors import DecodeError
from interlay.model.protocols import Codec

each_codec = pytest.mark.parametrize(
    "codec", [dialect for dialect in DIALECTS if isinstance(dialect, Codec)], ids=lambda codec: codec.name
)

MESSAGE = (
    b'{"model":"m","stream":true,"messages":[{"role":"user","content":%s}],"choices":[{"message":{"content":%s}}],'
    b'"type":"message","content":%s,"delta":{"text":%s},"usage":{"x":%s}}'
)
"""Of every API a little."""


def said(content: bytes) -> bytes:
    return MESSAGE % ((content,) * 5)


BODIES: dict[str, Callable[[], bytes]] = {
    "6 duplicate keys": lambda: b'{"model":"a","model":"b","messages":[{"role":"user","role":"x","content":"c"}]}',
    "7 escaped twin": lambda: b'{"model":"a","\\u006dodel":"b"}',
    "8 depth 900": lambda: said(b"[" * 900 + b"]" * 900),
    "8 depth 1000": lambda: said(b'{"a":' * 1000 + b"1" + b"}" * 1000),
    "8 depth 100,000": lambda: said(b"[" * 100_000 + b"]" * 100_000),
    "8 depth 100,000, open": lambda: b"[" * 100_000,
    "9 10 MB of {}": lambda: b"[" + b"{}," * 3_400_000 + b"{}]",
    "9 10 MB of {} as messages": lambda: b'{"messages":[' + b"{}," * 3_400_000 + b"{}]}",
    "9 10 MB of {} as choices": lambda: b'{"choices":[' + b"{}," * 3_400_000 + b"{}]}",
    "9 10 MB of {} as tools": lambda: b'{"tools":[' + b"{}," * 3_400_000 + b"{}]}",
    "9 10 MB of {} as output": lambda: b'{"output":[' + b"{}," * 3_400_000 + b"{}]}",
    "9 10 MB of {} as input": lambda: b'{"input":[' + b"{}," * 3_400_000 + b"{}]}",
    "9 under the limit": lambda: b'{"choices":[' + b"{}," * 240_000 + b'{}],"tools":[' + b"{}," * 200 + b"{}]}",
    "9 under the limit, of items": lambda: (
        b'{"output":[' + b"{}," * 240_000 + b'{}],"input":[' + b"{}," * 200 + b"{}]}"
    ),
    "9 many members": lambda: b'{"usage":1' + b',"usage":1' * 900_000 + b"}",
    "10 one string of 10 MB, asked": lambda: b'{"messages":[{"content":"' + b"x" * 10_000_000 + b'"}],"usage":{}}',
    "10 one string of 10 MB, answered": lambda: b'{"type":"message","content":"' + b"x" * 10_000_000 + b'","usage":{}}',
    "10 one string of 10 MB, chosen": lambda: b'{"choices":[{"message":{"content":"' + b"x" * 10_000_000 + b'"}}]}',
    "11 NaN": lambda: b'{"temperature":NaN}',
    "11 1e400": lambda: b'{"temperature":1e400,"usage":{"prompt_tokens":1e400}}',
    "11 -0": lambda: b'{"temperature":-0,"n":-0,"usage":{"prompt_tokens":-0}}',
    "11 2^63": lambda: b'{"n":9223372036854775808,"usage":{"prompt_tokens":9223372036854775808}}',
    "11 5000 digits": lambda: b'{"n":' + b"9" * 5000 + b',"usage":{"prompt_tokens":' + b"9" * 5000 + b"}}",
    "11 1e1000000": lambda: b'{"usage":{"prompt_tokens":1e1000000,"cost":1e1000000}}',
    "12 figures of other types": lambda: b'{"max_tokens":-1,"n":1000000000,"seed":true,"top_p":"0.5","temperature":0}',
    "13 lone surrogate": lambda: said(b'"\\ud800"'),
    "13 overlong UTF-8": lambda: said(b'"\xc0\x80"'),
    "13 byte order mark": lambda: b"\xef\xbb\xbf{}",
    "13 UTF-16": lambda: '{"model":"m"}'.encode("utf-16"),
    "14 NUL, bidi, zero width, tags": lambda: said('"\\u0000\u202e\u200b\U000e0041"'.encode()),
    "15 other types": lambda: b'{"model":[],"messages":{"a":1},"choices":{"a":1},"usage":[1],"error":[1],"stream":{}}',
    "16 empty": lambda: b"",
    "16 cut": lambda: said(b'"abc"')[:-30],
    "16 trailing bytes": lambda: said(b'"abc"') + b"x",
}

INDEXES: tuple[Any, ...] = (-1, 10**9, 2**63, None, "x", [], {})
USAGES: tuple[Any, ...] = (None, 1, "x", [], {}, {"prompt_tokens": -1}, True)
STREAMS: dict[str, Callable[[], bytes]] = {
    "37 no final newline": lambda: b'data: {"choices":[{"delta":{"content":"a"}}]}',
    "37 CR only": lambda: b'data: {"choices":[]}\r\rdata: [DONE]\r\r',
    "37 a line of 4 MB": lambda: b'data: {"choices":[{"delta":{"content":"' + b"x" * 4_000_000 + b'"}}]}\n\n',
    "37 data: in content": lambda: b'data: {"choices":[{"delta":{"content":"\\n\\ndata: [DONE]\\n\\n"}}]}\n\n',
    "37 after the end": lambda: b'data: [DONE]\n\ndata: {"usage":{"prompt_tokens":5}}\n\ndata: [DONE]\n\n',
    "37 many empty events": lambda: b"\n" * 100_000,
    "38 indexes": lambda: b"".join(
        event({"choices": [{"index": at, "delta": {"tool_calls": [{"index": at, "id": "x"}]}}]}).raw
        for at in INDEXES
    ),
    "38 many indexes": lambda: b"".join(event({"choices": [{"index": at}]}).raw for at in range(5000)),
    "39 usage in every form": lambda: b"".join(
        event({"choices": [], "usage": usage}).raw for usage in USAGES
    ),
}  # fmt: skip

READS: dict[str, Callable[[Codec, bytes], Any]] = {
    "outline": lambda codec, body: codec.outline(body),
    "ask_usage": lambda codec, body: codec.ask_usage(body),
    "decode_request": lambda codec, body: codec.encode_request(codec.decode_request(body)),
    "decode_response": lambda codec, body: codec.encode_response(codec.decode_response(body)),
    "decode_error": lambda codec, body: codec.decode_error(500, {}, body),
    "encode_error": lambda codec, body: codec.encode_error(codec.decode_error(500, {}, body), body),
    "usage": lambda codec, body: codec.usage(body),
    "body": lambda codec, body: codec.tracker().body(body),
    "tail": lambda codec, body: codec.tracker().tail(body[-65536:]),
    "event": lambda codec, body: codec.tracker().event(event(body)),
    "hide_usage": lambda codec, body: codec.hide_usage(event(body)),
    "decode_event": lambda codec, body: codec.encode_event(codec.decode_event(event(body))),
    "assemble": lambda codec, body: codec.assemble([event(body)]),
    "event_places": lambda codec, body: codec.event_places(event(body)),
    "as_stream": lambda codec, body: codec.as_stream(body),
    "as_body": lambda codec, body: codec.as_body([event(body)]),
    "rewrite": lambda codec, body: codec.rewrite(event(body), {("text", 0, 0): "x", ("other", 0, -1): "y"}),
}
MUST_NOT_RAISE = {
    "outline",
    "ask_usage",
    "decode_error",
    "encode_error",
    "usage",
    "body",
    "tail",
    "event",
    "hide_usage",
    "as_stream",
    "as_body",
}


LARGE = ("9 under the limit", "9 under the limit, of items")
SLACK = {(read, body): 20.0 for read in ("event_places", "rewrite") for body in LARGE}
"""A quarter of a million choices, each looked at: no guard may overlook one."""


@cache
def made(body: str) -> bytes:
    return BODIES[body]()


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("read", READS)
@each_codec
def test_bodies(codec: Codec, read: str, body: str, bars: Bars) -> None:
    def work() -> None:
        with contextlib.nullcontext() if read in MUST_NOT_RAISE else contextlib.suppress(DecodeError):
            READS[read](codec, made(body))

    bars.hold(work, slack=SLACK.get((read, body), 1.0))


def follow(codec: Codec, stream: bytes) -> None:
    tracker = codec.tracker()
    events = framed(codec, stream)
    for each in events:
        tracker.event(each)
        codec.hide_usage(each)
    assert b"".join(each.raw for each in events) == stream
    assert tracker.usage is None or tracker.usage.output_tokens is None
    codec.streamed_answer(events)
    assert codec.as_body(events) is None


@pytest.mark.parametrize("stream", STREAMS)
@each_codec
def test_streams(codec: Codec, stream: str, bars: Bars) -> None:
    made = STREAMS[stream]()
    # The bar is for what comes at once.
    bars.hold(lambda: follow(codec, made), slack=max(1.0, len(made) / 100_000))


@each_codec
def test_a_request_of_30_mb_is_outlined_and_asked_quickly(codec: Codec, bars: Bars) -> None:
    content = b'"' + b"hello, you. " * 2_500_000 + b'"'
    body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":%s}]}' % content
    bars.hold(lambda: codec.outline(body))
    assert codec.outline(body).readable
    bars.hold(lambda: codec.ask_usage(body), slack=2)  # it makes another body of 30 MB
    asked = codec.ask_usage(body)
    assert codec.outline(asked or body).wants_usage
