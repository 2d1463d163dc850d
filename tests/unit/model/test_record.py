"""A record as JSON: what was written is what is read, and money is plain digits."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from interlay.model.cost import Cost, CostLine
from interlay.model.record import Attempt, Contents, Record
from interlay.model.usage import Usage

money = st.decimals(0, 10**9, allow_nan=False, places=30) | st.sampled_from(
    [Decimal("3.6E-7"), Decimal("0E-10"), Decimal("1E+6"), Decimal("1E-30"), Decimal(0)]
)


def record(amount: Decimal, *, said: str = "E-7") -> Record:
    line = CostLine(unit="input", quantity=1, price=amount, per=1, multiplier=amount, amount=amount)
    cost = Cost(amount=amount, source="computed", lines=(line, line), computed=amount, avoided=amount)
    usage = Usage(input_tokens=1, cost=amount)
    attempt = Attempt(target="t", started_at=1, seconds=1, usage=usage, cost=cost)
    return Record(
        id="a",
        call_id="a",
        operation="chat",
        target="t",
        started_at=1,
        ended_at=2,
        duration=1,
        end="complete",
        attempts=(attempt, attempt),
        usage=usage,
        cost=cost,
        contents=Contents(input=[{"price": said, "amount": "1E-7"}]),
    )


def figures(value: Any) -> list[str]:
    """Every amount in a decoded record, contents apart."""
    if isinstance(value, dict):
        names = ("amount", "price", "multiplier", "computed", "avoided")
        own = [each for name, each in value.items() if name in names or (name == "cost" and isinstance(each, str))]
        return own + [found for name, each in value.items() if name != "contents" for found in figures(each)]
    return [found for each in value for found in figures(each)] if isinstance(value, list) else []


@given(money)
def test_money_is_plain_digits_and_reads_back_exactly(amount: Decimal) -> None:
    written = record(amount).to_json()
    amounts = figures(json.loads(written))
    assert len(amounts) == 3 * 9 + 3
    assert {Decimal(each) for each in amounts} == {amount}
    assert not any("E" in each for each in amounts)
    assert Record.from_json(written).cost == record(amount).cost


@given(st.text())
def test_what_was_said_stays_as_it_was(said: str) -> None:
    kept = json.loads(record(Decimal("3.6E-7"), said=said).to_json())["contents"]["input"]
    assert kept == [{"price": said, "amount": "1E-7"}]
