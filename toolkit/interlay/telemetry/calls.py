"""Calls: the records that share a ``call_id``, folded into what the program asked for."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Final

from interlay.model.cost import Cost, total
from interlay.model.record import Attempt, Record


class FoldedCall:
    """One call: its records, one for each run of the chain, oldest first. There is more than one where an SDK
    retried above the wire.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self.records: Final = sorted(records, key=lambda record: record.started_at)
        if not self.records:
            raise ValueError("a call has at least one record")

    @property
    def id(self) -> str:
        """The id that its records share."""
        return self.last.call_id

    @property
    def last(self) -> Record:
        """The record that tells how the call ended."""
        return self.records[-1]

    @property
    def failed(self) -> bool:
        """Whether it ended in an error. A reader who closed or left is no failure."""
        return self.last.end == "error"

    @property
    def started_at(self) -> float:
        """Seconds since the epoch."""
        return self.records[0].started_at

    @property
    def ended_at(self) -> float:
        """Seconds since the epoch."""
        return self.started_at + self.duration

    @property
    def duration(self) -> float:
        """Seconds from the first run's start to the last one's end, the waits between them included."""
        return max(0.0, self.last.started_at - self.started_at) + self.last.duration

    @property
    def sends(self) -> list[Attempt]:
        """Every request that left, in order."""
        return [attempt for record in self.records for attempt in record.attempts]

    @property
    def retries(self) -> int:
        """Requests beyond the first, whoever repeated them."""
        return max(0, len(self.sends) - 1)

    @property
    def input_tokens(self) -> int | None:
        """As reported, over all records; None where nothing was."""
        return _sum(r.usage.input_tokens for r in self.records if r.usage is not None)

    @property
    def output_tokens(self) -> int | None:
        """As reported, over all records; None where nothing was."""
        return _sum(r.usage.output_tokens for r in self.records if r.usage is not None)

    @cached_property
    def cost(self) -> Cost | None:
        """The records' costs as one. What is unknown of one is unknown of the sum; None if nothing was
        priced.
        """
        costs = [record.cost for record in self.records if record.cost is not None]
        telling = [cost for cost in costs if cost.lines or cost.amount or cost.source != "computed"] or costs[-1:]
        if len(telling) <= 1:
            return telling[0] if telling else None
        unknown = next((cost for cost in telling if cost.amount is None), None)
        if unknown is not None:
            return unknown
        sources = {cost.source for cost in telling}
        estimated = any(cost.estimated for cost in telling)
        return Cost(
            amount=total(cost.amount for cost in telling if cost.amount is not None),
            source=sources.pop() if len(sources) == 1 else "partial" if estimated else "computed",
            lines=tuple(line for cost in telling for line in cost.lines),
            estimated=estimated,
            tokenizer=next((cost.tokenizer for cost in telling if cost.tokenizer), None),
            flags=tuple(dict.fromkeys(flag for cost in telling for flag in cost.flags)),
        )


def fold(records: Iterable[Record]) -> list[FoldedCall]:
    """Calls in the order they began, each with the records that share its ``call_id``."""
    by_call: dict[str, list[Record]] = {}
    for record in records:
        by_call.setdefault(record.call_id, []).append(record)
    return sorted((FoldedCall(group) for group in by_call.values()), key=lambda call: call.started_at)


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
