"""Calls inside of calls: who belongs to whom, what they cost together, how they look."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.cli.records import BEGAN, COST, GUESS, record, retried_by_sdk, write

from interlay.cli.family import Family, gather
from interlay.cli.render import call_lines
from interlay.cli.root import run
from interlay.cli.terminal import Looks
from interlay.model.cost import Cost
from interlay.model.record import Record
from interlay.telemetry.calls import FoldedCall

UNKNOWN = Cost(amount=None, source="unknown", reason="no_price")


def observed(id: str, name: str, **fields: Any) -> Record:
    """A run of a function."""
    given: dict[str, Any] = {
        "operation": "agent", "target": name, "method": "", "dialect": None, "provider": None, "model": None,
        "served_model": None, "attempts": (), "usage": None, "cost": None, "response": None, "overhead": 0.0,
    }  # fmt: skip
    return record(id, **{**given, **fields})


def story() -> list[Record]:
    """An agent that calls a model, then a tool that calls one, which the SDK retries."""
    inner = [msgspec.structs.replace(each, parent_id="tool") for each in retried_by_sdk()]
    return [
        record("first", at=0.1, parent_id="agent"),
        *inner,
        observed("tool", "look_up", at=0.5, operation="tool", duration=2.0, parent_id="agent"),
        observed("agent", "plan", duration=3.0),
        record("stranger", at=0.2),
    ]


def agent(records: list[Record]) -> Family:
    return gather(FoldedCall([each for each in records if each.id == "agent"]), records)


def shown(family: Family, **looks: Any) -> list[str]:
    return [line.plain.rstrip() for line in call_lines(family, Looks(**looks))]


class TestFamily:
    def test_is_of_parents_and_children_in_the_order_they_began(self) -> None:
        family = agent(story())
        assert [call.last.call_id for call in family.everybody()] == ["agent", "first", "tool", "c0"]
        assert [each.call.id for each in family.inside] == ["first", "tool"]
        assert len(family.inside[1].inside[0].call.records) == 3

    def test_costs_what_all_cost(self) -> None:
        family = agent(story())
        assert family.cost is not None
        assert family.cost.amount == 2 * Decimal("0.000119")
        assert family.cost.source == "computed"
        assert family.unknown == 0

    def test_says_what_is_guessed_and_what_nobody_knows(self) -> None:
        records = [
            *story(),
            record("guess", cost=GUESS, parent_id="agent"),
            record("u", cost=UNKNOWN, parent_id="agent"),
        ]
        family = agent(records)
        assert family.cost is not None
        assert (family.cost.source, family.cost.estimated, family.unknown) == ("partial", True, 1)

    def test_of_none_that_is_known_is_unknown(self) -> None:
        family = agent([observed("agent", "plan"), *(record(n, cost=UNKNOWN, parent_id="agent") for n in ("a", "b"))])
        assert family.cost == UNKNOWN

    def test_of_a_call_that_is_inside_of_itself_ends(self) -> None:
        loop = [observed("agent", "plan", parent_id="other"), observed("other", "b", parent_id="agent")]
        assert 2 <= len(list(agent(loop).everybody())) < 50


class TestTree:
    def test_has_a_line_for_each_call_inside_where_it_began(self) -> None:
        lines = shown(agent(story()), width=100)
        assert lines[0] == "✓ agent plan   3.00 s   3 inside   $0.000238"
        tree = [line[11:] for line in lines if " ├" in line or " └" in line]
        assert [line.partition("  █")[0].partition("  ▏")[0].rstrip() for line in tree] == [
            "├─ ✓ chat gpt-4o-mini     $0.000119  412 > 96 tok",
            "└─ ✓ tool look_up         $0.000119",
            "   └─ ✓ chat gpt-4o-mini  2 retries  $0.000119  412 > 96 tok",
        ]
        assert lines[-1] == "  with all inside  $0.000238"

    def test_of_a_call_that_a_layer_made_more_calls_in_has_its_own_cost_too(self) -> None:
        judged = record("agent", cost=COST)
        lines = shown(gather(FoldedCall([judged]), [record("judge", at=0.15, parent_id="agent")]))
        assert ["exact", "0.000119"] in [line.split() for line in lines]
        assert lines[-1] == "  with all inside  $0.000238"

    @pytest.mark.parametrize("width", [60, 80, 120])
    def test_fits_its_terminal(self, width: int) -> None:
        assert max(map(len, shown(agent(story()), width=width))) <= width


def test_show_finds_them_in_the_journal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interlay.chain.journal.time_ns", lambda: int((BEGAN + 4) * 1e9))
    folder = write(tmp_path / "j", *story())
    assert run(["show", "agent", "--journal", str(folder)]) == 0
    text = capsys.readouterr().out
    assert text.count("chat gpt-4o-mini") == 2
    assert "tool look_up" in text
    assert run(["calls", "--journal", str(folder)]) == 0
    assert "look_up" in capsys.readouterr().out
