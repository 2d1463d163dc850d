"""Figures from records."""

from __future__ import annotations

import os
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.telemetry.exchanges import AT, attempt, record, refused, streamed

from interlay.model.cost import Cost
from interlay.model.record import CacheOutcome, Failure, Identity, Record, Verdict
from interlay.model.usage import Usage
from interlay.telemetry import instruments as ins
from interlay.telemetry.metrics import SERIES, Metrics, Tally
from interlay.telemetry.otlp import Metric, Point
from interlay.telemetry.vocabulary import VocabularyName


def never(_work: Callable[[], None]) -> bool:
    return True


def figures(*records: Record, vocabulary: VocabularyName = "genai-1.41") -> dict[str, Metric]:
    metrics = Metrics(Tally(), never, vocabulary)
    for each in records:
        metrics.on_end(each)
    return {metric.name: metric for metric in metrics.figures()}


def values(metric: Metric, *labels: str) -> dict[Any, float]:
    """A counter's values by some of its labels."""
    found: dict[Any, float] = {}
    for point in metric.points:
        key = tuple(point.attributes.get(label) for label in labels)
        found[key if len(key) != 1 else key[0]] = found.get(key if len(key) != 1 else key[0], 0) + point.value
    return found


def only(metric: Metric) -> Point:
    (point,) = metric.points
    return point


def test_a_duration_stands_in_the_buckets_of_the_convention() -> None:
    duration = figures(record())["gen_ai.client.operation.duration"]
    assert duration.unit == "s"
    assert duration.bounds == pytest.approx(
        [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
    )
    point = only(duration)
    assert (sum(point.counts), point.counts[7]) == (1, 1)
    assert point.sum == pytest.approx(0.7)
    assert point.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o-mini",
        "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
        "server.address": "api.openai.com",
        "server.port": 443,
    }


def test_tokens_are_told_apart_by_their_type() -> None:
    usage = figures(record(), record())["gen_ai.client.token.usage"]
    assert usage.bounds == tuple(4**n for n in range(14))
    sums = {point.attributes["gen_ai.token.type"]: (sum(point.counts), point.sum) for point in usage.points}
    assert sums == {"input": (2, 116), "output": (2, 128)}


def test_the_newer_names_are_counters_with_histograms_beside() -> None:
    found = figures(record(), vocabulary="genai-next")
    assert "gen_ai.client.token.usage" not in found
    assert only(found["gen_ai.client.inference.usage.cache_write.input_tokens"]).value == 6
    assert only(found["gen_ai.client.inference.operation.input_tokens"]).sum == 58
    assert only(found["gen_ai.client.inference.duration"]).sum == pytest.approx(0.7)
    embedded = figures(record(operation="embeddings"), vocabulary="genai-next")
    assert "gen_ai.client.embeddings.duration" in embedded
    assert "gen_ai.client.inference.duration" not in embedded


def test_the_time_per_chunk_is_kept_in_the_record_and_counted_once() -> None:
    found = figures(streamed())
    per_chunk = only(found["gen_ai.client.operation.time_per_output_chunk"])
    assert (sum(per_chunk.counts), per_chunk.counts[0], per_chunk.counts[1]) == (66, 60, 6)
    assert per_chunk.sum == pytest.approx(0.5)
    assert only(found["gen_ai.client.operation.time_to_first_chunk"]).sum == 0.3


def test_a_failure_is_a_duration_with_its_error() -> None:
    failed = record(attempts=(refused(),), end="error", error=Failure(type="rate_limit_exceeded"), usage=None)
    found = figures(failed)
    assert only(found["gen_ai.client.operation.duration"]).attributes["error.type"] == "rate_limit_exceeded"
    assert values(found["interlay.calls"], "interlay.outcome", "error.type") == {("error", "rate_limit_exceeded"): 1}
    assert "interlay.cost.usd" not in found


def test_retries_and_fallbacks_are_counted_with_their_reason() -> None:
    elsewhere = attempt(target="https://api.anthropic.com/v1/messages", provider="anthropic", model="claude")
    found = figures(record(attempts=(refused(), refused(503, started_at=AT + 0.2), elsewhere)))
    assert values(found["interlay.retries"], "error.type") == {"rate_limit_exceeded": 1}
    assert values(found["interlay.fallbacks"], "interlay.fallback.from", "interlay.fallback.to", "error.type") == {
        ("openai/gpt-4o-mini", "anthropic/claude", "http_503"): 1
    }


def test_costs_and_savings() -> None:
    avoided = Cost(amount=Decimal(0), source="cache_hit", avoided=Decimal("0.25"))
    hit = record(attempts=(), usage=None, cost=avoided, cache=CacheOutcome(outcome="hit", reason="exact"))
    found = figures(record(), record(), hit)
    assert values(found["interlay.cost.usd"], "gen_ai.provider.name", "interlay.cost.source") == {
        ("openai", "computed"): pytest.approx(2 * 0.0000471)
    }
    assert values(found["interlay.cost.saved.usd"], "interlay.request.alias") == {"gpt-4o-mini": 0.25}
    assert values(found["interlay.cache.requests"], "interlay.cache.outcome") == {"hit": 1}
    assert values(found["interlay.calls"], "interlay.outcome") == {"ok": 2, "cache_hit": 1}


def test_what_guards_decided() -> None:
    guarded = record(verdicts=(Verdict(layer="Secrets", action="redact", seconds=0.002),))
    found = figures(guarded)
    assert values(found["interlay.guard.checks"], "interlay.guard.name", "interlay.guard.verdict") == {
        ("Secrets", "redact"): 1
    }
    assert only(found["interlay.guard.duration"]).sum == 0.002


def test_plain_http_is_a_call_and_no_exchange_with_a_model() -> None:
    found = figures(record(operation="http", model=None))
    assert "gen_ai.client.operation.duration" not in found
    assert values(found["interlay.calls"], "gen_ai.provider.name") == {None: 1}


def test_a_metric_has_so_many_series_and_no_more() -> None:
    found = figures(*(record(model=f"m{n}") for n in range(SERIES + 50)))
    calls = found["interlay.calls"]
    assert len(calls.points) == SERIES + 1
    assert values(calls, "otel.metric.overflow")[True] == 50
    assert sum(point.value for point in calls.points) == SERIES + 50


def test_tenants_are_told_apart_up_to_a_hundred() -> None:
    found = figures(*(record(identity=Identity(tenant=f"t{n}")) for n in range(103)))
    tenants = [point.attributes["interlay.tenant"] for point in found["interlay.cost.usd"].points]
    assert len(tenants) == 101
    assert "other" in tenants


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=20))
def test_every_token_is_counted_once(counts: list[tuple[int, int]]) -> None:
    sends = [
        attempt(usage=Usage(input_tokens=given, output_tokens=answered, cache_read_tokens=given // 2))
        for given, answered in counts
    ]
    found = figures(*(record(attempts=(send,)) for send in sends))
    if "interlay.tokens" in found:
        kinds = values(found["interlay.tokens"], "gen_ai.token.type")
        prompt = kinds.get("input", 0) + kinds.get("cache_read", 0)
        assert (prompt, kinds.get("output", 0)) == tuple(map(sum, zip(*counts, strict=True)))


def test_nothing_is_measured_in_the_callers_time_until_many_wait() -> None:
    queued: list[Callable[[], None]] = []

    def later(work: Callable[[], None]) -> bool:
        queued.append(work)
        return True

    tally = Tally()
    metrics = Metrics(tally, later)
    for _ in range(300):
        metrics.on_end(record())
    assert tally.metrics() == []
    assert len(queued) == 1
    queued[0]()
    assert {metric.name for metric in tally.metrics()} >= {"interlay.calls"}


def test_a_runner_that_stands_still_loses_nothing() -> None:
    metrics = Metrics(Tally(), lambda _work: False)
    for _ in range(9_000):
        metrics.on_end(record())
    found = {metric.name: metric for metric in metrics.figures()}
    assert sum(point.value for point in found["interlay.calls"].points) == 9_000


def test_calls_in_flight() -> None:
    metrics = Metrics(Tally(), never)
    call: Any = object()
    metrics.on_start(call)
    metrics.on_start(call)
    metrics.on_end(record())
    assert {m.name: m for m in metrics.figures()}["interlay.inflight"].points[0].value == 1


def test_a_forked_child_counts_from_nothing() -> None:
    metrics = Metrics(Tally(), never)
    metrics.on_end(record())
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        metrics.on_end(record())
        found = {metric.name: metric for metric in metrics.figures()}
        os.write(write, str(sum(point.value for point in found["interlay.calls"].points)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100) == b"1.0"
    os.close(read)
    os.close(write)


def test_no_label_grows_with_traffic() -> None:
    forbidden = ("user", "session", "conversation", "key", "call.id", "record.id", "request_id")
    labels = {label for instrument in (*ins.OURS, *ins.conventional("genai-next").all()) for label in instrument.labels}
    assert [label for label in labels if any(word in label for word in forbidden)] == []


def test_names_and_units_by_the_convention() -> None:
    every = [*ins.OURS, *ins.conventional("genai-1.41").all(), *ins.conventional("genai-next").all()]
    assert len({instrument.name for instrument in every}) == len(set(every))
    for instrument in every:
        assert (instrument.kind == "histogram") == bool(instrument.bounds), instrument.name
        assert list(instrument.bounds) == sorted(instrument.bounds)
