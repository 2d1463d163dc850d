"""A program such as a user writes, run as ``python story.py [--wrap] URL COLOUR…`` with its chapters on standard input.

It makes the calls of each chapter with the real SDKs, in each colour, then closes its clients and prints one JSON
object: what the calls came to, the records, the libraries that were imported, and what was left behind. Without
``--wrap`` it never imports interlay, so that the two runs can be compared. It must run in environments that hold
one of the HTTP libraries only, so it imports nothing but the SDKs and what
both of them bring.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import inspect
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import anthropic
import anyio
import openai

CLASSES = {
    ("openai", "sync"): openai.OpenAI,
    ("openai", "async"): openai.AsyncOpenAI,
    ("anthropic", "sync"): anthropic.Anthropic,
    ("anthropic", "async"): anthropic.AsyncAnthropic,
}


class Story:
    """One run: a server, a colour, and a list of what happened."""

    def __init__(self, url: str, colour: str, *, wrap: bool) -> None:
        self.colour = "sync" if colour == "sync" else "async"
        self.url = url
        self.wrap = wrap
        self.told: list[Any] = []
        self.clients: dict[str, Any] = {}

    def client(self, sdk: str) -> Any:
        if sdk not in self.clients:
            url = f"{self.url}/v1" if sdk == "openai" else self.url
            made: Any = CLASSES[sdk, self.colour](api_key="sk-test", base_url=url, timeout=20.0)
            if self.wrap:
                import interlay  # noqa: PLC0415 - the bare run must not have it

                interlay.wrap(made, provider=sdk)
            self.clients[sdk] = made
        return self.clients[sdk]

    def create(self, chapter: Any) -> Any:
        """Begin the chapter's call; arguments that this release of the SDK does not name go into the body."""
        client = self.client(chapter["sdk"])
        create = (client.chat.completions if chapter["sdk"] == "openai" else client.messages).create
        named = inspect.signature(create).parameters
        given = chapter["arguments"]
        extra = {name: value for name, value in given.items() if name not in named}
        return create(**{name: value for name, value in given.items() if name in named}, extra_body=extra or None)

    def tell(self, what: str, value: Any) -> None:
        self.told.append([what, json.loads(value.to_json()) if hasattr(value, "to_json") else str(value)])

    def run(self, chapters: list[Any]) -> None:
        for chapter in chapters:
            try:
                result = self.create(chapter)
                if not chapter["streamed"]:
                    self.tell("object", result)
                    continue
                if chapter["reader"] == "closes":
                    with result:
                        self.tell("event", next(iter(result)))
                    continue
                for event in result:
                    self.tell("event", event)
                    if chapter["reader"] == "drops":
                        break
                del result
                # At a time of our choosing: where the collector comes to a dropped stream while httpcore's pool holds
                # its lock, the SDK closes the stream there and then, and waits for that lock for ever (bare too).
                gc.collect()
            except Exception as error:  # noqa: BLE001 - what it is, is the outcome
                self.told.append(["error", type(error).__name__, str(error)])
        for client in self.clients.values():
            client.close()

    async def arun(self, chapters: list[Any]) -> None:
        for chapter in chapters:
            try:
                result = await self.create(chapter)
                if not chapter["streamed"]:
                    self.tell("object", result)
                    continue
                if chapter["reader"] == "closes":
                    async with result:
                        self.tell("event", await anext(aiter(result)))
                    continue
                async for event in result:
                    self.tell("event", event)
                    if chapter["reader"] == "drops":
                        break
                del result
                gc.collect()
                await anyio.sleep(0.02)  # what was dropped is cleaned up by the loop, which must turn
            except Exception as error:  # noqa: BLE001 - what it is, is the outcome
                self.told.append(["error", type(error).__name__, str(error)])
        for client in self.clients.values():
            await client.close()


def sockets() -> int:
    """How many are open."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += str(entry.readlink()).startswith("socket:")
    return found


def left_behind() -> dict[str, Any]:
    """Threads and sockets, once they had a second to go."""
    gc.collect()
    until = time.monotonic() + 5.0
    while time.monotonic() < until and sockets():
        time.sleep(0.01)
    return {"sockets": sockets(), "threads": sorted(thread.name for thread in threading.enumerate())}


def main() -> None:
    wrap = "--wrap" in sys.argv
    url, *colours = [argument for argument in sys.argv[1:] if argument != "--wrap"]
    chapters = json.load(sys.stdin)
    stories = {}
    for colour in colours:
        print("===", colour, file=sys.stderr, flush=True)  # noqa: T201
        story = Story(url, colour, wrap=wrap)
        if colour == "sync":
            story.run(chapters)
        elif colour == "asyncio":
            asyncio.run(story.arun(chapters))
        else:
            importlib.import_module("trio").run(story.arun, chapters)
        stories[colour] = {"told": story.told, "left": left_behind()}
    print("===", file=sys.stderr)  # noqa: T201
    print(json.dumps({"stories": stories, "records": records() if wrap else [], "imported": imported()}))  # noqa: T201


def imported() -> list[str]:
    return [name for name in ("httpx", "httpx2", "interlay", "trio", "pydantic") if name in sys.modules]


def records() -> list[Any]:
    import interlay  # noqa: PLC0415

    interlay.flush()
    return [json.loads(record.to_json()) for record in reversed(interlay.last())]


if __name__ == "__main__":
    main()
