"""Where text stands in the Messages API, and how it is replaced."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dialects.anthropic_recordings import (
    ALL,
    DIALECT,
    STREAMS,
    Recorded,
    events_of,
    name,
    sse,
)

from interlay.dialects.anthropic_messages.places import HARMLESS
from interlay.model.places import TextPlace
from interlay.model.protocols import WireEvent


def strings(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every string in a JSON value and where it stands."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from strings(item, (*path, key))


def unplaced(value: Any, places: list[TextPlace]) -> set[str | int]:
    """Keys of the strings that stand in no text place."""
    found = {place.path for place in places}
    return {path[-1] for path, _ in strings(value) if not any(path[:end] in found for end in range(len(path) + 1))}


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


SEALED = {"data"}  # redacted thinking, images


@pytest.mark.parametrize("recorded", ALL, ids=name)
def test_every_string_of_a_recorded_request_is_a_text_place_or_harmless(recorded: Recorded) -> None:
    assert unplaced(recorded.asked, DIALECT.request_places(recorded.asked)) <= HARMLESS | SEALED


def test_what_we_do_not_know_is_text() -> None:
    body = {"content": [{"type": "new_kind", "says": ["canary-1"], "id": "x"}], "new_top": {"a": "canary-2"}}
    assert {place.text for place in DIALECT.response_places(body)} == {"canary-1", "canary-2"}
    [event] = sse({"type": "new_event", "payload": {"deep": ["canary-3"]}})
    assert [place.text for place in DIALECT.event_places(event)] == ["canary-3"]
    [event] = sse({"type": "content_block_delta", "index": 1, "delta": {"type": "new_delta", "says": "canary-4"}})
    assert [(place.channel, place.text) for place in DIALECT.event_places(event)] == [(("text", 0, 1), "canary-4")]


@pytest.mark.parametrize("recorded", STREAMS, ids=name)
def test_the_channels_of_a_stream_hold_what_the_whole_answer_says(recorded: Recorded) -> None:
    streamed: dict[tuple[str, int, int], str] = {}
    events = events_of(recorded.answer)
    for event in events:
        for place in DIALECT.event_places(event):
            if place.role == "delta":
                streamed[place.channel] = streamed.get(place.channel, "") + place.text
    whole = json.loads(DIALECT.encode_response(DIALECT.assemble(events)))
    buffered: dict[tuple[str, int, int], str] = {}
    for place in DIALECT.response_places(whole):
        if place.role == "delta":
            buffered[place.channel] = buffered.get(place.channel, "") + place.text
    for texts in (streamed, buffered):
        for channel, text in list(texts.items()):
            if channel[0] == "tool_arguments":
                texts[channel] = json.loads(text)
            elif not text:
                del texts[channel]
    assert streamed == buffered


def test_roles_and_signatures() -> None:
    body = {
        "content": [
            {"type": "thinking", "thinking": "t1", "signature": "s"},
            {"type": "thinking", "thinking": "t2"},
            {"type": "redacted_thinking", "data": "sealed"},
            {
                "type": "text",
                "text": "said",
                "citations": [
                    {
                        "type": "web_search_result_location",
                        "cited_text": "c",
                        "title": "T",
                        "url": "U",
                        "encrypted_index": "x",
                    }
                ],
            },
            {"type": "server_tool_use", "id": "i", "name": "web_search", "input": {"query": "q"}},
            {
                "type": "web_search_tool_result",
                "tool_use_id": "i",
                "content": [{"type": "web_search_result", "title": "R", "url": "V", "encrypted_content": "x"}],
            },
            {
                "type": "bash_code_execution_tool_result",
                "tool_use_id": "j",
                "content": {"type": "bash_code_execution_result", "stdout": "out", "stderr": "err", "content": []},
            },
            {
                "type": "web_fetch_tool_result",
                "tool_use_id": "k",
                "content": {
                    "content": {
                        "type": "document",
                        "source": {"type": "text", "media_type": "text/plain", "data": "doc"},
                    }
                },
            },
        ],
        "stop_details": {"type": "refusal", "category": "bio", "explanation": "no"},
        "stop_sequence": "END",
    }
    assert [(p.channel, p.role, p.text, p.signed) for p in DIALECT.response_places(body)] == [
        (("reasoning", 0, 0), "delta", "t1", True),
        (("reasoning", 0, 1), "delta", "t2", False),
        (("text", 0, 3), "delta", "said", False),
        (("text", 0, 3), "echo", "c", False),
        (("text", 0, 3), "echo", "T", False),
        (("text", 0, 3), "echo", "U", False),
        (("tool_arguments", 0, 4), "delta", '{"query":"q"}', False),
        (("tool_result", 0, 5), "delta", "R", False),
        (("tool_result", 0, 5), "delta", "V", False),
        (("tool_result", 0, 6), "delta", "out", False),
        (("tool_result", 0, 6), "delta", "err", False),
        (("tool_result", 0, 7), "delta", "doc", False),
        (("refusal", 0, -1), "delta", "no", False),
    ]


def test_a_canary_in_every_input_place_is_found() -> None:
    body = {
        "model": "m",
        "system": [{"type": "text", "text": "canary"}],
        "messages": [
            {"role": "user", "content": "canary"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "canary"},
                    {
                        "type": "document",
                        "title": "canary",
                        "context": "canary",
                        "source": {"type": "text", "data": "canary"},
                    },
                    {"type": "document", "source": {"type": "content", "content": "canary"}},
                    {"type": "tool_use", "id": "i", "name": "f", "input": {"canary": 1}},
                    {"type": "tool_result", "tool_use_id": "i", "content": [{"type": "text", "text": "canary"}]},
                    {
                        "type": "search_result",
                        "source": "canary",
                        "title": "canary",
                        "content": [{"type": "text", "text": "canary"}],
                    },
                ],
            },
        ],
        "tools": [
            {"name": "f", "description": "canary", "input_schema": {"properties": {"a": {"description": "canary"}}}}
        ],
        "stop_sequences": ["canary"],
    }
    assert sum(place.text.count("canary") for place in DIALECT.request_places(body)) == json.dumps(body).count("canary")


# --- rewriting -----------------------------------------------------------------------------------------------------


def delta(kind: str, index: int = 0, **fields: Any) -> WireEvent:
    [event] = sse({"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}})
    return event


def test_of_several_strings_in_one_channel_the_first_says_all() -> None:
    result = {"stdout": "a", "stderr": "b", "content": [{"type": "text", "text": "c"}]}
    [event] = sse(
        {"type": "content_block_start", "index": 3, "content_block": {"type": "x_tool_result", "content": result}}
    )
    channel = ("tool_result", 0, 3)
    assert DIALECT.rewrite(event, {channel: "abc"}) == event.raw
    [again] = events_of(DIALECT.rewrite(event, {channel: "[1]"}))
    assert [place.text for place in DIALECT.event_places(again)] == ["[1]", "", ""]


def test_only_the_text_is_replaced() -> None:
    raw = (
        b"id: 7\r\nevent: content_block_delta\r\ndata: "
        b'{"type":"content_block_delta", "index": 1,"delta":{"type":"text_delta",'
        b'"text":"my \\u006bey"},"n":1.50 }   \r\n\r\n'
    )
    [event] = events_of(raw)
    assert DIALECT.rewrite(event, {("text", 0, 1): 'a "b"\n'}) == (
        b"id: 7\r\nevent: content_block_delta\r\ndata: "
        b'{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"a \\"b\\"\\n"},"n":1.5}'
        b"\r\n\r\n"
    )
    assert DIALECT.rewrite(event, {("text", 0, 0): "another block"}) == raw
    assert DIALECT.rewrite(event, {("text", 0, 1): "my key"}) == raw


def test_data_in_several_lines_can_be_rewritten() -> None:
    [event] = events_of(
        b'event: e\ndata: {"type":"content_block_delta","delta":\ndata: {"type":"text_delta","text":"a"}}\n\n'
    )
    [again] = events_of(DIALECT.rewrite(event, {("text", 0, 0): "b"}))
    assert (again.name, json.loads(again.data or b"")) == (
        "e",
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "b"}},
    )


def test_tool_arguments_are_rewritten_piece_by_piece_or_whole() -> None:
    channel = ("tool_arguments", 0, 2)
    [piece] = events_of(DIALECT.rewrite(delta("input_json_delta", 2, partial_json='"a'), {channel: '"b'}))
    assert json.loads(piece.data or b"")["delta"]["partial_json"] == '"b'
    [whole] = sse(
        {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "input": {"a": "k"}}}
    )
    [event] = events_of(DIALECT.rewrite(whole, {channel: '{"a":"[1]"}'}))
    assert json.loads(event.data or b"")["content_block"]["input"] == {"a": "[1]"}


def test_citations_are_cut_when_their_text_was_changed() -> None:
    cited = delta(
        "citations_delta", citation={"type": "char_location", "cited_text": "secret", "document_title": "T", "n": 1}
    )
    [event] = events_of(DIALECT.rewrite(cited, {("text", 0, 0): "anything"}))
    citation = json.loads(event.data or b"")["delta"]["citation"]
    assert citation == {"type": "char_location", "cited_text": "", "document_title": "", "n": 1}
    assert DIALECT.rewrite(cited, {("text", 0, 1): "of another block"}) == cited.raw


def test_signed_reasoning_is_released_or_dropped_whole() -> None:
    channel = ("reasoning", 0, 0)
    thinking, signature = delta("thinking_delta", thinking="hm"), delta("signature_delta", signature="S")
    [start] = sse({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}})
    [stop] = sse({"type": "content_block_stop", "index": 0})
    for event in (thinking, signature, stop):
        assert DIALECT.rewrite(event, {channel: ""}) == b""
    assert DIALECT.rewrite(start, {channel: ""}) == start.raw
    for event in (start, signature, stop):
        assert DIALECT.rewrite(event, {("text", 0, 0): ""}) == event.raw
    assert DIALECT.rewrite(thinking, {channel: "hm"}) == thinking.raw
    assert DIALECT.rewrite(thinking, {channel: "edited"}) == b""


@given(st.data())
def test_what_a_channel_is_set_to_is_what_the_stream_then_says(data: st.DataObject) -> None:
    events = events_of(data.draw(st.sampled_from(STREAMS)).answer)
    wanted: dict[tuple[str, int, int], str] = {}
    sent = b""
    for event in events:
        texts = {
            place.channel: data.draw(st.text(max_size=5))
            for place in DIALECT.event_places(event)
            if place.role == "delta" and place.channel[0] == "text"
        }
        for channel, text in texts.items():
            wanted[channel] = wanted.get(channel, "") + text
        sent += DIALECT.rewrite(event, texts)
    found: dict[tuple[str, int, int], str] = {}
    for event in events_of(sent):
        for place in DIALECT.event_places(event):
            if place.role == "delta" and place.channel[0] == "text":
                found[place.channel] = found.get(place.channel, "") + place.text
    assert found == wanted
