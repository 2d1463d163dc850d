"""27: the connection ends at every byte of a stream, in each way that a connection ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.hostile.inputs import Ordinary

from interlay.testing import Fault, Turn

WAYS: Final[tuple[Fault, ...]] = ("cut", "truncate", "reset")


def inputs(ordinary: Ordinary, fault: Fault, headers: dict[str, str]) -> Iterator[tuple[int, bytes, Turn]]:
    """The offset, the bytes that came before it, and the answer."""
    wire = ordinary.stream(_short(ordinary))
    for at in range(len(wire) + 1):
        yield at, wire[:at], Turn(body=wire, at=at, fault=fault, headers=headers)


def _short(ordinary: Ordinary) -> list[bytes]:
    """A stream as short as it can be."""
    if ordinary.dialect == "openai":
        return [
            b'{"id":"c","choices":[{"index":0,"delta":{"content":"a\xc3\xa9"},"finish_reason":null}]}',
            b'{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
            b"[DONE]",
        ]
    message = b'{"id":"m","type":"message","role":"assistant","model":"c","content":[],"usage":{"input_tokens":9}}'
    return [
        b'{"type":"message_start","message":' + message + b"}",
        b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}',
        b'{"type":"message_stop"}',
    ]
