"""One stream of each wire API, over the bare HTTP library: what a program reads, and how it can end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpx2
from tests.recorded.replay import CASSETTES
from tests.unit.entry.wires import ANTHROPIC_ERROR, ANTHROPIC_EVENTS, MESSAGES, OPENAI_ERROR, OPENAI_EVENTS, Body

import interlay
from interlay.testing import Recording, capture
from interlay.testing.recordings import events_of

Colour = Literal["sync", "async"]


@dataclass(frozen=True)
class Api:
    """A wire API, its stream in network chunks of one event, and an error event of its own."""

    name: str
    url: str
    body: dict[str, Any]
    events: Sequence[bytes]
    error: bytes
    error_type: str
    ends: bool = True
    """Whether its streams have a terminal event."""


def _recorded(name: str, error: bytes, error_type: str, *, ends: bool) -> Api:
    (exchange,) = Recording.load(CASSETTES / name / f"{name}-stream-01.json").exchanges
    request = exchange.request
    return Api(name, request.url, request.body, events_of(exchange.response.content), error, error_type, ends)


def _sse(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


_CHAT = {"model": "gpt-4o-mini", "messages": MESSAGES, "stream": True}
APIS = [
    Api(
        "openai-chat",
        "https://api.openai.com/v1/chat/completions",
        {**_CHAT, "stream_options": {"include_usage": True}},
        OPENAI_EVENTS,
        OPENAI_ERROR,
        "server_error",
    ),
    Api(
        # What interlay asks for here is not sent; it looks for it in a filter.
        "openai-chat-asked",
        "https://api.openai.com/v1/chat/completions",
        _CHAT,
        [event.replace(b',"usage":null', b"") for event in OPENAI_EVENTS if b'"choices":[]' not in event],
        OPENAI_ERROR,
        "server_error",
    ),
    Api(
        "anthropic-messages",
        "https://api.anthropic.com/v1/messages",
        {"model": "claude-sonnet-4-6", "max_tokens": 9, "messages": MESSAGES, "stream": True},
        ANTHROPIC_EVENTS,
        ANTHROPIC_ERROR,
        "overloaded_error",
    ),
    _recorded(
        "openai-responses",
        _sse({"type": "error", "code": "server_error", "message": "no", "param": None, "sequence_number": 3}),
        "server_error",
        ends=True,
    ),
    _recorded(
        "gemini",
        _sse({"error": {"code": 503, "message": "no", "status": "UNAVAILABLE"}}),
        "UNAVAILABLE",
        ends=False,
    ),
]


class Wire(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Answers every request with one body, or raises."""

    def __init__(self, answer: Body | BaseException, headers: dict[str, str] | None = None) -> None:
        self.body = answer
        self.headers = {"content-type": "text/event-stream", **(headers or {})}
        self.requests: list[httpx2.Request] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        if isinstance(self.body, BaseException):
            raise self.body
        return httpx2.Response(200, headers=self.headers, stream=self.body)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return self.handle_request(request)


@dataclass
class Seen:
    """What a program got: bytes, in the pieces in which they came, and the exception that ended it."""

    pieces: list[bytes]
    error: BaseException | None
    records: list[interlay.Record]

    @property
    def record(self) -> interlay.Record:
        (record,) = self.records
        return record


Reader = Callable[[bytes], None]
"""The program's own work on a piece, which may raise."""


def play(
    api: Api, colour: Colour, wire: Wire, *parts: object, wrapped: bool = True, reader: Reader | None = None
) -> Seen:
    """One call, read by ``reader``."""
    pieces: list[bytes] = []
    raised: BaseException | None = None
    with capture() as records:
        try:
            if colour == "sync":
                _sync(api, wire, parts, pieces, reader, wrapped=wrapped)
            else:
                asyncio.run(_async(api, wire, parts, pieces, reader, wrapped=wrapped))
        except BaseException as error:  # noqa: BLE001 - what it is, is the result
            raised = error
    if raised is not None:
        # Many are raised again and again: what their frames hold is not to live on.
        raised.__traceback__ = raised.__context__ = None
    return Seen(pieces, raised, records)


def _sync(api: Api, wire: Wire, parts: Any, pieces: list[bytes], reader: Reader | None, *, wrapped: bool) -> None:
    with httpx2.Client(transport=wire, timeout=None) as client:
        if wrapped:
            interlay.wrap(client, *parts)
        with client.stream("POST", api.url, json=api.body) as response:
            source = response.iter_raw()  # held, so that the response is closed by its block, as SDKs do it
            for piece in source:
                pieces.append(piece)
                if reader is not None:
                    reader(piece)


async def _async(
    api: Api, wire: Wire, parts: Any, pieces: list[bytes], reader: Reader | None, *, wrapped: bool
) -> None:
    async with httpx2.AsyncClient(transport=wire, timeout=None) as client:
        if wrapped:
            interlay.wrap(client, *parts)
        async with client.stream("POST", api.url, json=api.body) as response:
            async for piece in response.aiter_raw():
                pieces.append(piece)
                if reader is not None:
                    reader(piece)
