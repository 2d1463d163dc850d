"""In-memory wires for the two SDKs: what a provider would send, in network chunks, with its ways of going wrong."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import anthropic
import anyio
import httpx2
import openai

MESSAGES: Any = [{"role": "user", "content": "hi there"}]

_HEAD = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}


def _sse(value: object, name: str | None = None) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(value, separators=(',', ':'))}\n\n".encode()


OPENAI_EVENTS = [
    _sse({**_HEAD, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hel"}}], "usage": None}),
    _sse({**_HEAD, "choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}], "usage": None}),
    _sse(
        {**_HEAD, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}},
    ),
    b"data: [DONE]\n\n",
]
OPENAI_ERROR = _sse({"error": {"message": "no", "type": "server_error", "code": "oops"}})

ANTHROPIC_EVENTS = [
    _sse(
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "claude-sonnet-4-6",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {"input_tokens": 9, "output_tokens": 1},
            },
        },
        "message_start",
    ),
    _sse(
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        "content_block_start",
    ),
    _sse(
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
        "content_block_delta",
    ),
    _sse({"type": "content_block_stop", "index": 0}, "content_block_stop"),
    _sse(
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 2},
        },
        "message_delta",
    ),
    _sse({"type": "message_stop"}, "message_stop"),
]
ANTHROPIC_ERROR = _sse({"type": "error", "error": {"type": "overloaded_error", "message": "no"}}, "error")

OPENAI_ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}
REFUSED = {"error": {"type": "overloaded_error", "message": "later"}}


class Body(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body in network chunks, that may break or hang after them, and knows whether it was released."""

    def __init__(
        self,
        chunks: Sequence[bytes],
        *,
        breaks: BaseException | None = None,
        hangs: bool = False,
        hangs_closing: bool = False,
    ) -> None:
        self.chunks = chunks
        self.breaks = breaks
        self.hangs = hangs
        self.hangs_closing = hangs_closing
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.chunks
        if self.breaks is not None:
            raise self.breaks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            await anyio.lowlevel.checkpoint()
            yield chunk
        if self.hangs:
            await anyio.sleep_forever()
        if self.breaks is not None:
            raise self.breaks

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1
        if self.hangs_closing:
            await anyio.sleep_forever()


class Wire(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Answers requests in the order of its script: a body to stream, a status, or an exception to raise."""

    def __init__(self, *script: Body | int | Exception) -> None:
        self.script = list(script)
        self.requests: list[httpx2.Request] = []

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        step = self.script[min(len(self.requests), len(self.script) - 1)]
        self.requests.append(request)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, Body):
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=step)
        return httpx2.Response(
            step,
            headers={"content-type": "application/json", "retry-after-ms": "1"},
            stream=Body([json.dumps(OPENAI_ANSWER if step == 200 else REFUSED).encode()]),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self.answer(request)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return self.answer(request)

    def for_openai(self, **options: Any) -> openai.OpenAI:
        return openai.OpenAI(api_key="sk-test-key", http_client=httpx2.Client(transport=self), **options)

    def for_async_openai(self, **options: Any) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(api_key="sk-test-key", http_client=httpx2.AsyncClient(transport=self), **options)

    def for_anthropic(self, **options: Any) -> anthropic.Anthropic:
        return anthropic.Anthropic(api_key="sk-test-key", http_client=httpx2.Client(transport=self), **options)
