"""Where telemetry goes, by arguments and by OpenTelemetry's own environment variables; and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from interlay.model.errors import ConfigError
from interlay.model.secrets import redact
from interlay.telemetry import settings
from interlay.telemetry.sending import Endpoint, HTTPTransport
from interlay.telemetry.settings import OTLP, Sampling, resolve


def endpoint(env: dict[str, str], signal: Any = "traces", **given: Any) -> Endpoint:
    return resolve(OTLP(**given), env).endpoints[signal]


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({}, "http://localhost:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/otlp/"}, "https://c/otlp/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/own"}, "http://c/own"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http://localhost:4317"),
    ],
)
def test_endpoints_by_the_environment(env: dict[str, str], url: str) -> None:
    assert endpoint(env).url == url


def test_an_argument_wins_over_the_environment() -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b/x"}
    assert endpoint(env, endpoint="http://c:6006").url == "http://c:6006/v1/traces"
    assert endpoint(env, endpoint="http://c/v1/traces").url == "http://c/v1/traces"
    assert endpoint(env, "metrics", endpoint="http://c/v1/traces").url == "http://c/v1/metrics"


def test_headers_timeout_and_compression() -> None:
    env = {
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=s%20cret-123,x-team=blue",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "7",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_EXPORTER_OTLP_METRICS_HEADERS": "api-key=other",
    }
    found = endpoint(env)
    assert (found.headers, found.timeout, found.compression) == (
        {"api-key": "s cret-123", "x-team": "blue"}, 7.0, "gzip",
    )  # fmt: skip
    assert endpoint(env, "metrics").headers == {"api-key": "other"}
    assert redact("it is s cret-123") == "it is [secret]"


def test_a_timeout_of_thousands_is_in_milliseconds() -> None:
    assert endpoint({"OTEL_EXPORTER_OTLP_TIMEOUT": "10000"}).timeout == 10.0


def test_nothing_is_shipped_unasked() -> None:
    assert settings.from_environment({}) is None
    assert settings.from_environment({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}) == OTLP()
    assert settings.from_environment({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c"}) == OTLP()
    disabled = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}
    assert settings.from_environment(disabled) is None


@pytest.mark.parametrize(
    ("env", "signals"),
    [
        ({}, {"traces", "metrics"}),
        ({"OTEL_METRICS_EXPORTER": "none"}, {"traces"}),
        ({"OTEL_METRICS_EXPORTER": "prometheus"}, {"traces"}),
        ({"OTEL_TRACES_EXPORTER": "none"}, {"metrics"}),
        ({"OTEL_LOGS_EXPORTER": "otlp"}, {"traces", "metrics", "logs"}),
        ({"OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT": "true"}, {"traces", "metrics", "logs"}),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, {"metrics"}),
    ],
)
def test_signals(env: dict[str, str], signals: set[str]) -> None:
    assert set(resolve(OTLP(), env).endpoints) == signals


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        ("", "none"), ("NO_CONTENT", "none"), ("SPAN_ONLY", "span"), ("event_only", "event"),
        ("SPAN_AND_EVENT", "both"), ("true", "span"), ("false", "none"),
    ],
)  # fmt: skip
def test_contents_by_the_conventions_variable(value: str, mode: str) -> None:
    env = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": value}
    assert resolve(OTLP(), env).contents == mode
    assert settings.wants_contents(env) == (mode != "none")
    assert resolve(OTLP(contents="none"), env).contents == "none"


def test_the_newer_names_are_opted_into() -> None:
    env = {"OTEL_SEMCONV_STABILITY_OPT_IN": "http, gen_ai_latest_experimental"}
    assert resolve(OTLP(), env).vocabulary == "genai-next"
    assert resolve(OTLP(vocabulary="mlflow"), env).vocabulary == "mlflow"
    assert resolve(OTLP(), {}).vocabulary == "genai-1.41"


def test_sampling_by_the_environment() -> None:
    env = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}
    assert resolve(OTLP(), env).sampling == Sampling(ratio=0.25)
    assert resolve(OTLP(sampling=Sampling(ratio=0.5)), env).sampling.ratio == 0.5


def test_how_often() -> None:
    env = {"OTEL_BSP_SCHEDULE_DELAY": "250", "OTEL_METRIC_EXPORT_INTERVAL": "1000"}
    assert settings.schedule(env)[:3] == (0.25, 512, 1.0)


def test_prometheus_is_asked_for_by_name() -> None:
    assert settings.wants_prometheus({}) is None
    env = {"OTEL_METRICS_EXPORTER": "otlp,prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": "9999"}
    assert settings.wants_prometheus(env) == ("localhost", 9999)


def test_the_resource() -> None:
    env = {"OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=prod,team=a%2Cb", "OTEL_SERVICE_NAME": "shop"}
    found = settings.resource("1.2", env)
    assert (found["service.name"], found["deployment.environment"], found["team"]) == ("shop", "prod", "a,b")
    assert str(settings.resource("1.2", {})["service.name"]).startswith("unknown_service:")


@pytest.mark.parametrize(
    ("argv", "original", "name"),
    [
        (["/srv/shop/serve.py"], ["python", "/srv/shop/serve.py"], "serve.py"),
        (["/srv/shop/__main__.py", "-m"], ["python", "-m", "shop", "-m"], "shop"),
        (["-m", "x"], ["python", "-X", "dev", "-m", "shop.desk", "x"], "shop.desk"),
        (["-c"], ["python", "-c", "1"], "-c"),
        ([""], ["python"], "python"),
        ([], ["python"], "python"),
    ],
)
def test_a_program_without_a_name_goes_by_its_own(
    monkeypatch: pytest.MonkeyPatch, argv: list[str], original: list[str], name: str
) -> None:
    monkeypatch.setattr("sys.argv", argv)
    monkeypatch.setattr("sys.orig_argv", original)
    assert settings.resource("1", {})["service.name"] == f"unknown_service:{name}"


WRONG: list[tuple[dict[str, Any], dict[str, str], str]] = [
    ({"endpoint": "localhost:4318"}, {}, "OTLP(endpoint"),
    ({"endpoint": "http://"}, {}, "OTLP(endpoint"),
    ({"endpoint": "http://c:port"}, {}, "OTLP(endpoint"),
    ({"endpoint": "http://user:pass@c"}, {}, "OTLP(endpoint"),
    ({"name": "Über/.."}, {}, "OTLP(name"),
    ({"protocol": "http/json"}, {}, "OTLP(protocol"),
    ({"vocabulary": "genai-9"}, {}, "OTLP(vocabulary"),
    ({"contents": "all"}, {}, "OTLP(contents"),
    ({"timeout": 0}, {}, "OTLP(timeout"),
    ({"headers": {"a b": "c"}}, {}, "OTLP(headers"),
    ({"headers": {"a": "c\r\nx: y"}}, {}, "header 'a'"),
    ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "ftp://c"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
    ({}, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "c"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
    ({}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "OTEL_EXPORTER_OTLP_PROTOCOL"),
    ({}, {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"),
    ({}, {"OTEL_EXPORTER_OTLP_HEADERS": "no-equals-sign"}, "OTEL_EXPORTER_OTLP_HEADERS"),
    ({}, {"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, "OTEL_EXPORTER_OTLP_TIMEOUT"),
    ({}, {"OTEL_EXPORTER_OTLP_COMPRESSION": "brotli"}, "OTEL_EXPORTER_OTLP_COMPRESSION"),
    ({"compression": "brotli"}, {}, "OTLP(compression"),
    ({"client_key": "k.pem"}, {}, "OTLP(client_key"),
    ({}, {"OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY": "k.pem"}, "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY"),
    ({}, {"OTEL_TRACES_SAMPLER": "sometimes"}, "OTEL_TRACES_SAMPLER"),
    ({}, {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"}, "OTEL_TRACES_SAMPLER_ARG"),
    ({}, {"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER"),
    ({}, {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "MAYBE"},
     "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"),
    ({}, {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "-1"}, "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "env", "named"), WRONG)
def test_what_is_wrong_is_said_by_the_name_of_the_setting(
    given: dict[str, Any], env: dict[str, str], named: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        resolve(OTLP(**given), env)
    assert named in str(raised.value)


def test_a_certificate_that_cannot_be_read_is_said_at_once() -> None:
    destination = resolve(OTLP(endpoint="https://c", certificate="/no/such.pem"), {})
    with pytest.raises(ConfigError, match=r"OTLP\(certificate=…\): '/no/such\.pem' cannot be used: No such file"):
        HTTPTransport(destination.endpoints)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK", "upload"),
        ("OTEL_INSTRUMENTATION_GENAI_UPLOAD_BASE_PATH", "s3://bucket"),
        ("OTEL_INSTRUMENTATION_GENAI_UPLOAD_FORMAT", "jsonl"),
        ("OTEL_INSTRUMENTATION_GENAI_UPLOAD_MAX_QUEUE_SIZE", "20"),
        ("OTEL_TRACES_EXPORTER", "console"),
        ("OTEL_TRACES_EXPORTER", "prometheus"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
    ],
)
def test_what_is_asked_for_and_not_supported_is_said_by_its_name(name: str, value: str) -> None:
    (said,) = settings.unsupported({name: value})
    assert said in (name, f"{name}={value}")


def test_what_is_supported_is_not_complained_of() -> None:
    assert (
        settings.unsupported(
            {
                "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
                "OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT": "true",
                "OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK": "",
                "OTEL_METRICS_EXPORTER": "otlp,prometheus",
                "OTEL_TRACES_EXPORTER": "none",
                "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "Cumulative",
            }
        )
        == []
    )


def test_a_wrong_share() -> None:
    with pytest.raises(ConfigError, match="Sampling"):
        Sampling(ratio=1.5)


def test_an_error_never_shows_a_header() -> None:
    with pytest.raises(ConfigError) as raised:
        resolve(OTLP(headers={"authorization": "Bearer canary-canary\n"}), {})
    assert "canary" not in str(raised.value)
