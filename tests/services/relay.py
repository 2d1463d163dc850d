"""A real OTLP relay: takes requests over HTTP and gRPC, and passes them on over HTTP."""

from __future__ import annotations

import importlib.util
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PATIENCE = 120


def agent() -> Path:
    """The relay's program, which comes with a package that has wheels for few platforms."""
    found = importlib.util.find_spec("rotel")
    if found is None or found.origin is None:
        if sys.platform != "linux" or platform.machine() != "x86_64":
            pytest.skip("the relay has no wheel for this platform")
        pytest.fail("no rotel here; it is among the dev extra's packages")
    return Path(found.origin).with_name("rotel-agent")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def relaying(to: str, folder: Path, http: int, grpc: int) -> Iterator[None]:
    """A relay that listens at two ports and passes on to ``to``."""
    command = [
        str(agent()), "start", "--pid-file", str(folder / "pid"), "--log-file", str(folder / "log"),
        "--otlp-http-endpoint", f"127.0.0.1:{http}", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}",
        "--exporter", "otlp", "--otlp-exporter-protocol", "http", "--otlp-exporter-endpoint", to,
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE
    for port in (http, grpc):
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)
