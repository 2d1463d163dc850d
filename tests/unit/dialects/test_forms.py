"""What the other form of an answer looks like at Gemini, Cohere and Ollama, and what has none. That both say the same
is shown in tests/properties, that the real SDKs read them in tests/recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.dialects.exchanges import framed
from tests.unit.dialects.other_forms import CALL, CHAT, CLAUDE, COHERE, GEMINI, OLLAMA, RESPONSES, streamed, whole

from interlay.model.protocols import Codec


def candidate(*parts: Any, **members: Any) -> dict[str, Any]:
    found = {"content": {"parts": list(parts), "role": "model"}, **members, "index": 0}
    return {"candidates": [found], "usageMetadata": {"promptTokenCount": 3}, "responseId": "r"}


GEMINI_BODY = candidate({"text": "Hello"}, finishReason="STOP")


class TestGenerateContent:
    def test_the_query_says_in_which_form_a_stream_comes(self) -> None:
        written = json.dumps(GEMINI_BODY).encode()
        compact = json.dumps(GEMINI_BODY, separators=(",", ":")).encode()
        assert GEMINI.as_stream(written, "key=x&alt=sse") == [b"data: " + compact + b"\r\n\r\n"]
        assert GEMINI.as_stream(written, "key=x") == [b"[" + compact, b"\n]"]
        assert GEMINI.stream_type("alt=sse").startswith("text/event-stream")
        assert GEMINI.stream_type("alt=json").startswith("application/json")

    def test_a_body_is_made_of_an_array_too(self) -> None:
        array = (
            b'[{"candidates":[{"content":{"parts":[{"text":"He"}]}}]}\n,\r\n' + json.dumps(GEMINI_BODY).encode() + b"]"
        )
        body = GEMINI.as_body(framed(GEMINI, array))
        assert body is not None
        assert json.loads(body)["candidates"][0]["content"]["parts"] == [{"text": "HeHello"}]

    def test_a_body_of_many_lines_makes_one_line_of_an_event(self) -> None:
        (made,) = GEMINI.as_stream(json.dumps(GEMINI_BODY, indent=2).encode(), "alt=sse") or []
        assert made.count(b"\n") == 2

    def test_log_probabilities_are_joined(self) -> None:
        one, two = ({"chosenCandidates": [{"token": token, "logProbability": -0.5}]} for token in "ab")
        body = whole(
            GEMINI,
            candidate({"text": "a"}, logprobsResult=one),
            candidate({"text": "b"}, logprobsResult=two, finishReason="STOP"),
        )
        assert body["candidates"][0]["logprobsResult"] == {
            "chosenCandidates": [*one["chosenCandidates"], *two["chosenCandidates"]]
        }

    def test_counts_stand_in_the_body_whichever_there_are(self) -> None:
        usage = {"candidatesTokenCount": 2, "trafficType": "ON_DEMAND"}
        events = [
            {**candidate({"text": "a"}), "usageMetadata": {"trafficType": "ON_DEMAND"}},
            {**candidate({"text": "b"}), "usageMetadata": usage},
            {**candidate({"text": "c"}, finishReason="STOP"), "usageMetadata": {"trafficType": "ON_DEMAND"}},
        ]
        tracker = GEMINI.tracker()
        for each in events:
            tracker.event(framed(GEMINI, b"data: " + json.dumps(each).encode() + b"\n\n")[0])
        assert tracker.usage is not None
        assert tracker.usage.output_tokens == 2
        assert whole(GEMINI, *events)["usageMetadata"] == usage

    def test_two_candidates_in_one_place_are_one(self) -> None:
        """What a stream adds up to is what its body says."""
        candidates: list[Any] = [
            {"finishReason": "STOP", "index": 0, "logprobsResult": {"x": None}},
            {"finishReason": "STOP", "index": None, "logprobsResult": {}},
        ]
        event = json.dumps({"candidates": candidates}).encode()
        assert whole(GEMINI, event)["candidates"][0]["logprobsResult"] == {"x": None}
        assert GEMINI.assemble(framed(GEMINI, b"data: %s\n\n" % event)).choices[0].logprobs == {"x": None}

    @pytest.mark.parametrize("second", ["x", {"a": 2}, {"a": None}, {"b": "x"}, {"b": None}])
    def test_log_probabilities_that_cannot_be_joined_are_no_body(self, second: Any) -> None:
        ended = candidate({"text": "b"}, logprobsResult=second, finishReason="STOP")
        assert whole(GEMINI, candidate({"text": "a"}, logprobsResult={"a": "1", "b": [1]}), ended) is None

    def test_what_grows_from_chunk_to_chunk_is_what_the_last_says(self) -> None:
        one, two = {"groundingChunks": [1]}, {"groundingChunks": [1, 2], "webSearchQueries": ["q"]}
        ended = candidate({"text": "b"}, groundingMetadata=two, finishReason="STOP")
        body = whole(GEMINI, candidate({"text": "a"}, groundingMetadata=one), ended)
        assert body["candidates"][0]["groundingMetadata"] == two
        assert whole(GEMINI, candidate({"text": "a"}, groundingMetadata={"groundingChunks": [3]}), ended) is None

    def test_signatures_and_thoughts_stay_where_they_are(self) -> None:
        body = whole(
            GEMINI,
            candidate({"text": "Hm", "thought": True}),
            candidate({"text": ".", "thought": True}, {"text": "Hi"}),
            candidate({"text": "", "thoughtSignature": "x"}, finishReason="STOP"),
        )
        assert body["candidates"][0]["content"]["parts"] == [
            {"text": "Hm.", "thought": True}, {"text": "Hi"}, {"text": "", "thoughtSignature": "x"},
        ]  # fmt: skip

    @pytest.mark.parametrize(
        "events",
        [
            [candidate({"text": "a"})],
            [candidate({"text": "a"}), {"error": {"code": 503}}, GEMINI_BODY],
            [candidate({"text": "a"}), {**GEMINI_BODY, "responseId": "other"}],
            [{"usageMetadata": {"promptTokenCount": 3}}],
        ],
    )
    def test_what_is_no_response(self, events: list[Any]) -> None:
        assert whole(GEMINI, *events) is None
        if len(events) == 1:
            assert GEMINI.as_stream(json.dumps(events[0]).encode()) is None


def cohere(**members: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": [{"type": "text", "text": "Hello"}], **members}
    return {"id": "1", "message": message, "finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 3}}}


class TestCohere:
    def test_events_are_those_of_the_api(self) -> None:
        body = cohere(tool_plan="Look.", tool_calls=[CALL], citations=[{"start": 0}])
        made = COHERE.as_stream(json.dumps(body).encode())
        assert made is not None
        names = [event.name for event in framed(COHERE, b"".join(made))]
        assert names == [
            "message-start", "tool-plan-delta", "content-start", "content-delta", "content-end", "tool-call-start",
            "tool-call-delta", "tool-call-end", "citation-start", "citation-end", "message-end", None,
        ]  # fmt: skip
        assert made[-1] == b"data: [DONE]\n\n"
        assert whole(COHERE, *streamed(COHERE, body)) == body

    def test_log_probabilities_stand_beside_the_pieces_they_are_of(self) -> None:
        beside = [{"text": piece, "token_ids": [number]} for number, piece in enumerate(("He", "llo"))]
        body = {**cohere(), "logprobs": beside}
        said = [event for event in streamed(COHERE, body) if event["type"] == "content-delta"]
        assert [event["logprobs"] for event in said] == beside
        assert [event["delta"]["message"]["content"]["text"] for event in said] == ["He", "llo"]
        assert whole(COHERE, *streamed(COHERE, body)) == body
        for wrong in (beside[:1], beside[1:], [*beside, beside[0]]):
            assert COHERE.as_stream(json.dumps({**body, "logprobs": wrong}).encode()) is None

    @pytest.mark.parametrize(
        "change",
        [{"finish_reason": "ERROR"}, {"finish_reason": None}, {"message": None}, {"x_unknown": 1}],
    )
    def test_what_has_no_stream(self, change: Any) -> None:
        assert COHERE.as_stream(json.dumps({**cohere(), **change}).encode()) is None

    def test_what_is_no_answer(self) -> None:
        events = streamed(COHERE, cohere())
        assert whole(COHERE, *events) is not None
        assert whole(COHERE, *events[:-1]) is None
        assert whole(COHERE, *events[:-1], {"type": "new-event"}, events[-1]) is None
        failed = {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "no capacity"}}
        assert whole(COHERE, *events[:-1], failed) is None


OLLAMA_BODY = {
    "model": "m", "created_at": "2026-01-01T00:00:00Z",
    "message": {"role": "assistant", "content": "Hi", "thinking": "Hm.", "tool_calls": [
        {"function": {"name": "f", "arguments": {"a": 1}}}]},
    "done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 5,
}  # fmt: skip


class TestOllama:
    def test_lines_are_those_of_the_api(self) -> None:
        made = OLLAMA.as_stream(json.dumps(OLLAMA_BODY).encode())
        assert made is not None
        assert all(line.endswith(b"}\n") for line in made)
        top = {"model": "m", "created_at": "2026-01-01T00:00:00Z"}
        calls = {"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}
        lines = [json.loads(line) for line in made]
        assert lines == [
            {**top, "message": {"role": "assistant", "content": "", "thinking": "Hm."}, "done": False},
            {**top, "message": {"role": "assistant", "content": "Hi"}, "done": False},
            {**top, "message": {"role": "assistant", "content": "", **calls}, "done": False},
            {**top, "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop",
             "prompt_eval_count": 3, "eval_count": 5},
        ]  # fmt: skip
        assert whole(OLLAMA, *lines) == OLLAMA_BODY
        assert OLLAMA.stream_type() == "application/x-ndjson"

    def test_what_is_no_answer(self) -> None:
        lines = streamed(OLLAMA, OLLAMA_BODY)
        assert whole(OLLAMA, *lines[:-1]) is None
        assert whole(OLLAMA, *lines[:-1], {"error": "out of memory"}) is None
        assert whole(OLLAMA, lines[0], {**lines[1], "model": "other"}, *lines[2:]) is None
        assert OLLAMA.as_stream(json.dumps({**OLLAMA_BODY, "done": False}).encode()) is None


SAID = {"role": "assistant", "content": "Hello"}
WHOLE: dict[str, dict[str, Any]] = {
    "openai-chat": {"choices": [{"index": 0, "message": SAID, "finish_reason": "stop"}]},
    "anthropic-messages": {
        "type": "message", "content": [], "stop_reason": "end_turn", "usage": {"output_tokens": 1},
    },
    "openai-responses": {"status": "completed", "output": []},
    "gemini": candidate({"text": "Hello"}, finishReason="STOP"),
    "cohere": cohere(),
    "ollama": {"message": SAID, "done": True},
}  # fmt: skip


@pytest.mark.parametrize("api", [CHAT, CLAUDE, RESPONSES, GEMINI, COHERE, OLLAMA], ids=lambda api: api.name)
def test_what_is_made_can_be_read_too(api: Codec) -> None:
    """An event is deeper than what it says, and may be longer than a body."""
    for deep in range(100, 140):
        body = json.dumps({**WHOLE[api.name], "x_unknown": json.loads("[" * deep + "]" * deep)}).encode()
        made = api.as_stream(body)
        for event in framed(api, b"".join(made or ())):
            api.event_places(event)
    long = json.dumps({**WHOLE[api.name], "x_unknown": ["x" * (4 * 1024 * 1024 - 300)]}).encode()
    made = api.as_stream(long)
    assert [event.raw for event in framed(api, b"".join(made or ()))] == (made or [])


@pytest.mark.parametrize("api", [CHAT, CLAUDE, RESPONSES, COHERE], ids=lambda api: api.name)
def test_the_media_type_of_events(api: Codec) -> None:
    assert api.stream_type("alt=x").startswith("text/event-stream")
