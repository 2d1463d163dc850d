"""What we encode is what OpenTelemetry's own protobuf classes read."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from interlay.telemetry import otlp
from interlay.telemetry.otlp import LogEvent, Metric, Point
from interlay.telemetry.spans import Span, SpanLink

SCOPE = otlp.scope("1.2.3")
RESOURCE = otlp.resource({"service.name": "shop", "process.pid": 7})

texts = st.text(max_size=200)
plain = st.one_of(
    texts, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.lists(texts).map(tuple)
)
nested = st.recursive(
    st.one_of(st.none(), plain), lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=8
)
ids = st.binary(min_size=16, max_size=16)
span_ids = st.binary(min_size=8, max_size=8)
moments = st.integers(0, 2**64 - 1)


def value_of(value: Any) -> Any:
    """What an ``AnyValue`` holds."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(value_of(each) for each in value.array_value.values)
    if kind == "kvlist_value":
        return {pair.key: value_of(pair.value) for pair in value.kvlist_value.values}
    return None if kind is None else getattr(value, kind)


def listed(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(map(listed, value))
    return {key: listed(each) for key, each in value.items()} if isinstance(value, dict) else value


def attributes_of(pairs: Any) -> dict[str, Any]:
    return {pair.key: value_of(pair.value) for pair in pairs}


attributes = st.dictionaries(texts, plain, max_size=12)
links = st.lists(st.builds(SpanLink, ids, span_ids, attributes), max_size=3).map(tuple)
parents = st.one_of(st.just(b""), span_ids)
spans = st.builds(
    Span, ids, span_ids, parents, texts, st.integers(1, 5), moments, moments, attributes, links, st.booleans(), texts,
    st.integers(0, 255),
)  # fmt: skip


@given(spans)
def test_a_span(span: Span) -> None:
    read = ProtoSpan.FromString(otlp.encode_span(span))
    assert (read.trace_id, read.span_id, read.parent_span_id) == (span.trace_id, span.span_id, span.parent_id)
    assert (read.name, read.kind, read.flags) == (span.name, span.kind, span.flags)
    assert (read.start_time_unix_nano, read.end_time_unix_nano) == (span.start_ns, span.end_ns)
    assert attributes_of(read.attributes) == span.attributes
    assert [(link.trace_id, link.span_id, attributes_of(link.attributes)) for link in read.links] == list(span.links)
    assert (read.status.code, read.status.message) == ((2, span.message) if span.is_error else (0, ""))


def some_span(name: str = "chat m") -> Span:
    return Span(b"t" * 16, b"s" * 8, b"", name, 3, 1, 2, {"a": "b"})


def test_a_request_has_one_resource_and_one_scope() -> None:
    encoded = otlp.request([otlp.spans_item([some_span("one"), some_span("two")])], RESOURCE, SCOPE)
    (of_resource,) = ExportTraceServiceRequest.FromString(encoded).resource_spans
    assert attributes_of(of_resource.resource.attributes) == {"service.name": "shop", "process.pid": 7}
    (of_scope,) = of_resource.scope_spans
    assert (of_scope.scope.name, of_scope.scope.version) == ("interlay", "1.2.3")
    assert [span.name for span in of_scope.spans] == ["one", "two"]


@given(told=st.dictionaries(texts, nested, max_size=6), at=moments)
def test_a_log_event(told: dict[str, Any], at: int) -> None:
    event = LogEvent("gen_ai.client.inference.operation.details", at, 5, told, b"t" * 16, b"s" * 8, 1)
    request = ExportLogsServiceRequest.FromString(otlp.request([otlp.events_item([event])], RESOURCE, SCOPE))
    (read,) = request.resource_logs[0].scope_logs[0].log_records
    assert (read.event_name, read.severity_number, read.trace_id, read.span_id, read.flags) == (
        event.name, 5, b"t" * 16, b"s" * 8, 1,
    )  # fmt: skip
    assert read.time_unix_nano == read.observed_time_unix_nano == at
    assert attributes_of(read.attributes) == listed(told)


def metric_of(metric: Metric) -> Any:
    encoded = otlp.encode_metrics([metric], RESOURCE, SCOPE, 5, 9)
    request = ExportMetricsServiceRequest.FromString(encoded)
    return request.resource_metrics[0].scope_metrics[0].metrics[0]


@given(
    counts=st.lists(st.integers(0, 2**50), min_size=3, max_size=3),
    total=st.floats(0, 1e9),
    labels=st.dictionaries(texts, st.one_of(texts, st.integers(0, 9)), max_size=4),
)
def test_a_histogram(counts: list[int], total: float, labels: dict[str, Any]) -> None:
    read = metric_of(Metric("d", "s", "how long", "histogram", [Point(labels, 0.0, counts, total)], (0.1, 2.0)))
    assert (read.name, read.unit, read.description) == ("d", "s", "how long")
    assert read.histogram.aggregation_temporality == 2  # cumulative
    (point,) = read.histogram.data_points
    assert (list(point.bucket_counts), list(point.explicit_bounds)) == (counts, [0.1, 2.0])
    assert (point.count, point.sum) == (sum(counts), total)
    assert (point.start_time_unix_nano, point.time_unix_nano) == (5, 9)
    assert attributes_of(point.attributes) == labels


def test_counters_and_gauges() -> None:
    points = [Point({"a": "1"}, 2.5), Point({"a": "2"}, 4.0)]
    counter = metric_of(Metric("c", "{USD}", "", "counter", points))
    assert (counter.sum.is_monotonic, counter.sum.aggregation_temporality) == (True, 2)
    assert [point.as_double for point in counter.sum.data_points] == [2.5, 4.0]
    gauge = metric_of(Metric("g", "", "", "gauge", points))
    assert [attributes_of(point.attributes) for point in gauge.gauge.data_points] == [{"a": "1"}, {"a": "2"}]


def test_what_protobuf_cannot_hold_is_told_as_text() -> None:
    span = some_span()._replace(attributes={"big": 2**80, "half": "\ud800!", "not a number": math.nan})
    read = attributes_of(ProtoSpan.FromString(otlp.encode_span(span)).attributes)
    assert (read["big"], read["half"]) == (str(2**80), "?!")
    assert math.isnan(read["not a number"])


@given(number=st.integers(0, 2**70))
def test_varints(number: int) -> None:
    encoded, read = otlp.varint(number), 0
    for place, byte in enumerate(encoded):
        read |= (byte & 127) << (7 * place)
    assert read == number
    assert [byte > 127 for byte in encoded] == [True] * (len(encoded) - 1) + [False]
