"""What the other form of a chat completion looks like, and what has none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.dialects.exchanges import framed
from tests.unit.dialects.other_forms import CALL, CHAT, streamed, whole

CHAT_USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


def completion(*choices: dict[str, Any], **members: Any) -> dict[str, Any]:
    top = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-x"}
    return {**top, "choices": list(choices), "usage": CHAT_USAGE, **members}


def choice(index: int = 0, finish: str | None = "stop", **message: Any) -> dict[str, Any]:
    return {"index": index, "message": {"role": "assistant", **message}, "finish_reason": finish}


def chunk(delta: Any = None, finish: str | None = None, **members: Any) -> dict[str, Any]:
    top = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x"}
    said = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {**top, "choices": said, **members}


USAGE_CHUNK = chunk(usage=CHAT_USAGE)
DONE = b"[DONE]"


SAID = chunk({"content": "Hello"})
END = chunk({}, "stop")


class TestChatCompletions:
    def test_chunks_are_those_of_the_api(self) -> None:
        chunks = streamed(CHAT, completion(choice(content="Hello", refusal=None), system_fingerprint="fp"))
        top = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x",
               "system_fingerprint": "fp"}  # fmt: skip
        said = [
            ({"role": "assistant", "refusal": None, "content": ""}, None),
            ({"content": "Hello"}, None),
            ({}, "stop"),
        ]
        assert chunks == [
            *({**top, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None}
              for delta, finish in said),
            {**top, "choices": [], "usage": CHAT_USAGE},
        ]  # fmt: skip

    def test_a_stream_ends_as_the_api_ends_it(self) -> None:
        made = CHAT.as_stream(json.dumps(completion(choice(content="Hello"))).encode())
        assert made is not None
        assert made[-1] == b"data: [DONE]\n\n"

    def test_who_did_not_ask_for_usage_sees_none(self) -> None:
        body = json.dumps(completion(choice(content='a "usage":null b'))).encode()
        made = CHAT.as_stream(body)
        assert made is not None
        hidden = [CHAT.hide_usage(event) for event in framed(CHAT, b"".join(made))]
        assert hidden[-2] == b""
        shown = framed(CHAT, b"".join(hidden))
        assert len(shown) == len(made) - 1
        assert all("usage" not in json.loads(event.data or b"") for event in shown[:-1])

    def test_groqs_usage_stands_where_groq_has_it(self) -> None:
        chunks = streamed(CHAT, completion(choice(content="Hello"), x_groq={"id": "req_1"}))
        assert [each.get("x_groq") for each in chunks] == [None, None, {"id": "req_1", "usage": CHAT_USAGE}, None]
        body = whole(CHAT, chunk({"content": "Hello"}), chunk({}, "stop", x_groq={"id": "1", "usage": CHAT_USAGE}))
        assert (body["usage"], body["x_groq"]) == (CHAT_USAGE, {"id": "1"})

    def test_all_choices_begin_before_one_goes_on(self) -> None:
        body = completion(choice(0, content="a"), choice(1, "length", content="b"))
        found = [(each["choices"][0]["index"], each["choices"][0]["delta"]) for each in streamed(CHAT, body)[:-1]]
        assert found == [
            (0, {"role": "assistant", "content": ""}),
            (1, {"role": "assistant", "content": ""}),
            (0, {"content": "a"}),
            (1, {"content": "b"}),
            (0, {}),
            (1, {}),
        ]

    def test_log_probabilities_stand_beside_the_text_and_are_joined_again(self) -> None:
        beside: Any = {"content": [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.0}], "refusal": None}
        body = completion({**choice(content="ab"), "logprobs": beside})
        assert [each["choices"][0]["logprobs"] for each in streamed(CHAT, body)[:-1]] == [None, beside, None]
        pieces = [
            {"index": 0, "delta": {"content": each["token"]}, "logprobs": {"content": [each], "refusal": None}}
            for each in beside["content"]
        ]
        chunks = [{**chunk(), "choices": [piece]} for piece in pieces]
        joined = whole(CHAT, *chunks, chunk({}, "stop"), USAGE_CHUNK, DONE)
        assert joined["choices"][0]["logprobs"] == beside

    def test_what_a_model_thought_and_refused_and_called(self) -> None:
        message: Any = {"content": None, "reasoning_content": "Hm.", "refusal": "No.", "tool_calls": [CALL, CALL]}
        deltas = [each["choices"][0]["delta"] for each in streamed(CHAT, completion(choice(**message)))[:-1]]
        assert deltas == [
            {"role": "assistant", "content": None},
            {"reasoning_content": "Hm."},
            {"refusal": "No."},
            {"tool_calls": [{**CALL, "index": 0}]},
            {"tool_calls": [{**CALL, "index": 1}]},
            {},
        ]

    def test_calls_in_pieces_are_put_together(self) -> None:
        pieces = [
            {"role": "assistant", "content": None},
            {"tool_calls": [{"index": 0, **CALL, "function": {"name": "f", "arguments": ""}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]},
        ]
        body = whole(CHAT, *map(chunk, pieces), chunk({}, "tool_calls"), USAGE_CHUNK, DONE)
        assert body == completion(choice(finish="tool_calls", content=None, tool_calls=[CALL]))

    def test_padding_and_numbers_of_tokens_are_no_part_of_a_message(self) -> None:
        pieces = [chunk({"content": "a", "token_id": 1}, obfuscation="xyz"), chunk({"content": "b", "token_id": 2})]
        body = whole(CHAT, *pieces, chunk({"content": ""}, "stop"), USAGE_CHUNK, DONE)
        assert body == completion(choice(content="ab"))

    def test_verdicts_of_filters_stay(self) -> None:
        verdict = {"hate": {"filtered": False, "severity": "safe"}}
        said = {"index": 0, "delta": {"content": "a"}, "content_filter_results": verdict}
        ended = {"index": 0, "delta": {}, "finish_reason": "stop", "content_filter_results": {}}
        prompt = {**chunk(), "id": "", "model": "", "prompt_filter_results": [{"prompt_index": 0}]}
        body = whole(CHAT, prompt, {**chunk(), "choices": [said]}, {**chunk(), "choices": [ended]}, USAGE_CHUNK, DONE)
        assert body["id"] == "chatcmpl-1"
        assert body["choices"][0]["content_filter_results"] == verdict
        assert body["prompt_filter_results"] == [{"prompt_index": 0}]

    @pytest.mark.parametrize(
        "events",
        [
            pytest.param([SAID, END, DONE], id="no usage"),
            pytest.param([SAID, USAGE_CHUNK, DONE], id="no end"),
            pytest.param([SAID, END, {"error": {"message": "overloaded"}}, USAGE_CHUNK, DONE], id="an error"),
            pytest.param([SAID, b"{", END, USAGE_CHUNK, DONE], id="no JSON"),
            pytest.param([SAID, b"[]", END, USAGE_CHUNK, DONE], id="no object"),
            pytest.param([SAID, chunk({}, "stop", id="chatcmpl-2"), USAGE_CHUNK, DONE], id="two answers"),
            pytest.param([chunk({"thought": "a"}), chunk({"thought": "b"}), END, USAGE_CHUNK], id="pieces unknown"),
            pytest.param([chunk({"images": [1]}), chunk({"images": [2]}), END, USAGE_CHUNK], id="lists unknown"),
            pytest.param([SAID, END, chunk({}, "length"), USAGE_CHUNK, DONE], id="two ends"),
            pytest.param([USAGE_CHUNK, DONE], id="no choice"),
            pytest.param([], id="nothing"),
        ],
    )
    def test_what_is_no_completion(self, events: list[Any]) -> None:
        assert whole(CHAT, SAID, END, USAGE_CHUNK, DONE) is not None
        assert whole(CHAT, *events) is None

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(completion(choice(content="a"), error={"message": "x"}), id="an error"),
            pytest.param(completion(choice(finish=None, content="a")), id="no end"),
            pytest.param(completion(choice(content="a"), choice(content="b")), id="two in one place"),
            pytest.param(completion(), id="no choice"),
            pytest.param(completion({"index": 0, "finish_reason": "stop"}), id="no message"),
            pytest.param(completion(choice(content=None, audio={"data": "AA=="})), id="speech"),
        ],
    )
    def test_what_has_no_stream(self, body: Any) -> None:
        assert CHAT.as_stream(json.dumps(body).encode()) is None


def test_numbers_keep_all_their_digits() -> None:
    digits = b"0.1000000000000000055511151231257827021181583404541015625"
    body = json.dumps(completion(choice(content="a"), usage={**CHAT_USAGE, "cost": "#"})).encode()
    body = body.replace(b'"#"', digits)
    made = CHAT.as_stream(body)
    assert made is not None
    assert digits in made[-2]
    assert digits in (CHAT.as_body(framed(CHAT, b"".join(made))) or b"")
