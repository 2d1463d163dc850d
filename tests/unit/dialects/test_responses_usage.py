from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from interlay.dialects.openai_responses import OpenAIResponses
from interlay.model.usage import Usage

DIALECT = OpenAIResponses()


def read(**members: Any) -> Usage:
    """Read from text and from a mapping: both say the same."""
    usage = DIALECT.usage(json.dumps(members).encode())
    other = DIALECT.usage(members)
    assert [getattr(usage, field) for field in FIELDS] == [getattr(other, field) for field in FIELDS]
    return usage


FIELDS = [field for field in Usage.__struct_fields__ if field != "raw"]


def test_totals_are_inclusive() -> None:
    usage = read(
        input_tokens=1500, output_tokens=2400, total_tokens=3900,
        input_tokens_details={"cached_tokens": 1024, "cache_write_tokens": 100},
        output_tokens_details={"reasoning_tokens": 1984},
    )  # fmt: skip
    assert (usage.input_tokens, usage.output_tokens) == (1500, 2400)
    assert (usage.cache_read_tokens, usage.cache_write_tokens, usage.reasoning_tokens) == (1024, 100, 1984)
    assert usage.flags == ()


def test_reasoning_beside_the_answer_is_told_by_the_total() -> None:
    details = {"reasoning_tokens": 40}
    beside = read(input_tokens=10, output_tokens=5, total_tokens=55, output_tokens_details=details)
    assert (beside.output_tokens, beside.reasoning_tokens, beside.flags) == (45, 40, ())
    inside = read(input_tokens=10, output_tokens=45, total_tokens=55, output_tokens_details=details)
    assert (inside.output_tokens, inside.flags) == (45, ())


def test_xais_ticks_are_exact() -> None:
    usage = DIALECT.usage(b'{"input_tokens":204,"output_tokens":80,"total_tokens":284,"cost_in_usd_ticks":3206001}')
    assert usage.cost == Decimal("0.0003206001")
    assert read(input_tokens=1, output_tokens=1, total_tokens=2, cost=0).cost == 0


@pytest.mark.parametrize(
    "members",
    [
        {"input_tokens": 10, "output_tokens": 5, "total_tokens": 16},
        {"input_tokens": 10, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 11}},
        {"input_tokens": 10, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 6}},
    ],
)
def test_parts_and_totals_that_do_not_fit_are_flagged(members: dict[str, Any]) -> None:
    assert read(**members).flags == ("usage_inconsistent",)


@pytest.mark.parametrize("wrong", [-1, 1.5, "7", True, [], 2**60])
def test_what_is_no_count_is_flagged(wrong: Any) -> None:
    usage = read(input_tokens=wrong, output_tokens=5)
    assert (usage.input_tokens, usage.output_tokens, usage.flags) == (None, 5, ("usage_invalid",))


def test_zero_is_zero_and_nothing_is_nothing() -> None:
    assert read(input_tokens=0, output_tokens=0, total_tokens=0).input_tokens == 0
    assert read().input_tokens is None


def test_a_large_object_is_not_kept() -> None:
    text = json.dumps({"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, "x": "y" * 70_000}).encode()
    usage = DIALECT.usage(text)
    assert (usage.input_tokens, bytes(usage.raw)) == (1, b"null")
