from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.dialects.openai_recordings import ALL, DIALECT, STREAMS, Recorded, event, events_of, name

from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent

TEXT = ("text", 0, 0)
REASONING = ("reasoning", 0, 0)


def rewritten(data: dict[str, Any], texts: dict[tuple[str, int, int], str], **rest: Any) -> Any:
    (made,) = events_of(DIALECT.rewrite(event(data), texts, **rest))
    assert made.data is not None
    return json.loads(made.data)


def chunk(delta: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"id": "c", "choices": [{"index": 0, "delta": delta, **rest}]}


@pytest.mark.parametrize("recorded", ALL, ids=name)
def test_all_text_of_a_prompt_is_found(recorded: Recorded) -> None:
    texts = {place.text for place in DIALECT.request_places(recorded.request)}
    for message in recorded.request["messages"]:
        content = message.get("content")
        for text in [content] if isinstance(content, str) else [part.get("text") for part in content or []]:
            assert text is None or text in texts
        for call in message.get("tool_calls") or []:
            assert call["function"]["arguments"] in texts


@pytest.mark.parametrize("recorded", STREAMS, ids=name)
def test_deltas_of_a_stream_are_the_text_of_its_whole(recorded: Recorded) -> None:
    streamed: dict[tuple[str, int, int], str] = {}
    events = events_of(recorded.body)
    for each in events:
        for place in DIALECT.event_places(each):
            if place.role == "delta":
                streamed[place.channel] = streamed.get(place.channel, "") + place.text
    whole: dict[tuple[str, int, int], str] = {}
    for place in DIALECT.response_places(json.loads(DIALECT.encode_response(DIALECT.assemble(events)))):
        if place.role == "delta":
            whole[place.channel] = whole.get(place.channel, "") + place.text
    assert {channel: text for channel, text in streamed.items() if text} == {
        channel: text for channel, text in whole.items() if text
    }


class TestRewriting:
    def test_sets_what_is_asked_and_nothing_else(self) -> None:
        before = {
            "x": [1.5],
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a", "y": {}}, "z": None}],
        }
        after = json.loads(json.dumps(before))
        after["choices"][0]["delta"]["content"] = "b"
        assert rewritten(before, {TEXT: "b", ("text", 1, 0): "no such choice"}) == after

    def test_several_places_of_a_channel_take_it_once(self) -> None:
        before = chunk({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]})
        delta = rewritten(before, {TEXT: "c"})["choices"][0]["delta"]
        assert [part["text"] for part in delta["content"]] == ["c", ""]

    def test_echoes_go_with_a_change(self) -> None:
        before = chunk({"content": "a", "annotations": [{"x": 1}]}, logprobs={"content": [{"token": "a"}]})
        before["citations"] = ["u"]
        after = rewritten(before, {TEXT: "b"})
        assert after["choices"][0]["logprobs"] is None
        assert after["choices"][0]["delta"]["annotations"] == []
        assert after["citations"] == []

    def test_echoes_go_with_an_earlier_change(self) -> None:
        before = chunk({"content": "", "annotations": [{"x": 1}]}) | {"citations": ["u"]}
        after = rewritten(before, {TEXT: ""}, wholes={TEXT: "said before"})
        assert (after["choices"][0]["delta"]["annotations"], after["citations"]) == ([], [])
        assert rewritten(before, {TEXT: ""}, wholes={("text", 1, 0): "of another choice"}) == before

    def test_a_twin_is_set_too(self) -> None:
        after = rewritten(chunk({"content": "a"}, text="a"), {TEXT: "b"})
        assert (after["choices"][0]["text"], after["choices"][0]["delta"]["content"]) == ("b", "b")
        after = rewritten(chunk({"reasoning": "a", "reasoning_details": [{"text": "a"}]}), {REASONING: "b"})
        assert after["choices"][0]["delta"] == {"reasoning": "b", "reasoning_details": [{"text": "b"}]}

    def test_a_repeat_says_the_whole(self) -> None:
        before = chunk({"content": "b"}, message={"role": "assistant", "content": "ab"})
        after = rewritten(before, {TEXT: "x"}, wholes={TEXT: "ax"})
        assert after["choices"][0]["message"]["content"] == "ax"
        assert rewritten(before, {TEXT: "x"})["choices"][0]["message"]["content"] == ""

    def test_signed_reasoning_is_dropped_whole(self) -> None:
        detail = {"type": "reasoning.text", "text": "a", "signature": "s"}
        before = chunk({"reasoning": "a", "reasoning_details": [detail]})
        (place,) = [place for place in DIALECT.event_places(event(before)) if place.signed]
        assert place.path[-1] == "text"
        assert rewritten(before, {REASONING: "b"})["choices"][0]["delta"] == {"reasoning": "b", "reasoning_details": []}

    @pytest.mark.parametrize(("text", "padding"), [("abcdef", 7), ("a", 12), ("x" * 100, 1)])
    def test_padding_is_remade(self, text: str, padding: int) -> None:
        for key in ("obfuscation", "p"):
            before = chunk({"content": "abc"}) | {key: "0123456789"}
            assert len(rewritten(before, {TEXT: text})[key]) == padding

    def test_padding_stays_where_no_text_grew(self) -> None:
        before = b'{"id":"a","id":"b","choices":[{"index":0,"delta":{"content":"a"}}],"obfuscation":"Zx9"}'
        (made,) = events_of(DIALECT.rewrite(event(before), {}))
        assert made.data == before.replace(b'"id":"a",', b"")

    def test_tool_arguments(self) -> None:
        call = {"index": 3, "function": {"arguments": "a"}}
        after = rewritten(chunk({"tool_calls": [call]}), {("tool_arguments", 0, 3): "b"})
        assert after["choices"][0]["delta"]["tool_calls"] == [{"index": 3, "function": {"arguments": "b"}}]

    def test_what_cannot_be_read_is_refused(self) -> None:
        for each in (event(b"{"), event(b'"a"'), event(b'{"a":' * 200 + b"1" + b"}" * 200)):
            for read in (DIALECT.event_places, lambda each: DIALECT.rewrite(each, {})):
                with pytest.raises(DecodeError):
                    read(each)

    def test_what_has_no_text_stays(self) -> None:
        for each in (event(b"[DONE]"), WireEvent(b": note\n\n", None, None), event(b"")):
            assert DIALECT.event_places(each) == []
            assert DIALECT.rewrite(each, {TEXT: "a"}) == each.raw
