"""Where sealed records go: the ring in memory, the journal, the observers."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from interlay.chain import account
from interlay.chain.current import looked_at
from interlay.chain.forks import in_children
from interlay.chain.runner import Runner
from interlay.model.record import Attempt, Record

if TYPE_CHECKING:
    from interlay.chain.call import Call
    from interlay.chain.current import Function
    from interlay.chain.run import Run

logger = logging.getLogger("interlay.record")

RING: Final = 1_000
"""Records kept in memory."""
_ROW: Final = 64
"""Sealed runs that may wait for their records to be made: in a row that takes half the time. The runner does not do
it, as memory that another core has freed is slow to use again: this took twice the time (November 2026)."""
_ROW_BYTES: Final = 256 * 1024
"""What they may hold together of requests and responses."""
_RING_BYTES: Final = 64 * 1024 * 1024
"""Contents kept in memory: the oldest records go first."""


class Appender(Protocol):
    """What the journal's writer is to the recorder."""

    def append(self, payload: bytes) -> bool: ...


class Observer:
    """Something that looks at calls and cannot change them. Override what you need; none may do I/O inline.

    The three methods are plain functions. Observers given to a chain are run on the runner, from a bounded queue,
    unless they are wrapped in ``Observe(..., inline=True)``. What one raises is logged once.
    """

    def on_start(self, call: Call) -> None:
        """A call enters the chain."""

    def on_attempt(self, call: Call, attempt: Attempt) -> None:
        """A send is over, its response included."""

    def on_end(self, record: Record) -> None:
        """A record was sealed."""


class Observe(Observer):
    """A function that gets every record: ``Observe(print)``.

    ``inline=True`` calls it in the caller's thread before the call returns; else it runs on the runner. An
    observer object may be given instead of a function.
    """

    def __init__(self, target: object, *, inline: bool = False) -> None:
        if not callable(target) and not is_observer(target):
            raise TypeError(
                f"Observe(target): expected a function of one record, or an object with on_start, on_attempt or "
                f"on_end; got {type(target).__name__}"
            )
        self.target = target
        self.inline = inline


def is_observer(part: object) -> bool:
    """Whether an object has one of an observer's three methods."""
    return any(callable(getattr(part, name, None)) for name in ("on_start", "on_attempt", "on_end"))


class Guarded:
    """One observer, isolated: what it raises is logged once, and it is never in the way."""

    __slots__ = ("_complained", "inline", "on_attempt", "on_begin", "on_end", "on_start")

    def __init__(self, observer: object) -> None:
        self.inline = False
        target = observer
        if isinstance(observer, Observe):
            self.inline, target = observer.inline, observer.target
        self._complained = False
        self.on_start = _method(target, "on_start")
        self.on_attempt = _method(target, "on_attempt")
        self.on_begin = getattr(target, "on_begin", None)
        """Ours alone: told of the functions that are observed, inline."""
        self.on_end = _method(target, "on_end")
        if not is_observer(target):
            self.on_end = target

    def tell(self, method: Callable[..., object], what: object, *more: object) -> None:
        token = looked_at.set(what)
        try:
            method(what, *more)
        except Exception:
            if not self._complained:
                self._complained = True
                logger.exception("the observer %r failed; it is not reported again", type(method).__name__)
        finally:
            looked_at.reset(token)


def _method(target: object, name: str) -> Any:  # noqa: ANN401 - a method, or None
    """An observer's method; None where it has none, or the one that does nothing."""
    method = getattr(target, name, None)
    return None if getattr(method, "__func__", None) is getattr(Observer, name) else method


class Ring:
    """The last records, bounded in number, and in bytes where they carry contents."""

    def __init__(self) -> None:
        self._records: deque[tuple[Record, int]] = deque(maxlen=RING)
        self._bytes = 0
        self._lock = threading.RLock()  # a finaliser may end a call while one is counted

    def append(self, record: Record) -> None:
        if record.contents is None and not self._bytes:
            self._records.append((record, 0))  # atomic, and nearly always all there is to do
            return
        size = 0 if record.contents is None else len(msgspec.json.encode(record.contents))
        with self._lock:
            if len(self._records) == RING:
                self._bytes -= self._records.popleft()[1]
            self._records.append((record, size))
            self._bytes += size
            while self._bytes > _RING_BYTES and len(self._records) > 1:
                self._bytes -= self._records.popleft()[1]

    def newest(self, limit: int | None = None) -> list[Record]:
        """Newest first."""
        records = [record for record, _ in list(self._records)]
        records.reverse()
        return records if limit is None else records[:limit]

    def clear(self) -> None:
        with self._lock:
            self._records.clear()
            self._bytes = 0


class Recorder:
    """Takes every sealed record of the chains that share it: one a process, made by ``entry``."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.journal: Appender | None = None
        self.contents = False
        """Whether new runs keep messages."""
        self.dropped = 0
        """Records the observers' queue had no room for."""
        self._listeners: tuple[Guarded, ...] = ()
        self.listens = False
        """Whether somebody gets every record of the process."""
        self.instrumented = False
        """Whether what transports send has to be told from what has been through a chain: see ``instrument()``."""
        self._reset()
        in_children(self._reset)

    def _reset(self) -> None:
        """Begin anew: what a forked child inherits is its parent's to record, and its locks may be held for ever."""
        self.ring = Ring()
        self.process = object()
        """Stands for this process, and for none that is forked from it."""
        self._pending: deque[Run | Record] = deque()
        self._waiting = 0
        self._lock = threading.Lock()
        # Reentrant, as the price book may log, and a program's log handler may look at records.
        self._settling = threading.RLock()

    def listen(self, observer: object) -> None:
        """Give ``observer`` every record of the process, inline."""
        with self._lock:
            self.settle()
            self._listeners = (*self._listeners, Guarded(observer))
            self.listens = True

    def unlisten(self, observer: object) -> None:
        """Stop doing so."""
        with self._lock:
            self._listeners = tuple(g for g in self._listeners if getattr(g.on_end, "__self__", None) is not observer)
            self.listens = bool(self._listeners)

    def attempted(self, call: Call, attempt: Attempt) -> None:
        for observer in (*call.run.observers, *self._listeners):
            if observer.on_attempt is not None:
                self._give(observer, observer.on_attempt, call, attempt)

    def started(self, call: Call) -> None:
        for observer in (*call.run.observers, *self._listeners):
            if observer.on_start is not None:
                self._give(observer, observer.on_start, call)

    def begun(self, function: Function) -> None:
        """An observed function begins."""
        for observer in self._listeners:
            if observer.on_begin is not None and observer.inline:
                observer.tell(observer.on_begin, function)

    def take(self, run: Run) -> None:
        """A run was sealed. Where somebody waits for its record (the journal, an observer), or it holds much, the
        record is made here and now; else with those of a few others, or for whoever looks first. The journal's append
        is the only I/O, and it never raises."""
        if run.process is not self.process:
            return  # a copy, in a child that was forked meanwhile: the run is its parent's
        journal, observers = self.journal, run.observers
        if journal is None and not observers and not self.listens and not run.keeps_contents:
            self._wait_for(run, run.wait())
            return
        self.settle()
        record = self._record(run)
        if record is not None:
            self._hand_out(record, observers)

    def keep(self, record: Record) -> None:
        """Take a record that was made already: that of a function. Never raises."""
        if self.journal is None and not self.listens:
            self._wait_for(record, 0)
            return
        self.settle()
        self.ring.append(record)
        self._hand_out(record, ())

    def settle(self) -> None:
        """Make the records of all runs that were sealed."""
        if not self._pending:
            return
        with self._settling:
            self._waiting = 0
            while self._pending:
                sealed = self._pending.popleft()
                if isinstance(sealed, Record):
                    self.ring.append(sealed)
                else:
                    self._record(sealed)

    def _wait_for(self, sealed: Run | Record, weight: int) -> None:
        """Nobody waits for this one: it has its turn with others."""
        self._pending.append(sealed)
        self._waiting += weight
        if len(self._pending) >= _ROW or self._waiting > _ROW_BYTES:
            self.settle()

    def _hand_out(self, record: Record, observers: tuple[Guarded, ...]) -> None:
        if self.journal is not None:
            self.journal.append(record.to_json())
        if observers or self.listens:
            for observer in (*observers, *self._listeners):
                if observer.on_end is not None:
                    self._give(observer, observer.on_end, record)

    def _record(self, run: Run) -> Record | None:
        try:
            record = account.record(run)
        except Exception:
            logger.exception("a record could not be made")  # our fault is not the caller's
            return None
        finally:
            run.forget()
        self.ring.append(record)
        return record

    def newest(self, limit: int | None = None) -> list[Record]:
        """The records in memory, newest first."""
        self.settle()
        return self.ring.newest(limit)

    def _give(self, observer: Guarded, method: Callable[..., object], *arguments: object) -> None:
        if observer.inline:
            observer.tell(method, *arguments)
        elif not self.runner.submit(lambda: observer.tell(method, *arguments)):
            self.dropped += 1
