"""An answer in its other form, read by the real SDKs: a recorded body that is streamed adds up, by the SDK's own
accumulator where it has one, to the message that the body is; a recorded stream that is given whole is the message
that the SDK makes of the stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from tests.recorded.forms import CASES, UNASKED, bared, both, is_stream
from tests.recorded.replay import base_url, client
from tests.recorded.test_parity import recording_of
from tests.recorded.test_parity_genai import Pair as GenaiPair
from tests.recorded.test_parity_genai import arguments

from interlay.testing import Exchange, Player, no_network

OURS = ("api.openai.com", "example-resource.services.ai.azure.com", "api.deepseek.com")
"""Hosts whose streams the accumulator is made for. At others it joins roles that are repeated, and misses ends and
usage that stand elsewhere."""
LISTED = ("mistral-thinking-01.1",)
"""Contents that are lists, which this accumulator does not know."""
HELD = {
    name: pytest.mark.parametrize(
        "exchange",
        [pytest.param(case.exchange, id=case.id) for case in CASES if case.dialect == name and case.id not in LISTED],
    )
    for name in {case.dialect for case in CASES}
}


@pytest.fixture(scope="module")
def sdks() -> Iterator[dict[Any, Any]]:
    made = {sdk: client(sdk, "sync", Player()) for sdk in (openai, anthropic)}
    with no_network():
        yield made
    for each in made.values():
        each.close()


def over(sdks: dict[Any, Any], sdk: Any, exchange: Exchange) -> Any:
    """The SDK's client, to which the exchange is all there is."""
    sdks[sdk]._client._transport.player = Player(recording_of(exchange))
    return sdks[sdk].with_options(base_url=base_url(exchange))


@HELD["openai-chat"]
def test_chat_completions(exchange: Exchange, sdks: dict[Any, Any]) -> None:
    plain, streamed = both(exchange)
    asked = {key: exchange.request.body[key] for key in ("model", "messages")}
    completion = over(sdks, openai, plain).chat.completions.create(**asked)
    if exchange.request.host not in UNASKED:
        asked["stream_options"] = {"include_usage": True}
    with over(sdks, openai, streamed).chat.completions.stream(**asked) as stream:
        for _ in stream:
            pass
        accumulated = stream.get_final_completion()
    made, given = comparable(bared(accumulated)), comparable(bared(completion))
    if is_stream(exchange) and exchange.request.host not in OURS:
        for each in (made, given):
            each.pop("usage", None)
            each["choices"][0].pop("finish_reason", None)
            each["choices"][0]["message"].pop("role", None)
    if is_stream(exchange) and "usage" not in made:
        given.pop("usage", None)  # moderation came behind it
    assert made == given


def comparable(completion: dict[str, Any]) -> dict[str, Any]:
    """A completion without what bodies and streams have each in their own way, and what the accumulator loses: it
    takes the first chunk's word for what only the last has."""
    for choice in completion["choices"]:
        for call in choice["message"].get("tool_calls", ()):
            call.pop("index", None)
        for key in set(choice) - {"finish_reason", "index", "logprobs", "message"}:
            del choice[key]
        choice["message"].pop("token_id", None)
    known = {"id", "choices", "created", "model", "usage", "service_tier", "system_fingerprint", "moderation"}
    return {key: value for key, value in completion.items() if key in known}


@HELD["openai-responses"]
def test_responses(exchange: Exchange, sdks: dict[Any, Any]) -> None:
    plain, streamed = both(exchange)
    asked = {"model": exchange.request.body["model"], "input": exchange.request.body["input"]}
    response = over(sdks, openai, plain).responses.create(**asked)
    with over(sdks, openai, streamed).responses.stream(**asked) as stream:
        numbers = [event.sequence_number for event in stream]
        accumulated = stream.get_final_response()
    assert numbers == list(range(len(numbers))) or is_stream(exchange)
    assert bared(accumulated) == bared(response)


@HELD["anthropic-messages"]
@pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")
def test_messages(exchange: Exchange, sdks: dict[Any, Any]) -> None:
    plain, streamed = both(exchange)
    asked = {key: exchange.request.body[key] for key in ("model", "messages", "max_tokens")}
    message = over(sdks, anthropic, plain).messages.create(**asked)
    with over(sdks, anthropic, streamed).messages.stream(**asked) as stream:
        accumulated = stream.get_final_message()
    assert bared(accumulated) == bared(message)


@pytest.fixture(scope="module")
def google() -> Iterator[Callable[[Exchange], genai.Client]]:
    pair = GenaiPair("sync", httpx2)
    yield lambda exchange: pair.play(0, Player(recording_of(exchange)), exchange)
    asyncio.run(pair.close())


@pytest.mark.parametrize(
    "exchange",
    [
        pytest.param(case.exchange, id=case.id)
        for case in CASES
        if case.dialect == "gemini" and not case.id.startswith("vertex-tools-01")  # its request this SDK cannot say
    ],
)
def test_generate_content(exchange: Exchange, google: Callable[[Exchange], genai.Client]) -> None:
    plain, streamed = both(exchange)
    whole = google(plain).models.generate_content(**arguments(plain))
    chunks = list(google(streamed).models.generate_content_stream(**arguments(streamed)))
    parts = [part for chunk in chunks for part in _parts(chunk)]
    assert _joined(parts) == _joined(_parts(whole))
    last, said = chunks[-1], whole.candidates or []
    assert bared(last.usage_metadata) == bared(whole.usage_metadata)
    assert (last.response_id, last.model_version) == (whole.response_id, whole.model_version)
    assert [each.finish_reason for each in last.candidates or ()] == [each.finish_reason for each in said]


def _parts(response: Any) -> list[Any]:
    return [part for each in response.candidates or () for part in (each.content and each.content.parts) or ()]


def _joined(parts: list[Any]) -> list[Any]:
    """Texts that follow one another are one, as programs join them."""
    joined: list[Any] = []
    for part in map(bared, parts):
        if joined and joined[-1].keys() == part.keys() and part.keys() <= {"text", "thought"} and "text" in part:
            joined[-1] = {**part, "text": joined[-1]["text"] + part["text"]}
        elif part:
            joined.append(part)
    return joined
