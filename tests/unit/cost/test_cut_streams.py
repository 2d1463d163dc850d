"""A stream that ended before its last counts: what it cost is an estimate, and says so, whatever the API counts on the
way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import httpx2
import pytest

import interlay
from interlay.testing import capture

URL = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"


def chunk(text: str, answered: int, **candidate: Any) -> bytes:
    content = {"parts": [{"text": text}], "role": "model"}
    counts = {"promptTokenCount": 100, "candidatesTokenCount": answered, "totalTokenCount": 100 + answered}
    said = {
        "candidates": [{"content": content, **candidate}],
        "usageMetadata": counts,
        "modelVersion": "gemini-2.5-flash",
    }
    return b"data: " + json.dumps(said).encode() + b"\r\n\r\n"


CHUNKS = [chunk("Hel", 40), chunk("lo", 70), chunk("!", 90, finishReason="STOP")]


class Wire(httpx2.SyncByteStream):
    def __init__(self, chunks: list[bytes], *, breaks: bool) -> None:
        self.chunks = chunks
        self.breaks = breaks

    def __iter__(self) -> Iterator[bytes]:
        yield from self.chunks
        if self.breaks:
            raise httpx2.ReadError("reset")


def played(count: int, ending: str) -> Any:
    """The record of a stream of so many chunks."""
    stream = Wire(CHUNKS[:count], breaks=ending == "reset")
    head = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda _request: httpx2.Response(200, headers=head, stream=stream))
    client = interlay.wrap(httpx2.Client(transport=transport))
    body = {"contents": [{"parts": [{"text": "hi"}]}]}
    with capture() as records, client.stream("POST", URL, json=body) as response:
        if ending == "closed":
            chunks = response.iter_raw()
            for _ in range(count):
                next(chunks)
            response.close()
        else:
            with suppress(httpx2.TransportError):
                response.read()
    (record,) = records
    return record


@pytest.mark.parametrize("ending", ["cut", "reset", "closed"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_gemini_stream_that_counted_so_far_is_flagged(count: int, ending: str) -> None:
    record = played(count, ending)
    assert record.end == ("closed" if ending == "closed" else "error")
    assert (record.usage.input_tokens, record.usage.output_tokens) == (100, None)
    assert json.loads(bytes(record.usage.raw))["candidatesTokenCount"] == (40, 70)[count - 1]
    cost = record.cost
    assert (cost.source, cost.estimated) == ("partial", True)
    lines = {line.unit: (line.quantity, line.estimated) for line in cost.lines}
    assert lines == {"input": (100, False), "output": ((40, 70)[count - 1], True)}


def test_one_that_ended_is_not() -> None:
    record = played(3, "read")
    assert (record.end, record.usage.output_tokens, record.cost.source) == ("complete", 90, "computed")
    assert record.cost.amount > Decimal(0)
    assert not record.cost.estimated
