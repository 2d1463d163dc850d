"""Metrics from records: each record is measured once, whatever becomes of its span.

A caller pays for putting a record on a queue. It is measured later: on the runner once some have come together, or
when somebody asks for figures.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from time import time_ns
from typing import TYPE_CHECKING, Final, Protocol

from interlay.chain.forks import in_children
from interlay.model.record import Attempt, Record
from interlay.model.usage import Usage
from interlay.telemetry import facts as known
from interlay.telemetry import instruments as ins
from interlay.telemetry.instruments import Instrument
from interlay.telemetry.otlp import Metric, Point
from interlay.telemetry.spans import exchanges
from interlay.telemetry.vocabulary import DEFAULT, PROVIDERS, UNKNOWN_PROVIDER, VocabularyName

if TYPE_CHECKING:
    from interlay.chain.call import Call

Labels = tuple[str | int | None, ...]
"""The values of an instrument's labels, in their order."""

SERIES: Final = 2_000
"""Series one metric may have. What comes later is counted in one series that says so."""
_OVERFLOW: Final = {"otel.metric.overflow": True}
_TENANTS: Final = 100
"""Tenants that are told apart; the rest are ``other``."""
_NO_GUARDS: Final = frozenset(("retry", "timeout"))
"""Layers whose verdicts are told by attempts and ends."""
_BATCH: Final = 256
_FULL: Final = 8_192
"""Records that wait when the runner stands still, before a caller measures them itself."""


class Sink(Protocol):
    """Takes measurements."""

    def add(self, instrument: Instrument, labels: Labels, value: float) -> None:
        """Add to a counter, put into a histogram, set a gauge."""
        ...

    def add_counts(self, instrument: Instrument, labels: Labels, counts: Sequence[int], total: float) -> None:
        """Put many values into a histogram at once, counted by its bounds already."""
        ...


class _Series:
    __slots__ = ("attributes", "counts", "total")

    def __init__(self, instrument: Instrument, attributes: Mapping[str, str | bool | int | float]) -> None:
        self.attributes = attributes
        self.counts = [0] * (len(instrument.bounds) + 1) if instrument.bounds else []
        self.total = 0.0


class Tally:
    """A sink that keeps cumulative figures itself. One thread at a time may add or read."""

    def __init__(self) -> None:
        self.began_ns = time_ns()
        """Since when figures are counted."""
        self._series: dict[Instrument, dict[Labels, _Series]] = {}

    def add(self, instrument: Instrument, labels: Labels, value: float) -> None:
        """See ``Sink``."""
        series = self._of(instrument, labels)
        if instrument.bounds:
            series.counts[bisect_left(instrument.bounds, value)] += 1
            series.total += value
        elif instrument.kind == "gauge":
            series.total = value
        else:
            series.total += value

    def add_counts(self, instrument: Instrument, labels: Labels, counts: Sequence[int], total: float) -> None:
        """See ``Sink``."""
        series = self._of(instrument, labels)
        for place, count in enumerate(counts):
            series.counts[place] += count
        series.total += total

    def metrics(self) -> list[Metric]:
        """Everything counted so far."""
        return [
            Metric(
                instrument.name,
                instrument.unit,
                instrument.description,
                instrument.kind,
                [Point(series.attributes, series.total, tuple(series.counts), series.total) for series in of.values()],
                instrument.bounds,
            )
            for instrument, of in self._series.items()
        ]

    def _of(self, instrument: Instrument, labels: Labels) -> _Series:
        of = self._series.get(instrument)
        if of is None:
            of = self._series[instrument] = {}
        series = of.get(labels)
        if series is None:
            attributes: Mapping[str, str | bool | int | float] = {
                name: value for name, value in zip(instrument.labels, labels, strict=True) if value is not None
            }
            if len(of) >= SERIES:
                labels, attributes = (), _OVERFLOW
                if (series := of.get(labels)) is not None:
                    return series
            series = of[labels] = _Series(instrument, attributes)
        return series


class Metrics:
    """An observer that measures every record of a process into a sink.

    ``later`` queues work on the runner and says whether it could.
    """

    def __init__(
        self, sink: Sink, later: Callable[[Callable[[], None]], bool], vocabulary: VocabularyName = DEFAULT
    ) -> None:
        self.sink = sink
        self._later = later
        self._conventional = ins.conventional(vocabulary)
        self._tenants: set[str] = set()
        self._scheduled = False
        self._inflight = 0
        self._reset()
        in_children(self._in_child)

    def on_start(self, call: Call) -> None:
        """A call enters the chain."""
        with self._gate:
            self._inflight += 1

    def on_end(self, record: Record) -> None:
        """A record was sealed. Those of functions are no calls."""
        if record.operation in known.FUNCTIONS:
            return
        with self._gate:
            self._inflight -= 1
        waiting = self._waiting
        waiting.append(record)
        count = len(waiting)
        if count >= _BATCH:
            if not self._scheduled:
                self._scheduled = True
                self._scheduled = self._later(self.fold)
            if count >= _FULL:
                self.fold()

    def fold(self) -> None:
        """Measure what waits."""
        with self._lock:
            self._scheduled = False
            waiting = self._waiting
            while waiting:
                self._measure(waiting.popleft())
            self.sink.add(ins.INFLIGHT, (), max(0, self._inflight))

    def figures(self) -> list[Metric]:
        """All figures up to now. Only for a ``Tally``."""
        self.fold()
        assert isinstance(self.sink, Tally)
        with self._lock:
            return self.sink.metrics()

    def note(self, instrument: Instrument, labels: Labels, value: float) -> None:
        """Count something that is not in records: what became of them on their way."""
        with self._lock:
            self.sink.add(instrument, labels, value)

    def _reset(self) -> None:
        self._waiting: deque[Record] = deque()
        self._lock = threading.Lock()
        self._gate = threading.RLock()  # a signal's handler may make calls
        self._scheduled = False
        self._inflight = 0

    def _in_child(self) -> None:
        """After a fork: what was counted, and what waits, is the parent's."""
        self._reset()
        if isinstance(self.sink, Tally):
            self.sink = Tally()

    def _measure(self, record: Record) -> None:
        add = self.sink.add
        outcome = known.outcome(record)
        error = record.error.type if record.error is not None and record.end == "error" else None
        cost, cache = record.cost, record.cache
        source = cost.source if cost is not None else None
        found = cache.outcome if cache is not None else None
        provider = _provider(record.provider) if record.operation != "http" else None
        add(ins.CALLS, (outcome, record.end, provider, record.model, found, source, error), 1)
        add(ins.CALL_DURATION, (outcome, record.model), record.duration)
        add(ins.OVERHEAD, (), record.overhead)
        if cache is not None and not known.is_refresh(record):
            add(ins.CACHE, (found, known.reason_of(cache), "true" if cache.shadow else None), 1)
            if cache.started_at is not None:
                add(ins.CACHE_DURATION, (found,), cache.seconds)
        if cost is not None and cost.avoided is not None:
            add(ins.SAVED, (record.model, self._tenant(record)), float(cost.avoided))
        for verdict in record.verdicts:
            if verdict.layer in _NO_GUARDS:
                continue
            add(ins.CHECKS, (verdict.layer, verdict.action, "true" if verdict.shadow else None), 1)
            if verdict.seconds:
                add(ins.CHECK_DURATION, (verdict.layer,), verdict.seconds)
        if record.operation != "http":
            self._measure_exchanges(record)

    def _measure_exchanges(self, record: Record) -> None:
        before: Attempt | None = None
        for sends in exchanges(record):
            last = sends[-1]
            if before is not None and before.target != last.target:
                reason = before.error.type if before.error is not None else None
                labels = (_target(before), _target(last), reason)
                self.sink.add(ins.FALLBACKS, labels, 1)
            for failed in sends[:-1]:
                reason = failed.error.type if failed.error is not None else None
                self.sink.add(ins.RETRIES, (_provider(failed.provider), reason), 1)
            self._measure_exchange(record, sends)
            before = last

    def _measure_exchange(self, record: Record, sends: Sequence[Attempt]) -> None:
        names, add = self._conventional, self.sink.add
        first, last = sends[0], sends[-1]
        served = last is record.attempts[-1]
        provider, model = _provider(last.provider), last.model or record.model
        server = record.server
        where = (server.address, server.port) if server is not None else (None, None)
        labels: Labels = (record.operation, provider, model, record.served_model if served else None, *where)
        error = known.failure(record, last)
        duration = names.embeddings_duration if record.operation == "embeddings" else names.duration
        seconds = max(0.0, last.started_at + last.seconds - first.started_at)
        add(duration, (*labels, error.type if error is not None else None), seconds)
        for send in sends:
            if send.usage is not None:
                self._measure_usage(labels, send.usage)
            cost = send.cost
            if cost is not None and cost.amount:
                add(ins.COST, (provider, model, cost.source, self._tenant(record)), float(cost.amount))
        if served and record.streamed:
            if record.time_to_first_event is not None:
                add(names.first_chunk, labels, record.time_to_first_event)
            chunks = record.chunks
            if chunks is not None and chunks.buckets:
                # The gaps after the first chunk together are the time after it.
                gaps = max(0.0, record.duration - (record.time_to_first_event or 0.0))
                self.sink.add_counts(names.per_chunk, labels, chunks.buckets, gaps)

    def _measure_usage(self, labels: Labels, usage: Usage) -> None:
        names, add = self._conventional, self.sink.add
        prompt, completion = usage.input_tokens, usage.output_tokens
        if names.token_usage is not None:
            if prompt is not None:
                add(names.token_usage, (*labels, "input"), prompt)
            if completion is not None:
                add(names.token_usage, (*labels, "output"), completion)
        else:
            assert names.input_tokens is not None
            assert names.output_tokens is not None
            assert names.usage is not None
            if prompt is not None:
                add(names.input_tokens, labels, prompt)
            if completion is not None:
                add(names.output_tokens, labels, completion)
            for part, instrument in names.usage.items():
                if count := getattr(usage, part):
                    add(instrument, (*labels, None), count)
        who = labels[1:3]
        read, written, thought = usage.cache_read_tokens, usage.cache_write_tokens, usage.reasoning_tokens
        kinds = (
            ("input", max(0, (prompt or 0) - read - written)),
            ("cache_read", read),
            ("cache_write", written),
            ("output", max(0, (completion or 0) - thought)),
            ("reasoning", thought),
        )
        for kind, count in kinds:
            if count:
                add(ins.TOKENS_USED, (*who, kind), count)

    def _tenant(self, record: Record) -> str | None:
        tenant = record.identity.tenant
        if tenant is None or tenant in self._tenants:
            return tenant
        if len(self._tenants) >= _TENANTS:
            return "other"
        self._tenants.add(tenant)
        return tenant


def _provider(provider: str | None) -> str:
    return UNKNOWN_PROVIDER if provider is None else PROVIDERS.get(provider, provider)


def _target(send: Attempt) -> str:
    return f"{_provider(send.provider)}/{send.model}" if send.model else _provider(send.provider)
