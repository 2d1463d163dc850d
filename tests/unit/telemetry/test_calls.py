"""Folding: the records that share a call are one call."""

import random
from decimal import Decimal

import pytest
from tests.unit.cli.records import COST, GUESS, attempt, record, refused, retried_by_sdk

from interlay.model.cost import Cost
from interlay.telemetry.calls import FoldedCall, fold


def test_records_of_a_call_are_one_call_in_whatever_order_they_come(rng: random.Random) -> None:
    records = [record("a", at=-5), *retried_by_sdk(), record("b", at=9)]
    rng.shuffle(records)
    assert [[r.id for r in call.records] for call in fold(records)] == [["a"], ["c0", "c1", "c2"], ["b"]]


def test_a_call_lasts_from_its_first_record_to_its_last() -> None:
    (call,) = fold(retried_by_sdk())
    assert call.duration == pytest.approx(1.7 + 0.5)
    assert call.retries == 2
    assert len(call.sends) == 3
    assert not call.failed
    assert call.id == "c0"


def test_usage_and_cost_stand_where_they_were_billed() -> None:
    (call,) = fold(retried_by_sdk())
    assert (call.input_tokens, call.output_tokens) == (412, 96)
    assert call.cost == COST


def test_costs_of_several_billed_records_are_added() -> None:
    call = FoldedCall([record("a"), record("b", call_id="a", cost=GUESS)])
    assert call.cost is not None
    assert call.cost.amount == Decimal("0.000122")
    assert (call.cost.source, call.cost.estimated, len(call.cost.lines)) == ("partial", True, 4)


def test_what_is_unknown_of_one_is_unknown_of_the_call() -> None:
    unknown = Cost(amount=None, source="unknown", reason="no_response")
    call = FoldedCall([record("a", cost=unknown), record("b", call_id="a")])
    assert call.cost == unknown


def test_a_call_of_free_records_costs_nothing() -> None:
    free = Cost(amount=Decimal(0), source="computed")
    assert FoldedCall([record(cost=free), record("b", cost=free)]).cost == free
    assert FoldedCall([record(cost=None)]).cost is None


def test_retries_of_a_layer_and_of_an_sdk_count_alike() -> None:
    assert FoldedCall([record(attempts=(refused(), attempt()))]).retries == 1
    assert FoldedCall([record(attempts=())]).retries == 0


def test_there_is_no_call_without_a_record() -> None:
    with pytest.raises(ValueError, match="at least one record"):
        FoldedCall([])
