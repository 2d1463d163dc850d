"""What both sides of ``benchmarks.telemetry`` share: an SDK whose wire answers from memory, and a stopwatch.

Imported by its bare name, from whatever environment a side lives in.
"""

from __future__ import annotations

import gc
import importlib
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import openai
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

MESSAGES: list[Any] = [
    {"role": "system", "content": "You are a terse assistant."},
    {"role": "user", "content": "Say what a good gateway does, in three sentences. " * 4},
]
ANSWER = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "A good gateway forwards, counts and refuses. " * 12},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 58, "completion_tokens": 64, "total_tokens": 122},
    }
).encode()
Call = Callable[[], None]


def client() -> Any:
    """An SDK client whose wire answers from memory."""
    module = importlib.import_module("httpx2" if int(openai.__version__.split(".")[0]) >= 3 else "httpx")

    def answer(_request: Any) -> Any:
        return module.Response(200, headers={"content-type": "application/json"}, content=ANSWER)

    wire = module.Client(transport=module.MockTransport(answer))
    return openai.OpenAI(api_key="sk-bench", max_retries=0, http_client=wire)


def asking(sdk: Any) -> Call:
    def call() -> None:
        sdk.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, temperature=0.2)

    return call


class Counted:
    """What the dropping exporter was given."""

    spans = 0
    attributes = 0


class Drop(SpanExporter):
    """Counts and forgets."""

    def export(self, spans: Any) -> Any:
        Counted.spans += len(spans)
        Counted.attributes = max(Counted.attributes, *(len(span.attributes or ()) for span in spans))
        return SpanExportResult.SUCCESS


def provider() -> TracerProvider:
    """A tracer provider that drops its spans at the end of a batch processor."""
    made = TracerProvider()
    made.add_span_processor(BatchSpanProcessor(Drop(), max_queue_size=65536, schedule_delay_millis=200))
    return made


def measure(call: Call, calls: int, settle: Callable[[], object]) -> tuple[float, float]:
    gc.collect()
    taken = []
    cpu = time.process_time()
    for _ in range(calls):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    settle()
    return 1e6 * statistics.median(taken), 1e6 * (time.process_time() - cpu) / calls


def least(rows: list[tuple[float, float]]) -> dict[str, float]:
    return {"p50_us": round(min(p50 for p50, _ in rows), 1), "cpu_us": round(min(cpu for _, cpu in rows), 1)}
