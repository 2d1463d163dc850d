"""What is read off a response while it passes: events, usage, timing. Nothing here changes a byte."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import deque
from typing import Final

from interlay.chain.codings import Inflate
from interlay.model.errors import DecodeError
from interlay.model.protocols import Framer, Tracker, WireEvent
from interlay.model.record import Chunks, End, Failure

logger = logging.getLogger("interlay.wire")

CUT: Final = Failure(type="cut")
"""Bytes ended before the dialect's terminal event."""

KEPT: Final = 4 * 1024 * 1024
"""Bytes of one body, or of one event, that are held to be read. Beyond it a body is opaque."""
ENDS: Final = 64 * 1024
"""What is kept of each end of an opaque body."""

_ROW: Final = 256
"""Chunks that are looked at together."""

_BOUNDS: Final = tuple(0.01 * 2**power for power in range(14))
"""Upper bounds in seconds of OpenTelemetry's GenAI duration buckets: .01 .02 .04 … 81.92."""
_SHORTEST: Final = _BOUNDS[0]


class Monitor:
    """Looks at one response's bytes on their way: undoes the coding, cuts events, tells the tracker, keeps time.

    A response whose bytes cannot be read (damaged, too large, a coding we do not know) becomes *opaque*: it is
    forwarded all the same and what is not known stays unknown.
    """

    __slots__ = (
        "_body", "_framer", "_gaps", "_head", "_inflate", "_kept", "_noted", "_over", "_size", "_spill", "_tail",
        "_terminal", "_waiting",
        "bytes", "chunks", "coded", "damaged", "events", "first_at", "last_at", "opaque", "tracker",
    )  # fmt: skip

    def __init__(
        self,
        tracker: Tracker | None,
        framer: Framer | None,
        inflate: Inflate | None,
        *,
        readable: bool = True,
        keep_events: bool = False,
    ) -> None:
        self.tracker = tracker
        self._framer = framer
        self._inflate = inflate
        self.coded = inflate is not None
        """Whether the body is compressed."""
        self.opaque = not readable
        self.bytes = 0
        """Bytes as they came over the wire."""
        self.first_at: float | None = None
        """``perf_counter()`` of the first event; of the first bytes for a body."""
        self.last_at = 0.0
        self.chunks = 0
        self._gaps = [0] * (len(_BOUNDS) + 1) if framer is not None else []
        self._terminal: WireEvent | None = None
        self.events: list[WireEvent] | None = [] if keep_events else None
        """All events, where contents are wanted and as long as they are small enough."""
        self.damaged: DecodeError | None = None
        """Set when the coding could not be undone."""
        self._spill: list[bytes] | None = None
        self._kept = 0
        self._body: list[bytes] = []
        self._size = 0
        self._head = b""
        self._tail: deque[bytes] | None = None
        self._noted: list[tuple[bytes | list[WireEvent], float]] = []
        self._waiting = 0
        self._over = False
        """Whether a body has come to its end and was not read yet."""

    @property
    def streamed(self) -> bool:
        """True for an event stream."""
        return self._framer is not None

    @property
    def terminal(self) -> WireEvent | None:
        """The event that the dialect declared to be the last, once it has come."""
        return self._terminal

    def note(self, chunk: bytes, now: float) -> bytes:
        """Look at a network chunk, but not yet: a row of them takes a third of the time that each takes alone, among
        the reader's own work. Gives the chunk."""
        self.bytes += len(chunk)
        if self.first_at is None and self._framer is None:
            self.first_at = now
        self._noted.append((chunk, now))
        self._waiting += len(chunk)
        if self._waiting > ENDS or len(self._noted) >= _ROW:
            self.catch_up()
        return chunk

    def cut(self, chunk: bytes, now: float) -> list[WireEvent]:
        """The events that a network chunk completes, which are looked at with the next row. Never raises."""
        self.bytes += len(chunk)
        if self.first_at is None and self._framer is None:
            self.first_at = now
        # Nearly all that is cut is not coded: a call less for each chunk.
        events = self._look(chunk) if self._inflate is None else self._events(chunk)
        if events:
            self._noted.append((events, now))
            self._waiting += len(chunk)
            if self._waiting > ENDS or len(self._noted) >= _ROW:
                self.catch_up()
        return events

    def feed(self, chunk: bytes, now: float) -> list[WireEvent]:
        """Look at a network chunk, at once. Returns the events it completed; never raises."""
        self.catch_up()
        events = self.cut(chunk, now)
        self.catch_up()
        return events

    def catch_up(self) -> None:
        """Look at what was noted."""
        if self._noted:
            noted, self._noted, self._waiting = self._noted, [], 0
            for what, now in noted:
                events = self._events(what) if isinstance(what, bytes) else what
                if events:
                    self._track(events, now)
        if self._over:
            self._over = False
            self._read()

    def _events(self, chunk: bytes) -> list[WireEvent]:
        if self._inflate is None:
            return self._look(chunk)
        if self.damaged is not None or (self.opaque and self._spill is None):
            return []
        events: list[WireEvent] = []
        try:
            for piece in self._inflate.feed(chunk):
                events += self._look(piece)
        except DecodeError as error:
            self.damaged = error
            self._give_up(error)
        return events

    def finish(self, now: float) -> list[WireEvent]:
        """The end of bytes: gives the last unfinished event. A body is read when somebody wants to know of it."""
        if self._framer is None:
            self._over = self.tracker is not None
            return []
        self.catch_up()
        if self.opaque:
            return []
        try:
            rest = self._framer.finish()
        except Exception:  # noqa: BLE001 - our fault is not the caller's
            self._distrust()
            return []
        return self._track(rest, now)

    @property
    def can_wait(self) -> bool:
        """Whether a body may as well be read later: it is here, plain, and tells of no error."""
        noted = self._noted
        if self._framer is not None or self._inflate is not None or len(noted) != 1 or self.opaque:
            return False
        body = noted[0][0]
        return isinstance(body, bytes) and b'"error"' not in body

    def verdict(self) -> tuple[End, Failure | None]:
        """What bytes that simply end here have come to."""
        self.catch_up()
        tracker = self.tracker
        if tracker is None:
            return "complete", None
        if tracker.failure is not None:
            return "error", tracker.failure
        if self.opaque or tracker.finished or tracker.ended_well:
            return "complete", None
        return "error", CUT

    def body(self) -> bytes:
        """The plain body so far, unless it is opaque: then its first and last bytes."""
        if self._noted:
            self.catch_up()
        if self.opaque:
            return self._head + b"".join(self._tail or ())
        if len(self._body) > 1:
            self._body = [b"".join(self._body)]
        return self._body[0] if self._body else b""

    def spill(self) -> Inflate | None:
        """From now on plain bytes come in, and those of an opaque stream are kept for whoever forwards them. Gives what
        undoes the coding, without a bound of ours, where there is one."""
        self._spill = []
        undo, self._inflate = self._inflate, None
        if undo is not None:
            undo.lift()
        return undo

    def unpacked(self, taken: int, given: int) -> None:
        """Of ``taken`` bytes that came over the wire, ``given`` come in as plain ones."""
        self.bytes += taken - given

    def spilled(self) -> bytes:
        """The plain bytes that could not be cut into events since the last time this was asked."""
        if not self._spill:
            return b""
        spilled = b"".join(self._spill)
        self._spill.clear()
        return spilled

    def timing(self) -> Chunks | None:
        """Count and spacing of the events; None for a body."""
        if self._framer is None:
            return None
        return Chunks(count=self.chunks, buckets=tuple(self._gaps) if self.chunks > 1 else ())

    def forget(self) -> None:
        """Let go of what was held."""
        self._body, self.events, self._tail = [], None, None
        self._noted.clear()

    def _read(self) -> None:
        """Tell the tracker of a whole body."""
        assert self.tracker is not None
        try:
            if not self.opaque:
                self.tracker.body(self.body())
            elif self._tail:
                self.tracker.tail(b"".join(self._tail))
        except Exception:  # noqa: BLE001 - our fault is not the caller's
            self._distrust()

    def _look(self, piece: bytes) -> list[WireEvent]:
        framer = self._framer
        if self.opaque:
            self._look_no_more(piece)
            return []
        if framer is None:
            self._size += len(piece)
            self._body.append(piece)
            if self._size > KEPT:
                self._become_opaque()
            return []
        try:
            return framer.feed(piece)
        except DecodeError as error:
            self._give_up(error)
            if self._spill is not None:
                self._spill += [event.raw for event in framer.finish()]
            return []
        except Exception:  # noqa: BLE001 - our fault is not the caller's
            self._distrust()
            if self._spill is not None:
                self._spill.append(piece)
            return []

    def _track(self, events: list[WireEvent], now: float) -> list[WireEvent]:
        tracker = self.tracker
        count = 0
        try:
            for event in events:
                if event.data is not None:
                    count += 1
                    if tracker is not None:
                        tracker.event(event)
                        if tracker.finished and self._terminal is None:
                            self._terminal = event
        except Exception:  # noqa: BLE001 - our fault is not the caller's
            self._distrust()
        if count:
            self.chunks += count
            if self.first_at is None:
                self.first_at = now
            else:
                gap = now - self.last_at
                self._gaps[0 if gap <= _SHORTEST else bisect_left(_BOUNDS, gap)] += 1
            if count > 1:
                self._gaps[0] += count - 1  # events of one network chunk came together
            self.last_at = now
            if self.events is not None:
                self._keep(events)
        return events

    def _keep(self, events: list[WireEvent]) -> None:
        assert self.events is not None
        self._kept += sum(len(event.raw) for event in events)
        if self._kept > KEPT:
            self.events = None
        else:
            self.events += events

    def _become_opaque(self) -> None:
        # Not joined: what is held would be there twice.
        held, self._body = self._body, []
        self.opaque = True
        if self._spill is not None:
            self._spill += held
        self._tail = deque()
        for piece in held:
            self._head += piece[: ENDS - len(self._head)]
            if len(self._head) >= ENDS:
                break
        size = 0
        while held and size < ENDS:
            self._tail.appendleft(held.pop()[-ENDS:])
            size += len(self._tail[0])

    def _give_up(self, error: DecodeError) -> None:
        self.opaque = True
        self._body = []
        logger.debug("a response is forwarded unread: %s", error)

    def _distrust(self) -> None:
        """A fault of ours in reading a response: it goes on unread, as the user's call must not notice."""
        logger.error("a response could not be read; it is forwarded unread", exc_info=True)  # noqa: LOG014
        self.opaque = True

    def _look_no_more(self, piece: bytes) -> None:
        """Of an opaque body the last bytes are kept, of an opaque stream what has to be forwarded."""
        if self._spill is not None:
            self._spill.append(piece)
        elif self._tail:
            self._tail.append(piece[-ENDS:])
            while len(self._tail) > 1 and sum(map(len, self._tail)) - len(self._tail[0]) >= ENDS:
                self._tail.popleft()
