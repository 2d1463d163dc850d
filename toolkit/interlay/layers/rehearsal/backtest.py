"""Recorded calls through the decisions of another chain."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from heapq import heappop, heappush
from typing import Final

import msgspec

from interlay.layers.rehearsal.parts import Decision, Rehearsable, Rehearsal
from interlay.layers.rehearsal.past import NOTHING, Past, Reader
from interlay.model.cost import EXACT
from interlay.model.record import Record

LONGEST: Final = 900.0
"""Seconds. Records are written when calls end; one that took longer than this is seen out of its turn."""
_REMEMBERED: Final = 200_000
"""Calls of which is known what became of them, for those that are repeated, or made inside of them."""
_NO_CALLS: Final = frozenset(("tool", "agent", "workflow"))
_STEPS: Final = 400

Outcome = tuple[str, str]
"""What a layer did, and why."""


class Side(msgspec.Struct, kw_only=True):
    """What became of calls: at the time, or as it would have."""

    calls: int = 0
    answered: int = 0
    """By a layer."""
    refused: int = 0
    sent: int = 0
    spent: Decimal = NOTHING
    """US dollars, as far as they are known."""
    saved: Decimal = NOTHING
    """US dollars that answers of layers did not cost, as far as they are known."""
    unpriced: int = 0
    """Calls of whose cost, or of whose saving, nobody knows."""
    seconds_saved: float = 0.0
    """That providers would have taken for what they were not asked, as far as they are known."""
    outcomes: Counter[Outcome] = msgspec.field(default_factory=Counter)
    """How often each outcome came, of the layers that had one."""

    def send(self, price: Decimal | None) -> None:
        """One more call that was sent."""
        self.sent += 1
        self.spend(price)

    def spend(self, price: Decimal | None) -> None:
        """Money, of a call or of what a layer sent by itself."""
        if price is None:
            self.unpriced += 1
        else:
            self.spent = EXACT.add(self.spent, price)

    def answer(self, past: Past) -> None:
        """One more call that was not sent."""
        self.answered += 1
        if past.price is None:
            self.unpriced += 1
        else:
            self.saved = EXACT.add(self.saved, past.price)
        self.seconds_saved += past.seconds or 0.0


class Step(msgspec.Struct):
    """A stretch of time."""

    at: float
    """When it begins, seconds since the epoch."""
    calls: int = 0
    then_answered: int = 0
    would_answered: int = 0
    then_spent: Decimal = NOTHING
    would_spent: Decimal = NOTHING


class Timeline:
    """Figures by time: steps of equal length, which is doubled where there come to be too many."""

    def __init__(self) -> None:
        self.width = 60.0
        """Seconds of one step."""
        self._steps: dict[int, Step] = {}

    def at(self, moment: float) -> Step:
        """The step that a moment is in."""
        number = int(moment // self.width)
        step = self._steps.get(number)
        if step is None:
            if len(self._steps) >= _STEPS:
                self._widen()
                return self.at(moment)
            step = self._steps[number] = Step(number * self.width)
        return step

    def steps(self) -> list[Step]:
        """Those in which there was a call, in order."""
        return [self._steps[number] for number in sorted(self._steps)]

    def _widen(self) -> None:
        before, self._steps = self._steps, {}
        self.width *= 2
        for step in before.values():
            wider = self._steps.setdefault(number := int(step.at // self.width), Step(number * self.width))
            wider.calls += step.calls
            wider.then_answered += step.then_answered
            wider.would_answered += step.would_answered
            wider.then_spent = EXACT.add(wider.then_spent, step.then_spent)
            wider.would_spent = EXACT.add(wider.would_spent, step.would_spent)


class Backtest:
    """Leads records, in the order in which they were written, through the layers of a chain, and counts what they
    would have done beside what was done.

    A record that another layer made for itself, such as the refresh of a stale answer, is no call of the program's:
    it counts for what was spent, and nobody decides about it. Where an answer would have ended a call, the runs by
    which an SDK tried it again would not have been.
    """

    def __init__(self, layers: Iterable[object]) -> None:
        layers = list(layers)
        self.rehearsed: list[str] = [type(layer).__name__ for layer in layers if isinstance(layer, Rehearsable)]
        """Names of the layers that can be rehearsed."""
        self.unrehearsed: list[str] = [type(layer).__name__ for layer in layers if not isinstance(layer, Rehearsable)]
        """Names of those that cannot; they let all pass."""
        self.then, self.would = Side(), Side()
        self.timeline = Timeline()
        self.keys: Counter[str] = Counter()
        """How many calls have a key by the record (``record``), by their messages (``contents``), or by neither
        (``none``), though they have a question that could be asked again."""
        self.shadows: Counter[Outcome] = Counter()
        """What layers in shadow mode would have said."""
        self._rehearsals: Sequence[Rehearsal] = [layer.rehearse() for layer in layers if isinstance(layer, Rehearsable)]
        self._reader = Reader()
        self._waiting: list[tuple[float, int, Past]] = []
        self._count = 0
        self._made: OrderedDict[str, bool] = OrderedDict()
        """Calls by the ids of their records, and whether they would have been sent."""
        self._over: OrderedDict[str, bool] = OrderedDict()
        """Ids of calls that would have ended before an SDK tried them again."""

    def feed(self, record: Record) -> None:
        """The next record of a journal."""
        if record.operation in _NO_CALLS:
            return
        past = self._reader.past(record)
        self._count += 1
        heappush(self._waiting, (past.at, self._count, past))
        while self._waiting[0][0] <= record.ended_at - LONGEST:
            self._next()

    def finish(self) -> None:
        """There are no more records."""
        while self._waiting:
            self._next()

    def _next(self) -> None:
        _, _, past = heappop(self._waiting)
        if past.is_refresh or (past.parent_id is not None and past.parent_id in self._made):
            self._inner(past)
        else:
            self._see(past)

    def _inner(self, past: Past) -> None:
        """What a layer sent by itself during another call."""
        step = self.timeline.at(past.at)
        self._spent_then(past, step)
        sent = not past.is_refresh and self._made[past.parent_id or ""]
        _put(self._made, past.id, sent=sent)
        if sent:
            self.would.spend(past.spent)
            step.would_spent = EXACT.add(step.would_spent, past.spent or NOTHING)

    def _spent_then(self, past: Past, step: Step) -> None:
        self.then.spend(past.spent)
        step.then_spent = EXACT.add(step.then_spent, past.spent or NOTHING)

    def _see(self, past: Past) -> None:
        step = self.timeline.at(past.at)
        step.calls += 1
        self._count_key(past)
        self._count_then(past, step)
        if past.call_id in self._over:
            return
        self.would.calls += 1
        decision = self._decide(past)
        _put(self._made, past.id, sent=decision is None)
        if decision is None:
            self.would.send(past.price)
            step.would_spent = EXACT.add(step.would_spent, past.price or NOTHING)
            return
        _put(self._over, past.call_id, sent=False)
        if decision.does == "refuse":
            self.would.refused += 1
        else:
            self.would.answer(past)
            step.would_answered += 1

    def _decide(self, past: Past) -> Decision | None:
        """The decision by which a call would not have been sent; None where it would."""
        seen: list[Rehearsal] = []
        for rehearsal in self._rehearsals:
            decision = rehearsal.see(past)
            seen.append(rehearsal)
            if decision is None:
                continue
            outcome = (decision.outcome, decision.reason)
            if decision.shadow:
                self.shadows[outcome] += 1
                continue
            self.would.outcomes[outcome] += 1
            if decision.spends is None or decision.spends:
                self.would.spend(decision.spends)
                step = self.timeline.at(past.at)
                step.would_spent = EXACT.add(step.would_spent, decision.spends or NOTHING)
            if decision.does != "pass":
                return decision
        for rehearsal in reversed(seen):
            rehearsal.sent(past)
        return None

    def _count_key(self, past: Past) -> None:
        if past.keyed_by is not None:
            self.keys[past.keyed_by] += 1
        elif past.unfit is None:
            self.keys["none"] += 1

    def _count_then(self, past: Past, step: Step) -> None:
        then = self.then
        then.calls += 1
        if past.did is not None and not past.did.shadow:
            then.outcomes[past.did.outcome, past.did.reason] += 1
        if past.answered:
            then.answer(past)
            step.then_answered += 1
            if past.spent:  # of what failed before a stale answer was given
                self._spent_then(past, step)
        elif past.only_if_cached:
            then.refused += 1
        else:
            then.sent += 1
            self._spent_then(past, step)


def _put(known: OrderedDict[str, bool], id: str, *, sent: bool) -> None:
    known[id] = sent
    if len(known) > _REMEMBERED:
        known.popitem(last=False)
