"""A request of the Messages API at a glance, and its errors, both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.dialects.anthropic_recordings import ALL, DIALECT, ERRORS, Recorded, events_of, name
from tests.unit.dialects.bars import Bars

from interlay import dialects
from interlay.model.protocols import Outline
from interlay.model.record import Failure


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("/v1/messages", True),
        ("/anthropic/v1/messages", True),
        ("/messages", True),
        ("/team/anthropic/messages", True),
        ("/v1/messages/count_tokens", False),
        ("/v1/messages/batches", False),
        ("/v1/messages/", False),
        ("/v1/chat/completions", False),
        ("/v1/threads/thread_1/messages", False),
        ("/v1/smessages", False),
    ],
)
def test_which_requests_are_of_this_api(path: str, ours: bool) -> None:  # noqa: FBT001
    assert DIALECT.matches("POST", path) is ours
    assert not DIALECT.matches("GET", path)


def test_it_is_in_the_table() -> None:
    found = dialects.find("POST", "/v1/messages")
    assert found is not None
    assert found.name == "anthropic-messages"
    assert dialects.named("anthropic-messages") is found


@pytest.mark.parametrize("recorded", ALL, ids=name)
def test_a_recorded_request_at_a_glance(recorded: Recorded) -> None:
    asked, seen = recorded.asked, DIALECT.outline(recorded.request)
    assert (seen.model, seen.streamed, seen.wants_usage, seen.readable) == (
        asked["model"],
        asked.get("stream") is True,
        True,
        True,
    )
    assert seen.parameters["max_tokens"] == asked["max_tokens"]
    assert seen.parameters.get("tool_count") == (len(asked["tools"]) if "tools" in asked else None)


def test_all_parameters_and_no_contents() -> None:
    body = {
        "model": "claude-x",
        "stream": True,
        "max_tokens": 100,
        "temperature": 0.5,
        "top_p": 1,
        "top_k": 40,
        "stop_sequences": ["canary", "canary"],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "output_config": {"effort": "high"},
        "service_tier": "auto",
        "speed": "fast",
        "tools": [{"name": "canary"}],
        "system": "canary",
        "messages": [{"role": "user", "content": "canary"}],
        "metadata": {"user_id": "canary"},
    }
    assert DIALECT.outline(json.dumps(body).encode()) == Outline(
        model="claude-x",
        streamed=True,
        parameters={
            "max_tokens": 100,
            "temperature": 0.5,
            "top_p": 1.0,
            "top_k": 40,
            "stop_count": 2,
            "thinking": "enabled",
            "reasoning_budget": 1024,
            "reasoning_effort": "high",
            "service_tier": "auto",
            "speed": "fast",
            "tool_count": 1,
        },
    )


@pytest.mark.parametrize("wrong", [None, 5, "x", [], {}, [1], {"type": 5}, True, -1, 10**30, 1e300, "x" * 1000])
def test_wrong_types_are_left_out_and_the_rest_is_read(wrong: Any) -> None:
    fields = (
        "max_tokens",
        "temperature",
        "top_k",
        "stop_sequences",
        "thinking",
        "output_config",
        "service_tier",
        "speed",
        "tools",
    )
    for field in fields:
        body = {"messages": [wrong], field: wrong, "model": "m", "stream": True}
        seen = DIALECT.outline(json.dumps(body).encode())
        assert (seen.model, seen.streamed, seen.readable) == ("m", True, True)
        value = seen.parameters.get({"stop_sequences": "stop_count", "tools": "tool_count"}.get(field, field))
        assert value is None or isinstance(value, int | float | str)
        assert len(str(value)) < 400


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b'{"a":NaN}'])
def test_what_is_no_json_object_is_unreadable(body: bytes) -> None:
    assert DIALECT.outline(body) == Outline(readable=False)


def test_the_last_of_two_equal_keys_counts_however_it_is_spelt() -> None:
    assert DIALECT.outline(rb'{"model":"a","\u006dodel":"b","stream":true,"stream":false}') == Outline(model="b")


def test_thirty_megabytes_are_no_burden(bars: Bars) -> None:
    part = json.dumps({"role": "user", "content": 'hello "world" ' * 10})
    body = b'{"model":"m","messages":[%s]}' % ",".join([part] * (30_000_000 // len(part))).encode()
    image = b'{"messages":[{"content":[{"source":{"data":"%s"}}]}],"model":"m"}' % (b"A" * 30_000_000)
    for each in (body, image):
        assert DIALECT.outline(each).model == "m"
        bars.hold(lambda each=each: DIALECT.outline(each))  # type: ignore[misc]


# --- usage need not be asked for ---------------------------------------------------------------------------------


def test_usage_is_never_asked_for_nor_hidden() -> None:
    for recorded in ALL:
        assert DIALECT.ask_usage(recorded.request) is None
        if recorded.streamed:
            assert b"".join(map(DIALECT.hide_usage, events_of(recorded.answer))) == recorded.answer


# --- errors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recorded", ERRORS, ids=name)
def test_recorded_errors(recorded: Recorded) -> None:
    said = json.loads(recorded.answer)
    failure = DIALECT.decode_error(recorded.status, recorded.headers, recorded.answer)
    assert failure == Failure(
        type=said["error"]["type"],
        status=recorded.status,
        request_id=recorded.headers.get("request-id", said.get("request_id")),
        message=said["error"]["message"],
    )
    again = DIALECT.decode_error(recorded.status, {}, DIALECT.encode_error(failure))
    assert again == failure


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (b"", Failure(type="http_502", status=502)),
        (b"<html>Bad gateway</html>", Failure(type="http_502", status=502)),
        (b"[]", Failure(type="http_502", status=502)),
        (b'{"error":"down"}', Failure(type="http_502", status=502, message="down")),
        (b'{"message":"down"}', Failure(type="http_502", status=502, message="down")),
        (b'{"error":{"type":5,"message":[]}}', Failure(type="http_502", status=502)),
        (b'{"error":{"type":"t","code":"c"}}', Failure(type="t", code="c", status=502)),
        (b'{"error":{"type":"%s"}}' % (b"x" * 1000), Failure(type="http_502", status=502)),
    ],
)
def test_errors_in_other_shapes(body: bytes, failure: Failure) -> None:
    assert DIALECT.decode_error(502, {}, body) == failure


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (Failure(type="overloaded_error", status=529), "overloaded_error"),
        (Failure(type="http_429", status=429), "rate_limit_error"),
        (Failure(type="http_422", status=422), "invalid_request_error"),
        (Failure(type="http_500", status=500), "api_error"),
        (Failure(type="http_529", status=529), "overloaded_error"),
        (Failure(type="timeout"), "timeout_error"),
        (Failure(type="cut"), "api_error"),
        (Failure(type="blocked", status=400, code="pii"), "blocked"),
    ],
)
def test_failures_in_the_apis_shape(failure: Failure, kind: str) -> None:
    body = json.loads(DIALECT.encode_error(failure))
    assert (body["type"], body["error"]["type"]) == ("error", kind)
    assert isinstance(body["error"]["message"], str)
    assert body["error"].get("code") == failure.code


def test_the_error_event_is_one_event_that_the_tracker_knows() -> None:
    [event] = events_of(DIALECT.encode_error_event(Failure(type="blocked", message="two\nlines")))
    assert event.name == "error"
    tracker = DIALECT.tracker()
    tracker.event(event)
    assert tracker.failure == Failure(type="blocked", message="two\nlines")
