"""Spans and figures in a program that has OpenTelemetry set up itself: in its own provider, by its own rules.

Spans are begun when a call begins and ended when it has ended, so its sampler, processors, limits and parents are all
respected. A call's span is current while its request is sent, so that what an instrumentation of the HTTP library makes
stands under it, and at no other time: a stream is read in the program's own code, and a span attached round a
``yield`` would be current there. The context is taken once, at the start, and handed on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from contextvars import Token
from typing import Any, Final, NamedTuple, cast

from opentelemetry import context as contexts
from opentelemetry import metrics, propagate, trace
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from interlay.chain.call import Call, Route
from interlay.chain.chain import Chain
from interlay.chain.current import Function, Parent
from interlay.chain.layer import Role
from interlay.chain.recorder import Observe
from interlay.chain.run import Run
from interlay.model.record import Record
from interlay.model.record import Trace as Place
from interlay.telemetry import facts as known
from interlay.telemetry.instruments import Instrument
from interlay.telemetry.metrics import Labels
from interlay.telemetry.otlp import SCOPE
from interlay.telemetry.spans import Span as Finished
from interlay.telemetry.spans import SpanLink, Told, is_one_exchange, one_exchange, spans_of
from interlay.telemetry.vocabulary import DEFAULT, PROVIDERS, UNKNOWN_PROVIDER, VOCABULARIES, Attributes, VocabularyName

_OPEN: Final = 10_000
"""Spans that have not ended, beyond which the oldest are ended as they are."""
_WHOLE: Final = (Role.GUARD, Role.CACHE, Role.ROUTE)
"""Roles by which there may be no exchange, or several: the call is a span of its own then."""
_KINDS: Final = {1: SpanKind.INTERNAL, 3: SpanKind.CLIENT}
_CHAINS: Final = 100
_KNOWN: Final = 1_000
"""Beginnings that are remembered."""
_W3C: Final = {"traceparent", "tracestate", "baggage"}
_FEW: Final = 1_000
"""Chunks of one stream whose times are told one by one."""


class Trace(Observe):
    """A span for each call in a tracer provider of the program's own: ``interlay.wrap(client, Trace())``.

    Args:
        tracer_provider: whose spans they are; by default the global one.
        vocabulary: whose names they use.
        content_limit: bytes of messages an attribute may hold, where records keep messages; 0 leaves them out.
        propagate: tell the provider where in the trace its request stands, in the way the program has set for its
            own requests (``traceparent``). Where nothing is current, a call whose request has such a header stands
            under the span that it names.
        version: of the instrumentation scope.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        *,
        vocabulary: VocabularyName = DEFAULT,
        content_limit: int = 0,
        propagate: bool = True,
        version: str | None = None,
    ) -> None:
        tracer = trace.get_tracer(SCOPE, version, tracer_provider)
        self.spans = LiveSpans(tracer, Told(VOCABULARIES[vocabulary], content_limit), propagate=propagate)
        super().__init__(self.spans, inline=True)


class _Begun(NamedTuple):
    span: Span
    name: str
    attributes: Mapping[str, str | int]
    """That it has from the start."""
    whole: bool
    counted: bool
    """Whether an SDK's own span tells the usage."""


class _Beginning(NamedTuple):
    """What calls of one kind to one place begin with. The attributes are all that a sampler sees."""

    name: str
    kind: SpanKind
    attributes: Mapping[str, str | int]


class _Around:
    """Makes a function's span current while the function is at work, a call's while it is sent."""

    __slots__ = ("_span", "_within")

    def __init__(self, span: Span, within: contexts.Context | None = None) -> None:
        self._span = span
        self._within = within
        """With the span in it; a function may be at work in many, one after the other."""

    def enter(self) -> object:
        within = self._within
        return contexts.attach(within if within is not None else trace.set_span_in_context(self._span))

    def leave(self, entered: object) -> None:
        token = cast("Token[contexts.Context]", entered)
        # Not `detach`, which logs an error where a send was dropped and ends in a context that it never was in.
        with suppress(ValueError):
            token.var.reset(token)


class LiveSpans:
    """What ``Trace`` hands to the chain."""

    def __init__(self, tracer: trace.Tracer, told: Told, *, propagate: bool) -> None:
        self._tracer = tracer
        self._told = told
        self._propagate = propagate
        self._open: dict[str, _Begun] = {}
        self._wholes: dict[Chain, bool] = {}
        self._beginnings: dict[tuple[Route | None, str | None, str], _Beginning] = {}
        self._textmap: object = None
        self._is_plain = False
        """Whether the program tells others of its traces as the W3C has it, and no other way."""

    def on_start(self, call: Call) -> None:
        """A call enters the chain."""
        if call.run.around is not None:
            return  # it has a span in another provider
        context = contexts.Context() if _begins_anew(call) else _around(call.parent)
        outer = trace.get_current_span(context)
        if not outer.get_span_context().is_valid and "traceparent" in call.request.headers and not _begins_anew(call):
            context = propagate.extract(call.request.headers, context)
            outer = trace.get_current_span(context)
        whole = self._tells_whole(call.chain)
        name, kind, attributes = self._beginning(call, whole=whole)
        began_ns = int(call.run.started_at * 1_000_000) * 1000
        span = self._tracer.start_span(name, context, kind, attributes, (), began_ns)
        place = self._place(call.run, span, outer)
        if place is None:
            return
        within = trace.set_span_in_context(span, context)
        call.run.around = _Around(span, within)
        if self._propagate:
            self._tell_provider(call, span, place, within)
        if span.is_recording():
            self._keep(call.id, _Begun(span, name, attributes, whole, _tells_usage(outer, call)))

    def _beginning(self, call: Call, *, whole: bool) -> _Beginning:
        """A call's span as it begins, made once for all that begin alike."""
        method = call.request.method
        # A whole call's has an id in it, and none is like another.
        key = (None if whole else call.route, call.model, method)
        known_already = self._beginnings.get(key) if not whole else None
        if known_already is not None:
            return known_already
        name, kind, facts = _beginning(call, whole=whole)
        names = self._told.vocabulary.names
        attributes = {names[fact]: value for fact, value in facts.items() if value is not None and fact in names}
        made = _Beginning(name, kind, attributes)
        if not whole:
            if len(self._beginnings) >= _KNOWN:
                self._beginnings.clear()
            self._beginnings[key] = made
        return made

    def _tell_provider(self, call: Call, span: Span, place: Place, within: contexts.Context) -> None:
        """Say in the request where in the trace it stands."""
        textmap = propagate.get_global_textmap()
        if textmap is not self._textmap:
            self._textmap = textmap
            self._is_plain = type(textmap) is CompositePropagator and textmap.fields == _W3C
        if self._is_plain and len(within) == 1 and not span.get_span_context().trace_state:
            # The one thing in there is the span, so there is no baggage to be sent along.
            call.request.headers["traceparent"] = f"00-{place.trace_id}-{place.span_id}-{place.flags:02x}"
        else:
            propagate.inject(call.request.headers, within)

    @staticmethod
    def _place(of: Run | Function, span: Span, outer: Span) -> Place | None:
        """Say where in the trace something stands. None where the span is none."""
        own, above = span.get_span_context(), outer.get_span_context()
        if not own.is_valid:
            return None
        of.trace = place = Place(
            trace_id=f"{own.trace_id:032x}",
            span_id=f"{own.span_id:016x}",
            parent_span_id=f"{above.span_id:016x}" if above.is_valid else None,
            flags=int(own.trace_flags),
        )
        return place

    def _keep(self, id: str, begun: _Begun) -> None:
        if len(self._open) >= _OPEN:
            self._open.pop(next(iter(self._open))).span.end()
        self._open[id] = begun

    def on_begin(self, function: Function) -> None:
        """An observed function begins. Its span is current while it is at work."""
        if function.around is not None:
            return  # it has a span in another provider
        name, facts = f"{known.FUNCTIONS[function.kind]} {function.name}", known.called(function.kind, function.name)
        names = self._told.vocabulary.names
        attributes = {names[fact]: value for fact, value in facts.items() if fact in names}
        began_ns = int(function.started_at * 1_000_000) * 1000
        context = _around(function.parent)
        span = self._tracer.start_span(name, context, SpanKind.INTERNAL, attributes, (), began_ns)
        if self._place(function, span, trace.get_current_span(context)) is None:
            return
        function.around = _Around(span)
        if span.is_recording():
            self._keep(function.id, _Begun(span, name, attributes, whole=False, counted=False))

    def on_end(self, record: Record) -> None:
        """A record was sealed."""
        begun = self._open.pop(record.id, None)
        if begun is None:
            return
        if is_one_exchange(record) and not begun.whole and not record.links:
            self._end_one(begun, record)
        else:
            self._end_tree(begun, record)

    def _end_one(self, begun: _Begun, record: Record) -> None:
        """Nearly every call."""
        attributes, error, end_ns = one_exchange(record, self._told)
        for name in begun.attributes:
            attributes.pop(name, None)  # it has these
        self._uncount(begun, attributes)
        span = begun.span
        span.set_attributes(attributes)  # type: ignore[arg-type]  # spans hold no structured values
        if error is not None:
            span.set_status(Status(StatusCode.ERROR, error or None))
        span.end(end_ns)

    def _end_tree(self, begun: _Begun, record: Record) -> None:
        spans = spans_of(record, self._told, whole=begun.whole)
        for each in spans:
            self._uncount(begun, each.attributes)
        root = spans[0]
        span = begun.span
        if root.name != begun.name:
            span.update_name(root.name)
        span.set_attributes(root.attributes)  # type: ignore[arg-type]
        for link in root.links:
            span.add_link(_context(link), _plain(link))
        live = {root.span_id: span}
        for child in spans[1:]:
            live[child.span_id] = self._make(child, live, span)
        _end(span, root)

    def _uncount(self, begun: _Begun, attributes: Attributes) -> None:
        if begun.counted:
            names = self._told.vocabulary.names
            for fact in known.USAGE:
                attributes.pop(names.get(fact, ""), None)

    def _tells_whole(self, chain: Chain | None) -> bool:
        """Whether the call is a span of its own round its exchanges."""
        if chain is None:
            return False
        whole = self._wholes.get(chain)
        if whole is None:
            if len(self._wholes) >= _CHAINS:
                self._wholes.clear()
            whole = self._wholes[chain] = any(chain.owns(role) for role in _WHOLE)
        return whole

    def _make(self, child: Finished, live: Mapping[bytes, Span], root: Span) -> Span:
        """A span that is over already."""
        links = [
            trace.Link(live[link.span_id].get_span_context() if link.span_id in live else _context(link), _plain(link))
            for link in child.links
        ]
        span = self._tracer.start_span(
            child.name,
            trace.set_span_in_context(live.get(child.parent_id, root), contexts.Context()),
            _KINDS[child.kind],
            child.attributes,  # type: ignore[arg-type]
            links,
            child.start_ns,
        )
        _end(span, child)
        return span


class MeterSink:
    """Measurements into the instruments of a meter provider of the program's own."""

    def __init__(self, meter_provider: metrics.MeterProvider | None = None, version: str = "") -> None:
        self._meter = metrics.get_meter(SCOPE, version, meter_provider)
        self._instruments: dict[Instrument, Any] = {}
        self._attributes: dict[tuple[Instrument, Labels], dict[str, str | int]] = {}

    def add(self, instrument: Instrument, labels: Labels, value: float) -> None:
        """See ``Sink``."""
        attributes = self._labels(instrument, labels)
        made = self._made(instrument)
        if instrument.kind == "histogram":
            made.record(value, attributes)
        elif instrument.kind == "gauge":
            made.set(value, attributes)
        else:
            made.add(value, attributes)

    def add_counts(self, instrument: Instrument, labels: Labels, counts: Sequence[int], total: float) -> None:
        """See ``Sink``. This interface takes one value at a time: each is told as its bucket's middle."""
        attributes, made, left = self._labels(instrument, labels), self._made(instrument), _FEW
        edges = (0.0, *instrument.bounds, 2 * instrument.bounds[-1])
        for place, count in enumerate(counts):
            middle = (edges[place] + edges[place + 1]) / 2
            for _ in range(min(count, left)):
                made.record(middle, attributes)
            left -= min(count, left)

    def _made(self, instrument: Instrument) -> Any:  # noqa: ANN401 - one of three kinds
        made = self._instruments.get(instrument)
        if made is None:
            name, unit, text = instrument.name, instrument.unit, instrument.description
            if instrument.kind == "histogram":
                bounds = list(instrument.bounds)
                made = self._meter.create_histogram(name, unit, text, explicit_bucket_boundaries_advisory=bounds)
            elif instrument.kind == "gauge":
                made = self._meter.create_gauge(name, unit, text)
            else:
                made = self._meter.create_counter(name, unit, text)
            self._instruments[instrument] = made
        return made

    def _labels(self, instrument: Instrument, labels: Labels) -> dict[str, str | int]:
        found = self._attributes.get((instrument, labels))
        if found is None:
            if len(self._attributes) >= _OPEN:
                self._attributes.clear()
            found = self._attributes[instrument, labels] = {
                name: value for name, value in zip(instrument.labels, labels, strict=True) if value is not None
            }
        return found


def before_reading(meter_provider: metrics.MeterProvider | None, version: str, fold: Callable[[], None]) -> None:
    """Have ``fold`` called before the program's own readers collect: a gauge without values is asked for them."""

    def observe(_options: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        fold()
        return ()

    metrics.get_meter(SCOPE, version, meter_provider).create_observable_gauge("interlay.waiting", [observe])


def _around(parent: Parent | None) -> contexts.Context:
    """The context that something begins in. What a layer does stands under its call, which is nowhere current; what
    is done in a function under its span, which is."""
    context = contexts.get_current()
    if isinstance(parent, Call) and parent.trace is not None and parent.trace.span_id is not None:
        return trace.set_span_in_context(trace.NonRecordingSpan(_context(parent.trace)), context)
    return context


def _begins_anew(call: Call) -> bool:
    """Whether a child was made beside its parent, which does not wait for it: its trace is another."""
    return any(link.kind == "refresh" for link in call.run.links)


def _beginning(call: Call, *, whole: bool) -> tuple[str, SpanKind, known.Facts]:
    """A span's name, kind and first attributes, which are all that a sampler sees."""
    if whole:
        return "interlay.call", SpanKind.INTERNAL, {"alias": call.model, "call_id": call.call_id}
    server = call.route.server
    facts: known.Facts = {"server_address": server.address, "server_port": server.port}
    if call.operation == "http":
        method = call.request.method
        return method, SpanKind.CLIENT, {**facts, "method": method, "url": call.route.target}
    provider, model = call.provider, call.model
    facts |= {
        "operation": call.operation,
        "provider": PROVIDERS.get(provider, provider) if provider else UNKNOWN_PROVIDER,
        "model": model,
    }
    return f"{call.operation} {model}" if model else call.operation, SpanKind.CLIENT, facts


def _tells_usage(outer: Span, call: Call) -> bool:
    """Whether the span above is one that the SDK makes for this very call: then it tells the usage."""
    attributes = getattr(outer, "attributes", None)
    if not isinstance(attributes, Mapping) or not outer.is_recording():
        return False
    named = attributes.get("gen_ai.operation.name"), attributes.get("gen_ai.request.model")
    return named == (call.operation, call.model)


def _context(place: Place | SpanLink) -> SpanContext:
    if isinstance(place, SpanLink):
        trace_id, span_id = int.from_bytes(place.trace_id, "big"), int.from_bytes(place.span_id, "big")
        return SpanContext(trace_id, span_id, is_remote=True)
    flags = TraceFlags(place.flags)
    return SpanContext(int(place.trace_id, 16), int(place.span_id or "0", 16), is_remote=False, trace_flags=flags)


def _plain(link: SpanLink) -> dict[str, Any]:
    return dict(link.attributes)


def _end(span: Span, told: Finished) -> None:
    if told.is_error:
        span.set_status(Status(StatusCode.ERROR, told.message or None))
    span.end(told.end_ns)
