"""What stores cost beside their bare clients, for one caller and for many, and what a Redis that is away costs a call.

Run with ``python -m benchmarks.stores [--hits 2000] [--rounds 7]``. Needs ``redis-server``. Values are of 2 KB. Rounds
are interleaved, so that a drift of the machine's speed falls on all sides; each figure is the best round's.

Prints one JSON object: ``sync`` and ``async`` in microseconds an operation, ``crowd`` the same for 64 tasks at once,
and ``away`` in milliseconds for the first call that finds out, and for each call after it. ``held_up`` is the longest
that the event loop was away from a task that only looks at the clock while the first call waited; ``held_up_idle`` the
same while nothing happened.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

import redis
import redis.asyncio
from benchmarks import store_rig

from interlay.chain.aio import AsyncIO
from interlay.chain.io import SyncIO, drive
from interlay.chain.runner import Runner
from interlay.stores import open_store
from interlay.stores.disk import DiskStore
from interlay.stores.memory import MemoryStore
from interlay.stores.redis import RedisStore

KEY, VALUE, TASKS = "a" * 64, bytes(range(256)) * 8, 64


def best(sides: dict[str, Callable[[], object]], times: int, rounds: int) -> dict[str, float]:
    """Microseconds of each."""
    found = dict.fromkeys(sides, float("inf"))
    for _ in range(rounds):
        for name, work in sides.items():
            begun = time.perf_counter()
            for _ in range(times):
                work()
            found[name] = min(found[name], (time.perf_counter() - begun) / times * 1e6)
    return {name: round(value, 1) for name, value in found.items()}


async def best_async(
    sides: dict[str, Callable[[], Awaitable[object]]], times: int, rounds: int, tasks: int = 1
) -> dict[str, float]:
    """The same in an event loop, with so many tasks at once."""
    found = dict.fromkeys(sides, float("inf"))
    for _ in range(rounds):
        for name, work in sides.items():
            begun = time.perf_counter()
            for _ in range(times // tasks):
                if tasks == 1:
                    await work()
                else:
                    await asyncio.gather(*(work() for _ in range(tasks)))
            found[name] = min(found[name], (time.perf_counter() - begun) / (times // tasks * tasks) * 1e6)
    return {name: round(value, 1) for name, value in found.items()}


def took(work: Callable[[], object], times: int = 1) -> float:
    """Milliseconds of one."""
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return round((time.perf_counter() - begun) / times * 1e3, 4)


async def held_up(work: Awaitable[object]) -> float:
    """Milliseconds that the loop was away from another task at the longest."""
    return round(await store_rig.away(work) * 1e3, 1)


def away(address: str, pid: int | None = None) -> dict[str, float]:
    """A server that is stopped, or an address where there is none."""
    store, io = open_store(address), SyncIO(Runner())
    if pid is not None:
        drive(store.set(io, KEY, VALUE, lifetime=3600))
        os.kill(pid, signal.SIGSTOP)
    try:
        get = lambda: drive(store.get(io, KEY))  # noqa: E731
        return {"first": took(get), "then": took(get, 1000)}
    finally:
        if pid is not None:
            os.kill(pid, signal.SIGCONT)
        store.close()


async def frozen_async(address: str, pid: int) -> dict[str, float]:
    store, io = open_store(address), AsyncIO(Runner())
    await store.set(io, KEY, VALUE, lifetime=3600)
    idle = await held_up(asyncio.sleep(0.05))
    os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.perf_counter()
        gap = await held_up(store.get(io, KEY))
        first = round((time.perf_counter() - begun) * 1e3, 1)
    finally:
        os.kill(pid, signal.SIGCONT)
    store.close()
    return {"first": first, "held_up": gap, "held_up_idle": idle}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hits", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    hits, rounds = options.hits, options.rounds
    result: dict[str, Any] = {"python": sys.version.split()[0], "redis": redis.__version__}
    with (
        store_rig.server() as (port, pid),
        tempfile.TemporaryDirectory() as folder,
        redis.Redis(port=port) as bare,
    ):
        bare.set("bare", VALUE)
        address = f"redis://127.0.0.1:{port}"
        stores: dict[str, Any] = {
            "memory": MemoryStore(),
            "disk": DiskStore(f"{folder}/answers", timeout=30.0),
            "redis": RedisStore(address, timeout=30.0),
        }
        io = SyncIO(Runner())
        for store in stores.values():
            drive(store.set(io, KEY, VALUE, lifetime=3600, scope="s", tags=["t"]))
        sides: dict[str, Callable[[], object]] = {"redis-py": lambda: bare.get("bare")}
        sides |= {name: lambda store=store: drive(store.get(io, KEY)) for name, store in stores.items()}
        writes: dict[str, Callable[[], object]] = {"redis-py": lambda: bare.set("bare", VALUE, px=3_600_000)}
        writes |= {
            name: lambda store=store: drive(store.set(io, KEY, VALUE, lifetime=3600, scope="s", tags=["t"]))
            for name, store in stores.items()
        }
        result["sync"] = {"get": best(sides, hits, rounds), "set": best(writes, hits // 4, rounds)}

        async def in_a_loop() -> None:
            aio = AsyncIO(Runner())
            async with redis.asyncio.Redis(port=port) as client:
                sides: dict[str, Callable[[], Awaitable[object]]] = {"redis.asyncio": lambda: client.get("bare")}
                sides |= {name: lambda store=store: store.get(aio, KEY) for name, store in stores.items()}
                result["async"] = {"get": await best_async(sides, hits, rounds)}
                result["crowd"] = {"get": await best_async(sides, hits, rounds, TASKS)}

        asyncio.run(in_a_loop())
        for store in stores.values():
            store.close()
        result["away"] = {
            "frozen": away(address, pid),
            "frozen, async": asyncio.run(frozen_async(address, pid)),
            "refused": away("redis://127.0.0.1:1"),
        }
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
