from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.unit.dialects.exchanges import bare
from tests.unit.dialects.openai_recordings import ALL, DIALECT, Recorded, name

from interlay.model.errors import DecodeError
from interlay.model.messages import (
    AnyPart,
    Audio,
    ChatRequest,
    ChatResponse,
    Choice,
    File,
    Image,
    Message,
    Opaque,
    OutputFormat,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from interlay.model.usage import Usage


def decoded(**body: Any) -> ChatRequest:
    return DIALECT.decode_request(json.dumps(body).encode())


def encoded(request: ChatRequest) -> dict[str, Any]:
    wire: dict[str, Any] = json.loads(DIALECT.encode_request(request))
    return wire


def turn(**members: Any) -> Message:
    return decoded(messages=[members]).messages[0]


def parts_of(*content: dict[str, Any]) -> list[AnyPart]:
    return turn(role="user", content=list(content)).content


def normalised(request: dict[str, Any]) -> dict[str, Any]:
    """What a request is when it is written anew: newest names, shortest forms, nothing that we do not know."""
    unknown = ("stream_options", "moderation", "modalities", "audio", "web_search_options", "thinking")
    wire = {key: value for key, value in request.items() if key not in unknown}
    if wire.get("stream") is False:
        del wire["stream"]
    if "max_tokens" in wire:
        wire["max_completion_tokens"] = wire.pop("max_tokens")
    if isinstance(wire.get("stop"), str):
        wire["stop"] = [wire["stop"]]
    if "reasoning" in wire:
        wire["reasoning_effort"] = wire.pop("reasoning")["effort"]
    if "functions" in wire:
        wire["tools"] = [{"type": "function", "function": function} for function in wire.pop("functions")]
    if "tools" in wire:
        wire["tools"] = [{key: tool[key] for key in ("type", "function") if key in tool} for tool in wire["tools"]]
    wire["messages"] = [dict(message) for message in wire["messages"]]
    for message in wire["messages"]:
        content = message.get("content")
        if not content:
            message["content"] = None if message.get("tool_calls") else ""
        elif isinstance(content, list) and len(content) == 1 and content[0].keys() == {"type", "text"}:
            message["content"] = content[0]["text"]
    return wire


@pytest.mark.parametrize("recorded", ALL, ids=name)
def test_a_request_written_anew_says_the_same(recorded: Recorded) -> None:
    assert encoded(bare(decoded(**recorded.request))) == normalised(recorded.request)


class TestParts:
    def test_text(self) -> None:
        assert bare(turn(role="user", content="hi").content) == [Text(text="hi")]
        marked = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}
        assert bare(parts_of(marked)) == [Text(text="hi", cache_control={"type": "ephemeral"})]

    def test_images(self) -> None:
        assert bare(
            parts_of(
                {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "data:image/gif;base64,QUJD"}},
                {"type": "image_url", "image_url": "https://x.test/b.png"},
            )
        ) == [
            Image(url="https://x.test/a.png", detail="low"),
            Image(data="QUJD", media_type="image/gif"),
            Image(url="https://x.test/b.png"),
        ]

    def test_sound_and_files(self) -> None:
        assert bare(
            parts_of(
                {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,QUJD", "filename": "a.pdf"}},
                {"type": "file", "file": {"file_id": "file-1"}},
            )
        ) == [
            Audio(data="QUJD", format="wav"),
            File(data="QUJD", media_type="application/pdf", filename="a.pdf"),
            File(file_id="file-1"),
        ]

    @pytest.mark.parametrize(
        "part",
        [{"type": "video_url", "video_url": {"url": "x"}}, {"type": "text", "text": 5}, {}, {"type": ["text"]},
         {"type": "image_url", "image_url": None}, {"type": "reference", "reference_ids": [1]}],
        ids=repr,
    )  # fmt: skip
    def test_the_unknown_passes_through(self, part: dict[str, Any]) -> None:
        request = decoded(messages=[{"role": "user", "content": [part, {"type": "text", "text": "a"}]}])
        assert request.messages[0].content[0] == Opaque(raw=part, origin="openai-chat")
        assert encoded(request)["messages"][0]["content"][0] == part

    def test_tool_calls_and_results(self) -> None:
        call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1'}}
        custom = {"id": "c2", "type": "custom", "custom": {"name": "code", "input": "print()"}}
        request = decoded(
            messages=[
                {"role": "assistant", "content": None, "tool_calls": [call, custom]},
                {"role": "tool", "tool_call_id": "c1", "content": "found"},
            ]
        )
        assert bare(request.messages[0].content) == [
            ToolCall(id="c1", name="look", arguments='{"a": 1'),
            ToolCall(id="c2", name="code", arguments="print()"),
        ]
        assert bare(request.messages[1].content) == [ToolResult(tool_call_id="c1", content=[Text(text="found")])]

    def test_reasoning_by_every_name(self) -> None:
        for members in (
            {"reasoning_content": "why"},
            {"reasoning": "why"},
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "wh"}, {"type": "text", "text": "y"}]}
                ]
            },
        ):
            assert bare(turn(role="assistant", **members).content) == [Reasoning(text="why")]

    def test_reasoning_details_are_not_said_twice(self) -> None:
        details = [
            {"type": "reasoning.text", "text": "why", "signature": "s", "format": "f"},
            {"type": "reasoning.encrypted", "data": "xyz", "id": "r"},
        ]
        message = turn(role="assistant", content="a", reasoning="why", reasoning_details=details)
        assert bare(message.content) == [
            Reasoning(text="why", signature="s"),
            Reasoning(encrypted="xyz"),
            Text(text="a"),
        ]

    def test_refusals_sound_and_annotations_of_an_answer(self) -> None:
        cited = [{"type": "url_citation", "url_citation": {"url": "u"}}]
        audio = {"id": "a1", "data": "QUJD", "transcript": "hi", "expires_at": 5}
        message = turn(role="assistant", content="x", refusal="no", audio=audio, annotations=cited)
        assert bare(message.content) == [
            Text(text="x", citations=cited),
            Refusal(text="no"),
            Audio(id="a1", data="QUJD", transcript="hi", expires_at=5),
        ]


class TestRequests:
    def test_parameters(self) -> None:
        request = decoded(
            model="m", messages=[], max_tokens=5, stop="x", tool_choice={"type": "function", "function": {"name": "f"}},
            parallel_tool_calls=False, stream=True, seed=0, temperature=0, reasoning_effort="low",
            response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}, "strict": True}},
            tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}, {"type": "web_search", "x": 1}],
        )  # fmt: skip
        assert (request.max_tokens, request.stop, request.seed, request.temperature) == (5, ["x"], 0, 0)
        assert (request.stream, request.reasoning_effort) == (True, "low")
        assert bare(request.tool_choice) == ToolChoice(mode="named", name="f", parallel=False)
        assert bare(request.output_format) == OutputFormat(kind="json_schema", name="n", schema={"a": 1}, strict=True)
        assert bare(request.tools) == [
            Tool(name="f", parameters={}),
            Tool(name="", kind="web_search", server=True),
        ]

    @pytest.mark.parametrize(
        "body",
        [
            b"[]", b"1", b"{", b'{"messages":{}}', b'{"messages":[1]}', b'{"messages":[{"content":5}]}',
            b'{"messages":[{"content":[1]}]}', b'{"messages":[{"tool_calls":[1]}]}', b'{"tools":{"a":1}}',
        ],
    )  # fmt: skip
    def test_other_shapes_are_refused(self, body: bytes) -> None:
        with pytest.raises(DecodeError):
            DIALECT.decode_request(body)


BODY: dict[str, Any] = {
    "x_first": {"kept": [1.5]},
    "model": "m",
    "messages": [
        {"role": "system", "content": "be good", "x": 1},
        {"role": "user", "content": [{"type": "text", "text": "hi", "x": 2}, {"type": "weird", "y": 3}]},
        {"role": "assistant", "content": None, "reasoning_content": "why", "tool_calls": [
            {"id": "c1", "type": "function", "x": 4, "function": {"name": "f", "arguments": "{}", "x": 5}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "found", "x": 6},
    ],
    "max_tokens": 5,
    "stop": "end",
    "response_format": {"type": "json_schema", "x": 7, "json_schema": {"name": "n", "schema": {"a": 1}, "x": 8}},
    "tools": [{"type": "function", "x": 9, "function": {"name": "f", "x": 10}}],
    "stream_options": {"include_usage": True},
}  # fmt: skip


class TestPatching:
    """What was changed is changed, and nothing else."""

    @pytest.mark.parametrize(
        ("change", "at", "value"),
        [
            (lambda r: setattr(r, "model", "n"), ("model",), "n"),
            (lambda r: setattr(r, "max_tokens", 7), ("max_tokens",), 7),
            (lambda r: setattr(r, "stop", ["fin"]), ("stop",), "fin"),
            (lambda r: setattr(r, "stop", ["a", "b"]), ("stop",), ["a", "b"]),
            (lambda r: setattr(r.messages[0].content[0], "text", "be"), ("messages", 0, "content"), "be"),
            (lambda r: setattr(r.messages[1].content[0], "text", "yo"), ("messages", 1, "content", 0, "text"), "yo"),
            (lambda r: setattr(r.messages[1], "name", "me"), ("messages", 1, "name"), "me"),
            (lambda r: setattr(r.messages[2].content[0], "text", "so"), ("messages", 2, "reasoning_content"), "so"),
            (
                lambda r: setattr(r.messages[2].content[1], "arguments", "[]"),
                ("messages", 2, "tool_calls", 0, "function", "arguments"),
                "[]",
            ),
            (lambda r: setattr(r.messages[3].content[0].content[0], "text", "n"), ("messages", 3, "content"), "n"),
            (lambda r: setattr(r.messages[3].content[0], "tool_call_id", "c2"), ("messages", 3, "tool_call_id"), "c2"),
            (lambda r: setattr(r.output_format, "strict", True), ("response_format", "json_schema", "strict"), True),
            (lambda r: setattr(r.tools[0], "description", "d"), ("tools", 0, "function", "description"), "d"),
            (lambda r: setattr(r, "temperature", 0.5), ("temperature",), 0.5),
        ],
    )  # fmt: skip
    def test_of_one_member(self, change: Any, at: tuple[Any, ...], value: object) -> None:
        request = decoded(**BODY)
        change(request)
        wanted = json.loads(json.dumps(BODY))
        holder = wanted
        for step in at[:-1]:
            holder = holder[step]
        holder[at[-1]] = value
        assert encoded(request) == wanted

    def test_what_is_unset_goes(self) -> None:
        request = decoded(**BODY)
        request.max_tokens = request.output_format = None
        request.stop = []
        wanted = {key: value for key, value in BODY.items() if key not in ("max_tokens", "response_format", "stop")}
        assert encoded(request) == wanted

    def test_messages_come_and_go(self) -> None:
        request = decoded(**BODY)
        del request.messages[2:]
        request.messages.append(Message(role="user", content=[Text(text="more")]))
        assert encoded(request)["messages"] == [*BODY["messages"][:2], {"role": "user", "content": "more"}]

    def test_the_request_itself_is_not_touched(self) -> None:
        request = decoded(**BODY)
        copy = msgspec.json.encode(request)
        DIALECT.encode_request(request)
        assert msgspec.json.encode(request) == copy

    def test_repeated_reasoning_is_rewritten_with_its_details(self) -> None:
        details = [{"type": "reasoning.text", "text": "why", "x": 1}]
        message = {"role": "assistant", "content": "a", "reasoning": "why", "reasoning_details": details}
        request = decoded(messages=[message])
        part = request.messages[0].content[0]
        assert isinstance(part, Reasoning)
        part.text = "so"
        assert encoded(request)["messages"] == [
            {**message, "reasoning": "so", "reasoning_details": [{"type": "reasoning.text", "text": "so", "x": 1}]}
        ]

    def test_of_a_response(self) -> None:
        body = {
            "id": "r", "x": 1,
            "choices": [{"index": 0, "finish_reason": "eos", "seed": 3, "message": {"content": "a", "x": 2}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "x": 4},
        }  # fmt: skip
        response = DIALECT.decode_response(json.dumps(body).encode())
        choice = response.choices[0]
        assert (choice.finish_reason, choice.provider_finish_reason) == ("stop", "eos")
        choice.message.content = [Text(text="b")]
        choice.finish_reason = "content_filter"
        wanted = json.loads(json.dumps(body))
        wanted["choices"][0]["message"]["content"] = "b"
        wanted["choices"][0]["finish_reason"] = "content_filter"
        assert json.loads(DIALECT.encode_response(response)) == wanted


class TestFromOtherDialects:
    """A conversation as Anthropic's codec decodes it, written for this API."""

    def test_results_become_messages_of_their_own(self) -> None:
        other: dict[str, Any] = {"raw": {"type": "x"}, "origin": "anthropic-messages"}
        request = ChatRequest(
            model="m",
            messages=[
                Message(role="system", content=[Text(text="be good", **other)]),
                Message(
                    role="assistant",
                    content=[
                        Reasoning(text="why", signature="sig", **other),
                        Text(text="looking", **other),
                        ToolCall(id="c1", name="f", arguments="{}", **other),
                        ToolCall(id="c2", name="web_search", arguments="{}", server=True, **other),
                        Opaque(**other),
                    ],
                    **other,
                ),
                Message(
                    role="user",
                    content=[
                        ToolResult(
                            tool_call_id="c1", content=[Text(text="found", **other), Image(data="QQ==")], **other
                        ),
                        Text(text="and?", **other),
                    ],
                    **other,
                ),
            ],
            **other,
        )
        assert encoded(request) == {
            "model": "m",
            "messages": [
                {"role": "system", "content": "be good"},
                {
                    "role": "assistant",
                    "content": "looking",
                    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "found"},
                {"role": "user", "content": "and?"},
            ],
        }

    def test_an_answer_keeps_the_text_of_reasoning(self) -> None:
        other: dict[str, Any] = {"raw": {"type": "x"}, "origin": "anthropic-messages"}
        content: list[AnyPart] = [Reasoning(text="why", signature="sig", **other), Text(text="a", **other)]
        response = ChatResponse(
            id="r",
            model="m",
            choices=[Choice(message=Message(role="assistant", content=content), finish_reason="stop")],
            usage=Usage(input_tokens=3, output_tokens=2, cache_read_tokens=1),
            **other,
        )
        body = DIALECT.encode_response(response)
        assert json.loads(body)["choices"] == [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "a", "reasoning_content": "why", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ]
        again = DIALECT.decode_response(body)
        assert again.usage is not None
        assert (again.usage.input_tokens, again.usage.output_tokens, again.usage.cache_read_tokens) == (3, 2, 1)

    def test_documents(self) -> None:
        content: list[AnyPart] = [
            File(data="plain", media_type="text/plain"),
            File(data="QUJD", media_type="application/pdf", title="t"),
            File(url="https://x.test/a.pdf"),
        ]
        request = ChatRequest(messages=[Message(role="user", content=content)])
        assert encoded(request)["messages"][0]["content"] == [
            {"type": "text", "text": "plain"},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,QUJD"}},
        ]
