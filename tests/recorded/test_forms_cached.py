"""A stored stream answers a plain call, and a stored body a streamed one: through the real SDKs and a cache."""

from __future__ import annotations

import asyncio
from typing import Any

import anthropic
import openai
import pytest
from tests.recorded.forms import CASES, bared, both, is_stream
from tests.recorded.replay import Case, Colour, base_url, client, invocation, is_anthropic
from tests.recorded.test_parity import recording_of

import interlay
from interlay import Cache
from interlay.testing import Exchange, Player, capture, no_network

SPOKEN = ("openai-chat", "openai-responses", "anthropic-messages")
"""Dialects that the two SDKs speak."""


async def said(held: Any, exchange: Exchange, *, asked_usage: bool = True) -> list[Any]:
    """What a call comes to, in either colour: its object, or its events."""
    resource, arguments = invocation(held.with_options(base_url=base_url(exchange)), exchange, ask_usage=asked_usage)
    result = resource.create(**arguments)
    result = await result if hasattr(result, "__await__") else result
    if not is_stream(exchange):
        return [bared(result)]
    if hasattr(result, "__aiter__"):
        return [bared(event) async for event in result]
    return [bared(event) for event in result]


class Pair:
    """One SDK's client in one colour, bare, and with a new cache for each test."""

    def __init__(self, sdk: Any, colour: Colour) -> None:
        self._bare, self._held = (client(sdk, colour, Player()) for _ in range(2))

    def bare(self, player: Player) -> Any:
        self._bare._client._transport.player = player
        return self._bare

    def cached(self, player: Player) -> Any:
        interlay.wrap(self._held, Cache())
        self._held._client._transport.inner.player = player
        return self._held


@pytest.fixture(scope="module")
def pairs() -> dict[tuple[Any, Colour], Pair]:
    colours: tuple[Colour, ...] = ("sync", "async")
    return {(sdk, colour): Pair(sdk, colour) for sdk in (openai, anthropic) for colour in colours}


@pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")
@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES if case.dialect in SPOKEN])
def test_one_form_answers_the_other(case: Case, colour: Colour, pairs: dict[tuple[Any, Colour], Pair]) -> None:
    first, second = sorted(both(case.exchange), key=lambda each: each is not case.exchange)
    pair = pairs[anthropic if is_anthropic(first) else openai, colour]
    player = Player(recording_of(first))
    held, bare = pair.cached(player), pair.bare(Player(recording_of(second)))

    async def run() -> tuple[list[Any], list[Any]]:
        await said(held, first)
        return await said(held, second), await said(bare, second)

    with capture() as records, no_network():
        given, expected = asyncio.run(run())
    assert [each.cache is not None for each in records] == [True, True]
    if records[0].cache is not None and records[0].cache.outcome == "bypass":
        return
    assert [(each.cache and (each.cache.outcome, each.cache.reason)) for each in records] == [
        ("miss", "absent"), ("hit", "fresh"),
    ]  # fmt: skip
    assert len(player.requests) == 1
    assert given == expected
    assert records[1].streamed is is_stream(second)
    assert records[1].end == "complete"
    ends = [each.response and each.response.finish_reasons for each in records]
    assert ends[0] == ends[1]
    assert records[0].cost is not None
    assert records[1].cost is not None
    assert records[1].cost.avoided == records[0].cost.amount


def test_who_did_not_ask_for_usage_is_not_told_of_it(pairs: dict[tuple[Any, Colour], Pair]) -> None:
    (case,) = (case for case in CASES if case.id == "openai-chat-plain-03.1")
    plain, streamed = both(case.exchange)
    held = pairs[openai, "sync"].cached(Player(recording_of(plain)))

    async def run() -> list[Any]:
        await said(held, plain)
        return await said(held, streamed, asked_usage=False)

    with capture() as records, no_network():
        events = asyncio.run(run())
    assert not any("usage" in event for event in events)
    assert all(event["choices"] for event in events)
    assert records[1].cache is not None
    assert records[1].cache.outcome == "hit"
