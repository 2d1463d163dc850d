"""What Prometheus is shown when it scrapes."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from tests.unit.telemetry.exchanges import record, refused, streamed

from interlay.telemetry.metrics import Metrics, Tally
from interlay.telemetry.vocabulary import Attributes
from interlay_integrations.exporters.prometheus import PrometheusExporter

RESOURCE: Attributes = {"service.name": "shop"}


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(Tally(), lambda _work: True)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def exporter(metrics: Metrics, registry: CollectorRegistry) -> Iterator[PrometheusExporter]:
    exporter = PrometheusExporter(metrics.figures, RESOURCE, "1.2.3", registry)
    yield exporter
    exporter.close()


@pytest.mark.usefixtures("exporter")
def test_names_and_units_are_prometheus_own(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.on_end(streamed())
    metrics.on_end(record(attempts=(refused(), *record().attempts)))
    shown = generate_latest(registry).decode()
    for name in (
        "gen_ai_client_operation_duration_seconds_bucket",
        "gen_ai_client_operation_time_to_first_chunk_seconds_count",
        "gen_ai_client_operation_time_per_output_chunk_seconds_sum",
        "gen_ai_client_token_usage_sum",
        "interlay_calls_total",
        "interlay_cost_usd_total",
        "interlay_retries_total",
        "interlay_inflight",
        "target_info",
    ):
        assert f"\n{name}{{" in shown, name
    assert 'otel_scope_name="interlay"' in shown
    assert 'service_name="shop"' in shown
    assert 'gen_ai_request_model="gpt-4o-mini"' in shown


@pytest.mark.usefixtures("exporter")
def test_each_scrape_shows_what_is_known_by_then(metrics: Metrics, registry: CollectorRegistry) -> None:
    def calls() -> float:
        found = [line for line in generate_latest(registry).decode().splitlines() if "interlay_calls_total{" in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)

    assert calls() == 0
    metrics.on_end(record())
    assert calls() == 1
    metrics.on_end(record())
    assert (calls(), calls()) == (2, 2)


def test_it_answers_at_an_address_of_its_own(metrics: Metrics, exporter: PrometheusExporter) -> None:
    port = exporter.serve("127.0.0.1", 0)
    metrics.on_end(record())
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert b"interlay_calls_total{" in answer.read()
