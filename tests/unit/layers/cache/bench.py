"""A cache at work in both colours: a bare HTTP client on an in-memory provider, and a clock that can be set."""

from __future__ import annotations

import asyncio
import contextvars
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

import interlay
from interlay.chain.aio import AsyncIO
from interlay.chain.io import SyncIO
from interlay.entry.process import recorder
from interlay.testing import Player, Turn, transports

URL = "https://api.openai.com/v1/chat/completions"
KEY = {"authorization": "Bearer sk-first"}

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def answer(text: str = "Hello", *, finish: str = "stop", **message: Any) -> bytes:
    """A whole answer of the chat API."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    whole = {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini", "choices": [choice]}
    return json.dumps({**whole, "usage": USAGE}).encode()


def events(*texts: str, finish: str = "stop", done: bool = True, usage: bool = True) -> bytes:
    """The same as a stream, with usage as if it had been asked for."""
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}
    deltas: list[dict[str, Any]] = [{"index": 0, "delta": {"content": text}, "finish_reason": None} for text in texts]
    deltas.append({"index": 0, "delta": {}, "finish_reason": finish})
    said = [{**head, "choices": [delta], **({"usage": None} if usage else {})} for delta in deltas]
    if done and usage:
        said.append({**head, "choices": [], "usage": USAGE})
    lines = b"".join(b"data: " + json.dumps(each, separators=(",", ":")).encode() + b"\n\n" for each in said)
    return lines + (b"data: [DONE]\n\n" if done else b"")


def question(text: str = "hi", *, streamed: bool = False, **more: Any) -> dict[str, Any]:
    """What is asked."""
    asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}], **more}
    return {**asked, "stream": True} if streamed else asked


class Clock:
    """The real time, and how far it was set ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def pass_(self, seconds: float) -> None:
        self.ahead += seconds


def colours(clock: Clock) -> tuple[type[SyncIO], type[AsyncIO]]:
    """Both colours of ``call.io`` by this clock."""

    class Sync(SyncIO):
        def time(self) -> float:
            return time.time() + clock.ahead

    class Async(AsyncIO):
        def time(self) -> float:
            return time.time() + clock.ahead

    return Sync, Async


@dataclass(frozen=True)
class Got:
    """What a caller got."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """What the answer says, in either form."""
        if not self.headers["content-type"].startswith("text/event-stream"):
            said: str = json.loads(self.body)["choices"][0]["message"]["content"]
            return said
        found = ""
        for line in self.body.splitlines():
            if line.startswith(b"data: {"):
                for choice in json.loads(line[6:])["choices"]:
                    found += choice["delta"].get("content") or ""
        return found


class Bench:
    """Asks in one colour, with one client whose chain has these parts."""

    def __init__(self, colour: str, clock: Clock) -> None:
        self.colour = colour
        self.clock = clock
        self.player = Player(otherwise=Turn(body=answer()))
        self.records: Sequence[interlay.Record] = []
        self._loop = asyncio.Runner()
        self._sync = httpx2.Client(transport=transports(httpx2).sync(self.player), headers=KEY)
        self._async = httpx2.AsyncClient(transport=transports(httpx2).asynchronous(self.player), headers=KEY)

    def wrap(self, *parts: object) -> None:
        """Put these parts under the client."""
        interlay.wrap(self._sync, *parts)
        interlay.wrap(self._async, *parts)

    def serves(self, *turns: Turn | int | bytes) -> None:
        """What the provider answers next."""
        self.player.script(*(Turn(body=turn) if isinstance(turn, bytes) else turn for turn in turns))

    @property
    def sent(self) -> int:
        """Requests that reached the provider."""
        return len(self.player.requests)

    @property
    def last(self) -> interlay.Record:
        """The newest record."""
        return self.records[-1]

    @property
    def found(self) -> tuple[str, str]:
        """What the newest look-up came to."""
        cache = self.last.cache
        assert cache is not None
        return cache.outcome, cache.reason

    def ask(self, asked: Any = None, *, headers: Mapping[str, str] | None = None, url: str = URL) -> Got:
        """Make one call and read its answer whole."""
        body = question() if asked is None else asked
        if self.colour == "sync":
            return _got(self._sync.post(url, json=body, headers=headers))
        posted = self._async.post(url, json=body, headers=headers)
        return _got(self._loop.run(posted, context=contextvars.copy_context()))

    def settle(self) -> None:
        """Wait until what was handed over is done: stores written, answers asked for anew."""
        runner = recorder.runner
        for _ in range(1_000):
            if self.colour == "async":
                self._loop.run(asyncio.sleep(0.001))
            assert runner.drain(10)
            if self.colour == "sync" or len(asyncio.all_tasks(self._loop.get_loop())) == 0:
                return

    def close(self) -> None:
        self._loop.run(self._async.aclose())
        self._loop.close()
        self._sync.close()


def _got(response: httpx2.Response) -> Got:
    return Got(response.status_code, dict(response.headers), response.content)
