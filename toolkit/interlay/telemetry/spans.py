"""The span tree of a record, as plain data: pure functions from what happened to what a backend is told.

    interlay.call               what the caller got; left out where there was nothing but one exchange
    ├─ interlay.cache.lookup    where it took real time; so with checks
    ├─ interlay.guard {name}
    ├─ chat {model A}           one exchange with a target; failed here, so it has no usage
    │   ├─ interlay.attempt 1   sends, where a target needed more than one
    │   └─ interlay.attempt 2
    └─ chat {model B}           the one that served: carries usage and cost; linked to the one it fell back from

A send that was billed ends its exchange: another one after it is a span with usage of its own, so that usage stands
on exactly one span for each billed response. Ids are made of the record's, so a span that is sent twice is the same
span.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from interlay.chain.current import Parent
from interlay.model.record import Attempt, CacheOutcome, Link, Record, Trace, Verdict
from interlay.telemetry import facts as known
from interlay.telemetry.vocabulary import Attributes, Vocabulary

INTERNAL: Final = 1
CLIENT: Final = 3
"""Kinds of span, by OTLP's numbers."""

_NOTHING: Final = b""
_PERSON_SPAN: Final = b"interlay.span"
_PERSON_TRACE: Final = b"interlay.trace"
_REAL_SECONDS: Final = 0.001
"""What takes less is told by its figures, and is no span."""
_IDS: Final = 8
"""Span ids that one digest yields."""


class SpanLink(NamedTuple):
    """A pointer to another span."""

    trace_id: bytes
    span_id: bytes
    attributes: Attributes


class Span(NamedTuple):
    """A finished span. Times are nanoseconds since the epoch."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    """Empty for a root."""
    name: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: Attributes
    links: tuple[SpanLink, ...] = ()
    is_error: bool = False
    message: str = ""
    """Of the error, where the record kept it, redacted."""
    flags: int = 1
    """W3C trace flags."""


class Told(NamedTuple):
    """How records are told to one destination."""

    vocabulary: Vocabulary
    content_limit: int = 0
    """Bytes of messages an attribute may hold; 0 leaves messages out."""


def spans_of(record: Record, told: Told, sample_ratio: float | None = None, *, whole: bool = False) -> list[Span]:
    """The spans of a record, the root first; each before its children.

    ``sample_ratio``: by which share the record was chosen, if it was; stands on the root. ``whole``: the root is
    ``interlay.call`` in any case.
    """
    facts = known.run(record)
    if sample_ratio is not None and sample_ratio < 1:
        facts["sample_ratio"] = sample_ratio
    tree = _Tree(record, told)
    if record.operation in known.FUNCTIONS:
        tree.function(facts)
        return tree.spans
    groups = exchanges(record)
    # That something was tried again is told by its attempts, and a shadow changes nothing.
    judged = any(verdict.action != "retry" and not verdict.shadow for verdict in record.verdicts)
    checks = [verdict for verdict in record.verdicts if _took_time(verdict)]
    if len(groups) == 1 and not whole and not judged and not checks and record.cache is None:
        tree.exchange(groups[0], facts)
    else:
        tree.call(groups, facts)
        if record.cache is not None and _took_time(record.cache):
            tree.part("interlay.cache.lookup", "lookup", record.cache, known.lookup(record))
        for verdict in checks:
            tree.part(f"interlay.guard {verdict.layer}", "guard", verdict, known.check(verdict))
        for number, sends in enumerate(groups):
            tree.exchange(sends, None, groups[number - 1][-1] if number else None)
    return tree.spans


def is_one_exchange(record: Record) -> bool:
    """Whether a record is told by one span: one send, and nothing decided about it."""
    return len(record.attempts) == 1 and not record.verdicts and record.cache is None


def one_exchange(record: Record, told: Told) -> tuple[Attributes, str | None, int]:
    """What the one span of such a record says, the message of its error (None: no error), and when it ended."""
    (send,) = attempts = record.attempts
    plain = record.operation == "http"
    facts = known.http(record, attempts) if plain else known.exchange(record, attempts)
    facts.update(known.run(record))
    if record.contents is not None:
        facts.update(known.contents(record))
    attributes = told.vocabulary.attributes(facts, "http" if plain else "chat", content_limit=told.content_limit)
    error = record.error
    message = None if "error_type" not in facts else "" if error is None else error.message or ""
    return attributes, message, _ns(send.started_at + send.seconds)


def exchanges(record: Record) -> list[list[Attempt]]:
    """A record's sends, grouped: those to one target, up to and including the one that was billed."""
    groups: list[list[Attempt]] = []
    for send in record.attempts:
        if groups:
            last = groups[-1][-1]
            if not last.billed and (last.target, last.provider, last.model) == (send.target, send.provider, send.model):
                groups[-1].append(send)
                continue
        groups.append([send])
    return groups


def _took_time(part: Verdict | CacheOutcome) -> bool:
    return part.started_at is not None and part.seconds >= _REAL_SECONDS


def trace_id(call_id: str) -> bytes:
    """The trace of a call that came with none of its own."""
    return hashlib.blake2b(call_id.encode(), digest_size=16, person=_PERSON_TRACE).digest()


def root_span_id(record_id: str) -> bytes:
    """The root span of a record that came with none of its own."""
    return hashlib.blake2b(record_id.encode(), digest_size=8 * _IDS, person=_PERSON_SPAN).digest()[:8]


def trace_within(parent: Parent) -> Trace:
    """Where in a trace a call stands that is made in another one, or in an observed function.

    The parent's own place, where it is known, else the one that its record will be given.
    """
    known_place = parent.trace
    if known_place is not None and known_place.span_id is not None:
        return Trace(trace_id=known_place.trace_id, parent_span_id=known_place.span_id, flags=known_place.flags)
    top = parent
    while top.parent is not None:
        top = top.parent
    trace = trace_id(getattr(top, "call_id", top.id)).hex()
    return Trace(trace_id=trace, parent_span_id=root_span_id(parent.id).hex(), flags=1)


_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(-.*)?"
)
"""W3C trace context; versions to come may say more at the end."""


def trace_of(header: str) -> Trace | None:
    """Where a call stands whose request has this ``traceparent``; None where it says nothing that can be read."""
    said = _TRACEPARENT.fullmatch(header.strip())
    if said is None:
        return None
    return Trace(trace_id=said["trace"], parent_span_id=said["span"], flags=int(said["flags"], 16) & 1)


def traceparent(place: Trace, record_id: str) -> str:
    """The header by which a provider is told where in a trace its request stands."""
    return f"00-{place.trace_id}-{place.span_id or root_span_id(record_id).hex()}-{place.flags:02x}"


class _Ids:
    """The ids of one record's spans."""

    __slots__ = ("_digest", "_record_id", "_taken", "flags", "parent", "root", "trace")

    def __init__(self, record: Record) -> None:
        self._record_id = record.id
        self._digest = b""
        self._taken = 1
        self.flags = 1
        trace = record.trace
        if trace is not None and trace.span_id is not None:
            self.root = bytes.fromhex(trace.span_id)
        else:
            self.root = self._ids(0)[:8]
        if trace is not None:
            self.trace = bytes.fromhex(trace.trace_id)
            self.parent = bytes.fromhex(trace.parent_span_id or "")
            self.flags = trace.flags
        elif record.parent_id is not None:
            self.trace, self.parent = trace_id(record.parent_id), root_span_id(record.parent_id)
        elif record.id != record.call_id:
            # An SDK above us tried again: what it does so stands under its first try.
            self.trace, self.parent = trace_id(record.call_id), root_span_id(record.call_id)
        else:
            self.trace, self.parent = trace_id(record.call_id), _NOTHING

    def next(self) -> bytes:
        """The next of the ids that are not the root's."""
        place = self._taken % _IDS
        if place == 0 or not self._digest:
            self._ids(self._taken // _IDS)
        self._taken += 1
        return self._digest[8 * place : 8 * place + 8]

    def _ids(self, number: int) -> bytes:
        salt = number.to_bytes(8, "big")
        record_id = self._record_id.encode()
        self._digest = hashlib.blake2b(record_id, digest_size=8 * _IDS, person=_PERSON_SPAN, salt=salt).digest()
        return self._digest


class _Tree:
    """The spans of one record while they are made."""

    __slots__ = ("_ids", "_last", "_record", "_told", "spans")

    def __init__(self, record: Record, told: Told) -> None:
        self._record = record
        self._told = told
        self._ids = _Ids(record)
        self._last: Span | None = None
        self.spans: list[Span] = []

    def call(self, groups: Sequence[Sequence[Attempt]], facts: known.Facts) -> None:
        """The root where there is more to tell than one exchange."""
        record, ids = self._record, self._ids
        facts["alias"] = record.model
        facts["targets"] = len(groups)
        facts["fallback"] = len({sends[-1].target for sends in groups}) > 1
        cost = record.cost
        if cost is not None:
            facts["cost_source"] = cost.source
            if cost.amount is not None:
                facts["call_cost"] = float(cost.amount)
        # Messages stand on the exchange that said them; here where there was none, or where viewers look first.
        if record.contents is not None and (not groups or self._told.vocabulary.shows_calls):
            facts.update(known.contents(record))
        is_error = record.end == "error"
        if is_error and record.error is not None:
            facts["error_type"] = record.error.type
        self.spans.append(
            Span(
                ids.trace,
                ids.root,
                ids.parent,
                "interlay.call",
                INTERNAL,
                _ns(record.started_at),
                _ns(record.ended_at),
                self._attributes(facts, "call"),
                self._links(),
                is_error,
                self._message() if is_error else "",
                ids.flags,
            )
        )

    def function(self, root: known.Facts) -> None:
        """A run of a function that is observed."""
        record, ids = self._record, self._ids
        facts = {**root, **known.function(record)}
        del facts["overhead"]
        is_error = record.end == "error"
        self.spans.append(
            Span(
                ids.trace,
                ids.root,
                ids.parent,
                f"{facts['operation']} {record.target}",
                INTERNAL,
                _ns(record.started_at),
                _ns(record.ended_at),
                self._attributes(facts, record.operation),
                self._links(),
                is_error,
                self._message() if is_error else "",
                ids.flags,
            )
        )

    def exchange(self, sends: Sequence[Attempt], root: known.Facts | None, before: Attempt | None = None) -> None:
        """One target's span, with the facts of the whole where it is the root; linked to the one ``before``."""
        record, ids = self._record, self._ids
        first, last = sends[0], sends[-1]
        kind = "http" if record.operation == "http" else "chat"
        facts = known.http(record, sends) if kind == "http" else known.exchange(record, sends)
        served = last is record.attempts[-1]
        if served and record.contents is not None:
            facts.update(known.contents(record))
        if kind == "http":
            name = record.method
        else:
            name = f"{record.operation} {facts['model']}" if facts["model"] else record.operation
        if root is not None:
            span_id, parent, links = ids.root, ids.parent, self._links()
            facts.update(root)
        else:
            span_id, parent, links = ids.next(), ids.root, ()
        if before is not None and self._last is not None:
            reason = "retry_of" if before.target == first.target else "fallback_from"
            links = (self._link(self._last.trace_id, self._last.span_id, {"link_reason": reason}),)
        is_error = "error_type" in facts
        span = Span(
            ids.trace,
            span_id,
            parent,
            name,
            CLIENT,
            _ns(first.started_at),
            _ns(last.started_at + last.seconds),
            self._attributes(facts, kind),
            links,
            is_error,
            self._message() if is_error and served else "",
            ids.flags,
        )
        self._last = span
        self.spans.append(span)
        if len(sends) > 1:
            self.spans += [self._attempt(number, send, span_id) for number, send in enumerate(sends, 1)]

    def part(self, name: str, kind: str, part: Verdict | CacheOutcome, facts: known.Facts) -> None:
        """A check, or a look-up, where it stood."""
        ids, began = self._ids, part.started_at or 0.0
        attributes = self._attributes(facts, kind)
        start, end = _ns(began), _ns(began + part.seconds)
        span = Span(ids.trace, ids.next(), ids.root, name, INTERNAL, start, end, attributes, flags=ids.flags)
        self.spans.append(span)

    def _attempt(self, number: int, send: Attempt, parent: bytes) -> Span:
        ids = self._ids
        return Span(
            ids.trace,
            ids.next(),
            parent,
            f"interlay.attempt {number}",
            CLIENT,
            _ns(send.started_at),
            _ns(send.started_at + send.seconds),
            self._attributes(known.attempt(number, send), "attempt"),
            is_error=send.error is not None and send.error.type != "cancelled",
            flags=ids.flags,
        )

    def _attributes(self, facts: known.Facts, kind: str) -> Attributes:
        return self._told.vocabulary.attributes(facts, kind, content_limit=self._told.content_limit)

    def _links(self) -> tuple[SpanLink, ...]:
        links = self._record.links
        if not links:
            return ()
        return tuple([self._pointer(link) for link in links])

    def _pointer(self, link: Link) -> SpanLink:
        trace, span = trace_id(link.id), root_span_id(link.id)
        if link.trace_id is not None and link.span_id is not None:
            trace, span = bytes.fromhex(link.trace_id), bytes.fromhex(link.span_id)
        # Where no more than its id is known, the other is taken to be the first of its call, in a trace of its own.
        return self._link(trace, span, {"link_reason": link.kind, "link_record": link.id})

    def _link(self, trace: bytes, span: bytes, facts: known.Facts) -> SpanLink:
        return SpanLink(trace, span, self._attributes(facts, "link"))

    def _message(self) -> str:
        error = self._record.error
        return (error.message or "") if error is not None else ""


def _ns(seconds: float) -> int:
    return int(seconds * 1_000_000) * 1000  # a float of today's date is good to a microsecond
