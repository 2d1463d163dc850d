"""What interlay keeps: growth over 100,000 calls, and the peak of a response of 100 MB, beside the bare SDK.

Run with ``python -m benchmarks.memory``. Every figure comes from a process of its own, over a wire that answers from
memory. Prints one JSON object, in megabytes: by how much resident memory grew from call 10,000 to call 110,000, and by
how much the peak rose while the large response was read. It takes half an hour in all, so each figure is on standard
error as soon as it is known.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import openai

import interlay

WARM, CALLS = 10_000, 100_000
LARGE = 100_000_000
PIECE = 64 * 1024
SHAPES = ("plain", "streamed", "cached")
COLOURS = ("sync", "async")
LARGE_KINDS = ("one JSON body", "many events", "one event")
MESSAGES: list[Any] = [{"role": "user", "content": "Say what a good gateway does. " * 8}]
HEAD = {"id": "chatcmpl-bench", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
USAGE = {"prompt_tokens": 58, "completion_tokens": 64, "total_tokens": 122}


def whole(content: str = "A good gateway forwards, counts and refuses. ") -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return json.dumps({**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE}).encode()


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps({**HEAD, "object": "chat.completion.chunk", **fields}).encode() + b"\n\n"


def delta(text: str, finish: str | None = None) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish}], usage=None)


END = [delta("", "stop"), event(choices=[], usage=USAGE), b"data: [DONE]\n\n"]


def large(kind: str) -> Iterator[bytes]:
    """A response of 100 MB in network chunks, made as it is read."""
    if kind == "many events":
        one = delta("word " * 100)
        several = one * (PIECE // len(one))
        for _ in range(LARGE // len(several)):
            yield several
        yield from END
        return
    before, _, after = (whole("@") if kind == "one JSON body" else delta("@")).partition(b"@")
    yield before
    for _ in range(LARGE // PIECE):
        yield b"x" * PIECE
    yield after
    if kind == "one event":
        yield from END


class Pieces(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that is read once, as from a network. The event loop turns meanwhile: else what it is to clean up would
    pile up, without interlay too."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await asyncio.sleep(0)
            yield piece


class Memory(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Answers every request with the same pieces."""

    def __init__(self, pieces: Callable[[], Iterator[bytes]], *, events: bool) -> None:
        self._pieces = pieces
        self._kind = "text/event-stream" if events else "application/json"

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": self._kind}, stream=Pieces(self._pieces()))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return self.handle_request(request)


def client(wire: Memory, colour: str, *, wrap: bool, parts: tuple[object, ...] = ()) -> Any:
    """An SDK's client over the wire."""
    options: dict[str, Any] = {"api_key": "sk-bench", "max_retries": 0}
    made: Any = (
        openai.OpenAI(**options, http_client=httpx2.Client(transport=wire))
        if colour == "sync"
        else openai.AsyncOpenAI(**options, http_client=httpx2.AsyncClient(transport=wire))
    )
    return interlay.wrap(made, *parts) if wrap else made


def resident() -> float:
    """Megabytes of this process."""
    interlay.flush()
    gc.collect()
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def peak() -> float:
    """Megabytes this process ever had."""
    with open("/proc/self/status") as file:  # noqa: PTH123
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024 / 1e6


def growth(colour: str, shape: str, warm: int, calls: int, *, wrap: bool) -> float:
    """By how much resident memory grows over ``calls`` calls after ``warm`` ones. ``cached`` are streams under
    all layers, each question asked twice, and a cache that is soon full."""
    events = [delta(" word")] * 4 + END
    pieces = [whole()] if shape == "plain" else events
    parts = (interlay.Cache("memory:2MB"), interlay.Retry(3), interlay.Timeout(attempt=60)) if shape == "cached" else ()
    held = client(Memory(lambda: iter(pieces), events=shape != "plain"), colour, wrap=wrap, parts=parts)
    asked: dict[str, Any] = {"model": "gpt-4o-mini"}
    if shape != "plain":
        asked |= {"stream": True, "stream_options": {"include_usage": True}}

    def said(number: int) -> Any:
        return [*MESSAGES, {"role": "user", "content": str(number // 2)}] if shape == "cached" else MESSAGES

    def some(first: int, number: int) -> None:
        for count in range(first, first + number):
            result = held.chat.completions.create(**asked, messages=said(count))
            if shape != "plain":
                for _ in result:
                    pass

    async def asome(first: int, number: int) -> None:
        for count in range(first, first + number):
            result = await held.chat.completions.create(**asked, messages=said(count))
            if shape != "plain":
                async for _ in result:
                    pass

    with asyncio.Runner() as runner:
        run: Any = some if colour == "sync" else lambda first, number: runner.run(asome(first, number))
        run(0, warm)
        before = resident()
        run(warm, calls)
        return resident() - before


def rise(colour: str, kind: str, *, wrap: bool) -> float:
    """By how much the peak rises while a large response is read piece by piece."""
    events = kind != "one JSON body"
    held = client(Memory(lambda: large(kind), events=events), colour, wrap=wrap)
    asked: dict[str, Any] = {"model": "gpt-4o-mini", "messages": MESSAGES, "stream": events}

    def read() -> None:
        with held.chat.completions.with_streaming_response.create(**asked) as response:
            for _ in response.iter_bytes():
                pass

    async def aread() -> None:
        async with held.chat.completions.with_streaming_response.create(**asked) as response:
            async for _ in response.iter_bytes():
                pass

    small = client(Memory(lambda: iter([whole()]), events=False), "sync", wrap=wrap)
    small.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    resident()
    before = peak()
    if colour == "sync":
        read()
    else:
        asyncio.run(aread())
    if wrap:
        record = interlay.last(1)[0]
        assert record.response is not None
        assert record.response.bytes > LARGE * 0.9
    return peak() - before


def child(*arguments: str) -> float:
    """A figure from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", *arguments]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warm", default=WARM, type=int, help="calls before the first look")
    parser.add_argument("--calls", default=CALLS, type=int, help="calls between the first look and the last")
    parser.add_argument("--only", choices=["growth", "large"])
    parser.add_argument("figure", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.figure:
        what, colour, kind, side = options.figure
        wrap = side == "wrapped"
        if what == "growth":
            print(growth(colour, kind, options.warm, options.calls, wrap=wrap))
        else:
            print(rise(colour, kind, wrap=wrap))
        return
    result: dict[str, Any] = {"python": sys.version.split()[0], "openai": openai.__version__}
    counts = [f"--warm={options.warm}", f"--calls={options.calls}"]
    for what, kinds in (("growth", SHAPES), ("large", LARGE_KINDS)):
        if options.only in (None, what):
            for kind in kinds:
                for colour in COLOURS:
                    sides = {side: round(child(*counts, what, colour, kind, side), 2) for side in ("bare", "wrapped")}
                    result[f"{what}, {kind}, {colour}"] = sides
                    print(f"{what}, {kind}, {colour}: {sides}", file=sys.stderr, flush=True)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
