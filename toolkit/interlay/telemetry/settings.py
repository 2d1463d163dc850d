"""Where telemetry goes, and what it says: from arguments, else from OpenTelemetry's own environment variables.

Everything wrong is said at once, by the name of the setting: an exporter that finds out later has lost data by then.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeVar, cast, get_args
from urllib.parse import unquote, urlsplit

import msgspec

from interlay.model.errors import ConfigError
from interlay.model.secrets import Secret
from interlay.telemetry.sending import Endpoint, Signal
from interlay.telemetry.vocabulary import DEFAULT, NAMES, Attributes, VocabularyName

ContentMode = Literal["none", "span", "event", "both"]
Protocol = Literal["http/protobuf", "grpc"]

SIGNALS: Final[tuple[Signal, ...]] = ("traces", "metrics", "logs")
_PATHS: Final = {"traces": "v1/traces", "metrics": "v1/metrics", "logs": "v1/logs"}
_GRPC_PORT: Final = "http://localhost:4317"
_HTTP_PORT: Final = "http://localhost:4318"
_MODES: Final[dict[str, ContentMode]] = {
    "NO_CONTENT": "none",
    "SPAN_ONLY": "span",
    "EVENT_ONLY": "event",
    "SPAN_AND_EVENT": "both",
}
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SECRET: Final = re.compile(r"auth|key|token|secret|password", re.IGNORECASE)
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MILLISECONDS: Final = 1000.0
"""From here on a timeout is read as milliseconds: the specification says so, OpenTelemetry's Python reads seconds."""

_CONVENTIONS: Final = "OTEL_INSTRUMENTATION_GENAI_"
_HONOURED: Final = frozenset(f"{_CONVENTIONS}{name}" for name in ("CAPTURE_MESSAGE_CONTENT", "EMIT_EVENT"))
_TEMPORALITY: Final = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"

T = TypeVar("T", bound=str)
Environment = Mapping[str, str]


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """Which traces are kept, decided when a call has ended.

    Errors, blocked calls, calls that were tried again or fell back, slow ones and dear ones are always kept, then a
    share of the rest. Metrics, spend and the journal see everything.
    """

    ratio: float = 1.0
    """Share of the calls without anything remarkable that is kept: 0 to 1."""
    slow: bool = True
    """Keep what took longer than 95 in 100 of the last calls to the same model."""
    dear: Decimal | None = None
    """Keep what cost more US dollars than this."""

    def __post_init__(self) -> None:
        if not 0 <= self.ratio <= 1:
            raise ConfigError(f"Sampling(ratio={self.ratio!r}): expected 0 to 1")


class OTLP(msgspec.Struct, frozen=True, kw_only=True):
    """One place that telemetry is shipped to. What is left out comes from OpenTelemetry's environment variables.

    ``OTLP(endpoint="http://localhost:6006", vocabulary="openinference")`` is Phoenix;
    ``OTLP(endpoint="https://cloud.langfuse.com/api/public/otel", vocabulary="langfuse", headers={…})`` Langfuse.
    """

    endpoint: str | None = None
    """Base URL; the signal's path is added: ``http://localhost:4318``."""
    name: str = "otlp"
    """Names the place's cursor in the journal, so it stays where it is when other settings change. Up to 64
    lower-case letters, digits, dots, hyphens, underscores."""
    protocol: Protocol | None = None
    headers: Mapping[str, str | Secret] | None = None
    timeout: float | None = None
    """Seconds for one request."""
    compression: Literal["none", "gzip"] | None = None
    certificate: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    vocabulary: VocabularyName | None = None
    contents: ContentMode | None = None
    """Where messages go, if records keep them: nowhere, on spans, into events, or both."""
    content_limit: int | None = None
    """Bytes of messages an attribute may hold."""
    sampling: Sampling | None = None
    signals: tuple[Signal, ...] | None = None
    """Of ``traces``, ``metrics``, ``logs``; by default what the ``OTEL_*_EXPORTER`` variables leave on: traces and
    metrics, and logs where events were asked for."""


class Destination(NamedTuple):
    """An ``OTLP`` with nothing left open, checked."""

    name: str
    protocol: Protocol
    endpoints: Mapping[Signal, Endpoint]
    vocabulary: VocabularyName
    contents: ContentMode
    content_limit: int
    sampling: Sampling
    events: bool
    """Whether each call's details are told as an event, even without messages."""


class Schedule(NamedTuple):
    """How often and how much, in seconds and records."""

    every: float = 5.0
    batch: int = 512
    metrics_every: float = 60.0
    first_pause: float = 1.0
    """After a failure; it doubles with each one that follows."""
    longest_pause: float = 60.0


def resolve(given: OTLP, env: Environment = os.environ) -> Destination:
    """Fill in what was left out. Raises ``ConfigError`` naming the setting."""
    if not _NAME.fullmatch(given.name):
        raise ConfigError(f"OTLP(name={given.name!r}): expected up to 64 of a-z 0-9 . _ -, a letter or digit first")
    mode = given.contents or _content_mode(env)
    events = _flag(env, "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT") or mode in ("event", "both")
    signals = given.signals if given.signals is not None else _signals(env, events=events)
    for signal in signals:
        _one_of("OTLP(signals=…)", signal, SIGNALS)
    sampling = given.sampling or _sampling(env)
    if sampling is None:
        signals, sampling = tuple(signal for signal in signals if signal != "traces"), Sampling()
    protocol = _protocol(given, signals, env)
    limit = given.content_limit
    if limit is None:
        limit = _whole(env, "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", 65_536)
    return Destination(
        name=given.name,
        protocol=protocol,
        endpoints={signal: _endpoint(given, signal, protocol, env) for signal in signals},
        vocabulary=_one_of("OTLP(vocabulary=…)", given.vocabulary, NAMES) if given.vocabulary else vocabulary(env),
        contents=_one_of("OTLP(contents=…)", mode, get_args(ContentMode)),
        content_limit=limit,
        sampling=sampling,
        events=events,
    )


def from_environment(env: Environment = os.environ) -> OTLP | None:
    """The place that the environment names, if it names one: nothing is shipped to a default address unasked."""
    if _flag(env, "OTEL_SDK_DISABLED"):
        return None
    names = ("OTEL_EXPORTER_OTLP_ENDPOINT", *(f"OTEL_EXPORTER_OTLP_{s.upper()}_ENDPOINT" for s in SIGNALS))
    return OTLP() if any(env.get(name) for name in names) else None


def vocabulary(env: Environment = os.environ) -> VocabularyName:
    """The vocabulary that the environment opts into."""
    chosen = [word.strip() for word in env.get("OTEL_SEMCONV_STABILITY_OPT_IN", "").split(",")]
    return "genai-next" if "gen_ai_latest_experimental" in chosen else DEFAULT


def wants_contents(env: Environment = os.environ) -> bool:
    """Whether the environment asks for messages to be kept."""
    return _content_mode(env) != "none"


def wants_prometheus(env: Environment = os.environ) -> tuple[str, int] | None:
    """Where Prometheus is to find us, if ``OTEL_METRICS_EXPORTER`` names it."""
    if _flag(env, "OTEL_SDK_DISABLED") or "prometheus" not in _exporters(env, "metrics"):
        return None
    return env.get("OTEL_EXPORTER_PROMETHEUS_HOST") or "localhost", _whole(env, "OTEL_EXPORTER_PROMETHEUS_PORT", 9464)


def unsupported(env: Environment = os.environ) -> list[str]:
    """What the environment asks for and does not get, by the names of the variables: a program that relies on it should
    know. Of the conventions that is the completion hook, with the uploads that it makes."""
    asked = (name for name, value in env.items() if name.startswith(_CONVENTIONS) and value.strip())
    found = [name for name in asked if name not in _HONOURED]
    for signal in SIGNALS:
        words = _exporters(env, signal)
        taken = ("otlp", "none", *(("prometheus",) if signal == "metrics" else ()))
        found += [f"OTEL_{signal.upper()}_EXPORTER={word}" for word in words if word not in taken]
    if (preference := env.get(_TEMPORALITY, "").strip()) and preference.lower() != "cumulative":
        found.append(f"{_TEMPORALITY}={preference}")
    return sorted(found)


def schedule(env: Environment = os.environ) -> Schedule:
    """How often to ship. Raises ``ConfigError``."""
    return Schedule(
        every=_whole(env, "OTEL_BSP_SCHEDULE_DELAY", 5_000) / 1000,
        batch=max(1, _whole(env, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)),
        metrics_every=max(1, _whole(env, "OTEL_METRIC_EXPORT_INTERVAL", 60_000)) / 1000,
    )


def resource(version: str, env: Environment = os.environ) -> Attributes:
    """What all telemetry of this process has in common."""
    found: Attributes = {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "interlay",
        "telemetry.sdk.version": version,
        "process.pid": os.getpid(),
        "process.runtime.name": sys.implementation.name,
        "process.runtime.version": platform.python_version(),
        "host.name": platform.node(),
    }
    found.update(resource_of(env))
    name = env.get("OTEL_SERVICE_NAME")
    if name or "service.name" not in found:
        found["service.name"] = name or f"unknown_service:{_program()}"
    return found


def _program() -> str:
    """What the program is called, as far as it can be told: by its file, or by the package or module that is run."""
    path = Path(sys.argv[0] if sys.argv else "")
    if path.name == "__main__.py":
        return path.parent.name or "python"
    if path.name == "-m":  # of somebody who asks before the module has been found
        after = sys.orig_argv[sys.orig_argv.index("-m") + 1 :] if "-m" in sys.orig_argv else []
        return after[0] if after else "python"
    return path.name or "python"


def resource_of(env: Environment) -> dict[str, str]:
    """What ``OTEL_RESOURCE_ATTRIBUTES`` says."""
    found: dict[str, str] = {}
    for item in env.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, equals, value = item.partition("=")
        if equals and key.strip():
            found[unquote(key.strip())] = unquote(value.strip())
    return found


def _exporters(env: Environment, signal: Signal) -> list[str]:
    name = f"OTEL_{signal.upper()}_EXPORTER"
    chosen = [word.strip() for word in env.get(name, "").split(",") if word.strip()]
    for word in chosen:
        _one_of(name, word, ("otlp", "none", "prometheus", "console"))
    return chosen


def _signals(env: Environment, *, events: bool) -> tuple[Signal, ...]:
    defaults = {"traces": ["otlp"], "metrics": ["otlp"], "logs": ["otlp"] if events else []}
    return tuple(signal for signal in SIGNALS if "otlp" in (_exporters(env, signal) or defaults[signal]))


def _protocol(given: OTLP, signals: tuple[Signal, ...], env: Environment) -> Protocol:
    if given.protocol is not None:
        return _one_of("OTLP(protocol=…)", given.protocol, get_args(Protocol))
    found: dict[str, str] = {}
    for signal in signals:
        for name in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
            if value := env.get(name):
                found[_one_of(name, value, get_args(Protocol))] = name
                break
        else:
            found["http/protobuf"] = "the default"
    if len(found) > 1:
        raise ConfigError(f"one destination speaks one protocol, and {' and '.join(found.values())} say different ones")
    return cast("Protocol", next(iter(found), "http/protobuf"))


_Said = Callable[[str], "tuple[str, str] | None"]
"""The variable that says a setting of an exporter, the signal's own or that of all, and what it says."""


def _endpoint(given: OTLP, signal: Signal, protocol: Protocol, env: Environment) -> Endpoint:
    def said(setting: str) -> tuple[str, str] | None:
        for name in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_{setting}", f"OTEL_EXPORTER_OTLP_{setting}"):
            if value := env.get(name):
                return name, value
        return None

    timeout = given.timeout
    if timeout is None:
        timeout = _timeout(*found) if (found := said("TIMEOUT")) else 10.0
    if not timeout > 0:
        raise ConfigError(f"OTLP(timeout={timeout!r}): expected seconds above 0")
    setting, compression = said("COMPRESSION") or ("", "none")
    if given.compression is not None:
        setting, compression = "OTLP(compression=…)", given.compression
    files = _files(given, said)
    return Endpoint(
        url=_url(given, signal, protocol, env),
        headers=_all_headers(given, said),
        timeout=timeout,
        compression=_one_of(setting, compression, ("none", "gzip")),
        settings={name: setting for name, (setting, _) in files.items()},
        **{name: path for name, (_, path) in files.items()},
    )


def _all_headers(given: OTLP, said: _Said) -> dict[str, str]:
    headers: dict[str, str] = {}
    if given.headers is not None:
        for name, value in given.headers.items():
            headers[_header("OTLP(headers=…)", name)] = value.reveal() if isinstance(value, Secret) else value
    elif found := said("HEADERS"):
        headers = _headers(*found)
    for name, value in headers.items():
        if _SECRET.search(name):
            Secret(value)  # whoever reads a log or a page of ours does not read these
        if not value.isprintable() or not value.isascii():
            raise ConfigError(f"the header {name!r} holds characters that no header may hold")
    return headers


def _files(given: OTLP, said: _Said) -> dict[str, tuple[str, str]]:
    """What is trusted and shown: the setting and the path of each file."""
    files: dict[str, tuple[str, str]] = {}
    for name in ("certificate", "client_certificate", "client_key"):
        if path := getattr(given, name):
            files[name] = f"OTLP({name}=…)", path
        elif found := said(name.upper()):
            files[name] = found
    if "client_key" in files and "client_certificate" not in files:
        raise ConfigError(f"{files['client_key'][0]}: a key without a client certificate")
    return files


def _url(given: OTLP, signal: Signal, protocol: Protocol, env: Environment) -> str:
    own = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
    if given.endpoint is None and (whole := env.get(own)):
        return _checked_url(own, whole)
    name = "OTLP(endpoint=…)" if given.endpoint is not None else "OTEL_EXPORTER_OTLP_ENDPOINT"
    base = given.endpoint or env.get(name) or (_GRPC_PORT if protocol == "grpc" else _HTTP_PORT)
    url = _checked_url(name, base).rstrip("/")
    if protocol == "grpc":
        return url
    path = _PATHS[signal]
    if url.endswith(tuple(_PATHS.values())):
        if not url.endswith(path):  # the traces' URL was given for all
            return url.removesuffix(next(p for p in _PATHS.values() if url.endswith(p))) + path
        return url
    return f"{url}/{path}"


def _checked_url(name: str, url: str) -> str:
    url = url.strip()
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is none
    except ValueError as error:
        raise ConfigError(f"{name}: {url!r} is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{name}: {url!r}; expected http:// or https:// and a host, such as {_HTTP_PORT}")
    if parts.username is not None:
        raise ConfigError(f"{name}: put credentials into headers, not into the URL")
    return url


def _headers(name: str, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in text.split(","):
        if not item.strip():
            continue
        key, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"{name}: expected key=value pairs joined by commas; one has no '='")
        found[_header(name, unquote(key.strip()))] = unquote(value.strip())
    return found


def _header(setting: str, name: str) -> str:
    if not _HEADER.fullmatch(name):
        raise ConfigError(f"{setting}: {name!r} is no header's name")
    return name


def _timeout(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0:
        raise ConfigError(f"{name}: {text!r}; expected seconds above 0")
    return value / 1000 if value >= _MILLISECONDS else value


def _content_mode(env: Environment) -> ContentMode:
    name = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    text = env.get(name, "").strip()
    if text.lower() in ("", "false"):
        return "none"
    if text.lower() == "true":  # what earlier instrumentations took
        return "span"
    return _MODES[_one_of(name, text.upper(), tuple(_MODES))]


def _sampling(env: Environment) -> Sampling | None:
    """None: no trace at all."""
    kind = env.get("OTEL_TRACES_SAMPLER", "").strip() or "always_on"
    known = ("always_on", "always_off", "traceidratio")
    _one_of("OTEL_TRACES_SAMPLER", kind, (*known, *(f"parentbased_{each}" for each in known)))
    kind = kind.removeprefix("parentbased_")
    if kind == "always_off":
        return None
    if kind == "always_on":
        return Sampling()
    text = env.get("OTEL_TRACES_SAMPLER_ARG", "1.0")
    try:
        ratio = Decimal(text)
    except InvalidOperation:
        ratio = Decimal(-1)
    if not 0 <= ratio <= 1:
        raise ConfigError(f"OTEL_TRACES_SAMPLER_ARG: {text!r}; expected a share from 0 to 1")
    return Sampling(ratio=float(ratio))


def _whole(env: Environment, name: str, default: int) -> int:
    text = env.get(name, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise ConfigError(f"{name}: {text!r}; expected a whole number")
    return int(text)


def _flag(env: Environment, name: str) -> bool:
    return env.get(name, "").strip().lower() == "true"


def _one_of(setting: str, value: str, allowed: tuple[T, ...]) -> T:
    if value not in allowed:
        raise ConfigError(f"{setting}: {value!r}; expected one of {', '.join(allowed)}")
    return value
