"""38: tool calls in deltas that belong to no call, to too many, or hold no JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.hostile.inputs import HostileStream, Ordinary, Size, anthropic_data, chunk, compact, openai_data

_ODD: list[Any] = [7, None, [], {"a": 1}, True]
_INDEXES: list[Any] = [-1, 0, 1, 10**9, 2**63, 1.5, "0", None, True, [], {}]
_ARGUMENTS = ("", "{", "}", "[]", "null", '{"a":', "not JSON", "{" * 2_000, '{"a":1,"a":2}', "\0")


def inputs(ordinary: Ordinary, size: Size) -> Iterator[HostileStream]:
    # What the SDK cannot build it raises at, so the ends are the SDK's doing.
    for name, wire in _openai(ordinary) if ordinary.dialect == "openai" else _anthropic(ordinary):
        yield HostileStream(f"38 {name}", wire, end=None)


def _openai(ordinary: Ordinary) -> Iterator[tuple[str, bytes]]:
    def stream(*calls: object) -> bytes:
        return ordinary.stream([*(chunk({"tool_calls": call}) for call in calls), *openai_data()[1:]])

    def call(index: Any, arguments: Any = "{}", **more: Any) -> dict[str, Any]:
        function = {"name": "f", "arguments": arguments}
        return {"index": index, "id": "call_1", "type": "function", "function": function, **more}

    whole = call(0)
    yield "index missing", stream([{key: value for key, value in whole.items() if key != "index"}])
    for index in _INDEXES:
        yield f"index {index!r}", stream([call(index)])
        yield f"index {index!r} among others", stream([call(0), call(index), call(1)])
    for arguments in _ARGUMENTS:
        yield f"arguments {arguments[:20]!r}", stream([call(0, arguments)])
    for odd in _ODD:
        yield f"arguments {odd!r}", stream([call(0, odd)])
        yield f"function {odd!r}", stream([call(0, function=odd)])
        yield f"id {odd!r}", stream([call(0, id=odd)])
        yield f"tool calls {odd!r}", stream(odd)
        yield f"a call that is {odd!r}", stream([odd])
    yield "an id that is used twice", stream([call(0)], [call(1)])
    yield "an id that changes", stream([call(0)], [call(0, id="call_2")])
    yield "arguments before their call", stream([{"index": 3, "function": {"arguments": "{"}}], [call(3)])
    yield "a thousand calls", stream([call(number, id=f"c{number}") for number in range(1_000)])
    yield (
        "after the finish reason",
        ordinary.stream([*openai_data()[:2], chunk({"tool_calls": [whole]}), *openai_data()[2:]]),
    )


def _anthropic(ordinary: Ordinary) -> Iterator[tuple[str, bytes]]:
    plain = anthropic_data()

    def start(index: Any, **more: Any) -> bytes:
        block = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}, **more}
        return compact({"type": "content_block_start", "index": index, "content_block": block})

    def delta(index: Any, arguments: Any = "{}") -> bytes:
        piece = {"type": "input_json_delta", "partial_json": arguments}
        return compact({"type": "content_block_delta", "index": index, "delta": piece})

    def stop(index: Any) -> bytes:
        return compact({"type": "content_block_stop", "index": index})

    def stream(*data: bytes) -> bytes:
        return ordinary.stream([plain[0], *data, *plain[4:]])

    yield "index missing", stream(*(each.replace(b'"index":1,', b"") for each in (start(1), delta(1), stop(1))))
    for index in _INDEXES:
        yield f"index {index!r}", stream(start(index), delta(index), stop(index))
        yield f"index {index!r} in the deltas alone", stream(start(0), delta(index), stop(0))
    for arguments in _ARGUMENTS:
        yield f"arguments {arguments[:20]!r}", stream(start(0), delta(0, arguments), stop(0))
    for odd in _ODD:
        yield f"arguments {odd!r}", stream(start(0), delta(0, odd), stop(0))
        yield f"id {odd!r}", stream(start(0, id=odd), delta(0), stop(0))
        yield f"input {odd!r}", stream(start(0, input=odd), delta(0), stop(0))
    yield "an id that is used twice", stream(start(0), stop(0), start(1), stop(1))
    yield "arguments before their call", stream(delta(0), start(0), stop(0))
    yield "a call that never stops", stream(start(0), delta(0, '{"a":'))
    yield "a call that stops twice", stream(start(0), stop(0), stop(0), delta(0))
    yield "a thousand calls", stream(*(part(number) for number in range(1_000) for part in (start, delta, stop)))
