"""Hostile values as a program would pass them: through the SDKs' own arguments, and through each HTTP library."""

from __future__ import annotations

import asyncio
import importlib
import math
from types import ModuleType
from typing import Any

import pytest
from tests.hostile import letters, nesting, numbers, twins
from tests.hostile.inputs import BOTH, MARK, Ordinary, variants
from tests.hostile.seam import COLOURS, EVENTS, JSON, Colour, Outcome, decent, settle, stepped, told, upstream
from tests.recorded.replay import client

import interlay
from interlay.testing import Player, Turn, capture, transports

LONG = "a" * 1_000_000


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


WRONG: list[Any] = [[], {}, -1, "x", None, math.nan, math.inf, 10**400, "\ud800", "\0", b"bytes", object]
LIMITS: list[Any] = [-1, 0, 1.5, math.nan, True, "9", 10**9, 10**400, None, []]
MESSAGES: list[Any] = [[], None, {}, "text", [None], [[]], [{"role": 7}], [{"content": []}]]
ARGUMENTS: list[dict[str, Any]] = [
    *({"extra_body": body} for body in variants({"x": 0, "model": "", "messages": [], "stream": False}, WRONG)),
    *({"extra_body": {"metadata": {"deep": nested(depth)}}} for depth in (100, 900, 5_000)),
    {"extra_body": {"x": LONG}},
    {"extra_body": {LONG[:100_000]: 1}},
    {"extra_headers": {"x-note": "a\r\nb"}},
    {"extra_headers": {"x-note": "\0", "é": "é"}},
    {"extra_headers": {f"x-{number}": "x" for number in range(5_000)}},
    {"extra_headers": {"x-note": LONG}},
    {"extra_query": {"a": "\r\n", "b": ["1", "2"], "\0": "é"}},
    *({"max_tokens": limit} for limit in LIMITS),
    *({"model": model} for model in ("", "\0", "\ud800", "a\r\nb", "/../x?y#z", LONG[:10_000], 7, None)),
    *({"messages": messages} for messages in MESSAGES),
    {"messages": [{"role": "user", "content": "\udc00"}]},
    {"messages": [{"role": "user", "content": LONG}]},
    {"messages": [{"role": "user", "content": nested(500)}]},
    {"timeout": 0.000001},
]


async def call(held: Any, ordinary: Ordinary, arguments: dict[str, Any]) -> Outcome:
    resource = held.chat.completions if ordinary.dialect == "openai" else held.messages
    plain = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": MARK}]}
    try:
        return [("object", repr(await settle(resource.create(**{**plain, **arguments}))))]
    except Exception as error:  # noqa: BLE001 - what it is, is the outcome
        return told(error)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("ordinary", BOTH, ids=lambda ordinary: ordinary.dialect)
def test_an_sdk_sends_and_raises_what_it_always_does(ordinary: Ordinary, colour: Colour) -> None:
    sdk = importlib.import_module(ordinary.dialect)
    turn = Turn(body=ordinary.answer(), headers=JSON)

    bare = client(sdk, colour, Player(), base_url="https://llm.test")
    wrapped = interlay.wrap(client(sdk, colour, Player(), base_url="https://llm.test"))

    async def compare() -> None:
        for number, arguments in enumerate(ARGUMENTS):
            name, seen = f"{number}: {', '.join(arguments)}", []
            for held in (bare, wrapped):
                player = Player(otherwise=turn, complete_headers=False)
                transport = held._client._transport
                getattr(transport, "inner", transport).player = player
                with decent(name), capture() as records:
                    outcome = await call(held, ordinary, arguments)
                assert len(records) == (len(player.requests) if held is wrapped else 0), name
                seen.append((outcome, upstream(player.requests), player.open))
            assert seen[1] == seen[0], name
        for held in (bare, wrapped):
            await settle(held.close())

    if colour == "sync":
        stepped(compare())
    else:
        asyncio.run(compare())


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize("stream", [False, True], ids=["", "stream"])
@pytest.mark.parametrize("ordinary", BOTH, ids=lambda ordinary: ordinary.dialect)
def test_an_http_library_sends_and_reads_what_it_always_does(ordinary: Ordinary, stream: bool, library: str) -> None:  # noqa: FBT001
    module = importlib.import_module(library)
    plain = ordinary.answer()
    body, headers = (ordinary.stream(ordinary.data()), EVENTS) if stream else (plain, JSON)
    with _http(module) as bare, interlay.wrap(_http(module)) as wrapped:
        for family in (twins, nesting, numbers, letters):
            for hostile in family.inputs(ordinary, "modest"):
                seen = []
                for http in (bare, wrapped):
                    player = Player(otherwise=Turn(body=body, headers=headers), complete_headers=False)
                    getattr(http._transport, "inner", http._transport).player = player
                    with capture() as records:
                        answer = http.post(
                            f"https://llm.test{ordinary.path}",
                            content=hostile.make(ordinary.request(stream=stream)),
                            headers={"content-type": "application/json"},
                        )
                    assert len(records) == (http is wrapped), hostile.name
                    seen.append((answer.status_code, answer.headers.raw, answer.content, player.requests))
                assert seen[1] == seen[0], hostile.name


def _http(module: ModuleType) -> Any:
    return module.Client(transport=transports(module).sync(Player()))
