"""scripts/prices.py only ever adds: what was said about the past stays said."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "prices.py"
TODAY = "2026-12-01"

Row = dict[str, Any]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prices_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(price: str, unit: str = "input", **more: str) -> Row:
    return {"model": "m", "unit": unit, "price": price, **more}


def since(price: str, start: str, **more: str) -> Row:
    return row(price, **{"from": start}, **more)


@pytest.mark.parametrize(
    ("old", "new", "merged"),
    [
        pytest.param([row("1")], [row("1")], [row("1")], id="nothing new"),
        pytest.param([row("1")], [row("2")], [row("1", to=TODAY), since("2", TODAY)], id="a change without a date"),
        pytest.param(
            [row("1")],
            [row("1", to="2026-11-28"), since("2", "2026-11-28")],
            [row("1", to="2026-11-28"), since("2", "2026-11-28")],
            id="a change with its date",
        ),
        pytest.param(
            [since("1", "2026-03-01")],
            [since("3", "2026-03-01")],
            [since("1", "2026-03-01", to=TODAY), since("3", TODAY)],
            id="a correction does not rewrite the past",
        ),
        pytest.param([row("1")], [], [row("1", to=TODAY)], id="a unit that is no longer sold"),
        pytest.param(
            [row("1", to="2026-06-01")], [row("1", to="2026-06-01")], [row("1", to="2026-06-01")], id="a closed row"
        ),
    ],
)
def test_a_series_of_prices_is_continued(script: ModuleType, old: list[Row], new: list[Row], merged: list[Row]) -> None:
    keep = row("9", unit="output")
    assert script.merge([*old, keep], [*new, keep], TODAY, set()) == [*merged, keep]


def test_a_new_unit_of_a_known_model_starts_today(script: ModuleType) -> None:
    merged = script.merge([row("1")], [row("1"), row("2", unit="output")], TODAY, set())
    assert merged == [row("1"), {**row("2", unit="output"), "from": TODAY}]


def test_a_new_model_has_no_start(script: ModuleType) -> None:
    assert script.merge([], [row("1")], TODAY, set()) == [row("1")]


def test_a_dropped_model_keeps_its_rows(script: ModuleType) -> None:
    assert script.merge([row("1")], [], TODAY, {"m"}) == [row("1")]


def test_the_order_of_prices_in_the_vendored_files_is_stable(script: ModuleType) -> None:
    """Merging a file with itself changes nothing."""
    for path in sorted(script.FOLDER.glob("*.jsonl")):
        if path.stem != "additions":
            _, _, rows = script.read_file(path)
            assert script.merge(rows, rows, TODAY, set()) == rows
