"""Laws 2, 8 and 10 for Cohere and Ollama, on anything that JSON can say in the places these APIs have."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dialects.exchanges import framed

from interlay.dialects.cohere import Cohere
from interlay.dialects.ollama import Ollama
from interlay.dialects.ollama.framing import LineFramer
from interlay.model.errors import DecodeError
from interlay.model.protocols import Codec, WireEvent

COHERE, OLLAMA = Cohere(), Ollama()

words = st.sampled_from(
    ["", "a", "user", "assistant", "system", "tool", "function", "text", "thinking", "image_url", "document", "stop",
     "json", "json_object", "COMPLETE", "TOOL_CALL", "ERROR", "NONE", "high", "data:image/png;base64,AA=="]
)  # fmt: skip
leaves = st.none() | st.booleans() | st.integers(-5, 2**40) | st.floats(-10, 10) | words | st.text(max_size=3)
junk = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2), max_leaves=5
)


def shaped(*names: str, **members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects that have any of these members, now and then of another type, and others that nobody knows."""
    either = {key: st.one_of(value, value, value, junk) for key, value in members.items()}
    return st.fixed_dictionaries({}, optional={**either, **dict.fromkeys(names, words), "x_unknown": junk})


def some(value: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[list[Any]]:
    return st.lists(value, max_size=most)


args = st.dictionaries(words, junk, max_size=2)
counts = st.integers(-1, 2**40)
tool = shaped("type", function=shaped("name", "description", parameters=args, strict=st.booleans()))

# Cohere

call = shaped("id", "type", function=shaped("name", "arguments"))
item = shaped("type", "text", "thinking", image_url=shaped("url", "detail"), document=shaped("id", data=args))
citation = shaped("text", "type", start=counts, content_index=st.integers(0, 2), sources=some(junk, 2))
message = shaped(
    "role",
    "tool_call_id",
    "tool_plan",
    content=words | some(item),
    tool_calls=some(call, 2),
    citations=some(citation, 2),
)
cohere_requests = shaped(
    "model", "tool_choice", "safety_mode", messages=some(message), tools=some(tool, 2), documents=some(junk, 2),
    stream=st.booleans(), max_tokens=counts, temperature=st.floats(0, 2), p=st.floats(0, 1), k=st.integers(),
    stop_sequences=some(words), thinking=shaped("type", token_budget=counts), logprobs=st.booleans(),
    response_format=shaped("type", json_schema=args, schema=args),
)  # fmt: skip
figures = shaped(input_tokens=counts, output_tokens=counts, reasoning_tokens=counts)
usage = shaped(billed_units=figures, tokens=figures, cached_tokens=counts)
cohere_responses = shaped("id", "finish_reason", message=message, usage=usage, logprobs=some(shaped("text"), 2))
piece = shaped("role", "tool_plan", content=item, tool_calls=call, citations=citation)
kinds = st.sampled_from(
    ["message-start", "content-start", "content-delta", "content-end", "tool-plan-delta", "tool-call-start",
     "tool-call-delta", "tool-call-end", "citation-start", "message-end", "debug"]
)  # fmt: skip
cohere_events = shaped(
    "id", type=kinds, index=st.integers(-1, 3), logprobs=shaped("text"),
    delta=shaped("finish_reason", "error", "error_type", message=piece, usage=usage),
)  # fmt: skip

# Ollama

function = shaped("name", arguments=args | words, index=st.integers(-1, 3))
said = shaped(
    "role", "content", "thinking", "tool_name", "tool_call_id", images=some(words, 2),
    tool_calls=some(shaped("id", function=function), 2),
)  # fmt: skip
ollama_requests = shaped(
    "model", "keep_alive", messages=some(said), tools=some(tool, 2), stream=st.booleans(), format=args | words,
    think=st.booleans() | words, logprobs=st.booleans(), top_logprobs=st.integers(),
    options=shaped(
        num_predict=counts, temperature=st.floats(0, 2), top_p=st.floats(0, 1), top_k=st.integers(),
        stop=words | some(words), seed=counts, num_ctx=counts,
    ),
)  # fmt: skip
times = st.sampled_from(["2024-05-24T20:57:43.314639Z", "2024-05-24T20:57:43", "0001-01-01T00:00:00Z", "soon"])
ollama_responses = shaped(
    "model", "done_reason", "error", message=said, created_at=times, done=st.booleans(), prompt_eval_count=counts,
    eval_count=counts, total_duration=counts, logprobs=some(junk, 2),
)  # fmt: skip

Bodies = st.SearchStrategy[dict[str, Any]]
REQUESTS: dict[Codec, Bodies] = {COHERE: cohere_requests, OLLAMA: ollama_requests}
RESPONSES: dict[Codec, Bodies] = {COHERE: cohere_responses, OLLAMA: ollama_responses}
EVENTS: dict[Codec, Bodies] = {COHERE: cohere_events, OLLAMA: ollama_responses}
each_codec = pytest.mark.parametrize("codec", [COHERE, OLLAMA], ids=lambda codec: codec.name)


def strict(text: bytes) -> Any:
    """JSON as values in which ``1`` is neither ``1.0`` nor ``true``."""
    return json.dumps(json.loads(text), sort_keys=True)


def wire(codec: Codec, body: Any) -> WireEvent:
    data = json.dumps(body).encode()
    name = str(body.get("type"))
    (event,) = framed(codec, data + b"\n" if codec is OLLAMA else f"event: {name}\ndata: ".encode() + data + b"\n\n")
    return event


LISTS = ("messages", "tools", "tool_calls", "content")
OBJECTS = ("message",)


def well_formed(value: Any, key: str = "") -> Any:
    """The same with whatever the codecs refuse taken out, so that nothing is skipped."""
    if isinstance(value, dict):
        return {name: well_formed(each, name) for name, each in value.items() if fits(name, each)}
    if isinstance(value, list):
        return [well_formed(each, key) for each in value if key not in LISTS or isinstance(each, dict)]
    return value


def fits(name: str, value: Any) -> bool:
    if name == "content":
        return isinstance(value, str | list)
    return isinstance(value, list) if name in LISTS else name not in OBJECTS or isinstance(value, dict)


@each_codec
@given(st.data())
def test_law_8_for_requests_and_responses(codec: Codec, data: st.DataObject) -> None:
    body = data.draw(REQUESTS[codec])
    for taken in (body, well_formed(body)):
        text = json.dumps(taken).encode()
        try:
            again = codec.encode_request(codec.decode_request(text))
        except DecodeError:
            assert taken is body
            continue
        assert strict(again) == strict(text)
    body = data.draw(RESPONSES[codec])
    for taken in (body, well_formed(body)):
        text = json.dumps(taken).encode()
        try:
            again = codec.encode_response(codec.decode_response(text))
        except DecodeError:
            assert taken is body
            continue
        assert strict(again) == strict(text)


@each_codec
@given(st.data())
def test_law_8_for_events(codec: Codec, data: st.DataObject) -> None:
    one = wire(codec, data.draw(EVENTS[codec]))
    deltas = codec.decode_event(one)
    if deltas:
        (again,) = framed(codec, codec.encode_event(deltas))
        assert strict(again.data or b"") == strict(one.data or b"")


@each_codec
@given(st.data())
def test_every_place_is_where_it_says(codec: Codec, data: st.DataObject) -> None:
    body = data.draw(RESPONSES[codec] | REQUESTS[codec] | EVENTS[codec])
    for place in (*codec.response_places(body), *codec.request_places(body)):
        value: Any = body
        for step in place.path:
            value = value[step]
        assert place.text in ("", value) or value == json.loads(place.text)


@each_codec
@given(st.data())
def test_no_text_is_left_when_all_is_rewritten(codec: Codec, data: st.DataObject) -> None:
    one = wire(codec, data.draw(EVENTS[codec]))
    texts = dict.fromkeys((place.channel for place in codec.event_places(one)), "☃")
    (made,) = framed(codec, codec.rewrite(one, texts, texts))
    for place in codec.event_places(made):
        assert not place.text or "☃" in place.text
        assert place.role != "echo" or not place.text


@each_codec
@given(st.data())
def test_law_2_what_a_stream_adds_up_to_says_the_same(codec: Codec, data: st.DataObject) -> None:
    events = [wire(codec, body) for body in data.draw(st.lists(EVENTS[codec], max_size=5))]
    tracker = codec.tracker()
    for event in events:
        tracker.event(event)
    codec.streamed_answer(events)
    try:
        whole = codec.assemble(events)
    except DecodeError:
        return
    if tracker.usage is not None and tracker.finished and not tracker.usage.flags:
        assert whole.usage is not None
        assert (whole.usage.input_tokens, whole.usage.output_tokens) == (
            tracker.usage.input_tokens, tracker.usage.output_tokens,
        )  # fmt: skip


lines = st.lists(st.dictionaries(st.text('{}[]",\\ é', max_size=4), junk, max_size=3), max_size=4)


@given(st.data())
def test_lines_are_cut_at_any_chunking(data: st.DataObject) -> None:
    said, end = data.draw(lines), data.draw(st.sampled_from(["\n", "\r\n", "\n\n", " \n"]))
    body = "".join(json.dumps(each, ensure_ascii=data.draw(st.booleans())) + end for each in said).encode()
    body = data.draw(st.sampled_from([body, body.rstrip()]))
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=30))
    events = framed(OLLAMA, body, *cuts)
    assert events == framed(OLLAMA, body)
    assert b"".join(event.raw for event in events) == body
    assert [json.loads(event.data) for event in events if event.data is not None] == said


@given(st.lists(st.binary(max_size=60) | st.just(b"\n"), max_size=20))
def test_what_is_too_large_is_given_back_whole(chunks: list[bytes]) -> None:
    framer, given_out, fed = LineFramer(limit=40), b"", b""
    try:
        for chunk in chunks:
            fed += chunk
            given_out += b"".join(event.raw for event in framer.feed(chunk))
    except DecodeError:
        pass
    assert given_out + b"".join(event.raw for event in framer.finish()) == fed
    assert max(map(len, fed.split(b"\n")[:-1]), default=0) < 41 or given_out != fed
