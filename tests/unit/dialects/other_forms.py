"""Answers in their other form, as JSON."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.dialects.exchanges import framed

from interlay.dialects import named
from interlay.model.protocols import Codec


def codec(name: str) -> Codec:
    found = named(name)
    assert isinstance(found, Codec)
    return found


CHAT, CLAUDE, RESPONSES = codec("openai-chat"), codec("anthropic-messages"), codec("openai-responses")
GEMINI, COHERE, OLLAMA = codec("gemini"), codec("cohere"), codec("ollama")


def streamed(api: Codec, body: Any, query: str = "alt=sse") -> list[Any]:
    """The data of a body's events."""
    made = api.as_stream(body if isinstance(body, bytes) else json.dumps(body).encode(), query)
    assert made is not None
    data = [event.data for event in framed(api, b"".join(made))]
    return [json.loads(each) for each in data if each is not None and each not in (b"[DONE]", b"]")]


def whole(api: Codec, *events: Any) -> Any:
    """The body that events add up to; None where there is none."""
    lines = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in events]
    end = b"\n" if api is OLLAMA else b"\n\n"
    head = b"" if api is OLLAMA else b"data: "
    body = api.as_body(framed(api, b"".join(head + line + end for line in lines)))
    return None if body is None else json.loads(body)


CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
