from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dialects.openai_recordings import ALL, DIALECT, Recorded, name

from interlay import dialects
from interlay.model.protocols import Codec


def outline(**body: Any) -> Any:
    return DIALECT.outline(json.dumps(body).encode())


class TestFinding:
    @pytest.mark.parametrize(
        "path",
        ["/v1/chat/completions", "/chat/completions", "/openai/deployments/x/chat/completions", "/v4/chat/completions"],
    )  # fmt: skip
    def test_by_path(self, path: str) -> None:
        found = dialects.find("POST", path)
        assert found is not None
        assert found.name == "openai-chat"

    @pytest.mark.parametrize(
        ("method", "path"),
        [("GET", "/v1/chat/completions"), ("POST", "/v1/completions"), ("POST", "/v1/chat/completions/1")],
    )  # fmt: skip
    def test_leaves_other_requests_alone(self, method: str, path: str) -> None:
        found = dialects.find(method, path)
        assert found is None or found.name != "openai-chat"

    def test_it_is_a_codec(self) -> None:
        codec: Codec = DIALECT
        assert isinstance(codec, Codec)


class TestOutline:
    def test_reads_parameters_and_no_contents(self) -> None:
        found = outline(
            model="gpt-4o", messages=[{"role": "user", "content": "canary"}], temperature=0.5, top_p=1, max_tokens=10,
            max_completion_tokens=12, n=2, seed=7, frequency_penalty=0.25, presence_penalty=-1, stop=["canary", "b"],
            reasoning_effort="high", response_format={"type": "json_schema", "json_schema": {"name": "canary"}},
            tools=[{"type": "function", "function": {"name": "canary"}}], service_tier="flex", user="canary",
            stream=False, top_logprobs=3, logprobs=True, parallel_tool_calls=False, metadata={"a": "canary"},
        )  # fmt: skip
        assert found.model == "gpt-4o"
        assert not found.streamed
        assert found.readable
        assert "canary" not in repr(found)
        assert found.parameters == {
            "temperature": 0.5, "top_p": 1, "max_tokens": 10, "max_completion_tokens": 12, "n": 2, "seed": 7,
            "frequency_penalty": 0.25, "presence_penalty": -1, "stop_count": 2, "reasoning_effort": "high",
            "response_format": "json_schema", "tool_count": 1, "service_tier": "flex", "top_logprobs": 3,
            "logprobs": True, "parallel_tool_calls": False,
        }  # fmt: skip

    def test_knows_other_hosts_names(self) -> None:
        assert outline(reasoning={"effort": "low", "max_tokens": 5}, stop="x").parameters == {
            "reasoning_effort": "low",
            "reasoning_budget": 5,
            "stop_count": 1,
        }

    @pytest.mark.parametrize(
        ("options", "wants"),
        [({}, False), ({"stream_options": {"include_usage": True}}, True), ({"stream_options": None}, False),
         ({"stream_options": {"include_usage": False}}, False), ({"stream_options": {"include_usage": 1}}, False)],
    )  # fmt: skip
    def test_tells_whether_usage_was_asked_for(self, options: dict[str, Any], *, wants: bool) -> None:
        assert outline(stream=True, **options).wants_usage is wants

    @pytest.mark.parametrize("value", ["x", [], {}, True, [{}], "1", 2**70, {"a": [1]}], ids=repr)
    def test_wrong_types_are_unknown(self, value: object) -> None:
        fields = ("model", "stream_options", "temperature", "max_tokens", "n", "tools", "stop", "response_format")
        found = outline(**dict.fromkeys(fields, value), seed=7, stream=True)
        assert found.readable
        assert found.streamed
        assert found.parameters["seed"] == 7
        assert not isinstance(found.parameters.get("n"), str | list | dict | bool)

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b'{"model":"\xff"}', b"\xff\xfe{", b"[" * 100_000])
    def test_what_is_no_request_is_unreadable(self, body: bytes) -> None:
        assert not DIALECT.outline(body).readable

    @given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda junk: b'{"model":"m","n":' + junk + b"}"))
    def test_never_raises(self, body: bytes) -> None:
        DIALECT.outline(body)
        DIALECT.ask_usage(body)

    @pytest.mark.parametrize("recorded", ALL, ids=name)
    def test_of_recordings(self, recorded: Recorded) -> None:
        found = DIALECT.outline(json.dumps(recorded.request).encode())
        assert found.model == recorded.request["model"]
        assert found.streamed is recorded.streamed or recorded.status >= 400
        for key in ("temperature", "n", "seed", "max_tokens", "service_tier"):
            assert found.parameters.get(key) == recorded.request.get(key)


class TestAskingForUsage:
    def test_adds_one_member_and_leaves_every_other_byte(self) -> None:
        body = b'{ "stream" : true,\n "x":"\\u0041 \\"stream_options\\":null", "n":1.50 }'
        asked = DIALECT.ask_usage(body)
        assert asked == body.replace(b": true,", b': true,"stream_options":{"include_usage":true},')
        assert DIALECT.outline(asked).wants_usage

    @pytest.mark.parametrize(
        ("options", "asked"),
        [(b"null", b'{"include_usage":true}'), (b"{}", b'{"include_usage":true}'),
         (b'{"include_obfuscation": false}', b'{"include_obfuscation": false,"include_usage":true}'),
         (b'{"include_usage": null, "a":1}', b'{"include_usage": true, "a":1}'),
         (b'{"include_usage":false}', b'{"include_usage":true}')],
    )  # fmt: skip
    def test_goes_into_options_that_are_there(self, options: bytes, asked: bytes) -> None:
        body = b'{"stream_options":%s,"stream":true,"model":"m"}'
        assert DIALECT.ask_usage(body % options) == body % asked

    @pytest.mark.parametrize(
        "body",
        [
            b'{"stream":true,"stream_options":{"include_usage":true}}', b'{"stream":false}', b'{"model":"m"}',
            b'{"stream":null}', b'{"stream":"true"}', b'{"stream":1}', b'{"stream":true,"stream":true}',
            b'{"stream":false,"\\u0073tream":true}', b'{"stream":true,"stream_options":{},"stream_options":null}',
            b'{"stream":true,"stream_options":[]}', b'{"stream":true,"stream_options":"x"}',
            b'{"stream":true,"stream_options":{"include_usage":"yes"}}', b'["stream"]', b'{"stream":true', b"", b"\xff",
            b'{"stream":true,"stream_options":{"include_usage":false,"include_usage":false}}',
            b'{"messages":[{"stream":true}]}',
        ],
    )  # fmt: skip
    def test_is_left_undone_where_it_is_not_needed_or_not_clear(self, body: bytes) -> None:
        assert DIALECT.ask_usage(body) is None

    @pytest.mark.parametrize("recorded", [each for each in ALL if each.request.get("stream") is True], ids=name)
    @pytest.mark.parametrize("indent", [None, 2])
    def test_of_recordings(self, recorded: Recorded, indent: int | None) -> None:
        body = json.dumps(recorded.request, indent=indent).encode()
        asked = DIALECT.ask_usage(body)
        if "stream_options" in recorded.request:
            assert asked is None
        else:
            assert asked is not None
            assert json.loads(asked) == {**recorded.request, "stream_options": {"include_usage": True}}
            assert asked.replace(b',"stream_options":{"include_usage":true}', b"") == body
