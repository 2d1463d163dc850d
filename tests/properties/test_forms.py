"""An answer has two forms, and says the same in both: every recorded one, and any that JSON can say. Law 2 between
the two: usage and finish reasons are equal to the last digit, at any chunking."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.properties import test_cohere_ollama_laws as cohere_ollama
from tests.properties import test_gemini_laws as gemini
from tests.properties import test_openai_chat_laws as chat
from tests.properties import test_openai_responses_laws as openai_responses
from tests.unit.dialects.exchanges import BODIES, STREAMS, Exchanged, bare, framed, name

from interlay.dialects import DIALECTS, named
from interlay.model.errors import DecodeError
from interlay.model.messages import ChatResponse, Reasoning, Text
from interlay.model.protocols import Codec, Tracker, WireEvent
from interlay.model.usage import Usage

CODECS = {dialect.name: dialect for dialect in DIALECTS if isinstance(dialect, Codec)}
QUERIES = ("", "alt=sse")
SOUNDS = "openai-chat-plain-02.0"
"""Speaks: streams have sounds in another format."""
UNCOUNTED = ["openai-chat-stream-01.0", "openai-chat-stream-02.0", "openai-chat-stream-03.0",
             "openai-chat-stream-04.0", "openai-chat-tools-stream-01.0", "openai-chat-tools-stream-01.1",
             "openai-chat-tools-stream-03.0"]  # fmt: skip
"""Streams that were not asked for usage, which every body has."""


def counted(usage: Usage | None) -> list[Any] | None:
    """All of usage but the provider's own object, in which members may stand in another order."""
    return None if usage is None else [getattr(usage, field) for field in Usage.__struct_fields__ if field != "raw"]


def known(tracker: Tracker) -> list[Any]:
    """What the record gets to know of an answer."""
    assert tracker.ended_well
    assert tracker.failure is None
    return [tracker.id, tracker.model, tracker.finish_reasons, tracker.service_tier, counted(tracker.usage)]


def of_body(codec: Codec, body: bytes) -> list[Any]:
    tracker = codec.tracker()
    tracker.body(body)
    return known(tracker)


def of_events(codec: Codec, events: list[WireEvent]) -> list[Any]:
    tracker = codec.tracker()
    for event in events:
        tracker.event(event)
    return known(tracker)


def said(response: ChatResponse) -> Any:
    """The canonical answer without what trackers tell of it, some of it more exactly. Texts that follow one another are
    one: in a stream nothing stands between them."""
    plain = bare(response)
    plain.usage = plain.id = plain.model = None
    for choice in plain.choices:
        parts: list[Any] = []
        for part in choice.message.content:
            last: Any = parts[-1] if parts else None
            if is_text(part) and is_text(last) and type(part) is type(last):
                parts[-1] = structs.replace(last, text=last.text + part.text)
            else:
                parts.append(part)
        choice.message.content = parts
    return plain


def is_text(part: Any) -> bool:
    """Whether a part is nothing but text."""
    return isinstance(part, Text | Reasoning) and part == type(part)(text=part.text)


def check_stream(codec: Codec, body: bytes, made: list[bytes], cuts: list[int], *, sure: bool = True) -> None:
    """The events are those of a stream that says what the body says."""
    events = framed(codec, b"".join(made), *cuts)
    assert [event.raw for event in events] == made
    for event in events:
        codec.event_places(event)
    assert of_events(codec, events) == of_body(codec, body)
    assert said(codec.assemble(events)) == said(codec.decode_response(body))
    again = codec.as_body(events)
    if again is None:
        assert not sure
        return
    assert said(codec.decode_response(again)) == said(codec.decode_response(body))
    assert of_body(codec, again) == of_body(codec, body)


def check_body(codec: Codec, events: list[WireEvent], body: bytes) -> None:
    """The body is an answer that says what the events say."""
    assert of_body(codec, body) == of_events(codec, events)
    assert said(codec.decode_response(body)) == said(codec.assemble(events))


class TestRecordedAnswers:
    @pytest.mark.parametrize("query", QUERIES)
    @pytest.mark.parametrize("each", [each for each in BODIES if each.name != SOUNDS], ids=name)
    @settings(max_examples=5)
    @given(data=st.data())
    def test_as_streams(self, each: Exchanged, query: str, data: st.DataObject) -> None:
        made = each.codec.as_stream(each.answer, query)
        assert made is not None
        cuts = data.draw(st.lists(st.integers(0, len(each.answer)), max_size=30))
        check_stream(each.codec, each.answer, made, cuts)

    def test_speech_has_no_stream(self) -> None:
        (each,) = (each for each in BODIES if each.name == SOUNDS)
        assert each.codec.as_stream(each.answer) is None

    @pytest.mark.parametrize("each", STREAMS, ids=name)
    @settings(max_examples=5)
    @given(data=st.data())
    def test_as_bodies(self, each: Exchanged, data: st.DataObject) -> None:
        cuts = data.draw(st.lists(st.integers(0, len(each.answer)), max_size=30))
        events = framed(each.codec, each.answer, *cuts)
        body = each.codec.as_body(events)
        assert (body is None) == (each.name in UNCOUNTED)
        if body is not None:
            check_body(each.codec, events, body)

    @pytest.mark.parametrize("each", [each for each in STREAMS if each.name not in UNCOUNTED], ids=name)
    def test_there_and_back_and_there(self, each: Exchanged) -> None:
        body = each.codec.as_body(framed(each.codec, each.answer))
        assert body is not None
        for query in QUERIES:
            made = each.codec.as_stream(body, query)
            assert made is not None
            check_stream(each.codec, body, made, [])

    @pytest.mark.parametrize("each", STREAMS, ids=name)
    def test_pain_29_a_stream_that_was_cut_is_no_body(self, each: Exchanged) -> None:
        events = framed(each.codec, each.answer)
        tracker = each.codec.tracker()
        for count, event in enumerate(events):
            if not tracker.ended_well:
                assert each.codec.as_body(events[:count]) is None
            tracker.event(event)

    @pytest.mark.parametrize("each", STREAMS, ids=name)
    @settings(max_examples=30, derandomize=True)
    @given(data=st.data())
    def test_nor_is_one_that_lacks_bytes(self, each: Exchanged, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(each.answer) - 1))
        end = data.draw(st.integers(start + 1, len(each.answer)))
        events = framed(each.codec, each.answer[:start] + each.answer[end:])
        body = each.codec.as_body(events)
        if body is not None:
            check_body(each.codec, events, body)


# Anything

texts = st.text(max_size=6)
numbers = st.sampled_from(["0", "1.10", "-0.5", "1e-7", "12345678901234567890123", "0.1000000000000000055511151231"])


def written(value: Any) -> bytes:
    """JSON text, in which a number may be written in any way."""
    text = json.dumps(value, ensure_ascii=False)
    for number in ("1.10", "-0.5", "1e-7", "12345678901234567890123", "0.1000000000000000055511151231"):
        text = text.replace(f'"#{number}"', number)
    return text.replace('"#0"', "0").encode()


figure = numbers.map("#{}".format)
objects = st.dictionaries(texts, texts | figure | st.none() | st.booleans(), max_size=3)
arguments = objects.map(lambda value: written(value).decode())


def of(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(members)


def also(base: st.SearchStrategy[dict[str, Any]], **members: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Objects of ``base`` that have some of ``members`` too."""
    optional = st.fixed_dictionaries({}, optional=members)
    return st.tuples(base, optional).map(lambda pair: {**pair[0], **pair[1]})


count = st.integers(0, 2**40)

chat_call = st.builds(lambda one, two: {"id": one, "type": "function", "function": two}, texts,
                      of(name=texts.filter(bool), arguments=arguments | texts))  # fmt: skip
chat_message = also(
    of(role=st.just("assistant"), content=texts | st.none()), refusal=texts | st.none(), reasoning_content=texts,
    tool_calls=st.lists(chat_call, max_size=3), annotations=st.lists(objects, max_size=2), x_unknown=objects | figure,
    function_call=of(name=texts, arguments=arguments),
)  # fmt: skip
logprobs = of(content=st.lists(of(token=texts, logprob=figure), max_size=3), refusal=st.none())
chat_choice = also(
    of(message=chat_message, finish_reason=st.sampled_from(["stop", "length", "tool_calls", "eos"])),
    logprobs=logprobs | st.none(), content_filter_results=objects,
)  # fmt: skip
chat_bodies = also(
    of(id=texts.filter(bool), object=st.just("chat.completion"), created=count, model=texts.filter(bool),
       choices=st.lists(chat_choice, min_size=1, max_size=3).map(
           lambda found: [{"index": index, **each} for index, each in enumerate(found)]),
       usage=also(of(prompt_tokens=count, completion_tokens=count), cost=figure, prompt_tokens_details=objects)),
    system_fingerprint=texts, service_tier=st.sampled_from(["default", "flex"]), x_unknown=objects | figure,
    moderation=objects,
)  # fmt: skip

block = (
    also(of(type=st.just("text"), text=texts), citations=st.lists(objects, max_size=2) | st.none())
    | of(type=st.just("thinking"), thinking=texts, signature=texts)
    | of(type=st.just("redacted_thinking"), data=texts)
    | also(of(type=st.just("tool_use"), id=texts, name=texts, input=objects), caller=objects)
    | of(type=st.just("server_tool_use"), id=texts, name=texts, input=objects)
    | of(type=st.just("web_search_tool_result"), tool_use_id=texts, content=st.lists(objects, max_size=2))
    | of(type=st.just("compaction"), content=texts | st.none())
)
messages = also(
    of(id=texts, type=st.just("message"), role=st.just("assistant"), model=texts, content=st.lists(block, max_size=4),
       stop_reason=st.sampled_from(["end_turn", "max_tokens", "stop_sequence", "tool_use"]),
       stop_sequence=texts | st.none(),
       usage=also(of(input_tokens=count, output_tokens=count), cache_read_input_tokens=count,
                  server_tool_use=of(web_search_requests=count) | st.none(),
                  service_tier=st.sampled_from(["standard", "priority"]),
                  output_tokens_details=of(thinking_tokens=st.just(0)))),
    container=objects, stop_details=objects, context_management=objects, x_unknown=objects,
)  # fmt: skip

text_part = of(type=st.just("output_text"), text=texts, annotations=st.lists(objects, max_size=2))
output = (
    of(type=st.just("message"), id=texts, role=st.just("assistant"), status=st.just("completed"),
       content=st.lists(text_part | of(type=st.just("refusal"), refusal=texts), max_size=3))
    | also(of(type=st.just("reasoning"), id=texts,
              summary=st.lists(of(type=st.just("summary_text"), text=texts), max_size=2)),
           content=st.lists(of(type=st.just("reasoning_text"), text=texts), max_size=2), encrypted_content=texts)
    | of(type=st.just("function_call"), id=texts, call_id=texts, name=texts, arguments=arguments | texts)
    | of(type=st.just("custom_tool_call"), id=texts, call_id=texts, name=texts, input=texts)
    | of(type=st.just("web_search_call"), id=texts, status=texts, action=objects)
)  # fmt: skip
ends = st.just({"status": "completed"}) | st.just(
    {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
)
response_bodies = st.tuples(
    also(
        of(id=texts, object=st.just("response"), created_at=figure, model=texts, output=st.lists(output, max_size=3),
           usage=of(input_tokens=count, output_tokens=count)),
        tools=st.lists(objects, max_size=1), metadata=objects, x_unknown=figure,
    ),
    ends,
).map(lambda pair: {**pair[0], **pair[1]})  # fmt: skip

gemini_part = (
    also(of(text=texts), thought=st.just(value=True), thoughtSignature=texts)
    | of(functionCall=of(name=texts, args=objects))
    | of(inlineData=of(mimeType=texts, data=texts))
)
candidate = also(
    of(content=of(parts=st.lists(gemini_part, max_size=3), role=st.just("model")),
       finishReason=st.sampled_from(["STOP", "MAX_TOKENS"])),
    logprobsResult=objects, avgLogprobs=figure, safetyRatings=st.lists(objects, max_size=2),
    citationMetadata=objects,
)  # fmt: skip
gemini_bodies = also(
    of(candidates=st.lists(candidate, min_size=1, max_size=3).map(
        lambda found: [{**each, "index": index} for index, each in enumerate(found)]),
       usageMetadata=of(promptTokenCount=count, candidatesTokenCount=count)),
    modelVersion=texts, responseId=texts, x_unknown=objects,
)  # fmt: skip

cohere_call = of(id=texts, type=st.just("function"), function=of(name=texts, arguments=arguments | texts))
cohere_message = also(
    of(role=st.just("assistant")), tool_plan=texts, tool_calls=st.lists(cohere_call, max_size=2),
    citations=st.lists(objects, max_size=2), content=st.lists(
        of(type=st.just("text"), text=texts) | of(type=st.just("thinking"), thinking=texts), max_size=3),
)  # fmt: skip
cohere_bodies = of(
    id=texts, message=cohere_message, finish_reason=st.sampled_from(["COMPLETE", "MAX_TOKENS", "TOOL_CALL"]),
    usage=of(billed_units=of(input_tokens=count, output_tokens=count)),
)  # fmt: skip

ollama_bodies = also(
    of(model=texts, created_at=texts, done=st.just(value=True), done_reason=st.sampled_from(["stop", "length"]),
       message=also(of(role=st.just("assistant"), content=texts), thinking=texts, images=st.lists(texts, max_size=2),
                    tool_calls=st.lists(of(function=of(name=texts, arguments=objects)), max_size=2))),
    prompt_eval_count=count, eval_count=count, total_duration=count,
    logprobs=st.lists(of(token=texts, logprob=figure), max_size=2),
)  # fmt: skip

WELL_FORMED = {
    "openai-chat": chat_bodies,
    "anthropic-messages": messages,
    "openai-responses": response_bodies,
    "gemini": gemini_bodies,
    "cohere": cohere_bodies,
    "ollama": ollama_bodies,
}
ANY = {
    "openai-chat": chat.responses,
    "anthropic-messages": messages | chat.junk,
    "openai-responses": openai_responses.responses,
    "gemini": gemini.responses,
    "cohere": cohere_ollama.cohere_responses,
    "ollama": cohere_ollama.ollama_responses,
}
each_codec = pytest.mark.parametrize("which", list(CODECS))


@each_codec
@given(data=st.data())
def test_every_whole_answer_has_a_stream(which: str, data: st.DataObject) -> None:
    codec, body = CODECS[which], written(data.draw(WELL_FORMED[which]))
    made = codec.as_stream(body, data.draw(st.sampled_from(QUERIES)))
    assert made is not None
    check_stream(codec, body, made, data.draw(st.lists(st.integers(0, 500), max_size=8)))


def spoiled(value: Any, data: st.DataObject) -> Any:
    """A well-formed value with something else in one place."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 3)):
        key = data.draw(st.sampled_from(sorted(value)))
        return {**value, key: spoiled(value[key], data)}
    if isinstance(value, list) and value and data.draw(st.integers(0, 3)):
        at = data.draw(st.integers(0, len(value) - 1))
        return [*value[:at], spoiled(value[at], data), *value[at + 1 :]]
    return data.draw(chat.junk)


def check_any(codec: Codec, body: bytes) -> None:
    for query in QUERIES:
        made = codec.as_stream(body, query)
        if made is None:
            continue
        try:
            codec.decode_response(body)
        except DecodeError:
            continue  # such an answer is never kept
        check_stream(codec, body, made, [], sure=False)


# The same examples each time: chance looks further in tests/fuzz, whose doors ask the same of both forms.
@each_codec
@settings(derandomize=True)
@given(data=st.data())
def test_what_is_not_as_it_should_be_says_the_same_or_has_no_stream(which: str, data: st.DataObject) -> None:
    check_any(CODECS[which], written(spoiled(data.draw(WELL_FORMED[which]), data)))
    check_any(CODECS[which], written(data.draw(ANY[which])))


@each_codec
@settings(derandomize=True)
@given(data=st.data())
def test_a_stream_that_is_not_as_it_should_be_says_the_same_or_has_no_body(which: str, data: st.DataObject) -> None:
    codec = CODECS[which]
    made = codec.as_stream(written(data.draw(WELL_FORMED[which])), "alt=sse")
    assert made is not None
    at = data.draw(st.integers(0, len(made) - 1))
    (event,) = framed(codec, made[at])
    if event.data is not None and event.data.startswith(b"{"):
        other = written(spoiled(json.loads(event.data), data))
        made[at] = event.raw.replace(event.data, other)
    shuffled = data.draw(st.sampled_from([made, [*made[:at], *made[at + 1 :]], [*made[: at + 1], *made[at:]]]))
    events = framed(codec, b"".join(shuffled))
    body = codec.as_body(events)
    if body is not None:
        try:
            codec.decode_response(body)
        except DecodeError:
            return
        check_body(codec, events, body)


@each_codec
@given(st.binary(max_size=60))
def test_any_bytes(which: str, junk: bytes) -> None:
    codec = CODECS[which]
    for data in (junk, b'{"choices":' + junk, b"data: " + junk + b"\n\n", b'{"done":true}\n' + junk):
        assert codec.as_stream(data) is None
        assert codec.as_body([*framed(codec, data), WireEvent(data, None, data)]) is None


def test_embeddings_have_one_form() -> None:
    dialect = named("openai-embeddings")
    assert dialect is not None
    assert not hasattr(dialect, "as_stream")
