"""What interlay adds to a call of the openai SDK over an in-memory wire, side by side in one run.

Run with ``make bench``. Rounds are interleaved, so that a drift of the machine's speed falls on both sides.
Prints one JSON object: microseconds a call at the median, and of process CPU with the runner drained.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import openai

import interlay

MESSAGES: list[Any] = [
    {"role": "system", "content": "You are a terse assistant."},
    {"role": "user", "content": "Say what a good gateway does, in three sentences. " * 4},
]
USAGE = {"prompt_tokens": 58, "completion_tokens": 64, "total_tokens": 122}
EVENTS = 64
BLOCK = 50
"""Calls of one side before it is the other's turn."""


def answer() -> bytes:
    """A whole response of about 1 KB."""
    message = {"role": "assistant", "content": "A good gateway forwards, counts and refuses. " * 12}
    return json.dumps(
        {
            "id": "chatcmpl-bench",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": USAGE,
        }
    ).encode()


def events() -> list[bytes]:
    """A stream of 64 deltas, its usage and its end."""
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
    deltas = [{**head, "choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": None}], "usage": None}]
    finish = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": None}
    chunks = [*deltas * EVENTS, finish, {**head, "choices": [], "usage": USAGE}]
    data = [json.dumps(chunk, separators=(",", ":")).encode() for chunk in chunks]
    return [b"data: " + line + b"\n\n" for line in (*data, b"[DONE]")]


class Chunks(httpx2.SyncByteStream):
    """A body that comes in network chunks."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)


class Memory(httpx2.BaseTransport):
    """Answers from memory."""

    def __init__(self) -> None:
        self._whole, self._events = [answer()], events()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        streamed = b'"stream":true' in request.content
        kind = "text/event-stream" if streamed else "application/json"
        return httpx2.Response(
            200, headers={"content-type": kind}, stream=Chunks(self._events if streamed else self._whole)
        )


def client() -> openai.OpenAI:
    return openai.OpenAI(api_key="sk-bench", max_retries=0, http_client=httpx2.Client(transport=Memory()))


def whole(sdk: openai.OpenAI) -> Callable[[], None]:
    def call() -> None:
        sdk.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, temperature=0.2)

    return call


def streamed(sdk: openai.OpenAI, *, asks: bool) -> Callable[[], None]:
    """A stream; ``asks`` says whether the program itself asks for its usage."""
    options: Any = {"stream_options": {"include_usage": True}} if asks else {}

    def call() -> None:
        for _ in sdk.chat.completions.create(
            model="gpt-4o-mini", messages=MESSAGES, temperature=0.2, stream=True, **options
        ):
            pass

    return call


def measure(call: Callable[[], None], calls: int) -> tuple[list[float], float]:
    """Seconds that each call took, and of process CPU all of them, with the runner drained."""
    taken = []
    cpu = time.process_time()
    for _ in range(calls):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    interlay.flush()
    return taken, time.process_time() - cpu


def compare(sides: dict[str, Callable[[], None]], calls: int, rounds: int) -> dict[str, dict[str, float]]:
    """Microseconds a call: the median over ``rounds`` of each round's median, and of its mean CPU."""
    for call in sides.values():
        measure(call, calls // 10)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        gc.collect()
        times: dict[str, list[float]] = {name: [] for name in sides}
        cpu = dict.fromkeys(sides, 0.0)
        for _ in range(calls // BLOCK):
            for name, call in sides.items():
                taken, spent = measure(call, BLOCK)
                times[name] += taken
                cpu[name] += spent
        for name, all_taken in times.items():
            found[name].append((1e6 * statistics.median(all_taken), 1e6 * cpu[name] / len(all_taken)))
    return {
        name: {
            "p50_us": round(statistics.median(p50 for p50, _ in rows), 1),
            "cpu_us": round(statistics.median(spent for _, spent in rows), 1),
        }
        for name, rows in found.items()
    }


def added(sides: dict[str, dict[str, float]], name: str) -> dict[str, float]:
    return {figure: round(sides[name][figure] - sides["bare"][figure], 1) for figure in ("p50_us", "cpu_us")}


def import_milliseconds(module: str, runs: int = 7) -> float:
    """Median of whole interpreters, less an empty one's."""

    def once(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return 1e3 * (time.perf_counter() - start)

    pairs = [(once(f"import {module}"), once("pass")) for _ in range(runs)]
    return round(statistics.median(with_it - empty for with_it, empty in pairs), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    bare, wrapped = client(), interlay.wrap(client())
    result: dict[str, Any] = {"python": sys.version.split()[0], "openai": openai.__version__}
    sides = compare({"bare": whole(bare), "wrapped": whole(wrapped)}, options.calls, options.rounds)
    result["whole"] = {**sides, "added": added(sides, "wrapped")}
    calls = max(options.calls // 10, BLOCK)
    for name, asks in (("streamed", True), ("streamed, usage not asked for", False)):
        sides = compare(
            {"bare": streamed(bare, asks=asks), "wrapped": streamed(wrapped, asks=asks)}, calls, options.rounds
        )
        chunk = {figure: round(value / (EVENTS + 3), 2) for figure, value in added(sides, "wrapped").items()}
        result[name] = {**sides, "added_a_chunk": chunk}
    with tempfile.TemporaryDirectory() as folder:
        interlay.setup(journal=folder)
        sides = compare({"wrapped with journal": whole(wrapped), "bare": whole(bare)}, options.calls, options.rounds)
        interlay.setup(journal=False)
    result["journal"] = {"added": added(sides, "wrapped with journal")}
    result["import_ms"] = import_milliseconds("interlay")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
