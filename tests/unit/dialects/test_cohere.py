"""What is Cohere's own: two counts of tokens, plans for tools, citations, and an end that may be an error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.dialects.exchanges import framed

from interlay.dialects import find, named
from interlay.dialects.cohere import Cohere
from interlay.model.messages import (
    ChatRequest,
    Image,
    Message,
    OutputFormat,
    Reasoning,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from interlay.model.protocols import Codec, WireEvent
from interlay.model.record import Failure

DIALECT = Cohere()


def event(kind: str, **members: Any) -> WireEvent:
    body = json.dumps({"type": kind, **members}).encode()
    (made,) = framed(DIALECT, b"event: " + kind.encode() + b"\ndata: " + body + b"\n\n")
    return made


def said(kind: str, index: int, **message: Any) -> WireEvent:
    return event(kind, index=index, delta={"message": message})


def ended(word: str = "COMPLETE", **members: Any) -> WireEvent:
    return event("message-end", delta={"finish_reason": word, **members})


def tracked(*events: WireEvent) -> Any:
    tracker = DIALECT.tracker()
    for each in events:
        tracker.event(each)
    return tracker


def encoded(request: ChatRequest) -> Any:
    return json.loads(DIALECT.encode_request(request))


class TestUsage:
    def test_is_what_is_billed(self) -> None:
        raw = (
            b'{"billed_units":{"input_tokens":51,"output_tokens":66},"tokens":{"input_tokens":267,"output_tokens":91}}'
        )
        usage = DIALECT.usage(raw)
        assert (usage.input_tokens, usage.output_tokens, usage.flags) == (51, 66, ())
        assert bytes(usage.raw) == raw

    def test_is_what_was_counted_where_nothing_is_said_of_the_bill(self) -> None:
        usage = DIALECT.usage({"tokens": {"input_tokens": 267.0, "output_tokens": 91}})
        assert (usage.input_tokens, usage.output_tokens) == (267, 91)
        usage = DIALECT.usage({"billed_units": {"input_tokens": 7}, "tokens": {"input_tokens": 9, "output_tokens": 1}})
        assert (usage.input_tokens, usage.output_tokens) == (7, None)

    def test_that_is_no_count_is_flagged(self) -> None:
        assert DIALECT.usage({"billed_units": {"input_tokens": -1}}).flags == ("usage_invalid",)


class TestTracker:
    def test_the_end_of_the_message_ends_it(self) -> None:
        start = event("message-start", id="r", delta={"message": {"role": "assistant"}})
        text = said("content-delta", 0, content={"text": "Hello"})
        assert not tracked(start, text).ended_well
        tracker = tracked(start, text, ended("MAX_TOKENS", usage={"billed_units": {"output_tokens": 1}}))
        assert (tracker.id, tracker.finished, tracker.finish_reasons) == ("r", True, ["length"])
        assert tracker.usage.output_tokens == 1

    @pytest.mark.parametrize(
        "piece",
        [
            said("content-delta", 0, content={"thinking": "Hm, let me see"}),
            said("tool-call-delta", 0, tool_calls={"function": {"arguments": '{"city":"Oslo"}'}}),
            event("tool-plan-delta", delta={"message": {"tool_plan": "I will search"}}),
        ],
        ids=["thinking", "arguments", "plan"],
    )
    def test_all_that_is_said_is_estimated(self, piece: WireEvent) -> None:
        assert tracked(piece).output_tokens_estimate > 1

    @pytest.mark.parametrize(
        ("end", "failure"),
        [
            (ended("ERROR", error="overloaded"), Failure(type="error", message="overloaded")),
            (ended("TIMEOUT"), Failure(type="error")),
            (ended("COMPLETE", error="x", error_type="internal"), Failure(type="internal", message="x")),
        ],
    )
    def test_an_end_may_be_a_failure(self, end: WireEvent, failure: Failure) -> None:
        tracker = tracked(end)
        assert (tracker.failure, tracker.ended_well) == (failure, False)
        (delta,) = DIALECT.decode_event(end)
        assert delta.kind == "error"

    @pytest.mark.parametrize(("method", "path", "found"), [
        ("POST", "/v2/chat", True), ("POST", "/proxy/v2/chat", True), ("POST", "/v1/chat", False),
        ("GET", "/v2/chat", False),
    ])  # fmt: skip
    def test_is_found_by_its_path(self, method: str, path: str, found: bool) -> None:  # noqa: FBT001
        assert find(method, path) is (named("cohere") if found else None)


class TestErrors:
    def test_have_the_id_of_the_trace(self) -> None:
        failure = DIALECT.decode_error(
            400, {"x-debug-trace-id": "t"}, b'{"message":"m","error_type":"TOO_MANY_TOKENS"}'
        )
        assert failure == Failure(type="TOO_MANY_TOKENS", status=400, request_id="t", message="m")

    def test_keep_what_they_were(self) -> None:
        kept = DIALECT.encode_error(
            Failure(type="http_401", status=401, message="no"), b'{"id":"i","message":"key abc"}'
        )
        assert json.loads(kept) == {"id": "i", "message": "no"}


class TestText:
    def test_a_citation_echoes_the_content_it_is_of(self) -> None:
        cited = {"start": 0, "end": 4, "text": "Ruby", "content_index": 1, "sources": [{"type": "tool", "id": "d"}]}
        body = {"message": {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Ruby!"}],
                            "citations": [cited]}}  # fmt: skip
        found = [(place.channel, place.role, place.text) for place in DIALECT.response_places(body)]
        assert found == [
            (("reasoning", 0, 0), "delta", "hm"), (("text", 0, 1), "delta", "Ruby!"), (("text", 0, 1), "echo", "Ruby"),
        ]  # fmt: skip

    def test_it_is_cut_when_that_was_changed(self) -> None:
        one = said("citation-start", 0, citations={"text": "secret", "start": 0, "content_index": 2})
        made = DIALECT.rewrite(one, {}, {("text", 0, 2): "[1]"})
        assert b"secret" not in made
        assert DIALECT.rewrite(one, {}, {("text", 0, 0): "[1]"}) == one.raw

    def test_documents_are_text_whatever_their_members_are_called(self) -> None:
        document = {"id": "canary-1", "data": {"name": "canary-2"}}
        message = {"role": "tool", "content": [{"type": "document", "document": document}]}
        places = DIALECT.request_places({"messages": [message], "documents": [{"id": "canary-3"}]})
        assert [place.text for place in places] == ["canary-1", "canary-2", "canary-3"]

    def test_a_plan_is_reasoning_apart_from_the_content(self) -> None:
        message = b'{"role":"assistant","tool_plan":"I will search","content":[]}'
        response = DIALECT.decode_response(b'{"id":"r","message":%s,"finish_reason":"TOOL_CALL"}' % message)
        (part,) = response.choices[0].message.content
        assert isinstance(part, Reasoning)
        part.text = "I will not"
        assert json.loads(DIALECT.encode_response(response))["message"]["tool_plan"] == "I will not"


class TestOtherAPIs:
    """What another API's request is here."""

    def test_settings_have_other_names(self) -> None:
        request = ChatRequest(
            model="m", top_p=0.5, top_k=3, stop=["x"], reasoning_budget=100, tool_choice=ToolChoice(mode="required"),
            output_format=OutputFormat(kind="json_schema", schema={"type": "object"}),
        )  # fmt: skip
        assert encoded(request) == {
            "model": "m", "p": 0.5, "k": 3, "stop_sequences": ["x"], "stream": False,
            "thinking": {"type": "enabled", "token_budget": 100}, "tool_choice": "REQUIRED", "messages": [],
            "response_format": {"type": "json_object", "json_schema": {"type": "object"}},
        }  # fmt: skip

    def test_messages(self) -> None:
        call = ToolCall(id="c", name="weather", arguments='{"city":"Oslo"}')
        request = ChatRequest(
            messages=[
                Message(role="developer", content=[Text(text="Be brief.")]),
                Message(role="user", content=[Text(text="Look."), Image(data="AAAA", media_type="image/png")]),
                Message(role="assistant", content=[Reasoning(text="hm", origin="another"), call]),
                Message(role="user", content=[ToolResult(tool_call_id="c", content=[Text(text="rain")])]),
            ],
        )
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        function = {"name": "weather", "arguments": '{"city":"Oslo"}'}
        assert encoded(request)["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Look."}, image]},
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": function}]},
            {"role": "tool", "content": "rain", "tool_call_id": "c"},
        ]

    def test_a_stream_of_messages(self) -> None:
        other = named("anthropic-messages")
        assert isinstance(other, Codec)
        told: list[dict[str, Any]] = [
            {"type": "message_start", "message": {"id": "m", "role": "assistant", "content": []}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
            {"type": "message_stop"},
        ]
        stream = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in told)
        events = framed(
            DIALECT, b"".join(DIALECT.encode_event(other.decode_event(each)) for each in framed(other, stream))
        )
        assert [each.name for each in events] == [
            "message-start",
            "content-start",
            "content-delta",
            "message-end",
            None,
        ]
        assert events[-1].data == b"[DONE]"
        answer = DIALECT.assemble(events)
        assert (answer.id, answer.choices[0].finish_reason) == ("m", "stop")
        assert [part.text for part in answer.choices[0].message.content if isinstance(part, Text)] == ["Hi"]
        assert tracked(*events).usage.output_tokens == 2
