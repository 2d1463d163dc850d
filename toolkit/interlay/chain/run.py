"""One run of a chain, from the first layer to the end of the response: the facts that its record will say."""

from __future__ import annotations

import os
import random
import time
from time import perf_counter
from typing import TYPE_CHECKING, Final

import msgspec

from interlay.chain.account import attempt
from interlay.model.cost import PriceFn
from interlay.model.errors import InterlayError, Refused, WireError
from interlay.model.record import Attempt, CacheOutcome, Change, End, Failure, Link, Trace, Verdict

if TYPE_CHECKING:
    from interlay.chain.call import Call, Response
    from interlay.chain.monitor import Monitor
    from interlay.chain.recorder import Guarded, Recorder

# Of its own, so that a program that seeds the global one does not make equal ids.
_random: Final = random.Random()
os.register_at_fork(after_in_child=_random.seed)


def new_id() -> str:
    """Twenty hexadecimal digits, random: unique, safe across fork, and short to abbreviate."""
    return f"{_random.getrandbits(80):020x}"


class Sending:
    """An attempt while it is under way."""

    __slots__ = (
        "attempt", "billable", "error", "monitor", "request_id", "seconds", "sent_at", "started", "status", "waited",
    )  # fmt: skip

    def __init__(self) -> None:
        self.sent_at = time.time()
        self.started = perf_counter()
        self.waited = 0.0
        """Seconds until the status and headers came, or the send failed."""
        self.seconds: float | None = None
        """Until the end of its response; None while it is under way."""
        self.status: int | None = None
        self.request_id: str | None = None
        """The provider's name for it, as a header says."""
        self.monitor: Monitor | None = None
        self.error: Failure | None = None
        self.billable: bool | None = None
        """Whether the provider may charge for it; None when nobody can know."""
        self.attempt: Attempt | None = None
        """Made early for observers; else with the record."""


class Run:
    """Facts, gathered while a call is under way and sealed once: a record is made of them when it is wanted."""

    __slots__ = (
        "_recorder", "asked_usage", "cache", "call", "changes", "duration", "end", "entered_seconds", "failure",
        "keeps_contents", "key", "links", "monitor", "observers", "overhead", "price", "sealed", "sendings", "started",
        "started_at", "status", "trace", "verdicts",
    )  # fmt: skip

    def __init__(self, recorder: Recorder, price: PriceFn | None, observers: tuple[Guarded, ...]) -> None:
        self._recorder = recorder
        self.observers = observers
        self.price = price
        self.keeps_contents = recorder.contents
        """Whether the user asked for messages to be kept."""
        self.started_at = time.time()
        self.started = perf_counter()
        self.entered_seconds = 0.0
        """Time between entering the chain and handing back the response."""
        self.sendings: list[Sending] = []
        self.verdicts: tuple[Verdict, ...] = ()
        self.changes: tuple[Change, ...] = ()
        self.links: tuple[Link, ...] = ()
        self.asked_usage = False
        """Whether the stream reports usage because we asked, not the caller."""
        self.cache: CacheOutcome | None = None
        self.key: str | None = None
        self.trace: Trace | None = None
        self.sealed = False
        self.call: Call | None = None
        self.monitor: Monitor | None = None

    def change(self, by: str, what: str) -> None:
        """Say in the record what was altered."""
        self.changes = (*self.changes, Change(by=by, what=what))

    def failed(self, call: Call, sending: Sending, error: BaseException) -> None:
        """A send ended without a response."""
        sending.waited = perf_counter() - sending.started
        # Nothing reached the provider, or nobody can know what it made of what did.
        unsent = isinstance(error, WireError) and (error.kind == "connect" or not getattr(error, "connected", True))
        sending.billable = False if unsent else None
        self._ended(call, sending, failure_of(error))

    def answered(self, call: Call, sending: Sending, response: Response) -> None:
        """A send got its status and headers; its body ends later."""
        status = sending.status = response.status
        sending.waited = perf_counter() - sending.started
        sending.monitor = response.stream.monitor
        sending.billable = status < 400

        def ended(_: End, failure: Failure | None) -> None:
            self._ended(call, sending, self.failure_of(response) if status >= 400 else failure)

        response.stream.on_end(ended)

    def _ended(self, call: Call, sending: Sending, failure: Failure | None) -> None:
        sending.error = failure
        sending.seconds = perf_counter() - sending.started
        if self.observers or self._recorder.listens:
            sending.attempt = attempt(self, call, sending)
            self._recorder.attempted(call, sending.attempt)

    def failure_of(self, response: Response) -> Failure:
        """What an error response says, read from as much of its body as is there."""
        status, dialect, body = response.status, response.call.dialect, response.stream.monitor.body()
        if dialect is None:
            return Failure(type=f"http_{status}", status=status)
        failure = dialect.decode_error(status, response.headers, body)
        return msgspec.structs.replace(failure, status=status)

    def seal(self, call: Call, end: End, failure: Failure | None, response: Response | None) -> None:
        """The run is over: nothing changes any more, and the recorder has it. Only the first call counts."""
        if self.sealed:
            return
        self.sealed = True
        self.duration = spent = perf_counter() - self.started
        last = self.sendings[-1] if self.sendings else None
        self.status: int | None = None
        if response is not None:
            stream = response.stream
            self.status, self.monitor = response.status, stream.monitor
            spent = self.entered_seconds + stream.spent
        elif last is not None:
            self.monitor = last.monitor
        if failure is None and end == "error" and last is not None:
            failure = last.error
        for sending in self.sendings:
            spent -= sending.waited
        self.overhead = max(0.0, spent - call.io.slept)
        """Seconds spent in interlay itself."""
        self.call, self.end, self.failure = call, end, failure
        call.spent += len(self.sendings)
        self._recorder.take(self)

    def forget(self) -> None:
        """Let go of the call and of what was held of its responses: the record is made."""
        self.call = self.monitor = None
        for sending in self.sendings:
            sending.monitor = None


def failure_of(error: BaseException) -> Failure:
    """A failure for an exception that came out of the wire or a layer: its kind, never its message."""
    if isinstance(error, WireError):
        return Failure(type=error.kind)
    if isinstance(error, Refused):
        return Failure(type=error.type, code=error.code, status=error.status)
    if isinstance(error, Exception):
        return Failure(type="interlay" if isinstance(error, InterlayError) else type(error).__name__)
    return Failure(type="cancelled")
