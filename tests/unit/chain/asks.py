"""Calls that are never sent, and what they ask."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from interlay.chain.call import Call
from interlay.chain.chain import Chain
from interlay.chain.io import SyncIO
from interlay.chain.key import Question, Unfit, question
from interlay.dialects import find
from interlay.entry import process
from interlay.entry.request import HTTPRequest
from interlay.entry.seat import Seat
from interlay.model.protocols import Dialect
from interlay.model.record import Identity
from interlay.testing import Recording

SEAT = Seat(Chain(), recorder=process.recorder, price=None, provider=None)
IO = SyncIO(process.recorder.runner)
CHAT = "https://api.openai.com/v1/chat/completions"
RESPONSES = "https://api.openai.com/v1/responses"
EMBEDDINGS = "https://api.openai.com/v1/embeddings"
ANTHROPIC = "https://api.anthropic.com/v1/messages"
GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent"
COHERE = "https://api.cohere.com/v2/chat"
OLLAMA = "http://localhost:11434/api/chat"
HELLO: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
KEY = {"authorization": "Bearer sk-one"}
CASSETTES = Path(__file__).parents[2] / "recorded" / "cassettes"


def call_of(
    body: object,
    url: str = CHAT,
    headers: Mapping[str, str] | list[tuple[str, str]] = KEY,
    *,
    method: str = "POST",
    identity: Identity | None = None,
) -> Call:
    """A call whose request has ``body``, in the notation given if it is bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    request = httpx2.Request(
        method, url, content=content, headers=[("content-type", "application/json"), *pairs(headers)]
    )
    call = SEAT.call(HTTPRequest(request, httpx2), IO)
    if identity is not None:
        call.identity = identity
    return call


def pairs(headers: Mapping[str, str] | list[tuple[str, str]]) -> list[tuple[str, str]]:
    return list(headers.items()) if isinstance(headers, Mapping) else headers


def asks(
    body: object,
    url: str = CHAT,
    headers: Mapping[str, str] | list[tuple[str, str]] = KEY,
    *,
    method: str = "POST",
    identity: Identity | None = None,
    vary_by: Collection[str] = (),
    secret: bytes = b"",
) -> Question | Unfit:
    """What such a call asks."""
    call = call_of(body, url, headers, method=method, identity=identity)
    return question(call, vary_by=vary_by, secret=secret)


def key_of(*args: Any, **options: Any) -> str:
    """The key of a call that a cache may answer."""
    asked = asks(*args, **options)
    assert isinstance(asked, Question), asked
    return asked.key


@dataclass(frozen=True)
class Ask:
    """A request that was recorded."""

    id: str
    dialect: Dialect | None
    url: str
    headers: dict[str, str]
    body: Any

    def __repr__(self) -> str:
        return self.id


def recorded() -> Iterator[Ask]:
    """Every request with a JSON body, under a key that was not recorded."""
    for recording in Recording.load_all(CASSETTES):
        for number, exchange in enumerate(recording.exchanges):
            request = exchange.request
            if request.method == "POST" and isinstance(request.body, dict):
                headers = {"authorization": "Bearer sk-recorded", **request.headers}
                headers.pop("content-type", None)
                dialect = find("POST", request.path)
                yield Ask(f"{recording.id}.{number + 1}", dialect, request.url, headers, request.body)


RECORDED = tuple(recorded())
