"""What ``benchmarks.cache`` and ``benchmarks.stores`` have in common: a Redis of their own, and a look at the loop."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager

import redis


@contextmanager
def server() -> Iterator[tuple[int, int]]:
    """The port and process id of a ``redis-server``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", tempfile.gettempdir()]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            with redis.Redis(port=port) as client:
                while True:
                    try:
                        client.ping()
                        break
                    except redis.ConnectionError:
                        time.sleep(0.05)
            yield port, process.pid
        finally:
            process.kill()


async def away(work: Awaitable[object]) -> float:
    """Seconds that the loop was away from another task at the longest, while it did ``work``."""
    longest, done = 0.0, False

    async def look() -> None:
        nonlocal longest
        last = time.perf_counter()
        while not done:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now

    looking = asyncio.create_task(look())
    await work
    done = True
    await looking
    return longest
