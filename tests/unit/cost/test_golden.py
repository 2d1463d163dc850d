"""The golden cases: a usage object, dated prices, an exact amount."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from interlay.cost import price

CASES: list[dict[str, Any]] = [
    json.loads(line) for line in Path(__file__).with_name("golden.jsonl").read_text().splitlines()
]
ELSEWHERE = {"cost-08", "cost-09", "cost-14", "cost-15"}
"""Cases that need a vocabulary, several attempts, or a cache."""


@pytest.mark.parametrize("case", [c for c in CASES if c["id"] not in ELSEWHERE], ids=lambda case: case["id"])
def test_golden_case(case: dict[str, Any]) -> None:
    (attempt,) = case["attempts"]
    usage = next(attempt[name] for name in ("usage", "usage_text", "stream") if name in attempt)
    cost = price(
        usage,
        api=case["api"],
        model=case["model"],
        at=case["at"],
        prices=case["prices"],
        provider=case["provider"],
    )
    expected = case["expect"]
    assert cost.amount == Decimal(expected["cost_usd"])
    assert cost.source == expected["source"]
    assert cost.estimated is expected["estimated"]
    assert cost.flags == ()
    lines = [(line.unit, line.quantity, line.price, line.per, line.multiplier, line.amount) for line in cost.lines]
    assert lines == [
        (
            line["unit"],
            line["quantity"],
            Decimal(line["price"]),
            line["per"],
            Decimal(line["multiplier"]) if "multiplier" in line else None,
            Decimal(line["cost_usd"]),
        )
        for line in expected["breakdown"]
    ]
    if "computed_usd" in expected:
        assert cost.computed == Decimal(expected["computed_usd"])
