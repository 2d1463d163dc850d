"""Our side of ``benchmarks.telemetry``: the bare openai SDK, interlay's record, its set-up, its live spans.

Run by that program. Prints one line of JSON: microseconds a call, and what the parts take off the caller's path.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from telemetry_rig import Call, Counted, asking, client, least, measure, provider

import interlay
from interlay.chain.journal import Journal
from interlay.telemetry import otlp
from interlay.telemetry import setup as starting
from interlay.telemetry.answers import Answer
from interlay.telemetry.live import Trace
from interlay.telemetry.metrics import Metrics, Tally
from interlay.telemetry.sending import Endpoint, HTTPTransport
from interlay.telemetry.sources import JournalSource
from interlay.telemetry.spans import Told, spans_of
from interlay.telemetry.vocabulary import VOCABULARIES


class Dropping:
    """A transport that takes everything."""

    sent = 0
    bytes = 0

    def __init__(self, *_: object) -> None: ...

    def send(self, signal: str, body: bytes) -> Any:
        Dropping.sent += signal == "traces"
        Dropping.bytes += len(body)
        return Answer("taken")

    def close(self) -> None: ...

    def abandon(self) -> None: ...


def of_ours(calls: int, rounds: int) -> dict[str, Any]:
    """Rounds of all sides are interleaved: ours can be switched on and off."""
    starting.HTTPTransport = Dropping  # type: ignore[assignment,misc]
    made = provider()
    folder = tempfile.TemporaryDirectory()
    bare, wrapped = asking(client()), asking(interlay.wrap(client()))
    live = asking(interlay.wrap(client(), Trace(made)))
    tracer = made.get_tracer("bench")
    attributes = {f"bench.attribute.{n}": f"value {n}" for n in range(24)}

    # A record that nobody waits for is made later, with others; a live span is ended with what its record says.
    seen = asking(interlay.wrap(client(), interlay.Observe(lambda _record: None, inline=True)))

    def floor() -> None:
        span = tracer.start_span("chat gpt-4o-mini", attributes=attributes)
        seen()
        span.end()

    def everything() -> None:
        interlay.setup(journal=folder.name, export="http://127.0.0.1:9", tracer_provider=False, meter_provider=False)

    def nothing() -> None:
        interlay.setup(journal=False, export=False, tracer_provider=False, meter_provider=False)

    def settle() -> None:
        interlay.flush(60)
        made.force_flush()

    sides: dict[str, tuple[Callable[[], None], Call]] = {
        "bare": (nothing, bare),
        "record": (nothing, wrapped),
        "setup": (everything, wrapped),
        "record that is looked at": (nothing, seen),
        "live": (nothing, live),
        "bare span and record that is looked at": (nothing, floor),
    }
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, (prepare, call) in sides.items():
            prepare()
            row = measure(call, calls if turn else calls // 4, settle)
            if turn:
                rows[name].append(row)
    nothing()
    found: dict[str, Any] = {name: least(some) for name, some in rows.items()}
    return {**found, "attributes": Counted.attributes, "parts": parts()}


def parts() -> dict[str, float]:
    """CPU of what happens to a record off the caller's path, each alone, in microseconds a record."""
    call = asking(interlay.wrap(client()))
    for _ in range(1000):
        call()
    records = interlay.last()
    told = Told(VOCABULARIES["genai-1.41"])
    spans = [spans_of(record, told) for record in records]
    resource, scope = otlp.resource({"service.name": "bench"}), otlp.scope("1")

    def cost(work: Callable[[], object]) -> float:
        best = 1e9
        for _ in range(5):
            cpu = time.process_time()
            work()
            best = min(best, time.process_time() - cpu)
        return round(1e6 * best / len(records), 2)

    metrics = Metrics(Tally(), lambda _work: True)

    def figure() -> None:
        for record in records:
            metrics.on_end(record)
        metrics.fold()

    with tempfile.TemporaryDirectory() as folder:
        journal, n = Journal(folder), 0

        def read() -> None:
            nonlocal n
            n += 1
            source = JournalSource(journal.path, f"bench-{n}")
            for record in records:
                journal.append(record.to_json())
            begun = time.process_time()
            while source.read(512):
                source.commit()
            taken.append(1e6 * (time.process_time() - begun) / len(records))
            source.close()

        taken: list[float] = []
        for _ in range(5):
            read()
    sent = sending(b"".join(otlp.spans_item(each) for each in spans[:512]), resource, scope)
    return {
        "read from the journal": round(min(taken), 2),
        "spans": cost(lambda: [spans_of(record, told) for record in records]),
        "metrics": cost(figure),
        "encode": cost(lambda: otlp.request([otlp.spans_item(each) for each in spans], resource, scope)),
        "send over HTTP, 512 at once": round(sent / 512, 2),
    }


def sending(body: bytes, resource: bytes, scope: bytes) -> float:
    """CPU microseconds of one request to a server in a process of its own."""
    program = (
        "import http.server,sys\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    protocol_version='HTTP/1.1'\n"
        "    def do_POST(self):\n"
        "        self.rfile.read(int(self.headers['content-length'])); self.send_response(200)\n"
        "        self.send_header('content-length','0'); self.end_headers()\n"
        "    def log_message(self,*a): pass\n"
        "s=http.server.HTTPServer(('127.0.0.1',0),H); print(s.server_port,flush=True); s.serve_forever()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        transport = HTTPTransport({"traces": Endpoint(f"http://127.0.0.1:{port}/v1/traces")})
        request = otlp.request([body], resource, scope)
        best = 1e9
        for _ in range(20):
            cpu = time.process_time()
            assert transport.send("traces", request).kind == "taken"
            best = min(best, time.process_time() - cpu)
        transport.close()
        server.terminate()
    return 1e6 * best


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    print(json.dumps(of_ours(options.calls, options.rounds)), flush=True)
    os._exit(0)
