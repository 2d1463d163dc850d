from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.dialects.bars import Bars
from tests.unit.dialects.exchanges import ALL, Exchanged, framed, name

from interlay.dialects import named
from interlay.dialects.gemini import Gemini
from interlay.dialects.gemini.framing import GeminiFramer
from interlay.model.errors import DecodeError
from interlay.model.messages import (
    Audio,
    ChatRequest,
    ChatResponse,
    Choice,
    Delta,
    File,
    Image,
    Message,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from interlay.model.places import Channel
from interlay.model.protocols import Codec, WireEvent

DIALECT = Gemini()
CHAT = named("openai-chat")
assert isinstance(CHAT, Codec)


def asked(*parts: dict[str, Any], **members: Any) -> ChatRequest:
    contents = [{"role": "user", "parts": list(parts)}] if parts else []
    return DIALECT.decode_request(json.dumps({"contents": contents, **members}).encode())


def written(request: ChatRequest) -> Any:
    return json.loads(DIALECT.encode_request(request))


def answered(*parts: dict[str, Any], **members: Any) -> ChatResponse:
    candidate = {"content": {"role": "model", "parts": list(parts)}, **members}
    return DIALECT.decode_response(json.dumps({"candidates": [candidate]}).encode())


def event(*parts: dict[str, Any], **members: Any) -> WireEvent:
    data = json.dumps({"candidates": [{"content": {"role": "model", "parts": list(parts)}, **members}]}).encode()
    return WireEvent(b"data: " + data + b"\n\n", None, data)


class TestParts:
    def test_of_every_kind(self) -> None:
        request = asked(
            {"text": "a"},
            {"inlineData": {"mimeType": "image/png", "data": "QQ=="}},
            {"inline_data": {"mime_type": "audio/wav", "data": "QQ=="}},
            {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://a/b.pdf"}},
            {"functionCall": {"name": "f", "args": {"a": 1}, "id": "c"}, "thoughtSignature": "s"},
            {"text": "hm", "thought": True},
            {"executableCode": {"language": "PYTHON", "code": "1"}},
        )
        text, image, sound, file, call, thought, code = request.messages[0].content
        assert isinstance(text, Text)
        assert isinstance(image, Image)
        assert (image.media_type, image.data) == ("image/png", "QQ==")
        assert isinstance(sound, Audio)
        assert sound.format == "wav"
        assert isinstance(file, File)
        assert file.url == "gs://a/b.pdf"
        assert isinstance(call, ToolCall)
        assert (call.id, call.name, call.arguments) == ("c", "f", '{"a":1}')
        assert isinstance(thought, Reasoning)
        assert isinstance(code, ToolCall)
        assert code.server

    def test_what_a_tool_gave_back(self) -> None:
        request = asked({"functionResponse": {"name": "f", "response": {"x": 1}}})
        (message,) = request.messages
        assert message.role == "tool"
        (result,) = message.content
        assert isinstance(result, ToolResult)
        assert result.tool_call_id == "f"
        result.content = [Text(text="found")]
        assert written(request)["contents"][0]["parts"] == [
            {"functionResponse": {"name": "f", "response": {"result": "found"}}}
        ]

    def test_both_spellings_stay_as_they_were(self) -> None:
        request = asked({"inline_data": {"mime_type": "image/png", "data": "QQ=="}}, system_instruction={
            "parts": [{"text": "be kind"}]}, generation_config={"max_output_tokens": 5, "top_p": 0.5})  # fmt: skip
        image = request.messages[1].content[0]
        assert isinstance(image, Image)
        image.data = "QkI="
        request.max_tokens = 6
        assert written(request) == {
            "contents": [{"role": "user", "parts": [{"inline_data": {"mime_type": "image/png", "data": "QkI="}}]}],
            "system_instruction": {"parts": [{"text": "be kind"}]},
            "generation_config": {"max_output_tokens": 6, "top_p": 0.5},
        }

    def test_a_signature_goes_when_what_it_covers_is_changed(self) -> None:
        response = answered(
            {"text": "a", "thoughtSignature": "s", "x": 1},
            {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "s"},
            {"text": "b", "thoughtSignature": "s"},
        )
        text, call, _ = response.choices[0].message.content
        assert isinstance(text, Text)
        assert isinstance(call, ToolCall)
        text.text, call.arguments = "c", '{"a":2}'
        parts = json.loads(DIALECT.encode_response(response))["candidates"][0]["content"]["parts"]
        assert parts == [
            {"text": "c", "x": 1},
            {"functionCall": {"name": "f", "args": {"a": 2}}},
            {"text": "b", "thoughtSignature": "s"},
        ]


class TestRequests:
    def test_the_systems_text_comes_first(self) -> None:
        for system in ({"parts": [{"text": "be kind"}], "role": "user"}, "be kind"):
            request = asked({"text": "a"}, systemInstruction=system)
            assert [message.role for message in request.messages] == ["system", "user"]
            part = request.messages[0].content[0]
            assert isinstance(part, Text)
            part.text = "other"
            said = written(request)["systemInstruction"]
            assert said == ("other" if isinstance(system, str) else {"parts": [{"text": "other"}], "role": "user"})
            del request.messages[0]
            assert "systemInstruction" not in written(request)

    def test_settings(self) -> None:
        request = asked(
            generationConfig={
                "temperature": 0.5, "topP": 0.9, "topK": 4, "maxOutputTokens": 5, "stopSequences": ["x"], "seed": 7,
                "candidateCount": 2, "responseMimeType": "application/json",
                "responseSchema": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}},
                "thinkingConfig": {"thinkingLevel": "LOW", "thinkingBudget": 9},
            },
            toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        )  # fmt: skip
        assert (request.temperature, request.top_p, request.top_k, request.max_tokens) == (0.5, 0.9, 4, 5)
        assert (request.stop, request.seed, request.n) == (["x"], 7, 2)
        assert (request.reasoning_effort, request.reasoning_budget) == ("low", 9)
        assert request.output_format is not None
        assert request.output_format.schema == {"type": "object", "properties": {"a": {"type": "string"}}}
        assert request.tool_choice is not None
        assert (request.tool_choice.mode, request.tool_choice.name) == ("named", "f")

    def test_tools_stay_in_their_objects(self) -> None:
        tools: list[dict[str, Any]] = [
            {"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}, {"name": "g", "x": 1}], "y": 2},
            {"googleSearch": {}},
            {"function_declarations": [{"name": "h", "parameters_json_schema": {"type": "object"}}]},
        ]
        request = asked(tools=tools)
        assert [(tool.name, tool.kind, tool.server) for tool in request.tools] == [
            ("f", "function", False), ("g", "function", False), ("", "googleSearch", True), ("h", "function", False),
        ]  # fmt: skip
        assert written(request)["tools"] == tools
        request.tools[1].description = "new"
        request.tools.append(Tool(name="i", parameters={"type": "object"}))
        assert written(request)["tools"] == [
            {**tools[0], "functionDeclarations": [tools[0]["functionDeclarations"][0],
                                                  {"name": "g", "x": 1, "description": "new"}]},
            tools[1],
            {"function_declarations": [tools[2]["function_declarations"][0],
                                       {"name": "i", "parametersJsonSchema": {"type": "object"}}]},
        ]  # fmt: skip

    def test_a_conversation_of_chat_completions(self) -> None:
        assert isinstance(CHAT, Codec)
        body = {
            "model": "m",
            "max_tokens": 5,
            "stop": ["x"],
            "messages": [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": "look"},
                {"role": "assistant", "content": "well", "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "see", "arguments": '{"a":1}'}},
                    {"id": "d", "type": "function", "function": {"name": "hear", "arguments": "{bad"}}]},
                {"role": "tool", "tool_call_id": "c", "content": '{"cat":true}'},
                {"role": "tool", "tool_call_id": "d", "content": "meow"},
            ],
            "tools": [{"type": "function", "function": {"name": "see", "parameters": {"type": "object"}}}],
            "tool_choice": "required",
        }  # fmt: skip
        assert written(CHAT.decode_request(json.dumps(body).encode())) == {
            "systemInstruction": {"parts": [{"text": "be kind"}]},
            "generationConfig": {"maxOutputTokens": 5, "stopSequences": ["x"]},
            "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
            "contents": [
                {"role": "user", "parts": [{"text": "look"}]},
                {"role": "model", "parts": [{"text": "well"},
                 {"functionCall": {"id": "c", "name": "see", "args": {"a": 1}}},
                 {"functionCall": {"id": "d", "name": "hear", "args": {"value": "{bad"}}}]},
                {"role": "user", "parts": [
                    {"functionResponse": {"id": "c", "name": "see", "response": {"cat": True}}},
                    {"functionResponse": {"id": "d", "name": "hear", "response": {"result": "meow"}}}]},
            ],
            "tools": [{"functionDeclarations": [{"name": "see", "parametersJsonSchema": {"type": "object"}}]}],
        }  # fmt: skip

    @pytest.mark.parametrize("mode", ["auto", "none", "required"])
    def test_tool_choices(self, mode: str) -> None:
        word = {"auto": "AUTO", "none": "NONE", "required": "ANY"}[mode]
        assert written(ChatRequest(tool_choice=ToolChoice(mode=mode)))["toolConfig"] == {
            "functionCallingConfig": {"mode": word}
        }

    @pytest.mark.parametrize("each", [each for each in ALL if each.codec is CHAT], ids=name)
    def test_every_recorded_chat_request_can_be_said(self, each: Exchanged) -> None:
        request = each.codec.decode_request(each.request)
        again = DIALECT.decode_request(DIALECT.encode_request(request))
        before = [part for message in request.messages for part in message.content if isinstance(part, Text)]
        after = [part for message in again.messages for part in message.content if isinstance(part, Text)]
        assert sorted(part.text for part in after if part.text) == sorted(part.text for part in before if part.text)

    @pytest.mark.parametrize("body", [b"[]", b'{"contents":7}', b'{"contents":["x"]}', b'{"contents":[{"parts":{}}]}'])
    def test_of_another_shape_are_refused(self, body: bytes) -> None:
        with pytest.raises(DecodeError):
            DIALECT.decode_request(body)


class TestStreams:
    def test_what_a_chunk_says(self) -> None:
        deltas = DIALECT.decode_event(
            event(
                {"text": "hm", "thought": True},
                {"text": "a"},
                {"functionCall": {"name": "f", "args": {}}},
                {"thoughtSignature": "s"},
                finishReason="STOP",
                index=1,
            )
        )
        assert [(delta.kind, delta.choice, delta.text or delta.name or delta.finish_reason) for delta in deltas] == [
            ("start", 1, None), ("reasoning", 1, "hm"), ("text", 1, "a"), ("tool_call", 1, "{}"), ("signature", 1, "s"),
            ("finish", 1, "tool_calls"),
        ]  # fmt: skip

    def test_a_changed_text_is_patched(self) -> None:
        was = event({"text": "a", "thoughtSignature": "s"}, avgLogprobs=-0.5)
        deltas = DIALECT.decode_event(was)
        deltas[1].text = "b"
        (made,) = framed(DIALECT, DIALECT.encode_event(deltas))
        assert json.loads(made.data or b"") == {
            "candidates": [{"content": {"role": "model", "parts": [{"text": "b"}]}, "avgLogprobs": -0.5}]
        }

    def test_deltas_of_another_api(self) -> None:
        deltas = [
            Delta(kind="start", id="r", model="m"), Delta(kind="text", text="a"),
            Delta(kind="tool_call", id="c", name="f", text='{"a":1}'), Delta(kind="finish", finish_reason="tool_calls"),
        ]  # fmt: skip
        (made,) = framed(DIALECT, DIALECT.encode_event(deltas))
        assert json.loads(made.data or b"") == {
            "candidates": [{
                "content": {"parts": [{"text": "a"}, {"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}}],
                            "role": "model"},
                "index": 0, "finishReason": "STOP"}],
            "responseId": "r", "modelVersion": "m",
        }  # fmt: skip
        assert DIALECT.encode_event([Delta(kind="end")]) == b""

    def test_text_is_joined_but_not_across_signatures(self) -> None:
        events = [
            event({"text": "h", "thought": True}), event({"text": "m", "thought": True}), event({"text": "a"}),
            event({"text": "b"}), event({"text": "c", "thoughtSignature": "s"}),
            event({"text": "d"}, finishReason="STOP"),
        ]  # fmt: skip
        assert DIALECT.streamed_answer(events) == [
            {"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "ab"},
                                        {"text": "c", "thoughtSignature": "s"}, {"text": "d"}]}
        ]  # fmt: skip

    def test_an_object_alone_is_one_event(self) -> None:
        (one, rest) = framed(DIALECT, b' {"error":{}}\n')
        assert (one.raw, one.data, rest.raw, rest.data) == (b' {"error":{}}', b'{"error":{}}', b"\n", None)

    def test_what_was_cut_off_is_read_all_the_same(self) -> None:
        events = framed(DIALECT, b'[{"a":1}\n,{"b":')
        assert [event.data for event in events] == [b'{"a":1}', b'{"b":']
        assert b"".join(event.raw for event in events) == b'[{"a":1}\n,{"b":'

    def test_an_element_over_the_limit_is_refused_after_those_before_it(self) -> None:
        framer = GeminiFramer(limit=50)
        assert len(framer.feed(b'[{"a":1},{"b":"' + b"x" * 60)) == 1
        with pytest.raises(DecodeError):
            framer.feed(b"x")
        (rest,) = framer.finish()
        assert (rest.raw, rest.data) == (b',{"b":"' + b"x" * 61, None)


ARRAYS: dict[str, bytes] = {
    "many objects": b"[" + b"{}," * 300_000 + b"{}]",
    "one string of 4 MB": b'[{"a":"' + b"x" * 4_000_000 + b'"}]',
    "many escapes": b'[{"a":"' + b"\\\\" * 1_000_000 + b'"}]',
    "deep": b"[" * 1_000_000,
    "scalars": b"[" + b'1,"a",' * 300_000 + b"1]",
    "no end": b'[{"a":' + b'{"b":[1,' * 200_000,
}


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("size", [1000, 65536, 10_000_000])
def test_hostile_arrays(array: str, size: int, bars: Bars) -> None:
    def work() -> None:
        framer, tracker, out = GeminiFramer(), DIALECT.tracker(), 0
        body = ARRAYS[array]
        try:
            for start in range(0, len(body), size):
                for one in framer.feed(body[start : start + size]):
                    out += len(one.raw)
                    tracker.event(one)
        except DecodeError:
            return
        assert out + sum(len(one.raw) for one in framer.finish()) == len(body)

    bars.hold(work, slack=max(1.0, len(ARRAYS[array]) / 100_000))


class TestPlaces:
    def test_where_the_text_is(self) -> None:
        one = event(
            {"text": "a"}, {"text": "hm", "thought": True, "thoughtSignature": "s"},
            {"functionCall": {"name": "f", "args": {"x": "y"}}},
            {"executableCode": {"language": "PYTHON", "code": "1"}},
            {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "o"}},
            {"inlineData": {"mimeType": "image/png", "data": "QQ=="}}, finishMessage="m", index=2,
            logprobsResult={"chosenCandidates": [{"token": "a"}]},
            groundingMetadata={"webSearchQueries": ["q"], "groundingSupports": [{"segment": {"text": "a"}}]},
        )  # fmt: skip
        assert [(place.channel, place.role, place.text, place.signed) for place in DIALECT.event_places(one)] == [
            (("text", 2, 0), "delta", "a", False),
            (("reasoning", 2, 0), "delta", "hm", True),
            (("tool_arguments", 2, 2), "delta", '{"x":"y"}', False),
            (("tool_arguments", 2, 3), "delta", "1", False),
            (("tool_result", 2, 4), "delta", "o", False),
            (("other", 2, -1), "delta", "m", False),
            (("text", 2, 0), "echo", "", False),
            (("other", 2, -1), "delta", "q", False),
            (("text", 2, 0), "echo", "a", False),
        ]

    def test_of_a_request(self) -> None:
        body = {
            "systemInstruction": {"parts": [{"text": "a"}]},
            "contents": [{"parts": [{"text": "b"}, {"functionResponse": {"name": "f", "response": {"name": "c"}}}]}],
            "tools": [{"functionDeclarations": [{"name": "f", "description": "d", "parameters": {"type": "OBJECT"}}]}],
            "generationConfig": {"responseMimeType": "application/json", "stopSequences": ["e"]},
            "labels": {"type": "f"},
        }
        assert [(place.channel, place.text) for place in DIALECT.request_places(body)] == [
            (("system", 0, 0), "a"), (("text", 0, 0), "b"), (("tool_result", 0, 1), "c"), (("tool", 0, -1), "d"),
            (("other", 0, -1), "e"), (("other", 0, -1), "f"),
        ]  # fmt: skip

    def test_rewriting(self) -> None:
        one = event(
            {"text": "a", "thoughtSignature": "s"}, {"text": "hm", "thought": True, "thoughtSignature": "s"},
            {"functionCall": {"name": "f", "args": {"x": "y"}}, "thoughtSignature": "s"}, {"text": "b"},
            groundingMetadata={"groundingSupports": [{"segment": {"text": "a"}}]},
        )  # fmt: skip
        texts: dict[Channel, str] = {
            ("text", 0, 0): "c",
            ("reasoning", 0, 0): "no",
            ("tool_arguments", 0, 2): '{"x":1}',
        }
        (made,) = framed(DIALECT, DIALECT.rewrite(one, texts))
        (candidate,) = json.loads(made.data or b"")["candidates"]
        assert candidate["content"]["parts"] == [
            {"text": "c"}, {"text": "", "thought": True}, {"functionCall": {"name": "f", "args": {"x": 1}}},
            {"text": ""},
        ]  # fmt: skip
        assert candidate["groundingMetadata"]["groundingSupports"][0]["segment"]["text"] == ""

    def test_a_rewritten_element_keeps_its_comma(self) -> None:
        one = framed(DIALECT, b'[{"a":1},\n{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}]')[1]
        assert DIALECT.rewrite(one, {("text", 0, 0): "b"}) == (
            b',\n{"candidates":[{"content":{"parts":[{"text":"b"}]}}]}'
        )

    @pytest.mark.parametrize("between", [b"", b'"x",', b'"x"y: 1}],', b"\ndata: x\n,", b'\n,\ndata: {"x":\ndata:'])
    @pytest.mark.parametrize("space", [b"", b"\n"])
    def test_an_element_is_rewritten_whatever_stands_before_it(self, between: bytes, space: bytes) -> None:
        element = b'{"candidates":[{"content":%s{"parts":[{"text":"a"}]}}]}' % space
        one = WireEvent(b"," + between + element, None, element)
        made = DIALECT.rewrite(one, {("text", 0, 0): "b"})
        assert b'{"candidates":[{"content":{"parts":[{"text":"b"}]}}]}' in made
        assert b'"a"' not in made

    @pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\nid: 1\n\n"])
    @pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b": hi\n", b"{x\n", b"id: 1\r\n"])
    def test_a_rewritten_event_stays_a_server_sent_one(self, start: bytes, end: bytes) -> None:
        said = b'data: {"candidates":[{"content":{"parts":[{"text":"%s"}]}}]}'
        one = WireEvent(start + said % b"a" + end, None, (said % b"a").removeprefix(b"data: "))
        made = DIALECT.rewrite(one, {("text", 0, 0): "b"})
        assert made == start + said % b"b" + (end or b"\n\n")


def test_reasoning_of_another_maker_is_an_answers_alone() -> None:
    thought = Reasoning(text="hm", signature="s", origin="anthropic-messages", raw={"type": "thinking"})
    message = Message(role="assistant", content=[thought, Text(text="a")])
    assert written(ChatRequest(messages=[message]))["contents"] == [{"role": "model", "parts": [{"text": "a"}]}]
    response = ChatResponse(choices=[Choice(message=message, finish_reason="length")])
    (candidate,) = json.loads(DIALECT.encode_response(response))["candidates"]
    assert candidate["content"]["parts"] == [{"text": "hm", "thought": True}, {"text": "a"}]
    assert candidate["finishReason"] == "MAX_TOKENS"


def test_a_prompt_and_its_answer_as_the_api_writes_them() -> None:
    body = json.dumps({"systemInstruction": "be kind", "contents": [{"parts": []}], "tools": [{"googleSearch": {}}]})
    assert DIALECT.prompt(body.encode()) == (
        [{"parts": [{"text": "be kind"}], "role": "system"}, {"parts": []}], [{"googleSearch": {}}],
    )  # fmt: skip
    assert DIALECT.answer(b'{"candidates":[{"content":{"parts":[]}},{}]}') == [{"parts": []}]
