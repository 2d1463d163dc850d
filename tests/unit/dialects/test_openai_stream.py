from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dialects.openai_recordings import DIALECT, STREAMS, Recorded, event, events_of, name

from interlay.model.errors import DecodeError
from interlay.model.messages import Delta, Reasoning, Text, ToolCall
from interlay.model.protocols import WireEvent
from interlay.model.usage import Usage


def chunk(index: int = 0, finish: str | None = None, **delta: Any) -> WireEvent:
    return event({"id": "c", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]})


def calls(*pieces: dict[str, Any]) -> list[tuple[str | None, str, str]]:
    """Id, name and arguments of the calls that pieces in one choice add up to."""
    response = DIALECT.assemble([chunk(tool_calls=[piece]) for piece in pieces])
    content = response.choices[0].message.content
    return [(part.id, part.name, part.arguments) for part in content if isinstance(part, ToolCall)]


def piece(index: object = None, id: str | None = None, name: str | None = None, arguments: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"function": {"arguments": arguments}}
    if index is not None:
        made["index"] = index
    if id is not None:
        made |= {"id": id, "type": "function"}
    if name is not None:
        made["function"]["name"] = name
    return made


class TestEvents:
    @pytest.mark.parametrize("recorded", STREAMS, ids=name)
    def test_written_anew_they_say_the_same(self, recorded: Recorded) -> None:
        for each in events_of(recorded.body):
            deltas = DIALECT.decode_event(each)
            said = [(d.kind, d.choice, d.block, d.text, d.name, d.finish_reason) for d in deltas if d.kind != "usage"]
            for delta in deltas:
                delta.raw = delta.origin = None
            again = [delta for made in events_of(DIALECT.encode_event(deltas)) for delta in DIALECT.decode_event(made)]
            assert [
                (d.kind, d.choice, d.block, d.text, d.name, d.finish_reason) for d in again if d.kind != "usage"
            ] == said

    def test_a_changed_text_is_the_only_change(self) -> None:
        before = {"id": "c", "x": 1, "choices": [{"index": 0, "delta": {"content": "a", "y": 2}, "logprobs": None}]}
        deltas = DIALECT.decode_event(event(before))
        assert [(delta.kind, delta.text) for delta in deltas] == [("text", "a")]
        deltas[0].text = "b"
        before["choices"][0]["delta"]["content"] = "b"  # type: ignore[index]
        assert DIALECT.encode_event(deltas) == event(before).raw

    def test_an_added_delta_makes_the_choices_anew(self) -> None:
        deltas = DIALECT.decode_event(chunk(content="a"))
        deltas.append(Delta(kind="finish", finish_reason="content_filter"))
        (made,) = events_of(DIALECT.encode_event(deltas))
        assert made.data is not None
        wire = json.loads(made.data)
        assert wire["id"] == "c"
        assert wire["choices"][0]["delta"] == {"content": "a"}
        assert wire["choices"][0]["finish_reason"] == "content_filter"

    def test_every_kind_can_be_written(self) -> None:
        deltas = [
            Delta(kind="start", role="assistant", id="r", model="m"),
            Delta(kind="reasoning", text="why"),
            Delta(kind="signature", text="of another maker"),
            Delta(kind="text", text="a"),
            Delta(kind="refusal", text="no"),
            Delta(kind="tool_call", block=2, id="c", name="f"),
            Delta(kind="tool_arguments", block=2, text="{}"),
            Delta(kind="finish", finish_reason="tool_calls"),
            Delta(kind="usage", usage=Usage(input_tokens=1, output_tokens=2)),
        ]
        (made,) = events_of(DIALECT.encode_event(deltas))
        again = DIALECT.decode_event(made)
        assert [delta.kind for delta in again] == [delta.kind for delta in deltas if delta.kind != "signature"]
        assert again[0].id == "r"
        assert again[-1].usage is not None
        assert again[-1].usage.output_tokens == 2

    def test_no_delta_is_no_event(self) -> None:
        assert DIALECT.decode_event(event({"choices": [], "prompt_filter_results": []})) == []
        assert DIALECT.decode_event(WireEvent(b": note\n\n", None, None)) == []
        assert DIALECT.encode_event([]) == b""
        assert DIALECT.encode_event(DIALECT.decode_event(event(b"[DONE]"))) == b"data: [DONE]\n\n"

    def test_what_is_no_chunk_is_refused(self) -> None:
        with pytest.raises(DecodeError):
            DIALECT.decode_event(event(b"{"))


class TestAssembly:
    def test_choices_that_come_by_turns(self) -> None:
        events = [chunk(index=at % 2, content=text) for at, text in enumerate("aAbBcC")]
        events += [chunk(index=1, finish="length"), chunk(index=0, finish="stop")]
        response = DIALECT.assemble(events)
        assert [(choice.index, choice.finish_reason) for choice in response.choices] == [(0, "stop"), (1, "length")]
        texts = [part.text for choice in response.choices for part in choice.message.content if isinstance(part, Text)]
        assert texts == ["abc", "ABC"]

    def test_reasoning_and_parts(self) -> None:
        thought = {"type": "thinking", "thinking": [{"type": "text", "text": "wh"}]}
        events = [
            chunk(role="assistant", content=""),
            chunk(content=[thought]),
            chunk(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "y"}]}]),
            chunk(content="an"),
            chunk(content="swer"),
        ]
        content = DIALECT.assemble(events).choices[0].message.content
        assert [part.text for part in content if isinstance(part, Reasoning | Text)] == ["why", "answer"]

    def test_unknown_members_are_kept_and_padding_is_not(self) -> None:
        first = {"id": "c", "object": "chat.completion.chunk", "x": 1, "obfuscation": "abc", "p": "ab"}
        first["choices"] = [{"index": 0, "delta": {"content": "a", "y": 2}, "z": 3, "finish_reason": None}]
        response = json.loads(DIALECT.encode_response(DIALECT.assemble([event(first), chunk(finish="stop")])))
        assert response == {
            "id": "c",
            "object": "chat.completion",
            "x": 1,
            "choices": [{"index": 0, "finish_reason": "stop", "z": 3, "message": {"content": "a", "y": 2}}],
        }

    def test_log_probabilities_go_on(self) -> None:
        def said(token: str) -> WireEvent:
            choice = {
                "index": 0,
                "delta": {"content": token},
                "logprobs": {"content": [{"token": token}], "refusal": None},
            }
            return event({"choices": [choice]})

        logprobs = DIALECT.assemble([said("a"), said("b")]).choices[0].logprobs
        assert logprobs == {"content": [{"token": "a"}, {"token": "b"}], "refusal": None}

    @given(st.lists(st.binary(max_size=30) | st.sampled_from([b'{"choices":[{"delta":{"tool_calls":[{}]}}]}', b"[]"])))
    def test_any_events(self, datas: list[bytes]) -> None:
        DIALECT.streamed_answer([event(data) for data in datas])


class TestPain16:
    """Tool calls whose pieces are hard to tell apart."""

    def test_by_index(self) -> None:
        assert calls(
            piece(0, "a", "f", ""), piece(1, "b", "g", ""), piece(1, arguments='{"y"'), piece(0, arguments='{"x"'),
            piece(0, arguments=":1}"), piece(1, arguments=":2}"),
        ) == [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')]  # fmt: skip

    def test_all_on_index_0_with_ids_of_their_own(self) -> None:
        assert calls(
            piece(0, "a", "f", '{"x'), piece(0, arguments='":1}'),
            piece(0, "b", "g", '{"y'), piece(0, arguments='":2}'),
        ) == [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')]  # fmt: skip

    def test_all_on_index_0_without_ids(self) -> None:
        assert calls(piece(0, "", "f", '{"x":1}'), piece(0, "", "f", '{"x":2}')) == [
            ("", "f", '{"x":1}'),
            ("", "f", '{"x":2}'),
        ]

    @pytest.mark.parametrize("index", [None, -1, "0", True, 1.5], ids=repr)
    def test_without_an_index(self, index: object) -> None:
        assert calls(
            piece(index, "a", "f", '{"x'), piece(index, arguments='":1}'),
            piece(index, "b", "g", '{"y'), piece(index, "b", arguments='":2}'),
        ) == [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')]  # fmt: skip

    def test_the_same_id_and_name_on_every_piece(self) -> None:
        assert calls(piece(0, "a", "f", '{"x'), piece(0, "a", "f", '":1'), piece(0, "a", "f", "}")) == [
            ("a", "f", '{"x":1}')
        ]

    def test_one_id_on_two_indexes_is_two_calls(self) -> None:
        assert calls(piece(0, "a", "f", "{}"), piece(1, "a", "g", "[]")) == [("a", "f", "{}"), ("a", "g", "[]")]

    def test_far_indexes_and_arguments_that_are_no_json(self) -> None:
        assert calls(piece(10**9, "a", "f", "not "), piece(10**9, arguments="json")) == [("a", "f", "not json")]

    @given(st.data())
    def test_any_interleaving(self, data: st.DataObject) -> None:
        wanted = [(f"id{at}", f"f{at}", json.dumps({"a": at})) for at in range(data.draw(st.integers(1, 4)))]
        queues = []
        for at, (call_id, function, arguments) in enumerate(wanted):
            cut = data.draw(st.integers(0, len(arguments)))
            queues.append(
                [
                    piece(at, call_id, function),
                    piece(at, arguments=arguments[:cut]),
                    piece(at, arguments=arguments[cut:]),
                ]
            )
        pieces = []
        while any(queues):
            pieces.append(data.draw(st.sampled_from([queue for queue in queues if queue])).pop(0))
        assert sorted(calls(*pieces)) == wanted

    def test_calls_are_bounded(self, rng: random.Random) -> None:
        pieces = [piece(rng.randrange(10**9), f"id{at}", "f", "{}") for at in range(6000)]
        events = [chunk(tool_calls=pieces[at : at + 500]) for at in range(0, 6000, 500)]
        assert len(DIALECT.assemble(events).choices[0].message.content) == 4096
