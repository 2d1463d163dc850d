"""A peer's side of ``benchmarks.telemetry``: the bare openai SDK and one instrumentation of it, in one process.

Run by that program, with the interpreter of an environment that holds the peer. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from telemetry_rig import Counted, Drop, asking, client, least, measure, provider


def peer(name: str) -> Callable[[Any], None]:
    """How a peer is switched on, given a provider."""
    if name == "openlit":
        openlit = importlib.import_module("openlit")
        return lambda _made: openlit.init(disable_metrics=True, disable_events=True, application_name="bench")
    if name == "langfuse":
        langfuse = importlib.import_module("langfuse")

        def on(_made: Any) -> None:
            langfuse.Langfuse(public_key="pk", secret_key="sk", base_url="http://127.0.0.1:9", span_exporter=Drop())
            importlib.import_module("langfuse.openai")  # patches the SDK's classes

        return on
    module = importlib.import_module(
        {
            "otel-v2": "opentelemetry.instrumentation.openai_v2",
            "openinference": "openinference.instrumentation.openai",
            "traceloop": "opentelemetry.instrumentation.openai",
        }[name]
    )
    return lambda made: module.OpenAIInstrumentor().instrument(tracer_provider=made)


def of_peer(name: str, calls: int, rounds: int) -> dict[str, Any]:
    """Peers cannot all be switched off, so the bare rounds come first."""
    made = provider()
    trace.set_tracer_provider(made)
    bare = asking(client())
    measure(bare, calls // 4, made.force_flush)
    sides = {"bare": [measure(bare, calls, made.force_flush) for _ in range(rounds)]}
    peer(name)(made)
    traced = asking(client())
    measure(traced, calls // 4, made.force_flush)
    Counted.spans = 0
    sides["traced"] = [measure(traced, calls, made.force_flush) for _ in range(rounds)]
    made.force_flush()
    found: dict[str, Any] = {side: least(rows) for side, rows in sides.items()}
    return {**found, "attributes": Counted.attributes, "spans_per_call": round(Counted.spans / (calls * rounds), 2)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer")
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    print(json.dumps(of_peer(options.peer, options.calls, options.rounds)), flush=True)
    os._exit(0)  # exporters that wait for a backend which is not there have nothing to say
