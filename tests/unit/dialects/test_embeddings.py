"""The dialect of embeddings. It has no messages, so the conformance of codecs does not cover it: its laws are here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dialects.bars import Bars

from interlay.dialects.openai_embeddings import OpenAIEmbeddings
from interlay.model.embeddings import EmbeddingRequest, EmbeddingResponse, Vector
from interlay.model.errors import DecodeError
from interlay.model.usage import Usage
from interlay.testing import Exchange, Recording

DIALECT = OpenAIEmbeddings()
CASSETTES = Path(__file__).parents[2] / "recorded" / "cassettes" / "openai-embeddings"
ALL = [
    pytest.param(exchange, id=f"{recording.id}.{number}")
    for recording in Recording.load_all(CASSETTES) for number, exchange in enumerate(recording.exchanges)
]  # fmt: skip
exchanges = pytest.mark.parametrize("exchange", ALL)

leaves = st.none() | st.booleans() | st.integers(-5, 2**40) | st.floats(-10, 10) | st.text(max_size=3)
junk = st.recursive(leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner))
vector = st.fixed_dictionaries({}, optional={"embedding": junk, "index": junk, "object": junk, "x": junk})
requests = st.fixed_dictionaries(
    {},
    optional={
        "model": junk, "input": st.text(max_size=3) | st.lists(junk, max_size=3) | junk, "dimensions": junk,
        "encoding_format": junk, "user": junk, "x_unknown": junk,
    },
)  # fmt: skip
responses = st.fixed_dictionaries(
    {}, optional={"data": st.lists(vector, max_size=3) | junk, "model": junk, "usage": junk, "x_unknown": junk}
)


def strict(text: bytes) -> str:
    return json.dumps(json.loads(text), sort_keys=True)


def usage(**members: Any) -> Usage:
    found = DIALECT.usage(json.dumps(members).encode())
    other = DIALECT.usage(members)
    assert (found.input_tokens, found.output_tokens, found.flags) == (
        other.input_tokens, other.output_tokens, other.flags,
    )  # fmt: skip
    return found


class TestRecordings:
    @exchanges
    def test_law_8(self, exchange: Exchange) -> None:
        body = json.dumps(exchange.request.body).encode()
        assert strict(DIALECT.encode_request(DIALECT.decode_request(body))) == strict(body)
        answer = exchange.response.content
        if exchange.response.status == 200:
            assert strict(DIALECT.encode_response(DIALECT.decode_response(answer))) == strict(answer)
        else:
            failure = DIALECT.decode_error(exchange.response.status, {}, answer)
            assert strict(DIALECT.encode_error(failure, answer)) == strict(answer)

    @exchanges
    def test_usage(self, exchange: Exchange) -> None:
        tracker = DIALECT.tracker()
        tracker.body(exchange.response.content)
        if exchange.response.status != 200:
            assert tracker.failure is not None
            assert tracker.usage is None
            return
        said = json.loads(exchange.response.content)
        assert tracker.finished
        assert tracker.usage is not None
        assert (tracker.usage.input_tokens, tracker.usage.output_tokens) == (said["usage"]["total_tokens"], 0)
        assert tracker.usage.flags == ()
        assert tracker.model == said["model"]
        tail = DIALECT.tracker()
        tail.tail(exchange.response.content[-4096:])
        assert tail.usage is not None
        assert tail.usage.raw == tracker.usage.raw

    @exchanges
    def test_only_the_inputs_are_text(self, exchange: Exchange) -> None:
        inputs = exchange.request.body["input"]
        texts = [inputs] if isinstance(inputs, str) else inputs
        assert [(place.channel, place.text) for place in DIALECT.request_places(exchange.request.body)] == [
            (("text", at, 0), text) for at, text in enumerate(texts)
        ]
        said = DIALECT.response_places(json.loads(exchange.response.content))
        assert [place.channel[0] for place in said] == ([] if exchange.response.status == 200 else ["error"])

    @exchanges
    def test_a_prompt_is_its_texts(self, exchange: Exchange) -> None:
        inputs = exchange.request.body["input"]
        messages, tools = DIALECT.prompt(json.dumps(exchange.request.body).encode())
        assert [message["content"] for message in messages] == ([inputs] if isinstance(inputs, str) else inputs)
        assert tools == []
        assert DIALECT.answer(exchange.response.content) == []


@given(requests)
def test_law_8_for_requests(body: dict[str, Any]) -> None:
    text = json.dumps(body).encode()
    try:
        request = DIALECT.decode_request(text)
    except DecodeError:
        assert not isinstance(body.get("input"), str | list | None)
        return
    assert strict(DIALECT.encode_request(request)) == strict(text)


@given(responses)
def test_law_8_for_responses(body: dict[str, Any]) -> None:
    text = json.dumps(body).encode()
    try:
        response = DIALECT.decode_response(text)
    except DecodeError:
        return
    assert strict(DIALECT.encode_response(response)) == strict(text)


class TestUsage:
    def test_there_is_no_completion(self) -> None:
        assert (usage(prompt_tokens=8191, total_tokens=8191).output_tokens, usage(prompt_tokens=1).output_tokens) == (
            0,
            0,
        )

    def test_a_total_alone_is_the_prompt(self) -> None:
        assert usage(total_tokens=18).input_tokens == 18

    def test_what_is_not_said_is_unknown(self) -> None:
        assert (usage().input_tokens, usage().output_tokens) == (None, None)

    def test_a_total_that_does_not_fit_is_flagged(self) -> None:
        assert usage(prompt_tokens=5, total_tokens=6).flags == ("usage_inconsistent",)
        assert usage(prompt_tokens=5, total_tokens=6, completion_tokens=1).flags == ()
        assert usage(prompt_tokens=-5).flags == ("usage_invalid",)


class TestBothDirections:
    def test_a_changed_input_is_patched(self) -> None:
        request = DIALECT.decode_request(b'{"input":"a","model":"m","x":1}')
        request.inputs = ["b"]
        assert DIALECT.encode_request(request) == b'{"input":"b","model":"m","x":1}'
        request.inputs = ["b", "c"]
        assert DIALECT.encode_request(request) == b'{"input":["b","c"],"model":"m","x":1}'

    def test_tokens_stay_tokens(self) -> None:
        for body in (b'{"input":[1,2]}', b'{"input":[[1,2],[3]]}'):
            assert DIALECT.encode_request(DIALECT.decode_request(body)) == body

    def test_written_anew(self) -> None:
        request = EmbeddingRequest(model="m", inputs=["a"], dimensions=3)
        assert json.loads(DIALECT.encode_request(request)) == {"model": "m", "input": "a", "dimensions": 3}
        response = EmbeddingResponse(
            model="m", vectors=[Vector(values=[0.5]), Vector(index=1, values=[1.5])],
            usage=Usage(input_tokens=3, output_tokens=0),
        )  # fmt: skip
        again = DIALECT.decode_response(DIALECT.encode_response(response))
        assert [(vector.index, vector.values) for vector in again.vectors] == [(0, [0.5]), (1, [1.5])]
        assert again.usage is not None
        assert (again.usage.input_tokens, again.usage.flags) == (3, ())


def test_outline() -> None:
    outline = DIALECT.outline(b'{"model":"m","input":["a","b"],"dimensions":3,"encoding_format":"base64","user":"u"}')
    assert (outline.model, outline.streamed) == ("m", False)
    assert outline.parameters == {"dimensions": 3, "encoding_format": "base64", "input_count": 2}


@pytest.mark.parametrize(
    ("path", "ours"),
    [("/v1/embeddings", True), ("/openai/deployments/d/embeddings", True), ("/api/embeddings", False),
     ("/v1/embeddings/x", False)],
)  # fmt: skip
def test_matches(path: str, ours: bool) -> None:  # noqa: FBT001
    assert DIALECT.matches("POST", path) is ours


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":[' + b"{}," * 3_400_000 + b"{}]}",
        b'{"input":[' + b'"a",' * 2_500_000 + b'"a"]}',
        b'{"data":[{"embedding":[' + b"0.1234567," * 1_000_000 + b'1]}],"usage":{"prompt_tokens":5}}',
        b"[" * 100_000,
        b'{"data":[{"embedding":"' + b"x" * 10_000_000 + b'"}]}',
    ],
    ids=["objects", "texts", "numbers", "deep", "long"],
)
def test_hostile_bodies(body: bytes, bars: Bars) -> None:
    def work() -> None:
        DIALECT.outline(body)
        tracker = DIALECT.tracker()
        tracker.body(body)
        tracker.tail(body[-65536:])
        DIALECT.decode_error(500, {}, body[:65536])
        for read in (DIALECT.decode_request, DIALECT.decode_response, DIALECT.prompt):
            try:
                read(body)
            except DecodeError:
                continue

    bars.hold(work, slack=5.0)
