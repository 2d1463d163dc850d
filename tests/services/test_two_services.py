"""Two services of one machine, one journal, one relay: whatever happens to them, each record is told as its own
service's, and as of the process that made it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.services.relay import PATIENCE, free_port, relaying
from tests.unit.telemetry.backends import Backend

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

# Makes calls until it is killed, or told how many; says which process it is and what every call's record is called.
CALLING = """
import interlay, os, sys
from tests.unit.entry.wires import MESSAGES, Wire
interlay.setup()
client = interlay.wrap(Wire(200).for_openai())
print(os.getpid(), flush=True)
for n in range(int(sys.argv[1])):
    client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    print(interlay.last(1)[0].id, flush=True)
if sys.stdin.readline():
    while not (flushed := interlay.flush(5)).done:
        pass
    print(flushed.deliveries[0].dropped, flush=True)
"""
CALLS = 150


class Service:
    """A program of a service; its journal is where everybody's is."""

    def __init__(self, name: str, home: Path, port: int, calls: int) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        env |= {
            "INTERLAY_HOME": str(home), "OTEL_SERVICE_NAME": name, "OTEL_METRICS_EXPORTER": "none",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        }  # fmt: skip
        command = [sys.executable, "-c", CALLING, str(calls)]
        self.name = name
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = int(self._line())
        self.ids: list[str] = []

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def call(self, count: int) -> None:
        """Wait until so many calls have been made."""
        self.ids += [self._line() for _ in range(count)]

    def kill(self) -> None:
        self.process.kill()
        assert self.process.stdout is not None
        self.ids += [line.strip() for line in self.process.stdout if len(line.strip()) == len(self.ids[0])]
        self.end()

    def flush(self) -> str:
        """Have it deliver everything; how many records it says it has dropped."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._line()

    def end(self) -> None:
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.wait(60)


def told(backend: Backend) -> list[tuple[str, str, int]]:
    """Of every span that came through: its record, the service and the process it was told under."""
    found = []
    for path, body in list(backend.taken):
        if not path.endswith("/v1/traces"):
            continue
        for of in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource: dict[str, Any] = {pair.key: pair.value for pair in of.resource.attributes}
            whose = resource["service.name"].string_value, resource["process.pid"].int_value
            for scope in of.scope_spans:
                for span in scope.spans:
                    ids = [p.value.string_value for p in span.attributes if p.key == "interlay.record.id"]
                    found.append((ids[0], *whose))
    return found


def test_two_services_share_a_journal_and_a_relay(tmp_path: Path) -> None:
    port, backend = free_port(), Backend()
    with ExitStack() as stack:
        stack.callback(backend.close)

        def start(name: str, calls: int) -> Service:
            service = Service(name, tmp_path / "home", port, calls)
            stack.callback(service.end)
            return service

        # The relay is down, and one of the two is killed in the midst.
        killed, waiting = start("shop", 100_000), start("desk", CALLS)
        waiting.call(CALLS)
        killed.call(CALLS)
        killed.kill()
        stack.enter_context(relaying(backend.url, tmp_path, port, free_port()))
        assert waiting.flush() == "0"
        again = start("shop", CALLS)
        again.call(CALLS)
        assert again.flush() == "0"
        deadline = time.monotonic() + PATIENCE
        expected = {(each, "shop", killed.pid) for each in killed.ids}
        expected |= {(each, "desk", waiting.pid) for each in waiting.ids}
        expected |= {(each, "shop", again.pid) for each in again.ids}
        while time.monotonic() < deadline and not expected <= set(told(backend)):
            time.sleep(0.1)
    arrived = Counter(told(backend))
    assert expected <= set(arrived)
    assert set(arrived.values()) == {1}
    # A call of the killed program may have ended whose line was not printed yet.
    assert {whose[1:] for whose in set(arrived) - expected} <= {("shop", killed.pid)}
