from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.dialects.exchanges import STREAMS, Exchanged, framed, name

from interlay.dialects.openai_responses import OpenAIResponses
from interlay.model.places import Channel
from interlay.model.protocols import WireEvent

DIALECT = OpenAIResponses()
STREAMED = [each for each in STREAMS if each.codec.name == DIALECT.name]
TEXT: Channel = ("text", 1, 0)


def event(kind: str, **members: Any) -> WireEvent:
    data = json.dumps({"type": kind, "output_index": 1, "content_index": 0, **members}).encode()
    return WireEvent(b"event: %s\ndata: %s\n\n" % (kind.encode(), data), kind, data)


def found(kind: str, **members: Any) -> list[tuple[tuple[str | int, ...], Channel, str, str]]:
    return [
        (place.path, place.channel, place.role, place.text) for place in DIALECT.event_places(event(kind, **members))
    ]


def rewritten(one: WireEvent, texts: dict[Channel, str], wholes: dict[Channel, str] | None = None) -> Any:
    (made,) = framed(DIALECT, DIALECT.rewrite(one, texts, wholes))
    return json.loads(made.data or b"")


class TestEvents:
    @pytest.mark.parametrize(
        ("kind", "channel"),
        [
            ("output_text", TEXT),
            ("refusal", ("refusal", 1, 0)),
            ("reasoning_text", ("reasoning", 1, 0)),
            ("function_call_arguments", ("tool_arguments", 1, 0)),
            ("custom_tool_call_input", ("tool_arguments", 1, 0)),
            ("code_interpreter_call_code", ("tool_arguments", 1, 0)),
        ],
    )
    def test_deltas_and_their_repeats_share_a_channel(self, kind: str, channel: Channel) -> None:
        said = {"refusal": "refusal", "function_call_arguments": "arguments", "custom_tool_call_input": "input",
                "code_interpreter_call_code": "code"}.get(kind, "text")  # fmt: skip
        assert found(f"response.{kind}.delta", delta="a") == [(("delta",), channel, "delta", "a")]
        assert found(f"response.{kind}.done", **{said: "ab"}) == [((said,), channel, "repeat", "ab")]

    def test_a_summary_is_no_text_of_the_same_number(self) -> None:
        assert found("response.reasoning_summary_text.delta", delta="a", summary_index=1) == [
            (("delta",), ("reasoning", 1, -2), "delta", "a")
        ]

    def test_parts(self) -> None:
        part = {"type": "output_text", "text": "ab", "annotations": [{"title": "t"}], "logprobs": [{"token": "a"}]}
        for kind, role in (("added", "delta"), ("done", "repeat")):
            assert found(f"response.content_part.{kind}", part=part) == [
                (("part", "text"), TEXT, role, "ab"),
                (("part", "annotations"), TEXT, "echo", ""),
                (("part", "logprobs"), TEXT, "echo", ""),
            ]

    def test_items(self) -> None:
        message = {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "ab"}]}
        assert found("response.output_item.done", item=message) == [
            (("item", "content", 0, "text"), TEXT, "repeat", "ab")
        ]
        call = {"type": "function_call", "name": "f", "call_id": "c", "arguments": "{}"}
        assert found("response.output_item.done", item=call) == [
            (("item", "arguments"), ("tool_arguments", 1, 0), "repeat", "{}")
        ]

    def test_what_no_delta_tells_of_is_said_where_it_stands(self) -> None:
        search = {"type": "web_search_call", "id": "w", "action": {"type": "search", "query": "q"}}
        assert found("response.output_item.done", item=search) == [
            (("item", "action", "query"), ("other", 1, -1), "delta", "q")
        ]
        output = {"type": "mcp_call", "name": "f", "arguments": "{}", "output": "found", "error": None}
        assert found("response.output_item.done", item=output) == [
            (("item", "arguments"), ("tool_arguments", 1, 0), "repeat", "{}"),
            (("item", "output"), ("tool_result", 1, -1), "delta", "found"),
        ]

    def test_the_terminal_event_repeats_all(self) -> None:
        message = {"type": "message", "content": [{"type": "output_text", "text": "ab"}]}
        response = {"id": "r", "instructions": "be kind", "metadata": {"name": "n"}, "output": [{}, message]}
        assert found("response.completed", response=response) == [
            (("response", "instructions"), ("other", 0, -1), "delta", "be kind"),
            (("response", "metadata", "name"), ("other", 0, -1), "delta", "n"),
            (("response", "output", 1, "content", 0, "text"), TEXT, "repeat", "ab"),
        ]

    def test_citations_show_text(self) -> None:
        assert found("response.output_text.annotation.added", annotation={"title": "t", "url": "u"}) == [
            (("annotation",), TEXT, "echo", "")
        ]

    def test_failures(self) -> None:
        assert found("error", message="m", code="c") == [(("message",), ("error", 0, -1), "delta", "m")]
        response = {"error": {"code": "c", "message": "m"}}
        assert found("response.failed", response=response) == [
            (("response", "error", "message"), ("error", 0, -1), "delta", "m")
        ]

    def test_sound_and_pictures_are_no_text(self) -> None:
        assert found("response.audio.delta", delta="QQ==") == []
        assert found("response.image_generation_call.partial_image", partial_image_b64="QQ==") == []
        assert found("response.output_item.done", item={"type": "image_generation_call", "result": "QQ=="}) == []


class TestRequests:
    def test_where_the_text_is(self) -> None:
        body = {
            "instructions": "a",
            "input": [
                {"role": "developer", "content": "b"},
                {"role": "user", "content": [{"type": "input_text", "text": "c"}]},
                {"type": "function_call", "name": "f", "arguments": "d"},
                {"type": "function_call_output", "call_id": "x", "output": "e"},
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "f"}],
                 "encrypted_content": "sealed"},
                {"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url":
                 "data:image/png;base64,QQ=="}},
            ],
            "tools": [{"type": "function", "name": "f", "description": "g", "parameters": {"required": ["x"]}}],
            "metadata": {"name": "h"},
            "prompt": {"id": "i", "variables": {"type": "j"}},
            "model": "m",
        }  # fmt: skip
        assert [(place.channel, place.text) for place in DIALECT.request_places(body)] == [
            (("system", 0, 0), "a"),
            (("system", 0, 0), "b"),
            (("text", 1, 0), "c"),
            (("tool_arguments", 2, 0), "d"),
            (("tool_result", 3, -1), "e"),
            (("reasoning", 4, -1), "f"),
            (("tool", 0, -1), "g"),
            (("other", 0, -1), "h"),
            (("other", 0, -1), "i"),
            (("other", 0, -1), "j"),
        ]

    def test_a_string_is_the_users_first_turn(self) -> None:
        (place,) = DIALECT.request_places({"input": "a"})
        assert (place.path, place.channel) == (("input",), ("text", 0, 0))


class TestRewriting:
    def test_a_delta(self) -> None:
        one = event("response.output_text.delta", delta="abc", logprobs=[{"token": "abc"}], obfuscation="xxxxx",
                    sequence_number=7)  # fmt: skip
        said = rewritten(one, {TEXT: "a"})
        assert (said["delta"], said["logprobs"], len(said["obfuscation"]), said["sequence_number"]) == ("a", [], 7, 7)

    def test_repeats_say_what_was_released(self) -> None:
        part = {"type": "output_text", "text": "secret", "annotations": [{"title": "t"}]}
        item = {"type": "message", "content": [part]}
        for one, path in (
            (event("response.output_text.done", text="secret"), ("text",)),
            (event("response.content_part.done", part=part), ("part", "text")),
            (event("response.output_item.done", item=item), ("item", "content", 0, "text")),
            (
                event("response.completed", response={"output": [{}, item]}),
                ("response", "output", 1, "content", 0, "text"),
            ),
        ):
            value = rewritten(one, {}, {TEXT: "******"})
            for step in path:
                value = value[step]
            assert value == "******"

    def test_of_a_changed_channel_without_a_whole_nothing_is_repeated(self) -> None:
        said = rewritten(
            event("response.content_part.done", part={"type": "output_text", "text": "secret"}), {TEXT: ""}
        )
        assert said["part"]["text"] == ""

    @pytest.mark.parametrize("each", STREAMED, ids=name)
    def test_a_whole_stream_says_the_other_text_everywhere(self, each: Exchanged) -> None:
        """The texts of every channel in capitals: what the deltas add up to is what each repeat says."""
        wholes: dict[Channel, str] = {}
        made = b""
        for one in framed(DIALECT, each.answer):
            texts: dict[Channel, str] = {}
            for place in DIALECT.event_places(one):
                if place.role == "delta" and place.channel[0] in ("text", "tool_arguments"):
                    texts[place.channel] = texts.get(place.channel, "") + place.text.upper()
            wholes |= {channel: wholes.get(channel, "") + text for channel, text in texts.items()}
            made += DIALECT.rewrite(one, texts, wholes)
        events = framed(DIALECT, made)
        said = [item for item in DIALECT.streamed_answer(events) if item["type"] in ("message", "function_call")]
        cut = [item for item in DIALECT.streamed_answer(events[:-1]) if item["type"] in ("message", "function_call")]
        assert said
        assert said == cut
        for item in said:
            text = item.get("arguments") or item["content"][0]["text"]
            assert text == text.upper()


class TestNumbers:
    @pytest.mark.parametrize("each", STREAMED, ids=name)
    def test_events_can_be_numbered_anew(self, each: Exchanged) -> None:
        events = framed(DIALECT, each.answer)
        again = b"".join(DIALECT.renumber(one, 5 + at) for at, one in enumerate(events))
        for at, (one, made) in enumerate(zip(events, framed(DIALECT, again), strict=True)):
            before, after = json.loads(one.data or b""), json.loads(made.data or b"")
            if "sequence_number" in before:
                assert after.pop("sequence_number") == 5 + at
                before.pop("sequence_number")
            assert after == before

    def test_the_number_of_an_object_in_it_is_not_its_own(self) -> None:
        one = event("response.output_item.done", item={"sequence_number": 3}, sequence_number=4)
        assert json.loads(DIALECT.renumber(one, 9).split(b"data: ")[1]) == {
            **json.loads(one.data or b""), "sequence_number": 9,
        }  # fmt: skip

    def test_wherever_it_stands(self) -> None:
        data = b'{"sequence_number": 4,"item":{"sequence_number":3}}'
        one = WireEvent(b"data: " + data + b"\n\n", None, data)
        assert DIALECT.renumber(one, 9) == b'data: {"sequence_number": 9,"item":{"sequence_number":3}}\n\n'

    def test_an_event_without_one_stays(self) -> None:
        one = event("keepalive")
        assert DIALECT.renumber(one, 9) == one.raw
