"""What a sealed run comes to: its attempts, their usage and cost, and the record. Nothing here waits or sends."""

from __future__ import annotations

import datetime as dt
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec

from interlay.model.cost import Cost, Estimate, Priced, total
from interlay.model.errors import DecodeError
from interlay.model.record import Answered, Attempt, Contents, Failure, Record
from interlay.model.secrets import redact, redact_json
from interlay.model.tokens import TOKENIZER, estimate_request
from interlay.model.usage import Usage
from interlay.model.words import word

if TYPE_CHECKING:
    from interlay.chain.call import Call
    from interlay.chain.monitor import Monitor
    from interlay.chain.run import Run, Sending
    from interlay.model.protocols import Tracker

logger = logging.getLogger("interlay.record")

ZERO: Final = Cost(amount=Decimal(0), source="computed")
_SPARED: Final = Cost(amount=Decimal(0), source="cache_hit")
_NO_RESPONSE: Final = Cost(amount=None, source="unknown", reason="no_response")
_MAX_CONTENTS: Final = 256 * 1024


def attempt(run: Run, call: Call, sending: Sending) -> Attempt:
    """A send that is over: what it used and what it cost."""
    monitor, billable, route, outline = sending.monitor, sending.billable, call.route, call.glance
    usage: Usage | None = None
    cost: Cost | None = None
    if route.dialect is not None:
        if billable is None:
            cost = _NO_RESPONSE
        elif not billable or monitor is None or monitor.tracker is None:
            cost = ZERO
        else:
            usage = monitor.tracker.usage
            cost = _priced(run, call, sending.sent_at, monitor, monitor.tracker, usage)
    return Attempt(
        target=route.target,
        provider=route.provider,
        model=outline.model,
        status=sending.status,
        started_at=sending.sent_at,
        seconds=sending.seconds or 0.0,
        error=_clean(run, call, sending.error) if sending.error is not None else None,
        billed=bool(billable) and route.dialect is not None,
        usage=usage,
        cost=cost,
    )


def record(run: Run) -> Record:
    """The record of a sealed run."""
    call, monitor = run.call, run.monitor
    assert call is not None
    end, failure = run.end, run.failure
    if end is None:
        assert monitor is not None
        end, failure = monitor.verdict()
        if run.sendings and run.sendings[-1].monitor is monitor:  # it is not where a cache gave the answer instead
            run.sendings[-1].error = failure
    outline, route, body = call.glance, call.route, call.body_kind
    attempts = tuple(
        [sending.attempt or attempt(run, call, sending) for sending in run.sendings if sending.seconds is not None]
    )
    one = attempts[0] if len(attempts) == 1 else None
    answered: Answered | None = None
    served: str | None = None
    streamed = False
    first: float | None = None
    if monitor is not None:
        tracker, streamed = monitor.tracker, monitor.streamed
        request_id = run.answering.request_id if run.answering is not None else None
        if monitor.first_at is not None:
            first = monitor.first_at - run.started
        if tracker is not None:
            served = tracker.model
            if run.status is not None:
                answered = Answered(
                    id=tracker.id,
                    status=run.status,
                    request_id=request_id,
                    finish_reasons=tuple(tracker.finish_reasons),
                    service_tier=tracker.service_tier,
                    bytes=monitor.bytes,
                )
        elif run.status is not None:
            answered = Answered(status=run.status, request_id=request_id, bytes=monitor.bytes)
        if body == "open" and monitor.opaque:
            body = "opaque"
    return Record(
        id=call.id,
        call_id=call.call_id,
        parent_id=call.parent_id,
        operation=route.operation,
        dialect=route.dialect.name if route.dialect is not None else None,
        provider=route.provider,
        model=outline.model,
        served_model=served,
        target=route.target,
        method=call.request.method,
        identity=call.identity,
        streamed=streamed,
        started_at=run.started_at,
        first_event_at=run.started_at + first if first is not None else None,
        ended_at=run.started_at + run.duration,
        duration=run.duration,
        time_to_first_event=first if streamed else None,
        overhead=run.overhead,
        end=end,
        error=_clean(run, call, failure) if failure is not None else None,
        parameters=outline.parameters,
        response=answered,
        server=route.server,
        trace=run.trace,
        links=run.links,
        chunks=monitor.timing() if streamed and monitor is not None else None,
        key=run.key,
        attempts=attempts,
        usage=one.usage if one is not None else _usage(attempts),
        cost=_spared(run, call, monitor) or (one.cost if one is not None else _cost(attempts)),
        cache=run.cache,
        verdicts=run.verdicts,
        changes=run.changes,
        body=body,
        contents=_contents(call, monitor) if run.keeps_contents else None,
    )


def _spared(run: Run, call: Call, monitor: Monitor | None) -> Cost | None:
    """The cost of an answer from a cache: none, and what the provider would have charged for it now."""
    cache = run.cache
    if cache is None or cache.shadow or cache.outcome not in ("hit", "stale"):
        return None
    if any(sending.billable is not False for sending in run.sendings):
        return None  # it went on with the request that another call began
    if monitor is None or monitor.tracker is None:
        return _SPARED
    priced = _priced(run, call, run.started_at, monitor, monitor.tracker, monitor.tracker.usage)
    return _SPARED if priced is None else Cost(amount=Decimal(0), source="cache_hit", avoided=priced.amount)


def _priced(run: Run, call: Call, at: float, monitor: Monitor, tracker: Tracker, usage: Usage | None) -> Cost | None:
    if run.price is None:
        return None
    counted: Estimate | None = None
    unread = monitor.opaque and usage is None
    if not unread and (usage is None or usage.input_tokens is None or usage.output_tokens is None):
        counted = Estimate(
            input_tokens=estimate_request(call.request.body) if call.request.body is not None else None,
            output_tokens=round(tracker.output_tokens_estimate),
            tokenizer=TOKENIZER,
        )
    route, asked = call.route, call.glance.model
    what = Priced(
        provider=route.provider,
        api=route.dialect.name if route.dialect is not None else "http",
        model=tracker.model or asked,
        requested_model=asked,
        service_tier=tracker.service_tier,
    )
    return run.price(usage, what, dt.datetime.fromtimestamp(at, dt.UTC), counted)


def _clean(run: Run, call: Call, failure: Failure) -> Failure:
    """A failure without the provider's message, unless contents are kept, and without what it may echo."""
    secrets = call.request.secrets()
    message = failure.message if run.keeps_contents else None
    return Failure(
        type=_word(failure.type, secrets) or "other",
        code=_word(failure.code, secrets),
        status=failure.status,
        request_id=_word(failure.request_id, secrets),
        message=redact(message, secrets)[:2000] if message else None,
    )


def _contents(call: Call, monitor: Monitor | None) -> Contents | None:
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


def _word(text: str | None, secrets: tuple[str, ...]) -> str | None:
    """A provider's short word, where it is one: what looks like prose or like a credential is dropped."""
    found = word(text)
    return found if found is not None and redact(found, secrets) == found else None


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
