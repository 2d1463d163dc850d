"""What is told of caches: in spans, events and figures, whatever the destination."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.unit.telemetry.exchanges import AT, attempt, record, used, with_contents

from interlay.model.cost import Cost
from interlay.model.record import CacheOutcome, Identity, Link, Record
from interlay.telemetry import facts
from interlay.telemetry.events import events_of
from interlay.telemetry.metrics import Metrics, Tally
from interlay.telemetry.otlp import Metric
from interlay.telemetry.spans import Span, Told, spans_of
from interlay.telemetry.vocabulary import NAMES, VOCABULARIES

ENTRY = "0123456789abcdef"
PRODUCER = Link(id="a" * 20, kind="cache_producer", trace_id="ab" * 16, span_id="cd" * 8)
SAVED = Cost(amount=Decimal(0), source="cache_hit", avoided=Decimal("0.0000471"))


def hit(outcome: Any = "hit", reason: str = "fresh", **changes: Any) -> Record:
    """A call that a cache answered."""
    look_up = CacheOutcome(
        outcome=outcome, reason=reason, age=12.5, entry=ENTRY, started_at=AT + 0.001, seconds=0.00002
    )
    given: dict[str, Any] = {"attempts": (), "usage": None, "cost": SAVED, "cache": look_up, "links": (PRODUCER,)}
    return record(**{**given, **changes})


def miss(outcome: Any = "miss", reason: str = "absent", **changes: Any) -> Record:
    """One that it did not."""
    return record(cache=CacheOutcome(outcome=outcome, reason=reason, entry=ENTRY), **changes)


def tree(of: Record, vocabulary: str = "genai-1.41", content_limit: int = 0) -> list[Span]:
    return spans_of(of, Told(VOCABULARIES[vocabulary], content_limit))


@pytest.mark.parametrize("vocabulary", NAMES)
def test_a_hit_says_why_how_old_from_where_and_what_it_saved(vocabulary: str) -> None:
    (call,) = tree(hit(), vocabulary)
    told = {name: value for name, value in call.attributes.items() if name.startswith("interlay.c")}
    assert told == {
        "interlay.call.id": record().call_id,
        "interlay.cache.outcome": "hit",
        "interlay.cache.reason": "fresh",
        "interlay.cache.age_s": 12.5,
        "interlay.cache.key_hash": ENTRY,
        "interlay.cache.producer.id": PRODUCER.id,
        "interlay.cache.lookup_s": 0.00002,
        "interlay.cost.saved_usd": pytest.approx(0.0000471),
        "interlay.cost.source": "cache_hit",
        "interlay.call.cost.usd": 0.0,
    }
    assert (call.name, call.attributes["interlay.outcome"]) == ("interlay.call", "cache_hit")
    (link,) = call.links
    assert (link.trace_id.hex(), link.span_id.hex()) == (PRODUCER.trace_id, PRODUCER.span_id)
    assert link.attributes == {"interlay.link.reason": "cache_producer", "interlay.link.record.id": PRODUCER.id}


@pytest.mark.parametrize("vocabulary", NAMES)
def test_a_hit_has_neither_usage_nor_cost_of_its_own(vocabulary: str) -> None:
    for answered in (
        hit(),
        hit("stale", "revalidating"),
        with_contents(**dict.fromkeys(("usage", "cost")), attempts=()),
    ):
        assert [used(vocabulary, span.attributes) for span in tree(answered, vocabulary, 10_000)] == [(0, 0)]
        assert "interlay.cost.usd" not in tree(answered, vocabulary)[0].attributes


@pytest.mark.parametrize("vocabulary", NAMES)
@pytest.mark.parametrize(("outcome", "reason"), [("miss", "absent"), ("bypass", "files"), ("error", "store")])
def test_what_was_not_answered_says_why_above_the_exchange(vocabulary: str, outcome: str, reason: str) -> None:
    call, chat = tree(miss(outcome, reason), vocabulary)
    assert chat.parent_id == call.span_id
    assert call.attributes["interlay.cache.outcome"] == outcome
    assert call.attributes["interlay.cache.reason"] == reason
    assert [used(vocabulary, span.attributes) for span in (call, chat)] == [(0, 0), (58, 64)]
    assert "interlay.cache.producer.id" not in call.attributes


def test_a_miss_that_is_linked_otherwise_names_no_producer() -> None:
    fell_back = miss(links=(Link(id="b" * 20, kind="follower"),))
    assert "interlay.cache.producer.id" not in tree(fell_back)[0].attributes


def test_a_look_up_is_a_span_where_it_took_real_time() -> None:
    slow = CacheOutcome(outcome="hit", reason="lease", age=0.1, entry=ENTRY, started_at=AT + 0.01, seconds=0.4)
    call, lookup = tree(hit(cache=slow))
    assert (lookup.name, lookup.parent_id) == ("interlay.cache.lookup", call.span_id)
    assert lookup.end_ns - lookup.start_ns == 400_000_000
    assert lookup.attributes["interlay.cache.reason"] == "lease"
    assert lookup.attributes["interlay.cache.producer.id"] == PRODUCER.id


@pytest.mark.parametrize("vocabulary", NAMES)
@pytest.mark.parametrize("of", [hit(), miss(), miss("error", "store")], ids=["hit", "miss", "error"])
def test_events_say_what_spans_say(of: Record, vocabulary: str) -> None:
    column = VOCABULARIES[vocabulary]
    spans = tree(of, vocabulary)
    details = events_of(of, spans, column, 0)[0].attributes
    names = [column.names[fact] for fact in facts.CACHE]
    told = {name: value for name, value in spans[0].attributes.items() if name in names}
    assert told["interlay.cache.outcome"]
    assert {name: details.get(name) for name in told} == told


def figures(*records: Record) -> dict[str, Metric]:
    metrics = Metrics(Tally(), lambda _work: True)
    for each in records:
        metrics.on_end(each)
    return {metric.name: metric for metric in metrics.figures()}


def by_reason(found: dict[str, Metric]) -> dict[tuple[object, object], float]:
    points = found["interlay.cache.requests"].points
    return {(p.attributes["interlay.cache.outcome"], p.attributes["interlay.cache.reason"]): p.value for p in points}


def test_look_ups_are_counted_by_outcome_and_reason() -> None:
    found = figures(hit(), hit(), hit(reason="shared"), hit("stale", "revalidating"), miss(), miss(reason="expired"))
    assert by_reason(found) == {
        ("hit", "fresh"): 2, ("hit", "shared"): 1, ("stale", "revalidating"): 1, ("miss", "absent"): 1,
        ("miss", "expired"): 1,
    }  # fmt: skip
    (saved,) = found["interlay.cost.saved.usd"].points
    assert saved.value == pytest.approx(4 * 0.0000471)
    assert sum(point.value for point in found["interlay.cost.usd"].points) == pytest.approx(2 * 0.0000471)
    # Nothing was sent for a hit, so its tokens are nobody's.
    assert sum(point.value for point in found["interlay.tokens"].points) == 2 * (58 + 64)


def test_there_are_so_many_reasons_and_no_more() -> None:
    found = figures(*(miss(reason=f"reason {n}") for n in range(500)), miss(reason="absent"))
    assert by_reason(found) == {("miss", "other"): 500, ("miss", "absent"): 1}


def test_the_time_of_a_look_up_is_measured_where_it_was_taken() -> None:
    found = figures(hit(), miss())
    (point,) = found["interlay.cache.duration"].points
    assert (sum(point.counts), point.sum) == (1, 0.00002)
    assert point.attributes == {"interlay.cache.outcome": "hit"}


def test_savings_are_told_apart_by_tenant() -> None:
    found = figures(hit(identity=Identity(tenant="acme")), hit(identity=Identity(tenant="initech")))
    tenants = {point.attributes["interlay.tenant"] for point in found["interlay.cost.saved.usd"].points}
    assert tenants == {"acme", "initech"}


def test_a_hit_whose_price_nobody_knows_saved_nothing_that_can_be_counted() -> None:
    unknown = hit(cost=Cost(amount=Decimal(0), source="cache_hit"))
    assert "interlay.cost.saved.usd" not in figures(unknown)
    assert "interlay.cost.saved_usd" not in tree(unknown)[0].attributes


def test_a_stale_answer_and_the_send_that_came_too_late_are_both_told() -> None:
    """Stale-if-error: the cache answers after a send that failed."""
    failed = attempt(status=503, billed=False, usage=None, cost=Cost(amount=Decimal(0), source="computed"))
    call, chat = tree(hit("stale", "error", attempts=(failed,)))
    assert (call.attributes["interlay.cache.reason"], chat.name) == ("error", "chat gpt-4o-mini")
    assert used("genai-1.41", chat.attributes) == (0, 0)
