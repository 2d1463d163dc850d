"""What the other form of a message looks like, and what has none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.dialects.exchanges import framed
from tests.unit.dialects.other_forms import CLAUDE, streamed, whole

USAGE = {"input_tokens": 10, "cache_read_input_tokens": 2, "output_tokens": 7, "service_tier": "standard"}


def message(*content: Any, **members: Any) -> dict[str, Any]:
    top = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude"}
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    return {**top, "content": list(content), **end, "usage": USAGE, **members}


START = {"type": "message_start", "message": {**message(), "stop_reason": None}}
BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
TEXT = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}
OVER = {"type": "content_block_stop", "index": 0}
DELTA = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}
STOP = {"type": "message_stop"}
TOOL = {**BLOCK, "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}}}
CUT = {**TEXT, "delta": {"type": "input_json_delta", "partial_json": '{"a": '}}


class TestMessages:
    def test_events_are_those_of_the_api(self) -> None:
        made = CLAUDE.as_stream(json.dumps(message({"type": "text", "text": "Hello"})).encode())
        assert made is not None
        events = framed(CLAUDE, b"".join(made))
        assert [event.name for event in events] == [
            "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
            "message_stop",
        ]  # fmt: skip
        start, *_, delta, stop = (json.loads(event.data or b"") for event in events)
        assert start["message"] == {
            **message(), "stop_reason": None, "usage": {**USAGE, "output_tokens": 0},
        }  # fmt: skip
        assert delta == {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"input_tokens": 10, "cache_read_input_tokens": 2, "output_tokens": 7},
        }
        assert stop == {"type": "message_stop"}

    @pytest.mark.parametrize(
        ("block", "head", "deltas"),
        [
            (
                {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                {"type": "thinking", "thinking": "", "signature": ""},
                [{"type": "thinking_delta", "thinking": "Hm."}, {"type": "signature_delta", "signature": "c2ln"}],
            ),
            ({"type": "redacted_thinking", "data": "x"}, {"type": "redacted_thinking", "data": "x"}, []),
            (
                {"type": "text", "text": "a", "citations": [{"cited_text": "b"}]},
                {"type": "text", "text": "", "citations": []},
                [{"type": "text_delta", "text": "a"}, {"type": "citations_delta", "citation": {"cited_text": "b"}}],
            ),
            ({"type": "text", "text": ""}, {"type": "text", "text": ""}, []),
            (
                {"type": "tool_use", "id": "t", "name": "f", "input": {}},
                {"type": "tool_use", "id": "t", "name": "f", "input": {}},
                [{"type": "input_json_delta", "partial_json": ""}],
            ),
            (
                {"type": "web_search_tool_result", "tool_use_id": "t", "content": [{"url": "u"}]},
                {"type": "web_search_tool_result", "tool_use_id": "t", "content": [{"url": "u"}]},
                [],
            ),
            (
                {"type": "compaction", "content": "So far."},
                {"type": "compaction", "content": None},
                [{"type": "compaction_delta", "content": "So far."}],
            ),
        ],
    )
    def test_blocks_are_said_as_the_api_says_them(self, block: Any, head: Any, deltas: list[Any]) -> None:
        start, *said, stop = streamed(CLAUDE, message(block))[1:-2]
        assert start == {"type": "content_block_start", "index": 0, "content_block": head}
        assert [each["delta"] for each in said] == deltas
        assert stop == {"type": "content_block_stop", "index": 0}
        made = CLAUDE.as_stream(json.dumps(message(block)).encode())
        assert made is not None
        again = CLAUDE.as_body(framed(CLAUDE, b"".join(made)))
        assert again is not None
        assert json.loads(again)["content"] == [block]

    def test_arguments_stay_as_they_were_written(self) -> None:
        written = rb'{ "a" : 1.10, "b":12345678901234567890123, "c":"\u00e9"}'
        body = json.dumps(message({"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}})).encode()
        body = body.replace(b'{"x": 1}', written)
        made = CLAUDE.as_stream(body)
        assert made is not None
        pieces = [json.loads(event.data or b"").get("delta", {}).get("partial_json", "") for event in framed(
            CLAUDE, b"".join(made))]  # fmt: skip
        assert "".join(pieces).encode() == written
        assert written in (CLAUDE.as_body(framed(CLAUDE, b"".join(made))) or b"")

    def test_all_usage_is_there_again(self) -> None:
        usage = {
            **USAGE, "cache_creation_input_tokens": 4, "server_tool_use": {"web_search_requests": 1},
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 4}, "inference_geo": "x",
            "output_tokens_details": {"thinking_tokens": 2},
        }  # fmt: skip
        made = CLAUDE.as_stream(json.dumps(message(usage=usage)).encode())
        assert made is not None
        body = CLAUDE.as_body(framed(CLAUDE, b"".join(made)))
        assert body is not None
        assert json.loads(body)["usage"] == usage

    @pytest.mark.parametrize(
        "events",
        [
            pytest.param([START, BLOCK, TEXT, OVER, DELTA], id="no end"),
            pytest.param([START, BLOCK, TEXT, OVER, STOP], id="no usage"),
            pytest.param([START, BLOCK, TEXT, DELTA, STOP], id="a block without an end"),
            pytest.param([BLOCK, TEXT, OVER, DELTA, STOP], id="no beginning"),
            pytest.param([START, TEXT, OVER, DELTA, STOP], id="a delta of no block"),
            pytest.param(
                [START, TOOL, CUT, OVER, DELTA, STOP],
                id="arguments that are cut",
            ),
            pytest.param(
                [
                    START,
                    BLOCK,
                    {**TEXT, "delta": {"type": "new_delta"}},
                    OVER,
                    DELTA,
                    STOP,
                ],
                id="unknown delta",
            ),
            pytest.param([START, {"type": "new_event"}, DELTA, STOP], id="an unknown event"),
            pytest.param(
                [START, {"type": "error", "error": {"type": "overloaded_error"}}, DELTA, STOP],
                id="an error",
            ),
            pytest.param(
                [START, BLOCK, TEXT, BLOCK, OVER, DELTA, STOP],
                id="two blocks in one place",
            ),
        ],
    )
    def test_what_is_no_message(self, events: list[Any]) -> None:
        good = [START, {"type": "ping"}, BLOCK, TEXT, OVER, DELTA, STOP]
        assert whole(CLAUDE, *good) == message({"type": "text", "text": "Hi"})
        assert whole(CLAUDE, *events) is None

    @pytest.mark.parametrize("change", [{"stop_reason": None}, {"usage": None}, {"type": "error"}, {"content": None}])
    def test_what_has_no_stream(self, change: Any) -> None:
        assert CLAUDE.as_stream(json.dumps(message(**change)).encode()) is None
