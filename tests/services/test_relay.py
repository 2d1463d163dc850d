"""Spans, figures and events through a real OTLP relay, over HTTP and gRPC."""

from __future__ import annotations

import importlib.util
import platform
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.entry.wires import MESSAGES, Wire
from tests.unit.telemetry.backends import Backend

import interlay
from interlay.telemetry.settings import OTLP, Protocol

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]
CALLS = 600
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


@pytest.fixture
def backend() -> Iterator[Backend]:
    backend = Backend()
    yield backend
    backend.close()


@pytest.fixture
def relay(backend: Backend, tmp_path: Path) -> Iterator[dict[Protocol, str]]:
    http, grpc = free_port(), free_port()
    command = [
        str(agent()), "start", "--pid-file", str(tmp_path / "pid"), "--log-file", str(tmp_path / "log"),
        "--otlp-http-endpoint", f"127.0.0.1:{http}", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}",
        "--exporter", "otlp", "--otlp-exporter-protocol", "http", "--otlp-exporter-endpoint", backend.url,
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
    yield {"http/protobuf": f"http://127.0.0.1:{http}", "grpc": f"http://127.0.0.1:{grpc}"}
    process.terminate()
    process.wait(20)


def _is_all_there(backend: Backend) -> bool:
    """Whether all three signals have come through, each of which the relay passes on in its own time."""
    calls = backend.metrics.get("interlay.calls")
    counted = sum(point.as_double for point in calls.sum.data_points) if calls is not None else 0
    return len(backend.record_ids()) >= CALLS and len(backend.events) >= CALLS and counted >= CALLS


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_everything_comes_out_at_the_other_end(
    relay: dict[Protocol, str], backend: Backend, tmp_path: Path, protocol: Protocol
) -> None:
    place = OTLP(endpoint=relay[protocol], protocol=protocol, signals=("traces", "metrics", "logs"), contents="event")
    interlay.setup(journal=tmp_path / "journal", export=place, contents=True, tracer_provider=False)
    try:
        client = interlay.wrap(Wire(200).for_openai())
        for _ in range(CALLS):
            client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        flushed = interlay.flush(PATIENCE)
        assert flushed.deliveries[0].delivered == CALLS
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and not _is_all_there(backend):
            time.sleep(0.1)
    finally:
        interlay.setup(journal=False, export=False)
    ids = Counter(backend.record_ids())
    assert (len(ids), set(ids.values())) == (CALLS, {1})
    used = [p.value.int_value for s in backend.spans for p in s.attributes if p.key == "gen_ai.usage.input_tokens"]
    assert sum(used) == 9 * CALLS
    assert sum(point.as_double for point in backend.metrics["interlay.calls"].sum.data_points) == CALLS
    assert len(backend.events) == CALLS
