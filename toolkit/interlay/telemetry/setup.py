"""What ``interlay.setup()`` starts: metrics of every record, a shipper for each destination, Prometheus, live spans."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from time import monotonic, time_ns
from types import ModuleType
from typing import Any, Final, Protocol

from interlay.chain.call import Call
from interlay.chain.recorder import Observe, Recorder
from interlay.model.errors import ConfigError
from interlay.model.record import Record
from interlay.telemetry import otlp, settings
from interlay.telemetry.metrics import Metrics, Tally
from interlay.telemetry.origin import Origin
from interlay.telemetry.sending import Endpoint, HTTPTransport, Signal, Transport
from interlay.telemetry.settings import OTLP, Destination
from interlay.telemetry.shipping import Delivery, Shipper
from interlay.telemetry.sources import JournalSource, MemorySource, Source
from interlay.telemetry.spans import trace_of, trace_within, traceparent
from interlay.telemetry.vocabulary import DEFAULT, VocabularyName

logger = logging.getLogger("interlay.setup")

Export = OTLP | str | Sequence[OTLP | str] | bool | None
"""Where to: an ``OTLP``, the URL of one, several of both, False for nowhere, None for what the environment says."""

_GROUP: Final = "interlay.exporters"
_EXTRAS: Final = {"otlp-grpc": "otlp-grpc", "prometheus": "prometheus"}


class _Listening(Protocol):
    def serve(self, host: str, port: int) -> int: ...

    def close(self) -> None: ...


class _Places:
    """Says of a call that is made in another one, or whose request names a span, where in its trace it stands; others
    are told by their ids. Who named a span to the provider now names the call's own."""

    def on_start(self, call: Call) -> None:
        run, headers = call.run, call.request.headers
        if run.trace is None and call.parent is not None:
            run.trace = trace_within(call.parent)
        if "traceparent" in headers:
            if run.trace is None:
                run.trace = trace_of(headers["traceparent"])
            if run.trace is not None:
                headers["traceparent"] = traceparent(run.trace, call.id)

    def on_end(self, record: Record) -> None:
        """Nothing: observers are taken back by this method."""


class Telemetry:
    """Everything that looks at a recorder's records for the sake of somebody else. Raises ``ConfigError``.

    Args:
        recorder: whose records.
        journal: the folder they are kept in, if they are.
        origin: which service and process this is.
        export: see ``Export``.
        prometheus: an address to answer scrapes at, True for the process's own registry, None for what the
            environment says.
        tracer_provider: the program's own; None: the global one, if there is one; False: none.
        meter_provider: likewise.
        env: the environment.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        journal: Path | None,
        origin: Origin,
        export: Export = None,
        prometheus: tuple[str, int] | bool | None = None,
        tracer_provider: Any = None,  # noqa: ANN401 - OpenTelemetry is not imported here
        meter_provider: Any = None,  # noqa: ANN401
        env: Mapping[str, str],
    ) -> None:
        self._recorder = recorder
        self._version = version = origin.version
        self._journal = journal
        self._memory: list[MemorySource] = []
        self._observers: list[object] = []
        self._shippers: list[Shipper] = []
        self._listening: _Listening | None = None
        self._port: int | None = None
        self._origin = origin
        self._unsupported = settings.unsupported(env)
        if tracer_provider is None:
            tracer_provider = _global("opentelemetry.trace", "get_tracer_provider")
        if meter_provider is None:
            meter_provider = _global("opentelemetry.metrics", "get_meter_provider")
        destinations = [settings.resolve(each, env) for each in _places(export, env, live=bool(tracer_provider))]
        if len({each.name for each in destinations}) < len(destinations):
            raise ConfigError("two destinations have the same name; give each its own: OTLP(name=…)")
        transports = [_transport(each) for each in destinations]
        schedule = settings.schedule(env)
        address = prometheus if prometheus is not None else settings.wants_prometheus(env)
        vocabulary = settings.vocabulary(env)

        metrics: Metrics | None = None
        if address or any("metrics" in each.endpoints for each in destinations):
            metrics = Metrics(Tally(), recorder.runner.submit, vocabulary)
            self._observers.append(Observe(metrics, inline=True))
        self._figures = metrics
        if address and metrics is not None:
            self._listening = self._show(metrics)
            if not isinstance(address, bool):
                self._serve(self._listening, address)
        if meter_provider:
            live = _live()
            told = Metrics(live.MeterSink(meter_provider, version), recorder.runner.submit, vocabulary)
            live.before_reading(meter_provider, version, told.fold)
            self._observers.append(Observe(told, inline=True))
        if tracer_provider:
            self._observers.append(live_spans(tracer_provider, version, vocabulary))
        elif any("traces" in each.endpoints for each in destinations):
            self._observers.append(Observe(_Places(), inline=True))
        for destination, transport in zip(destinations, transports, strict=True):
            self._shippers.append(
                Shipper(
                    destination,
                    transport,
                    self._source(destination),
                    origin=origin,
                    scope=otlp.scope(version),
                    schedule=schedule,
                    figures=None if metrics is None else self._encoder(metrics),
                    note=None if metrics is None else metrics.note,
                )
            )

    def start(self) -> None:
        """Begin to look and to ship."""
        if self._unsupported:
            logger.warning("set in the environment, and not supported: %s", ", ".join(self._unsupported))
        for observer in (*self._observers, *(Observe(memory, inline=True) for memory in self._memory)):
            self._recorder.listen(observer)
        for shipper in self._shippers:
            shipper.start()

    def flush(self, timeout: float) -> list[Delivery]:
        """Deliver what can be within ``timeout`` seconds in all, and say what came of it."""
        deadline = monotonic() + timeout
        return [shipper.flush(max(0.0, deadline - monotonic())) for shipper in self._shippers]

    def close(self, timeout: float = 3.0) -> None:
        """Deliver what can be within ``timeout`` seconds, and look no more."""
        deadline = monotonic() + timeout
        for observer in (*self._observers, *self._memory):
            self._recorder.unlisten(observer.target if isinstance(observer, Observe) else observer)
        for shipper in self._shippers:
            shipper.close(max(0.1, deadline - monotonic()))
        if self._listening is not None:
            self._listening.close()

    def _source(self, destination: Destination) -> Callable[[], Source]:
        journal = self._journal
        if journal is not None:
            return lambda: JournalSource(journal, destination.name, self._origin.service)
        memory = MemorySource()
        if any(signal != "metrics" for signal in destination.endpoints):
            self._memory.append(memory)
        return lambda: memory

    def _encoder(self, metrics: Metrics) -> Callable[[], bytes]:
        scope, origin = otlp.scope(self._version), self._origin

        def encoded() -> bytes:
            assert isinstance(metrics.sink, Tally)
            resource = otlp.resource(origin.instance())
            return otlp.encode_metrics(metrics.figures(), resource, scope, metrics.sink.began_ns, time_ns())

        return encoded

    @property
    def port(self) -> int | None:
        """Where scrapes are answered, if they are at an address of its own."""
        return self._port

    def _show(self, metrics: Metrics) -> _Listening:
        listening: _Listening = _extra("prometheus")(metrics.figures, self._origin.attributes(), self._version)
        return listening

    def _serve(self, listening: _Listening, address: tuple[str, int]) -> None:
        try:
            self._port = listening.serve(*address)
        except OSError as error:
            listening.close()
            raise ConfigError(f"prometheus={address!r}: cannot listen there: {error}") from error


def _places(export: Export, env: Mapping[str, str], *, live: bool) -> list[OTLP]:
    if export is None or export is True:
        found = settings.from_environment(env)
        if found is None and export is True:
            found = OTLP()
        if found is not None and live and export is None:
            # The program's own provider reads the same variables: its spans go there by its own exporter.
            return []
        return [] if found is None else [found]
    if export is False:
        return []
    places = [export] if isinstance(export, str | OTLP) else export
    return [OTLP(endpoint=each) if isinstance(each, str) else each for each in places]


def _transport(destination: Destination) -> Transport:
    endpoints: Mapping[Signal, Endpoint] = destination.endpoints
    if destination.protocol == "grpc":
        transport: Transport = _extra("otlp-grpc")(endpoints)
        return transport
    return HTTPTransport(endpoints)


def _extra(name: str) -> Any:  # noqa: ANN401 - whatever the entry point names
    """What an entry point names. Raises ``ConfigError`` that says what to install."""
    found = entry_points(group=_GROUP, name=name)
    try:
        return next(iter(found)).load()
    except (StopIteration, ImportError) as error:
        raise ConfigError(f"{name} needs a package that is not there: pip install interlay[{_EXTRAS[name]}]") from error


def _live() -> ModuleType:
    """The one module that imports OpenTelemetry, which whoever has a provider has."""
    return importlib.import_module("interlay.telemetry.live")


def live_spans(tracer_provider: object, version: str, vocabulary: VocabularyName = DEFAULT) -> Observe:
    """An observer that makes spans in a provider of the program's own."""
    made: Observe = _live().Trace(tracer_provider, vocabulary=vocabulary, version=version)
    return made


def _global(module: str, getter: str) -> Any:  # noqa: ANN401 - a provider
    """The provider that the program has set, if it has set one. OpenTelemetry is never imported for this."""
    loaded = sys.modules.get(module)
    if loaded is None:
        return None
    provider = getattr(loaded, getter)()
    # The interface's own stand-ins do nothing.
    is_real = not type(provider).__module__.startswith(("opentelemetry.trace", "opentelemetry.metrics"))
    return provider if is_real else None
