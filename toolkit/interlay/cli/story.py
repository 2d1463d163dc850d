"""The story ``interlay demo`` tells: two real SDKs, wrapped, against a local provider that plays recordings."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai

from interlay.entry.clients import wrap
from interlay.entry.process import flush, last
from interlay.entry.scope import using
from interlay.layers.retry import Retry
from interlay.model.record import Record
from interlay.testing.player import Player, Turn
from interlay.testing.recordings import Recording
from interlay.testing.server import Server

Chapter = tuple[str, list[Record]]
"""A title, and the records of the one call it made, oldest first."""

_PACE = 0.03
"""Seconds between the events of a stream."""


def tell() -> Iterator[Chapter]:
    """Make the calls of the story, one after another."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    recordings = Recording.bundled()
    asked = {name: recording.exchanges[0].request.body for name, recording in recordings.items()}
    with Server(Player(recordings.values(), pace=_PACE)) as server, using(user="demo", tags=["demo"]):
        with (
            openai.OpenAI(base_url=f"{server.url}/v1", api_key="no-key", max_retries=2) as ours,
            anthropic.Anthropic(base_url=server.url, api_key="no-key", max_retries=2) as theirs,
        ):
            wrap(ours, provider="openai")
            wrap(theirs, provider="anthropic")
            chapters: list[tuple[str, list[Turn | int], Callable[[], object]]] = [
                ("a plain call", [], lambda: _whole(ours, asked["openai-chat-plain-03"])),
                ("a stream", [], lambda: _streamed(ours, asked["openai-chat-stream-usage-01"])),
                ("a stream, of the other SDK", [], lambda: _message(theirs, asked["anthropic-stream-04"])),
                ("tool calls", [], lambda: _whole(ours, asked["openai-chat-tools-04"])),
                ("529, twice, retried by the SDK", [_busy(529), _busy(529)],
                 lambda: _message(theirs, asked["anthropic-stream-04"])),
                ("429, retried by interlay's Retry", [_busy(429)],
                 lambda: _whole(wrap(ours, Retry(attempts=3), provider="openai"), asked["openai-chat-plain-03"])),
                ("a reader that walks away", [],
                 lambda: _streamed(ours, asked["openai-chat-stream-usage-01"], stop_after=3)),
                ("a stream that is cut", [Turn(fault="cut", after=5)],
                 lambda: _streamed(ours, asked["openai-chat-stream-usage-01"])),
            ]  # fmt: skip
            for title, turns, call in chapters:
                server.player.script(*turns)
                seen = {record.id for record in last()}
                call()
                yield title, _new(seen)


def _busy(status: int) -> Turn:
    return Turn(status=status, headers={"retry-after-ms": "120"})


def _new(seen: set[str]) -> list[Record]:
    """What was recorded since; a dropped stream is recorded a moment later."""
    deadline = time.monotonic() + 1
    while True:
        flush(1)
        found = [record for record in reversed(last()) if record.id not in seen]
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.01)


def _whole(client: openai.OpenAI, body: Any) -> None:
    client.chat.completions.create(**body)


def _streamed(client: openai.OpenAI, body: Any, stop_after: int | None = None) -> None:
    with client.chat.completions.create(**body) as stream:
        for count, _ in enumerate(stream, 1):
            if count == stop_after:
                return


def _message(client: anthropic.Anthropic, body: Any) -> None:
    for _ in client.messages.create(**body):
        pass
