"""One run of a chain, from the first layer to the end of the response, and the record it leaves."""

from __future__ import annotations

import datetime as dt
import logging
import os
import re
import time
from decimal import Decimal
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from interlay.chain.recorder import Guarded, Recorder
from interlay.model.cost import Cost, Estimate, Priced, PriceFn, total
from interlay.model.errors import DecodeError, InterlayError, Refused, WireError
from interlay.model.record import (
    Answered,
    Attempt,
    CacheOutcome,
    Change,
    Contents,
    End,
    Failure,
    Link,
    Record,
    Trace,
    Verdict,
)
from interlay.model.secrets import redact, redact_json
from interlay.model.tokens import TOKENIZER, estimate_request
from interlay.model.usage import Usage

if TYPE_CHECKING:
    from interlay.chain.call import Call, Response
    from interlay.chain.monitor import Monitor
    from interlay.chain.stream import Stream
    from interlay.model.protocols import Tracker

logger = logging.getLogger("interlay.record")

ZERO: Final = Cost(amount=Decimal(0), source="computed")
_WORD: Final = re.compile(r"[A-Za-z0-9_.:/ -]{1,64}\Z")
_MAX_CONTENTS: Final = 256 * 1024


def new_id() -> str:
    """Twenty hexadecimal digits, random: unique, safe across fork, and short to abbreviate."""
    return os.urandom(10).hex()


class Sending:
    """An attempt while it is under way."""

    __slots__ = ("attempt", "billable", "error", "monitor", "request_id", "sent_at", "started", "status", "waited")

    def __init__(self) -> None:
        self.sent_at = time.time()
        self.started = perf_counter()
        self.waited = 0.0
        """Seconds until the status and headers came, or the send failed."""
        self.status: int | None = None
        self.request_id: str | None = None
        """The provider's name for it, as a header says."""
        self.monitor: Monitor | None = None
        self.error: Failure | None = None
        self.billable: bool | None = None
        """Whether the provider may charge for it; None when nobody can know."""
        self.attempt: Attempt | None = None


class Run:
    """Everything a record will say, while it is not yet known. Sealed once."""

    __slots__ = (
        "_contents", "_price", "_recorder", "asked_usage", "cache", "changes", "entered_seconds", "key", "links",
        "observers", "record", "sendings", "started", "started_at", "trace", "verdicts",
    )  # fmt: skip

    def __init__(self, recorder: Recorder, price: PriceFn | None, observers: tuple[Guarded, ...]) -> None:
        self._recorder = recorder
        self.observers = observers
        self._price = price
        self.started_at = time.time()
        self.started = perf_counter()
        self.entered_seconds = 0.0
        """Time between entering the chain and handing back the response."""
        self.sendings: list[Sending] = []
        self.verdicts: list[Verdict] = []
        self.changes: list[Change] = []
        self.links: list[Link] = []
        self.asked_usage = False
        """Whether the stream reports usage because we asked, not the caller."""
        self.cache: CacheOutcome | None = None
        self.key: str | None = None
        self.trace: Trace | None = None
        self.record: Record | None = None
        self._contents = recorder.contents

    @property
    def keeps_contents(self) -> bool:
        """Whether the user asked for messages to be kept."""
        return self._contents

    def change(self, by: str, what: str) -> None:
        """Say in the record what was altered."""
        self.changes.append(Change(by=by, what=what))

    def failed(self, call: Call, sending: Sending, error: BaseException) -> None:
        """A send ended without a response."""
        failure = failure_of(error)
        sending.waited = perf_counter() - sending.started
        # Nothing reached the provider, or nobody can know what it made of what did.
        unsent = isinstance(error, WireError) and (error.kind == "connect" or not getattr(error, "connected", True))
        sending.billable = False if unsent else None
        sending.error = failure
        self._settle(call, sending)

    def answered(self, call: Call, sending: Sending, response: Response) -> None:
        """A send got its status and headers; its body ends later."""
        status = sending.status = response.status
        sending.waited = perf_counter() - sending.started
        sending.monitor = response.stream.monitor

        def ended(_: End, failure: Failure | None) -> None:
            sending.error = self.failure_of(response) if status >= 400 else failure
            sending.billable = status < 400
            self._settle(call, sending)

        response.stream.on_end(ended)

    def failure_of(self, response: Response) -> Failure:
        """What an error response says, read from as much of its body as is there."""
        status, dialect, body = response.status, response.call.dialect, response.stream.monitor.body()
        if dialect is None:
            return Failure(type=f"http_{status}", status=status)
        failure = dialect.decode_error(status, response.headers, body)
        return msgspec.structs.replace(failure, status=status)

    def _settle(self, call: Call, sending: Sending) -> None:
        """An attempt is over: what it used and what it cost."""
        monitor, billable, route = sending.monitor, sending.billable, call.route
        usage: Usage | None = None
        cost: Cost | None = None
        if route.dialect is not None:
            if billable and monitor is not None and monitor.tracker is not None:
                usage = monitor.tracker.usage
                cost = self._cost(call, sending, monitor, monitor.tracker, usage)
            elif billable is None:
                cost = Cost(amount=None, source="unknown", reason="no_response")
            else:
                cost = ZERO
        sending.attempt = Attempt(
            target=route.target,
            provider=route.provider,
            model=call.outline.model,
            status=sending.status,
            started_at=sending.sent_at,
            seconds=perf_counter() - sending.started,
            error=self._clean(call, sending.error) if sending.error is not None else None,
            billed=bool(billable) and route.dialect is not None,
            usage=usage,
            cost=cost,
        )
        if self.observers or self._recorder.listens:
            self._recorder.attempted(call, sending.attempt)

    def _cost(
        self, call: Call, sending: Sending, monitor: Monitor, tracker: Tracker, usage: Usage | None
    ) -> Cost | None:
        if self._price is None:
            return None
        counted: Estimate | None = None
        unread = monitor.opaque and usage is None
        if not unread and (usage is None or usage.input_tokens is None or usage.output_tokens is None):
            counted = Estimate(
                input_tokens=estimate_request(call.request.body) if call.request.body is not None else None,
                output_tokens=round(tracker.output_tokens_estimate),
                tokenizer=TOKENIZER,
            )
        route, asked = call.route, call.outline.model
        what = Priced(
            provider=route.provider,
            api=route.dialect.name if route.dialect is not None else "http",
            model=tracker.model or asked,
            requested_model=asked,
            service_tier=tracker.service_tier,
        )
        return self._price(usage, what, dt.datetime.fromtimestamp(sending.sent_at, dt.UTC), counted)

    def seal(self, call: Call, end: End, failure: Failure | None, response: Response | None) -> None:
        """The run is over. Makes the record, once, and gives it to the recorder."""
        if self.record is not None:
            return
        now = perf_counter()
        last = self.sendings[-1] if self.sendings else None
        stream = response.stream if response is not None else None
        monitor = stream.monitor if stream is not None else last.monitor if last is not None else None
        tracker = monitor.tracker if monitor is not None else None
        if failure is None and end == "error" and last is not None:
            failure = last.error
        attempts = tuple([sending.attempt for sending in self.sendings if sending.attempt is not None])
        one = attempts[0] if len(attempts) == 1 else None
        outline, route, started, body = call.outline, call.route, self.started, call.body_kind
        streamed = monitor is not None and monitor.streamed
        since_first = monitor.first_at - started if monitor is not None and monitor.first_at is not None else None
        answered: Answered | None = None
        if response is not None and monitor is not None:
            answered = Answered(
                id=tracker.id if tracker is not None else None,
                status=response.status,
                request_id=last.request_id if last is not None else None,
                finish_reasons=tuple(tracker.finish_reasons) if tracker is not None else (),
                service_tier=tracker.service_tier if tracker is not None else None,
                bytes=monitor.bytes,
            )
        self.record = Record(
            id=call.id,
            call_id=call.call_id,
            parent_id=call.parent_id,
            operation=route.operation,
            dialect=route.dialect.name if route.dialect is not None else None,
            provider=route.provider,
            model=outline.model,
            served_model=tracker.model if tracker is not None else None,
            target=route.target,
            method=call.request.method,
            identity=call.identity,
            streamed=streamed,
            started_at=self.started_at,
            first_event_at=self.started_at + since_first if since_first is not None else None,
            ended_at=self.started_at + (now - started),
            duration=now - started,
            time_to_first_event=since_first if streamed else None,
            overhead=self._overhead(call, stream, now),
            end=end,
            error=self._clean(call, failure) if failure is not None else None,
            parameters=outline.parameters,
            response=answered,
            server=route.server,
            trace=self.trace,
            links=tuple(self.links),
            chunks=monitor.timing() if streamed and monitor is not None else None,
            key=self.key,
            attempts=attempts,
            usage=one.usage if one is not None else _usage(attempts),
            cost=one.cost if one is not None else _cost(attempts),
            cache=self.cache,
            verdicts=tuple(self.verdicts),
            changes=tuple(self.changes),
            body="opaque" if body == "open" and monitor is not None and monitor.opaque else body,
            contents=self._kept(call, monitor) if self._contents else None,
        )
        for sending in self.sendings:
            if sending.monitor is not None:
                sending.monitor.forget()
                sending.monitor = None
        self._recorder.seal(self.record, self.observers)

    def _overhead(self, call: Call, stream: Stream | None, now: float) -> float:
        spent = now - self.started if stream is None else self.entered_seconds + stream.spent
        for sending in self.sendings:
            spent -= sending.waited
        return max(0.0, spent - call.io.slept)

    def _clean(self, call: Call, failure: Failure) -> Failure:
        """A failure without the provider's message, unless contents are kept, and without what it may echo."""
        secrets = call.request.secrets()
        message = failure.message if self._contents else None
        return Failure(
            type=_word(failure.type, secrets) or "other",
            code=_word(failure.code, secrets),
            status=failure.status,
            request_id=_word(failure.request_id, secrets),
            message=redact(message, secrets)[:2000] if message else None,
        )

    def _kept(self, call: Call, monitor: Monitor | None) -> Contents | None:
        """The messages of a call, redacted. What cannot be read is left out."""
        dialect, body = call.dialect, call.request.body
        if dialect is None:
            return None
        secrets = call.request.secrets()
        answer: list[dict[str, Any]] = []
        asked: list[dict[str, Any]] = []
        tools: list[dict[str, Any]] = []
        try:
            if body is not None and call.body_kind != "opaque":
                asked, tools = dialect.prompt(body)
            if monitor is not None and not monitor.opaque:
                if monitor.streamed:
                    answer = dialect.streamed_answer(monitor.events or [])
                elif plain := monitor.body():
                    answer = dialect.answer(plain)
        except DecodeError as error:
            logger.debug("contents of a call could not be read: %s", error)
        kept: list[list[dict[str, Any]]] = []
        size = 0
        for items in (asked, answer, tools):
            whole = [redact_json(item, secrets) for item in items]
            size += len(msgspec.json.encode(whole))
            kept.append(whole if size <= _MAX_CONTENTS else [])
        return Contents(input=kept[0], output=kept[1], tools=kept[2], truncated=size > _MAX_CONTENTS)


def failure_of(error: BaseException) -> Failure:
    """A failure for an exception that came out of the wire or a layer: its kind, never its message."""
    if isinstance(error, WireError):
        return Failure(type=error.kind)
    if isinstance(error, Refused):
        return Failure(type=error.type, code=error.code, status=error.status)
    if isinstance(error, Exception):
        return Failure(type="interlay" if isinstance(error, InterlayError) else type(error).__name__)
    return Failure(type="cancelled")


def _word(text: str | None, secrets: tuple[str, ...]) -> str | None:
    """A provider's short word, where it is one: what looks like prose or like a credential is dropped."""
    if text is None or not _WORD.match(text):
        return None
    return text if redact(text, secrets) == text else None


def request_id(text: str | None) -> str | None:
    """A provider's name for a request, where a header's value can be one."""
    return text if text is not None and _WORD.match(text) else None


def _usage(attempts: tuple[Attempt, ...]) -> Usage | None:
    """The sum over the attempts; nearly always there is one."""
    usages = [attempt.usage for attempt in attempts if attempt.usage is not None]
    if len(usages) <= 1:
        return usages[0] if usages else None
    joined = usages[-1]
    for usage in usages[:-1]:
        joined = _add(joined, usage)
    return joined


def _add(left: Usage, right: Usage) -> Usage:
    counts: dict[str, object] = {}
    for name in Usage.__struct_fields__:
        a, b = getattr(left, name), getattr(right, name)
        if name == "tools":
            counts[name] = {unit: a.get(unit, 0) + b.get(unit, 0) for unit in {**a, **b}}
        elif name == "flags":
            counts[name] = tuple(dict.fromkeys((*a, *b)))
        elif isinstance(a, int | Decimal) and isinstance(b, int | Decimal):
            counts[name] = a + b
        elif a is None and name not in ("raw", "service_tier"):
            counts[name] = b
    return msgspec.structs.replace(left, **counts)


def _cost(attempts: tuple[Attempt, ...]) -> Cost | None:
    """The sum over the attempts. Unknown with anything is unknown."""
    costs = [attempt.cost for attempt in attempts if attempt.cost is not None]
    billed = [cost for cost in costs if cost is not ZERO]
    if len(billed) <= 1:
        return billed[0] if billed else costs[0] if costs else None
    amounts = [cost.amount for cost in billed]
    if None in amounts:
        return Cost(amount=None, source="unknown", reason=next(c.reason for c in billed if c.amount is None))
    sources = {cost.source for cost in billed}
    return Cost(
        amount=total(amount for amount in amounts if amount is not None),
        source=sources.pop() if len(sources) == 1 else "partial" if any(c.estimated for c in billed) else "computed",
        lines=tuple(line for cost in billed for line in cost.lines),
        estimated=any(cost.estimated for cost in billed),
        tokenizer=next((cost.tokenizer for cost in billed if cost.tokenizer), None),
        flags=tuple(dict.fromkeys(flag for cost in billed for flag in cost.flags)),
    )
