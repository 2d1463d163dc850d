"""Recorded exchanges of chat completions, in the forms that the tests of its codec need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from interlay.dialects.openai_chat import OpenAIChat
from interlay.model.protocols import WireEvent
from interlay.testing import Recording

CASSETTES = Path(__file__).parents[2] / "recorded" / "cassettes"
DIALECT = OpenAIChat()


class Recorded(NamedTuple):
    """One exchange."""

    name: str
    request: dict[str, Any]
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def streamed(self) -> bool:
        return b"data: " in self.body[:4096]


def _all() -> Iterator[Recorded]:
    for folder in ("openai-chat", "azure"):
        for recording in Recording.load_all(CASSETTES / folder):
            for number, exchange in enumerate(recording.exchanges):
                if exchange.request.path.endswith("/chat/completions"):
                    request, response = exchange.request, exchange.response
                    body = response.content
                    yield Recorded(f"{recording.id}.{number}", request.body, response.status, response.headers, body)


ALL = list(_all())
STREAMS = [each for each in ALL if each.streamed]
BODIES = [each for each in ALL if not each.streamed and each.status < 400]
ERRORS = [each for each in ALL if each.status >= 400]


def name(each: object) -> str | None:
    return each.name if isinstance(each, Recorded) else None


def events_of(body: bytes) -> list[WireEvent]:
    framer = DIALECT.framer()
    return [*framer.feed(body), *framer.finish()]


def event(value: object) -> WireEvent:
    """A chunk with this JSON object, or this data."""
    data = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return WireEvent(b"data: " + data + b"\n\n", None, data)


def strings(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths of all strings in a JSON value, keys apart."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from strings(item, (*path, key))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from strings(item, (*path, at))
    elif isinstance(value, str):
        yield path
