"""OTLP over gRPC. Needs ``pip install interlay[otlp-grpc]``.

Requests are encoded already, so this is a channel and what its status codes mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]

from interlay.telemetry.answers import Answer, fields, partial_success
from interlay.telemetry.sending import Endpoint, Signal, tls

_METHODS: Final = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_Code: Final = grpc.StatusCode
# As the OTLP specification sorts them; the second row is what somebody has to put right first.
_LATER: Final = frozenset(
    (_Code.CANCELLED, _Code.DEADLINE_EXCEEDED, _Code.RESOURCE_EXHAUSTED, _Code.ABORTED, _Code.OUT_OF_RANGE,
     _Code.UNAVAILABLE, _Code.DATA_LOSS)
)  # fmt: skip
_WRONG: Final = frozenset((_Code.UNAUTHENTICATED, _Code.PERMISSION_DENIED, _Code.UNIMPLEMENTED, _Code.NOT_FOUND))


class GrpcTransport:
    """Sends OTLP requests over gRPC. Raises ``ConfigError`` for certificates that cannot be read."""

    def __init__(self, endpoints: Mapping[Signal, Endpoint]) -> None:
        self._endpoints = dict(endpoints)
        self._credentials = {signal: _credentials(endpoint) for signal, endpoint in self._endpoints.items()}
        self._channels: dict[Signal, grpc.Channel] = {}
        self._abandoned: list[grpc.Channel] = []

    def send(self, signal: Signal, body: bytes) -> Answer:
        """Send one request and wait for its answer."""
        endpoint = self._endpoints[signal]
        # Without serializers bytes go out as they are, and come in so.
        export: Any = self._channel(signal).unary_unary(_METHODS[signal])
        try:
            answer: bytes = export(
                body,
                timeout=endpoint.timeout,
                metadata=tuple((name.lower(), value) for name, value in endpoint.headers.items()),
                compression=grpc.Compression.Gzip if endpoint.compression == "gzip" else None,
            )
        except grpc.RpcError as error:
            return _failed(error)
        rejected, message = partial_success(answer)
        return Answer("taken", "partial" if rejected else "", rejected=rejected, message=message)

    def close(self) -> None:
        """Close the channels."""
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            channel.close()

    def abandon(self) -> None:
        """See ``Transport``. A channel that crossed a fork can be neither used nor closed."""
        self._abandoned += self._channels.values()
        self._channels = {}

    def _channel(self, signal: Signal) -> grpc.Channel:
        channel = self._channels.get(signal)
        if channel is None:
            url, credentials = urlsplit(self._endpoints[signal].url), self._credentials[signal]
            target = f"{url.hostname}:{url.port or 4317}"
            secure = credentials is not None
            channel = grpc.secure_channel(target, credentials) if secure else grpc.insecure_channel(target)
            self._channels[signal] = channel
        return channel


def _credentials(endpoint: Endpoint) -> grpc.ChannelCredentials | None:
    if not endpoint.url.startswith("https:"):
        return None
    tls(endpoint)  # says what is wrong with the files; gRPC would say it at the first request, and not of which
    return grpc.ssl_channel_credentials(
        root_certificates=_read(endpoint.certificate),
        private_key=_read(endpoint.client_key or endpoint.client_certificate),
        certificate_chain=_read(endpoint.client_certificate),
    )


def _read(path: str | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()


def _failed(error: Any) -> Answer:  # noqa: ANN401 - what grpc raises has these methods, and no type that says so
    code = error.code()
    reason = f"grpc_{code.name.lower()}"
    message = (error.details() or "")[:200]
    if code in _LATER:
        return Answer("later", reason, retry_after=_asked(error.trailing_metadata() or ()), message=message)
    return Answer("wrong" if code in _WRONG else "refused", reason, message=message)


def _asked(metadata: Any) -> float | None:  # noqa: ANN401
    """The seconds of a ``google.rpc.RetryInfo`` among the details of a status."""
    for name, value in metadata:
        if name == "grpc-status-details-bin":
            try:
                details = [detail for number, detail in fields(value) if number == 3 and isinstance(detail, bytes)]
                for detail in details:
                    said = dict(fields(detail))
                    if isinstance(kind := said.get(1), bytes) and kind.endswith(b"google.rpc.RetryInfo"):
                        delay = dict(fields(said[2])).get(1)  # type: ignore[arg-type]
                        duration = dict(fields(delay))  # type: ignore[arg-type]
                        seconds, nanos = duration.get(1, 0), duration.get(2, 0)
                        return float(seconds) + float(nanos) / 1e9
            except (IndexError, KeyError, TypeError, ValueError):
                return None
    return None
