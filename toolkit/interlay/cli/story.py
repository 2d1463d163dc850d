"""The story ``interlay demo`` tells: two real SDKs and an HTTP client, wrapped, against a local provider that plays
recordings."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import anthropic
import httpx2
import openai

from interlay.entry.clients import wrap
from interlay.entry.process import flush, last
from interlay.entry.scope import carry, using
from interlay.layers.cache import Cache
from interlay.layers.retry import Retry
from interlay.model.record import Record
from interlay.testing.player import Answer, Pause, Player, Sent, Turn
from interlay.testing.recordings import Recording
from interlay.testing.server import Server

Chapter = tuple[str, list[Record]]
"""A title, and the records of the calls it made, oldest first."""

_THINKS: Final = 0.2
"""Seconds until an answer begins."""
_REFUSES: Final = 0.03
"""Seconds until an error is there."""
_PACE: Final = 0.02
"""Seconds between the events of a stream."""


class Unhurried(Player):
    """Takes its time, as models do."""

    def answer(self, sent: Sent) -> Answer:
        answer = super().answer(sent)
        answer.steps.insert(0, Pause(_THINKS if answer.status < 400 else _REFUSES))
        return answer


def tell() -> Iterator[Chapter]:
    """Make the calls of the story, one after another."""
    _reach_the_loopback()
    recordings = Recording.bundled()
    asked = {name: recording.exchanges[0].request.body for name, recording in recordings.items()}
    with Server(Unhurried(recordings.values(), pace=_PACE)) as server, using(user="demo", tags=["demo"]):
        with (
            openai.OpenAI(base_url=f"{server.url}/v1", api_key="no-key", max_retries=2) as ours,
            anthropic.Anthropic(base_url=server.url, api_key="no-key", max_retries=2) as theirs,
            httpx2.Client(base_url=server.url) as plain,
        ):
            wrap(ours, provider="openai")
            wrap(theirs, provider="anthropic")
            wrap(plain, provider="gemini")
            cache = Cache(stale_while_revalidate="1m")
            question = asked["openai-chat-stream-usage-01"]
            chapters: list[tuple[str, list[Turn | int], Callable[[], object]]] = [
                ("a plain call", [], lambda: _whole(ours, asked["openai-chat-plain-03"])),
                ("a stream", [], lambda: _streamed(ours, asked["openai-chat-stream-usage-01"])),
                ("a stream through the other SDK", [], lambda: _message(theirs, asked["anthropic-stream-04"])),
                ("tool calls", [], lambda: _whole(ours, asked["openai-chat-tools-04"])),
                ("the responses API, and a model that thinks before it speaks", [],
                 lambda: _streamed(ours, asked["openai-responses-reasoning-stream-01"], ours.responses)),
                ("an embedding", [], lambda: ours.embeddings.create(**asked["openai-embeddings-02"])),
                ("Gemini, without an SDK: any client of httpx or httpx2 can be wrapped", [],
                 lambda: _posted(plain, recordings["gemini-stream-02"])),
                ("an overloaded provider: the SDK tries again, and it is one call", [_busy(529), _busy(529)],
                 lambda: _message(theirs, asked["anthropic-stream-04"])),
                ("a rate limit: interlay's Retry waits as it was told", [_busy(429)],
                 lambda: _whole(wrap(ours, Retry(attempts=3), provider="openai"), asked["openai-chat-plain-03"])),
                ("a reader that walks away: billed all the same, so estimated", [],
                 lambda: _streamed(ours, asked["openai-chat-stream-usage-01"], stop_after=3)),
                ("a stream that is cut, which no SDK notices", [Turn(fault="cut", after=5)],
                 lambda: _streamed(ours, asked["openai-chat-stream-usage-01"])),
                ("with a Cache: three threads ask the same at once, and one request is sent", [],
                 lambda: _at_once(wrap(ours, cache, provider="openai"), question)),
                ("the same again: nothing is sent", [], lambda: _streamed(ours, question)),
                ("stale-while-revalidate: kept for a millisecond, given at once, and asked for anew beside it", [],
                 lambda: _kept_shortly(ours, question)),
            ]  # fmt: skip
            for title, turns, call in chapters:
                server.player.script(*turns)
                seen = {record.id for record in last()}
                expected = call()
                yield title, _new(seen, expected if isinstance(expected, int) else 1)


def _reach_the_loopback() -> None:
    """Past a proxy that the environment names, which could not reach it."""
    kept = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = f"{kept},127.0.0.1" if kept else "127.0.0.1"


def _busy(status: int) -> Turn:
    return Turn(status=status, headers={"retry-after-ms": "120"})


def _new(seen: set[str], expected: int) -> list[Record]:
    """What was recorded since; a dropped stream, and what is done beside a call, is recorded a moment later."""
    deadline = time.monotonic() + 5
    while True:
        flush(1)
        found = [record for record in reversed(last()) if record.id not in seen]
        if len(found) >= expected or time.monotonic() > deadline:
            return found
        time.sleep(0.01)


def _whole(client: openai.OpenAI, body: Any) -> None:
    client.chat.completions.create(**body)


def _streamed(client: openai.OpenAI, body: Any, resource: Any = None, stop_after: int | None = None) -> None:
    with (resource or client.chat.completions).create(**body) as stream:
        for count, _ in enumerate(stream, 1):
            if count == stop_after:
                return


def _at_once(client: openai.OpenAI, body: Any) -> int:
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(carry(_streamed), client, body) for _ in range(3)]
    return len([call.result() for call in asked])


def _kept_shortly(client: openai.OpenAI, body: Any) -> int:
    with using(cache={"no-cache": True, "ttl": 0.001}):
        _streamed(client, body)
    time.sleep(0.01)
    _streamed(client, body)
    return 3  # one of them is the cache's own


def _posted(client: httpx2.Client, recording: Recording) -> None:
    request = recording.exchanges[0].request
    with client.stream("POST", f"{request.path}?{request.query}", json=request.body) as response:
        for _ in response.iter_lines():
            pass


def _message(client: anthropic.Anthropic, body: Any) -> None:
    for _ in client.messages.create(**body):
        pass
