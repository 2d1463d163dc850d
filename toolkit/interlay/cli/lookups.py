"""What caches did, summed over records: by outcome, by model, by day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import msgspec
from rich.text import Text

from interlay.cli import words
from interlay.cli.table import Column, Table, ascii_only
from interlay.cli.terminal import Looks
from interlay.layers.rehearsal.past import NOTHING, Past, Reader
from interlay.model.cost import EXACT, plain
from interlay.model.record import Record

ANSWERED: Final = ("hit", "stale")
_ORDER: Final = ("hit", "stale", "miss", "bypass", "error")
_MOST_MODELS: Final = 500
"""Models that are told apart; the rest are one."""

_COLUMNS: Final = (
    Column("look-ups", right=True),
    Column("answered", right=True),
    Column("saved", right=True, rank=1),
    Column("waiting saved", right=True, rank=2),
)


class Sum(msgspec.Struct):
    """Figures of some look-ups."""

    lookups: int = 0
    answered: int = 0
    unfit: int = 0
    """Of which no cache could have answered."""
    saved: Decimal = NOTHING
    """US dollars, as far as they are known."""
    unpriced: int = 0
    """Answers of which nobody knows what they saved."""
    seconds: float = 0.0
    """That providers were not waited for, as far as the journal has the calls that made the answers."""

    def add(self, past: Past) -> None:
        """One more."""
        self.lookups += 1
        self.unfit += past.did is not None and past.did.outcome == "bypass"
        if past.answered:
            self.answered += 1
            self.seconds += past.seconds or 0.0
            if past.price is None:
                self.unpriced += 1
            else:
                self.saved = EXACT.add(self.saved, past.price)

    def told(self) -> dict[str, Any]:
        """For programs; money as a string."""
        return {
            "lookups": self.lookups,
            "answered": self.answered,
            "unfit": self.unfit,
            "ratio": round(self.answered / self.lookups, 6) if self.lookups else None,
            "saved": f"{plain(self.saved):f}",
            "unpriced": self.unpriced,
            "seconds_saved": round(self.seconds, 6),
        }


class Lookups:
    """What caches did about the records that it is given, in the order in which they were written."""

    def __init__(self) -> None:
        self.all = Sum()
        self.calls = 0
        """Runs of chains, those without a cache among them."""
        self.shadows: Counter[tuple[str, str]] = Counter()
        """What caches in shadow mode said that they would have done."""
        self.refreshes = 0
        """Calls that caches made for themselves, to have answers that are not stale."""
        self.by_outcome: dict[tuple[str, str], Sum] = {}
        self.by_model: dict[str, Sum] = {}
        self.by_day: dict[str, Sum] = {}
        self._reader = Reader()

    def add(self, record: Record) -> None:
        """The next record. Those of functions are no calls."""
        if record.operation in ("tool", "agent", "workflow"):
            return
        self.calls += 1
        past, did = self._reader.past(record), record.cache
        if did is None:
            return
        if past.is_refresh:
            self.calls -= 1
            self.refreshes += 1
            return
        if did.shadow:
            self.shadows[did.outcome, did.reason] += 1
            return
        model, day = record.model or "-", f"{datetime.fromtimestamp(record.started_at).astimezone():%Y-%m-%d}"
        if model not in self.by_model and len(self.by_model) >= _MOST_MODELS:
            model = "other"
        for of in (
            self.all,
            self.by_outcome.setdefault((did.outcome, did.reason), Sum()),
            self.by_model.setdefault(model, Sum()),
            self.by_day.setdefault(day, Sum()),
        ):
            of.add(past)

    def told(self) -> dict[str, Any]:
        """For programs."""
        return {
            "calls": self.calls,
            "refreshes": self.refreshes,
            **self.all.told(),
            "outcomes": [
                {"outcome": outcome, "reason": reason, **self.by_outcome[outcome, reason].told()}
                for outcome, reason in self.ranked()
            ],
            "shadow": [{"outcome": o, "reason": r, "lookups": count} for (o, r), count in self.shadows.most_common()],
            "models": [{"model": model, **each.told()} for model, each in self.models()],
            "days": [{"day": day, **each.told()} for day, each in sorted(self.by_day.items())],
        }

    def ranked(self) -> list[tuple[str, str]]:
        """Outcomes and their reasons, the best first."""
        return ranked({outcome: each.lookups for outcome, each in self.by_outcome.items()})

    def models(self) -> list[tuple[str, Sum]]:
        """The most asked first."""
        return sorted(self.by_model.items(), key=lambda each: (-each[1].lookups, each[0]))


def ranked(outcomes: Mapping[tuple[str, str], int]) -> list[tuple[str, str]]:
    """What caches do in the order of how well it went, the most frequent reason first; others after them."""

    def rank(outcome: tuple[str, str]) -> tuple[int, int, str]:
        place = _ORDER.index(outcome[0]) if outcome[0] in _ORDER else len(_ORDER)
        return place, -outcomes[outcome], outcome[1]

    return sorted(outcomes, key=rank)


def lines(found: Lookups, looks: Looks) -> list[Text]:
    """The figures for people."""
    told = [*_head(found), Text(), *_outcomes(found, looks)] if found.all.lookups else []
    if found.shadows:
        said = ", ".join(f"{' '.join(outcome)} {count:,}" for outcome, count in found.shadows.most_common())
        told += [Text(), Text(f"in shadow: {words.clean(said)}", style="dim")] if told else [Text(f"in shadow: {said}")]
    if found.all.answered:
        told += [Text(), *_table("model", found.models(), looks), Text()]
        told += _table("day", sorted(found.by_day.items()), looks)
    return told if looks.unicode else [ascii_only(line) for line in told]


def _head(found: Lookups) -> list[Text]:
    every = found.all
    head = Text(style="bold").append(
        f"{every.lookups:,} look-ups, {words.percent(every.answered, every.lookups)} answered"
    )
    if every.unfit:
        head.append(f" ({words.percent(every.answered, every.lookups - every.unfit)} of those that could be)")
    if every.answered:
        head.append(f", {words.sum_of_money(every.saved)} saved")
    unknown = f"what {every.unpriced:,} of them saved is not known" if every.unpriced else ""
    without = found.calls - every.lookups - found.shadows.total()
    beside = f"{without:,} calls had no cache" if without else ""
    fresh = f"{found.refreshes:,} stale answers were asked for anew" if found.refreshes else ""
    aside = ", ".join(filter(None, (unknown, beside, fresh)))
    return [head, Text(aside, style="dim")] if aside else [head]


def _outcomes(found: Lookups, looks: Looks) -> list[Text]:
    columns = (
        Column("cache", least=6),
        Column("why", least=6, elastic=True),
        Column("look-ups", right=True),
        Column("share", right=True),
        Column("saved", right=True, rank=1),
        Column("waiting saved", right=True, rank=2),
    )
    rows = []
    for outcome, reason in found.ranked():
        each = found.by_outcome[outcome, reason]
        rows.append(
            [
                Text(words.clean(outcome), style="cyan" if outcome in ANSWERED else ""),
                Text(words.clean(reason)),
                Text(f"{each.lookups:,}"),
                Text(words.percent(each.lookups, found.all.lookups)),
                *_savings(each),
            ]
        )
    return Table(columns, rows, looks).lines()


def _table(title: str, sums: Sequence[tuple[str, Sum]], looks: Looks) -> list[Text]:
    rows = [
        [
            Text(words.clean(name)),
            Text(f"{each.lookups:,}"),
            Text(words.percent(each.answered, each.lookups)),
            *_savings(each),
        ]
        for name, each in sums
    ]
    return Table((Column(title, elastic=True, least=8), *_COLUMNS), rows, looks).lines()


def _savings(each: Sum) -> tuple[Text, Text]:
    saved = words.sum_of_money(each.saved) if each.saved else ""
    return Text(saved), Text(words.duration(each.seconds) if each.seconds else "")
