"""Law 8 from a cache: a program that is given a stored answer cannot tell it from the provider's."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from decimal import Decimal
from typing import Any

import anthropic
import openai
import pytest
from tests.recorded import test_parity_sdks
from tests.recorded.replay import Case, Colour, areplay, base_url, cases, client, is_anthropic, replay
from tests.recorded.test_parity import recording_of

import interlay
from interlay.model.record import Record
from interlay.testing import Exchange, Player, at_random, capture, codings

CASES = cases()
both_colours = pytest.mark.parametrize("colour", ["sync", "async"])


def check(records: list[Record], exchange: Exchange, requests: int) -> None:
    """Two calls: the second was given what the first brought, unless that is never kept."""
    first, second = records
    assert first.cache is not None
    assert second.cache is not None
    if first.cache.outcome == "bypass" or exchange.response.status != 200:
        assert requests == 2
        return
    assert (first.cache.outcome, first.cache.reason) == ("miss", "absent")
    assert (second.cache.outcome, second.cache.reason) == ("hit", "fresh")
    assert requests == 1
    assert (second.end, second.served_model, second.streamed) == (first.end, first.served_model, first.streamed)
    assert first.response is not None
    assert second.response is not None
    assert second.response.finish_reasons == first.response.finish_reasons
    assert second.usage is None
    assert first.cost is not None
    assert second.cost is not None
    assert (second.cost.amount, second.cost.source) == (Decimal(0), "cache_hit")
    assert second.cost.avoided == first.cost.amount, "law 2, from a cache"


@both_colours
@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_equal_to_the_bare_sdk(case: Case, colour: Colour, rng: random.Random) -> None:
    exchange = case.exchange
    sdk: Any = anthropic if is_anthropic(exchange) else openai

    def over(player: Player, *parts: object) -> Any:
        made = client(sdk, colour, player)
        if parts:
            interlay.wrap(made, *parts)
        return made.with_options(base_url=base_url(exchange))

    def run(held: Any) -> Any:
        if colour == "sync":
            return replay(held, exchange, "object")
        asked: Coroutine[Any, Any, Any] = areplay(held, exchange, "object")
        return asyncio.run(asked)

    for coding in (None, *codings()[:1]):
        baseline = run(over(Player(recording_of(exchange), coding=coding)))
        player = Player(recording_of(exchange), coding=coding, split=at_random(f"{rng.random()}"))
        held = over(player, interlay.Cache())
        with capture() as records:
            assert run(held) == baseline
            assert run(held) == baseline
        check(records, exchange, len(player.requests))


@both_colours
@test_parity_sdks.each_case
def test_equal_to_other_bare_sdks(sdk: test_parity_sdks.SDK, case: Case, colour: Colour) -> None:
    exchange = case.exchange
    pair = test_parity_sdks.Pair(sdk, colour)
    interlay.wrap(pair.wrapped, interlay.Cache())
    player = Player(recording_of(exchange))

    async def run() -> None:
        baseline = await pair.replay(0, Player(recording_of(exchange)), exchange)
        for _ in range(2):
            assert await pair.replay(1, player, exchange) == baseline

    with capture() as records:
        asyncio.run(run())
    check(records, exchange, len(player.requests))
