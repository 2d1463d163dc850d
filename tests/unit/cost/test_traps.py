"""The mistakes that others' cost figures are known for, one by one."""

from __future__ import annotations

import datetime as dt
import decimal
import logging
from decimal import Decimal
from typing import Any

import pytest

from interlay.cost import PriceBook, price, pricer
from interlay.model.cost import Cost, Estimate, Priced
from interlay.model.usage import Usage

AT = "2026-11-01T12:00:00Z"
NOON = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)


def row(unit: str, price: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "unit": unit, "price": price, "per": 1_000_000, **more}


PLAIN = [row("input", "2"), row("cache_read", "1"), row("output", "8")]


def cost_of(usage: Usage | None, prices: list[dict[str, Any]], at: str = AT, **more: Any) -> Cost:
    return price(usage, api="chat.completions", model="m", at=at, prices=prices, **more)


def test_a_reported_zero_is_zero() -> None:
    cost = cost_of(Usage(input_tokens=0, output_tokens=0), PLAIN)
    assert (cost.amount, cost.source, cost.lines) == (Decimal(0), "computed", ())


def test_a_reported_cost_of_zero_is_zero_and_not_what_we_compute() -> None:
    cost = cost_of(Usage(input_tokens=1000, output_tokens=10, cost=Decimal(0)), PLAIN)
    assert (cost.amount, cost.source, cost.computed) == (Decimal(0), "provider_reported", Decimal("0.00208"))


def test_an_unknown_model_is_unknown_and_not_zero() -> None:
    cost = price(Usage(input_tokens=1, output_tokens=1), api="chat", model="nobody-knows", at=AT)
    assert (cost.amount, cost.source, cost.reason) == (None, "unknown", "no_price")


def test_an_unknown_provider_is_unknown() -> None:
    what = Priced(provider=None, api="openai-chat", model="gpt-4o")
    cost = pricer()(Usage(input_tokens=1, output_tokens=1), what, NOON, None)
    assert (cost.amount, cost.source, cost.reason) == (None, "unknown", "no_provider")


def test_no_usage_is_unknown() -> None:
    cost = cost_of(None, PLAIN)
    assert (cost.amount, cost.source, cost.reason) == (None, "unknown", "no_usage")


def test_a_quantity_without_a_price_makes_the_whole_unknown() -> None:
    cost = cost_of(Usage(input_tokens=1, output_tokens=1, tools={"web_search": 2}), PLAIN)
    assert (cost.amount, cost.reason) == (None, "no_price")


def test_cached_tokens_are_not_billed_twice() -> None:
    cost = cost_of(Usage(input_tokens=1000, cache_read_tokens=900, output_tokens=0), PLAIN)
    assert cost.amount == Decimal("0.0011")  # 100 × 2 + 900 × 1, a million


def test_a_part_without_a_row_of_its_own_is_priced_inside_its_parent() -> None:
    usage = Usage(input_tokens=1000, cache_read_tokens=900, output_tokens=100, reasoning_tokens=60)
    cost = cost_of(usage, [row("input", "2"), row("output", "8")])
    assert [(line.unit, line.quantity) for line in cost.lines] == [("input", 1000), ("output", 100)]


def test_cache_writes_of_one_lifetime_are_not_priced_at_the_other() -> None:
    usage = Usage(
        input_tokens=600, cache_write_tokens=500, cache_write_5m_tokens=200, cache_write_1h_tokens=300, output_tokens=0
    )
    prices = [row("input", "1"), row("cache_write_5m", "2"), row("cache_write_1h", "4"), row("output", "8")]
    cost = cost_of(usage, prices)
    assert [(line.unit, line.quantity, str(line.price)) for line in cost.lines] == [
        ("input", 100, "1"),
        ("cache_write_5m", 200, "2"),
        ("cache_write_1h", 300, "4"),
    ]


def test_cache_writes_of_no_stated_lifetime_are_short_ones() -> None:
    usage = Usage(input_tokens=10, cache_write_tokens=10, output_tokens=0)
    (line,) = cost_of(usage, [row("input", "1"), row("cache_write_5m", "2"), row("cache_write_1h", "4")]).lines
    assert (line.unit, line.quantity) == ("cache_write_5m", 10)


@pytest.mark.parametrize(
    "usage",
    [
        Usage(input_tokens=10, cache_read_tokens=11, output_tokens=0),
        Usage(input_tokens=10, cache_read_tokens=6, input_audio_tokens=6, output_tokens=0),
        Usage(input_tokens=10, cache_write_tokens=5, cache_write_1h_tokens=6, output_tokens=0),
        Usage(input_tokens=0, output_tokens=10, reasoning_tokens=11),
        Usage(input_tokens=0, output_tokens=10, output_audio_tokens=6, output_image_tokens=6),
    ],
)
def test_details_over_their_total_are_flagged(usage: Usage) -> None:
    cost = cost_of(usage, [*PLAIN, row("reasoning", "8")])
    assert "usage_inconsistent" in cost.flags
    assert all(line.quantity > 0 for line in cost.lines)


def test_flags_of_the_usage_are_flags_of_its_cost() -> None:
    usage = Usage(input_tokens=1, output_tokens=1, flags=("usage_inconsistent",))
    assert cost_of(usage, PLAIN).flags == ("usage_inconsistent",)


BATCH = {"kind": "multiplier", "model": "m", "unit": "*", "price": "0.5", "per": 1, "when": {"service_tier": "batch"}}


def test_the_tier_that_served_counts_and_the_one_in_the_usage_object_goes_first() -> None:
    prices = [row("input", "2"), row("input", "3", when={"service_tier": "priority"}), BATCH]
    usage = Usage(input_tokens=1_000_000, output_tokens=0)
    assert cost_of(usage, prices).amount == 2
    assert cost_of(usage, prices, tier="priority").amount == 3
    assert cost_of(usage, prices, tier="batch").amount == 1
    served = Usage(input_tokens=1_000_000, output_tokens=0, service_tier="batch")
    assert cost_of(served, prices, tier="priority").amount == 1


def test_a_tier_without_a_price_is_flagged() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=0)
    assert cost_of(usage, PLAIN, tier="flex").flags == ("tier_unpriced",)
    assert cost_of(usage, PLAIN, tier="default").flags == ()


def test_a_multiplier_leaves_tool_fees_alone() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=0, tools={"web_search": 1000})
    search = {"model": "m", "unit": "web_search", "price": "10", "per": 1000}
    assert cost_of(usage, [row("input", "2"), search, BATCH], tier="batch").amount == 11


def test_a_price_for_the_tier_itself_is_not_multiplied_again() -> None:
    prices = [row("input", "2"), row("input", "1.2", when={"service_tier": "batch"}), row("output", "8"), BATCH]
    cost = cost_of(Usage(input_tokens=1_000_000, output_tokens=1_000_000), prices, tier="batch")
    assert [(line.amount, line.multiplier) for line in cost.lines] == [
        (Decimal("1.2"), None),
        (Decimal(4), Decimal("0.5")),
    ]


def test_a_region_multiplies() -> None:
    region = {"kind": "multiplier", "unit": "*", "price": "1.1", "per": 1, "when": {"region": "eu"}}
    usage = Usage(input_tokens=1_000_000, output_tokens=0)
    assert cost_of(usage, [row("input", "2"), region], region="eu").amount == Decimal("2.2")
    assert cost_of(usage, [row("input", "2"), region]).amount == 2


@pytest.mark.parametrize(("prompt", "expected"), [(0, 1), (199_999, 1), (200_000, 1), (200_001, 2)])
def test_a_tier_starts_strictly_above_its_threshold_and_prices_the_whole_request(prompt: int, expected: int) -> None:
    prices = [row("input", "1", tier_over=0), row("input", "2", tier_over=200_000), row("output", "9")]
    cost = cost_of(Usage(input_tokens=prompt, output_tokens=0), prices)
    assert cost.amount == Decimal(prompt * expected) / 1_000_000


def test_the_whole_prompt_chooses_the_tier_and_the_completion_follows() -> None:
    prices = [row("input", "1"), row("cache_read", "1"), row("output", "4"), row("output", "8", tier_over=100)]
    usage = Usage(input_tokens=101, cache_read_tokens=100, output_tokens=1_000_000)
    assert cost_of(usage, prices).lines[-1].amount == 8


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-05-31T23:59:59Z", 1),
        ("2026-06-01T00:00:00Z", 2),
        ("2026-06-01T01:00:00+02:00", 1),  # still May in UTC
        ("2026-06-30T23:59:59Z", 2),
        ("2026-07-01T00:00:00Z", 3),
    ],
)
def test_the_date_of_the_call_chooses_the_price(at: str, expected: int) -> None:
    prices = [
        row("input", "1", to="2026-06-01"),
        row("input", "2", **{"from": "2026-06-01", "to": "2026-07-01"}),
        row("input", "3", **{"from": "2026-07-01"}),
    ]
    assert cost_of(Usage(input_tokens=1_000_000, output_tokens=0), prices, at).amount == expected


def test_before_its_first_price_a_model_is_unknown() -> None:
    cost = cost_of(Usage(input_tokens=1, output_tokens=0), [row("input", "1", **{"from": "2027-01-01"})])
    assert (cost.amount, cost.reason) == (None, "no_price")


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-01T00:59:59Z", 1),
        ("2026-11-01T01:00:00Z", 2),
        ("2026-11-01T03:59:00Z", 2),
        ("2026-11-01T04:00:00Z", 1),
        ("2026-11-01T05:30:00+02:00", 2),
        ("2026-11-01T23:30:00Z", 5),
        ("2026-11-01T00:10:00Z", 5),
    ],
)
@pytest.mark.parametrize("hours", [["01:00-04:00"], "01-04", [1, 4], [[1, 4]]])
def test_hours_are_utc_and_end_before_their_end(at: str, expected: int, hours: object) -> None:
    prices = [row("input", "1"), row("input", "2", hours_utc=hours), row("input", "5", hours_utc=["23:00-00:30"])]
    assert cost_of(Usage(input_tokens=1_000_000, output_tokens=0), prices, at).amount == expected


def test_weekdays_narrow_a_price() -> None:
    prices = [row("input", "1"), row("input", "2", weekdays=["sat", 7])]
    usage = Usage(input_tokens=1_000_000, output_tokens=0)
    assert cost_of(usage, prices, "2026-11-01T12:00:00Z").amount == 2  # a Sunday
    assert cost_of(usage, prices, "2026-11-02T12:00:00Z").amount == 1


def test_nothing_reported_is_estimated_and_something_is_partial() -> None:
    price_of = pricer(PriceBook.of(PLAIN))
    what = Priced(provider=None, api="openai-chat", model="m")
    counted = Estimate(input_tokens=1_000, output_tokens=500, tokenizer="script-count")
    cost = price_of(None, what, NOON, counted)
    assert (cost.amount, cost.source, cost.estimated) == (Decimal("0.006"), "estimated", True)
    assert cost.tokenizer == "script-count"
    assert all(line.estimated for line in cost.lines)
    cost = price_of(Usage(input_tokens=2_000), what, NOON, counted)
    assert (cost.amount, cost.source, cost.estimated) == (Decimal("0.008"), "partial", True)
    assert [line.estimated for line in cost.lines] == [False, True]


def test_an_estimate_never_replaces_what_was_reported() -> None:
    counted = Estimate(input_tokens=9_999, output_tokens=9_999, tokenizer="script-count")
    what = Priced(provider=None, api="openai-chat", model="m")
    cost = pricer(PriceBook.of(PLAIN))(Usage(input_tokens=0, output_tokens=0), what, NOON, counted)
    assert (cost.amount, cost.source, cost.estimated, cost.tokenizer) == (Decimal(0), "computed", False, None)


def test_a_reported_figure_far_from_ours_is_flagged_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    price_of = pricer(PriceBook.of(PLAIN))
    what = Priced(provider=None, api="openai-chat", model="m")
    near, far = (Usage(input_tokens=1_000_000, output_tokens=0, cost=Decimal(c)) for c in ("1.97", "1.9"))
    with caplog.at_level(logging.WARNING, "interlay.cost"):
        assert price_of(near, what, NOON, None).flags == ()
        assert not caplog.records
        assert price_of(far, what, NOON, None).flags == ("price_drift",)
        price_of(far, what, NOON, None)
    assert len(caplog.records) == 1


def test_a_name_from_a_response_is_shown_cut_and_on_one_line(caplog: pytest.LogCaptureFixture) -> None:
    hostile = "m\r\n\x1b[31m\u202e\x00" + "x" * 10_000
    what = Priced(provider=None, api="openai-chat", model=hostile, requested_model="m")
    with caplog.at_level(logging.WARNING, "interlay.cost"):
        pricer(PriceBook.of(PLAIN))(Usage(input_tokens=1_000_000, output_tokens=0, cost=Decimal(9)), what, NOON, None)
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.isprintable()
    assert len(line) < 300


@pytest.mark.parametrize(
    ("size", "fee"), [("low", "0.005"), ("medium", "0.008"), ("high", "0.012"), ("enormous", "0.012"), (None, "0.012")]
)
def test_a_request_fee_goes_by_the_size_of_what_was_found(size: str | None, fee: str) -> None:
    usage = {"prompt_tokens": 1_000, "completion_tokens": 500, "total_tokens": 1_500, "search_context_size": size}
    cost = price(usage, api="chat", model="sonar", at=AT, provider="perplexity")
    assert cost.amount == Decimal("0.0015") + Decimal(fee)
    assert len(cost.lines) == 3


def test_a_recorded_request_fee_is_no_drift() -> None:
    # The usage of a recorded answer of api.perplexity.ai (tests/recorded, perplexity-chat-01).
    stated = """{"prompt_tokens":25,"completion_tokens":259,"total_tokens":284,"search_context_size":"low","cost":
        {"input_tokens_cost":0.00002,"output_tokens_cost":0.00026,"request_cost":0.005,"total_cost":0.00528}}"""
    cost = price(stated, api="chat", model="sonar", at=AT, provider="perplexity")
    assert (cost.amount, cost.computed) == (Decimal("0.00528"), Decimal("0.005284"))
    assert cost.flags == ()


def test_a_fee_by_size_that_has_no_price_is_the_one_for_all() -> None:
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "search_context_size": "low"}
    prices = [row("input", "1"), row("output", "1"), row("request", "7", per=1)]
    assert price(usage, api="chat", model="m", at=AT, prices=prices).amount == 7
    assert price(usage, api="chat", model="m", at=AT, prices=prices[:2]).amount == 0


def test_the_model_asked_for_is_tried_where_the_served_name_has_no_price() -> None:
    what = Priced(provider=None, api="openai-chat", model="m-internal-7", requested_model="m")
    assert pricer(PriceBook.of(PLAIN))(Usage(input_tokens=1_000_000, output_tokens=0), what, NOON, None).amount == 2


def test_the_chains_pricer_never_raises(caplog: pytest.LogCaptureFixture) -> None:
    price_of = pricer(PriceBook.of(PLAIN))
    what = Priced(provider=None, api="openai-chat", model="m")
    broken: Any = Usage(input_tokens=1, output_tokens="many")  # type: ignore[arg-type]
    for _ in range(2):
        assert price_of(broken, what, NOON, None).reason == "price_failed"
    assert len(caplog.records) == 1


def test_the_callers_decimal_context_does_not_matter() -> None:
    usage = Usage(input_tokens=123_456_789, output_tokens=987_654_321)
    expected = cost_of(usage, PLAIN)
    with decimal.localcontext(decimal.Context(prec=2, traps=[decimal.Inexact])):
        assert cost_of(usage, PLAIN) == expected
