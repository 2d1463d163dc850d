"""Law 8 for ``wrap`` and ``instrument`` under the SDKs of groq, together, mistralai, cohere and ollama, each with what
was recorded at its provider. Which of them are there is the environment's to say: three are among the tests' own
packages, and ``tests/interop`` runs this file with all five."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import json
import os
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.recorded.replay import CASSETTES, Case, Colour, Outcome, told
from tests.recorded.scenes import soon
from tests.recorded.test_parity import SMALL, recording_of

import interlay
from interlay.dialects import find
from interlay.entry.holders import http_clients
from interlay.layers.retry import Retry
from interlay.model.record import Record
from interlay.testing import (
    Exchange,
    Player,
    Recording,
    Server,
    Turn,
    at_random,
    capture,
    codings,
    every,
    no_network,
    transports,
)

Ask = Callable[[Any, Exchange, Colour], Any]
"""Asks a client for what was asked for; in async what it gives is to be awaited, or read, or both."""


@dataclass(frozen=True)
class SDK:
    """One of them: its package, the HTTP library it is built on, and how its clients are made and asked."""

    name: str
    package: str
    library: str
    host: str
    provider: str
    make: Callable[..., Any]
    ask: Ask

    @property
    def module(self) -> Any:
        return importlib.import_module(self.library)

    def clients(self, player: Player) -> tuple[Any, Any]:
        """HTTP clients of both colours, over ``player`` in memory."""
        wires = transports(self.module)
        return self.module.Client(transport=wires.sync(player)), self.module.AsyncClient(
            transport=wires.asynchronous(player)
        )

    def client(self, colour: Colour, player: Player, **options: Any) -> Any:
        return self.make(importlib.import_module(self.package), colour, *self.clients(player), **options)

    def on_sockets(self, colour: Colour, url: str) -> Any:
        """A client that makes its own transports."""
        seconds = {"timeout": 20.0}
        clients = self.module.Client(**seconds), self.module.AsyncClient(**seconds)
        return self.make(importlib.import_module(self.package), colour, *clients, url=url)

    def http(self, client: Any, colour: Colour) -> Any:
        """The HTTP client of one colour that an SDK's client holds."""
        kind = self.module.Client if colour == "sync" else self.module.AsyncClient
        return next(each for each in http_clients(client, "unwrap") if isinstance(each, kind))


def _groq(sdk: Any, colour: Colour, sync: Any, other: Any, url: str = "", **options: Any) -> Any:
    options = {"api_key": "test", "max_retries": 0, **({"base_url": url} if url else {})} | options
    if colour == "sync":
        return sdk.Groq(http_client=sync, **options)
    return sdk.AsyncGroq(http_client=other, **options)


def _together(sdk: Any, colour: Colour, sync: Any, other: Any, url: str = "", **options: Any) -> Any:
    options = {"api_key": "test", "max_retries": 0, **({"base_url": url} if url else {})} | options
    if colour == "sync":
        return sdk.Together(http_client=sync, **options)
    return sdk.AsyncTogether(http_client=other, **options)


def _mistral(sdk: Any, colour: Colour, sync: Any, other: Any, url: str = "", **options: Any) -> Any:
    if "max_retries" in options:
        retries = importlib.import_module("mistralai.client.utils.retries")
        backoff = retries.BackoffStrategy(1, 2, 1.0, 60_000)
        options = {"retry_config": retries.RetryConfig("backoff", backoff, retry_connection_errors=True)}
    return sdk.Mistral(api_key="test", client=sync, async_client=other, server_url=url or None, **options)


def _cohere(sdk: Any, colour: Colour, sync: Any, other: Any, url: str = "", **options: Any) -> Any:
    options = {"api_key": "test", "max_retries": 0, **({"base_url": url} if url else {})} | options
    if colour == "sync":
        return sdk.ClientV2(httpx_client=sync, **options)
    return sdk.AsyncClientV2(httpx_client=other, **options)


def _ollama(sdk: Any, colour: Colour, sync: Any, other: Any, url: str = "", **options: Any) -> Any:
    kind, http = (sdk.Client, sync) if colour == "sync" else (sdk.AsyncClient, other)
    return kind(host=url or "http://127.0.0.1:11434", **({} if url else {"transport": http._transport}))


def _ask_stainless(client: Any, exchange: Exchange, colour: Colour) -> Any:
    create, body = client.chat.completions.create, exchange.request.body
    known = inspect.signature(create).parameters
    extra = {name: value for name, value in body.items() if name not in known}
    said = {name: value for name, value in body.items() if name in known}
    return create(**said, **({"extra_body": extra} if extra else {}))


def _ask_mistral(client: Any, exchange: Exchange, colour: Colour) -> Any:
    body = {name: value for name, value in exchange.request.body.items() if name != "stream"}
    name = ("stream" if exchange.request.streamed else "complete") + ("_async" if colour == "async" else "")
    return getattr(client.chat, name)(**body)


def _ask_cohere(client: Any, exchange: Exchange, colour: Colour) -> Any:
    body = {name: value for name, value in exchange.request.body.items() if name != "stream"}
    return (client.chat_stream if exchange.request.streamed else client.chat)(**body)


def _ask_ollama(client: Any, exchange: Exchange, colour: Colour) -> Any:
    return client.chat(**exchange.request.body)


ALL = (
    SDK("groq", "groq", "httpx", "api.groq.com", "groq", _groq, _ask_stainless),
    SDK("together", "together", "httpx", "api.together.ai", "together_ai", _together, _ask_stainless),
    SDK("mistralai", "mistralai.client", "httpx2", "api.mistral.ai", "mistral", _mistral, _ask_mistral),
    SDK("cohere", "cohere", "httpx", "api.cohere.com", "cohere", _cohere, _ask_cohere),
    SDK("ollama", "ollama", "httpx", "127.0.0.1:11434", "ollama", _ollama, _ask_ollama),
)
UNPRICED = ("ollama", "command-a-plus-05-2026")
"""A provider and a model that have no price."""
SDKS = [sdk for sdk in ALL if importlib.util.find_spec(sdk.name) is not None]
each_sdk = pytest.mark.parametrize("sdk", SDKS, ids=lambda sdk: sdk.name)
both_colours = pytest.mark.parametrize("colour", ["sync", "async"])


def _cases() -> Iterator[tuple[SDK, Case]]:
    """Every chat that was recorded at their providers; others with ``INTERLAY_CASSETTES=folder``."""
    for recording in Recording.load_all(os.environ.get("INTERLAY_CASSETTES", CASSETTES)):
        for number, exchange in enumerate(recording.exchanges):
            dialect = find(exchange.request.method, exchange.request.path)
            for sdk in SDKS if dialect is not None and dialect.operation == "chat" else ():
                if exchange.request.host == sdk.host:
                    yield sdk, Case(f"{sdk.name}-{recording.id}.{number + 1}", dialect.name, exchange)  # type: ignore[union-attr]


CASES = list(_cases())
each_case = pytest.mark.parametrize(("sdk", "case"), CASES, ids=[case.id for _, case in CASES])


def chosen(sdk: SDK, *, streamed: bool) -> Exchange:
    """A plain, or a streamed, exchange of a provider's."""
    return next(
        case.exchange for each, case in CASES
        if each is sdk and case.exchange.request.streamed is streamed and case.exchange.response.status == 200
    )  # fmt: skip


class Pair:
    """One SDK's client in one colour, bare and wrapped, over players that can be exchanged."""

    def __init__(self, sdk: SDK, colour: Colour) -> None:
        self.sdk, self.colour = sdk, colour
        self.bare = sdk.client(colour, Player())
        self.wrapped = interlay.wrap(sdk.client(colour, Player()))

    async def replay(self, index: int, player: Player, exchange: Exchange) -> Outcome:
        """One call through the bare client (0) or the wrapped one (1)."""
        client = self.wrapped if index else self.bare
        transport = self.sdk.http(client, self.colour)._transport
        (transport.inner if index else transport).player = player
        return await outcome(self.sdk, client, exchange, self.colour)

    async def raw_bytes(self, index: int, player: Player, exchange: Exchange) -> bytes:
        """A body as it came over the wire, still compressed, through the SDK's own HTTP client."""
        http = self.sdk.http(self.wrapped if index else self.bare, self.colour)
        (http._transport.inner if index else http._transport).player = player
        asked = {"method": "POST", "url": exchange.request.url, "json": exchange.request.body}
        if self.colour == "sync":
            with http.stream(**asked) as response:
                return b"".join(response.iter_raw())
        async with http.stream(**asked) as response:
            return b"".join([piece async for piece in response.aiter_raw()])


async def outcome(sdk: SDK, client: Any, exchange: Exchange, colour: Colour) -> Outcome:
    """What one call comes to."""
    seen: Outcome = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            result = sdk.ask(client, exchange, colour)
            result = await result if inspect.isawaitable(result) else result
            if not exchange.request.streamed:
                seen.append(("object", dumped(result)))
            elif colour == "sync":
                for event in result:
                    seen.append(("event", dumped(event)))
            else:
                async for event in result:
                    seen.append(("event", dumped(event)))
        except Exception as error:  # noqa: BLE001 - what it is, is the outcome
            seen += told(error)
    return [*seen, ("warnings", [str(warning.message) for warning in warned])]


def dumped(value: Any) -> Any:
    return type(value).__name__, value.model_dump_json(), value.model_dump(warnings=False), repr(value)


def stated(exchange: Exchange) -> tuple[int, int]:
    """Input and output tokens as the recording states them, read here and not by our codecs."""
    content = exchange.response.content
    said: dict[str, Any] = {}
    for line in content.splitlines() if exchange.request.streamed else (content,):
        if (data := line.removeprefix(b"data: ")).startswith(b"{"):
            event = json.loads(data)
            said |= event if "eval_count" in event else {}
            for holder in (event, event.get("delta") or {}, event.get("x_groq") or {}):
                said |= holder.get("usage") or {} if isinstance(holder, dict) else {}
    if "eval_count" in said:
        return said["prompt_eval_count"], said["eval_count"]
    if "billed_units" in said:
        return said["billed_units"]["input_tokens"], said["billed_units"]["output_tokens"]
    return said["prompt_tokens"], said["completion_tokens"]


def check_record(records: list[Record], sdk: SDK, exchange: Exchange) -> None:
    """Exactly one record, and what it says is what the recording says."""
    (record,) = records
    status = exchange.response.status
    assert (record.provider, record.operation, record.model) == (sdk.provider, "chat", exchange.request.body["model"])
    assert record.dialect == {"cohere": "cohere", "ollama": "ollama"}.get(sdk.name, "openai-chat")
    assert record.end == ("complete" if status == 200 else "error")
    assert record.streamed == exchange.request.streamed
    assert [attempt.status for attempt in record.attempts] == [status]
    if status != 200:
        assert record.usage is None
        return
    assert record.usage is not None
    assert (record.usage.input_tokens, record.usage.output_tokens) == stated(exchange)
    assert record.usage.flags == ()
    assert record.cost is not None
    assert not record.cost.estimated
    assert (record.cost.amount is None) == (record.provider in UNPRICED or record.model in UNPRICED)


@pytest.fixture(scope="module")
def pairs() -> dict[tuple[SDK, Colour], Pair]:
    colours: tuple[Colour, ...] = ("sync", "async")
    return {(sdk, colour): Pair(sdk, colour) for sdk in SDKS for colour in colours}


@both_colours
@each_case
def test_equal_with_and_without(
    sdk: SDK, case: Case, colour: Colour, pairs: dict[tuple[SDK, Colour], Pair], rng: random.Random
) -> None:
    exchange, pair, seed = case.exchange, pairs[sdk, colour], f"{rng.random()}"
    print(f"splits: at_random({seed!r})")  # noqa: T201 - shown when the test fails

    async def run() -> None:
        for coding in (None, *codings()):
            bare = Player(recording_of(exchange), coding=coding)
            baseline = await pair.replay(0, bare, exchange)
            assert bare.unmatched == []
            small = len(exchange.response.content) <= SMALL and coding in (None, "gzip")
            for split in (at_random(seed), *([every(1)] if small else [])):
                over = Player(recording_of(exchange), coding=coding, split=split)
                with capture() as records:
                    assert await pair.replay(1, over, exchange) == baseline
                check_record(records, sdk, exchange)
                assert over.requests == bare.requests
                assert over.open == 0
            got = []
            for index in (0, 1):
                over = Player(recording_of(exchange), coding=coding, split=at_random(seed))
                got.append(await pair.raw_bytes(index, over, exchange))
            assert got[0] == got[1]

    asyncio.run(run())


@both_colours
@each_sdk
def test_instrumented(sdk: SDK, colour: Colour) -> None:
    """Over a socket, as it reaches transports that send. Nobody knows this host, so nothing is priced."""

    async def run(exchange: Exchange) -> Outcome:
        with Server(Player(recording_of(exchange), coding="gzip")) as server:
            client = sdk.on_sockets(colour, server.url)
            try:
                return await outcome(sdk, client, exchange, colour)
            finally:
                for http in http_clients(client, "unwrap"):
                    if hasattr(http, "aclose"):
                        await http.aclose()
                    else:
                        http.close()

    for streamed in (False, True):
        exchange = chosen(sdk, streamed=streamed)
        bare = asyncio.run(run(exchange))
        interlay.instrument()
        try:
            with capture() as records:
                assert asyncio.run(run(exchange)) == bare
        finally:
            interlay.uninstrument()
        (record,) = records
        assert record.end == "complete"
        assert record.usage is not None
        assert (record.usage.input_tokens, record.usage.output_tokens) == stated(exchange)
        assert "error" not in dict(bare)


@both_colours
@each_sdk
def test_a_cut_that_the_sdk_does_not_notice_is_in_the_record(
    sdk: SDK, colour: Colour, pairs: dict[tuple[SDK, Colour], Pair]
) -> None:
    exchange = chosen(sdk, streamed=True)
    player = Player(recording_of(exchange), turns=[Turn(fault="cut", after=3)])
    with capture() as records:
        seen = asyncio.run(pairs[sdk, colour].replay(1, player, exchange))
    assert [what for what, _ in seen] == ["event", "event", "event", "warnings"]
    (record,) = records
    assert (record.end, record.error and record.error.type) == ("error", "cut")
    assert record.usage is None or record.usage.output_tokens is None


@both_colours
@each_sdk
def test_an_error_inside_a_200(sdk: SDK, colour: Colour, pairs: dict[tuple[SDK, Colour], Pair]) -> None:
    """Whatever the SDK makes of it: three raise, one hands it over, one cannot read it. Groq's does not close it."""
    exchange = chosen(sdk, streamed=True)
    outcomes = []
    with capture() as records:
        for index in (0, 1):
            player = Player(recording_of(exchange), turns=[Turn(fault="error", after=2)])
            outcomes.append(asyncio.run(pairs[sdk, colour].replay(index, player, exchange)))
        assert soon(lambda: bool(records))
    assert outcomes[0] == outcomes[1]
    (record,) = records
    assert record.end == "error"
    assert record.error is not None
    assert record.error.type == ("error" if sdk.name in ("cohere", "ollama") else "server_error")


def kept(client: Any) -> list[str]:
    """What an SDK's client has been told of retries."""
    wrapper, settings = vars(client).get("_client_wrapper"), vars(client).get("sdk_configuration")
    holders = (client, getattr(wrapper, "httpx_client", None), settings)
    names = ("max_retries", "base_max_retries", "retry_config")
    found = (getattr(holder, name, None) for holder, name in zip(holders, names, strict=True))
    return [repr(vars(each) if hasattr(each, "backoff") else each).partition(" object at")[0] for each in found]


@both_colours
@each_sdk
@pytest.mark.parametrize("turn", [Turn(status=429), Turn(fault="refuse")], ids=["429", "refused"])
def test_retry_makes_three_requests(sdk: SDK, colour: Colour, turn: Turn) -> None:
    """Not nine, whatever the SDK does by itself; and ``unwrap`` gives it back."""
    exchange = chosen(sdk, streamed=False)
    player = Player(recording_of(exchange), otherwise=turn)
    client = sdk.client(colour, player, max_retries=2)
    fresh = sdk.client(colour, Player(), max_retries=2)
    with capture() as records, no_network():
        interlay.wrap(client, Retry(attempts=3, backoff=0.01))
        seen = asyncio.run(outcome(sdk, client, exchange, colour))
    assert "error" in dict(seen)
    assert len(player.requests) == 3
    assert [len(record.attempts) for record in records] == [3]
    assert kept(client) != kept(fresh) or sdk.name == "ollama"
    interlay.unwrap(client)
    assert kept(client) == kept(fresh)


@each_case
def test_the_harness_sees_a_single_changed_byte(sdk: SDK, case: Case, pairs: dict[tuple[SDK, Colour], Pair]) -> None:
    """A test that cannot fail is worthless: one digit of an answer is changed."""
    exchange = case.exchange
    if exchange.response.status != 200:
        return
    content = exchange.response.content
    at = max(content.rindex(name) + len(name) for name in (b'_count":', b'_tokens":') if name in content)
    at += len(content[at:]) - len(content[at:].lstrip())
    changed = content[:at] + (b"8" if content[at : at + 1] == b"9" else b"9") + content[at + 1 :]
    turn = Turn(body=changed, headers=exchange.response.headers)
    pair = pairs[sdk, "sync"]
    players = [Player(recording_of(exchange)), Player(recording_of(exchange), turns=[turn])]
    one, other = (asyncio.run(pair.replay(0, player, exchange)) for player in players)
    assert one != other
