"""A real Redis of the test's own, on a free port and with its files in a folder of the test's."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

PATIENCE = 60.0
"""Seconds to wait for what a server does by itself: a busy machine is no reason to fail."""


def free_port() -> int:
    # A cluster's bus is on the port 10,000 above.
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 55_000:
            return port


class RedisServer:
    def __init__(self, folder: Path, *options: str, port: int | None = None, sentinel: bool = False) -> None:
        if shutil.which("redis-server") is None:
            pytest.fail("no redis-server here; `make test` installs what tests/services/apt.txt lists")
        self.folder = folder
        self.options = options
        self.port = port or free_port()
        self.sentinel = sentinel
        self.process: subprocess.Popen[bytes] | None = None
        atexit.register(self.kill)  # of a test that was stopped in the middle
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "redis.conf"
        common = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        if self.sentinel:
            if not config.exists():
                config.write_text("\n".join(self.options))
            command = ["redis-server", str(config), "--sentinel", *common]
        else:
            command = ["redis-server", *common, "--save", "", "--appendonly", "no", *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self.answers)

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(self.ask("PING"))
        return False

    def ask(self, *command: str | bytes | int) -> Any:
        """What the server answers to one command."""
        with self.client() as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def client(self) -> Any:
        """redis-py as it is used without us."""
        return redis.Redis(
            port=self.port,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )

    def _signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)
            self.process = None


def until(done: Any, message: str = "it did not happen") -> None:
    """Wait for something that a server does by itself."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, message
        time.sleep(0.02)


@contextlib.contextmanager
def running(*servers: RedisServer) -> Iterator[None]:
    try:
        yield
    finally:
        for server in servers:
            server.kill()


class RedisCluster:
    """Three servers that share the keys."""

    def __init__(self, folder: Path) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        self.nodes = [RedisServer(folder / str(number), *options) for number in range(3)]
        share = 16384 // 3 + 1
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "ADDSLOTS", *range(number * share, min((number + 1) * share, 16384)))
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            node.ask("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        until(self.is_whole, "the cluster did not come together")

    def is_whole(self) -> bool:
        states = [node.ask("CLUSTER", "INFO") for node in self.nodes]
        return all(b"cluster_state:ok" in state and b"cluster_known_nodes:3" in state for state in states)

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def kill(self) -> None:
        for node in self.nodes:
            node.kill()


class RedisSentinel:
    """A server, a replica of it, and a sentinel that watches over them."""

    def __init__(self, folder: Path) -> None:
        self.first = RedisServer(folder / "first")
        self.second = RedisServer(folder / "second", "--replicaof", f"127.0.0.1 {self.first.port}")
        self.sentinel = RedisServer(
            folder / "sentinel",
            f"sentinel monitor answers 127.0.0.1 {self.first.port} 1",
            "sentinel down-after-milliseconds answers 500",
            "sentinel failover-timeout answers 5000",
            sentinel=True,
        )
        until(lambda: b"master_link_status:up" in self.second.ask("INFO", "replication"), "the replica does not follow")
        until(lambda: self.sentinel.ask("SENTINEL", "REPLICAS", "answers"), "the sentinel does not know the replica")

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/answers"

    def kill(self) -> None:
        for server in (self.sentinel, self.second, self.first):
            server.kill()
