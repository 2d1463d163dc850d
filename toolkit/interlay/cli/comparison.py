"""A backtest as a table, and as JSON: what was done beside what would have been."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from rich.text import Text

from interlay.cli import words
from interlay.cli.lookups import ranked
from interlay.cli.table import Column, Table, ascii_only
from interlay.cli.terminal import Looks
from interlay.layers.rehearsal import Backtest, Side
from interlay.model.cost import plain

_SUMS: Final = (Column("", least=8, elastic=True), Column("did", right=True), Column("would", right=True))
_OUTCOMES: Final = (
    Column("cache", least=6),
    Column("why", least=6, elastic=True),
    Column("did", right=True),
    Column("would", right=True),
)


def comparison(test: Backtest) -> dict[str, Any]:
    """The figures for programs; money as strings."""
    steps = test.timeline.steps()
    did, would = test.then.outcomes, test.would.outcomes
    return {
        "calls": test.then.calls,
        "did": _side(test.then),
        "would": _side(test.would),
        "outcomes": [
            {"outcome": outcome, "reason": reason, "did": did[outcome, reason], "would": would[outcome, reason]}
            for outcome, reason in ranked(did | would)
        ],
        "shadow": [
            {"outcome": outcome, "reason": reason, "would": count} for (outcome, reason), count in test.shadows.items()
        ],
        "keys": {kind: test.keys[kind] for kind in ("record", "contents", "none")},
        "layers": {"rehearsed": test.rehearsed, "passed": test.unrehearsed},
        "timeline": {
            "seconds": test.timeline.width,
            "steps": [
                {
                    "at": step.at,
                    "calls": step.calls,
                    "did_answer": step.then_answered,
                    "would_answer": step.would_answered,
                    "did_spend": _amount(step.then_spent),
                    "would_spend": _amount(step.would_spent),
                }
                for step in steps
            ],
        },
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "calls": side.calls,
        "answered": side.answered,
        "refused": side.refused,
        "sent": side.sent,
        "spent": _amount(side.spent),
        "saved": _amount(side.saved),
        "unpriced": side.unpriced,
        "seconds_saved": round(side.seconds_saved, 6),
    }


def _amount(amount: Decimal) -> str:
    return f"{plain(amount):f}"


def lines(test: Backtest, config: str, looks: Looks) -> list[Text]:
    """The figures for people."""
    found = [*_head(test, config), Text(), *_sums(test, looks)]
    if test.then.outcomes or test.would.outcomes:
        found += [Text(), *_reasons(test, looks)]
    found += [Text(), *_doubts(test)]
    return found if looks.unicode else [ascii_only(line) for line in found]


def _head(test: Backtest, config: str) -> Iterator[Text]:
    steps = test.timeline.steps()
    began = datetime.fromtimestamp(steps[0].at).astimezone()
    ended = datetime.fromtimestamp(steps[-1].at + test.timeline.width).astimezone()
    calls = "1 call" if test.then.calls == 1 else f"{test.then.calls:,} calls"
    yield Text(f"{calls}, {began:%Y-%m-%d %H:%M} to {ended:%Y-%m-%d %H:%M}, by {words.clean(config)}", style="bold")


def _sums(test: Backtest, looks: Looks) -> list[Text]:
    rows: list[tuple[str, Callable[[Side], str], bool]] = [
        ("answered by the cache", lambda side: f"{side.answered:,}", True),
        ("  of all", lambda side: words.percent(side.answered, side.calls), True),
        ("refused", lambda side: f"{side.refused:,}", bool(test.would.refused or test.then.refused)),
        ("sent", lambda side: f"{side.sent:,}", True),
        ("spent", lambda side: words.sum_of_money(side.spent), True),
        ("saved", lambda side: words.sum_of_money(side.saved), True),
        ("waiting saved", lambda side: words.duration(side.seconds_saved) if side.seconds_saved else "-", True),
        ("price unknown", lambda side: f"{side.unpriced:,}", bool(test.would.unpriced or test.then.unpriced)),
    ]
    cells = [
        [Text(name), Text(of(test.then)), Text(of(test.would), style="bold")] for name, of, wanted in rows if wanted
    ]
    return Table(_SUMS, cells, looks).lines()


def _reasons(test: Backtest, looks: Looks) -> list[Text]:
    did, would = test.then.outcomes, test.would.outcomes
    rows = [
        [
            Text(words.clean(outcome), style="cyan" if outcome in ("hit", "stale") else ""),
            Text(words.clean(reason)),
            Text(f"{did[outcome, reason]:,}"),
            Text(f"{would[outcome, reason]:,}", style="bold"),
        ]
        for outcome, reason in ranked(did | would)
    ]
    return Table(_OUTCOMES, rows, looks).lines()


def _doubts(test: Backtest) -> Iterator[Text]:
    """What the figures rest on."""
    keys = test.keys
    told = [f"{keys['record']:,} by their records"] if keys["record"] else []
    told += [f"{keys['contents']:,} by the messages that were kept"] if keys["contents"] else []
    told += [f"{keys['none']:,} by neither, so nothing is known of them"] if keys["none"] else []
    if told:
        yield Text(f"questions told apart: {', '.join(told)}", style="yellow" if keys["none"] else "dim")
    if test.shadows:
        shadows = ", ".join(
            f"{outcome} {reason} {test.shadows[outcome, reason]:,}" for outcome, reason in ranked(test.shadows)
        )
        yield Text(f"in shadow: {words.clean(shadows)}", style="dim")
    if test.unrehearsed:
        yield Text(f"let all pass: {', '.join(test.unrehearsed)}", style="dim")
    fewer = test.then.calls - test.would.calls
    if fewer:
        yield Text(f"{fewer:,} repeats by SDKs would not have been made", style="dim")
