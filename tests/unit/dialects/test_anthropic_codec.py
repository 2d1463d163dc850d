"""Requests, responses and events of the Messages API survive the way through the canonical model."""

from __future__ import annotations

import json
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dialects.anthropic_recordings import ALL, DIALECT, STREAMS, Recorded, events_of, name, sse

from interlay.model.errors import DecodeError
from interlay.model.messages import (
    ChatRequest,
    ChatResponse,
    Choice,
    File,
    Image,
    Message,
    Node,
    Opaque,
    OutputFormat,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from interlay.model.usage import Usage

Json = Any


def read(data: bytes) -> Json:
    """JSON with the order of its keys: dictionaries compare equal in any."""
    return json.loads(data, object_pairs_hook=lambda pairs: ("object", pairs))


# --- the same JSON comes out -------------------------------------------------------------------------------


words = st.text(max_size=8)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | words
)
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(words, v, max_size=3), max_leaves=5)
extras = st.dictionaries(
    st.sampled_from(["new_field", "cache_control", "citations", "caller", "is_error"]), values, max_size=2
)


def an(kind: str, **fields: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    """A block of a kind whose fields may be missing, of any type, and joined by unknown ones."""
    known = st.fixed_dictionaries({}, optional={key: value | values for key, value in fields.items()})
    return st.builds(lambda a, b: {"type": kind, **a, **b}, known, extras)


source = st.fixed_dictionaries(
    {"type": st.sampled_from(["base64", "url", "file", "text", "content", "odd"])},
    optional={"data": words, "media_type": words, "url": words, "file_id": words, "content": words | values},
)
leaf = (
    an("text", text=words)
    | an("image", source=source)
    | an("document", source=source, title=words, context=words)
    | an("tool_use", id=words, name=words, input=st.dictionaries(words, values, max_size=3))
    | an("server_tool_use", id=words, name=words, input=st.dictionaries(words, values, max_size=3))
    | an("thinking", thinking=words, signature=words)
    | an("redacted_thinking", data=words)
    | an("web_search_tool_result", tool_use_id=words, content=values)
    | an("search_result", title=words)
    | st.dictionaries(words, values, max_size=3)
)
content = st.lists(leaf | an("tool_result", tool_use_id=words, content=words | st.lists(leaf, max_size=2)), max_size=4)
message = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "system"]),
        "content": words | content | st.none(),
        "x": values,
    },
)
tool = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("name", "type", "description", "input_schema", "strict", "cache_control"), words | values),
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "model": words | values,
        "messages": st.lists(message, max_size=4) | st.none(),
        "system": words | content | st.none(),
        "tools": st.lists(tool, max_size=3) | st.none(),
        "tool_choice": st.fixed_dictionaries({"type": st.sampled_from(["auto", "any", "tool", "none"]) | values})
        | values,
        "thinking": st.fixed_dictionaries({"type": words | st.just("disabled")}, optional={"budget_tokens": values}),
        "output_config": values | st.fixed_dictionaries({}, optional={"effort": words, "format": values}),
        "output_format": values,
        "metadata": values | st.fixed_dictionaries({"user_id": words}),
        **dict.fromkeys(("max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "stream", "new"), values),
    },
)


@given(requests)
def test_any_request_that_can_be_read_comes_out_as_it_went_in(request: Json) -> None:
    body = json.dumps(request).encode()
    assert read(DIALECT.encode_request(DIALECT.decode_request(body))) == read(body)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "id": values,
            "content": content | words | st.none(),
            "usage": values | st.dictionaries(st.sampled_from(["input_tokens", "output_tokens", "x"]), values),
            **dict.fromkeys(("role", "model", "stop_reason", "stop_sequence", "container", "new"), values),
        },
    )
)
def test_any_response_that_can_be_read_comes_out_as_it_went_in(response: Json) -> None:
    body = json.dumps(response).encode()
    assert read(DIALECT.encode_response(DIALECT.decode_response(body))) == read(body)


@given(
    st.builds(
        lambda kind, rest: {"type": kind, **rest},
        st.sampled_from(["message_start", "content_block_start", "content_block_delta", "message_delta", "error", "x"]),
        st.fixed_dictionaries(
            {},
            optional={
                "index": st.integers(-5, 5) | values,
                "message": values
                | st.fixed_dictionaries({}, optional={"id": words, "usage": values, "content": content}),
                "content_block": leaf | values,
                "delta": st.fixed_dictionaries(
                    {},
                    optional={
                        "type": st.sampled_from(["text_delta", "input_json_delta", "citations_delta", "new_delta"]),
                        **dict.fromkeys(("text", "partial_json", "citation", "stop_reason"), words | values),
                    },
                ),
                "usage": values | st.dictionaries(st.sampled_from(["output_tokens", "x"]), values),
                "new": values,
            },
        ),
    )
)
def test_any_event_that_says_something_comes_out_as_it_went_in(event: Json) -> None:
    [given_event] = sse(event)
    deltas = DIALECT.decode_event(given_event)
    if deltas:
        [back] = events_of(DIALECT.encode_event(deltas))
        assert (back.name, read(back.data or b"")) == (event["type"], read(given_event.data or b""))


# --- what a layer changes is patched in, and nothing else ---------------------------------------------------


def test_a_changed_text_is_all_that_changes() -> None:
    body = b"""{"new": 1, "messages": [{"role": "user", "content": [
        {"type": "text", "text": "my key is hunter22", "cache_control": {"type": "ephemeral"}, "x": [1.50, {}]},
        {"type": "later_kind", "y": 1}]}, {"role": "user", "content": "hunter22"}], "max_tokens": 5}"""
    request = DIALECT.decode_request(body)
    for message_ in request.messages:
        for part in message_.content:
            if isinstance(part, Text):
                part.text = part.text.replace("hunter22", "[1]")
    assert read(DIALECT.encode_request(request)) == read(body.replace(b"hunter22", b"[1]"))


def test_changed_settings_are_patched_beside_unknown_ones() -> None:
    body = (
        b'{"thinking":{"type":"enabled","budget_tokens":2000,"display":"omitted"},"tool_choice":{"type":"any","x":1}}'
    )
    request = DIALECT.decode_request(body)
    assert request.tool_choice is not None
    request.reasoning_budget, request.tool_choice.mode, request.temperature = 1024, "auto", 0.5
    assert json.loads(DIALECT.encode_request(request)) == {
        "thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"},
        "tool_choice": {"type": "auto", "x": 1},
        "temperature": 0.5,
    }


def test_changed_arguments_become_the_input_object() -> None:
    body = b'{"content":[{"type":"tool_use","id":"t","name":"f","input":{"b":1.0,"a":2},"caller":{"type":"direct"}}]}'
    response = DIALECT.decode_response(body)
    call = response.choices[0].message.content[0]
    assert isinstance(call, ToolCall)
    assert call.arguments == '{"b":1.0,"a":2}'
    call.arguments = '{"b": 3}'
    [block] = json.loads(DIALECT.encode_response(response))["content"]
    assert block == {"type": "tool_use", "id": "t", "name": "f", "input": {"b": 3}, "caller": {"type": "direct"}}


def test_structured_output_stays_where_the_request_had_it() -> None:
    schema = {"type": "json_schema", "schema": {"type": "object"}}
    for body in ({"output_format": schema}, {"output_config": {"format": schema, "effort": "low"}}):
        request = DIALECT.decode_request(json.dumps(body).encode())
        assert request.output_format is not None
        request.output_format.schema = {"type": "string"}
        changed = json.loads(DIALECT.encode_request(request))
        assert changed == json.loads(json.dumps(body).replace('"object"', '"string"'))


def test_a_message_that_a_layer_adds_is_written_beside_those_that_were_there() -> None:
    request = DIALECT.decode_request(b'{"system":"be kind","messages":[{"role":"user","content":"hi","x":1}]}')
    request.messages.append(Message(role="assistant", content=[Text(text="hello")]))
    request.messages.insert(0, Message(role="system", content=[Text(text="be brief")]))
    assert json.loads(DIALECT.encode_request(request)) == {
        "system": [{"type": "text", "text": "be brief"}, {"type": "text", "text": "be kind"}],
        "messages": [{"role": "user", "content": "hi", "x": 1}, {"role": "assistant", "content": "hello"}],
    }


# --- pain 26: thinking and its signature -------------------------------------------------------------------

SIGNED = {"type": "thinking", "thinking": "é\u2028 ok\n", "signature": "Eq8CCkYICxgCKkD/+=", "later": {"z": [1, 2.5]}}
SEALED = {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix/LafPsn4a"}


def test_pain_26_signed_blocks_pass_unchanged_and_in_place() -> None:
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "secret"}
    body = {
        "messages": [
            {"role": "assistant", "content": [SIGNED, SEALED, {"type": "text", "text": "x"}, call]},
            {"role": "user", "content": [result]},
        ]
    }
    request = DIALECT.decode_request(json.dumps(body).encode())
    returned = request.messages[1].content[0]
    assert isinstance(returned, ToolResult)
    assert isinstance(returned.content[0], Text)
    returned.content[0].text = "[1]"
    again = json.loads(DIALECT.encode_request(request))["messages"]
    assert json.dumps(again[0]) == json.dumps(body["messages"][0])
    assert again[1]["content"][0]["content"] == "[1]"


def test_pain_26_a_signed_block_survives_a_stream_byte_for_byte() -> None:
    for recorded in STREAMS:
        signatures = [
            json.loads(e.data or b"{}")["delta"]["signature"]
            for e in events_of(recorded.answer)
            if b"signature_delta" in (e.data or b"")
        ]
        content_ = DIALECT.assemble(events_of(recorded.answer)).choices[0].message.content
        assert [p.signature for p in content_ if isinstance(p, Reasoning)] == signatures


def test_reasoning_of_another_maker_is_not_passed_off_as_signed_here() -> None:
    theirs = Reasoning(text="hm", signature="abc", origin="gemini", raw={"thought": True})
    request = ChatRequest(messages=[Message(role="assistant", content=[theirs, Text(text="yes")])])
    assert json.loads(DIALECT.encode_request(request))["messages"] == [
        {"role": "assistant", "content": [{"type": "text", "text": "yes"}]}
    ]


# --- written from the canonical fields alone ---------------------------------------------------------------


def bare(node: Any) -> Any:
    """A node without what the wire had, but for parts that are nothing else."""
    if isinstance(node, list):
        return [bare(item) for item in node]
    if not isinstance(node, Node) or isinstance(node, Opaque):
        return node
    fields = {field: bare(getattr(node, field)) for field in node.__struct_fields__}
    return type(node)(**{**fields, "raw": None})


def normal(request: Json) -> Json:
    """What is said otherwise, or not at all, when a request is written anew.

    ``null`` and ``stream: false`` are what absence says; a string is one block of text; ``is_error: false`` is the
    default; system text between turns moves to the top; turns of one role in a row are one; what the provider's own
    tools did, and settings that have no canonical field, are not said.
    """
    if isinstance(request, list):
        return [normal(item) for item in request]
    if not isinstance(request, dict):
        return request
    plain = {key: normal(value) for key, value in request.items() if value is not None}
    for key in ("content", "system"):
        if isinstance(plain.get(key), str):
            plain[key] = [{"type": "text", "text": plain[key]}]
    if isinstance(plain.get("messages"), list):
        between = [m["content"] for m in plain["messages"] if m["role"] == "system"]
        turns = groupby((m for m in plain["messages"] if m["role"] != "system"), itemgetter("role"))
        plain["messages"] = [
            {"role": role, "content": list(chain.from_iterable(m["content"] for m in same))} for role, same in turns
        ]
        if between:
            plain["system"] = plain.get("system", []) + list(chain.from_iterable(between))
    if isinstance(plain.get("content"), list):
        plain["content"] = [
            block
            for block in plain["content"]
            if not (block["type"] == "server_tool_use" or block["type"].endswith("_tool_result"))
        ]
    if plain.get("type") == "document":
        plain.pop("citations", None)
    for key, value in (("stream", False), ("is_error", False)):
        if plain.get(key) is value:
            del plain[key]
    for key in ("defer_loading",):
        plain.pop(key, None)
    return plain


@pytest.mark.parametrize("recorded", ALL, ids=name)
def test_a_request_written_anew_says_the_same(recorded: Recorded) -> None:
    anew = DIALECT.encode_request(bare(DIALECT.decode_request(recorded.request)))
    assert normal(json.loads(anew)) == normal(recorded.asked)


def test_a_request_of_another_api_is_fitted_to_this_one() -> None:
    call = ToolCall(id="c1", name="f", arguments='{"a": 1}')
    odd = ToolCall(id="c2", name="g", arguments="{not json")
    request = ChatRequest(
        origin="openai-chat",
        raw={"n": 2},
        messages=[
            Message(role="system", content=[Text(text="one")]),
            Message(role="user", content=[Text(text="look"), Image(data="iVBO", media_type="image/png")]),
            Message(role="developer", content=[Text(text="two")]),
            Message(role="assistant", content=[Text(text=""), call, odd]),
            Message(role="tool", content=[ToolResult(tool_call_id="c1", content=[Text(text="r1")])]),
            Message(role="tool", content=[ToolResult(tool_call_id="c2", content=[Text(text="r2")], is_error=True)]),
            Message(role="user", content=[Text(text="and?"), File(data="JVBE", filename="a.pdf")]),
        ],
        tools=[
            Tool(name="f", parameters={"type": "object"}),
            Tool(name="", kind="web_search_preview", origin="openai-chat"),
        ],
        tool_choice=ToolChoice(mode="required", parallel=False),
        output_format=OutputFormat(kind="json_schema", name="n", schema={"type": "object"}),
        reasoning_effort="minimal",
        service_tier="flex",
        stop=["END"],
        seed=7,
    )
    assert json.loads(DIALECT.encode_request(request)) == {
        "max_tokens": 4096,
        "stop_sequences": ["END"],
        "system": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "look"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
                    {"type": "tool_use", "id": "c2", "name": "g", "input": {"INVALID_JSON": "{not json"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "r1"},
                    {"type": "tool_result", "tool_use_id": "c2", "content": "r2", "is_error": True},
                    {"type": "text", "text": "and?"},
                    {
                        "type": "document",
                        "title": "a.pdf",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
                    },
                ],
            },
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
    }


def test_a_response_of_another_api_is_a_whole_message_here() -> None:
    said = Message(role="assistant", content=[Text(text="hi"), ToolCall(id="c", name="f", arguments="")])
    response = ChatResponse(
        id="chatcmpl-1",
        model="m",
        choices=[Choice(message=said, finish_reason="tool_calls", provider_finish_reason="tool_calls")],
        usage=Usage(input_tokens=10, output_tokens=4, cache_read_tokens=6, reasoning_tokens=1),
    )
    assert json.loads(DIALECT.encode_response(response)) == {
        "id": "chatcmpl-1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "hi"}, {"type": "tool_use", "id": "c", "name": "f", "input": {}}],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 4,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 6,
            "output_tokens": 4,
            "output_tokens_details": {"thinking_tokens": 1},
        },
    }


# --- what was read ------------------------------------------------------------------------------------------


def test_every_part_is_read_into_its_canonical_form() -> None:
    blocks = [
        {"type": "text", "text": "t", "citations": [{"type": "char_location", "cited_text": "c"}]},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}, "cache_control": {"type": "ephemeral"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
            "title": "T",
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}, "context": "C"},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "in"}]}},
        {
            "type": "tool_result",
            "tool_use_id": "t",
            "content": [{"type": "image", "source": {"type": "url", "url": "u"}}],
        },
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}},
        {
            "type": "web_search_tool_result",
            "tool_use_id": "s",
            "content": [{"type": "web_search_result", "title": "r"}],
        },
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "container_upload", "file_id": "f"},
    ]
    body = json.dumps({"messages": [{"role": "user", "content": blocks}]}).encode()
    parts = [bare(part) for part in DIALECT.decode_request(body).messages[0].content]
    for part in parts:
        if not isinstance(part, Opaque):
            part.origin = None
    assert parts[:7] == [
        Text(text="t", citations=[{"type": "char_location", "cited_text": "c"}]),
        Image(data="iVBO", media_type="image/png"),
        Image(url="https://x/y.png"),
        Image(file_id="file_1", cache_control={"type": "ephemeral"}),
        File(data="JVBE", media_type="application/pdf", title="T"),
        File(data="words", media_type="text/plain", context="C"),
        File(blocks=[Text(text="in", origin="anthropic-messages")]),
    ]
    assert parts[7].content == [Image(url="u", origin="anthropic-messages")]
    assert parts[8] == ToolCall(id="s", name="web_search", arguments='{"query": "q"}', server=True)
    assert (parts[9].server, parts[9].tool_call_id, type(parts[9].content[0])) == (True, "s", Opaque)
    assert parts[10] == Reasoning(encrypted="xyz")
    assert isinstance(parts[11], Opaque)


@pytest.mark.parametrize(
    ("word", "canonical"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "pause_turn"),
        (None, None),
    ],
)
def test_stop_reasons(word: str | None, canonical: str | None) -> None:
    body = json.dumps({"content": [], "stop_reason": word, "stop_sequence": None}).encode()
    choice = DIALECT.decode_response(body).choices[0]
    assert (choice.finish_reason, choice.provider_finish_reason) == (canonical, word)
    anew = bare(DIALECT.decode_response(body))
    assert json.loads(DIALECT.encode_response(anew))["stop_reason"] == word


def test_a_finish_reason_that_a_layer_changed_is_the_one_that_is_written() -> None:
    response = DIALECT.decode_response(b'{"content":[],"stop_reason":"end_turn"}')
    response.choices[0].finish_reason = "content_filter"
    assert json.loads(DIALECT.encode_response(response))["stop_reason"] == "refusal"


def test_settings_are_read() -> None:
    request = DIALECT.decode_request(
        b'{"model":"m","max_tokens":9,"temperature":1,"top_p":0.5,"top_k":3,"stop_sequences":["a"],"stream":true,'
        b'"metadata":{"user_id":"u"},"service_tier":"auto","thinking":{"type":"enabled","budget_tokens":1024},'
        b'"output_config":{"effort":"high"},"tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},'
        b'"tools":[{"name":"f","description":"d","input_schema":{},"strict":true},{"type":"web_search_20250305","name":"web_search"}]}'
    )
    assert (request.model, request.max_tokens, request.temperature, request.top_p, request.top_k) == ("m", 9, 1, 0.5, 3)
    assert (request.stop, request.stream, request.user, request.service_tier) == (["a"], True, "u", "auto")
    assert (request.reasoning_budget, request.reasoning_effort) == (1024, "high")
    assert request.tool_choice is not None
    assert (request.tool_choice.mode, request.tool_choice.name, request.tool_choice.parallel) == ("named", "f", False)
    assert [(tool.name, tool.kind, tool.server, tool.strict) for tool in request.tools] == [
        ("f", "function", False, True),
        ("web_search", "web_search_20250305", True, None),
    ]
    assert DIALECT.decode_request(b'{"thinking":{"type":"disabled"}}').reasoning_budget == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"{", b'{"messages":{}}', b'{"messages":[1]}', b'{"messages":[{"content":1}]}',
     b'{"tools":[1]}', b'{"messages":[{"content":["x"]}]}', b'{"system":5}', b"\xff", b'{"a":NaN}'],
)  # fmt: skip
def test_a_request_of_another_shape_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        DIALECT.decode_request(body)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"type":"error","error":{}}', b'{"content":5}', b'{"content":[[]]}'])
def test_a_response_of_another_shape_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        DIALECT.decode_response(body)
