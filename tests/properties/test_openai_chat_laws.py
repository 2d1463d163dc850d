"""Laws 8 and 10 for chat completions, on anything that JSON can say in the places this API has."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from interlay.dialects.openai_chat import OpenAIChat
from interlay.model.errors import DecodeError
from interlay.model.json import decode, encode, has_duplicate_keys

DIALECT = OpenAIChat()

words = st.sampled_from(
    ["", "a", "text", "function", "thinking", "reasoning.text", "tool", "assistant", "user", "auto"]
)
leaves = st.none() | st.booleans() | st.integers(-5, 2**40) | st.floats(-10, 10) | words | st.text(max_size=3)
junk = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2), max_leaves=5
)


def shaped(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects that have any of these members, now and then of another type, and others that nobody knows."""
    either = {key: st.one_of(value, value, value, junk) for key, value in members.items()}
    return st.fixed_dictionaries({}, optional={**either, "x_unknown": junk, "type": words, "id": junk, "name": junk})


function = shaped(
    arguments=words, description=words, parameters=st.dictionaries(words, junk, max_size=2), strict=st.booleans()
)
call = shaped(function=function, custom=shaped(input=words), index=st.integers())
part = shaped(
    text=words, refusal=words, image_url=shaped(url=words, detail=words) | words,
    thinking=words | st.lists(shaped(text=words)),
    input_audio=shaped(data=words, format=words), file=shaped(file_data=words, file_id=words), cache_control=shaped(),
)  # fmt: skip
detail = shaped(text=words, summary=words, data=words, signature=words)
message = shaped(
    role=words, content=words | st.none() | st.lists(part, max_size=3), refusal=words,
    reasoning=words, reasoning_content=words,
    reasoning_details=st.lists(detail, max_size=2), tool_calls=st.lists(call, max_size=2), function_call=function,
    audio=shaped(data=words, transcript=words), annotations=st.lists(shaped(), max_size=1), tool_call_id=words,
)  # fmt: skip
tool = shaped(function=function)
requests = shaped(
    model=words, messages=st.lists(message, max_size=3), tools=st.lists(tool, max_size=2),
    functions=st.lists(function, max_size=2),
    tool_choice=words | shaped(function=function), parallel_tool_calls=st.booleans(), max_tokens=st.integers(),
    max_completion_tokens=st.integers(), stop=words | st.lists(words), stream=st.booleans(),
    temperature=st.floats(0, 2),
    response_format=shaped(json_schema=shaped(schema=junk, strict=st.booleans())),
    reasoning=shaped(effort=words),
    reasoning_effort=words, n=st.integers(), seed=st.integers(), user=words,
    stream_options=shaped(include_usage=st.booleans()),
)  # fmt: skip
choice = shaped(index=st.integers(), message=message, finish_reason=words, logprobs=shaped())
usage = shaped(prompt_tokens=st.integers(), completion_tokens=st.integers(), total_tokens=st.integers(), cost=junk)
responses = shaped(
    choices=st.lists(choice, max_size=2), usage=usage, model=words, created=st.integers(), service_tier=words
)


def strict(text: bytes) -> Any:
    """JSON as values in which ``1`` is neither ``1.0`` nor ``true``."""
    return json.dumps(json.loads(text), sort_keys=True)


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


def well_formed(value: Any) -> Any:
    """The request with whatever the codec refuses taken out, so that nothing is skipped."""
    if not isinstance(value, dict):
        return None
    messages = value.get("messages")
    kept = [each for each in messages if isinstance(each, dict)] if isinstance(messages, list) else []
    for each in kept:
        if not isinstance(each.get("content"), str | list | None):
            each["content"] = None
        if isinstance(each.get("content"), list):
            each["content"] = [item for item in each["content"] if isinstance(item, dict)]
        if not isinstance(each.get("tool_calls"), list | None):
            del each["tool_calls"]
        elif each.get("tool_calls"):
            each["tool_calls"] = [item for item in each["tool_calls"] if isinstance(item, dict)]
    tools = {
        key: [item for item in value[key] if isinstance(item, dict)] if isinstance(value[key], list) else None
        for key in ("tools", "functions") if key in value
    }  # fmt: skip
    return {**value, "messages": kept, **tools}


@given(requests.map(well_formed))
def test_law_8_holds_where_nothing_is_refused(body: dict[str, Any]) -> None:
    text = json.dumps(body).encode()
    assert strict(DIALECT.encode_request(DIALECT.decode_request(text))) == strict(text)


@given(st.lists(st.tuples(words, junk), max_size=4))
def test_law_10_what_is_inspected_is_what_is_sent(pairs: list[tuple[str, Any]]) -> None:
    text = "{" + ",".join(json.dumps(key) + ":" + json.dumps(value) for key, value in pairs) + "}"
    twins = len(dict(pairs)) < len(pairs)
    assert has_duplicate_keys(text.encode()) is twins
    assert not (twins and encode(decode(text.encode())) == text.encode())
