"""The law: the sum of usage over the spans that arrive is the sum over the records, in every vocabulary, whatever
became of the calls: tried again by a part or by the SDK, fallen back, answered from a cache, refused, in functions.

What arrives is read from the bytes of the request, by ``opentelemetry-proto``.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.unit.telemetry.exchanges import attempt, cost, record, refused, used

from interlay.model.cost import total
from interlay.model.record import Attempt, CacheOutcome, Failure, Record, Verdict
from interlay.model.usage import Usage
from interlay.telemetry import otlp
from interlay.telemetry.spans import Told, spans_of
from interlay.telemetry.vocabulary import NAMES, VOCABULARIES

TARGETS = [
    ("https://api.openai.com/v1", "openai"),
    ("https://api.anthropic.com/v1", "anthropic"),
    ("https://x/v1", None),
]
counts = st.integers(0, 2**40)
part = st.integers(0, 2**20)
money = st.decimals(0, 100, places=6)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Totals hold their parts."""
    read, written, thought = draw(part), draw(part), draw(part)
    return Usage(
        input_tokens=draw(counts) + read + written,
        output_tokens=draw(counts) + thought,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=thought,
    )


@st.composite
def sends(draw: st.DrawFn) -> Attempt:
    target, provider = draw(st.sampled_from(TARGETS))
    if draw(st.booleans()):
        return refused(draw(st.sampled_from([429, 500])), target=target, provider=provider)
    priced = cost(str(draw(money)), str(draw(money)))
    return attempt(target=target, provider=provider, usage=draw(usages()), cost=priced)


@st.composite
def calls(draw: st.DrawFn) -> list[Record]:
    """The records of one call."""
    own = f"{draw(st.integers(0, 2**80 - 1)):020x}"
    kind = draw(st.sampled_from(["sent", "hit", "blocked", "function", "http", "tried again"]))
    if kind == "hit":
        return [record(id=own, call_id=own, attempts=(), usage=None, cache=CacheOutcome(outcome="hit", reason="exact"))]
    if kind == "blocked":
        verdict, error = Verdict(layer="Guard", action="block"), Failure(type="guard_blocked")
        return [record(id=own, call_id=own, attempts=(), usage=None, verdicts=(verdict,), end="error", error=error)]
    if kind == "function":
        return [record(id=own, call_id=own, operation="agent", dialect=None, attempts=(), usage=None, cost=None)]
    if kind == "http":
        plain = attempt(usage=None, cost=None, billed=False)
        return [record(id=own, call_id=own, operation="http", dialect=None, model=None, attempts=(plain,), usage=None)]
    runs = draw(st.lists(st.lists(sends(), max_size=5), min_size=1, max_size=3 if kind == "tried again" else 1))
    checked = (Verdict(layer="Judge", action="allow", started_at=1.0, seconds=0.5),) if draw(st.booleans()) else ()
    missed = CacheOutcome(outcome="miss", reason="exact") if draw(st.booleans()) else None
    return [
        record(id=own if not n else f"{n}{own[1:]}", call_id=own, attempts=tuple(run), verdicts=checked, cache=missed)
        for n, run in enumerate(runs)
    ]


def arrived(records: list[Record], vocabulary: str) -> list[dict[str, Any]]:
    """The attributes of every span of a request, as a backend reads them."""
    told = Told(VOCABULARIES[vocabulary])
    items = [otlp.spans_item(spans_of(each, told)) for each in records]
    request = ExportTraceServiceRequest.FromString(otlp.request(items, b"", b""))
    return [
        {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes}
        for of in request.resource_spans
        for scope in of.scope_spans
        for span in scope.spans
    ]


@pytest.mark.parametrize("vocabulary", NAMES)
@given(made=st.lists(calls(), max_size=4))
def test_usage_and_cost_over_spans_are_those_over_records(vocabulary: str, made: list[list[Record]]) -> None:
    records = [each for call in made for each in call]
    billed = [send for each in records for send in each.attempts if send.usage is not None]
    spans = arrived(records, vocabulary)
    figures = [used(vocabulary, span) for span in spans]
    assert sum(prompt for prompt, _ in figures) == sum(send.usage.input_tokens or 0 for send in billed if send.usage)
    assert sum(said for _, said in figures) == sum(send.usage.output_tokens or 0 for send in billed if send.usage)
    spent = float(total(send.cost.amount for send in billed if send.cost is not None and send.cost.amount is not None))
    assert sum(span.get("interlay.cost.usd", 0.0) for span in spans) == pytest.approx(spent)
