"""What there is one of in a process: the recorder, its journal, the runner."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any, Final, Literal

import msgspec

from interlay import __version__
from interlay.chain.journal import Journal
from interlay.chain.recorder import Observe, Recorder
from interlay.chain.runner import Runner
from interlay.chain.stream import lose_open
from interlay.cost import PriceBook, pricer
from interlay.cost.pricing import Pricer
from interlay.cost.rows import read_row_file
from interlay.model.arguments import is_count, is_number, shown
from interlay.model.errors import ConfigError
from interlay.model.record import Record
from interlay.telemetry import logs as logging_
from interlay.telemetry.origin import Origin
from interlay.telemetry.settings import wants_contents
from interlay.telemetry.setup import Export, Telemetry, live_spans
from interlay.telemetry.shipping import Delivery

recorder: Final = Recorder(Runner())
logging_.install()
recorder.runner.farewells.append(lose_open)


class Flushed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of background work."""

    done: bool
    """Whether everything that was queued is done, and delivered."""
    pending: int
    """Pieces of work still queued."""
    dropped: int
    """Records that observers on the runner did not get, because the queue was full."""
    deliveries: tuple[Delivery, ...] = ()
    """Of each destination: how many records it has, how many wait, and why."""


class _Process:
    """What ``setup()`` has started."""

    telemetry: Telemetry | None = None


_process: Final = _Process()


@cache
def price() -> Pricer:
    """The price book's function; the book is read when the first call is priced."""
    return pricer()


def setup(
    *,
    contents: bool | None = None,
    journal: bool | str | Path = True,
    prices: PriceBook | str | Path | None = None,
    export: Export = None,
    prometheus: tuple[str, int] | bool | None = None,
    tracer_provider: object = None,
    meter_provider: object = None,
    logs: Literal["text", "json"] | None = None,
) -> None:
    """Keep a journal of all records from now on, ship it where it is wanted, and say whether messages are kept.

    Calling it again replaces what an earlier call started. OpenTelemetry's environment variables are honoured; an
    argument wins over a variable.

    Args:
        contents: keep messages, tools and provider messages in records, redacted: the call's credentials, secret
            headers, secrets in URLs and every ``Secret`` are blanked. None: as
            ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`` says, which is no by default.
        journal: True for the stated place (``$INTERLAY_HOME``, else the platform's state folder), a folder to
            use instead, or False to write nothing.
        prices: a price book, or a file of price rows, which go before interlay's own. None: interlay's own alone.
        export: where spans, metrics and events are shipped over OTLP: a URL (``"http://localhost:4318"``), an
            ``OTLP(…)``, a list of them, False for nowhere. None: as ``OTEL_EXPORTER_OTLP_ENDPOINT`` says, unless
            the program has a tracer provider of its own, which reads the same variable. Without a journal the last
            1,000 records wait in memory.
        prometheus: an address to answer scrapes at (``("127.0.0.1", 9464)``), or True to show figures in the
            process's own registry of ``prometheus_client``. None: as ``OTEL_METRICS_EXPORTER`` says.
        tracer_provider: the program's own OpenTelemetry provider, in which each call is to be a span. None: the
            global one, where one was set before; False: none.
        meter_provider: likewise, for metrics.
        logs: write what interlay itself has to say (``logging`` under ``interlay.*``, one line a change of state) to
            stderr, as text or as JSON. None leaves it to the program's own handlers. Secrets are blanked in any case.

    Raises:
        ConfigError: for a setting that is wrong, by its name; nothing is changed then.
    """
    if journal is None:
        raise ConfigError("setup(journal=None): expected True, False or a folder")
    _check(
        contents=contents,
        journal=journal,
        prices=prices,
        export=export,
        prometheus=prometheus,
        tracer_provider=tracer_provider,
        meter_provider=meter_provider,
        logs=logs,
    )
    origin = Origin(__version__, os.environ)
    keeper = None
    if journal is not False:
        folder = None if journal is True else Path(journal)
        keeper = Journal(folder, service=origin.service, stamp=origin.stamp)
    book = PriceBook().with_rows(read_row_file(Path(prices))) if isinstance(prices, str | Path) else prices
    keep_contents = wants_contents(os.environ) if contents is None else contents
    telemetry = Telemetry(
        recorder,
        journal=keeper.path if keeper is not None else None,
        origin=origin,
        export=export,
        prometheus=prometheus,
        tracer_provider=tracer_provider,
        meter_provider=meter_provider,
        env=os.environ,
    )
    if _process.telemetry is not None:
        _process.telemetry.close()
    logging_.show(logs)
    price().use(book)
    recorder.contents = keep_contents
    recorder.journal = keeper
    _process.telemetry = telemetry
    telemetry.start()


def _check(**settings: Any) -> None:
    """Raises ``ConfigError`` for a setting of another kind than expected."""
    for name, value in settings.items():
        expected, fits = _SETTINGS[name]
        if value is not None and not fits(value):
            raise ConfigError(f"setup({name}={shown(value)}): expected {expected}")


def _is_address(value: Any) -> bool:
    return isinstance(value, bool) or (
        isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and is_count(value[1])
    )


_SETTINGS: Final[dict[str, tuple[str, Callable[[Any], bool]]]] = {
    "contents": ("True, False or None", lambda value: isinstance(value, bool)),
    "journal": ("True, False or a folder", lambda value: isinstance(value, bool | Path | str) and value != ""),
    "prices": ("a PriceBook, a file of price rows or None", lambda value: isinstance(value, PriceBook | str | Path)),
    "export": (
        "a URL, an OTLP(…), a list of them, False or None",
        lambda value: value is False or not is_number(value),
    ),
    "prometheus": ("an address such as ('127.0.0.1', 9464), True or None", _is_address),
    "tracer_provider": ("a provider, False or None", lambda value: value is False or hasattr(value, "get_tracer")),
    "meter_provider": ("a provider, False or None", lambda value: value is False or hasattr(value, "get_meter")),
    "logs": ("'text', 'json' or None", lambda value: value in ("text", "json")),
}


def spans_in(tracer_provider: object, caller: str) -> Observe:
    """What makes spans in a provider of the program's own. Raises ``ConfigError`` for what is none."""
    if not hasattr(tracer_provider, "get_tracer"):
        raise ConfigError(f"{caller}(tracer_provider={shown(tracer_provider)}): expected a provider or None")
    return live_spans(tracer_provider, __version__)


def last(limit: int | None = None) -> list[Record]:
    """The records of this process, newest first: the last 1,000, or ``limit`` of them. Raises ``ConfigError`` for a
    limit that is no whole number, 0 or more."""
    if limit is not None and not is_count(limit):
        raise ConfigError(f"last(limit={shown(limit)}): expected a whole number, 0 or more")
    return recorder.newest(limit)


def flush(timeout: float = 5.0) -> Flushed:
    """Wait, at most ``timeout`` seconds, until observers have seen every record sealed so far and destinations have
    them; say what was delivered and what was not. Raises ``ConfigError`` for what is no number of seconds."""
    if not is_number(timeout):
        raise ConfigError(f"flush(timeout={shown(timeout)}): expected seconds")
    deadline = monotonic() + timeout
    done = recorder.runner.drain(timeout)
    deliveries: list[Delivery] = []
    if _process.telemetry is not None:
        deliveries = _process.telemetry.flush(max(0.0, deadline - monotonic()))
    return Flushed(
        done=done and not any(delivery.pending or delivery.trouble for delivery in deliveries),
        pending=recorder.runner.pending(),
        dropped=recorder.dropped,
        deliveries=tuple(deliveries),
    )
