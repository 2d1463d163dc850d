"""What a layer's stage does to an answer: to one that comes whole, and in mid-stream."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any, ClassVar

import anthropic
import httpx2
import openai
import pytest
from tests.recorded.replay import client as sdk_client
from tests.unit.entry.apis import APIS, Api, Colour, Wire, play
from tests.unit.entry.wires import MESSAGES, OPENAI_ANSWER, Body

import interlay
from interlay.chain.call import Call, Response
from interlay.chain.layer import Next
from interlay.model.errors import ConfigError
from interlay.model.protocols import WireEvent
from interlay.model.record import End
from interlay.testing import Player, Turn, capture, transports

both_colours = pytest.mark.parametrize("colour", ["sync", "async"])
coded = pytest.mark.parametrize("coding", [None, "gzip"])
# Retry reads an answer that is no stream before anybody outside of it does.
beside = pytest.mark.parametrize(
    "parts", [(), (interlay.Retry(attempts=2),), (interlay.Timeout(total=600),)], ids=["alone", "retry", "deadline"]
)


class Guard:
    """A stage that notes what passes, says a word for another, and refuses a third."""

    role: ClassVar[interlay.Role] = interlay.Role.GUARD
    holds = 0

    def __init__(self, forbidden: bytes | None = None, *, ahead: bool = False) -> None:
        self.forbidden = forbidden
        self.ahead = ahead
        self.passed: list[bytes] = []
        self.ends: list[End] = []

    async def __call__(self, call: Call, next: Next) -> Response:
        response = await next(call)
        if self.ahead:
            await response.buffer()
        response.stream.add(self)
        return response

    async def feed(self, event: WireEvent) -> list[WireEvent]:
        if self.forbidden is not None and self.forbidden in event.raw:
            raise interlay.Refused("that may not be said", status=400, type="blocked", code="word")
        self.passed.append(event.raw)
        return [WireEvent(event.raw.replace(b"Hello", b"Howdy"), event.name, None)]

    async def finish(self, end: End) -> list[WireEvent]:
        self.ends.append(end)
        return []


def ask(colour: Any, turn: Turn, *parts: object) -> tuple[Any, list[interlay.Record], Player]:
    """The answer to a call through openai's SDK, or what it raises."""
    player = Player(otherwise=turn)
    held = interlay.wrap(sdk_client(openai, colour, player, max_retries=2), *parts)
    outcome: Any
    with capture() as records:
        try:
            outcome = held.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
            if colour == "async":
                outcome = asyncio.run(outcome)
        except openai.OpenAIError as error:
            outcome = error
    return outcome, records, player


def whole(coding: str | None, body: bytes) -> Turn:
    headers = {"content-type": "application/json"}
    if coding is None:
        return Turn(body=body, headers=headers)
    return Turn(body=gzip.compress(body), headers={**headers, "content-encoding": coding})


ANSWER = json.dumps(OPENAI_ANSWER).encode()


@both_colours
@coded
@beside
class TestAWholeAnswer:
    @pytest.mark.parametrize("ahead", [False, True])
    def test_passes_as_one_event(self, colour: str, coding: str, parts: Any, ahead: bool) -> None:  # noqa: FBT001
        guard = Guard(ahead=ahead)
        answer, records, _ = ask(colour, whole(coding, ANSWER), guard, *parts)
        assert answer.choices[0].message.content == "Howdy"
        assert (guard.passed, guard.ends) == ([ANSWER], ["complete"])
        (record,) = records
        assert (record.end, record.error) == ("complete", None)
        assert record.usage is not None
        assert (record.usage.input_tokens, record.usage.output_tokens) == (9, 2)
        assert record.response is not None
        assert record.response.bytes == len(whole(coding, ANSWER).body or b"") or coding

    def test_that_is_refused_is_the_sdks_own_error(self, colour: str, coding: str, parts: Any) -> None:
        error, records, player = ask(colour, whole(coding, ANSWER), Guard(b"Hello"), *parts)
        assert isinstance(error, openai.BadRequestError)
        assert (error.type, error.code) == ("blocked", "word")
        assert len(player.requests) == 1
        assert player.open == 0
        (record,) = records
        assert record.error is not None
        assert (record.end, record.error.type, record.error.code) == ("error", "blocked", "word")
        (attempt,) = record.attempts
        assert (attempt.status, attempt.billed, attempt.error) == (200, True, None)
        assert attempt.usage is not None

    def test_meets_one_guard_after_the_other(self, colour: str, coding: str, parts: Any) -> None:
        outer, inner = Guard(ahead=True), Guard()
        answer, _, _ = ask(colour, whole(coding, ANSWER), outer, inner, *parts)
        assert answer.choices[0].message.content == "Howdy"
        assert inner.passed == [ANSWER]
        assert outer.passed == [ANSWER.replace(b"Hello", b"Howdy")]

    def test_that_is_too_large_to_be_read_passes_whole(self, colour: str, coding: str, parts: Any) -> None:
        large = ANSWER[:-1] + b',"padding":"' + b"x" * 5 * 1024 * 1024 + b'"}'
        guard = Guard()
        answer, records, _ = ask(colour, whole(coding, large), guard, *parts)
        assert answer.choices[0].message.content == "Hello"
        assert len(answer.padding) == 5 * 1024 * 1024
        assert guard.passed == []
        assert [record.body for record in records] == ["opaque"]

    def test_of_no_dialect_passes_unread(self, colour: str, coding: str, parts: Any) -> None:
        if colour == "async":
            return
        turn = whole(coding, b'{"data":["Hello"]}')
        with httpx2.Client(transport=transports(httpx2).sync(Player(otherwise=turn))) as held:
            interlay.wrap(held, Guard(), *parts)
            assert held.get("https://api.openai.com/v1/models").json() == {"data": ["Hello"]}


@both_colours
@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
class TestInMidStream:
    def test_a_refusal_is_the_apis_own_error_event(self, api: Api, colour: Colour) -> None:
        last = api.events[-2][-60:]
        wire = Wire(Body(api.events))
        guard = Guard(last)
        seen = play(api, colour, wire, guard)
        assert seen.error is None
        *passed, error = seen.pieces
        assert b"".join(passed) == b"".join(guard.passed).replace(b"Hello", b"Howdy")
        assert b"that may not be said" in error
        assert last not in b"".join(seen.pieces)
        assert isinstance(wire.body, Body)
        assert wire.body.closed == 1
        record = seen.record
        assert record.error is not None
        assert (record.end, record.error.type, record.error.message) == ("error", "blocked", None)
        (attempt,) = record.attempts
        assert (attempt.billed, attempt.error) == (True, None)


@both_colours
@pytest.mark.parametrize("sdk", [openai, anthropic], ids=["openai", "anthropic"])
def test_the_sdk_raises_its_own_error_in_mid_stream(sdk: Any, colour: Any) -> None:
    api = next(api for api in APIS if api.name == ("openai-chat" if sdk is openai else "anthropic-messages"))
    turn = Turn(body=b"".join(api.events), headers={"content-type": "text/event-stream"})
    last = b"finish_reason" if sdk is openai else b"end_turn"
    held = interlay.wrap(sdk_client(sdk, colour, Player(otherwise=turn)), Guard(last))
    resource = held.chat.completions if sdk is openai else held.messages

    async def await_it() -> None:
        async for _ in await resource.create(**api.body):
            pass

    def read() -> None:
        if colour == "async":
            asyncio.run(await_it())
        else:
            list(resource.create(**api.body))

    with capture() as records, pytest.raises(sdk.APIError, match="that may not be said"):
        read()
    assert [(record.end, record.error and record.error.type) for record in records] == [("error", "blocked")]


def test_a_stream_that_was_read_ahead_takes_no_stage() -> None:
    api = APIS[0]
    seen = play(api, "sync", Wire(Body(api.events)), Guard(ahead=True))
    assert isinstance(seen.error, ConfigError)
    assert seen.record.end == "error"
