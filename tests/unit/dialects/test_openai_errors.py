from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dialects.openai_recordings import DIALECT, ERRORS, Recorded, events_of, name

from interlay.model.record import Failure

SHAPES: list[tuple[str, int, Any, tuple[str, str | None, str | None]]] = [
    (
        "openai",
        404,
        {"error": {"message": "m", "type": "invalid_request_error", "param": "model", "code": "model_not_found"}},
        ("invalid_request_error", "model_not_found", "m"),
    ),
    ("azure", 401, {"error": {"code": "401", "message": "m"}}, ("http_401", "401", "m")),
    ("azure, named", 429, {"error": {"code": "RateLimitReached", "message": "m"}}, ("RateLimitReached",) * 2 + ("m",)),
    ("openrouter", 429, {"error": {"code": 429, "message": "m", "metadata": {}}}, ("http_429", "429", "m")),
    ("perplexity", 401, {"error": {"message": "m", "type": "bad_key", "code": 401}}, ("bad_key", "401", "m")),
    ("mistral", 401, {"detail": "m"}, ("http_401", None, "m")),
    ("mistral, 422", 422, {"detail": [{"msg": "a", "loc": []}, {"msg": "b"}]}, ("http_422", None, "a; b")),
    ("mistral, flat", 400, {"object": "error", "message": "m", "type": "no_model", "code": "15"}, ("no_model", "15", "m")),  # noqa: E501
    ("xai", 400, {"code": "invalid-argument", "error": "m"}, ("invalid-argument", "invalid-argument", "m")),
    ("ollama", 404, {"error": "m"}, ("http_404", None, "m")),
    (
        "deepseek",
        401,
        {"error": {"message": "m", "type": "authentication_error", "param": None, "code": "invalid_request_error"}},
        ("authentication_error", "invalid_request_error", "m"),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "expected"), [shape[1:] for shape in SHAPES], ids=[shape[0] for shape in SHAPES]
)
def test_every_hosts_shape(status: int, body: Any, expected: tuple[str, str | None, str | None]) -> None:
    failure = DIALECT.decode_error(status, {}, json.dumps(body).encode())
    assert (failure.type, failure.code, failure.message) == expected
    assert failure.status == status


@pytest.mark.parametrize("recorded", ERRORS, ids=name)
def test_of_recordings(recorded: Recorded) -> None:
    failure = DIALECT.decode_error(recorded.status, recorded.headers, recorded.body)
    said = json.loads(recorded.body)
    error = said.get("error", said)
    assert failure.message == (error.get("message") or error.get("detail"))
    assert failure.type == error.get("type", failure.type)
    assert failure.code == (None if error.get("code") is None else str(error["code"]))
    assert failure.request_id == recorded.headers.get("x-request-id", failure.request_id)


@pytest.mark.parametrize("header", ["x-request-id", "apim-request-id", "mistral-correlation-id", "x-generation-id"])
def test_request_ids(header: str) -> None:
    assert DIALECT.decode_error(500, {header: "r-1"}, b"").request_id == "r-1"


@pytest.mark.parametrize(
    "body", [b"", b"<html>502</html>", b"[]", b"null", b'"oops"', b"\xff", b"[" * 5000, b'{"error":[]}', b'{"error":7}']
)
def test_bodies_of_whoever_stands_between(body: bytes) -> None:
    failure = DIALECT.decode_error(502, {}, body)
    assert (failure.type, failure.status) == ("http_502", 502)


@given(st.binary(max_size=60), st.integers(100, 599))
def test_never_raises(body: bytes, status: int) -> None:
    assert DIALECT.decode_error(status, {}, body).status == status


@pytest.mark.parametrize("kind", ["x" * 65, "a\nb", "é", 5, None, ["a"], ""], ids=repr)
def test_a_type_is_a_short_word(kind: object) -> None:
    assert DIALECT.decode_error(400, {}, json.dumps({"error": {"type": kind}}).encode()).type == "http_400"


FAILURE = Failure(type="content_filter", code="blocked", status=400, message="no")


def test_what_is_encoded_is_decoded() -> None:
    assert DIALECT.decode_error(400, {}, DIALECT.encode_error(FAILURE)) == FAILURE


def test_the_event_fails_a_stream() -> None:
    (event,) = events_of(DIALECT.encode_error_event(FAILURE))
    tracker = DIALECT.tracker()
    tracker.event(event)
    assert tracker.failure == Failure(type="content_filter", code="blocked", message="no")
    assert not tracker.ended_well
