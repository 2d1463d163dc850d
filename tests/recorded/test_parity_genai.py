"""Law 8 for ``wrap`` under the google-genai SDK: what ``test_parity`` shows for openai and anthropic, for Gemini and
Vertex. That SDK has no raw responses, so objects and errors are compared; streams that it never asks for, those
without ``alt=sse``, go through an HTTP client alone."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import random
import re
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx
import httpx2
import pytest
from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials
from tests.recorded.replay import CASSETTES, Case, Colour, Outcome
from tests.recorded.test_parity import SMALL, parametrised, recording_of

import interlay
from interlay.dialects import find
from interlay.model.record import Record
from interlay.testing import Exchange, Player, Recording, Turn, at_random, capture, codings, every, transports
from interlay.testing.recordings import events_of

UNSAYABLE = {"vertex-tools-01": "the types in its tools are numbers, which this SDK does not take"}


def _cases() -> Iterator[Case]:
    """Every exchange here; others with ``INTERLAY_CASSETTES=folder``."""
    for recording in Recording.load_all(os.environ.get("INTERLAY_CASSETTES", CASSETTES)):
        for number, exchange in enumerate(recording.exchanges):
            dialect = find(exchange.request.method, exchange.request.path)
            if dialect is not None and dialect.name == "gemini" and recording.id not in UNSAYABLE:
                yield Case(f"{recording.id}.{number + 1}", dialect.name, exchange)


CASES = list(_cases())
STREAMED = [case for case in CASES if ":stream" in case.exchange.request.path]
_PATH = re.compile(r"/(v\w+)/(?:projects/([^/]+)/locations/([^/]+)/publishers/google/)?models/([^:]+):(\w+)")


class Pair:
    """An HTTP client, bare and wrapped, over players that can be exchanged, and the SDK's clients on it."""

    def __init__(self, colour: Colour, module: Any = httpx2) -> None:
        wires = transports(module)
        self.colour = colour
        self.bare, self.wrapped = (
            module.Client(transport=wires.sync(Player()))
            if colour == "sync"
            else module.AsyncClient(transport=wires.asynchronous(Player()))
            for _ in range(2)
        )
        # The SDK wants both, and would make, slowly, what it is not given.
        self._other = module.AsyncClient() if colour == "sync" else module.Client()
        interlay.wrap(self.wrapped)
        self._wires = [self.bare._transport, self.wrapped._transport.inner]
        self.client = cache(self._client)

    def play(self, index: int, player: Player, exchange: Exchange) -> Any:
        """The SDK's client for an exchange, on the bare HTTP client (0) or the wrapped one (1), over ``player``."""
        self._wires[index].player = player
        match = _PATH.search(exchange.request.path)
        assert match is not None
        version, project, location, _, _ = match.groups()
        return self.client(index, version, project, location)

    def _client(self, index: int, version: str, project: str | None, location: str | None) -> Any:
        both = [self.wrapped if index else self.bare, self._other]
        sync, asynchronous = both if self.colour == "sync" else reversed(both)
        options: Any = {"api_version": version, "httpx_client": sync, "httpx_async_client": asynchronous}
        if project is None:
            return genai.Client(api_key="sk-test", http_options=options)
        credentials = Credentials(token="test")  # type: ignore[no-untyped-call]
        return genai.Client(
            vertexai=True, project=project, location=location, credentials=credentials, http_options=options
        )

    async def close(self) -> None:
        for held in (self.bare, self.wrapped, self._other):
            if hasattr(held, "aclose"):
                await held.aclose()
            else:
                held.close()


@pytest.fixture(scope="module")
def pairs() -> Iterator[dict[Colour, Pair]]:
    colours: tuple[Colour, ...] = ("sync", "async")
    made = {colour: Pair(colour) for colour in colours}
    yield made
    for pair in made.values():
        asyncio.run(pair.close())


def arguments(exchange: Exchange) -> dict[str, Any]:
    """What to ask the SDK for, so that it asks for what was asked for."""
    body = dict(exchange.request.body)
    config = dict(body.pop("generationConfig", {}))
    match = _PATH.search(exchange.request.path)
    assert match is not None
    said: dict[str, Any] = {"model": match[4], "contents": body.pop("contents")}
    return {**said, "config": types.GenerateContentConfig.model_validate({**config, **body})}


def dumped(value: Any) -> Any:
    head = value.sdk_http_response
    return value.model_dump_json(exclude={"sdk_http_response"}), head and sorted((head.headers or {}).items())


def told(error: Any) -> Outcome:
    names = ("code", "status", "message", "details")
    cause = error.__cause__
    return [
        ("error", f"{type(error).__module__}.{type(error).__name__}"),
        ("message", str(error)),
        *((name, getattr(error, name, None)) for name in names),
        ("cause", None if cause is None else [type(cause).__name__, str(cause)]),
    ]


async def replay(pair: Pair, index: int, player: Player, exchange: Exchange) -> Outcome:
    """One call, in the pair's colour."""
    client = pair.play(index, player, exchange)
    models = client.models if pair.colour == "sync" else client.aio.models
    streamed = ":stream" in exchange.request.path
    call = models.generate_content_stream if streamed else models.generate_content
    seen: Outcome = []
    with warnings.catch_warnings(action="ignore"):
        try:
            result = call(**arguments(exchange))
            result = await result if inspect.isawaitable(result) else result
            if not streamed:
                seen.append(("object", dumped(result)))
            elif pair.colour == "sync":
                seen += [("event", dumped(event)) for event in result]
            else:
                seen += [("event", dumped(event)) async for event in result]
        except Exception as error:  # noqa: BLE001 - what it is, is the outcome
            seen += told(error)
    return seen


def stated(exchange: Exchange) -> dict[str, Any]:
    """The counts of a recording, read here and not by our codec."""
    response = exchange.response
    if ":stream" not in exchange.request.path:
        return dict(json.loads(response.content)["usageMetadata"])
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events_of(response.content)]
    return dict(chunks[-1]["usageMetadata"])


def check_record(records: list[Record], exchange: Exchange) -> None:
    """Exactly one record, and what it says is what the recording says."""
    (record,) = records
    status = exchange.response.status
    match = _PATH.search(exchange.request.path)
    assert match is not None
    assert (record.dialect, record.operation, record.model) == ("gemini", "chat", match[4])
    assert record.end == ("complete" if status == 200 else "error")
    assert record.streamed == (match[5] == "streamGenerateContent")
    assert record.error is None or record.error.status == status
    if status != 200:
        assert record.usage is None
        return
    counts = stated(exchange)
    assert record.usage is not None
    outputs = counts["totalTokenCount"] - counts["promptTokenCount"]
    assert (record.usage.input_tokens, record.usage.output_tokens) == (counts["promptTokenCount"], outputs)
    assert record.cost is not None
    assert record.cost.amount is not None
    assert not record.cost.estimated


async def compare(pair: Pair, exchange: Exchange, seed: str, *tried: str | None) -> None:
    """Replay an exchange bare and wrapped, compressed in each of some ways."""
    for coding in tried:
        bare = Player(recording_of(exchange), coding=coding)
        baseline = await replay(pair, 0, bare, exchange)
        assert bare.unmatched == []
        splits = [at_random(seed)]
        if len(exchange.response.content) <= SMALL and coding in (None, "gzip"):
            splits.append(every(1))
        for split in splits:
            over = Player(recording_of(exchange), coding=coding, split=split)
            with capture() as records:
                outcome = await replay(pair, 1, over, exchange)
            assert outcome == baseline
            check_record(records, exchange)
            assert over.requests == bare.requests
            assert over.open == 0


@pytest.mark.parametrize("colour", ["sync", "async"])
@parametrised("case", CASES)
def test_equal_with_and_without(case: Case, colour: Colour, pairs: dict[Colour, Pair], rng: random.Random) -> None:
    seed = f"{rng.random()}"
    print(f"splits: at_random({seed!r})")  # noqa: T201 - shown when the test fails
    asyncio.run(compare(pairs[colour], case.exchange, seed, None, *codings()))


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_equal_on_the_older_library(colour: Colour, rng: random.Random) -> None:
    async def run() -> None:
        pair = Pair(colour, httpx)
        for case in CASES[::3]:
            await compare(pair, case.exchange, f"{rng.random()}", "gzip")
        await pair.close()

    asyncio.run(run())


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_cut_that_the_sdk_does_not_notice_is_in_the_record(colour: Colour, pairs: dict[Colour, Pair]) -> None:
    for case in STREAMED:
        exchange = case.exchange
        turn = Turn(fault="cut", after=1)
        if len(events_of(exchange.response.content)) == 1:
            continue
        with capture() as records:
            outcome = asyncio.run(replay(pairs[colour], 1, Player(recording_of(exchange), turns=[turn]), exchange))
        assert [what for what, _ in outcome] == ["event"]
        (record,) = records
        assert record.end == "error"
        assert record.error is not None
        assert record.error.type == "cut"


class TestWithoutSSE:
    """A stream that is a JSON array."""

    def exchange(self, case: Case) -> tuple[Exchange, bytes]:
        chunks = [json.loads(event.removeprefix(b"data: ")) for event in events_of(case.exchange.response.content)]
        return case.exchange, json.dumps(chunks, indent=2).encode()

    def post(self, pair: Pair, exchange: Exchange, player: Player) -> bytes:
        pair._wires[1].player = player
        url = exchange.request.url.partition("?")[0]
        with pair.wrapped.stream("POST", url, json=exchange.request.body) as response:
            return b"".join(response.iter_bytes())

    @parametrised("case", STREAMED)
    def test_is_recorded_as_a_stream(self, case: Case, pairs: dict[Colour, Pair], rng: random.Random) -> None:
        exchange, body = self.exchange(case)
        turn = Turn(body=body, headers={"content-type": "application/json; charset=UTF-8"})
        for coding in (None, "gzip"):
            player = Player(recording_of(exchange), turns=[turn], coding=coding, split=at_random(rng.random()))
            with capture() as records:
                assert self.post(pairs["sync"], exchange, player) == body
            check_record(records, exchange)
            assert records[0].chunks is not None
            assert records[0].chunks.count == len(json.loads(body)) + 1  # the bracket that ends it

    @parametrised("case", STREAMED)
    def test_that_is_cut_ends_in_an_error(self, case: Case, pairs: dict[Colour, Pair]) -> None:
        exchange, body = self.exchange(case)
        cut = body[: body.index(b'"finishReason"')]
        turn = Turn(body=cut, headers={"content-type": "application/json; charset=UTF-8"})
        with capture() as records:
            assert self.post(pairs["sync"], exchange, Player(recording_of(exchange), turns=[turn])) == cut
        assert (records[0].end, records[0].error and records[0].error.type) == ("error", "cut")


def test_the_harness_sees_a_single_changed_byte(pairs: dict[Colour, Pair]) -> None:
    """A test that cannot fail is worthless: one letter of an answer is changed."""
    for case in CASES:
        exchange = case.exchange
        if exchange.response.status == 200:
            content = exchange.response.content
            at = content.rindex(b'"modelVersion"') + 20
            changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
            outcomes = [
                asyncio.run(replay(pairs["sync"], 0, Player(recording_of(exchange), turns=turns), exchange))
                for turns in ([], [Turn(body=changed)])
            ]
            assert outcomes[0] != outcomes[1]
