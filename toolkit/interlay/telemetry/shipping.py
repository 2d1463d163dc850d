"""Shipping records to a destination: read, tell, send, and remember how far it got.

A shipper has a thread of its own, for a backend may take ten seconds to answer, and the runner is for short work. It
moves a cursor in the journal on only when the backend has said that it has what was sent; so a backend that is down,
a process that is killed, an exit that cannot wait cost nothing but time, within the journal's bounds. Without a
journal the last thousand records wait in memory.
"""

from __future__ import annotations

import atexit
import logging
import random
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, time
from typing import Final, NamedTuple

import msgspec

from interlay.chain.forks import in_children
from interlay.model.record import Record
from interlay.telemetry import instruments as ins
from interlay.telemetry import otlp
from interlay.telemetry.answers import Answer
from interlay.telemetry.cursors import CursorBusy
from interlay.telemetry.events import events_of
from interlay.telemetry.metrics import Labels
from interlay.telemetry.origin import Origin, resource_of
from interlay.telemetry.sampling import Sampler
from interlay.telemetry.sending import Signal, Transport
from interlay.telemetry.settings import Destination, Schedule
from interlay.telemetry.sources import Source
from interlay.telemetry.spans import Told, spans_of
from interlay.telemetry.vocabulary import VOCABULARIES

logger = logging.getLogger("interlay.shipping")

MOST_BYTES: Final = 2 * 1024 * 1024
"""Of one request: half of what the strictest receivers take."""
_LONGEST_ASKED: Final = 600.0
"""Seconds that a backend may ask to be left alone."""
_TAKE_OVER: Final = 5.0
"""Seconds after which a cursor that another process has is asked for again."""
_POISON: Final = 5
"""How often one batch is answered by a 500 before a record in it is taken to be the cause."""
_EXIT_SECONDS: Final = 3.0
_NOTHING_TO_SAY: Final = Answer("taken")


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a destination's records so far."""

    destination: str
    delivered: int
    """Records that the backend has said it has, or that were not chosen to be sent."""
    pending: int | None
    """Records that wait. None: another process ships them, and knows."""
    dropped: int
    """Records that will not arrive: refused by the backend, or gone before they could be sent."""
    trouble: str | None = None
    """Why they wait, if they do."""


class _Item(NamedTuple):
    """The records of one call, encoded: they are sent together."""

    records: int
    resource: bytes
    """Of the process that made them."""
    bodies: dict[Signal, bytes]


class _Part:
    """What goes into one request of each signal."""

    __slots__ = ("items", "signals")

    def __init__(self, items: list[_Item], signals: list[Signal]) -> None:
        self.items = items
        self.signals = signals
        """Those that still have to be sent."""

    @property
    def records(self) -> int:
        return sum(item.records for item in self.items)

    def request(self, signal: Signal, scope: bytes) -> bytes:
        """Each process's under its own resource: requests that follow each other are one. Empty where there is nothing
        to say."""
        of: dict[bytes, list[bytes]] = {}
        for item in self.items:
            if body := item.bodies[signal]:
                of.setdefault(item.resource, []).append(body)
        return b"".join([otlp.request(bodies, resource, scope) for resource, bodies in of.items()])


class Shipper:
    """Brings records to one destination.

    Args:
        destination: where, and how it is told.
        transport: what sends.
        open_source: opens where records wait; raises ``CursorBusy`` while another process has it.
        origin: whose the records are that do not say so.
        scope: ours, encoded.
        schedule: how often, and how much at once.
        figures: metrics to send now and then, if any: the encoded request.
        note: where the shipper counts what it does.
    """

    def __init__(
        self,
        destination: Destination,
        transport: Transport,
        open_source: Callable[[], Source],
        *,
        origin: Origin,
        scope: bytes,
        schedule: Schedule,
        figures: Callable[[], bytes] | None = None,
        note: Callable[[ins.Instrument, Labels, float], None] | None = None,
    ) -> None:
        self.destination = destination
        self._transport = transport
        self._open_source = open_source
        self._origin, self._scope = origin, scope
        self._schedule = schedule
        self._figures = figures if "metrics" in destination.endpoints else None
        self._note = note
        self._signals: list[Signal] = [signal for signal in destination.endpoints if signal != "metrics"]
        limit, mode = destination.content_limit, destination.contents
        self._told = Told(VOCABULARIES[destination.vocabulary], limit if mode in ("span", "both") else 0)
        self._in_events = limit if mode in ("event", "both") else 0
        self._thread: threading.Thread | None = None
        self._source: Source | None = None
        self._reset()
        in_children(self._in_child)

    def start(self) -> None:
        """Begin, on a thread of its own. What waits from earlier runs is shipped first."""
        if self._signals:
            # Now and not on the thread: what is appended next must be behind the cursor.
            with suppress(CursorBusy, OSError):
                self._source = self._open_source()
        self._thread = threading.Thread(target=self._loop, name=f"interlay-{self.destination.name}", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def flush(self, timeout: float) -> Delivery:
        """Try to deliver everything that waits now, for at most ``timeout`` seconds; say what came of it."""
        deadline = monotonic() + timeout
        with self._changed:
            if self._thread is not None and self._thread.is_alive():
                self._wanted += 1
                wanted = self._wanted
                self._changed.notify_all()
                while self._served < wanted and (left := deadline - monotonic()) > 0:
                    self._changed.wait(left)
        return self.state()

    def state(self) -> Delivery:
        """What became of the records so far."""
        source = self._source
        unread = lost = 0
        with self._fetching:
            in_hand = sum(part.records for part in list(self._parts))
            if source is not None:
                lost = source.lost
                with suppress(OSError):
                    unread = source.unread()
        return Delivery(
            destination=self.destination.name,
            delivered=self._delivered,
            pending=None if source is None and self._signals else in_hand + unread,
            dropped=self._dropped + lost,
            trouble=self._trouble,
        )

    def close(self, timeout: float = _EXIT_SECONDS) -> None:
        """Deliver what can be within ``timeout`` seconds, and stop. The rest stays in the journal."""
        atexit.unregister(self.close)
        thread = self._thread
        if thread is None:
            return
        deadline = monotonic() + timeout
        self.flush(timeout)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        thread.join(max(0.1, deadline - monotonic()))
        self._thread = None

    def _reset(self) -> None:
        self._changed = threading.Condition()
        self._wanted = self._served = 0
        self._closing = False
        self._parts: deque[_Part] = deque()
        self._fetching = threading.RLock()
        """Held while records that were read are not in hand yet: who counts what waits would miss them."""
        self._random = random.Random()
        """Its own: a thread of ours takes nothing from the global one, which a program may have seeded."""
        self._tries = 0
        self._not_before = 0.0
        """Until when the backend has asked to be left alone."""
        self._oldest = 0.0
        self._delivered = self._dropped = self._lost = 0
        self._trouble: str | None = None
        self._has_told_of_refusal = False
        self._sampler = Sampler(self.destination.sampling)

    def _in_child(self) -> None:
        """After a fork: connection, cursor and what is in hand are the parent's. The child waits for its turn."""
        source, self._source = self._source, None
        if source is not None:
            source.close()
        self._transport.abandon()
        started, self._thread = self._thread is not None, None
        self._reset()
        if started:
            self.start()

    # What follows runs on the thread.

    def _loop(self) -> None:
        every = self._schedule.metrics_every
        figures_at = monotonic() + every
        while not self._closing:
            wanted = self._wanted
            pause = self._work() if self._signals else every
            if self._figures is not None and (monotonic() >= figures_at or wanted > self._served):
                self._transport.send("metrics", self._figures())
                figures_at = monotonic() + every
            with self._changed:
                self._served = max(self._served, wanted)
                self._changed.notify_all()
                if not self._closing and self._wanted <= self._served:
                    self._changed.wait(pause if self._figures is None else min(pause, figures_at - monotonic()))
        if self._source is not None:
            self._source.close()
        self._transport.close()

    def _work(self) -> float:
        """Ship what waits. Returns the seconds until there is a reason to try again."""
        try:
            source = self._source
            if source is None:
                source = self._source = self._open_source()
            while not self._closing:
                with self._fetching:
                    fetched = bool(self._parts) or self._fetch(source)
                if not fetched:
                    self._report(source)
                    return self._schedule.every
                pause = self._ship()
                if pause is not None:
                    self._report(source)
                    return pause
                source.commit()
        except CursorBusy:
            self._trouble = "another process ships the records of this journal"
            return _TAKE_OVER
        except OSError as error:
            self._complain("the journal cannot be used", error.strerror or type(error).__name__)
            return _TAKE_OVER
        except Exception:
            # A fault of ours must neither end the thread nor hold up the records behind.
            logger.exception("records could not be told to %s", self.destination.name)
            self._drop(sum(part.records for part in self._parts), "fault")
            self._parts.clear()
        return self._schedule.every

    def _fetch(self, source: Source) -> bool:
        """Take the next records in hand, encoded. False when there are none."""
        records = source.read(self._schedule.batch)
        if not records:
            return False
        self._oldest = records[0].ended_at
        calls: dict[str, list[Record]] = {}
        for record in records:
            calls.setdefault(record.call_id, []).append(record)
        part, size = _Part([], []), 0
        for call in calls.values():
            ratio = self._sampler.keep(call)
            if ratio is None:
                self._deliver(len(call))
                continue
            item = self._encode(call, ratio)
            length = max(map(len, item.bodies.values()), default=0)
            if part.items and size + length > MOST_BYTES:
                self._parts.append(part)
                part, size = _Part([], []), 0
            part.items.append(item)
            part.signals = self._signals.copy()
            size += length
        if part.items:
            self._parts.append(part)
        self._tries = 0
        return True

    def _encode(self, call: list[Record], ratio: float) -> _Item:
        bodies: dict[Signal, bytes] = {}
        spans = [spans_of(record, self._told, ratio) for record in call]
        if "traces" in self._signals:
            bodies["traces"] = b"".join([otlp.spans_item(each) for each in spans])
        if "logs" in self._signals:
            told = self._told.vocabulary
            bodies["logs"] = b"".join(
                [
                    otlp.events_item(events_of(record, each, told, self._in_events))
                    for record, each in zip(call, spans, strict=True)
                ]
            )
        return _Item(len(call), resource_of(call[0], self._origin), bodies)

    def _ship(self) -> float | None:
        """Send what is in hand. None when nothing of it is left to do; else the seconds to wait."""
        left = self._not_before - monotonic()
        if left > 0:
            return left
        while self._parts:
            part = self._parts[0]
            while part.signals:
                signal = part.signals[0]
                answer = _NOTHING_TO_SAY
                if body := part.request(signal, self._scope):
                    answer = self._transport.send(signal, body)
                if answer.kind == "refused" or (answer.reason == "http_500" and self._tries >= _POISON):
                    self._refused(answer)
                    break
                if answer.kind != "taken":
                    return self._wait(answer)
                if answer.rejected:
                    self._partly(signal, part, answer)
                part.signals.pop(0)
            else:
                self._parts.popleft()
                self._deliver(part.records)
                self._tries = 0
                self._recover()
        return None

    def _wait(self, answer: Answer) -> float:
        self._tries += 1
        self._count(ins.FAILURES, 1, answer.reason)
        self._complain(answer.reason, answer.message)
        first, longest = self._schedule.first_pause, self._schedule.longest_pause
        if answer.kind == "wrong":
            return longest
        pause = min(longest, first * 2.0 ** min(self._tries - 1, 10)) * self._random.uniform(0.75, 1.25)
        if answer.retry_after is not None:
            pause = max(pause, min(answer.retry_after, _LONGEST_ASKED))
            self._not_before = monotonic() + pause
        return pause

    def _refused(self, answer: Answer) -> None:
        """Find what a backend will not take by halves; let go of one call when it is that."""
        part = self._parts.popleft()
        self._tries = 0
        if len(part.items) > 1:
            middle = len(part.items) // 2
            self._parts.appendleft(_Part(part.items[middle:], part.signals.copy()))
            self._parts.appendleft(_Part(part.items[:middle], part.signals.copy()))
            return
        self._count(ins.FAILURES, 1, answer.reason)
        self._drop(part.records, answer.reason)
        if not self._has_told_of_refusal:
            self._has_told_of_refusal = True
            logger.warning(
                "%s refuses a call's records (%s %s); they are dropped, and others like them without another word",
                self.destination.name, answer.reason, answer.message,
            )  # fmt: skip

    def _partly(self, signal: Signal, part: _Part, answer: Answer) -> None:
        self._count(ins.FAILURES, 1, "partial")
        if signal == "traces":
            rejected = min(answer.rejected, part.records)
            self._drop(rejected, "partial")
            self._deliver(-rejected)
        logger.warning(
            "%s did not take %s items of a request: %s", self.destination.name, answer.rejected, answer.message
        )

    def _complain(self, reason: str, message: str) -> None:
        """One line when it begins, none while it lasts."""
        if self._trouble is None:
            logger.warning(
                "%s does not take records (%s%s); they wait", self.destination.name, reason,
                f": {message}" if message else "",
            )  # fmt: skip
        self._trouble = f"{reason}: {message}" if message else reason

    def _recover(self) -> None:
        if self._trouble is not None:
            logger.info("%s takes records again", self.destination.name)
            self._trouble = None

    def _deliver(self, records: int) -> None:
        self._delivered += records
        if records > 0:
            self._count(ins.SENT, records)

    def _drop(self, records: int, reason: str) -> None:
        self._dropped += records
        self._count(ins.DROPPED, records, reason)

    def _report(self, source: Source) -> None:
        """Where things stand, as figures."""
        lost = source.lost
        if lost > self._lost:
            self._count(ins.DROPPED, lost - self._lost, "lost")
            self._lost = lost
        self._count(ins.WAITING, source.waiting())
        self._count(ins.OLDEST, max(0.0, time() - self._oldest) if self._parts else 0.0)

    def _count(self, instrument: ins.Instrument, value: float, reason: str | None = None) -> None:
        if self._note is not None:
            labels = (self.destination.name,) if reason is None else (self.destination.name, reason)
            self._note(instrument, labels, value)
