from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.dialects.exchanges import BODIES, ERRORS, STREAMS, Exchanged, framed, name

from interlay.dialects import find
from interlay.dialects.gemini import Gemini
from interlay.dialects.gemini.tracker import Tracker
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent
from interlay.model.record import Failure
from interlay.model.usage import Usage

DIALECT = Gemini()
MODEL = "/v1beta/models/gemini-2.5-flash"
STREAMED = [each for each in STREAMS if each.codec.name == DIALECT.name]
WHOLE = [each for each in BODIES if each.codec.name == DIALECT.name]
FAILED = [each for each in ERRORS if each.codec.name == DIALECT.name]


def event(**members: Any) -> WireEvent:
    data = json.dumps(members).encode()
    return WireEvent(b"data: " + data + b"\n\n", None, data)


def said(*parts: dict[str, Any], finish: Any = None, index: int | None = None, **rest: Any) -> WireEvent:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}}
    candidate |= {} if finish is None else {"finishReason": finish}
    candidate |= {} if index is None else {"index": index}
    return event(candidates=[candidate], **rest)


def tracked(*events: WireEvent) -> Tracker:
    tracker = DIALECT.tracker()
    for each in events:
        tracker.event(each)
    return tracker


def of_body(body: Any) -> Tracker:
    tracker = DIALECT.tracker()
    tracker.body(json.dumps(body).encode())
    return tracker


def usage(**members: Any) -> Usage:
    """Read from text and from a mapping: both say the same."""
    found, other = DIALECT.usage(json.dumps(members).encode()), DIALECT.usage(members)
    fields = [field for field in Usage.__struct_fields__ if field != "raw"]
    assert [getattr(found, field) for field in fields] == [getattr(other, field) for field in fields]
    return found


class TestRecordings:
    @pytest.mark.parametrize("each", STREAMED, ids=name)
    def test_streams(self, each: Exchanged) -> None:
        tracker = tracked(*framed(DIALECT, each.answer))
        last = json.loads(each.answer.strip().rpartition(b"data: ")[2])
        assert (tracker.finished, tracker.ended_well, tracker.failure) == (False, True, None)
        assert (tracker.id, tracker.model) == (last["responseId"], last["modelVersion"])
        stated = last["usageMetadata"]
        assert tracker.usage is not None
        assert tracker.usage.input_tokens == stated["promptTokenCount"]
        assert tracker.usage.output_tokens == stated["totalTokenCount"] - stated["promptTokenCount"]
        assert tracker.usage.flags == ()

    @pytest.mark.parametrize("each", STREAMED, ids=name)
    def test_a_cut_anywhere_is_no_good_end(self, each: Exchanged) -> None:
        events = [one for one in framed(DIALECT, each.answer) if one.data is not None]
        for end in range(len(events)):
            assert not tracked(*events[:end]).ended_well

    @pytest.mark.parametrize("each", WHOLE, ids=name)
    def test_bodies(self, each: Exchanged) -> None:
        tracker, tail = DIALECT.tracker(), DIALECT.tracker()
        tracker.body(each.answer)
        body = json.loads(each.answer)
        stated = body["usageMetadata"]
        assert tracker.finished
        assert tracker.usage is not None
        assert (tracker.usage.input_tokens or 0) + (tracker.usage.output_tokens or 0) == stated["totalTokenCount"]
        assert tracker.usage.flags == ()
        assert json.loads(bytes(tracker.usage.raw)) == stated
        assert len(tracker.finish_reasons) == len(body["candidates"])
        tail.tail(each.answer[len(each.answer) // 4 :])
        if each.answer.rfind(b'"usageMetadata"') > len(each.answer) // 4:
            assert tail.usage is not None
            assert tail.usage.raw == tracker.usage.raw

    @pytest.mark.parametrize("each", FAILED, ids=name)
    def test_errors(self, each: Exchanged) -> None:
        failure = DIALECT.decode_error(each.status, each.headers, each.answer)
        error = json.loads(each.answer)["error"]
        assert (failure.type, failure.status, failure.message) == (error["status"], each.status, error["message"])
        listed = DIALECT.decode_error(each.status, each.headers, b"[" + each.answer + b"]")
        assert listed == failure
        again = DIALECT.encode_error(failure, b"[" + each.answer + b"]")
        assert json.loads(again) == [json.loads(each.answer)]


class TestEnds:
    def test_every_candidate_needs_its_reason(self) -> None:
        tracker = tracked(said({"text": "a"}, index=0), said({"text": "b"}, index=1), said(finish="STOP", index=0))
        assert not tracker.ended_well
        tracker.event(said(finish="MAX_TOKENS", index=1))
        assert (tracker.ended_well, tracker.finished, tracker.finish_reasons) == (True, False, ["stop", "length"])

    def test_the_bracket_that_ends_an_array_is_an_end(self) -> None:
        tracker = tracked(said({"text": "a"}), WireEvent(b"]", None, b"]"))
        assert (tracker.finished, tracker.ended_well) == (True, True)

    def test_a_prompt_that_was_blocked_has_no_candidate(self) -> None:
        body = {
            "promptFeedback": {"blockReason": "SAFETY"},
            "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 5},
        }
        for tracker in (tracked(event(**body)), of_body(body)):
            assert (tracker.ended_well, tracker.finish_reasons) == (True, ["content_filter"])
            assert tracker.usage is not None
            assert (tracker.usage.input_tokens, tracker.usage.output_tokens) == (5, 0)
        (choice,) = DIALECT.decode_response(json.dumps(body).encode()).choices
        assert (choice.finish_reason, choice.provider_finish_reason) == ("content_filter", "SAFETY")

    @pytest.mark.parametrize(
        ("word", "canonical"),
        [("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), ("SPII", "content_filter"),
         ("MALFORMED_FUNCTION_CALL", "error"), ("OTHER", "OTHER"), ("NEW", "NEW"), (1, "stop"), (2, "length"),
         (3, "content_filter"), (17, "17")],
    )  # fmt: skip
    def test_reasons_are_canonical(self, word: Any, canonical: str) -> None:
        assert tracked(said(finish=word)).finish_reasons == [canonical]

    @pytest.mark.parametrize("word", ["", "FINISH_REASON_UNSPECIFIED", 0])
    def test_no_reason_is_none(self, word: Any) -> None:
        assert tracked(said(finish=word)).finish_reasons == []

    def test_a_call_is_a_reason_though_the_api_says_stop(self) -> None:
        call = {"functionCall": {"name": "look", "args": {}}}
        assert tracked(said(call), said({"text": ""}, finish="STOP")).finish_reasons == ["tool_calls"]


class TestUsage:
    def test_thoughts_and_what_tools_put_into_the_prompt_are_added(self) -> None:
        found = usage(
            promptTokenCount=100, candidatesTokenCount=20, thoughtsTokenCount=30, toolUsePromptTokenCount=7,
            totalTokenCount=157, cachedContentTokenCount=40,
        )  # fmt: skip
        assert (found.input_tokens, found.output_tokens, found.reasoning_tokens) == (107, 50, 30)
        assert (found.cache_read_tokens, found.flags) == (40, ())

    def test_the_total_decides_where_the_tools_share_is(self) -> None:
        found = usage(promptTokenCount=100, candidatesTokenCount=20, toolUsePromptTokenCount=7, totalTokenCount=120)
        assert (found.input_tokens, found.flags) == (100, ())

    def test_what_does_not_add_up_is_flagged(self) -> None:
        assert usage(promptTokenCount=1, candidatesTokenCount=2, totalTokenCount=4).flags == ("usage_inconsistent",)
        assert usage(promptTokenCount=1, cachedContentTokenCount=2).flags == ("usage_inconsistent",)
        assert usage(promptTokenCount=-1).flags == ("usage_invalid",)

    def test_modalities_are_words_or_numbers(self) -> None:
        for audio, image in (("AUDIO", "IMAGE"), (4, 2)):
            details = [{"modality": audio, "tokenCount": 5}, {"modality": image, "tokenCount": 6}]
            found = usage(
                promptTokenCount=20, candidatesTokenCount=20, totalTokenCount=40, promptTokensDetails=details,
                cacheTokensDetails=details, candidatesTokensDetails=details, cachedContentTokenCount=11,
            )  # fmt: skip
            assert (found.input_audio_tokens, found.input_image_tokens) == (5, 6)
            assert (found.cache_read_audio_tokens, found.cache_read_image_tokens) == (5, 6)
            assert (found.output_audio_tokens, found.output_image_tokens) == (5, 6)

    @pytest.mark.parametrize(
        ("members", "tier"),
        [({"serviceTier": "standard"}, "standard"), ({"serviceTier": "FLEX"}, "flex"),
         ({"trafficType": "ON_DEMAND"}, None), ({"trafficType": "ON_DEMAND_PRIORITY"}, "priority"),
         ({"trafficType": "ON_DEMAND_FLEX"}, "flex"),
         ({"trafficType": 1}, None), ({}, None)],
    )  # fmt: skip
    def test_tiers(self, members: dict[str, Any], tier: str | None) -> None:
        assert usage(promptTokenCount=1, **members).service_tier == tier

    def test_a_chunk_that_only_states_its_traffic_takes_nothing_back(self) -> None:
        counts = {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7}
        tracker = tracked(
            said({"text": "a"}, usageMetadata={"trafficType": "ON_DEMAND"}), said(usageMetadata=counts),
            said(finish="STOP", usageMetadata={"trafficType": "ON_DEMAND"}),
        )  # fmt: skip
        assert tracker.usage is not None
        assert (tracker.usage.input_tokens, tracker.usage.output_tokens) == (5, 2)
        assert tracked(said({"text": "a"}, usageMetadata={"trafficType": "ON_DEMAND"})).usage is None

    def test_of_a_cut_stream_that_counted_its_answer_so_far_the_output_is_estimated_at_no_less(self) -> None:
        counts = {"promptTokenCount": 5, "candidatesTokenCount": 40, "thoughtsTokenCount": 3, "totalTokenCount": 48}
        cut = tracked(said({"text": "abcd"}, usageMetadata=counts))
        assert cut.usage is not None
        assert (cut.usage.input_tokens, cut.usage.output_tokens, cut.usage.reasoning_tokens) == (5, None, 0)
        assert cut.output_tokens_estimate == 43
        assert json.loads(bytes(cut.usage.raw)) == counts
        cut.event(said(finish="STOP", usageMetadata=counts))
        assert (cut.usage.input_tokens, cut.usage.output_tokens, cut.usage.reasoning_tokens) == (5, 43, 3)

    def test_of_a_cut_stream_that_counted_only_its_prompt_the_output_is_unknown(self) -> None:
        counts = {"promptTokenCount": 5, "totalTokenCount": 5}
        cut = tracked(said({"text": "abcd"}, usageMetadata=counts))
        assert cut.usage is not None
        assert (cut.usage.input_tokens, cut.usage.output_tokens, cut.output_tokens_estimate) == (5, None, 1)
        cut.event(said(finish="STOP", usageMetadata={**counts, "candidatesTokenCount": 1, "totalTokenCount": 6}))
        assert (cut.usage.input_tokens, cut.usage.output_tokens) == (5, 1)

    @pytest.mark.parametrize(("model", "units"), [("gemini-2.5-flash", 1), ("gemini-3-flash-preview", 2), ("x", 2)])
    def test_searches_are_billed_by_answer_or_by_query(self, model: str, units: int) -> None:
        grounded = {"groundingMetadata": {"webSearchQueries": ["a", "b"]}, "finishReason": "STOP"}
        counts = {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7}
        body = {"candidates": [grounded], "modelVersion": model, "usageMetadata": counts}
        for found in (tracked(event(**body)).usage, of_body(body).usage,
                      DIALECT.decode_response(json.dumps(body).encode()).usage):  # fmt: skip
            assert found is not None
            assert found.tools == {"web_search": units}


class TestFailures:
    def test_in_mid_stream(self) -> None:
        error = {"code": 503, "message": "canary", "status": "UNAVAILABLE"}
        failure = tracked(said({"text": "a"}), event(error=error)).failure
        assert failure is not None
        assert (failure.type, failure.status, failure.message) == ("UNAVAILABLE", 503, "canary")

    def test_a_bad_key_is_told_by_its_reason(self) -> None:
        details = [{"@type": "x"}, {"reason": "API_KEY_INVALID"}]
        body = json.dumps({"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT", "details": details}})
        failure = DIALECT.decode_error(400, {}, body.encode())
        assert (failure.type, failure.code) == ("INVALID_ARGUMENT", "API_KEY_INVALID")

    @pytest.mark.parametrize(
        ("failure", "status"),
        [(Failure(type="http_429", status=429), "RESOURCE_EXHAUSTED"), (Failure(type="http_418", status=418),
         "INVALID_ARGUMENT"), (Failure(type="timeout"), "DEADLINE_EXCEEDED"), (Failure(type="over_budget", status=402),
         "over_budget")],
    )  # fmt: skip
    def test_are_said_in_googles_words_where_there_are_some(self, failure: Failure, status: str) -> None:
        assert json.loads(DIALECT.encode_error(failure))["error"]["status"] == status


class TestPaths:
    @pytest.mark.parametrize(
        ("path", "model", "streamed"),
        [
            (f"{MODEL}:generateContent", "gemini-2.5-flash", False),
            (f"{MODEL}:streamGenerateContent", "gemini-2.5-flash", True),
            (
                "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:generateContent",
                "gemini-2.5-pro",
                False,
            ),
            ("/v1/projects/p/locations/l/endpoints/123:streamGenerateContent", "endpoints/123", True),
            ("/v1beta/tunedModels/mine:generateContent", "tunedModels/mine", False),
            ("/v1beta/models/gemini%2D2:generateContent", "gemini-2", False),
        ],
    )
    def test_name_the_model_and_whether_it_streams(self, path: str, model: str, streamed: bool) -> None:  # noqa: FBT001
        dialect = find("POST", path)
        assert dialect is not None
        outline = dialect.outline(b"{}")
        assert (dialect.name, outline.model, outline.streamed, outline.readable) == ("gemini", model, streamed, True)
        assert find("GET", path) is None

    @pytest.mark.parametrize("verb", ["countTokens", "embedContent", "batchEmbedContents", "rawPredict", "predict"])
    def test_of_other_apis_are_not_ours(self, verb: str) -> None:
        assert find("POST", f"{MODEL}:{verb}") is None

    def test_what_a_body_says(self) -> None:
        config = {"temperature": 0.5, "topP": 1, "maxOutputTokens": 9, "candidateCount": 2, "stopSequences": ["a"],
                  "responseMimeType": "application/json", "thinkingConfig": {"thinkingLevel": "LOW"}}  # fmt: skip
        snake = {"temperature": 0.5, "top_p": 1, "max_output_tokens": 9, "candidate_count": 2, "stop_sequences": ["a"],
                 "response_mime_type": "application/json", "thinking_config": {"thinking_level": "LOW"}}  # fmt: skip
        for name_, settings in (("generationConfig", config), ("generation_config", snake)):
            outline = DIALECT.outline(json.dumps({name_: settings, "tools": [{}]}).encode())
            assert outline.parameters == {
                "temperature": 0.5, "top_p": 1, "max_tokens": 9, "n": 2, "stop_count": 1, "tool_count": 1,
                "response_format": "json_object", "reasoning_effort": "low",
            }  # fmt: skip


@pytest.mark.parametrize("wrong", [None, 1, "x", [], [None], {}, {"a": 1}, True], ids=repr)
def test_any_type_anywhere(wrong: Any) -> None:
    counts = {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3}
    for bad in (
        {"candidates": wrong}, {"candidates": [wrong]}, {"candidates": [{"content": wrong, "finishReason": wrong}]},
        {"candidates": [{"content": {"parts": wrong}}]}, {"candidates": [{"content": {"parts": [wrong]}}]},
        {"candidates": [{"content": {"parts": [{"text": wrong, "functionCall": wrong}]}, "groundingMetadata": wrong}]},
        {"usageMetadata": wrong, "modelVersion": wrong, "responseId": wrong, "promptFeedback": wrong},
    ):  # fmt: skip
        tracker = tracked(event(**bad), said({"text": "abcd"}, finish="STOP", usageMetadata=counts))
        assert tracker.finish_reasons[:1] in (["stop"], ["tool_calls"])
        assert tracker.output_tokens_estimate >= 1
        assert tracker.usage is not None


def test_candidates_are_bounded() -> None:
    assert len(tracked(*(said(finish="STOP", index=at) for at in range(5000))).finish_reasons) == 256


@pytest.mark.parametrize("data", [b"[", b"[1,", b"[{]", b"[" * 100_000, b'[{"a":1}', b"[]", b"[1]"])
def test_arrays_of_any_kind(data: bytes) -> None:
    tracker = DIALECT.tracker()
    tracker.body(data)
    assert tracker.usage is None
    try:
        assert DIALECT.answer(data) == []
    except DecodeError:
        return
