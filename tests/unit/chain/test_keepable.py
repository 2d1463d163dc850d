"""Which answers are never given again, and why. Every recorded answer may be; what may not is made of their shapes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.dialects.exchanges import BODIES, STREAMS, Exchanged, framed, name

from interlay.chain.keepable import reason_not_to_keep
from interlay.dialects import named
from interlay.model.protocols import Dialect

CHAT, ANTHROPIC, RESPONSES, GEMINI, COHERE, OLLAMA, EMBEDDINGS = (
    "openai-chat", "anthropic-messages", "openai-responses", "gemini", "cohere", "ollama", "openai-embeddings",
)  # fmt: skip


def dialect_of(which: str) -> Dialect:
    found = named(which)
    assert found is not None
    return found


def plain(which: str, body: Any) -> str | None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return reason_not_to_keep(dialect_of(which), False, data, None)


def streamed(which: str, *events: Any) -> str | None:
    data = b"".join(
        each if isinstance(each, bytes)
        else b"event: %s\ndata: %s\n\n" % (str(each.get("type", "message")).encode(), json.dumps(each).encode())
        for each in events
    )  # fmt: skip
    dialect = dialect_of(which)
    return reason_not_to_keep(dialect, True, None, framed(dialect, data))


def chat(finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": "Hello", **message}
    return {"object": "chat.completion", "choices": [{"index": 0, "message": said, "finish_reason": finish}]}


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"


def claude(stop: str | None, *content: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": list(content), "stop_reason": stop}


def claude_events(stop: str | None) -> list[Any]:
    return [
        {"type": "message_start", "message": claude(None)},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "I "}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]


def response(status: str, *content: Any, **members: Any) -> dict[str, Any]:
    items = [{"type": "message", "role": "assistant", "content": list(content)}] if content else []
    return {"object": "response", "id": "resp_1", "status": status, "output": items, **members}


SAID = {"type": "output_text", "text": "Hello", "annotations": []}
UNWILLING = {"type": "refusal", "refusal": "I can't help with that."}
TEXT = {"type": "text", "text": "Hello"}


def candidate(finish: str | None, *parts: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "finishReason": finish}]}


BLOCKED = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 3}}


class TestWhatMayBeKept:
    @pytest.mark.parametrize("each", BODIES, ids=name)
    def test_every_recorded_body(self, each: Exchanged) -> None:
        assert reason_not_to_keep(each.codec, False, each.answer, None) is None

    @pytest.mark.parametrize("each", STREAMS, ids=name)
    def test_every_recorded_stream(self, each: Exchanged) -> None:
        assert reason_not_to_keep(each.codec, True, None, framed(each.codec, each.answer)) is None

    def test_an_answer_cut_at_the_callers_own_limit(self) -> None:
        assert plain(CHAT, chat("length")) is None
        assert plain(ANTHROPIC, claude("max_tokens", TEXT)) is None
        limit = {"incomplete_details": {"reason": "max_output_tokens"}}
        assert plain(RESPONSES, response("incomplete", SAID, **limit)) is None
        assert plain(GEMINI, candidate("MAX_TOKENS", {"text": "Hello"})) is None

    def test_calls_of_tools_without_text(self) -> None:
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        assert plain(CHAT, chat("tool_calls", content=None, tool_calls=[call])) is None

    def test_vectors(self) -> None:
        assert plain(EMBEDDINGS, {"object": "list", "data": [{"embedding": [0.5]}], "model": "m"}) is None


class TestWhatIsNeverKept:
    @pytest.mark.parametrize(
        ("which", "body"),
        [
            (CHAT, chat("content_filter")),
            (CHAT, {"choices": [*chat()["choices"], {"index": 1, **chat("content_filter")["choices"][0]}]}),
            (RESPONSES, response("incomplete", SAID, incomplete_details={"reason": "content_filter"})),
            (GEMINI, candidate("SAFETY")),
            (GEMINI, candidate("RECITATION", {"text": "Hel"})),
            (GEMINI, BLOCKED),
        ],
    )
    def test_what_a_filter_kept_back(self, which: str, body: Any) -> None:
        assert plain(which, body) == "filtered"

    def test_what_a_filter_kept_back_of_a_stream(self) -> None:
        assert streamed(CHAT, chunk(content="Hel"), chunk("content_filter"), b"data: [DONE]\n\n") == "filtered"
        blocked = b"data: " + json.dumps(BLOCKED).encode() + b"\r\n\r\n"
        assert streamed(GEMINI, blocked) == "filtered"
        ended = response("incomplete", SAID, incomplete_details={"reason": "content_filter"})
        assert streamed(RESPONSES, {"type": "response.incomplete", "response": ended}) == "filtered"

    @pytest.mark.parametrize(
        ("which", "body"),
        [
            (CHAT, chat(content=None, refusal="I can't help with that.")),
            (CHAT, chat(content=[{"type": "refusal", "refusal": "No."}])),
            (RESPONSES, response("completed", UNWILLING)),
            (ANTHROPIC, claude("refusal", TEXT)),
            (ANTHROPIC, claude("refusal")),
        ],
    )
    def test_what_the_model_refused(self, which: str, body: Any) -> None:
        assert plain(which, body) == "refused"

    def test_what_the_model_refused_in_a_stream(self) -> None:
        assert streamed(CHAT, chunk(refusal="I can"), chunk(refusal="'t."), chunk("stop"), b"data: [DONE]\n\n") == (
            "refused"
        )
        assert streamed(ANTHROPIC, *claude_events("refusal")) == "refused"
        end = {"type": "response.completed", "response": response("completed", UNWILLING)}
        assert (
            streamed(RESPONSES, {"type": "response.refusal.delta", "output_index": 0, "delta": "I"}, end) == "refused"
        )

    def test_an_answer_whose_tools_are_to_run_on(self) -> None:
        assert plain(ANTHROPIC, claude("pause_turn", TEXT)) == "paused"
        assert streamed(ANTHROPIC, *claude_events("pause_turn")) == "paused"

    @pytest.mark.parametrize(
        ("which", "body"),
        [
            (CHAT, {"error": {"message": "overloaded", "code": 502}}),
            (CHAT, {**chat("error"), "error": {"message": "overloaded"}}),
            (CHAT, chat("error")),
            (ANTHROPIC, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
            (RESPONSES, response("failed", error={"code": "server_error", "message": "…"})),
            (GEMINI, {"error": {"code": 503, "status": "UNAVAILABLE", "message": "…"}}),
            (GEMINI, candidate("MALFORMED_FUNCTION_CALL")),
            (OLLAMA, {"error": "model is loading"}),
            (EMBEDDINGS, {"error": {"message": "overloaded"}}),
        ],
    )
    def test_an_error_inside_a_200(self, which: str, body: Any) -> None:
        assert plain(which, body) == "error"

    def test_a_stream_that_failed(self) -> None:
        error = b'data: {"error":{"message":"overloaded"}}\n\n'
        assert streamed(CHAT, chunk("stop", content="Hello"), error, b"data: [DONE]\n\n") == "error"
        failed = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        assert streamed(ANTHROPIC, *claude_events("end_turn"), failed) is None  # it had ended
        assert streamed(ANTHROPIC, *claude_events("end_turn")[:-1], failed) == "error"
        end = {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "no capacity"}}
        assert streamed(COHERE, {"type": "message-start", "id": "1"}, end) == "error"

    @pytest.mark.parametrize("each", STREAMS, ids=name)
    def test_pain_29_a_stream_that_was_cut(self, each: Exchanged) -> None:
        events = framed(each.codec, each.answer)
        tracker = each.codec.tracker()
        for count, event in enumerate(events):
            if not tracker.ended_well:
                assert reason_not_to_keep(each.codec, True, None, events[:count]) in ("cut", "error")
            tracker.event(event)

    @pytest.mark.parametrize("status", ["queued", "in_progress"])
    def test_a_response_that_is_still_worked_on(self, status: str) -> None:
        assert plain(RESPONSES, response(status)) == "empty"
        assert plain(RESPONSES, response(status, SAID)) == "unfinished"
        assert plain(RESPONSES, response("cancelled", SAID)) == "unfinished"

    def test_a_choice_that_does_not_say_how_it_ended(self) -> None:
        assert plain(CHAT, chat(None)) == "unfinished"
        assert plain(GEMINI, candidate(None, {"text": "Hello"})) == "unfinished"

    @pytest.mark.parametrize(
        ("which", "body"),
        [
            (CHAT, {"object": "chat.completion", "choices": []}),
            (CHAT, {"base_resp": {"status_code": 1004}, "choices": None}),
            (CHAT, chat(content="")),
            (CHAT, chat(content=None)),
            (ANTHROPIC, claude("end_turn")),
            (RESPONSES, response("completed")),
            (GEMINI, {"usageMetadata": {"promptTokenCount": 3}}),
            (GEMINI, candidate("STOP")),
            (OLLAMA, {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}),
        ],
    )
    def test_an_answer_that_says_nothing(self, which: str, body: Any) -> None:
        assert plain(which, body) == "empty"

    def test_an_end_that_nobody_knows(self) -> None:
        assert plain(CHAT, chat("insufficient_system_resource")) == "ended"
        assert plain(GEMINI, candidate("OTHER", {"text": "Hello"})) == "ended"

    @pytest.mark.parametrize("which", [CHAT, ANTHROPIC, RESPONSES, GEMINI, COHERE, OLLAMA, EMBEDDINGS])
    @pytest.mark.parametrize("body", [b"", b"{", b"}", b"<html></html>", b"[]", b"null", b'{"choices":[{}', b"\xff{}"])
    def test_what_is_no_answer(self, which: str, body: bytes) -> None:
        assert plain(which, body) == "unreadable"

    def test_an_answer_of_another_api(self) -> None:
        assert plain(RESPONSES, chat()) == "unreadable"
        assert reason_not_to_keep(dialect_of(CHAT), False, None, None) == "unreadable"
