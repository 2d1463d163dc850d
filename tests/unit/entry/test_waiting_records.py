"""A record is made of a call's facts when somebody looks, or with those of others: it says what it would have said at
once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from tests.unit.entry.wires import MESSAGES, OPENAI_ANSWER, Body

import interlay
from interlay.chain import recorder
from interlay.entry import process
from interlay.model.record import Record

PLAIN = json.dumps(OPENAI_ANSWER).encode()
ODD = {
    "whole": [PLAIN],
    "in pieces": [PLAIN[:10], PLAIN[10:]],
    "cut": [PLAIN[:-20]],
    "an error": [b'{"error":{"type":"server_error","message":"no","code":"sk-of-nobody-else"}}'],
    "no JSON": [b"<html>"],
    "nothing": [],
}
VARYING = dict.fromkeys(("started_at", "ended_at", "first_event_at", "duration", "overhead", "call_id", "id"))


def told(record: Record) -> dict[str, Any]:
    """What two records of equal calls have in common."""
    fields: dict[str, Any] = json.loads(record.to_json())
    for attempt in fields["attempts"]:
        attempt.update(started_at=None, seconds=None)
    return fields | VARYING


def client(*parts: object, chunks: list[bytes]) -> Any:
    def answer(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "application/json"}, stream=Body(chunks))

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    return interlay.wrap(openai.OpenAI(api_key="sk-of-nobody-else", max_retries=0, http_client=http), *parts)


def ask(*parts: object, chunks: list[bytes]) -> Record:
    client(*parts, chunks=chunks).chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=MESSAGES)
    return interlay.last()[0]


@pytest.fixture
def pending() -> Iterator[Any]:
    """What waits, of nobody else."""
    interlay.last()
    yield process.recorder._pending
    interlay.last()


@pytest.mark.parametrize("chunks", ODD.values(), ids=ODD.keys())
def test_it_says_what_an_observed_call_says_at_once(chunks: list[bytes]) -> None:
    seen: list[Record] = []
    ask(interlay.Observe(seen.append, inline=True), chunks=chunks)
    assert told(ask(chunks=chunks)) == told(seen[0])


def test_what_waits_holds_neither_headers_nor_url(pending: Any) -> None:
    client(chunks=[PLAIN]).chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    (run,) = pending
    assert run.call.request.native is None
    assert run.call.request.body is not None


def test_large_ones_do_not_wait(pending: Any) -> None:
    large = json.dumps({**OPENAI_ANSWER, "padding": "x" * recorder._ROW_BYTES}).encode()
    client(chunks=[large]).chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    assert not pending


def test_no_more_than_a_row_waits(pending: Any) -> None:
    one = client(chunks=[PLAIN])
    for _ in range(2 * recorder._ROW + 3):
        one.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        assert len(pending) < recorder._ROW
    assert len(pending) == 3
