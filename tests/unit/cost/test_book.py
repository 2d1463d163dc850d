"""The vendored snapshot, our additions, a user's own rows, and what is wrong with a row."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from interlay.cost import PriceBook, default_book, price
from interlay.cost.snapshot import FOLDER, additions, snapshot
from interlay.model.errors import ConfigError
from interlay.model.usage import Usage

AT = "2026-11-20T12:00:00Z"
MILLION = Usage(input_tokens=1_000_000, output_tokens=0)


def million(model: str, provider: str, at: str = AT, **more: Any) -> Decimal | None:
    usage = Usage(input_tokens=100_000, output_tokens=0)
    cost = price(usage, api="chat", model=model, at=at, provider=provider, **more)
    return None if cost.amount is None else cost.amount * 10


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("openai", "gpt-4o", "2.5"),
        ("openai", "gpt-4o-2024-08-06", "2.5"),
        ("openai", "GPT-4o-mini", "0.15"),
        ("anthropic", "claude-sonnet-4-5-20250929", "3"),
        ("anthropic", "claude-haiku-4-5", "1"),
        ("gemini", "gemini-2.5-pro", "1.25"),
        ("vertex_ai", "gemini-2.5-pro", "1.25"),
        ("azure", "gpt-4o-mini-2024-07-18", "0.15"),  # a price of openai's that holds at azure
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.3"),  # regional
        ("together_ai", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "0.88"),
        ("google", "gemini-2.5-pro", "1.25"),  # the snapshot's own id
    ],
)
def test_known_models_have_the_snapshots_price(provider: str, model: str, expected: str) -> None:
    assert million(model, provider) == Decimal(expected)


def test_a_price_tells_its_day() -> None:
    cost = price(MILLION, api="chat", model="gpt-4o", at=AT)
    assert cost.lines[0].price_from is not None
    dt.date.fromisoformat(cost.lines[0].price_from)


def test_the_same_model_costs_what_it_cost_on_the_day() -> None:
    usage = Usage(input_tokens=1_000_000, output_tokens=0)
    before, after = (
        price(usage, api="chat", provider="deepseek", model="deepseek-v4-pro", at=at).amount
        for at in ("2026-08-16T12:00:00Z", "2026-08-17T12:00:00Z")
    )
    assert (before, after) == (Decimal("0.435"), Decimal("0.66"))


@pytest.mark.parametrize(
    ("provider", "model", "prompt", "expected"),
    [
        ("xai", "grok-4.20", 199_999, "1.25"),
        ("xai", "grok-4.20", 200_000, "2.5"),  # from the threshold on
        ("gemini", "gemini-2.5-pro", 200_000, "1.25"),
        ("gemini", "gemini-2.5-pro", 200_001, "2.5"),  # strictly over it
        ("anthropic", "claude-sonnet-4-5", 200_000, "3"),
        ("anthropic", "claude-sonnet-4-5", 200_001, "6"),
    ],
)
def test_thresholds_are_each_vendors_own(provider: str, model: str, prompt: int, expected: str) -> None:
    usage = Usage(input_tokens=prompt, output_tokens=0)
    cost = price(usage, api="chat", provider=provider, model=model, at=AT)
    assert cost.lines[0].price == Decimal(expected)


def test_a_name_of_any_length_is_only_a_name() -> None:
    assert million("gpt-4o" * 100_000, "openai") is None
    assert million("gpt-4o", "openai", tier="x" * 1000) is None


def test_peak_hours_hold() -> None:
    assert million("deepseek-v4-pro", "deepseek", "2026-11-20T01:00:00Z") == Decimal("1.32")
    assert million("deepseek-v4-pro", "deepseek", "2026-11-20T04:00:00Z") == Decimal("0.66")


def test_a_tier_that_served_has_its_own_price_from_its_day_on() -> None:
    assert million("gpt-4o", "openai", tier="priority") == Decimal("4.25")
    assert million("gpt-4o", "openai", tier="default") == Decimal("2.5")
    assert million("claude-sonnet-4-5", "anthropic", tier="batch") == Decimal("1.5")
    assert million("claude-sonnet-4-5", "anthropic", "2026-01-01T00:00:00Z", tier="batch") == Decimal("1.5")


def test_our_additions_fill_gaps_and_go_behind_the_snapshot() -> None:
    usage = Usage(input_tokens=10, input_audio_tokens=10, output_tokens=10, output_audio_tokens=10)
    cost = price(usage, api="chat", model="gpt-4o-audio-preview-2024-12-17", at=AT)
    assert [(line.unit, line.price) for line in cost.lines] == [
        ("input_audio", Decimal(40)),
        ("output_audio", Decimal(80)),
    ]


def test_a_users_rows_go_before_the_snapshot_unit_by_unit() -> None:
    book = default_book().with_rows([{"model": "gpt-4o", "unit": "input", "price": "2", "per": 1_000_000}])
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    cost = price(usage, api="chat", model="gpt-4o-2024-08-06", at=AT, prices=book)
    assert [line.price for line in cost.lines] == [2, 10]
    assert price(usage, api="chat", model="gpt-4o-mini", at=AT, prices=book).lines[0].price == Decimal("0.15")


def test_a_users_row_can_be_for_one_provider_for_a_prefix_or_for_all() -> None:
    book = PriceBook.of(
        [
            {"provider": "openai", "model": "x-*", "unit": "input", "price": "1"},
            {"model": "*", "unit": "input", "price": "9"},
        ]
    )
    usage = Usage(input_tokens=1_000_000, output_tokens=0)
    assert price(usage, api="chat", model="x-1", at=AT, prices=book).amount == 1
    assert price(usage, api="chat", model="x-1", at=AT, prices=book, provider="groq").amount == 9
    assert price(usage, api="chat", model="y", at=AT, prices=book).amount == 9


def test_rows_are_read_from_a_file_of_either_form(tmp_path: Path) -> None:
    rows = [{"model": "m", "unit": "input", "price": "1.50"}, {"model": "m", "unit": "output", "price": 2}]
    lines, listed = tmp_path / "a.jsonl", tmp_path / "b.json"
    lines.write_text("\n".join(map(json.dumps, rows)))
    listed.write_text(json.dumps(rows))
    for path in (lines, str(listed)):
        assert price(MILLION, api="chat", model="m", at=AT, prices=path).amount == Decimal("1.5")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"model": "m", "unit": "input", "price": "cheap"}], r"prices\[0\]\.price: 'cheap'; invalid decimal"),
        ([{"model": "m", "unit": "input", "price": "-1"}], r"prices\[0\]\.price: -1; expected a decimal from 0"),
        ([{"model": "m", "unit": "input", "price": "NaN"}], r"prices\[0\]\.price: NaN; expected"),
        ([{"model": "m", "unit": "input", "price": "1e99"}], r"prices\[0\]\.price: 1E\+99; expected"),
        ([{"model": "m", "unit": "input"}], r"prices\[0\]: object missing required field `price`"),
        (
            [{"model": "m", "unit": "input", "price": "1", "par": 1}],
            r"prices\[0\]: object contains unknown field `par`",
        ),
        ([{"model": "m", "unit": "input", "price": "1", "per": 3}], r"prices\[0\]\.per: 3; expected a number such as"),
        ([{"model": "m", "unit": "input", "price": "1", "per": 0}], r"prices\[0\]\.per: 0; expected"),
        ([{"model": "m", "unit": "input", "price": "1", "from": "soon"}], r"prices\[0\]\.from: 'soon'; invalid"),
        (
            [{"model": "m", "unit": "input", "price": "1", "from": "2026-02-01", "to": "2026-01-01"}],
            r"prices\[0\]\.to: 2026-01-01; expected a day after",
        ),
        ([{"model": "m", "unit": "input", "price": "1", "hours_utc": "noon"}], r"hours_utc: 'noon'; expected hours"),
        ([{"model": "m", "unit": "input", "price": "1", "weekdays": [8]}], r"weekdays: \[8\]; expected days"),
        ([7], r"prices\[0\]: 7; expected an object"),
        ({"model": "m"}, r"prices: .*; expected a list of rows"),
        ("/nonexistent/prices.jsonl", r"prices: /nonexistent/prices.jsonl: No such file"),
    ],
)
def test_a_wrong_row_is_named_with_its_field_its_value_and_what_was_expected(rows: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        price(MILLION, api="chat", model="m", at=AT, prices=rows)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"at": "2026-11-01T12:00:00"}, "at: '2026-11-01T12:00:00'; expected a time with its zone"),
        ({"at": "yesterday"}, "at: 'yesterday'; expected a time with its zone"),
        ({"at": dt.datetime(2026, 11, 1)}, "at: .*expected a time with its zone"),  # noqa: DTZ001
        ({"api": "telegraph"}, "api: 'telegraph'; expected one of .*chat.completions"),
        ({"model": ""}, "model: ''; expected"),
        ({"usage": 7}, "usage: int; expected the provider's usage object"),
        ({"usage": "{"}, "usage: .*; expected JSON text"),
        ({"usage": [1]}, r"usage\[0\]: int; expected a stream event"),
        ({"usage": {"prompt_tokens": object()}}, "usage: .*expected values that are JSON"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        price(**{"usage": {}, "api": "embeddings", "model": "m", "at": AT, **arguments})


def test_every_model_of_the_snapshot_can_be_looked_up() -> None:
    found = 0
    for path in sorted(FOLDER.glob("*.jsonl")):
        if path.stem == "additions":
            continue
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        for model in {line["model"] for line in lines if line.get("price")}:
            book = snapshot(path.stem)
            assert book is not None
            assert book.rows(model)
            found += default_book().tariff(path.stem, model, dt.date(2026, 11, 25)) is not None
    assert found > 2_000


def test_every_addition_says_where_it_comes_from() -> None:
    for row in additions():
        assert row.source
        assert row.checked
