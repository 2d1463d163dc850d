from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.dialects.exchanges import ALL, STREAMS, Exchanged, framed, name

from interlay.dialects import named
from interlay.dialects.openai_responses import OpenAIResponses
from interlay.model.errors import DecodeError
from interlay.model.messages import (
    ChatRequest,
    ChatResponse,
    Choice,
    Delta,
    File,
    Image,
    Message,
    Opaque,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from interlay.model.protocols import Codec, WireEvent

DIALECT = OpenAIResponses()
CHAT = named("openai-chat")


def asked(**members: Any) -> ChatRequest:
    return DIALECT.decode_request(json.dumps(members).encode())


def written(request: ChatRequest) -> Any:
    return json.loads(DIALECT.encode_request(request))


def answered(*items: dict[str, Any], **members: Any) -> ChatResponse:
    return DIALECT.decode_response(json.dumps({"object": "response", "output": items, **members}).encode())


def rewritten(response: ChatResponse) -> Any:
    return json.loads(DIALECT.encode_response(response))


def event(**members: Any) -> WireEvent:
    data = json.dumps(members).encode()
    return WireEvent(b"data: " + data + b"\n\n", None, data)


class TestRequests:
    def test_instructions_come_first(self) -> None:
        request = asked(instructions="be kind", input="hello")
        assert [(message.role, message.content) for message in request.messages] == [
            ("system", [Text(text="be kind", origin="openai-responses")]),
            ("user", [Text(text="hello", origin="openai-responses")]),
        ]

    def test_a_changed_string_stays_one(self) -> None:
        request = asked(model="m", instructions="be kind", input="hello", x=1)
        for message in request.messages:
            message.content = [Text(text="other")]
        assert written(request) == {"model": "m", "instructions": "other", "input": "other", "x": 1}

    def test_another_turn_makes_the_string_a_list(self) -> None:
        request = asked(input="hello")
        request.messages.append(Message(role="assistant", content=[Text(text="hi")]))
        assert written(request) == {
            "input": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]
        }

    def test_items_are_parts_in_messages(self) -> None:
        request = asked(
            input=[
                {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url":
                 "data:image/png;base64,QQ==", "detail": "low"}]},
                {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "sealed"},
                {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{bad"},
                {"type": "function_call_output", "call_id": "c", "output": "found"},
                {"type": "item_reference", "id": "i"},
            ]
        )  # fmt: skip
        assert [message.role for message in request.messages] == ["user", "assistant", "assistant", "tool", "assistant"]
        text, image = request.messages[0].content
        assert isinstance(text, Text)
        assert isinstance(image, Image)
        assert (image.data, image.media_type, image.detail) == ("QQ==", "image/png", "low")
        ((thought,), (call,), (result,), (other,)) = [message.content for message in request.messages[1:]]
        assert isinstance(thought, Reasoning)
        assert thought.encrypted == "sealed"
        assert isinstance(call, ToolCall)
        assert (call.id, call.name, call.arguments) == ("c", "look", "{bad")
        assert isinstance(result, ToolResult)
        assert [part.text for part in result.content if isinstance(part, Text)] == ["found"]
        assert isinstance(other, Opaque)

    def test_only_what_was_changed_is_patched(self) -> None:
        item = {"type": "message", "role": "user", "x": 1, "content": [{"type": "input_text", "text": "a", "y": 2}]}
        request = asked(
            model="m", input=[item], reasoning={"effort": "low", "summary": "auto"}, text={"verbosity": "low"}
        )
        (part,) = request.messages[0].content
        assert isinstance(part, Text)
        part.text = "b"
        request.reasoning_effort = "high"
        assert written(request) == {
            "model": "m",
            "input": [{**item, "content": [{"type": "input_text", "text": "b", "y": 2}]}],
            "reasoning": {"effort": "high", "summary": "auto"},
            "text": {"verbosity": "low"},
        }

    def test_settings(self) -> None:
        schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
        request = asked(
            model="m", max_output_tokens=5, temperature=0.5, top_p=0.9, stream=True, user="u", text={"format": schema},
            tools=[{"type": "function", "name": "look", "parameters": {}, "strict": True}, {"type": "web_search"}],
            tool_choice={"type": "function", "name": "look"}, parallel_tool_calls=False,
        )  # fmt: skip
        assert (request.model, request.max_tokens, request.temperature, request.stream) == ("m", 5, 0.5, True)
        assert request.output_format is not None
        assert (request.output_format.name, request.output_format.strict) == ("n", True)
        assert [(tool.name, tool.kind, tool.server) for tool in request.tools] == [
            ("look", "function", False), ("", "web_search", True),
        ]  # fmt: skip
        assert request.tool_choice is not None
        assert (request.tool_choice.mode, request.tool_choice.name, request.tool_choice.parallel) == (
            "named", "look", False,
        )  # fmt: skip

    @pytest.mark.parametrize(
        "body", [b"[]", b'{"input":7}', b'{"input":["x"]}', b'{"instructions":[]}', b'{"tools":{}}']
    )
    def test_of_another_shape_are_refused(self, body: bytes) -> None:
        with pytest.raises(DecodeError):
            DIALECT.decode_request(body)


class TestAnswers:
    def test_items_are_parts_of_one_message(self) -> None:
        response = answered(
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}]},
            {"type": "web_search_call", "id": "ws", "action": {"type": "search", "query": "q"}},
            {"type": "message", "id": "m", "role": "assistant", "content": [
                {"type": "output_text", "text": "a", "annotations": [{"type": "url_citation", "url": "u"}]},
                {"type": "refusal", "refusal": "no"}]},
            {"type": "function_call", "id": "fc", "call_id": "c", "name": "look", "arguments": "{}"},
            id="r", model="m", status="completed", created_at=5,
        )  # fmt: skip
        (choice,) = response.choices
        thought, search, text, refusal, call = choice.message.content
        assert isinstance(thought, Reasoning)
        assert thought.text == "hm"
        assert isinstance(search, ToolCall)
        assert (search.name, search.server, json.loads(search.arguments)["query"]) == ("web_search", True, "q")
        assert isinstance(text, Text)
        assert (text.text, text.citations) == ("a", [{"type": "url_citation", "url": "u"}])
        assert isinstance(refusal, Refusal)
        assert isinstance(call, ToolCall)
        assert (call.id, call.server) == ("c", False)
        assert (choice.finish_reason, choice.provider_finish_reason) == ("tool_calls", "completed")
        assert (response.id, response.model, response.created) == ("r", "m", 5)

    def test_only_what_was_changed_is_patched(self) -> None:
        item = {"type": "message", "id": "m", "x": 1, "content": [
            {"type": "output_text", "text": "a", "annotations": [], "y": 2}, {"type": "new", "z": 3},
            {"type": "output_text", "text": "b"}]}  # fmt: skip
        response = answered({"type": "new_item", "content": [7]}, item, {"type": "message", "content": "plain"})
        _, first, _, second, third = response.choices[0].message.content
        for part in (first, second, third):
            assert isinstance(part, Text)
            part.text += "!"
        item["content"][0]["text"], item["content"][2]["text"] = "a!", "b!"  # type: ignore[index]
        assert rewritten(response)["output"] == [
            {"type": "new_item", "content": [7]}, item, {"type": "message", "content": "plain!"},
        ]  # fmt: skip

    def test_a_part_that_is_gone_leaves_the_rest(self) -> None:
        response = answered(
            {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "a"},
                                                       {"type": "output_text", "text": "b"}]}
        )  # fmt: skip
        del response.choices[0].message.content[1]
        assert rewritten(response)["output"] == [
            {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "a"}]}
        ]

    def test_a_changed_thought_is_one_text(self) -> None:
        summary = [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]
        response = answered({"type": "reasoning", "id": "rs", "summary": summary, "encrypted_content": "sealed"})
        (part,) = response.choices[0].message.content
        assert isinstance(part, Reasoning)
        assert part.text == "ab"
        part.text = "c"
        assert rewritten(response)["output"] == [
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "c"}],
             "encrypted_content": "sealed"}
        ]  # fmt: skip

    @pytest.mark.parametrize("status", ["queued", "in_progress"])
    def test_what_was_only_accepted_is_no_answer_yet(self, status: str) -> None:
        response = answered(id="r", status=status, usage=None)
        assert response.choices == []
        assert rewritten(response) == {"object": "response", "output": [], "id": "r", "status": status, "usage": None}
        begun = answered({"type": "message", "content": [{"type": "output_text", "text": "a"}]}, status=status)
        assert [choice.finish_reason for choice in begun.choices] == [None]
        assert rewritten(begun)["status"] == status

    def test_a_chat_completion_is_refused(self) -> None:
        with pytest.raises(DecodeError):
            DIALECT.decode_response(b'{"object":"chat.completion","choices":[]}')


class TestOtherApis:
    """What another API's user said can be said here, as far as it has a form."""

    def test_a_conversation_of_chat_completions(self) -> None:
        assert isinstance(CHAT, Codec)
        body = {
            "model": "m",
            "max_tokens": 5,
            "stop": ["x"],
            "messages": [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image_url",
                 "image_url": {"url": "https://a/b.png"}}]},
                {"role": "assistant", "content": "well", "tool_calls": [{"id": "c", "type": "function",
                 "function": {"name": "see", "arguments": "{}"}}]},
                {"role": "tool", "tool_call_id": "c", "content": "a cat"},
            ],
            "tools": [{"type": "function", "function": {"name": "see", "parameters": {"type": "object"}}}],
            "tool_choice": {"type": "function", "function": {"name": "see"}},
        }  # fmt: skip
        assert written(CHAT.decode_request(json.dumps(body).encode())) == {
            "model": "m",
            "max_output_tokens": 5,
            "input": [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": [{"type": "input_text", "text": "look"},
                                             {"type": "input_image", "image_url": "https://a/b.png"}]},
                {"role": "assistant", "content": "well"},
                {"type": "function_call", "call_id": "c", "name": "see", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "a cat"},
            ],
            "tools": [{"type": "function", "name": "see", "parameters": {"type": "object"}}],
            "tool_choice": {"type": "function", "name": "see"},
        }  # fmt: skip

    def test_signed_reasoning_of_another_maker_is_left_out_of_a_request(self) -> None:
        thought = Reasoning(text="hm", signature="s", origin="anthropic-messages", raw={"type": "thinking"})
        request = ChatRequest(messages=[Message(role="assistant", content=[thought, Text(text="a")])])
        assert written(request)["input"] == [{"role": "assistant", "content": "a"}]
        response = ChatResponse(choices=[Choice(message=Message(role="assistant", content=[thought]))])
        assert rewritten(response)["output"] == [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
        ]

    def test_server_tools_of_another_maker_are_left_out(self) -> None:
        tool = Tool(name="", kind="web_search_20250305", server=True, origin="anthropic-messages")
        assert "tools" not in written(ChatRequest(tools=[tool]))

    @pytest.mark.parametrize("mode", ["auto", "none", "required"])
    def test_tool_choices(self, mode: str) -> None:
        assert (
            written(ChatRequest(tool_choice=ToolChoice(mode=mode, origin="anthropic-messages")))["tool_choice"] == mode
        )

    def test_documents(self) -> None:
        parts = [
            File(data="QQ==", media_type="application/pdf", title="t"),
            File(data="plain", media_type="text/plain"),
            File(url="https://a/b.pdf"),
        ]
        (item,) = written(ChatRequest(messages=[Message(role="user", content=list(parts))]))["input"]
        assert item["content"] == [
            {"type": "input_file", "file_data": "data:application/pdf;base64,QQ==", "filename": "t"},
            {"type": "input_text", "text": "plain"},
            {"type": "input_file", "file_url": "https://a/b.pdf"},
        ]

    @pytest.mark.parametrize("each", [each for each in ALL if each.codec is CHAT], ids=name)
    def test_every_recorded_chat_request_can_be_said(self, each: Exchanged) -> None:
        request = each.codec.decode_request(each.request)
        again = DIALECT.decode_request(DIALECT.encode_request(request))
        before = [part for message in request.messages for part in message.content if isinstance(part, Text)]
        after = [part for message in again.messages for part in message.content if isinstance(part, Text)]
        assert [part.text for part in after if part.text] == [part.text for part in before if part.text]


class TestStreams:
    @pytest.mark.parametrize("each", [each for each in STREAMS if each.codec.name == DIALECT.name], ids=name)
    def test_deltas_add_up_to_the_answer(self, each: Exchanged) -> None:
        events = framed(DIALECT, each.answer)
        deltas = [delta for event in events for delta in DIALECT.decode_event(event)]
        parts = DIALECT.assemble(events).choices[0].message.content
        said = {
            kind: "".join(delta.text for delta in deltas if delta.kind == kind) for kind in ("text", "tool_arguments")
        }
        assert said["text"] == "".join(part.text for part in parts if isinstance(part, Text))
        calls = [part for part in parts if isinstance(part, ToolCall) and not part.server]
        assert said["tool_arguments"] == "".join(call.arguments for call in calls)
        assert [delta.kind for delta in deltas[-3:]] == ["finish", "usage", "end"]
        assert deltas[0].kind == "start"

    @pytest.mark.parametrize("each", [each for each in STREAMS if each.codec.name == DIALECT.name], ids=name)
    def test_a_cut_stream_is_what_came(self, each: Exchanged) -> None:
        events = framed(DIALECT, each.answer)
        whole, cut = DIALECT.streamed_answer(events), DIALECT.streamed_answer(events[:-1])
        assert [(item["type"], item.get("content"), item.get("arguments")) for item in cut] == [
            (item["type"], item.get("content"), item.get("arguments")) for item in whole
        ]
        for end in range(1, len(events)):
            assert DIALECT.assemble(events[:end]).model == DIALECT.assemble(events).model

    def test_pieces_without_a_head(self) -> None:
        events = [
            event(type="response.output_text.delta", output_index=1, content_index=0, delta="a"),
            event(type="response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="hm"),
            event(type="response.refusal.delta", output_index=1, content_index=1, delta="no"),
            event(type="response.function_call_arguments.delta", output_index=2, delta="{}"),
        ]
        assert DIALECT.streamed_answer(events) == [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
            {
                "type": "message",
                "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "no"}],
            },
            {"type": "function_call", "arguments": "{}"},
        ]

    def test_a_changed_delta_is_patched(self) -> None:
        was = event(type="response.output_text.delta", output_index=1, delta="a", item_id="m", sequence_number=7)
        (delta,) = DIALECT.decode_event(was)
        delta.text = "b"
        (made,) = framed(DIALECT, DIALECT.encode_event([delta]))
        assert json.loads(made.data or b"") == {**json.loads(was.data or b""), "delta": "b"}
        assert made.name == "response.output_text.delta"

    def test_how_it_ended_can_be_changed(self) -> None:
        response: dict[str, Any] = {
            "status": "completed",
            "output": [],
            "incomplete_details": None,
            "usage": None,
            "x": 1,
        }
        deltas = DIALECT.decode_event(event(type="response.completed", response=response, sequence_number=9))
        deltas[0].finish_reason = "content_filter"
        (made,) = framed(DIALECT, DIALECT.encode_event(deltas))
        said = json.loads(made.data or b"")
        assert (made.name, said["sequence_number"], said["response"]["x"]) == ("response.incomplete", 9, 1)
        assert said["response"]["incomplete_details"] == {"reason": "content_filter"}

    def test_deltas_of_another_api(self) -> None:
        deltas = [
            Delta(kind="start", id="r", model="m"),
            Delta(kind="text", text="a"),
            Delta(kind="tool_call", block=1, id="c", name="look"),
            Delta(kind="tool_arguments", block=1, text="{}"),
            Delta(kind="signature", text="s"),
            Delta(kind="finish", finish_reason="tool_calls"),
            Delta(kind="end"),
        ]
        events = [made for delta in deltas for made in framed(DIALECT, DIALECT.encode_event([delta]))]
        assert [made.name for made in events] == [
            "response.created", "response.output_text.delta", "response.output_item.added",
            "response.function_call_arguments.delta", "response.completed", "response.completed",
        ]  # fmt: skip


def test_a_prompt_and_its_answer_as_the_api_writes_them() -> None:
    body = json.dumps({"instructions": "be kind", "input": "hello", "tools": [{"type": "web_search"}]}).encode()
    assert DIALECT.prompt(body) == (
        [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}], [{"type": "web_search"}],
    )  # fmt: skip
    assert DIALECT.answer(b'{"output":[{"type":"message"},7]}') == [{"type": "message"}]


@pytest.mark.parametrize("path", ["/v1/responses", "/openai/v1/responses", "/openai/responses"])
def test_matches(path: str) -> None:
    assert DIALECT.matches("POST", path)
    assert not DIALECT.matches("GET", path)
    for other in ("/resp_1", "/resp_1/cancel", "/input_tokens", "/compact"):
        assert not DIALECT.matches("POST", path + other)


def test_outline() -> None:
    outline = DIALECT.outline(
        b'{"model":"m","stream":true,"input":"x","max_output_tokens":9,"temperature":0.5,"store":false,"tools":[{},{}],'
        b'"reasoning":{"effort":"low"},"text":{"format":{"type":"json_schema"}},"service_tier":7}'
    )
    assert (outline.model, outline.streamed, outline.wants_usage, outline.readable) == ("m", True, True, True)
    assert outline.parameters == {
        "max_tokens": 9, "temperature": 0.5, "store": False, "tool_count": 2, "reasoning_effort": "low",
        "response_format": "json_schema",
    }  # fmt: skip
    assert not DIALECT.outline(b"[]").readable
