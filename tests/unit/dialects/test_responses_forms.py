"""What the other form of a response looks like, and what has none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.dialects.exchanges import framed
from tests.unit.dialects.other_forms import RESPONSES, streamed, whole


def response(*output: Any, **members: Any) -> dict[str, Any]:
    top = {"id": "resp_1", "object": "response", "status": "completed", "model": "gpt-x", "error": None}
    usage = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
    return {**top, "incomplete_details": None, "output": list(output), "usage": usage, **members}


def item(*content: Any) -> dict[str, Any]:
    return {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": list(content)}


OUTPUT_TEXT = {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}


END = {"type": "response.completed", "response": response(item(OUTPUT_TEXT))}


class TestResponses:
    def test_events_are_those_of_the_api(self) -> None:
        body = response(item(OUTPUT_TEXT))
        events = streamed(RESPONSES, body)
        begun = {**body, "status": "in_progress", "output": [], "usage": None}
        at: dict[str, Any] = {"output_index": 0}
        within: dict[str, Any] = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        steps: list[tuple[str, dict[str, Any]]] = [
            ("created", {"response": begun}),
            ("in_progress", {"response": begun}),
            ("output_item.added", {**at, "item": {**item(), "status": "in_progress"}}),
            ("content_part.added", {**within, "part": {**OUTPUT_TEXT, "text": ""}}),
            ("output_text.delta", {**within, "delta": "Hello", "logprobs": []}),
            ("output_text.done", {**within, "text": "Hello", "logprobs": []}),
            ("content_part.done", {**within, "part": OUTPUT_TEXT}),
            ("output_item.done", {**at, "item": item(OUTPUT_TEXT)}),
            ("completed", {"response": body}),
        ]
        assert events == [
            {"type": f"response.{kind}", **members, "sequence_number": number}
            for number, (kind, members) in enumerate(steps)
        ]

    def test_every_item_is_said_as_the_api_says_it(self) -> None:
        thought = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}],
                   "encrypted_content": "x"}  # fmt: skip
        called = {"id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
        note = {"type": "url_citation", "url": "u"}
        noted = {**OUTPUT_TEXT, "annotations": [note]}
        search = {"id": "ws_1", "type": "web_search_call", "status": "completed"}
        events = streamed(
            RESPONSES, response(thought, item(noted, {"type": "refusal", "refusal": "No."}), called, search)
        )
        assert [event["type"].removeprefix("response.") for event in events[2:-1]] == [
            "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
            "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done",
            "output_item.added", "content_part.added", "output_text.delta", "output_text.annotation.added",
            "output_text.done", "content_part.done", "content_part.added", "refusal.delta", "refusal.done",
            "content_part.done", "output_item.done",
            "output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done",
            "output_item.added", "output_item.done",
        ]  # fmt: skip
        assert "encrypted_content" not in events[2]["item"]
        assert [event["item"]["arguments"] for event in events if event.get("item", {}).get("name")] == ["", "{}"]

    def test_an_answer_that_was_cut_at_its_limit_ends_as_incomplete(self) -> None:
        body = response(item(OUTPUT_TEXT), status="incomplete", incomplete_details={"reason": "max_output_tokens"})
        events = streamed(RESPONSES, body)
        assert events[0]["response"]["incomplete_details"] is None
        assert (events[-1]["type"], events[-1]["response"]) == ("response.incomplete", body)

    def test_a_body_is_what_the_last_event_has_byte_for_byte(self) -> None:
        written = b'{"id":"resp_1","object":"response","status":"completed","model":"m","output":[ ],"x":1.10}'
        event = b'{"type":"response.completed","response":%s,"sequence_number":4}' % written
        assert RESPONSES.as_body(framed(RESPONSES, b"data: %s\n\n" % event)) == written

    @pytest.mark.parametrize(
        "events",
        [
            pytest.param([{"type": "response.created", "response": response()}], id="no end"),
            pytest.param([{"type": "response.failed", "response": response(status="failed")}], id="failed"),
            pytest.param([{"type": "error", "message": "x"}, END], id="an error"),
            pytest.param([{"error": {"message": "x"}}, END], id="an error as in chats"),
            pytest.param([{"type": "response.output_item.added", "output_index": 1}, END], id="an item is missing"),
            pytest.param([{"type": "response.created", "response": response(id="resp_2")}, END], id="two answers"),
            pytest.param([b"{", END], id="no JSON"),
        ],
    )
    def test_what_is_no_response(self, events: list[Any]) -> None:
        assert whole(RESPONSES, END) is not None
        assert whole(RESPONSES, *events) is None

    @pytest.mark.parametrize(
        "body",
        [response(status=status) for status in ("failed", "cancelled", "queued", "in_progress")]
        + [response(item({"type": "output_hologram"})), response(error={"code": "server_error"})],
    )
    def test_what_has_no_stream(self, body: Any) -> None:
        assert RESPONSES.as_stream(json.dumps(body).encode()) is None
