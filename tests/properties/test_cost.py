"""Laws of money: each token is priced exactly once, and nothing is ever rounded."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from interlay.cost import PriceBook, price, pricer
from interlay.cost.leaves import input_leaves, output_leaves
from interlay.cost.pricing import _Bill
from interlay.cost.rows import PARENTS
from interlay.model.cost import Cost, Estimate, Priced, total
from interlay.model.tokens import estimate
from interlay.model.usage import Usage

AT = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
WHAT = Priced(provider=None, api="openai-chat", model="m")

counts = st.integers(0, 2**40)
some = st.dictionaries(st.sampled_from(sorted(PARENTS)), counts)
"""How much was used of each leaf."""


def usage_of(leaves: dict[str, int]) -> Usage:
    """The usage object that a provider would report for disjoint leaves."""

    def of(*units: str) -> int:
        return sum(leaves.get(unit, 0) for unit in units)

    inputs = [unit for unit in PARENTS if unit == "input" or "input" in PARENTS[unit]]
    return Usage(
        input_tokens=of(*inputs),
        output_tokens=of(*(unit for unit in PARENTS if unit not in inputs)),
        cache_read_tokens=of("cache_read", "cache_read_audio", "cache_read_image"),
        cache_write_tokens=of("cache_write", "cache_write_5m", "cache_write_1h"),
        cache_write_5m_tokens=of("cache_write_5m"),
        cache_write_1h_tokens=of("cache_write_1h"),
        input_audio_tokens=of("input_audio", "cache_read_audio"),
        input_image_tokens=of("input_image", "cache_read_image"),
        cache_read_audio_tokens=of("cache_read_audio"),
        cache_read_image_tokens=of("cache_read_image"),
        reasoning_tokens=of("reasoning"),
        output_audio_tokens=of("output_audio"),
        output_image_tokens=of("output_image"),
        citation_tokens=of("citation"),
    )


money = st.decimals(0, 10**6, allow_nan=False, places=9)
books = st.dictionaries(st.sampled_from(sorted(set(PARENTS) - {"input", "output"})), money).flatmap(
    lambda rows: st.tuples(money, money).map(lambda base: {"input": base[0], "output": base[1], **rows})
)


def cost_of(usage: Usage, prices: dict[str, Decimal]) -> Cost:
    rows = [{"model": "m", "unit": unit, "price": price} for unit, price in prices.items()]
    return price(usage, api="chat", model="m", at=AT, prices=rows)


@given(some)
def test_the_leaves_of_a_usage_object_are_what_was_used(leaves: dict[str, int]) -> None:
    usage = usage_of(leaves)
    assert usage.input_tokens is not None
    assert usage.output_tokens is not None
    found, fits = input_leaves(usage, usage.input_tokens)
    more, fits_too = output_leaves(usage, usage.output_tokens)
    assert fits
    assert fits_too
    used = {unit: quantity for unit, quantity in leaves.items() if quantity}
    assert {unit: quantity for unit, quantity in (*found, *more) if quantity} == used


@given(some, books)
def test_every_token_is_priced_exactly_once(leaves: dict[str, int], prices: dict[str, Decimal]) -> None:
    usage = usage_of(leaves)
    cost = cost_of(usage, prices)
    assert sum(line.quantity for line in cost.lines) == sum(leaves.values())
    assert len({line.unit for line in cost.lines}) == len(cost.lines)
    for line in cost.lines:
        assert line.quantity >= leaves.get(line.unit, 0)
    assert cost.flags == ()


@given(some, books)
def test_amounts_are_exact(leaves: dict[str, int], prices: dict[str, Decimal]) -> None:
    cost = cost_of(usage_of(leaves), prices)
    assert cost.amount is not None
    for line in cost.lines:
        assert Fraction(line.amount) == Fraction(line.price) * line.quantity / line.per
    assert Fraction(cost.amount) == sum((Fraction(line.amount) for line in cost.lines), Fraction(0))


@given(
    st.fixed_dictionaries(
        {},
        optional={name: st.integers(0, 2**53) for name in Usage.__struct_fields__ if name.endswith("_tokens")},
    ),
    books,
)
def test_whatever_is_reported_parts_over_their_total_are_flagged(
    fields: dict[str, int], prices: dict[str, Decimal]
) -> None:
    usage = Usage(**{"input_tokens": 10, "output_tokens": 10, **fields})  # type: ignore[arg-type]
    cost = cost_of(usage, prices)
    whole = (usage.input_tokens or 0) + (usage.output_tokens or 0)
    priced = sum(line.quantity for line in cost.lines)
    assert (priced == whole) or ("usage_inconsistent" in cost.flags and priced > whole)
    assert all(line.quantity > 0 for line in cost.lines)


@given(st.none() | counts, st.none() | counts, st.none() | st.tuples(counts, counts))
def test_a_source_says_what_was_reported(
    prompt: int | None, completion: int | None, counted: tuple[int, int] | None
) -> None:
    book = PriceBook.of([{"model": "m", "unit": unit, "price": "1"} for unit in ("input", "output")])
    usage = None if prompt is None and completion is None else Usage(input_tokens=prompt, output_tokens=completion)
    own = counted and Estimate(input_tokens=counted[0], output_tokens=counted[1], tokenizer="t")
    cost = pricer(book)(usage, WHAT, AT, own)
    reported = sum(count is not None for count in (prompt, completion))
    if reported == 2:
        assert (cost.source, cost.estimated, cost.tokenizer) == ("computed", False, None)
    elif reported == 1:
        assert (cost.source, cost.estimated) == ("partial", True)
    elif counted is not None:
        assert (cost.source, cost.estimated) == ("estimated", True)
    else:
        assert (cost.source, cost.amount) == ("unknown", None)


@given(st.lists(st.decimals(0, 10**20, allow_nan=False, places=20)))
def test_sums_are_exact_and_plain(amounts: list[Decimal]) -> None:
    amount = total(amounts)
    assert Fraction(amount) == sum(map(Fraction, amounts), Fraction(0))
    assert amount < 1 or "E" not in str(amount)


@given(st.text(), st.text())
def test_counts_of_pieces_add_up_to_the_count_of_the_whole(left: str, right: str) -> None:
    assert estimate(left) + estimate(right) == estimate(left + right)


@given(inputs=st.integers(1, 2**40), outputs=st.integers(1, 2**40), prompt=money, completion=money)
def test_the_short_way_for_plain_usage_gives_what_a_bill_does(
    inputs: int, outputs: int, prompt: Decimal, completion: Decimal
) -> None:
    usage = Usage(input_tokens=inputs, output_tokens=outputs)
    rows = [{"model": "m", "unit": unit, "price": money} for unit, money in (("input", prompt), ("output", completion))]
    book = PriceBook.of(rows)
    tariff = book.tariff(None, "m", AT.date())
    assert tariff is not None
    assert tariff.plain is not None
    bill = _Bill(usage, None)
    assert bill.add_all(tariff.at(AT))
    assert pricer(book)(usage, WHAT, AT, None) == bill.cost(())
