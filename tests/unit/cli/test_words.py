"""Values as people read them."""

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cli.records import GUESS, record, retried_by_sdk

from interlay.cli import words
from interlay.model.cost import Cost
from interlay.model.record import Answered, CacheOutcome, Failure, Record, Verdict
from interlay.telemetry.calls import FoldedCall


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 ms"), (0.0004, "0.4 ms"), (0.00994, "9.9 ms"), (0.00996, "10 ms"), (0.212, "212 ms"),
        (0.9994, "999 ms"), (0.9996, "1.00 s"), (2.41, "2.41 s"), (9.996, "10.0 s"), (59.94, "59.9 s"),
        (59.96, "1 m 00 s"), (65.2, "1 m 05 s"), (3599.6, "1 h 00 m"), (7260, "2 h 01 m"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("cost", "text"),
    [
        (None, "-"),
        (Cost(amount=None, source="unknown", reason="no_price"), "unknown"),
        (Cost(amount=Decimal(0), source="computed"), "$0"),
        (Cost(amount=Decimal("0.000119"), source="computed"), "$0.000119"),
        (Cost(amount=Decimal("0.0000004"), source="computed"), "<$0.000001"),
        (Cost(amount=Decimal("12.5"), source="provider_reported"), "$12.500000"),
        (Cost(amount=Decimal("1234.567"), source="computed"), "$1234.57"),
        (Cost(amount=Decimal("0.0000689"), source="estimated", estimated=True), "~$0.000069"),
        (Cost(amount=Decimal("0.002"), source="partial"), "~$0.002000"),
    ],
)
def test_money(cost: Cost | None, text: str) -> None:
    assert words.money(cost) == text


@given(st.decimals(0, 10**6, allow_nan=False, allow_infinity=False, places=12))
def test_exact_amounts_lose_nothing(amount: Decimal) -> None:
    text = words.dollars(amount)
    assert Decimal(text[1:]) == amount
    assert re.fullmatch(r"\$\d+(\.\d*[1-9])?", text)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "✓ complete"),
        ({"response": Answered(status=200, finish_reasons=("length",))}, "✓ complete (length)"),
        ({"response": None}, "✓ complete"),
        ({"end": "closed"}, "✗ closed"),
        ({"end": "lost"}, "✗ reader left"),
        ({"end": "cancelled"}, "✗ cancelled"),
        ({"end": "error"}, "✗ 200"),
        ({"end": "error", "error": Failure(type="cut")}, "✗ cut"),
        ({"end": "error", "error": Failure(type="http_429", status=429)}, "✗ 429"),
        ({"end": "error", "error": Failure(type="rate_limit_error", status=429)}, "✗ 429 rate_limit_error"),
        ({"end": "error", "response": None, "error": Failure(type="connect")}, "✗ connect"),
        ({"verdicts": (Verdict(layer="guard", action="block", reason="secrets"),)}, "⊘ guard secrets"),
        ({"verdicts": (Verdict(layer="guard", action="block", shadow=True),)}, "✓ complete"),
        ({"cache": CacheOutcome(outcome="miss", reason="new")}, "✓ complete"),
        (
            {
                "cache": CacheOutcome(outcome="hit", reason="fresh"),
                "attempts": (),
                "cost": Cost(amount=Decimal(0), source="cache_hit", avoided=Decimal("0.000119")),
            },
            "= hit, saved $0.000119",
        ),
    ],
)
def test_ends(fields: dict[str, Any], told: str) -> None:
    how = words.outcome(record(**fields))
    assert f"{how.sign} {how.words}" == told


def test_a_call_says_what_it_took() -> None:
    call = FoldedCall(retried_by_sdk())
    assert words.ended(call).words == "complete, 2 retries"
    assert words.ended(call, brief=True).words == "2 retries"
    failed = FoldedCall(retried_by_sdk()[:2])
    assert words.ended(failed, brief=True)[:2] == ("✗", "529 overloaded_error, 1 retry")


@pytest.mark.parametrize(
    ("asked", "served", "brief", "full"),
    [
        ("gpt-4o", None, "gpt-4o", "gpt-4o"),
        (None, "gpt-4o-2024-08-06", "gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        ("gpt-4o", "gpt-4o-2024-08-06", "gpt-4o", "gpt-4o-2024-08-06"),
        ("fast", "claude-haiku", "fast > claude-haiku", "fast > claude-haiku"),
        (None, None, "", ""),
    ],
)
def test_models(asked: str | None, served: str | None, brief: str, full: str) -> None:
    one: Record = record(model=asked, served_model=served)
    assert (words.models(one, brief=True), words.models(one)) == (brief, full)


def test_tokens_are_reported_or_counted_or_not_known() -> None:
    assert words.used(FoldedCall([record()])) == ("412", "96")
    assert words.used(FoldedCall([record(usage=None, cost=GUESS)])) == ("~12", "~2")
    assert words.used(FoldedCall([record(usage=None, cost=None)])) == ("", "")


@given(st.text())
def test_no_text_of_others_steers_the_terminal(text: str) -> None:
    shown = words.clean(text)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    shown.encode()
    if text.isascii() and text.isprintable():
        assert shown == text


def test_escapes_are_shown_for_what_they_are() -> None:
    assert words.clean("a\x1b[31mb\u202ec\n") == "a\\x1b[31mb\\u202ec\\n"
    assert words.clean_text("a\n\tb\x07") == "a\n\tb\\x07"
