from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dialects.openai_recordings import ALL, BODIES, DIALECT, STREAMS, Recorded, event, events_of, name

from interlay.dialects.openai_chat.tracker import Tracker
from interlay.model.protocols import WireEvent
from interlay.model.tokens import estimate
from interlay.testing import bodies

GOLDEN = Path(__file__).parents[1] / "cost" / "golden.jsonl"


def tracked(*events: WireEvent) -> Tracker:
    tracker = DIALECT.tracker()
    for each in events:
        tracker.event(each)
    return tracker


def chunk(delta: dict[str, Any] | None = None, index: Any = 0, finish: str | None = None, **rest: Any) -> WireEvent:
    return event({"choices": [{"index": index, "delta": delta or {}, "finish_reason": finish}], **rest})


def seen(tracker: Tracker) -> dict[str, Any]:
    names = ("id", "model", "usage", "service_tier", "finish_reasons", "finished", "ended_well", "failure")
    return {name: getattr(tracker, name) for name in names} | {"tokens": tracker.output_tokens_estimate}


def figures(tracker: Tracker) -> object:
    """Usage, with the provider's own object as a value and not as text."""
    usage = tracker.usage
    return usage and (msgspec.structs.replace(usage, raw=msgspec.Raw()), json.loads(bytes(usage.raw)))


DONE = event(b"[DONE]")
USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}


class TestRecordings:
    @pytest.mark.parametrize("recorded", STREAMS, ids=name)
    def test_streams(self, recorded: Recorded) -> None:
        tracker = tracked(*events_of(recorded.body))
        chunks = [json.loads(line[6:]) for line in recorded.body.splitlines() if line.startswith(b"data: {")]
        assert tracker.id == next(each["id"] for each in chunks if each["id"])
        assert tracker.model == next(each["model"] for each in chunks if each["model"])
        assert (
            tracker.finish_reasons
            == [
                choice["finish_reason"] for each in chunks for choice in each["choices"] if choice.get("finish_reason")
            ][:1]
        )
        assert tracker.ended_well
        assert tracker.finished is (b"[DONE]" in recorded.body)
        assert tracker.failure is None
        reported = [each["usage"] for each in chunks if each.get("usage")]
        reported += [each["x_groq"]["usage"] for each in chunks if (each.get("x_groq") or {}).get("usage")]
        if reported:
            assert tracker.usage is not None
            assert tracker.usage.input_tokens == reported[-1]["prompt_tokens"]
            assert tracker.usage.output_tokens == reported[-1]["completion_tokens"]
        else:
            assert tracker.usage is None

    @pytest.mark.parametrize("recorded", STREAMS, ids=name)
    def test_any_chunking_gives_the_same(self, recorded: Recorded, request: pytest.FixtureRequest) -> None:
        whole = seen(tracked(*events_of(recorded.body)))
        seed = request.config.option.hypothesis_seed
        for split in (bodies.every(1), bodies.every(37), bodies.at_random(seed), bodies.at_random(seed, mean=400)):
            framer, tracker = DIALECT.framer(), DIALECT.tracker()
            for piece in split(recorded.body):
                for each in framer.feed(piece):
                    tracker.event(each)
            for each in framer.finish():
                tracker.event(each)
            assert seen(tracker) == whole

    @pytest.mark.parametrize("recorded", STREAMS, ids=name)
    def test_streamed_and_buffered_usage_are_equal(self, recorded: Recorded) -> None:
        events = events_of(recorded.body)
        streamed, buffered = tracked(*events), DIALECT.tracker()
        buffered.body(DIALECT.encode_response(DIALECT.assemble(events)))
        assert figures(buffered) == figures(streamed)
        assert (buffered.id, buffered.model, buffered.finish_reasons) == (
            streamed.id,
            streamed.model,
            streamed.finish_reasons,
        )
        assert buffered.output_tokens_estimate == streamed.output_tokens_estimate

    @pytest.mark.parametrize("recorded", BODIES, ids=name)
    def test_bodies(self, recorded: Recorded) -> None:
        tracker = DIALECT.tracker()
        tracker.body(recorded.body)
        body = json.loads(recorded.body)
        assert tracker.finished
        assert tracker.ended_well
        assert (tracker.id, tracker.model) == (body["id"], body["model"])
        assert tracker.usage is not None
        assert tracker.usage.input_tokens == body["usage"]["prompt_tokens"]
        assert json.loads(bytes(tracker.usage.raw)) == body["usage"]
        said = [choice["message"].get("content") or "" for choice in body["choices"]]
        assert tracker.output_tokens_estimate >= sum(map(estimate, said))

    @pytest.mark.parametrize("recorded", ALL, ids=name)
    def test_a_tail_has_the_usage_of_its_body(self, recorded: Recorded) -> None:
        whole, tail = DIALECT.tracker(), DIALECT.tracker()
        if recorded.streamed or recorded.status >= 400:
            return
        whole.body(recorded.body)
        tail.tail(recorded.body[len(recorded.body) // 4 :])
        at = recorded.body.rfind(b'"usage"')
        assert tail.usage == (whole.usage if at >= len(recorded.body) // 4 else None)
        assert not tail.finished


class TestUsageInStreams:
    def test_golden_case_7(self) -> None:
        case = next(json.loads(line) for line in GOLDEN.read_text().splitlines() if '"cost-07"' in line)
        usage = tracked(*map(event, case["attempts"][0]["stream"])).usage
        assert usage is not None
        assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (1200, 3, 0)
        assert usage.flags == ()

    def test_on_a_chunk_that_still_has_a_choice(self) -> None:
        assert tracked(chunk({}, finish="stop", usage=USAGE), DONE).usage == DIALECT.usage(USAGE)

    def test_on_every_chunk_the_last_counts(self) -> None:
        first = {"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 13, "cost": {"total_cost": 0}}
        last = b'{"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15,"cost":{"total_cost":0.00501}}}'
        usage = tracked(chunk({"content": "a"}, usage=first), event(last)).usage
        assert usage is not None
        assert (usage.output_tokens, usage.cost) == (3, Decimal("0.00501"))

    def test_null_takes_nothing_back(self) -> None:
        assert tracked(event({"usage": USAGE}), event({"usage": None})).usage == DIALECT.usage(USAGE)

    def test_in_groqs_own_member(self) -> None:
        assert tracked(event({"choices": [], "x_groq": {"usage": USAGE}})).usage == DIALECT.usage(USAGE)
        assert tracked(event({"choices": [], "x_groq": {"id": "x"}})).usage is None

    def test_nothing_counts_after_the_end(self) -> None:
        tracker = tracked(DONE, event({"usage": USAGE, "id": "late"}), DONE)
        assert (tracker.usage, tracker.id, tracker.finished) == (None, None, True)


def ends(tracker: Tracker) -> tuple[bool, bool]:
    return tracker.finished, tracker.ended_well


class TestEnds:
    def test_the_terminal_event_is_the_end(self) -> None:
        tracker = tracked(chunk({"content": "a"}))
        assert ends(tracker) == (False, False)
        tracker.event(DONE)
        assert ends(tracker) == (True, True)

    def test_without_it_every_choice_needs_its_reason(self) -> None:
        tracker = tracked(chunk(index=0), chunk(index=1), chunk(index=0, finish="stop"))
        assert ends(tracker) == (False, False)
        tracker.event(chunk(index=1, finish="length"))
        assert ends(tracker) == (False, True)
        assert tracker.finish_reasons == ["stop", "length"]

    def test_no_event_is_no_good_end(self) -> None:
        assert not tracked().ended_well

    @pytest.mark.parametrize(
        ("word", "canonical"),
        [("function_call", "tool_calls"), ("eos", "stop"), ("model_length", "length"), ("weird", "weird"),
         ("content_filter", "content_filter")],
    )  # fmt: skip
    def test_reasons_are_canonical(self, word: str, canonical: str) -> None:
        assert tracked(chunk(finish=word)).finish_reasons == [canonical]


class TestErrorsInsideSuccess:
    def test_in_a_stream(self) -> None:
        error = {"message": "canary", "type": "server_error", "code": "overloaded"}
        failure = tracked(chunk({"content": "a"}), event({"error": error})).failure
        assert failure is not None
        assert (failure.type, failure.code, failure.message) == ("server_error", "overloaded", "canary")

    def test_in_a_body(self) -> None:
        tracker = DIALECT.tracker()
        tracker.body(b'{"error":{"message":"m","code":502,"metadata":{}}}')
        assert tracker.failure is not None
        assert (tracker.failure.type, tracker.failure.code, tracker.failure.status) == ("http_502", "502", 502)

    @pytest.mark.parametrize("error", [None, False, "", {}])
    def test_that_are_none(self, error: object) -> None:
        assert tracked(event({"error": error, "choices": []})).failure is None


class TestEstimate:
    def test_counts_all_that_was_said(self) -> None:
        tracker = tracked(
            chunk({"role": "assistant", "content": "abcd"}),
            chunk({"content": "你好"}),
            chunk({"reasoning_content": "abcd"}),
            chunk({"refusal": "abcdefgh"}),
            chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "look", "arguments": '{"a'}}]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": '":1}'}}]}),
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "abcd"}]}]}),
        )
        assert tracker.output_tokens_estimate == 1 + 2 * 0.71875 + 1 + 2 + 1 + 1.75 + 1

    def test_counts_repeated_reasoning_once(self) -> None:
        said = {"reasoning": "abcd", "reasoning_content": "abcd", "reasoning_details": [{"text": "abcd"}]}
        assert tracked(chunk(said)).output_tokens_estimate == 1

    def test_counts_no_repeat_of_the_whole(self) -> None:
        said = {"index": 0, "delta": {"content": "abcd"}, "message": {"content": "abcdabcd"}}
        assert tracked(event({"choices": [said]})).output_tokens_estimate == 1
        whole = DIALECT.tracker()
        whole.body(json.dumps({"choices": [{"message": {"content": "abcdabcd"}, "delta": {"content": ""}}]}).encode())
        assert whole.output_tokens_estimate == 2


class TestHostileEvents:
    @pytest.mark.parametrize("index", [None, -1, 10**9, 2**70, "x", [], {}, True, 1.5], ids=repr)
    def test_any_index(self, index: object) -> None:
        tracker = tracked(chunk({"content": "abcd"}, index=index), chunk(index=index, finish="stop"))
        assert tracker.finish_reasons == ["stop"]
        assert tracker.ended_well
        assert tracker.output_tokens_estimate == 1

    @pytest.mark.parametrize("wrong", [None, 1, "x", [], [None], [[]], {}, {"a": 1}, [1, "a"], True], ids=repr)
    def test_any_type_anywhere(self, wrong: Any) -> None:
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        good = chunk({"content": "abcd"}, finish="stop", usage=usage)
        for bad in (
            {"id": wrong, "model": wrong, "service_tier": wrong},
            {"choices": wrong},
            {"choices": [{"delta": wrong, "index": 0}]},
            {"choices": [{"delta": {"content": wrong}}]},
            {"choices": [{"delta": {"tool_calls": wrong, "refusal": wrong, "reasoning": wrong}}]},
            {"choices": [{"delta": {"tool_calls": [{"index": wrong, "id": wrong, "function": wrong}]}}]},
            {"choices": [{"delta": {"tool_calls": [{"function": {"name": wrong, "arguments": wrong}}]}}]},
            {"usage": wrong, "x_groq": wrong},
        ):
            tracker = tracked(good, event(bad), chunk({"content": "abcd"}, finish="stop"), DONE)
            assert tracker.finished
            assert tracker.finish_reasons == ["stop"]
            assert tracker.output_tokens_estimate >= 2
            assert tracker.usage is not None

    def test_the_good_fields_of_a_bad_event_count(self) -> None:
        bad = {"id": 5, "model": "m", "choices": [{"index": "x", "delta": {"content": "abcd", "refusal": 3}}, 7]}
        tracker = tracked(event(bad))
        assert (tracker.id, tracker.model, tracker.output_tokens_estimate) == (None, "m", 1)

    def test_choices_are_bounded(self) -> None:
        tracker = DIALECT.tracker()
        for index in range(5000):
            tracker.event(chunk(index=index, finish="stop"))
        assert len(tracker.finish_reasons) == 256

    @given(st.binary(max_size=80))
    def test_any_bytes(self, data: bytes) -> None:
        tracker = tracked(event(data))
        tracker.body(data)
        tracker.tail(data)
        assert tracker.usage is None or tracker.usage.flags


class TestHidingUsage:
    CHUNK = b'{"id":"c","choices":[{"index":0,"delta":{"content":"\\"usage\\":null"}}],"usage":null,"obfuscation":"ab"}'

    def hidden(self, data: bytes) -> bytes:
        return DIALECT.hide_usage(event(data))

    def test_drops_the_chunk_that_only_brings_it(self) -> None:
        assert self.hidden(b'{"choices":[],"usage":{"prompt_tokens":1}}') == b""
        assert self.hidden(b'{"usage": {"prompt_tokens":1}, "choices": [ ]}') == b""

    def test_cuts_null_by_byte(self) -> None:
        assert self.hidden(self.CHUNK) == b"data: " + self.CHUNK.replace(b',"usage":null', b"") + b"\n\n"
        assert self.hidden(b'{ "usage" : null, "a": 1.50 }') == b'data: { "a": 1.50 }\n\n'
        assert self.hidden(b'{"a":[{"b":1}], "usage": null}') == b'data: {"a":[{"b":1}]}\n\n'

    @pytest.mark.parametrize(
        "data",
        [
            b'{"choices":[{"usage":null}]}', b'{"x":{"a":1,"usage":null}}', b'{"x":{"a":1,"usage":null},"b":2}',
            b'{"choices":[{"index":0}],"usage":{"prompt_tokens":1}}', b'{"usage":null', b'{"choices":[],"usage":[]}',
            b'{"choices":[{"delta":{"content":"\\"usage\\":null"}}]}', b'{"choices":[],"prompt_filter_results":[]}',
            b"[DONE]", b'["usage"]',
        ],
    )  # fmt: skip
    def test_leaves_all_else_as_it_was(self, data: bytes) -> None:
        assert self.hidden(data) == event(data).raw

    def test_leaves_comments_as_they_were(self) -> None:
        comment = WireEvent(b': "usage":null\n\n', None, None)
        assert DIALECT.hide_usage(comment) == comment.raw

    def test_keeps_the_first_chunk_of_azure(self) -> None:
        data = b'{"choices":[],"prompt_filter_results":[{"a":{}}],"usage":null}'
        assert self.hidden(data) == b'data: {"choices":[],"prompt_filter_results":[{"a":{}}]}\n\n'

    def test_keeps_the_framing(self) -> None:
        data = b'{"a":1,"usage":null}'
        assert DIALECT.hide_usage(WireEvent(b"id: 3\r\ndata:" + data + b"\r\n\r\n", None, data)) == (
            b'id: 3\r\ndata:{"a":1}\r\n\r\n'
        )
        (two_lines,) = events_of(b'event: e\ndata: {"a":1\ndata: ,"usage":null}\n\n')
        assert events_of(DIALECT.hide_usage(two_lines))[0].data == b'{"a":1\n}'

    @pytest.mark.parametrize("recorded", STREAMS, ids=name)
    def test_of_recordings(self, recorded: Recorded) -> None:
        events = events_of(recorded.body)
        hidden = [raw for raw in map(DIALECT.hide_usage, events) if raw]
        assert hidden == bodies.unasked([each.raw for each in events])
