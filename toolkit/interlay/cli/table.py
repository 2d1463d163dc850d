"""Tables of text: columns as wide as they need to be, as many as there is room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from interlay.cli.terminal import Looks

_GAP: Final = 2
_ASCII: Final = str.maketrans({
    "✓": "+", "✗": "x", "↻": "r", "⊘": "o", "█": "#", "▏": "|", "├": "|", "└": "`", "│": "|", "─": "-", "·": "-",
    "×": "x", "≤": "<", "…": "~",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """How one column is set."""

    title: str
    right: bool = False
    rank: int = 0
    """Columns of the highest rank are the first to go where there is no room; those of rank 1 only where
    cutting texts does not make enough of it."""
    least: int = 4
    """Width down to which its text may be cut."""
    elastic: bool = False
    """Whether it may be cut at all."""
    room: int = 0
    """Width to keep even if nothing in the table needs it, for rows still to come."""


def ascii_only(text: Text) -> Text:
    """The same with stand-ins for our signs, and question marks for what else ASCII lacks."""
    changed = text.copy()
    changed.plain = text.plain.translate(_ASCII).encode("ascii", "replace").decode()
    return changed


class Table:
    """Rows under a header. The widths are settled by the rows it is made with; later ones are cut to fit."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[Sequence[Text]], looks: Looks) -> None:
        self._columns, self._looks = columns, looks
        # A column that says nothing is no column, unless rows may yet come that say something.
        filled = [i for i, c in enumerate(columns) if c.room or any(row[i].plain for row in rows) or not rows]
        self._widths = {
            i: max([len(columns[i].title), columns[i].room, *(row[i].cell_len for row in rows)]) for i in filled
        }
        self._shrink()
        self._rows = rows

    def lines(self) -> list[Text]:
        """The header and the rows it was made with."""
        header = [Text(column.title, style="dim") for column in self._columns]
        return [self.line(header), *(self.line(row) for row in self._rows)]

    def line(self, row: Sequence[Text]) -> Text:
        """One row, set."""
        line, last = Text(), list(self._widths)[-1]
        for i, width in self._widths.items():
            cell, column = row[i].copy(), self._columns[i]
            if self._looks.fancy and cell.cell_len > width:
                cell.truncate(max(1, width), overflow="ellipsis" if width > 1 else "crop")
            pad = " " * (width - cell.cell_len)
            line.append(pad if column.right else "")
            line.append_text(cell)
            if i != last:
                line.append(" " * _GAP if column.right else pad + " " * _GAP)
        return line if self._looks.unicode else ascii_only(line)

    def _total(self) -> int:
        return sum(self._widths.values()) + _GAP * (len(self._widths) - 1)

    def _shrink(self) -> None:
        """Leave out columns, the highest rank first, until the rest fits or can be cut to; then cut the elastic
        ones."""
        self._leave_out(2, self._total)
        self._leave_out(1, lambda: self._total() - sum(map(self._give, self._widths)))
        while self._total() > self._looks.width:
            widest = max(self._widths, key=lambda i: (self._give(i) > 0, self._widths[i]))
            if not self._give(widest):
                break
            self._widths[widest] -= 1

    def _leave_out(self, rank: int, needed: Callable[[], int]) -> None:
        while needed() > self._looks.width:
            worst = max(self._widths, key=lambda i: self._columns[i].rank)
            if self._columns[worst].rank < rank:
                break
            del self._widths[worst]

    def _give(self, i: int) -> int:
        """By how much a column may be cut."""
        return max(0, self._widths[i] - self._columns[i].least) if self._columns[i].elastic else 0
