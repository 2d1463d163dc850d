"""One run of a chain, from the first layer to the end of the response: the facts that its record will say."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Final

import msgspec

from interlay.chain.account import attempt
from interlay.model.cost import PriceFn
from interlay.model.errors import InterlayError, Refused, WireError
from interlay.model.record import Attempt, CacheOutcome, Change, End, Failure, Link, Trace, Verdict

if TYPE_CHECKING:
    from interlay.chain.call import Call
    from interlay.chain.current import Around
    from interlay.chain.monitor import Monitor
    from interlay.chain.recorder import Guarded, Recorder
    from interlay.chain.stream import Stream

# Of its own, so that a program that seeds the global one does not make equal ids.
_random: Final = random.Random()
os.register_at_fork(after_in_child=_random.seed)


def new_id() -> str:
    """Twenty hexadecimal digits, random: unique, safe across fork, and short to abbreviate."""
    return f"{_random.getrandbits(80):020x}"


class Sending:
    """An attempt while it is under way."""

    __slots__ = (
        "attempt", "billable", "call", "error", "headers", "monitor", "request_id", "seconds", "sent_at", "started",
        "status", "waited",
    )  # fmt: skip

    def __init__(self, call: Call) -> None:
        self.call: Call | None = call
        self.sent_at = time.time()
        self.started = perf_counter()
        self.waited = 0.0
        """Seconds until the status and headers came, or the send failed."""
        self.seconds: float | None = None
        """Until the end of its response; None while it is under way."""
        self.status: int | None = None
        self.headers: Mapping[str, str] | None = None
        self.request_id: str | None = None
        """The provider's name for it, as a header says."""
        self.monitor: Monitor | None = None
        self.error: Failure | None = None
        self.billable: bool | None = None
        """Whether the provider may charge for it; None when nobody can know."""
        self.attempt: Attempt | None = None
        """Made early for observers; else with the record."""
        call.run.sendings.append(self)

    def failed(self, error: BaseException) -> None:
        """It ended without a response."""
        self.waited = perf_counter() - self.started
        # Nothing reached the provider, or nobody can know what it made of what did.
        unsent = isinstance(error, WireError) and (error.kind == "connect" or not getattr(error, "connected", True))
        self.billable = False if unsent else None
        self.ended(failure_of(error))

    def answered(self, status: int, headers: Mapping[str, str], monitor: Monitor) -> None:
        """The status and headers are here; the body ends later."""
        self.waited = perf_counter() - self.started
        self.status, self.headers, self.monitor = status, headers, monitor
        self.billable = status < 400

    def ended(self, failure: Failure | None) -> None:
        """It is over, and its response with it. Only the first call counts."""
        if self.seconds is not None:
            return
        call = self.call
        if self.billable is False and call is not None and self.monitor is not None:
            failure = refusal(call, self.status or 0, self.headers or {}, self.monitor.body())
        self.error = failure
        self.seconds = perf_counter() - self.started
        self.headers = None
        if call is not None and call.run.is_watched:
            self.attempt = attempt(call.run, call, self)
            call.run.recorder.attempted(call, self.attempt)

    def left(self) -> None:
        """The run is over, and nobody has read the response, or waited for it."""
        if self.monitor is not None:
            self.monitor.catch_up()
        self.ended(Failure(type="cancelled") if self.monitor is None else None)


class Run:
    """Facts, gathered while a call is under way and sealed once: a record is made of them when it is wanted."""

    __slots__ = (
        "answering", "around", "asked_usage", "cache", "call", "changes", "duration", "end", "entered_seconds",
        "failure", "keeps_contents", "key", "links", "monitor", "observers", "on_error", "overhead", "price", "process",
        "recorder", "sealed", "sendings", "started", "started_at", "status", "trace", "verdicts",
    )  # fmt: skip

    def __init__(self, recorder: Recorder, price: PriceFn | None, observers: tuple[Guarded, ...]) -> None:
        self.recorder = recorder
        self.process = recorder.process
        """Whose run this is."""
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
        self.around: Around | None = None
        """What a listener puts there is current during each send, and at no other time."""
        self.sealed = False
        self.on_error: Callable[[Call], None] | None = None
        """Told of an end in error, for whoever goes on with the call."""
        self.call: Call | None = None
        self.monitor: Monitor | None = None

    def change(self, by: str, what: str) -> None:
        """Say in the record what was altered."""
        self.changes = (*self.changes, Change(by=by, what=what))

    @property
    def is_watched(self) -> bool:
        """Whether somebody wants to know of attempts at once."""
        return self.recorder.listens or bool(self.observers)

    def seal(self, call: Call, end: End | None, failure: Failure | None, stream: Stream | None) -> None:
        """The run is over: nothing changes any more, and the recorder has it. Only the first call counts. Without an
        ``end`` it is the one that the response's body tells of."""
        if self.sealed:
            return
        self.sealed = True
        self.duration = spent = perf_counter() - self.started
        sendings = self.sendings
        last = sendings[-1] if sendings else None
        self.status: int | None = None
        self.answering = last
        """The attempt that the answer came by; None for one from elsewhere."""
        if stream is not None:
            self.status, self.monitor, self.answering = stream.status, stream.monitor, stream.sending
            spent = self.entered_seconds + stream.spent
        elif last is not None:
            self.monitor = last.monitor
        if failure is None and end == "error" and last is not None:
            failure = last.error
        for sending in sendings:
            # What an earlier send was answered was read by a layer, so in here too.
            spent -= sending.waited if sending is last or sending.seconds is None else sending.seconds
        if stream is None or stream.sending is not last or len(sendings) > 1:
            for sending in sendings:
                if sending.seconds is None:
                    sending.left()
        spent -= call.io.slept
        self.overhead = spent if spent > 0 else 0.0
        """Seconds spent in interlay itself."""
        self.call, self.end, self.failure = call, end, failure
        call.spent += len(sendings)
        if end == "error" and self.on_error is not None:
            self.on_error(call)
        self.recorder.take(self)

    def wait(self) -> int:
        """Its record is made later. Gives about how many bytes it holds until then: of a call that went well, in a
        chain that nobody has put a layer into, no more than the two bodies. An HTTP library's request is a hundred
        objects, and what is held long makes memory cold for the calls to come."""
        monitor, call = self.monitor, self.call
        assert call is not None
        request, chain = call.request, call.chain
        if self.failure is None and len(self.sendings) == 1 and chain is not None and not chain.layers:
            request.forget()
        return len(request.body or b"") + (monitor.bytes if monitor is not None else 0)

    def forget(self) -> None:
        """Let go of the call and of what was held of its responses: the record is made."""
        self.call = self.monitor = None
        for sending in self.sendings:
            sending.monitor = sending.call = None


def refusal(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """What a response with a status of 400 or above says went wrong, read from as much of its body as is there."""
    if call.dialect is None:
        return Failure(type=f"http_{status}", status=status)
    return msgspec.structs.replace(call.dialect.decode_error(status, headers, body), status=status)


def failure_of(error: BaseException) -> Failure:
    """A failure for an exception that came out of the wire or a layer: its kind, never its message."""
    if isinstance(error, WireError):
        return Failure(type=error.kind)
    if isinstance(error, Refused):
        return Failure(type=error.type, code=error.code, status=error.status)
    if isinstance(error, Exception):
        return Failure(type="interlay" if isinstance(error, InterlayError) else type(error).__name__)
    return Failure(type="cancelled")
