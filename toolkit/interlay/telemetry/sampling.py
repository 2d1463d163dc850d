"""Which traces are kept: decided at the end, when it is known whether there is something to see."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Final

from interlay.model.record import Record
from interlay.telemetry import facts as known
from interlay.telemetry.settings import Sampling
from interlay.telemetry.spans import trace_id

_LAST: Final = 200
"""Durations by which a model's slow calls are told."""
_ENOUGH: Final = 20
_MODELS: Final = 500
_SCALE: Final = 1 << 56


class Sampler:
    """Decides for each call, by all of its records that are there. Asked by one thread at a time."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._durations: dict[tuple[str | None, str | None], _Durations] = {}

    def keep(self, call: list[Record]) -> float | None:
        """None drops the call. Else by which share of its like it was chosen: 1 for what is always kept."""
        if any(record.trace is not None and not record.trace.flags & 1 for record in call):
            return None  # whoever began the trace has decided
        ratio = self._sampling.ratio
        if ratio >= 1:
            return 1.0
        # Not `any`: each duration counts for those to come.
        remarkable = [self._is_remarkable(record) for record in call]
        if True in remarkable:
            return 1.0
        record = call[0]
        trace = bytes.fromhex(record.trace.trace_id) if record.trace is not None else trace_id(record.call_id)
        return ratio if int.from_bytes(trace[-7:], "big") < ratio * _SCALE else None

    def _is_remarkable(self, record: Record) -> bool:
        slow = self._is_slow(record)
        if slow or record.end == "error" or record.id != record.call_id or len(record.attempts) > 1:
            return True
        cost, dear = record.cost, self._sampling.dear
        if dear is not None and cost is not None and cost.amount is not None and cost.amount > dear:
            return True
        return known.outcome(record) not in ("ok", "cache_hit") or any(v.action == "block" for v in record.verdicts)

    def _is_slow(self, record: Record) -> bool:
        if not self._sampling.slow:
            return False
        key = (record.provider, record.model or record.target)
        durations = self._durations.get(key)
        if durations is None:
            if len(self._durations) >= _MODELS:
                self._durations.clear()
            durations = self._durations[key] = _Durations()
        return durations.add(record.duration)


class _Durations:
    """The last so many, in order."""

    def __init__(self) -> None:
        self._arrived: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, duration: float) -> bool:
        """Whether it is longer than 95 in 100 of those before it."""
        ordered = self._sorted
        count = len(ordered)
        slow = count >= _ENOUGH and duration > ordered[int(count * 0.95)]
        insort(ordered, duration)
        self._arrived.append(duration)
        if count >= _LAST:
            del ordered[bisect_left(ordered, self._arrived.popleft())]
        return slow
