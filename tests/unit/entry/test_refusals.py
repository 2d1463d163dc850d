"""What a layer refuses reaches the program as the API's own error: the SDK raises its own class, and does not repeat
what cannot succeed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import anthropic
import httpx2
import openai
import pytest
from google import genai
from tests.recorded.replay import client as sdk_client
from tests.recorded.scenes import asoon, soon
from tests.unit.entry.wires import MESSAGES, Wire

import interlay
from interlay.chain.call import Call, Response
from interlay.chain.layer import Next
from interlay.model.record import Verdict
from interlay.testing import Player, Turn, capture, transports

REFUSED = interlay.Refused


class Door:
    """Refuses every call, before it is sent or when it has been answered."""

    role: ClassVar[interlay.Role] = interlay.Role.GUARD

    def __init__(self, refusal: Callable[[], interlay.Refused], *, answered: bool = False, times: int = 99) -> None:
        self.refusal = refusal
        self.answered = answered
        self.times = times
        self.seen = 0

    async def __call__(self, call: Call, next: Next) -> Response:
        self.seen += 1
        if self.seen > self.times:
            return await next(call)
        if self.answered:
            await next(call)
        call.verdict(Verdict(layer="door", action="block", reason="not_on_the_list"))
        raise self.refusal()


def blocked(status: int = 400, **how: Any) -> interlay.Refused:
    return REFUSED("that may not be said", status=status, type="blocked", code="not_on_the_list", **how)


CHAT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": MESSAGES}
MESSAGE: dict[str, Any] = {"model": "claude-sonnet-4-6", "messages": MESSAGES, "max_tokens": 9}

CALLS: dict[str, tuple[Any, Callable[..., Any]]] = {
    "openai-chat": (openai, lambda held, **more: held.chat.completions.create(**CHAT, **more)),
    "openai-responses": (openai, lambda held, **more: held.responses.create(model="gpt-4o-mini", input="hi", **more)),
    "openai-embeddings": (openai, lambda held: held.embeddings.create(model="text-embedding-3-small", input="hi")),
    "anthropic-messages": (anthropic, lambda held, **more: held.messages.create(**MESSAGE, **more)),
}
each_api = pytest.mark.parametrize("api", CALLS)
both_colours = pytest.mark.parametrize("colour", ["sync", "async"])


def refused(api: str, colour: Any, *parts: object, sent: int = 0, **more: Any) -> tuple[Any, list[interlay.Record]]:
    """The error that a call through an SDK with its own retries ends in, and the records."""
    sdk, ask = CALLS[api]
    player = Player(otherwise=Turn(body=b'{"id":"x"}'))
    held = interlay.wrap(sdk_client(sdk, colour, player, max_retries=2), *parts)

    async def await_it() -> None:
        try:
            await ask(held, **more)
        finally:
            assert await asoon(lambda: player.open == 0)

    with capture() as records, pytest.raises(sdk.APIStatusError) as raised:
        ask(held, **more) if colour == "sync" else asyncio.run(await_it())
    assert len(player.requests) == sent
    assert soon(lambda: player.open == 0)
    return raised.value, records


@both_colours
@each_api
class TestARefusal:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [(400, "BadRequestError"), (402, "APIStatusError"), (403, "PermissionDeniedError"), (429, "RateLimitError")],
    )
    def test_is_the_sdks_own_error(self, api: str, colour: str, status: int, kind: str) -> None:
        door = Door(lambda: blocked(status))
        error, records = refused(api, colour, door)
        assert isinstance(error, getattr(CALLS[api][0], kind))
        assert "that may not be said" in str(error)
        assert error.status_code == status
        assert error.body
        assert error.response.headers["interlay-refused"] == "blocked"
        assert error.response.headers["interlay-layer"] == "door"
        assert error.response.headers["interlay-reason"] == "not_on_the_list"
        # What cannot succeed is not tried again.
        assert door.seen == 1
        (record,) = records
        assert error.response.headers["interlay-record"] == record.id
        assert record.end == "error"
        assert record.error is not None
        assert (record.error.type, record.error.code, record.error.status) == ("blocked", "not_on_the_list", status)
        assert record.error.message is None
        assert record.attempts == ()
        assert [verdict.action for verdict in record.verdicts] == ["block"]
        assert b"may not be said" not in record.to_json()

    def test_that_may_pass_later_is_repeated_by_the_sdk(self, api: str, colour: str) -> None:
        door = Door(lambda: blocked(429, retryable=True, retry_after=0.001))
        error, records = refused(api, colour, door)
        assert type(error).__name__ == "RateLimitError"
        assert (error.response.headers["retry-after"], error.response.headers["retry-after-ms"]) == ("1", "1")
        assert door.seen == len(records) == 3
        assert len({record.call_id for record in records}) == 1

    def test_is_final_where_the_chain_retries(self, api: str, colour: str) -> None:
        door = Door(lambda: blocked(429, retryable=True))
        error, records = refused(api, colour, door, interlay.Retry(attempts=3))
        assert error.response.headers["x-should-retry"] == "false"
        assert door.seen == len(records) == 1

    def test_of_a_stream_comes_before_it(self, api: str, colour: str) -> None:
        if api == "openai-embeddings":
            return
        error, records = refused(api, colour, Door(blocked), stream=True)
        assert type(error).__name__ == "BadRequestError"
        assert [record.end for record in records] == ["error"]

    def test_of_an_answer_keeps_the_attempt_and_lets_the_connection_go(self, api: str, colour: str) -> None:
        error, records = refused(api, colour, Door(blocked, answered=True), sent=1)
        assert type(error).__name__ == "BadRequestError"
        (record,) = records
        assert record.error is not None
        assert record.error.type == "blocked"
        (attempt,) = record.attempts
        assert (attempt.status, attempt.billed) == (200, True)
        assert record.cost is not None

    def test_in_any_words(self, api: str, colour: str) -> None:
        words = "a\r\nset-cookie: b\ud800é" * 9
        error, records = refused(
            api, colour, Door(lambda: REFUSED(words, status=400, type=words, code=words)), interlay.Timeout(total=60)
        )
        assert type(error).__name__ == "BadRequestError"
        assert not {"set-cookie", "interlay-refused"} & set(error.response.headers)
        assert records[0].error is not None
        assert records[0].error.type == "other"


def test_the_next_call_is_a_call_of_its_own() -> None:
    client = interlay.wrap(Wire(200).for_openai(), Door(blocked, times=1))
    with capture() as records:
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(**CHAT)
        client.chat.completions.create(**CHAT)
    assert [record.end for record in records] == ["error", "complete"]
    assert len({record.call_id for record in records}) == 2


def test_gemini_has_its_own_error_too() -> None:
    http = httpx2.Client(transport=transports(httpx2).sync(Player()))
    options: Any = {"httpx_client": http, "httpx_async_client": httpx2.AsyncClient()}
    client = genai.Client(api_key="sk-test", http_options=options)
    interlay.wrap(client, Door(lambda: blocked(403)))
    with pytest.raises(genai.errors.ClientError) as raised:
        client.models.generate_content(model="gemini-2.0-flash", contents="hi")
    assert (raised.value.code, raised.value.message) == (403, "that may not be said")


def test_a_url_that_no_dialect_knows_is_answered_in_plain_json() -> None:
    with httpx2.Client(transport=transports(httpx2).sync(Player())) as client:
        interlay.wrap(client, Door(lambda: blocked(403)))
        answer = client.get("https://api.openai.com/v1/models")
    assert answer.status_code == 403
    assert answer.json()["error"] == {"message": "that may not be said", "type": "blocked", "code": "not_on_the_list"}


@pytest.mark.parametrize("status", [200, 399, 600, True, 400.0])
def test_a_status_that_is_no_errors(status: Any) -> None:
    with pytest.raises(ValueError, match=r"Refused\(status="):
        REFUSED("no", status=status, type="blocked")


@pytest.mark.parametrize("seconds", [-1, float("nan"), "1"])
def test_a_wait_that_is_none(seconds: Any) -> None:
    with pytest.raises(ValueError, match=r"Refused\(retry_after="):
        REFUSED("no", status=429, type="rate", retry_after=seconds)
