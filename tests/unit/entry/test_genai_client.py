"""``wrap`` and google-genai, whose one client has two sides, the async one with an HTTP client for each event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import _api_client

import interlay
from interlay.model.errors import ConfigError
from interlay.testing import Player, Recording, Server, capture

CASSETTES = Path(__file__).parents[2] / "recorded" / "cassettes" / "gemini"
PLAIN, STREAM = (Recording.load(CASSETTES / f"gemini-{kind}-01.json") for kind in ("plain", "stream"))


def client(server: Server) -> Any:
    return genai.Client(api_key="sk-test", http_options={"base_url": server.url, "api_version": "v1beta"})


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(Player([PLAIN, STREAM])) as serving:
        yield serving


def ask(held: Any) -> str:
    return str(held.models.generate_content(model="gemini-2.5-flash", contents="hi").text)


async def aask(held: Any) -> str:
    """A plain and a streamed answer, in an event loop whose connections are closed then."""
    answer = await held.aio.models.generate_content(model="gemini-2.5-flash", contents="hi")
    pieces = await held.aio.models.generate_content_stream(model="gemini-2.0-flash", contents="hi")
    assert "".join([piece.text or "" async for piece in pieces])
    await held._api_client._async_httpx_client._client_for_running_loop().aclose()
    return str(answer.text)


def test_both_sides_are_recorded_and_each_event_loop_is(server: Server) -> None:
    held = interlay.wrap(client(server), provider="gemini")
    with capture() as records:
        answers = {ask(held), asyncio.run(aask(held)), asyncio.run(aask(held))}
        held.close()
    assert len(answers) == 1
    assert [(record.dialect, record.streamed, record.end) for record in records] == [
        ("gemini", False, "complete"),
        ("gemini", False, "complete"),
        ("gemini", True, "complete"),
        ("gemini", False, "complete"),
        ("gemini", True, "complete"),
    ]
    assert all(record.cost is not None and record.cost.amount for record in records)


def test_unwrap_leaves_nothing(server: Server) -> None:
    held = client(server)
    sync, asynchronous = held._api_client._httpx_client, held._api_client._async_httpx_client
    before = (sync._transport, asynchronous._transport, asynchronous._inner_client_cls)

    async def run() -> None:
        inner = asynchronous._client_for_running_loop()
        transport = inner._transport
        interlay.wrap(held)
        assert inner._transport is not transport
        interlay.wrap(held)
        assert inner._transport.inner is transport
        interlay.unwrap(held)
        assert inner._transport is transport
        await held.aio.aclose()

    asyncio.run(run())
    assert before == (sync._transport, asynchronous._transport, asynchronous._inner_client_cls)
    assert "_inner_client_cls" not in vars(asynchronous)
    with capture() as records:
        ask(held)
    assert records == []
    held.close()


def test_wrapping_again_replaces_the_chain_on_both_sides(server: Server) -> None:
    held = interlay.wrap(client(server))
    seen: list[str] = []
    interlay.wrap(held, interlay.Observe(lambda record: seen.append(record.id), inline=True))
    ask(held)
    asyncio.run(aask(held))
    assert len(seen) == 3
    held.close()


def test_a_client_whose_async_side_would_go_past_us_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    held = client(server)
    monkeypatch.setattr(_api_client, "has_aiohttp", True)
    with pytest.raises(ConfigError, match=r"httpx_async_client.*httpx2\.AsyncClient\(\)"):
        interlay.wrap(held)
    interlay.unwrap(held)
    own = httpx2.AsyncClient()
    options: Any = {"httpx_async_client": own}
    given = genai.Client(api_key="sk-test", http_options=options)
    interlay.wrap(given)
    assert hasattr(type(own._transport), "interlay_seat")
    given.close()
    held.close()
    asyncio.run(own.aclose())
