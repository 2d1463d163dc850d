"""What is gathered from a stream of the Messages API: the tracker's facts, and the answer it adds up to."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dialects.anthropic_recordings import BODIES, DIALECT, STREAMS, Recorded, events_of, name, sse

from interlay.cost import price
from interlay.dialects.anthropic_messages.assembly import message_of
from interlay.dialects.anthropic_messages.tracker import Tracker
from interlay.model.messages import Reasoning, Text, ToolCall
from interlay.model.protocols import Tracker as TrackerProtocol
from interlay.model.protocols import WireEvent
from interlay.model.record import Failure
from interlay.model.tokens import estimate
from interlay.model.usage import Usage

START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [],
        "stop_reason": None,
        "usage": {
            "input_tokens": 25,
            "cache_creation_input_tokens": 100,
            "cache_read_input_tokens": 10_000,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 100},
            "output_tokens": 1,
            "service_tier": "standard",
        },
    },
}
TEXT = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
STOP = {"type": "content_block_stop", "index": 0}
DELTA = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 15}}
END = {"type": "message_stop"}


def piece(text: str, index: int = 0) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}}


def begin(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **fields}}


def more(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": f"{kind}_delta", **fields}}


def track(events: list[WireEvent]) -> Tracker:
    tracker = DIALECT.tracker()
    for event in events:
        tracker.event(event)
    return tracker


def facts(tracker: TrackerProtocol) -> tuple[object, ...]:
    return (
        tracker.id,
        tracker.model,
        tracker.usage,
        tracker.service_tier,
        tracker.finish_reasons,
        tracker.finished,
        tracker.ended_well,
        tracker.failure,
        tracker.output_tokens_estimate,
    )


# --- recordings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recorded", STREAMS, ids=name)
def test_a_recorded_stream_is_complete_and_says_its_usage(recorded: Recorded) -> None:
    tracker = track(events_of(recorded.answer))
    said = [json.loads(event.data or b"{}") for event in events_of(recorded.answer)]
    start = next(event["message"] for event in said if event["type"] == "message_start")
    final = next(event for event in said if event["type"] == "message_delta")
    bill = start["usage"] | final["usage"]
    assert (tracker.finished, tracker.ended_well, tracker.failure) == (True, True, None)
    assert (tracker.id, tracker.model) == (start["id"], start["model"])
    assert tracker.finish_reasons == [{"end_turn": "stop", "tool_use": "tool_calls"}[final["delta"]["stop_reason"]]]
    usage = tracker.usage
    assert usage is not None
    assert usage.output_tokens == final["usage"]["output_tokens"]
    assert usage.input_tokens == (
        bill["input_tokens"]
        + (bill.get("cache_read_input_tokens") or 0)
        + (bill.get("cache_creation_input_tokens") or 0)
    )
    assert usage.flags == ()
    assert json.loads(bytes(usage.raw)) == bill


@pytest.mark.parametrize("recorded", BODIES, ids=name)
def test_a_recorded_body_says_its_usage(recorded: Recorded) -> None:
    tracker = DIALECT.tracker()
    tracker.body(recorded.answer)
    said = json.loads(recorded.answer)
    usage = tracker.usage
    assert usage is not None
    assert tracker.finished
    assert (tracker.id, tracker.model) == (said["id"], said["model"])
    assert usage.output_tokens == said["usage"]["output_tokens"]
    assert usage.input_tokens == said["usage"]["input_tokens"] + usage.cache_read_tokens + usage.cache_write_tokens
    assert json.loads(bytes(usage.raw)) == said["usage"]


@given(st.data())
def test_how_a_stream_is_cut_into_chunks_makes_no_difference(data: st.DataObject) -> None:
    answer = data.draw(st.sampled_from(STREAMS)).answer
    if data.draw(st.booleans()):
        answer = answer.replace(b"\n", b"\r\n")
    cuts = data.draw(st.lists(st.integers(0, len(answer)), max_size=40))
    assert facts(track(events_of(answer, *cuts))) == facts(track(events_of(answer)))


def test_single_bytes_make_no_difference() -> None:
    for recorded in STREAMS:
        events = events_of(recorded.answer, *range(len(recorded.answer)))
        assert facts(track(events)) == facts(track(events_of(recorded.answer)))


@pytest.mark.parametrize("recorded", STREAMS, ids=name)
def test_usage_streamed_is_usage_buffered(recorded: Recorded) -> None:
    events = events_of(recorded.answer)
    streamed, buffered = track(events), DIALECT.tracker()
    buffered.body(DIALECT.encode_response(DIALECT.assemble(events)))
    for tracker in (streamed, buffered):
        tracker.output_tokens_estimate = 0.0  # made only where it is needed
    assert facts(streamed) == facts(buffered)


@pytest.mark.parametrize("recorded", STREAMS, ids=name)
def test_the_assembled_answer_is_what_the_sdk_makes_of_the_stream(recorded: Recorded) -> None:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=recorded.answer)

    transport = httpx2.MockTransport(answer)
    with anthropic.Anthropic(api_key="none", http_client=httpx2.Client(transport=transport)) as client:
        asked = {"model": "m", "max_tokens": 1, "messages": []}
        with client.messages.stream(**asked) as stream:  # type: ignore[arg-type]
            final = stream.get_final_message().model_dump(mode="json", exclude_unset=True)
    ours = message_of(events_of(recorded.answer))
    assert ours is not None
    for block in final["content"]:
        block.pop("parsed_output", None)
    final.setdefault("container", None)
    ours.setdefault("container", None)
    assert _plain(ours) == _plain(final)


def _plain(message: dict[str, Any]) -> Any:
    """The SDK reads times into objects, and writes out ``null`` that was not there."""
    if isinstance(message.get("container"), dict):
        message["container"].pop("expires_at", None)
    return _without_null(message)


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    return [_without_null(item) for item in value] if isinstance(value, list) else value


# --- endings ---------------------------------------------------------------------------------------------------


def test_before_the_final_usage_only_the_input_is_known() -> None:
    tracker = track(sse(START, TEXT, piece("The first thing "), piece("to check")))
    usage = tracker.usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (10_125, None, 10_000)
    assert (usage.cache_write_tokens, usage.cache_write_1h_tokens) == (100, 100)
    assert tracker.service_tier == "standard"
    assert not tracker.finished
    assert not tracker.ended_well
    assert tracker.output_tokens_estimate == estimate("The first thing to check")
    cut = DIALECT.assemble(sse(START, TEXT, piece("The first"))).usage
    assert cut is not None
    assert (cut.input_tokens, cut.output_tokens) == (10_125, None)


def test_every_kind_of_output_is_estimated_and_nothing_else() -> None:
    events = sse(
        START,
        begin(0, "thinking", thinking=""),
        more(0, "thinking", thinking="hm"),
        more(0, "signature", signature="x" * 99),
        begin(1, "tool_use", name="f", input={}),
        more(1, "input_json", partial_json='{"a":1}'),
        {
            "type": "content_block_start",
            "index": 2,
            "content_block": {"type": "web_search_tool_result", "content": [{"title": "long" * 99}]},
        },
        piece("猫です", 3),
    )
    assert track(events).output_tokens_estimate == estimate("hm" + "f" + '{"a":1}' + "猫です")


def test_a_body_without_output_tokens_is_estimated() -> None:
    tracker = DIALECT.tracker()
    tracker.body(
        b'{"type":"message","content":[{"type":"text","text":"abcd"},{"type":"tool_use","name":"f","input":{"a":1}},'
        b'{"type":"web_search_tool_result","content":[{"text":"none of the model"}]}],"usage":{"input_tokens":3}}'
    )
    assert tracker.usage is not None
    assert (tracker.usage.input_tokens, tracker.usage.output_tokens) == (3, None)
    assert tracker.output_tokens_estimate == estimate("abcd" + "f" + '{"a":1}')


def test_pings_unknown_events_and_comments_change_nothing() -> None:
    plain: list[dict[str, Any]] = [START, TEXT, piece("hi"), STOP, DELTA, END]
    later: dict[str, Any] = {"type": "event_of_next_year", "usage": {"output_tokens": 9}, "index": 0}
    noisy = [event for each in plain for event in ({"type": "ping"}, later, each)]
    data = b"".join(event.raw + b": keep-alive\n\n" for event in sse(*noisy))
    assert facts(track(events_of(data))) == facts(track(sse(*plain)))
    assert DIALECT.assemble(events_of(data)) == DIALECT.assemble(sse(*plain))


def test_an_error_event_is_a_failure() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"}
    tracker = track(sse(START, TEXT, piece("hi"), error))
    assert tracker.failure == Failure(type="overloaded_error", request_id="req_1", message="Overloaded")
    assert not tracker.ended_well
    broken = track(events_of(b"event: error\ndata: upstream went away\n\n"))
    assert broken.failure == Failure(type="error")


def test_what_follows_the_terminal_event_is_ignored() -> None:
    late: list[dict[str, Any]] = [
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 999}},
        START,
        END,
        END,
    ]
    assert facts(track(sse(START, DELTA, END, *late))) == facts(track(sse(START, DELTA, END)))
    assert DIALECT.assemble(sse(START, DELTA, END, *late)) == DIALECT.assemble(sse(START, DELTA, END))


def test_the_final_usage_replaces_and_is_not_added() -> None:
    final = {**DELTA, "usage": {"output_tokens": 40, "input_tokens": 70, "cache_creation_input_tokens": 130}}
    usage = track(sse(START, DELTA, final, END)).usage
    assert usage is not None
    assert (usage.output_tokens, usage.input_tokens, usage.cache_read_tokens) == (40, 70 + 130 + 10_000, 10_000)
    # All that was written was for an hour, so what came later was too.
    assert (usage.cache_write_tokens, usage.cache_write_1h_tokens, usage.cache_write_5m_tokens) == (130, 130, 0)
    assert usage.flags == ()


@pytest.mark.parametrize("usage", [None, {}, {"output_tokens": None}, 5, [], "x"])
def test_a_stream_whose_final_usage_says_nothing_is_estimated(usage: Any) -> None:
    tracker = track(sse(START, piece("hi"), {**DELTA, "usage": usage}, END))
    assert tracker.finished
    assert tracker.usage is not None
    assert tracker.usage.input_tokens == 10_125
    assert tracker.usage.output_tokens in (None, 1)


def test_usage_in_the_wrong_place_is_no_usage() -> None:
    wrong = {**piece("hi"), "usage": {"output_tokens": 999}}
    usage = track(sse(START, wrong, {**STOP, "usage": {"output_tokens": 999}})).usage
    assert usage is not None
    assert usage.output_tokens is None


# --- the tail of a body too large to keep ----------------------------------------------------------------------


def test_usage_is_found_at_the_end_of_a_body_too_large_to_keep() -> None:
    tracker = DIALECT.tracker()
    tracker.tail(
        b'... of the text, where "usage": {"output_tokens": 1} is said"}],"stop_reason":"end_turn",'
        b'"usage":{"input_tokens":7,"cache_creation":{"ephemeral_5m_input_tokens":2},"output_tokens":9},"container":{}}'
    )
    assert tracker.usage is not None
    assert (tracker.usage.input_tokens, tracker.usage.output_tokens) == (9, 9)


@pytest.mark.parametrize("tail", [b"", b'"usage"', b'"usage":{', b'"usage":' + b"{" * 999, b"}" * 999])
def test_a_tail_without_usage_says_nothing(tail: bytes) -> None:
    tracker = DIALECT.tracker()
    tracker.tail(tail)
    assert tracker.usage is None


# --- usage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "canonical"),
    [
        ({"input_tokens": 3, "output_tokens": 2}, Usage(input_tokens=3, output_tokens=2)),
        ({"input_tokens": 0, "output_tokens": 0}, Usage(input_tokens=0, output_tokens=0)),
        (
            {
                "input_tokens": 14,
                "cache_creation_input_tokens": 9200,
                "cache_read_input_tokens": 20_000,
                "cache_creation": {"ephemeral_5m_input_tokens": 1200, "ephemeral_1h_input_tokens": 8000},
                "output_tokens": 350,
                "service_tier": "priority",
            },
            Usage(
                input_tokens=29_214,
                output_tokens=350,
                cache_read_tokens=20_000,
                cache_write_tokens=9200,
                cache_write_5m_tokens=1200,
                cache_write_1h_tokens=8000,
                service_tier="priority",
            ),
        ),
        (
            {"input_tokens": 1, "output_tokens": 2, "service_tier": "standard", "speed": "fast"},
            Usage(input_tokens=1, output_tokens=2, service_tier="fast"),
        ),
        (
            {"input_tokens": 1, "output_tokens": 2, "service_tier": "standard", "speed": "standard"},
            Usage(input_tokens=1, output_tokens=2, service_tier="standard"),
        ),
        (
            {"input_tokens": 1, "output_tokens": 2, "service_tier": "batch", "speed": "fast"},
            Usage(input_tokens=1, output_tokens=2, service_tier="batch"),
        ),
        (
            {"input_tokens": 1, "cache_creation_input_tokens": 5, "output_tokens": 1},
            Usage(input_tokens=6, output_tokens=1, cache_write_tokens=5, cache_write_5m_tokens=5),
        ),
        (
            {"input_tokens": 1, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}},
            Usage(input_tokens=1, output_tokens=9, reasoning_tokens=4),
        ),
        (
            {
                "input_tokens": 1,
                "output_tokens": 1,
                "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 0, "code_execution_requests": 2},
            },
            Usage(input_tokens=1, output_tokens=1, tools={"web_search": 3, "code_execution": 2}),
        ),
        (
            {
                "input_tokens": 10,
                "output_tokens": 5,
                "iterations": [
                    {"type": "compaction", "input_tokens": 1000, "output_tokens": 50, "cache_read_input_tokens": 7},
                    {"type": "message", "input_tokens": 10, "output_tokens": 5},
                ],
            },
            Usage(input_tokens=1017, output_tokens=55, cache_read_tokens=7),
        ),
        ({}, Usage()),
        ({"output_tokens": 5}, Usage(output_tokens=5)),
        ({"input_tokens": -1, "output_tokens": 2}, Usage(output_tokens=2, flags=("usage_invalid",))),
        ({"input_tokens": 2**53 + 1, "output_tokens": 2}, Usage(output_tokens=2, flags=("usage_invalid",))),
        ({"input_tokens": True, "output_tokens": "2"}, Usage(flags=("usage_invalid",))),
        (
            {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 3}},
            Usage(input_tokens=1, output_tokens=2, reasoning_tokens=3, flags=("usage_inconsistent",)),
        ),
        (
            {
                "input_tokens": 1,
                "output_tokens": 2,
                "cache_creation_input_tokens": 5,
                "cache_creation": {"ephemeral_1h_input_tokens": 4},
            },
            Usage(
                input_tokens=6,
                output_tokens=2,
                cache_write_tokens=5,
                cache_write_1h_tokens=4,
                flags=("usage_inconsistent",),
            ),
        ),
    ],
)
def test_usage_in_canonical_form(wire: dict[str, Any], canonical: Usage) -> None:
    text = json.dumps(wire).encode()
    for found in (DIALECT.usage(text), DIALECT.usage(wire)):
        assert json.loads(bytes(found.raw)) == wire
        fields = {field: getattr(found, field) for field in found.__struct_fields__ if field != "raw"}
        assert Usage(**fields) == canonical


@pytest.mark.parametrize(("speed", "amount"), [("standard", 48), ("fast", 96)])
def test_fast_answers_have_prices_of_their_own(speed: str, amount: int) -> None:
    tracker = track(
        sse(
            {"type": "message_start", "message": {"usage": {"input_tokens": 10**6, "speed": speed}}},
            {"type": "message_delta", "usage": {"output_tokens": 10**6}},
        )
    )
    assert tracker.service_tier == ("fast" if speed == "fast" else None)
    cost = price(tracker.usage, api="messages", model="claude-fable-5-2", at="2026-11-24T12:00:00Z")
    assert cost.amount == amount
    assert not cost.flags


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{", b'{"input_tokens":NaN}', b"\xff"])
def test_what_is_no_usage_object_is_flagged(text: bytes) -> None:
    assert DIALECT.usage(text) == Usage(flags=("usage_invalid",))


def test_a_usage_object_beyond_reason_is_not_kept() -> None:
    usage = DIALECT.usage(json.dumps({"input_tokens": 1, "output_tokens": 2, "x": "y" * 100_000}).encode())
    assert (usage.input_tokens, bytes(usage.raw)) == (1, b"null")


# --- the answer that events add up to ----------------------------------------------------------------------------


def test_blocks_of_every_kind_are_put_together() -> None:
    citation = {"type": "char_location", "cited_text": "c", "document_index": 0}
    answer = DIALECT.assemble(
        sse(
            START,
            begin(0, "thinking", thinking=""),
            more(0, "thinking", thinking="a"),
            more(0, "thinking", thinking="b"),
            more(0, "signature", signature="SIG"),
            begin(1, "text", text="", citations=[]),
            more(1, "citations", citation=citation),
            piece("one ", 1),
            {
                "type": "content_block_start",
                "index": 2,
                "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}},
            },
            {
                "type": "content_block_start",
                "index": 3,
                "content_block": {"type": "tool_use", "id": "u", "name": "g", "input": {}},
            },
            more(2, "input_json", partial_json=""),
            {
                "type": "content_block_delta",
                "index": 3,
                "delta": {"type": "input_json_delta", "partial_json": '{"b": '},
            },
            {
                "type": "content_block_delta",
                "index": 2,
                "delta": {"type": "input_json_delta", "partial_json": '{"a": 1.0}'},
            },
            piece("two", 1),
            more(9, "text", text="of no block"),
            DELTA,
            END,
        )
    )
    thinking, text, call, cut = answer.choices[0].message.content
    assert isinstance(thinking, Reasoning)
    assert (thinking.text, thinking.signature) == ("ab", "SIG")
    assert isinstance(text, Text)
    assert (text.text, text.citations) == ("one two", [citation])
    assert isinstance(call, ToolCall)
    assert (call.id, call.name, call.arguments) == ("t", "f", '{"a": 1.0}')
    assert isinstance(cut, ToolCall)
    assert cut.arguments == '{"b": '
    assert (answer.id, answer.model, answer.service_tier) == ("msg_1", "claude-x", "standard")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.output_tokens == 15


def test_no_events_are_no_answer() -> None:
    assert DIALECT.assemble([]).choices == []
    assert DIALECT.streamed_answer(sse({"type": "ping"})) == []


# --- single events -------------------------------------------------------------------------------------------------


def test_what_events_say() -> None:
    said = [
        [(delta.kind, delta.block, delta.text, delta.name) for delta in DIALECT.decode_event(event)]
        for event in sse(
            START,
            {
                "type": "content_block_start",
                "index": 2,
                "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}},
            },
            more(2, "input_json", partial_json="{"),
            piece("hi", 1),
            {"type": "ping"},
            STOP,
            DELTA,
            {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}},
            END,
        )
    ]
    assert said == [
        [("start", 0, "", None)],
        [("tool_call", 2, "", "f")],
        [("tool_arguments", 2, "{", None)],
        [("text", 1, "hi", None)],
        [],
        [],
        [("finish", 0, "", None), ("usage", 0, "", None)],
        [("error", 0, "busy", "overloaded_error")],
        [("end", 0, "", None)],
    ]


def test_events_written_anew_say_the_same() -> None:
    for recorded in STREAMS:
        for event in events_of(recorded.answer):
            deltas = DIALECT.decode_event(event)
            for delta in deltas:
                delta.raw = None
            for given_back in events_of(DIALECT.encode_event(deltas)):
                anew = DIALECT.decode_event(given_back)
                assert [(d.kind, d.block, d.text, d.id, d.name, d.finish_reason) for d in anew] == [
                    (d.kind, d.block, d.text, d.id, d.name, d.finish_reason) for d in deltas
                ]
