"""The vendored snapshot: a file a provider in ``prices/``, read when that provider's first call is priced.

A file's first line names the provider, where the facts come from and when they were checked, and the
providers whose prices hold for models it does not list itself. Then come the models, each with the logic that
tells its names, and then the rows. ``scripts/prices.py`` writes them; ``prices/additions.jsonl`` is kept by
hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from interlay.cost.rows import Row, read_row_file

FOLDER: Final = Path(__file__).with_name("prices")

_COMPACT_DATE: Final = re.compile(r"-(20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=[-:]|$)")


class _Line(Row, frozen=True, kw_only=True):
    """Any line of a file: its head, a model, or a row."""

    unit: str = ""
    price: Decimal = Decimal(0)
    match: dict[str, Any] | None = None
    others: tuple[str, ...] = ()


_LINES: Final = msgspec.json.Decoder(_Line)


class Snapshot:
    """One provider's models and price rows."""

    def __init__(self, lines: list[_Line]) -> None:
        head = lines[0]
        self.others = head.others
        self._checked = head.checked
        self._source = head.source
        self._models: list[str] = []
        self._rows: dict[str, list[Row]] = {}
        self._equal: dict[str, int] = {}
        self._logic: list[tuple[int, Mapping[str, Any]]] = []
        for line in lines[1:]:
            if line.match is None:
                self._rows.setdefault(line.model, []).append(line)
            else:
                self._add_model(line.model, line.match)

    def _add_model(self, id: str, match: Mapping[str, Any]) -> None:
        place = len(self._models)
        self._models.append(id)
        for clause in match.get("or", [match]):
            if "equals" in clause:
                self._equal.setdefault(clause["equals"].lower(), place)
            else:
                self._logic.append((place, clause))

    def find(self, name: str) -> str | None:
        """The id of the first model that goes by a name, whatever its case and the form of its date."""
        name = name.lower()
        found = self._find(name)
        if found is None:
            dashed = _COMPACT_DATE.sub(r"-\1-\2-\3", name)
            found = self._find(dashed) if dashed != name else None
        return found

    def _find(self, name: str) -> str | None:
        exact = self._equal.get(name)
        for place, clause in self._logic:
            if exact is not None and place > exact:
                break
            if matches(clause, name):
                return self._models[place]
        return None if exact is None else self._models[exact]

    def rows(self, id: str) -> list[Row]:
        """A model's rows, each with its source and the day of the snapshot."""
        rows = self._rows.get(id, [])
        return [msgspec.structs.replace(row, source=self._source, checked=self._checked) for row in rows]


def matches(clause: Mapping[str, Any], name: str) -> bool:
    """Whether a name in lower case is one that the logic of a model means."""
    ((kind, value),) = clause.items()
    match kind:
        case "equals":
            return bool(name == value.lower())
        case "starts_with":
            return name.startswith(value.lower())
        case "ends_with":
            return name.endswith(value.lower())
        case "contains":
            return bool(value.lower() in name)
        case "regex":
            return re.search(value, name) is not None
        case "or":
            return any(matches(each, name) for each in value)
        case "and":
            return all(matches(each, name) for each in value)
    raise ValueError(f"unknown clause {kind!r} in the price snapshot")


@cache
def snapshot(provider: str) -> Snapshot | None:
    """A provider's part of the snapshot, or None. ``provider`` is an id of the snapshot's own."""
    if provider not in _files():
        return None
    return Snapshot(_LINES.decode_lines((FOLDER / f"{provider}.jsonl").read_bytes()))


@cache
def _files() -> frozenset[str]:
    return frozenset(path.stem for path in FOLDER.glob("*.jsonl")) - {"additions"}


@cache
def additions() -> list[Row]:
    """The rows kept by hand: what the snapshot's source does not have."""
    return read_row_file(FOLDER / "additions.jsonl")
