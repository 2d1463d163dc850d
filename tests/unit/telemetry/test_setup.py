"""One line, and every call is a span, a figure and a line in the journal, where the environment or the line says."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.unit.entry.wires import MESSAGES, OPENAI_EVENTS, Body, Wire
from tests.unit.telemetry.backends import Backend, refuse, take

import interlay
from interlay.entry import process
from interlay.model.errors import ConfigError
from interlay.telemetry.settings import OTLP

Start = Callable[..., None]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Start]:
    """``interlay.setup`` with a journal of the test's own, taken back afterwards."""
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)

    def start(**settings: Any) -> None:
        interlay.setup(**{"journal": tmp_path, "tracer_provider": False, "meter_provider": False, **settings})

    yield start
    interlay.setup(journal=False, export=False, prometheus=False, tracer_provider=False, meter_provider=False)


@pytest.fixture
def backend() -> Iterator[Backend]:
    backend = Backend()
    yield backend
    backend.close()


def call(*script: Any, **options: Any) -> None:
    client = interlay.wrap(Wire(*(script or (200,))).for_openai(max_retries=0))
    if options.get("stream"):
        for _ in client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, **options):
            pass
    else:
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, **options)


def attributes(span: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}


def test_calls_are_spans_and_figures_at_the_other_end(start: Start, backend: Backend) -> None:
    start(export=backend.url)
    call()
    call(Body(OPENAI_EVENTS), stream=True, stream_options={"include_usage": True})
    flushed = interlay.flush(30)
    assert flushed.done
    (delivery,) = flushed.deliveries
    assert (delivery.delivered, delivery.pending, delivery.dropped) == (2, 0, 0)
    plain, streamed = map(attributes, backend.spans)
    assert (plain["gen_ai.usage.input_tokens"], plain["gen_ai.usage.output_tokens"]) == (9, 2)
    assert plain["interlay.cost.usd"] > 0
    assert len(plain) >= 20
    assert streamed["gen_ai.response.time_to_first_chunk"] >= 0
    calls = backend.metrics["interlay.calls"].sum.data_points
    assert sum(point.as_double for point in calls) == 2


def test_the_environment_is_enough(start: Start, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", backend.url)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=blue")
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "gen_ai_latest_experimental")
    start()
    call(temperature=1.0)
    assert interlay.flush(30).done
    assert backend.requests[0][2]["x-team"] == "blue"
    assert b"shop" in backend.taken[0][1]
    assert "gen_ai.client.inference.duration" in backend.metrics


def test_without_a_journal_too(start: Start, backend: Backend) -> None:
    start(export=backend.url, journal=False)
    call()
    assert interlay.flush(30).done
    assert len(backend.spans) == 1


def test_several_places_each_in_its_own_words(start: Start, backend: Backend) -> None:
    other = Backend()
    start(export=[backend.url, OTLP(endpoint=other.url, name="phoenix", vocabulary="openinference")])
    call()
    assert {delivery.destination for delivery in interlay.flush(30).deliveries} == {"otlp", "phoenix"}
    assert attributes(backend.spans[0])["gen_ai.usage.input_tokens"] == 9
    assert attributes(other.spans[0])["llm.token_count.prompt"] == 9
    other.close()


def test_messages_leave_only_where_they_were_asked_for(start: Start, backend: Backend) -> None:
    other = Backend()
    start(contents=True, export=[OTLP(endpoint=backend.url, contents="span"), OTLP(endpoint=other.url, name="strict")])
    call()
    assert interlay.flush(30).done
    assert "hi there" in attributes(backend.spans[0])["gen_ai.input.messages"]
    assert b"hi there" not in b"".join(body for _, body in other.taken)
    other.close()


def test_flush_tells_why_something_waits(start: Start) -> None:
    down = Backend(refuse(503))
    start(export=OTLP(endpoint=down.url, signals=("traces",)))
    call()
    flushed = interlay.flush(30)
    assert not flushed.done
    assert (flushed.deliveries[0].pending, flushed.deliveries[0].trouble) == (1, "http_503")
    down.behaviours[:] = [take]
    while not (flushed := interlay.flush(1)).done:
        pass
    assert len(down.spans) == 1
    down.close()


def test_figures_for_prometheus_at_an_address(start: Start) -> None:
    start(prometheus=("127.0.0.1", 0))
    call()
    telemetry = process._process.telemetry
    assert telemetry is not None
    port = telemetry.port
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert b"interlay_calls_total{" in answer.read()


def test_a_program_with_a_tracer_provider_gets_live_spans_there(start: Start) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    start(tracer_provider=provider)
    with provider.get_tracer("app").start_as_current_span("work"):
        call()
    inner, outer = exporter.get_finished_spans()
    assert (inner.name, outer.name) == ("chat gpt-4o-mini", "work")
    assert inner.parent is not None
    assert outer.context is not None
    assert inner.parent.span_id == outer.context.span_id
    assert interlay.last(1)[0].trace is not None


def test_a_program_with_a_meter_provider_gets_figures_there(start: Start) -> None:
    reader = InMemoryMetricReader()
    start(meter_provider=MeterProvider([reader]))
    call(Body(OPENAI_EVENTS), stream=True, stream_options={"include_usage": True})
    data: Any = reader.get_metrics_data()
    found = {metric.name: metric for metric in data.resource_metrics[0].scope_metrics[0].metrics}
    duration = found["gen_ai.client.operation.duration"].data.data_points[0]
    assert duration.explicit_bounds[:3] == (0.01, 0.02, 0.04)
    assert found["gen_ai.client.operation.time_per_output_chunk"].data.data_points[0].count == 3
    assert {"interlay.calls", "interlay.cost.usd", "interlay.inflight"} <= set(found)


def test_setting_up_again_replaces_what_was_there(start: Start, backend: Backend) -> None:
    other = Backend()
    start(export=other.url)
    call()
    start(export=backend.url)
    call()
    assert interlay.flush(30).done
    assert (len(other.spans), len(backend.spans)) == (1, 1)
    other.close()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"export": "no-url"}, "OTLP(endpoint"),
    ({"export": [OTLP(), OTLP()]}, "same name"),
    ({"export": OTLP(endpoint="https://c", certificate="/no/such")}, "/no/such"),
]


@pytest.mark.parametrize(("settings", "said"), WRONG)
def test_a_wrong_setting_is_said_and_nothing_is_changed(start: Start, settings: dict[str, Any], said: str) -> None:
    start()
    before = process.recorder.journal
    with pytest.raises(ConfigError) as raised:
        start(**settings)
    assert said in str(raised.value)
    assert process.recorder.journal is before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "no equals sign"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such.pem"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "SOMETIMES"),
    ],
)
def test_a_wrong_variable_is_said_at_the_start_by_its_name(
    start: Start, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    start()
    before = process.recorder.journal
    with monkeypatch.context() as env:
        env.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4318")
        env.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
        env.setenv(name, value)
        with pytest.raises(ConfigError, match=name):
            start()
    assert process.recorder.journal is before


def test_what_is_not_supported_is_said_at_the_start(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK", "upload")
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_UPLOAD_BASE_PATH", "s3://bucket")
    with caplog.at_level(logging.WARNING, "interlay"):
        start()
    (said,) = caplog.messages
    names = "OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK, OTEL_INSTRUMENTATION_GENAI_UPLOAD_BASE_PATH"
    assert said == f"set in the environment, and not supported: {names}"


def test_a_taken_address_is_said(start: Start, backend: Backend) -> None:
    with pytest.raises(ConfigError, match="prometheus="):
        start(prometheus=("127.0.0.1", backend.port))


@pytest.mark.timeout(300)
def test_what_a_short_program_did_is_there_when_it_has_ended(backend: Backend, tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import interlay
        from tests.unit.entry.wires import MESSAGES, Wire
        interlay.setup()
        client = interlay.wrap(Wire(200).for_openai())
        for _ in range(5):
            client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        """
    )
    env = {**os.environ, "INTERLAY_HOME": str(tmp_path), "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, timeout=200, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(backend.spans) == 5


def test_pain_14_what_is_lost_is_said_and_not_hidden(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    down = Backend(refuse(400))
    start(export=OTLP(endpoint=down.url, signals=("traces",)))
    with caplog.at_level(logging.WARNING, "interlay.shipping"):
        call()
        flushed = interlay.flush(30)
    assert (flushed.deliveries[0].delivered, flushed.deliveries[0].dropped) == (0, 1)
    assert any("refuses" in message for message in caplog.messages)
    down.close()
