"""Figures for Prometheus to scrape, by OpenTelemetry's own exporter: it decides names, units and labels.

Needs ``pip install interlay[prometheus]``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import time_ns
from typing import Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import REGISTRY, CollectorRegistry, start_http_server

from interlay.telemetry.otlp import SCOPE, Metric, Point
from interlay.telemetry.vocabulary import Attributes


class PrometheusExporter:
    """Shows ``figures()`` in a registry of ``prometheus_client``, read anew at each scrape.

    Args:
        figures: what there is to show.
        resource: what stands in ``target_info``.
        version: of the scope that all series name.
        registry: where to show it; by default the process's own, which an application's ``/metrics`` serves.
    """

    def __init__(
        self,
        figures: Callable[[], Sequence[Metric]],
        resource: Attributes,
        version: str,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._figures = figures
        self._resource = Resource(dict(resource))  # type: ignore[arg-type]  # texts, numbers and lists of texts
        self._scope = InstrumentationScope(SCOPE, version)
        self._began_ns = time_ns()
        self._registry = registry
        self._reader = PrometheusMetricReader(registry=registry)
        # What a MeterProvider does with its readers: we are the provider here, of figures that are summed already.
        self._reader._set_collect_callback(self._collect)  # noqa: SLF001
        self._close: Callable[[], None] | None = None

    def serve(self, host: str, port: int) -> int:
        """Answer ``GET /metrics`` at an address of its own; port 0 is any that is free. Returns the port.

        Raises ``OSError`` where the address is taken.
        """
        server, thread = start_http_server(port, host, self._registry)

        def close() -> None:
            server.shutdown()
            server.server_close()
            thread.join(2)

        self._close = close
        return int(server.server_port)

    def close(self) -> None:
        """Show nothing any more."""
        self._reader.shutdown()
        if self._close is not None:
            self._close()

    def _collect(self, reader: object, timeout_millis: float = 0) -> sdk.MetricsData:
        now_ns = time_ns()
        metrics = [self._metric(metric, now_ns) for metric in self._figures()]
        scoped = sdk.ScopeMetrics(self._scope, metrics, "")
        return sdk.MetricsData([sdk.ResourceMetrics(self._resource, [scoped], "")])

    def _metric(self, metric: Metric, now_ns: int) -> sdk.Metric:
        cumulative = sdk.AggregationTemporality.CUMULATIVE
        data: Any
        if metric.kind == "histogram":
            data = sdk.Histogram([self._histogram(point, metric.bounds, now_ns) for point in metric.points], cumulative)
        else:
            numbers = [
                sdk.NumberDataPoint(dict(point.attributes), self._began_ns, now_ns, point.value)
                for point in metric.points
            ]
            data = sdk.Gauge(numbers) if metric.kind == "gauge" else sdk.Sum(numbers, cumulative, is_monotonic=True)
        return sdk.Metric(metric.name, metric.description, metric.unit, data)

    def _histogram(self, point: Point, bounds: Sequence[float], now_ns: int) -> sdk.HistogramDataPoint:
        return sdk.HistogramDataPoint(
            attributes=dict(point.attributes),
            start_time_unix_nano=self._began_ns,
            time_unix_nano=now_ns,
            count=sum(point.counts),
            sum=point.sum,
            bucket_counts=list(point.counts),
            explicit_bounds=list(bounds),
            min=0.0,
            max=0.0,
        )
