"""Law 8 for ``wrap``: a program cannot tell a wrapped client from a bare one, and the record says what happened.

Every recording goes through the real SDKs with and without interlay, in both colours, compressed in several ways and
cut into pieces at every byte and at random. The SDKs decide the HTTP library: ``tests/interop`` runs this file again
with older ones, which are built on the other library.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import anthropic
import openai
import pytest
import trio
from tests.recorded.replay import (
    Case,
    Colour,
    Outcome,
    araw_bytes,
    areplay,
    base_url,
    cases,
    client,
    is_anthropic,
    raw_bytes,
    replay,
)

import interlay
from interlay.model.record import Record
from interlay.testing import Exchange, Player, Recording, Sent, Server, at_random, capture, codings, every
from interlay.testing.recordings import Source, events_of

CASES = cases()
SMALL = 8 * 1024
NOBODY = Source(repo="", path="", commit="", licence="")


class Pair:
    """One SDK's client, bare and wrapped, over players that can be exchanged."""

    def __init__(self, sdk: Any, colour: Colour) -> None:
        self.colour = colour
        self.bare = client(sdk, colour, Player())
        self.wrapped = interlay.wrap(client(sdk, colour, Player()))
        self._wires = [self.bare._client._transport, self.wrapped._client._transport.inner]

    def play(self, index: int, player: Player, exchange: Exchange) -> Any:
        """The bare client (0) or the wrapped one (1) over ``player``."""
        self._wires[index].player = player
        held = self.wrapped if index else self.bare
        return held.with_options(base_url=base_url(exchange))


Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(scope="module")
def pairs() -> Iterator[dict[tuple[Any, Colour], Pair]]:
    colours: tuple[Colour, ...] = ("sync", "async")
    made: dict[tuple[Any, Colour], Pair] = {(s, c): Pair(s, c) for s in (openai, anthropic) for c in colours}
    yield made

    async def close() -> None:
        for pair in made.values():
            for held in (pair.bare, pair.wrapped):
                if pair.colour == "async":
                    await held.close()
                else:
                    held.close()

    asyncio.run(close())


def recording_of(exchange: Exchange) -> Recording:
    return Recording(id="one", source=NOBODY, dialect="", scenario="", exchanges=[exchange])


def parametrised(name: str, chosen: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(name, chosen, ids=[case.id for case in chosen])


def stated_usage(exchange: Exchange) -> tuple[int, int] | None:
    """Input and output tokens as the recording states them, read here and not by our codecs."""
    response = exchange.response
    if response.status != 200:
        return None
    stated: dict[str, Any] = {}
    if response.is_events:
        for event in events_of(response.content):
            for line in event.splitlines():
                if line.startswith(b"data:") and b"{" in line:
                    said = json.loads(line[5:])
                    for holder in ("message", "response"):
                        inner = said.get(holder) if isinstance(said.get(holder), dict) else {}
                        stated |= inner.get("usage") or {}
                    stated |= said.get("usage") or (said.get("x_groq") or {}).get("usage") or {}
    else:
        stated = json.loads(response.content).get("usage") or {}
    if is_anthropic(exchange):
        inputs = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        return (sum(stated.get(name) or 0 for name in inputs), stated["output_tokens"]) if stated else None
    if exchange.request.path.endswith("/responses"):
        return (stated["input_tokens"], stated["output_tokens"]) if stated else None
    if exchange.request.path.endswith("/embeddings"):
        return (stated["total_tokens"], 0)
    return (stated["prompt_tokens"], stated["completion_tokens"]) if "prompt_tokens" in stated else None


def check_record(records: list[Record], exchange: Exchange, player: Player) -> None:
    """Exactly one record, and what it says is what the recording says."""
    assert len(records) == 1
    record = records[0]
    status = exchange.response.status
    assert record.end == ("complete" if status == 200 else "error")
    assert record.response is not None
    assert record.response.status == status
    assert [attempt.status for attempt in record.attempts] == [status]
    assert record.model == exchange.request.body.get("model")
    assert record.operation == ("embeddings" if exchange.request.path.endswith("/embeddings") else "chat")
    assert record.streamed == exchange.request.streamed
    stated = stated_usage(exchange) if reported(exchange, player) else None
    if stated is not None:
        assert record.usage is not None
        assert (record.usage.input_tokens, record.usage.output_tokens) == stated
        assert record.cost is not None
        assert not record.cost.estimated
    elif status == 200:
        assert record.cost is not None
        assert record.cost.estimated or record.cost.amount is None
    else:
        assert record.usage is None


def reported(exchange: Exchange, player: Player) -> bool:
    """Whether the stream said anything about usage: some hosts do it only when asked, and have to be."""
    request = exchange.request
    if request.asked_usage and request.streamed and not asks(player.requests[0]):
        assert request.host not in ("api.openai.com", "example-resource.openai.azure.com")
        return "azure" not in request.host
    return True


def asks(sent: Sent) -> bool:
    return bool((sent.json().get("stream_options") or {}).get("include_usage"))


def check_upstream(bare: Player, wrapped: Player) -> None:
    """The same request went up; where we asked for usage, it says only that in addition."""
    assert len(bare.requests) == len(wrapped.requests) == 1
    one, other = bare.requests[0], wrapped.requests[0]
    if one == other:
        return
    assert (one.method, one.url) == (other.method, other.url)
    asked = other.json()
    assert asked.pop("stream_options") == {"include_usage": True}
    assert asked == one.json()
    changed = {name for name, _ in set(one.headers) ^ set(other.headers)}
    assert changed <= {"content-length", "Content-Length"}
    assert int(other.header("content-length") or 0) == len(other.body)


def uncoded(outcome: Outcome) -> Outcome:
    """An outcome without the header that says how the body was compressed."""
    return [
        (what, [pair for pair in value if pair[0] != "content-encoding"] if what == "headers" else value)
        for what, value in outcome
    ]


class Replayer:
    """Replays one case on one pair and compares."""

    def __init__(self, pair: Pair, case: Case, *, ask_usage: bool = True) -> None:
        self.pair = pair
        self.exchange = case.exchange
        self.ask_usage = ask_usage

    def player(self, **options: Any) -> Player:
        return Player(recording_of(self.exchange), **options)

    async def run(self, index: int, player: Player, mode: Any) -> Outcome:
        held = self.pair.play(index, player, self.exchange)
        if self.pair.colour == "sync":
            return replay(held, self.exchange, mode, ask_usage=self.ask_usage)
        return await areplay(held, self.exchange, mode, ask_usage=self.ask_usage)

    async def compare(self, mode: Any, baseline: Outcome, first: Player, **options: Any) -> None:
        player = self.player(**options)
        with capture() as records:
            outcome = await self.run(1, player, mode)
        if first.requests[0] != player.requests[0]:
            # We asked for usage, so the body was changed: it leaves uncompressed.
            outcome, baseline = uncoded(outcome), uncoded(baseline)
        assert outcome == baseline
        check_record(records, self.exchange, player)
        check_upstream(first, player)
        assert player.open == 0
        assert player.unmatched == []

    async def everything(self, seed: str) -> None:
        for coding in (None, *codings()):
            for mode in ("object", "raw", "bytes"):
                bare = self.player(coding=coding)
                baseline = await self.run(0, bare, mode)
                await self.compare(mode, baseline, bare, coding=coding, split=at_random(seed))
                small = len(self.exchange.response.content) <= SMALL
                if mode == "object" and small and coding in (None, "gzip", "deflate"):
                    await self.compare(mode, baseline, bare, coding=coding, split=every(1))
            await self.same_raw_bytes(coding, seed)

    async def same_raw_bytes(self, coding: str | None, seed: str) -> None:
        """Compressed bytes go through as they came. Where we asked for usage, the body was changed."""
        request = self.exchange.request
        if self.exchange.response.status != 200 or (request.streamed and not request.asked_usage):
            return
        got = []
        for index in (0, 1):
            held = self.pair.play(index, self.player(coding=coding, split=at_random(seed)), self.exchange)
            sync = self.pair.colour == "sync"
            got.append(raw_bytes(held, self.exchange) if sync else await araw_bytes(held, self.exchange))
        assert got[0] == got[1]


@pytest.mark.parametrize("colour", ["sync", "async"])
@parametrised("case", CASES)
def test_equal_with_and_without(
    case: Case, colour: Colour, pairs: dict[tuple[Any, Colour], Pair], rng: random.Random
) -> None:
    sdk = anthropic if is_anthropic(case.exchange) else openai
    seed = f"{rng.random()}"
    print(f"splits: at_random({seed!r})")  # noqa: T201 - shown when the test fails
    asyncio.run(Replayer(pairs[sdk, colour], case).everything(seed))


ASKED = [case for case in CASES if case.exchange.request.asked_usage]


@pytest.mark.parametrize("colour", ["sync", "async"])
@parametrised("case", ASKED)
def test_usage_is_recorded_and_hidden_from_who_did_not_ask(
    case: Case, colour: Colour, pairs: dict[tuple[Any, Colour], Pair], rng: random.Random
) -> None:
    seed = f"{rng.random()}"
    print(f"splits: at_random({seed!r})")  # noqa: T201

    async def run() -> None:
        replayer = Replayer(pairs[openai, colour], case, ask_usage=False)
        for coding in (None, "gzip", "deflate"):
            for split in (None, at_random(seed), every(1)):
                bare = replayer.player(coding=coding)
                baseline = await replayer.run(0, bare, "object")
                await replayer.compare("object", baseline, bare, coding=coding, split=split)
            plain = {"bytes": dict(await replayer.run(0, replayer.player(), "bytes"))["bytes"]}
            outcome = dict(await replayer.run(1, replayer.player(coding=coding, split=at_random(seed)), "bytes"))
            assert outcome["bytes"] == plain["bytes"]

    asyncio.run(run())


def test_a_host_that_refuses_to_be_asked_is_not_asked(pairs: dict[tuple[Any, Colour], Pair]) -> None:
    pair = pairs[openai, "sync"]
    refusing = [c for c in CASES if c.exchange.request.host in ("api.perplexity.ai", "api.mistral.ai")]
    streamed = [case.exchange for case in refusing if case.exchange.request.streamed]
    assert streamed
    for exchange in streamed:
        player = Player(recording_of(exchange), stream_usage="refuse")
        outcome = replay(pair.play(1, player, exchange), exchange, "object", ask_usage=False)
        assert "error" not in dict(outcome)
        asking = Player(recording_of(exchange), stream_usage="refuse")
        told = dict(replay(pair.play(1, asking, exchange), exchange, "object"))
        assert exchange.request.asked_usage == (told.get("status_code") == 400)


def test_headers_that_a_recording_lacks_may_be_lacking(pairs: dict[tuple[Any, Colour], Pair]) -> None:
    bare_headed = [case for case in CASES if "content-type" not in case.exchange.response.headers]
    assert bare_headed
    for case in bare_headed:
        sdk = anthropic if is_anthropic(case.exchange) else openai
        replayer = Replayer(pairs[sdk, "sync"], case)
        bare = replayer.player(complete_headers=False)
        baseline = asyncio.run(replayer.run(0, bare, "object"))
        outcome = asyncio.run(replayer.run(1, replayer.player(complete_headers=False), "object"))
        assert outcome == baseline


# Under trio, both SDKs leave generators behind that are collected at any time, wrapped or not.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_on_trio(rng: random.Random) -> None:
    seed = f"{rng.random()}"

    async def run() -> None:
        pairs = {sdk: Pair(sdk, "async") for sdk in (openai, anthropic)}
        for case in CASES:
            replayer = Replayer(pairs[anthropic if is_anthropic(case.exchange) else openai], case)
            bare = replayer.player(coding="gzip")
            baseline = await replayer.run(0, bare, "object")
            player = replayer.player(coding="gzip", split=at_random(seed))
            with capture() as records:
                outcome = await replayer.run(1, player, "object")
            assert outcome[:-1] == baseline[:-1]
            check_record(records, case.exchange, player)
        for pair in pairs.values():
            await pair.bare.close()
            await pair.wrapped.close()

    trio.run(run)


WIRED = [case for number, case in enumerate(CASES) if number % 6 == 0 or case.exchange.request.asked_usage]


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("coding", [None, "gzip"])
def test_equal_over_a_real_socket(colour: Colour, coding: str | None, rng: random.Random) -> None:
    split = at_random(f"{rng.random()}", mean=200)

    async def held_by(server: Server, wrapped: bool) -> AsyncIterator[tuple[Case, Outcome]]:  # noqa: FBT001
        clients = {sdk: client(sdk, colour, base_url=server.url) for sdk in (openai, anthropic)}
        for case in WIRED:
            held = clients[anthropic if is_anthropic(case.exchange) else openai]
            if wrapped:
                # The hosts of the recordings are not asked here, so nothing is known of this one.
                interlay.wrap(held)
            held = held.with_options(base_url=base_url(case.exchange, server.url))
            if colour == "sync":
                yield case, replay(held, case.exchange, "object")
            else:
                yield case, await areplay(held, case.exchange, "object")
        for held in clients.values():
            if colour == "sync":
                held.close()
            else:
                await held.close()

    async def run() -> None:
        recordings = [recording_of(case.exchange) for case in WIRED]
        outcomes: list[list[Outcome]] = []
        for wrapped in (False, True):
            player = Player(recordings, coding=coding, split=split)
            with Server(player) as server, capture() as records:
                outcomes.append([outcome async for _, outcome in held_by(server, wrapped)])
                assert len(records) == (len(WIRED) if wrapped else 0)
                assert len(player.requests) == len(WIRED)
                assert player.unmatched == []
            assert player.open == 0
        assert outcomes[0] == outcomes[1]
        assert any("error" in dict(outcome) for outcome in outcomes[0])

    asyncio.run(run())


@pytest.mark.parametrize("sdk", [openai, anthropic], ids=["openai", "anthropic"])
def test_the_harness_sees_a_single_changed_byte(sdk: Any, pairs: dict[tuple[Any, Colour], Pair]) -> None:
    """A test that cannot fail is worthless: one letter of an answer is changed, and one header."""
    pair = pairs[sdk, "sync"]
    seen = 0
    for case in CASES:
        if is_anthropic(case.exchange) != (sdk is anthropic) or case.exchange.response.status != 200:
            continue
        replayer = Replayer(pair, case)
        baseline = asyncio.run(replayer.run(0, replayer.player(), "raw"))
        content = case.exchange.response.content
        at = content.find(b'"model":')
        if at < 0:
            continue
        at = content.index(b'"', at + 8) + 1
        changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        for options in ({"body": changed}, {"headers": {"x-other": "1"}}):
            player = replayer.player(turns=[interlay.testing.Turn(**options)])
            assert asyncio.run(replayer.run(0, player, "raw")) != baseline
            seen += 1
    assert seen > 50
