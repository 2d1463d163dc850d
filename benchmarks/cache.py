"""What a hit costs, beside a bare get of the store it comes from and, given their environment, LiteLLM's own hits.

Run with ``python -m benchmarks.cache [--peer PYTHON] [--hits 2000] [--rounds 5]``. ``PYTHON`` is the interpreter of an
environment that holds ``litellm``, ``diskcache`` and ``redis[hiredis]``. A redis-server of its own is started if there
is one. Answers are of about 2 KB. Rounds are interleaved, so that a drift of the machine's speed falls on all sides.

Prints one JSON object of microseconds at the median: ``layer`` is the cache alone, from the call it is given to the
response it gives; ``client`` a call of a wrapped HTTP client, record and all; ``bare`` a get of the store's own client.
In async ``blocked`` is the longest that the event loop was away from a task that only looks at the clock, in a round
of hits; ``blocked_idle`` the same in a round of nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diskcache
import httpx2
import redis
from benchmarks import store_rig

import interlay
from interlay.chain.aio import AsyncIO
from interlay.chain.call import Call, Response
from interlay.chain.io import SyncIO, drive
from interlay.entry.process import recorder
from interlay.entry.request import HTTPRequest
from interlay.stores.disk import DiskStore
from interlay.stores.guarded import GuardedStore
from interlay.stores.memory import MemoryStore
from interlay.stores.redis import RedisStore
from interlay.stores.store import Store

PATIENCE = 30.0
URL = "https://api.openai.com/v1/chat/completions"
KEY = {"authorization": "Bearer sk-bench"}
MESSAGES: list[Any] = [
    {"role": "system", "content": "You are a terse assistant."},
    {"role": "user", "content": "Say what a good gateway does, in three sentences. " * 4},
]
ASKED = {"model": "gpt-4o-mini", "temperature": 0.2, "messages": MESSAGES}
ANSWER = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "A good gateway forwards, counts and refuses. " * 38},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 58, "completion_tokens": 64, "total_tokens": 122},
    }
).encode()


class Memory(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Answers from memory."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "application/json"}, content=ANSWER)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return self.handle_request(request)


async def nowhere(_call: Call) -> Response:
    raise AssertionError("a hit sends nothing")


class Side:
    """One store, in both colours."""

    def __init__(self, name: str, store: Store, bare: Callable[[], object] | None) -> None:
        self.name = name
        self.bare = bare
        self.cache = interlay.Cache(store)
        self.sync = httpx2.Client(transport=Memory(), headers=KEY)
        self.asynchronous = httpx2.AsyncClient(transport=Memory(), headers=KEY)
        interlay.wrap(self.sync, self.cache)
        interlay.wrap(self.asynchronous, self.cache)
        self.request = self.sync.build_request("POST", URL, json=ASKED)
        self.sync.send(self.request)
        recorder.runner.drain(10)
        response = self.sync.send(self.request)
        assert "; hit" in response.headers["cache-status"], response.headers

    def call(self, io: Any) -> Call:
        seat: Any = self.sync._transport.seat  # type: ignore[attr-defined] # noqa: SLF001
        return seat.call(HTTPRequest(self.request, httpx2), io)  # type: ignore[no-any-return]

    def layer(self, hits: int) -> float:
        taken = []
        for _ in range(hits):
            call = self.call(SyncIO(recorder.runner))
            began = time.perf_counter()
            drive(self.cache(call, nowhere))
            taken.append(time.perf_counter() - began)
        return statistics.median(taken)

    def client(self, hits: int) -> float:
        return timed(lambda: self.sync.send(self.request), hits)

    async def layer_async(self, hits: int) -> float:
        taken = []
        for _ in range(hits):
            call = self.call(AsyncIO(recorder.runner))
            began = time.perf_counter()
            await self.cache(call, nowhere)
            taken.append(time.perf_counter() - began)
        return statistics.median(taken)


def timed(work: Callable[[], object], times: int) -> float:
    """Seconds at the median."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


@contextmanager
def server() -> Iterator[str | None]:
    """The URL of a Redis of our own; None where there is none to be started."""
    if shutil.which("redis-server") is None:
        yield None
        return
    with store_rig.server() as (port, _):
        yield f"redis://127.0.0.1:{port}"


def opened(kind: str, place: str) -> Store:
    """What ``Cache`` makes of such words, for a machine that may be busy: a store that is slow is not asked."""
    if kind == "disk":
        return GuardedStore(DiskStore(place, timeout=PATIENCE), PATIENCE)
    return MemoryStore() if kind == "memory" else GuardedStore(RedisStore(place, timeout=PATIENCE), PATIENCE)


def stored(kind: str, place: str) -> Callable[[], object] | None:
    """A bare get of as many bytes."""
    if kind == "disk":
        cache = diskcache.Cache(f"{place}-bare")
        cache.set(b"key", ANSWER)
        return lambda: cache.get(b"key")
    if kind == "redis":
        client = redis.Redis.from_url(place)
        client.set("bare", ANSWER)
        return lambda: client.get("bare")
    return None


def peer(python: str, kind: str, place: str, hits: int) -> float:
    program = Path(__file__).with_name("cache_peer.py")
    command = [python, str(program), kind, place, "--hits", str(hits)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout.splitlines()[-1])["hit"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", metavar="PYTHON", help="of an environment with litellm")
    parser.add_argument("--hits", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stores", default="memory,disk,redis", help="which of these")
    options = parser.parse_args()
    wanted = options.stores.split(",")
    with tempfile.TemporaryDirectory() as folder, server() as url:
        places = {"memory": "memory", "disk": f"{folder}/answers"}
        if url is not None:
            places["redis"] = url
        sides = [
            Side(kind, opened(kind, place), stored(kind, place)) for kind, place in places.items() if kind in wanted
        ]
        rows: dict[str, dict[str, list[float]]] = {side.name: {} for side in sides}
        gc.collect()
        gc.freeze()
        for _ in range(options.rounds):
            for side in sides:
                row = rows[side.name]
                if side.bare is not None:
                    row.setdefault("bare", []).append(timed(side.bare, options.hits))
                row.setdefault("layer", []).append(side.layer(options.hits))
                row.setdefault("client", []).append(side.client(options.hits))
                row.setdefault("layer_async", []).append(asyncio.run(side.layer_async(options.hits)))
                row.setdefault("blocked", []).append(asyncio.run(store_rig.away(side.layer_async(options.hits))))
                row.setdefault("blocked_idle", []).append(
                    asyncio.run(store_rig.away(asyncio.sleep(options.hits * 0.0001)))
                )
                if options.peer:
                    place = f"{folder}/peer" if side.name == "disk" else places[side.name]
                    row.setdefault("litellm", []).append(peer(options.peer, side.name, place, min(options.hits, 400)))
    result: dict[str, Any] = {"python": sys.version.split()[0]}
    for name, row in rows.items():
        result[name] = {what: round(min(taken) * 1e6, 1) for what, taken in row.items()}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
