from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.dialects.exchanges import BODIES, STREAMS, Exchanged, framed, name

from interlay.dialects.openai_responses import OpenAIResponses
from interlay.dialects.openai_responses.tracker import Tracker
from interlay.model.protocols import WireEvent

DIALECT = OpenAIResponses()
USAGE = {"input_tokens": 12, "output_tokens": 3, "total_tokens": 15}
STREAMED = [each for each in STREAMS if each.codec.name == DIALECT.name]
WHOLE = [each for each in BODIES if each.codec.name == DIALECT.name]


def event(kind: str, **members: Any) -> WireEvent:
    data = json.dumps({"type": kind, **members}).encode()
    return WireEvent(b"event: %s\ndata: %s\n\n" % (kind.encode(), data), kind, data)


def ended(kind: str = "completed", **members: Any) -> WireEvent:
    return event(f"response.{kind}", response={"id": "r", "model": "m", "status": kind, "usage": USAGE, **members})


def tracked(*events: WireEvent) -> Tracker:
    tracker = DIALECT.tracker()
    for each in events:
        tracker.event(each)
    return tracker


def of_body(**members: Any) -> Tracker:
    tracker = DIALECT.tracker()
    tracker.body(json.dumps({"object": "response", "usage": USAGE, **members}).encode())
    return tracker


def delta(text: str) -> WireEvent:
    return event("response.output_text.delta", delta=text, output_index=0, content_index=0)


class TestRecordings:
    @pytest.mark.parametrize("each", STREAMED, ids=name)
    def test_streams(self, each: Exchanged) -> None:
        tracker = tracked(*framed(DIALECT, each.answer))
        last = json.loads(each.answer.strip().rpartition(b"data: ")[2])["response"]
        assert tracker.finished
        assert tracker.failure is None
        assert (tracker.id, tracker.model, tracker.service_tier) == (
            last["id"], last["model"], last.get("service_tier"),
        )  # fmt: skip
        assert tracker.usage is not None
        assert json.loads(bytes(tracker.usage.raw)) == last["usage"]
        called = any(item["type"] == "function_call" for item in last["output"])
        assert tracker.finish_reasons == ["tool_calls" if called else "stop"]

    @pytest.mark.parametrize("each", STREAMED, ids=name)
    def test_what_is_repeated_is_counted_once(self, each: Exchanged) -> None:
        whole = DIALECT.tracker()
        whole.body(DIALECT.encode_response(DIALECT.assemble(framed(DIALECT, each.answer))))
        assert tracked(*framed(DIALECT, each.answer)).output_tokens_estimate == whole.output_tokens_estimate > 0

    @pytest.mark.parametrize("each", STREAMED, ids=name)
    def test_a_cut_anywhere_is_no_good_end(self, each: Exchanged) -> None:
        events = framed(DIALECT, each.answer)
        for end in range(len(events)):
            assert not tracked(*events[:end]).ended_well
        assert tracked(*events).ended_well

    @pytest.mark.parametrize("each", WHOLE, ids=name)
    def test_a_tail_has_the_usage_of_its_body(self, each: Exchanged) -> None:
        whole, tail = DIALECT.tracker(), DIALECT.tracker()
        whole.body(each.answer)
        at = each.answer.rfind(b'"usage"')
        tail.tail(each.answer[at:])
        assert whole.usage is not None
        assert tail.usage is not None
        assert tail.usage.raw == whole.usage.raw


class TestEnds:
    @pytest.mark.parametrize("kind", ["completed", "incomplete", "failed", "cancelled"])
    def test_terminal_events(self, kind: str) -> None:
        assert tracked(delta("a"), ended(kind)).finished

    @pytest.mark.parametrize("kind", ["created", "in_progress", "queued"])
    def test_others_are_none(self, kind: str) -> None:
        tracker = tracked(ended(kind))
        assert not tracker.finished
        assert tracker.finish_reasons == []

    @pytest.mark.parametrize(
        ("status", "reason", "canonical"),
        [
            ("completed", None, "stop"),
            ("incomplete", "max_output_tokens", "length"),
            ("incomplete", "content_filter", "content_filter"),
            ("incomplete", "steered", "steered"),
            ("incomplete", None, "length"),
            ("failed", None, "error"),
        ],
    )
    def test_reasons_are_canonical(self, status: str, reason: str | None, canonical: str) -> None:
        details = {"incomplete_details": {"reason": reason} if reason else None}
        assert tracked(ended(status, **details)).finish_reasons == [canonical]
        assert of_body(status=status, **details).finish_reasons == [canonical]

    @pytest.mark.parametrize("kind", ["function_call", "custom_tool_call", "local_shell_call"])
    def test_a_call_that_the_program_has_to_make_is_a_reason(self, kind: str) -> None:
        assert tracked(ended(output=[{"type": "message"}, {"type": kind}])).finish_reasons == ["tool_calls"]

    def test_what_the_provider_runs_is_none(self) -> None:
        assert tracked(ended(output=[{"type": "web_search_call"}])).finish_reasons == ["stop"]

    def test_nothing_counts_after_the_end(self) -> None:
        other = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        assert tracked(ended(), ended(usage=other)).usage == tracked(ended()).usage

    def test_an_answer_in_the_background_has_not_ended(self) -> None:
        tracker = of_body(status="queued", usage=None, output=[])
        assert (tracker.finished, tracker.finish_reasons, tracker.usage) == (True, [], None)


class TestFailures:
    def test_an_error_event(self) -> None:
        error = event("error", code="rate_limit_exceeded", message="canary", param=None, sequence_number=3)
        failure = tracked(delta("a"), error).failure
        assert failure is not None
        assert (failure.type, failure.code, failure.message) == ("rate_limit_exceeded", "rate_limit_exceeded", "canary")

    def test_an_error_event_with_an_object_as_some_hosts_send_it(self) -> None:
        failure = tracked(event("error", error={"type": "server_error", "code": "x", "message": "m"})).failure
        assert failure is not None
        assert (failure.type, failure.code, failure.message) == ("server_error", "x", "m")

    def test_an_error_as_hosts_send_it_in_a_chat(self) -> None:
        data = b'{"error":{"message":"m","type":"server_error","code":null}}'
        failure = tracked(WireEvent(b"data: " + data + b"\n\n", None, data)).failure
        assert failure is not None
        assert (failure.type, failure.message) == ("server_error", "m")

    def test_a_response_that_failed(self) -> None:
        error = {"code": "server_error", "message": "canary"}
        for tracker in (
            tracked(ended("failed", error=error, usage=None)),
            of_body(status="failed", error=error, usage=None),
        ):
            assert tracker.failure is not None
            assert (tracker.failure.type, tracker.failure.message) == ("server_error", "canary")
            assert tracker.finished

    def test_a_response_that_failed_and_does_not_say_why(self) -> None:
        assert tracked(ended("failed", error=None)).failure is not None

    @pytest.mark.parametrize("error", [None, {}, "", False, 0])
    def test_errors_that_are_none(self, error: object) -> None:
        assert tracked(ended(error=error)).failure is None

    def test_an_error_event_that_is_no_json(self) -> None:
        assert tracked(WireEvent(b"", "error", b"oops")).failure is not None


class TestTools:
    """What the provider's own tools did stands in the output, not in the usage."""

    def test_searches_are_units(self) -> None:
        output = [
            {"type": "web_search_call", "action": {"type": "search", "query": "a"}},
            {"type": "web_search_call", "action": {"type": "open_page", "url": "u"}},
            {"type": "web_search_call"},
            {"type": "file_search_call", "queries": ["q"]},
            {"type": "message"},
        ]
        for tracker in (tracked(ended(output=output)), of_body(status="completed", output=output)):
            assert tracker.usage is not None
            assert tracker.usage.tools == {"web_search": 2, "file_search": 1}

    def test_what_the_response_says_of_searches_counts(self) -> None:
        output = [{"type": "web_search_call", "action": {"type": "search"}}]
        used = {"web_search": {"num_requests": 3}}
        tracker = of_body(output=output, tool_usage=used)
        assert tracker.usage is not None
        assert tracker.usage.tools == {"web_search": 3}
        none = of_body(output=output, tool_usage={"web_search": {"num_requests": 0}})
        assert none.usage is not None
        assert none.usage.tools == {}

    def test_the_codec_says_the_same(self) -> None:
        body = {"object": "response", "output": [{"type": "file_search_call"}], "usage": USAGE}
        response = DIALECT.decode_response(json.dumps(body).encode())
        assert response.usage is not None
        assert response.usage.tools == {"file_search": 1}


class TestEstimate:
    def test_counts_all_that_was_said_once(self) -> None:
        said = [
            delta("abcd"),
            event("response.refusal.delta", delta="abcd"),
            event("response.reasoning_summary_text.delta", delta="你好"),
            event("response.output_item.added", item={"type": "function_call", "name": "look", "arguments": ""}),
            event("response.function_call_arguments.delta", delta='{"a":1}'),
            event("response.audio.delta", delta="QUJDRA=="),
            event("response.output_text.done", text="abcd"),
            event("response.content_part.done", part={"type": "output_text", "text": "abcd"}),
        ]
        assert tracked(*said).output_tokens_estimate == 1 + 1 + 2 * 0.71875 + 1 + 1.75

    def test_is_there_for_a_body_without_usage(self) -> None:
        output = [
            {"type": "reasoning", "summary": [{"text": "abcd"}]},
            {"type": "message", "content": [{"text": "abcd"}, {"refusal": "abcd"}]},
            {"type": "function_call", "name": "look", "arguments": '{"a":1}'},
        ]
        tracker = of_body(usage=None, output=output)
        assert (tracker.usage, tracker.output_tokens_estimate) == (None, 3 + 1 + 1.75)


@pytest.mark.parametrize("wrong", [None, 1, "x", [], [None], {}, {"a": 1}, True], ids=repr)
def test_any_type_anywhere(wrong: Any) -> None:
    for bad in (
        event("response.output_text.delta", delta=wrong),
        event("response.output_item.added", item=wrong),
        event("response.in_progress", response=wrong),
        event("response.in_progress", response={"id": wrong, "model": wrong, "usage": wrong, "output": wrong}),
        event("response.in_progress", response={"tool_usage": {"web_search": wrong}, "incomplete_details": wrong}),
        event("response.in_progress", response={"output": [{"type": wrong, "action": wrong, "content": wrong}]}),
    ):
        tracker = tracked(bad, delta("abcd"), ended())
        assert tracker.finished
        assert tracker.usage == tracked(ended()).usage
        assert tracker.output_tokens_estimate >= 1
