"""What ``instrument()`` adds to a call beside what ``wrap()`` adds, and to requests that are none of its business.

Run with ``python -m benchmarks.instrument``. The transports are the HTTP library's own, over a connection pool in
memory; sides are interleaved, so that a drift of the machine's speed falls on all. Prints one JSON object:
microseconds at the median and of process CPU, and what ``observe`` adds to a function.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import time
import timeit
from collections.abc import Callable, Iterator
from typing import Any

import httpcore2
import httpx2
import openai
from benchmarks.__main__ import BLOCK, answer, whole

import interlay

Call = Callable[[], object]
FOREIGN = "https://example.org/api/users/12345?expand=1"


class Pool:
    """Connections that answer from memory."""

    def __init__(self) -> None:
        self._body = answer()

    def handle_request(self, request: httpcore2.Request) -> httpcore2.Response:
        headers = [(b"content-type", b"application/json")]
        return httpcore2.Response(200, headers=headers, content=iter([self._body]))

    def close(self) -> None: ...


class Beside(httpx2.HTTPTransport):
    """The library's own transport, out of reach of ``instrument()``: turning that on and off between the sides would
    cost more than what is measured, as the interpreter forgets what it knows of a class that is changed."""

    handle_request = httpx2.HTTPTransport.handle_request


def http(kind: type[httpx2.HTTPTransport] = Beside) -> httpx2.Client:
    transport = kind(verify=False)
    transport._pool = Pool()  # type: ignore[assignment]  # noqa: SLF001
    return httpx2.Client(transport=transport)


def sdk(client: httpx2.Client) -> openai.OpenAI:
    return openai.OpenAI(api_key="sk-bench", max_retries=0, http_client=client)


class Side:
    """One way of calling."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.taken: list[float] = []
        self.cpu = 0.0

    def turn(self, calls: int) -> None:
        call, taken = self.call, self.taken
        cpu = time.process_time()
        for _ in range(calls):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
        interlay.flush()
        self.cpu += time.process_time() - cpu

    def figures(self) -> dict[str, float]:
        p50 = 1e6 * statistics.median(self.taken)
        return {"p50_us": round(p50, 1), "cpu_us": round(1e6 * self.cpu / len(self.taken), 1)}


def compare(sides: dict[str, Side], calls: int) -> dict[str, Any]:
    for side in sides.values():
        side.turn(calls // 10)
        side.taken.clear()
        side.cpu = 0.0
    gc.collect()
    for _ in range(calls // BLOCK):
        for side in sides.values():
            side.turn(BLOCK)
    found: dict[str, Any] = {name: side.figures() for name, side in sides.items()}
    bare = found["bare"]
    return {
        name: {**figures, "added": {key: round(figures[key] - bare[key], 1) for key in bare}}
        for name, figures in found.items()
    }


def observed() -> dict[str, float]:
    """Microseconds that ``observe`` adds to a run of a function, and to each step of a generator."""

    def plain() -> int:
        return 1

    async def coroutine() -> int:
        return 1

    def generator() -> Iterator[int]:
        yield from range(1000)

    def runs(function: Callable[[], int]) -> float:
        return best(function, 1)

    def awaited(function: Callable[[], Any]) -> float:
        async def many() -> None:
            for _ in range(100):
                await function()

        return best(lambda: asyncio.run(many()), 100)

    def steps(function: Callable[[], Iterator[int]]) -> float:
        return best(lambda: sum(function()), 1000)

    def best(call: Call, times: int) -> float:
        timer = timeit.Timer(call)
        number = max(1, 5_000 // times)
        return 1e6 * min(timer.repeat(5, number)) / (number * times)

    return {
        "function_us": round(runs(interlay.observe(plain)) - runs(plain), 2),
        "coroutine_us": round(awaited(interlay.observe(coroutine)) - awaited(coroutine), 2),
        "step_of_a_generator_us": round(steps(interlay.observe(generator)) - steps(generator), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=5000)
    options = parser.parse_args()
    reached = httpx2.HTTPTransport
    bare, here = http(), http(reached)
    interlay.instrument()
    result: dict[str, Any] = {
        "a call of the SDK": compare(
            {
                "bare": Side(whole(sdk(http()))),
                "wrapped": Side(whole(interlay.wrap(sdk(http())))),
                "instrumented": Side(whole(sdk(http(reached)))),
            },
            options.calls,
        ),
        "a request to elsewhere": compare(
            {"bare": Side(lambda: bare.get(FOREIGN)), "instrumented": Side(lambda: here.get(FOREIGN))},
            options.calls,
        ),
        "observe": observed(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
