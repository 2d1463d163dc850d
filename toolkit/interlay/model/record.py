"""The record: what became of one run of a chain. Everything a person or a program looks at is one of these."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal, TypeVar

import msgspec

from interlay.model.cost import Cost, CostLine
from interlay.model.usage import Usage

End = Literal["complete", "closed", "cancelled", "error", "lost"]
"""How a run ended. ``complete``: the dialect's terminal event, or a body's framed end, was seen. ``closed``: the
reader closed early. ``cancelled``: the task was cancelled, or Ctrl-C. ``error``: a refusal, a status of 400 and
above, a timeout, a cut. ``lost``: the reader dropped the response without closing it."""


class Identity(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """On whose behalf a call is made. Set by ``interlay.using()`` or by the gateway."""

    tenant: str | None = None
    """The customer, where a program serves several."""
    user: str | None = None
    """Who asks, in the program's own words."""
    key: str | None = None
    """The name of the key that a gateway let in."""
    session: str | None = None
    """The conversation."""
    tags: tuple[str, ...] = ()
    """Words to find and sum records by."""


class Failure(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """What went wrong, in words that carry no contents."""

    type: str
    """Low-cardinality name: the provider's error type or code, else ``http_429``, ``connect``, ``read``,
    ``timeout``, ``cut`` (bytes ended before the terminal event), ``cancelled``, or an exception's class name."""
    code: str | None = None
    status: int | None = None
    """HTTP status, where there was one."""
    request_id: str | None = None
    message: str | None = None
    """The provider's own message. It can echo keys and prompts, so it is kept only with contents on."""


class Server(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Where the request was sent."""

    address: str
    port: int


class Trace(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """W3C trace context taken at the start of the run; ids in lower-case hexadecimal."""

    trace_id: str
    span_id: str | None = None
    parent_span_id: str | None = None
    flags: int = 0


class Link(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """A pointer to another record and why: ``fallback``, ``cache_producer`` (it made the entry that this one was
    answered with), ``follower`` (this one shared its answer while it was under way), ``heir`` (it went on with the
    request that this one began), ``refresh`` (that one was given a stale answer, which this one asks for anew),
    ``hedge``."""

    id: str
    kind: str
    trace_id: str | None = None
    """The other record's place in a trace, as its own ``trace`` says it; None where nobody kept it."""
    span_id: str | None = None


class Answered(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """Facts of the response that are no contents."""

    id: str | None = None
    status: int | None = None
    request_id: str | None = None
    finish_reasons: tuple[str, ...] = ()
    """Canonical: ``stop``, ``length``, ``tool_calls``, ``content_filter``, ``error``; others as the provider
    has them. One per choice."""
    service_tier: str | None = None
    bytes: int = 0
    """Bytes of the body as they came over the wire."""


class Chunks(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """Timing of a stream. ``buckets`` counts the gaps between chunks by the upper bounds of the OpenTelemetry
    GenAI duration buckets (seconds: .01 .02 .04 … 81.92, and one above)."""

    count: int = 0
    buckets: tuple[int, ...] = ()


class Attempt(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """One send over the wire."""

    target: str
    """URL without query, credentials and fragment."""
    provider: str | None = None
    model: str | None = None
    status: int | None = None
    started_at: float
    """Seconds since the epoch."""
    seconds: float
    """From the send to the end of its response, by the monotonic clock."""
    error: Failure | None = None
    billed: bool = False
    usage: Usage | None = None
    cost: Cost | None = None


class CacheOutcome(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """What a cache did: ``hit``, ``miss``, ``stale``, ``bypass``, ``error``, and why."""

    outcome: Literal["hit", "miss", "stale", "bypass", "error"]
    reason: str
    age: float | None = None
    """Seconds since the entry was made."""
    entry: str | None = None
    started_at: float | None = None
    """When the look-up began, seconds since the epoch; None where nobody took the time."""
    seconds: float = 0.0
    shadow: bool = False
    """True when the cache only said what it would have done."""


class Verdict(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """What a layer decided: ``allow``, ``annotate``, ``redact``, ``block``, ``retry``, ``reroute``."""

    layer: str
    action: Literal["allow", "annotate", "redact", "block", "retry", "reroute"]
    reason: str | None = None
    shadow: bool = False
    """True when the layer only said what it would have done."""
    started_at: float | None = None
    """When it began to look, seconds since the epoch; None where nobody took the time."""
    seconds: float = 0.0


class Change(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Something a layer or a translation altered or dropped."""

    by: str
    what: str


class Contents(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """Messages of a call, redacted, as canonical JSON. Present only when the user asked for contents."""

    input: list[dict[str, Any]] = []
    output: list[dict[str, Any]] = []
    tools: list[dict[str, Any]] = []
    truncated: bool = False


class Record(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """One run of a chain, sealed when the run ended. Times are seconds since the epoch; durations come from the
    monotonic clock. ``to_json()`` prints the public names, money as strings."""

    id: str
    """Twenty hexadecimal digits, random."""
    call_id: str
    """Shared by the runs of one call: the retries an SDK makes above the wire continue it."""
    parent_id: str | None = None
    """The call during which a layer, or a scope of the program, made this one."""
    operation: str
    """``chat``, ``embeddings``, …; ``http`` for a request no dialect knows; ``tool``, ``agent`` or ``workflow`` for a
    function that is observed."""
    dialect: str | None = None
    """The wire API, such as ``openai-chat``; None for plain HTTP."""
    provider: str | None = None
    """Who answered, by the catalogue of hosts or as ``wrap(provider=…)`` says; None where nobody knows."""
    model: str | None = None
    """As asked for."""
    served_model: str | None = None
    """As the response names it."""
    target: str
    """URL without query, credentials and fragment; a function's name."""
    method: str = "POST"
    """Empty for a function."""
    """Of the HTTP request."""
    identity: Identity = Identity()
    """On whose behalf."""
    streamed: bool = False
    """Whether an event stream was asked for."""
    started_at: float
    """When the run began."""
    first_event_at: float | None = None
    """When the first event came; the first bytes, of a plain body."""
    ended_at: float
    """When the response ended."""
    duration: float
    """Seconds, monotonic, from the first layer to the end of the response."""
    time_to_first_event: float | None = None
    """Seconds, monotonic; streams only."""
    overhead: float = 0.0
    """Seconds spent in interlay itself: the duration less the time spent waiting for the wire and the reader."""
    end: End
    """``complete``, ``closed``, ``cancelled``, ``error`` or ``lost``."""
    error: Failure | None = None
    """What went wrong, where something did."""
    parameters: dict[str, Any] = {}
    """Temperature, max tokens and their kin; numbers, booleans and short words, no contents."""
    response: Answered | None = None
    """Facts of the response; None where none came."""
    server: Server | None = None
    """Where the request was sent."""
    trace: Trace | None = None
    """The trace this call is part of, where there is one."""
    links: tuple[Link, ...] = ()
    """Other records that this one has to do with."""
    chunks: Chunks | None = None
    """How a stream came."""
    key: str | None = None
    """What a cache knows the request by."""
    attempts: tuple[Attempt, ...] = ()
    """The requests that were sent, in order."""
    usage: Usage | None = None
    """What was used, over all attempts; None where nobody reported it."""
    cost: Cost | None = None
    """What it cost, over all attempts; None for what is no call to a model."""
    cache: CacheOutcome | None = None
    """What a cache did."""
    verdicts: tuple[Verdict, ...] = ()
    """What layers decided, in order."""
    changes: tuple[Change, ...] = ()
    """What was altered or dropped on the way."""
    body: Literal["open", "sealed", "opaque"] = "open"
    """``open``; ``sealed``: signed above interlay; ``opaque``: not looked into."""
    contents: Contents | None = None
    """Messages, redacted; None unless they were asked for."""
    resource: dict[str, Any] = {}
    """Of a record that was read from a journal: the process that wrote it, by OpenTelemetry's resource attributes, such
    as ``service.name`` and ``process.pid``."""

    def to_json(self) -> bytes:
        """The record as one line of JSON, by its public names."""
        data = _ENCODER.encode(self)
        if b"E-" in data or b"E+" in data:  # maybe money, as Decimal writes what is small: 3.6E-7
            data = _ENCODER.encode(_in_digits(self))
        return data

    @classmethod
    def from_json(cls, data: bytes | str) -> Record:
        """Read what ``to_json`` wrote. Unknown fields are ignored. Raises ``msgspec.ValidationError``."""
        return _DECODER.decode(data)


S = TypeVar("S", bound=msgspec.Struct)


def _in_digits(part: S) -> S:
    """``part`` with every amount of money in it as a string of plain digits; for the encoder alone."""
    changed: dict[str, Any] = {}
    for name in part.__struct_fields__:
        value = getattr(part, name)
        if isinstance(value, Decimal):
            changed[name] = f"{value:f}"
        elif isinstance(value, Cost | Usage):
            changed[name] = _in_digits(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], Attempt | CostLine):
            changed[name] = tuple(map(_in_digits, value))
    return msgspec.structs.replace(part, **changed) if changed else part


_ENCODER = msgspec.json.Encoder(decimal_format="string")
_DECODER = msgspec.json.Decoder(Record)
