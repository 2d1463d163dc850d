"""Law 8 for the Responses API, on anything that JSON can say in the places this API has; and what its text places and
its numbers promise."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from interlay.dialects.openai_responses import OpenAIResponses
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent

DIALECT = OpenAIResponses()

words = st.sampled_from(
    ["", "a", "message", "function_call", "custom_tool_call", "function_call_output", "reasoning", "web_search_call",
     "input_text", "output_text", "refusal", "summary_text", "input_image", "assistant", "user", "completed",
     "incomplete", "failed", "auto", "function", "data:a/b;base64,QQ=="]
)  # fmt: skip
leaves = st.none() | st.booleans() | st.integers(-5, 2**40) | st.floats(-10, 10) | words | st.text(max_size=3)
junk = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2), max_leaves=5
)


def shaped(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects that have any of these members, now and then of another type, and others that nobody knows."""
    either = {key: st.one_of(value, value, value, junk) for key, value in members.items()}
    return st.fixed_dictionaries({}, optional={**either, "x_unknown": junk, "type": words, "id": junk, "name": words})


part = shaped(
    text=words, refusal=words, annotations=st.lists(shaped(), max_size=1), logprobs=st.lists(junk, max_size=1),
    image_url=words, file_id=words, file_data=words, filename=words, detail=words, input_audio=shaped(data=words),
    transcript=words,
)  # fmt: skip
item = shaped(
    role=words, content=words | st.none() | st.lists(part, max_size=3), call_id=words, arguments=words, input=words,
    output=words | st.lists(part, max_size=2), summary=st.lists(part, max_size=2), encrypted_content=words,
    action=shaped(), queries=st.lists(words, max_size=2), code=words, status=words, phase=words,
)  # fmt: skip
turn = shaped(role=words, content=words | st.lists(part, max_size=3)).map(
    lambda turn: {key: value for key, value in turn.items() if key != "type"}
)
items = st.lists(item | turn, max_size=4)
tool = shaped(description=words, parameters=st.dictionaries(words, junk, max_size=2), strict=st.booleans())
requests = shaped(
    model=words, input=words | items, instructions=words | st.none(), tools=st.lists(tool, max_size=2),
    tool_choice=words | shaped(), parallel_tool_calls=st.booleans(), max_output_tokens=st.integers(),
    temperature=st.floats(0, 2), top_p=st.floats(0, 1), top_logprobs=st.integers(), stream=st.booleans(), user=words,
    text=shaped(format=shaped(schema=junk, strict=st.booleans()), verbosity=words), reasoning=shaped(effort=words),
    service_tier=words, metadata=st.dictionaries(words, words, max_size=2),
)  # fmt: skip
usage = shaped(
    input_tokens=st.integers(), output_tokens=st.integers(), total_tokens=st.integers(),
    output_tokens_details=shaped(reasoning_tokens=st.integers()), cost=junk,
)  # fmt: skip
responses = shaped(
    output=items, usage=usage, model=words, created_at=st.integers() | st.floats(0, 1), status=words,
    incomplete_details=st.none() | shaped(reason=words), error=st.none() | shaped(code=words, message=words),
    service_tier=words, tool_usage=shaped(web_search=shaped(num_requests=st.integers())),
).map(lambda response: {**response, "object": "response"})  # fmt: skip
kinds = st.sampled_from(
    ["response.created", "response.completed", "response.failed", "response.output_item.added",
     "response.output_item.done", "response.content_part.added", "response.output_text.delta", "error", "keepalive",
     "response.output_text.done", "response.function_call_arguments.delta", "response.output_text.annotation.added",
     "response.reasoning_summary_text.delta", "response.reasoning_summary_part.added", "response.audio.delta"]
)  # fmt: skip
events = shaped(
    delta=words, text=words, item=item, part=part, response=responses, output_index=st.integers(-1, 3),
    content_index=st.integers(-1, 2), summary_index=st.integers(0, 2), annotation=shaped(), message=words,
    sequence_number=st.integers(0, 99), obfuscation=words, logprobs=st.lists(junk, max_size=1),
).flatmap(lambda event: kinds.map(lambda kind: {**event, "type": kind}))  # fmt: skip


def strict(text: bytes) -> Any:
    """JSON as values in which ``1`` is neither ``1.0`` nor ``true``."""
    return json.dumps(json.loads(text), sort_keys=True)


def wire(event: dict[str, Any]) -> WireEvent:
    data = json.dumps(event).encode()
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


def well_formed(value: Any, key: str = "") -> Any:
    """The same with whatever the codec refuses taken out, so that nothing is skipped."""
    if isinstance(value, dict):
        return {name: well_formed(each, name) for name, each in value.items() if not refused(name, each)}
    if isinstance(value, list):
        return [well_formed(each, key) for each in value if key not in LISTS or isinstance(each, dict)]
    return value


LISTS = ("input", "output", "content", "tools")


def refused(name: str, value: Any) -> bool:
    return (
        (name in ("instructions", *LISTS) and not isinstance(value, str | None))
        and not (name in LISTS and isinstance(value, list))
    ) or (name in ("output", "tools") and isinstance(value, str))


@given(requests.map(well_formed), responses.map(well_formed))
def test_law_8_holds_where_nothing_is_refused(request: dict[str, Any], response: dict[str, Any]) -> None:
    text = json.dumps(request).encode()
    assert strict(DIALECT.encode_request(DIALECT.decode_request(text))) == strict(text)
    text = json.dumps(response).encode()
    assert strict(DIALECT.encode_response(DIALECT.decode_response(text))) == strict(text)


@given(events)
def test_law_8_for_events(event: dict[str, Any]) -> None:
    one = wire(event)
    try:
        deltas = DIALECT.decode_event(one)
    except DecodeError:
        return
    if deltas:
        (again,) = DIALECT.framer().feed(DIALECT.encode_event(deltas))
        assert strict(again.data or b"") == strict(one.data or b"")


@given(events)
def test_every_place_is_where_it_says(event: dict[str, Any]) -> None:
    for place in DIALECT.event_places(wire(event)):
        value: Any = event
        for step in place.path:
            value = value[step]
        assert place.role == "echo" or value == place.text


@given(events)
def test_no_text_is_left_when_all_is_rewritten(event: dict[str, Any]) -> None:
    one = wire(event)
    texts = dict.fromkeys((place.channel for place in DIALECT.event_places(one)), "☃")
    (made,) = DIALECT.framer().feed(DIALECT.rewrite(one, texts, texts))
    assert {place.text for place in DIALECT.event_places(made)} <= {"", "☃"}


@given(events, st.integers(0, 10**6))
def test_another_number_changes_nothing_else(event: dict[str, Any], number: int) -> None:
    made = json.loads(DIALECT.renumber(wire(event), number)[6:])
    if type(event.get("sequence_number")) is int:
        assert made.pop("sequence_number") == number
        event.pop("sequence_number")
    assert made == event
