"""39: usage that is absent, comes twice, is negative or absurd, or comes in the wrong place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.hostile.inputs import (
    MESSAGE,
    USAGE,
    HostileStream,
    Ordinary,
    Size,
    anthropic_data,
    chunk,
    compact,
    openai_data,
)

_ODD: list[Any] = [None, [], [1], "usage", 7, True, {}]
_COUNTS: list[Any] = [-1, 0.5, 2**53 + 1, 2**63, 2**64, 10**400, "9", True, None, [], {}, [9]]


def inputs(ordinary: Ordinary, size: Size) -> Iterator[HostileStream]:
    yield from _openai(ordinary) if ordinary.dialect == "openai" else _anthropic(ordinary)


def _openai(ordinary: Ordinary) -> Iterator[HostileStream]:
    def stream(*data: bytes) -> bytes:
        return ordinary.stream(list(data))

    first, last, usage, done = openai_data()
    yield HostileStream("39 absent", stream(first, last, done), usage=(None, None))
    yield HostileStream("39 null", stream(first, last, *openai_data(None)[2:-1], done), usage=(None, None))
    yield HostileStream("39 twice the same", stream(first, last, usage, usage, done), usage=(9, 2))
    more = openai_data({"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16})[2]
    yield HostileStream("39 twice, growing", stream(first, last, usage, more, done), usage=(9, 7))
    yield HostileStream(
        "39 in every chunk",
        stream(chunk({"content": "a"}, usage=USAGE), chunk({}, "stop", usage=USAGE), done),
        usage=(9, 2),
    )
    yield HostileStream(
        "39 in the first chunk alone", stream(chunk({"content": "a"}, usage=USAGE), last, done), usage=(9, 2)
    )
    yield HostileStream("39 before the text", stream(usage, first, last, done), usage=(9, 2))
    yield HostileStream("39 after the terminal event", stream(first, last, done, usage), usage=(None, None))
    for odd in _ODD[1:]:
        wire = stream(first, last, usage.replace(compact(USAGE), compact(odd)), done)
        yield HostileStream(f"39 {odd!r}", wire, end=None)
    for name in USAGE:
        for count in _COUNTS:
            wire = stream(first, last, openai_data({**USAGE, name: count})[2], done)
            flags = () if count is None else ("usage_invalid",)
            yield HostileStream(f"39 {name} of {str(count)[:20]}", wire, end=None, flags=flags)
    details = {"prompt_tokens_details": {"cached_tokens": 99}}
    yield HostileStream(
        "39 parts over their whole",
        stream(first, last, openai_data({**USAGE, **details})[2], done),
        usage=(9, 2),
        flags=("usage_inconsistent",),
    )
    yield HostileStream(
        "39 a total that is not the sum",
        stream(first, last, openai_data({**USAGE, "total_tokens": 999})[2], done),
        usage=(9, 2),
        flags=("usage_inconsistent",),
    )
    for cost in ("1e400", "-1", "NaN", '"free"', "1e-400", "true"):
        wire = stream(first, last, usage.replace(b'"total', b'"cost":' + cost.encode() + b',"total'), done)
        yield HostileStream(f"39 a cost of {cost}", wire, end=None)


def _anthropic(ordinary: Ordinary) -> Iterator[HostileStream]:
    def stream(start: Any, delta: Any) -> bytes:
        message = {key: value for key, value in MESSAGE.items() if key != "usage"}
        if start is not _ABSENT:
            message["usage"] = start
        data = anthropic_data()
        data[0] = compact({"type": "message_start", "message": message})
        event: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}
        if delta is not _ABSENT:
            event["usage"] = delta
        data[4] = compact(event)
        return ordinary.stream(data)

    start, delta = {"input_tokens": 9, "output_tokens": 1}, {"output_tokens": 2}
    yield HostileStream("39 absent", stream(_ABSENT, _ABSENT), usage=(None, None))
    yield HostileStream("39 absent at the start", stream(_ABSENT, delta), usage=(None, 2))
    yield HostileStream("39 absent at the end", stream(start, _ABSENT), usage=(9, None))
    for odd in _ODD:
        yield HostileStream(f"39 {odd!r} at the start", stream(odd, delta), end=None)
        yield HostileStream(f"39 {odd!r} at the end", stream(start, odd), end=None)
    for count in _COUNTS:
        flags = () if count is None else ("usage_invalid",)
        name = str(count)[:20]
        yield HostileStream(
            f"39 input of {name}", stream({**start, "input_tokens": count}, delta), end=None, flags=flags
        )
        yield HostileStream(f"39 out of {name}", stream(start, {"output_tokens": count}), end=None, flags=flags)
        cached = {**start, "cache_read_input_tokens": count}
        yield HostileStream(f"39 cached of {name}", stream(cached, delta), end=None, flags=flags)
    data = anthropic_data()
    yield HostileStream("39 twice", ordinary.stream([*data[:5], data[4], data[5]]), usage=(9, 2))
    later = compact({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 7}})
    yield HostileStream("39 twice, growing", ordinary.stream([*data[:5], later, data[5]]), usage=(9, 7))
    yield HostileStream("39 two starts", ordinary.stream([data[0], *data]), end=None, usage=(9, 2))
    yield HostileStream("39 after the terminal event", ordinary.stream([*data[:4], data[5], data[4]]), end=None)


_ABSENT = object()
