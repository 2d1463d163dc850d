"""Layers at work in both colours: a bare HTTP client on an in-memory provider, and a clock that waits for nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2

import interlay
from interlay.chain.aio import AsyncIO
from interlay.chain.io import SyncIO
from interlay.model.errors import WireTimeout
from interlay.testing import Player, Turn, capture, transports

T = TypeVar("T")

URL = "https://api.openai.com/v1/chat/completions"
_HEAD = b'{"id":"c1","model":"gpt-4o-mini","choices":[{"index":0,'
ANSWER = _HEAD + b'"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}]}'
EVENTS = (
    b"data: " + _HEAD + b'"delta":{"content":"Hel"}}]}\n\n'
    b"data: " + _HEAD + b'"delta":{"content":"lo"},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)


class Clock:
    """Time as a call sees it: the real one, and all that the call has slept through without sleeping."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.sleeps: list[float] = []

    def now(self) -> float:
        return time.monotonic() + self.ahead

    def sleep(self, seconds: float, deadline: float | None) -> None:
        if deadline is not None and self.now() + seconds > deadline:
            raise WireTimeout("the wait would go past the deadline", phase="deadline")
        self.ahead += seconds
        self.sleeps.append(seconds)


def colours(clock: Clock) -> tuple[type[SyncIO], type[AsyncIO]]:
    """Both colours of ``call.io`` on this clock."""

    class Sync(SyncIO):
        def monotonic(self) -> float:
            return clock.now()

        async def sleep(self, seconds: float, *, deadline: float | None = None) -> None:
            clock.sleep(seconds, deadline)

        async def until(self, deadline: float, work: Callable[[], Awaitable[T]]) -> T:
            return await super().until(deadline - clock.ahead, work)

    class Async(AsyncIO):
        def monotonic(self) -> float:
            return clock.now()

        async def sleep(self, seconds: float, *, deadline: float | None = None) -> None:
            clock.sleep(seconds, deadline)

        async def until(self, deadline: float, work: Callable[[], Awaitable[T]]) -> T:
            return await super().until(deadline - clock.ahead, work)

    return Sync, Async


@dataclass(frozen=True)
class Played:
    """What became of one call."""

    status: int | None
    headers: Mapping[str, str]
    body: bytes
    error: Exception | None
    requests: int
    sleeps: list[float]
    record: interlay.Record
    seconds: float
    """As the clock on the wall has it."""

    @property
    def kind(self) -> str | None:
        return type(self.error).__name__ if self.error is not None else None


class Seen:
    """What the caller got so far."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.error: Exception | None = None

    def answered(self, response: httpx2.Response) -> None:
        self.status, self.headers = response.status_code, dict(response.headers)


class Bench:
    """Plays calls in one colour."""

    def __init__(self, colour: str, clock: Clock) -> None:
        self.colour = colour
        self.clock = clock

    def play(self, *turns: Turn | int, parts: tuple[object, ...], streamed: bool = False, **extensions: Any) -> Played:
        """Make one call; after ``turns`` the provider answers well."""
        player = Player(turns=turns, otherwise=Turn(body=EVENTS if streamed else ANSWER))
        asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}], "stream": streamed}
        self.clock.sleeps.clear()
        began = time.monotonic()
        with capture() as records:
            if self.colour == "sync":
                seen = self._sync(player, parts, asked, extensions)
            else:
                seen = asyncio.run(self._async(player, parts, asked, extensions))
        (record,) = records
        return Played(
            status=seen.status,
            headers=seen.headers,
            body=bytes(seen.body),
            error=seen.error,
            requests=len(player.requests),
            sleeps=list(self.clock.sleeps),
            record=record,
            seconds=time.monotonic() - began,
        )

    def _sync(self, player: Player, parts: Any, asked: Any, extensions: Any) -> Seen:
        seen = Seen()
        with httpx2.Client(transport=transports(httpx2).sync(player), timeout=None) as client:
            interlay.wrap(client, *parts)
            try:
                with client.stream("POST", URL, json=asked, extensions=extensions) as response:
                    seen.answered(response)
                    for piece in response.iter_raw():
                        seen.body += piece
            except Exception as error:  # noqa: BLE001 - what it is, is the result
                seen.error = error
        return seen

    async def _async(self, player: Player, parts: Any, asked: Any, extensions: Any) -> Seen:
        seen = Seen()
        async with httpx2.AsyncClient(transport=transports(httpx2).asynchronous(player), timeout=None) as client:
            interlay.wrap(client, *parts)
            try:
                async with client.stream("POST", URL, json=asked, extensions=extensions) as response:
                    seen.answered(response)
                    async for piece in response.aiter_raw():
                        seen.body += piece
            except Exception as error:  # noqa: BLE001 - what it is, is the result
                seen.error = error
        return seen
