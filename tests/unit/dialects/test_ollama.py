"""What is Ollama's own: JSON lines, arguments that are objects, results that name their tool, counts among times."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.dialects.exchanges import framed

from interlay.dialects import find, named
from interlay.dialects.ollama import Ollama
from interlay.model.messages import ChatRequest, Image, Message, Reasoning, Text, ToolCall, ToolResult
from interlay.model.protocols import Codec, Outline
from interlay.model.record import Failure

DIALECT = Ollama()


def encoded(request: ChatRequest) -> Any:
    return json.loads(DIALECT.encode_request(request))


def tracked(*lines: Any) -> Any:
    tracker = DIALECT.tracker()
    for event in framed(DIALECT, b"".join(json.dumps(line).encode() + b"\n" for line in lines)):
        tracker.event(event)
    return tracker


class TestOutline:
    def outline(self, **body: Any) -> Outline:
        return DIALECT.outline(json.dumps(body).encode())

    def test_streams_unless_told_not_to(self) -> None:
        assert self.outline(model="m").streamed
        assert self.outline(model="m", stream=None).streamed
        assert not self.outline(model="m", stream=False).streamed

    def test_options_are_parameters(self) -> None:
        options = {"num_predict": 64, "temperature": 0, "seed": 42, "stop": ["a", "b"], "num_ctx": 4096}
        found = self.outline(model="m", options=options, think="high", format={"type": "object"}, tools=[{}])
        assert found.parameters == {
            "max_tokens": 64, "temperature": 0, "seed": 42, "stop_count": 2, "reasoning_effort": "high",
            "response_format": "json_schema", "tool_count": 1,
        }  # fmt: skip
        assert self.outline(format="json", think=True).parameters == {"response_format": "json_object"}
        assert self.outline(format="", options={"seed": 2**60}).parameters == {}

    @pytest.mark.parametrize("path", ["/api/chat", "/proxy/api/chat"])
    def test_is_found_by_its_path(self, path: str) -> None:
        assert find("POST", path) is named("ollama")
        assert find("GET", path) is None
        assert find("POST", "/api/chat/history") is None


class TestTracker:
    def test_the_last_line_ends_it(self) -> None:
        tracker = tracked({"model": "m", "message": {"content": "Hi"}, "done": False})
        assert (tracker.finished, tracker.ended_well, tracker.usage) == (False, False, None)
        assert tracker.output_tokens_estimate > 0
        tracker = tracked(
            {"message": {"content": "Hi"}, "done": False},
            {"message": {"content": ""}, "done": True, "done_reason": "length", "eval_count": 7},
            {"message": {"content": "more"}, "eval_count": 9},
        )
        assert (tracker.finished, tracker.finish_reasons) == (True, ["length"])
        assert (tracker.usage.input_tokens, tracker.usage.output_tokens) == (None, 7)
        assert bytes(tracker.usage.raw) == b'{"eval_count":7}'

    def test_tools_are_called_whatever_its_reason_says(self) -> None:
        call = {"function": {"name": "f", "arguments": {"a": 1}}}
        tracker = tracked(
            {"message": {"tool_calls": [call]}, "done": False}, {"message": {}, "done": True, "done_reason": "stop"}
        )
        assert tracker.finish_reasons == ["tool_calls"]
        assert tracker.output_tokens_estimate > 0

    def test_a_line_with_an_error_is_no_end(self) -> None:
        tracker = tracked({"message": {"content": "Hi"}, "done": False}, {"error": "out of memory", "done": True})
        assert tracker.failure == Failure(type="error", message="out of memory")
        assert not tracker.ended_well

    def test_counts_are_found_at_the_end_of_what_was_too_large(self) -> None:
        tracker = DIALECT.tracker()
        tracker.tail(b'x"} \\"eval_count\\":1, "prompt_eval_count": 17, "prompt_eval_duration":1,"eval_count":63}')
        assert (tracker.usage.input_tokens, tracker.usage.output_tokens) == (17, 63)  # type: ignore[union-attr]

    @pytest.mark.parametrize("count", [-1, 1.5, "7", 2**60, True])
    def test_what_is_no_count_is_flagged(self, count: Any) -> None:
        tracker = tracked({"message": {}, "done": True, "prompt_eval_count": count, "eval_count": 1})
        assert (tracker.usage.input_tokens, tracker.usage.flags) == (None, ("usage_invalid",))


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "kind", "message"),
        [
            (b'{"error":"model \'x\' not found"}', "http_404", "model 'x' not found"),
            (b'{"error":{"message":"no","type":"api_error"}}', "api_error", "no"),
            (b"<html>", "http_404", None),
            (b"[]", "http_404", None),
        ],
    )
    def test_in_the_shapes_they_come_in(self, body: bytes, kind: str, message: str | None) -> None:
        failure = DIALECT.decode_error(404, {"x-request-id": "r"}, body)
        assert (failure.type, failure.message, failure.status, failure.request_id) == (kind, message, 404, "r")

    def test_a_string_is_what_its_clients_want(self) -> None:
        assert json.loads(DIALECT.encode_error(Failure(type="http_404", message="no"))) == {"error": "no"}
        kept = DIALECT.encode_error(Failure(type="blocked", message="no"), b'{"error":"yes","signin_url":"u"}')
        assert json.loads(kept) == {"error": "no", "signin_url": "u", "type": "blocked"}


class TestOtherAPIs:
    """What another API's request is here."""

    def test_results_name_their_tool(self) -> None:
        call = ToolCall(id="call_1", name="weather", arguments='{"city":"Oslo"}')
        said = encoded(
            ChatRequest(
                model="m",
                messages=[
                    Message(role="user", content=[Text(text="Look."), Image(data="AAAA", media_type="image/png")]),
                    Message(role="assistant", content=[Reasoning(text="hm", origin="another"), call]),
                    Message(role="user", content=[ToolResult(tool_call_id="call_1", content=[Text(text="rain")])]),
                ],
            )
        )
        assert said["messages"] == [
            {"role": "user", "content": "Look.", "images": ["AAAA"]},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "call_1", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}],
            },
            {"role": "tool", "content": "rain", "tool_name": "weather", "tool_call_id": "call_1"},
        ]
        assert said["stream"] is False

    def test_settings_are_options(self) -> None:
        request = ChatRequest(model="m", max_tokens=5, temperature=0.5, stop=["x"], reasoning_effort="low", stream=True)
        said = encoded(request)
        assert said["options"] == {"num_predict": 5, "temperature": 0.5, "stop": ["x"]}
        assert (said["think"], said["stream"]) == ("low", True)

    def test_a_changed_setting_is_patched(self) -> None:
        request = DIALECT.decode_request(
            b'{"options":{"num_ctx":4096,"temperature":1},"messages":[],"keep_alive":"5m"}'
        )
        request.temperature, request.max_tokens = 0.5, 9
        assert encoded(request) == {
            "options": {"num_ctx": 4096, "temperature": 0.5, "num_predict": 9}, "messages": [], "keep_alive": "5m",
        }  # fmt: skip

    def test_a_changed_argument_is_an_object_still(self) -> None:
        call = {"function": {"name": "f", "arguments": {"a": 1.0}, "index": 3}}
        body = json.dumps({"messages": [{"role": "assistant", "content": "", "tool_calls": [call]}]}).encode()
        request = DIALECT.decode_request(body)
        assert encoded(request) == json.loads(body)
        part = request.messages[0].content[0]
        assert isinstance(part, ToolCall)
        part.arguments = '{"a":2}'
        (message,) = encoded(request)["messages"]
        assert message["tool_calls"] == [{"function": {"name": "f", "arguments": {"a": 2}, "index": 3}}]

    def test_a_stream_of_chat_completions_is_lines(self) -> None:
        other = named("openai-chat")
        assert isinstance(other, Codec)
        chunks: list[dict[str, Any]] = [
            {"id": "x", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hi"}}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]},
            {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}},
        ]
        stream = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
        lines = b"".join(DIALECT.encode_event(other.decode_event(event)) for event in framed(other, stream))
        said = [json.loads(line) for line in lines.splitlines()]
        assert [line["message"]["content"] for line in said] == ["Hi", "", "", ""]
        assert said[0]["model"] == "m"
        assert said[1]["done_reason"] == "length"
        assert (said[2]["prompt_eval_count"], said[2]["eval_count"]) == (3, 1)
        assert [line["done"] for line in said] == [False, False, False, True]
