"""How streams of the Responses API and of Gemini end under their SDKs: what the SDK does not notice, the record has."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import openai
import pytest
from google import genai
from tests.recorded.replay import CASSETTES

import interlay
from interlay.model.record import Record
from interlay.testing import Player, Recording, Turn, capture, transports

RESPONSES = Recording.load(CASSETTES / "openai-responses" / "openai-responses-stream-01.json")
GEMINI = Recording.load(CASSETTES / "gemini" / "gemini-stream-01.json")
apis = pytest.mark.parametrize("api", ["responses", "gemini"])


class Asked:
    """A stream that was asked for, and the program's way to read it."""

    def __init__(self, api: str, *turns: Turn) -> None:
        self.player = Player(RESPONSES if api == "responses" else GEMINI, turns=turns)
        self.http = httpx2.Client(transport=transports(httpx2).sync(self.player))
        other = httpx2.AsyncClient()
        if api == "responses":
            client: Any = openai.OpenAI(api_key="sk-test", http_client=self.http, max_retries=0)
            self.ask: Callable[[], Any] = lambda: client.responses.create(model="gpt-4o", input="hi", stream=True)
        else:
            options: Any = {"httpx_client": self.http, "httpx_async_client": other, "api_version": "v1beta"}
            client = genai.Client(api_key="sk-test", http_options=options)
            self.ask = lambda: client.models.generate_content_stream(model="gemini-2.0-flash", contents="hi")
        interlay.wrap(client)


@contextlib.contextmanager
def asked(api: str, *turns: Turn) -> Iterator[tuple[Asked, list[Record]]]:
    one = Asked(api, *turns)
    with capture() as records:
        yield one, records
    assert one.player.open == 0
    one.http.close()


@apis
def test_read_to_its_end(api: str) -> None:
    with asked(api) as (one, records):
        assert len(list(one.ask())) > 5
    assert [(record.end, record.cost is not None and record.cost.estimated) for record in records] == [
        ("complete", False)
    ]


@apis
@pytest.mark.parametrize("after", [1, 3])
def test_cut(api: str, after: int) -> None:
    with asked(api, Turn(fault="cut", after=after)) as (one, records):
        assert len(list(one.ask())) == after
    (record,) = records
    assert (record.end, record.error and record.error.type) == ("error", "cut")
    assert record.cost is not None
    assert record.cost.estimated


@apis
def test_an_error_inside_a_200(api: str) -> None:
    with asked(api, Turn(fault="error", after=2)) as (one, records):
        read = 0
        with contextlib.suppress(Exception):
            for _ in one.ask():
                read += 1
        assert read >= 2
    (record,) = records
    assert (record.end, record.error and record.error.type) == (
        "error", "server_error" if api == "responses" else "INTERNAL",
    )  # fmt: skip


@apis
def test_closed_early(api: str) -> None:
    with asked(api) as (one, records):
        stream = one.ask()
        next(iter(stream))
        stream.close()
    (record,) = records
    assert record.end == "closed"
    assert record.cost is not None
    assert record.cost.estimated


@apis
@pytest.mark.parametrize("status", [401, 429, 503])
def test_refused(api: str, status: int) -> None:
    with asked(api, Turn(status=status)) as (one, records), contextlib.suppress(Exception):
        list(one.ask())
    (record,) = records
    assert (record.end, record.error and record.error.status) == ("error", status)
    assert record.cost is not None
    assert record.cost.amount == 0
