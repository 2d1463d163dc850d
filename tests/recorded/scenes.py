"""A real SDK against a real socket: one client with one connection, and what has to be given back afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import anthropic
import openai
import pytest
from tests.recorded.replay import CASSETTES, Colour, client, invocation, library

import interlay
from interlay.testing import Player, Recording, Server, Turn

STREAMS = {
    openai: Recording.load(CASSETTES / "openai-chat" / "openai-chat-stream-usage-01.json"),
    anthropic: Recording.load(CASSETTES / "anthropic-messages" / "anthropic-stream-01.json"),
}
PLAIN = {
    openai: Recording.load(CASSETTES / "openai-chat" / "openai-chat-plain-03.json"),
    anthropic: Recording.load(CASSETTES / "anthropic-messages" / "anthropic-plain-01.json"),
}
SHOWN = {openai: 3, anthropic: 2}
"""How many of a stream's first three events an SDK shows; one of Anthropic's is a ping."""
PATIENCE = 20.0
"""Seconds until a test gives up waiting. What is waited for takes milliseconds; the machine may be busy."""

both_sdks = pytest.mark.parametrize("sdk", [pytest.param(openai, id="openai"), pytest.param(anthropic, id="anthropic")])
both_colours = pytest.mark.parametrize("colour", ["sync", "async"])


@cache
def http_library(sdk: ModuleType) -> Any:
    """An SDK's HTTP library, looked for once: making a client to find it takes its time."""
    return library(sdk)


class Scene:
    """One SDK in one colour against a server of its own."""

    def __init__(self, sdk: Any, colour: Colour, *turns: Turn | int, plain: bool = False) -> None:
        self.sdk, self.colour = sdk, colour
        self.recording = (PLAIN if plain else STREAMS)[sdk]
        self.player = Player([STREAMS[sdk], PLAIN[sdk]], turns=turns)
        self.server = Server(self.player)

    def client(self, *, read: float = PATIENCE, url: str | None = None, **options: Any) -> Any:
        """A client with one connection, which waits ``read`` seconds for each piece of an answer."""
        module = http_library(self.sdk)
        seconds = module.Timeout(PATIENCE, read=read)
        kind = module.Client if self.colour == "sync" else module.AsyncClient
        # No certificate is needed here, and reading them all for each client takes longer than the test.
        http = kind(limits=module.Limits(max_connections=1), timeout=seconds, verify=False)
        path = "/v1" if self.sdk is openai else ""
        url = (url or self.server.url) + path
        return client(self.sdk, self.colour, base_url=url, timeout=seconds, http_client=http, **options)

    def wrapped(self, *parts: Any, **options: Any) -> Any:
        return self.wrap(self.client(**options), *parts)

    def wrap(self, held: Any, *parts: Any) -> Any:
        return interlay.wrap(held, *parts, provider=self.sdk.__name__)

    def create(self, held: Any, **arguments: Any) -> Any:
        """Make the recorded call: what it returns, or in async what is to be awaited for it."""
        resource, recorded = invocation(held, self.recording.exchanges[0])
        return resource.create(**recorded, **arguments)

    def call(self, held: Any) -> str:
        """Make the call, read all of it and close the client. What came, or what was raised, as a string."""
        return asyncio.run(self.acall(held))

    async def acall(self, held: Any) -> str:
        try:
            answer = self.create(held)
            if self.colour == "async":
                answer = await answer
            if hasattr(answer, "to_json"):
                return str(answer.to_json())
            if self.colour == "async":
                return "\n".join([event.to_json() async for event in answer])
            return "\n".join(event.to_json() for event in answer)
        except Exception as error:  # noqa: BLE001 - what it is, is the result
            return f"{type(error).__name__}: {error}"
        finally:
            if self.colour == "async":
                await held.close()
            else:
                held.close()


def released(held: Any) -> bool:
    """Whether a wrapped client's pool has every connection back."""
    pool = held._client._transport.inner._pool
    return all(connection.is_idle() or connection.is_closed() for connection in pool.connections)


def strangers(before: set[threading.Thread]) -> set[threading.Thread]:
    """Threads that were not there before; the one runner may be, and what asyncio keeps for name look-ups."""
    now = set(threading.enumerate()) - before
    return {thread for thread in now if thread.name != "interlay" and not thread.name.startswith("asyncio")}


def open_sockets() -> int:
    """How many sockets this process has; none are seen where there is no /proc."""
    folder = Path("/proc/self/fd")
    links = []
    for entry in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            links.append(str(entry.readlink()))
    return sum(link.startswith("socket:") for link in links)


def soon(condition: Callable[[], bool]) -> bool:
    """Whether something comes true, after collections of garbage."""
    until = time.monotonic() + PATIENCE
    gc.collect()
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
        gc.collect()
    return True


async def asoon(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + PATIENCE
    gc.collect()
    while not condition():
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.01)
        gc.collect()
    return True
