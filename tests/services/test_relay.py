"""Spans, figures and events through a real OTLP relay, over HTTP and gRPC."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.services.relay import PATIENCE, free_port, relaying
from tests.unit.entry.wires import MESSAGES, Wire
from tests.unit.telemetry.backends import Backend

import interlay
from interlay.telemetry.settings import OTLP, Protocol

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]
CALLS = 600


@pytest.fixture
def backend() -> Iterator[Backend]:
    backend = Backend()
    yield backend
    backend.close()


@pytest.fixture
def relay(backend: Backend, tmp_path: Path) -> Iterator[dict[Protocol, str]]:
    http, grpc = free_port(), free_port()
    with relaying(backend.url, tmp_path, http, grpc):
        yield {"http/protobuf": f"http://127.0.0.1:{http}", "grpc": f"http://127.0.0.1:{grpc}"}


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
