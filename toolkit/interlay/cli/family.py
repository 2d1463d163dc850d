"""A call with the calls that were made inside of it: by its layers, or by a function that is observed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from interlay.model.cost import Cost, total
from interlay.model.record import Record
from interlay.telemetry.calls import FoldedCall, fold

_DEEPEST: Final = 20
"""Levels below a call that are told of. A journal can be made to say that a call is inside of itself."""


@dataclass(frozen=True)
class Family:
    """A call, and inside of it others, in the order they began."""

    call: FoldedCall
    inside: list[Family] = field(default_factory=list)

    def everybody(self) -> Iterator[FoldedCall]:
        """The call, and all that are inside at any depth."""
        yield self.call
        for each in self.inside:
            yield from each.everybody()

    @cached_property
    def cost(self) -> Cost | None:
        """Of the call and all inside. What nobody knows is left out, and makes the sum partial; None where nothing
        was priced.
        """
        costs = [call.cost for call in self.everybody() if call.cost is not None]
        if len(costs) < 2:
            return costs[0] if costs else None
        known = [cost for cost in costs if cost.amount is not None]
        if not known:
            return costs[0]
        estimated = any(cost.estimated for cost in known)
        return Cost(
            amount=total(cost.amount for cost in known if cost.amount is not None),
            source="partial" if estimated or len(known) < len(costs) else "computed",
            estimated=estimated,
        )

    @property
    def unknown(self) -> int:
        """Calls whose cost nobody knows."""
        return sum(1 for call in self.everybody() if call.cost is not None and call.cost.amount is None)


def gather(call: FoldedCall, records: Iterable[Record], depth: int = _DEEPEST) -> Family:
    """The family of a call among records, of which others are passed over."""
    by_parent: dict[str, list[Record]] = {}
    for record in records:
        if record.parent_id is not None:
            by_parent.setdefault(record.parent_id, []).append(record)
    return _family(call, by_parent, depth)


def _family(call: FoldedCall, by_parent: dict[str, list[Record]], depth: int) -> Family:
    found = [record for own in call.records for record in by_parent.get(own.id, ())] if depth else []
    return Family(call, [_family(child, by_parent, depth - 1) for child in fold(found)])
