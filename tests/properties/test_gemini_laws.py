"""Laws 2 and 8 for Gemini, on anything that JSON can say in the places this API has, and on streams in both forms."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.dialects.exchanges import STREAMS, Exchanged, framed, name

from interlay.dialects.gemini import Gemini
from interlay.dialects.gemini.framing import ArrayFramer
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent
from interlay.model.usage import Usage

DIALECT = Gemini()
STREAMED = [each for each in STREAMS if each.codec.name == DIALECT.name]

words = st.sampled_from(
    ["", "a", "user", "model", "function", "system", "STOP", "MAX_TOKENS", "AUTO", "ANY", "application/json", "LOW",
     "image/png", "audio/wav", "text/plain", "OUTCOME_OK", "STRING", "object"]
)  # fmt: skip
leaves = st.none() | st.booleans() | st.integers(-5, 2**40) | st.floats(-10, 10) | words | st.text(max_size=3)
junk = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2), max_leaves=5
)


def shaped(*names: str, **members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects that have any of these members, now and then of another type, and others that nobody knows."""
    either = {key: st.one_of(value, value, value, junk) for key, value in members.items()}
    return st.fixed_dictionaries({}, optional={**either, **dict.fromkeys(names, words), "x_unknown": junk})


args = st.dictionaries(words, junk, max_size=2)
call = shaped("name", "id", args=args)
blob = shaped("mimeType", "mime_type", "data", "displayName", "fileUri", "file_uri")
part = st.one_of(
    shaped("text", "thoughtSignature", "thought_signature", thought=st.booleans()),
    shaped("thoughtSignature", functionCall=call), shaped(function_call=call),
    shaped(functionResponse=shaped("name", "id", response=args)), shaped(function_response=shaped("name")),
    shaped(inlineData=blob), shaped(inline_data=blob, videoMetadata=junk), shaped(fileData=blob),
    shaped(executableCode=shaped("language", "code")), shaped(codeExecutionResult=shaped("outcome", "output")),
)  # fmt: skip
content = shaped("role", parts=st.lists(part, max_size=3))
declaration = shaped("name", "description", parameters=args, parametersJsonSchema=args, parameters_json_schema=args)
tool = shaped(functionDeclarations=st.lists(declaration, max_size=3), googleSearch=shaped()) | shaped(
    function_declarations=st.lists(declaration, max_size=2)
)
config = shaped(
    "responseMimeType", "response_mime_type", temperature=st.floats(0, 2), topP=st.floats(0, 1), top_k=st.integers(),
    maxOutputTokens=st.integers(), stopSequences=st.lists(words), candidateCount=st.integers(), seed=st.integers(),
    responseLogprobs=st.booleans(), logprobs=st.integers(), responseSchema=args, responseJsonSchema=args,
    thinkingConfig=shaped("thinkingLevel", "thinking_level", thinkingBudget=st.integers()),
)  # fmt: skip
requests = shaped(
    "cachedContent", "model", contents=st.lists(content, max_size=3), systemInstruction=content | words,
    system_instruction=content, tools=st.lists(tool, max_size=2), generationConfig=config, generation_config=config,
    toolConfig=shaped(functionCallingConfig=shaped("mode", allowedFunctionNames=st.lists(words, max_size=2))),
    tool_config=shaped(function_calling_config=shaped("mode")),
)  # fmt: skip
counts = st.integers(-1, 2**40)
details = st.lists(shaped("modality", tokenCount=counts), max_size=2)
usage = shaped(
    "trafficType", "serviceTier", promptTokenCount=counts, candidatesTokenCount=counts, totalTokenCount=counts,
    thoughtsTokenCount=counts, cachedContentTokenCount=counts, toolUsePromptTokenCount=counts,
    promptTokensDetails=details,
)  # fmt: skip
candidate = shaped(
    "finishReason", "finishMessage", index=st.integers(0, 3), content=content, logprobsResult=shaped(),
    groundingMetadata=shaped(webSearchQueries=st.lists(words, max_size=2), groundingSupports=junk),
    citationMetadata=junk, avgLogprobs=st.floats(-1, 0),
)  # fmt: skip
responses = shaped(
    "modelVersion", "responseId", "createTime", candidates=st.lists(candidate, max_size=2), usageMetadata=usage,
    promptFeedback=shaped("blockReason", "blockReasonMessage"), error=shaped("message", "status", code=st.integers()),
)  # fmt: skip


def strict(text: bytes) -> Any:
    """JSON as values in which ``1`` is neither ``1.0`` nor ``true``."""
    return json.dumps(json.loads(text), sort_keys=True)


def wire(chunk: Any) -> WireEvent:
    data = json.dumps(chunk).encode()
    return WireEvent(b"data: " + data + b"\n\n", None, data)


@given(requests)
def test_law_8_for_requests(body: dict[str, Any]) -> None:
    text = json.dumps(body).encode()
    try:
        request = DIALECT.decode_request(text)
    except DecodeError:
        return
    assert strict(DIALECT.encode_request(request)) == strict(text)


@given(responses)
def test_law_8_for_responses(body: dict[str, Any]) -> None:
    text = json.dumps(body).encode()
    try:
        response = DIALECT.decode_response(text)
    except DecodeError:
        return
    assert strict(DIALECT.encode_response(response)) == strict(text)


LISTS = ("contents", "tools", "parts", "candidates")


def well_formed(value: Any, key: str = "") -> Any:
    """The same with whatever the codec refuses taken out, so that nothing is skipped."""
    if isinstance(value, dict):
        return {name: well_formed(each, name) for name, each in value.items() if fits(name, each)}
    if isinstance(value, list):
        return [well_formed(each, key) for each in value if key not in LISTS or isinstance(each, dict)]
    return value


def fits(name: str, value: Any) -> bool:
    return isinstance(value, list) if name in LISTS else name != "content" or isinstance(value, dict)


@given(requests.map(well_formed), responses.map(well_formed))
def test_law_8_holds_where_nothing_is_refused(request: dict[str, Any], response: dict[str, Any]) -> None:
    text = json.dumps(request).encode()
    assert strict(DIALECT.encode_request(DIALECT.decode_request(text))) == strict(text)
    text = json.dumps(response).encode()
    assert strict(DIALECT.encode_response(DIALECT.decode_response(text))) == strict(text)


@given(responses)
def test_law_8_for_chunks(chunk: dict[str, Any]) -> None:
    one = wire(chunk)
    try:
        deltas = DIALECT.decode_event(one)
    except DecodeError:
        return
    if deltas:
        (again,) = DIALECT.framer().feed(DIALECT.encode_event(deltas))
        assert strict(again.data or b"") == strict(one.data or b"")


@given(responses | requests)
def test_every_place_is_where_it_says(body: dict[str, Any]) -> None:
    for place in (*DIALECT.response_places(body), *DIALECT.request_places(body)):
        value: Any = body
        for step in place.path:
            value = value[step]
        assert place.text in ("", value) or value == json.loads(place.text)


@given(responses)
def test_no_text_is_left_when_all_is_rewritten(chunk: dict[str, Any]) -> None:
    one = wire(chunk)
    texts = dict.fromkeys((place.channel for place in DIALECT.event_places(one)), "☃")
    (made,) = DIALECT.framer().feed(DIALECT.rewrite(one, texts))
    for place in DIALECT.event_places(made):
        assert not place.text or "☃" in place.text
        assert place.role != "echo" or not place.text


# Streams without alt=sse.

chunks = st.lists(st.dictionaries(st.text('{}[]",\\ é', max_size=4), junk, max_size=3), max_size=4)
spaces = st.sampled_from(["", " ", "\n", "\r\n  "])


@given(st.data())
def test_an_array_is_cut_into_its_objects_at_any_chunking(data: st.DataObject) -> None:
    said = data.draw(chunks)
    space, ascii_only = data.draw(spaces), data.draw(st.booleans())
    text = f",{space}".join(json.dumps(each, ensure_ascii=ascii_only) for each in said)
    body = f"{space}[{space}{text}{space}]{space}".encode()
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=30))
    events = framed(DIALECT, body, *cuts)
    assert events == framed(DIALECT, body)
    assert b"".join(event.raw for event in events) == body
    assert [json.loads(event.data) for event in events if event.data not in (None, b"]")] == said
    assert [event.data for event in events].count(b"]") == 1


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_any_bytes_come_out_as_they_went_in(body: bytes, cuts: list[int]) -> None:
    for data in (body, b"[" + body, b"{" + body):
        events = framed(DIALECT, data, *(cut for cut in cuts if cut <= len(data)))
        assert b"".join(event.raw for event in events) == data


@given(st.binary(max_size=300), st.integers(1, 20))
def test_what_is_too_large_is_given_back_whole(body: bytes, step: int) -> None:
    framer, given_out, data = ArrayFramer(limit=40), b"", b"[" + body
    try:
        for start in range(0, len(data), step):
            given_out += b"".join(event.raw for event in framer.feed(data[start : start + step]))
            fed = start + step
    except DecodeError:
        fed = start + step
    assert given_out + b"".join(event.raw for event in framer.finish()) == data[:fed]


def as_array(each: Exchanged) -> bytes:
    """The same stream as it comes without ``alt=sse``."""
    data = [event.data for event in framed(DIALECT, each.answer) if event.data is not None]
    return b"[" + b"\n,\r\n".join(data) + b"\n]\n"


def told(*events: WireEvent) -> list[object]:
    tracker = DIALECT.tracker()
    for event in events:
        tracker.event(event)
    usage = tracker.usage
    figures = [getattr(usage, field, None) for field in Usage.__struct_fields__]
    return [figures, tracker.id, tracker.model, tracker.finish_reasons, tracker.output_tokens_estimate]


def tracked_usage(events: list[WireEvent]) -> Usage | None:
    tracker = DIALECT.tracker()
    for event in events:
        tracker.event(event)
    return tracker.usage


@pytest.mark.parametrize("each", STREAMED, ids=name)
@settings(max_examples=10)
@given(data=st.data())
def test_law_2_for_a_stream_in_either_form(each: Exchanged, data: st.DataObject) -> None:
    listed = as_array(each)
    cuts = data.draw(st.lists(st.integers(0, len(listed)), max_size=60))
    events = framed(DIALECT, listed, *cuts)
    assert told(*events) == told(*framed(DIALECT, each.answer))
    whole = DIALECT.tracker()
    whole.body(listed)
    assert whole.usage == tracked_usage(events)
    assert [event.raw for event in events] == [DIALECT.rewrite(event, {}) for event in events]
    assert DIALECT.streamed_answer(events) == DIALECT.streamed_answer(framed(DIALECT, each.answer))
    assert DIALECT.answer(listed) == DIALECT.streamed_answer(events)


@pytest.mark.parametrize("each", STREAMED, ids=name)
def test_a_rewritten_array_is_an_array(each: Exchanged) -> None:
    made = b""
    for event in framed(DIALECT, as_array(each)):
        texts = {place.channel: "☃" for place in DIALECT.event_places(event) if place.text}
        made += DIALECT.rewrite(event, texts)
    assert all(chunk.keys() for chunk in json.loads(made))
    assert "☃" in made.decode()
