"""A program that is killed while its backend is down loses nothing that had returned."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.unit.telemetry.backends import Backend

CALLING = """
import interlay, sys
from tests.unit.entry.wires import MESSAGES, Wire
interlay.setup()
client = interlay.wrap(Wire(200).for_openai())
for n in range(1_000):
    client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    print(interlay.last(1)[0].id, flush=True)
"""
SHIPPING = """
import interlay
interlay.setup()
while not (flushed := interlay.flush(5)).done:
    pass
print(flushed.deliveries[0].dropped)
"""
KILLED_AFTER = 500

pytestmark = pytest.mark.timeout(300)


def run(program: str, home: Path, port: int) -> subprocess.Popen[str]:
    env = {**os.environ, "INTERLAY_HOME": str(home), "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    env["OTEL_METRICS_EXPORTER"] = "none"
    return subprocess.Popen([sys.executable, "-c", program], env=env, stdout=subprocess.PIPE, text=True)


def test_what_had_returned_arrives_once_after_the_next_start(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    with run(CALLING, tmp_path, port) as calling:
        assert calling.stdout is not None
        returned = [calling.stdout.readline().strip() for _ in range(KILLED_AFTER)]
        calling.send_signal(signal.SIGKILL)
        returned += [line.strip() for line in calling.stdout.read().splitlines() if len(line) == len(returned[0])]
    backend = Backend(port=port)
    with run(SHIPPING, tmp_path, port) as shipping:
        dropped, _ = shipping.communicate(timeout=200)
    arrived = Counter(backend.record_ids())
    backend.close()
    assert dropped == "0\n"
    assert set(returned) <= set(arrived)
    assert set(arrived.values()) == {1}
    assert len(arrived) <= len(returned) + 2
