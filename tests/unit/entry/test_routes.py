"""What is known of a URL is looked up once, whatever its query holds, and no secret of it is kept."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

import interlay
from interlay.chain.call import Call, Route
from interlay.entry.holders import seat_of

GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent"
AZURE = "https://team.openai.azure.com/openai/deployments/gpt-4o/chat/completions"


class Seen:
    """The routes of the calls that were made."""

    def __init__(self) -> None:
        self.routes: list[Route] = []

    def on_start(self, call: Call) -> None:
        self.routes.append(call.route)


class Rig:
    def __init__(self) -> None:
        self.seen = Seen()
        transport = httpx2.MockTransport(lambda _request: httpx2.Response(200, json={}))
        self.http = interlay.wrap(httpx2.Client(transport=transport), interlay.Observe(self.seen, inline=True))

    def ask(self, url: str) -> Route:
        self.http.post(url, json={})
        return self.seen.routes[-1]

    def remembered(self) -> dict[Any, Route]:
        seat = seat_of(self.http)
        assert seat is not None
        return seat._routes


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_key_in_the_query_makes_no_other_url_and_is_not_kept(rig: Rig) -> None:
    routes = {rig.ask(f"{GEMINI}?key=AIzaCanary{n}&alt=sse") for n in range(3)}
    routes.add(rig.ask(f"{GEMINI}?alt=sse"))
    assert len(routes) == 1
    assert "Canary" not in repr(rig.remembered())
    (route,) = routes
    assert route.dialect is not None
    assert (route.dialect.name, route.provider) == ("gemini", "gemini")


def test_a_user_in_the_url_is_not_kept(rig: Rig) -> None:
    url = GEMINI.replace("//", "//me:Canary@")
    assert rig.ask(url) is rig.ask(url)
    assert "Canary" not in repr(rig.remembered())


def test_a_version_in_the_query_tells_urls_apart(rig: Rig) -> None:
    old, new = (rig.ask(f"{AZURE}?x=1&api-version={version}") for version in ("2023-05-15", "2024-10-21"))
    assert (old.asks_usage, new.asks_usage) == (False, True)
    assert rig.ask(f"{AZURE}?api-version=2024-10-21&y=2") is new


@pytest.mark.parametrize("query", ["", "?q={}", "?api-version=v{}"])
def test_so_many_are_remembered_and_no_more(rig: Rig, query: str) -> None:
    for n in range(1100):
        rig.ask(f"https://api.openai.com/v1/batches/{n}" + query.format(n))
    assert 0 < len(rig.remembered()) <= 512


def test_ports_paths_and_methods_are_told_apart(rig: Rig) -> None:
    asked = [
        "http://localhost:11434/v1/chat/completions?a=1",
        "http://localhost:1234/v1/chat/completions?a=1",
        "https://localhost:1234/v1/chat/completions?a=1",
        "http://localhost:1234/v1/models?a=1",
    ]
    routes = [rig.ask(url) for url in asked]
    assert len(set(routes)) == 4
    assert [route.target for route in routes] == [url.partition("?")[0] for url in asked]
