"""OTLP over gRPC, against a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from tests.unit.telemetry.exchanges import record

from interlay.model.errors import ConfigError
from interlay.telemetry import otlp
from interlay.telemetry.settings import OTLP, resolve
from interlay.telemetry.spans import Told, spans_of
from interlay.telemetry.vocabulary import VOCABULARIES
from interlay_integrations.exporters.otlp_grpc import GrpcTransport

Play = Callable[[bytes, Any], bytes]


class Server:
    """Answers exports as a test says."""

    def __init__(self) -> None:
        self.play: Play = lambda _body, _context: b""
        self.seen: list[tuple[bytes, dict[str, Any]]] = []
        self._server = grpc.server(ThreadPoolExecutor(2))

        def export(body: bytes, context: Any) -> bytes:
            self.seen.append((body, dict(context.invocation_metadata())))
            return self.play(body, context)

        handler = grpc.unary_unary_rpc_method_handler(export)
        names = ("trace.v1.TraceService", "metrics.v1.MetricsService", "logs.v1.LogsService")
        self._server.add_generic_rpc_handlers(
            tuple(
                grpc.method_handlers_generic_handler(f"opentelemetry.proto.collector.{name}", {"Export": handler})
                for name in names
            )
        )
        self.url = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self) -> None:
        self._server.stop(None).wait(10)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def transport(server: Server) -> Iterator[GrpcTransport]:
    transport = GrpcTransport(
        resolve(
            OTLP(endpoint=server.url, protocol="grpc", headers={"X-Team": "blue"}, compression="gzip", timeout=20), {}
        ).endpoints
    )
    yield transport
    transport.close()


def body() -> bytes:
    spans = spans_of(record(), Told(VOCABULARIES["genai-1.41"]))
    return otlp.request([otlp.spans_item(spans)], otlp.resource({"service.name": "t"}), otlp.scope("1"))


def fails(code: grpc.StatusCode, **metadata: bytes) -> Play:
    def play(_body: bytes, context: Any) -> bytes:
        context.set_trailing_metadata(tuple((name.replace("_", "-"), value) for name, value in metadata.items()))
        context.abort(code, "no")
        return b""

    return play


def test_it_arrives_as_it_was_encoded(server: Server, transport: GrpcTransport) -> None:
    assert transport.send("traces", body()).kind == "taken"
    ((came, metadata),) = server.seen
    assert ExportTraceServiceRequest.FromString(came).resource_spans[0].scope_spans[0].spans[0].name.startswith("chat")
    assert metadata["x-team"] == "blue"


def test_partial_success(server: Server, transport: GrpcTransport) -> None:
    said = ExportTraceServiceResponse()
    said.partial_success.rejected_spans = 3
    server.play = lambda _body, _context: bytes(said.SerializeToString())
    answer = transport.send("traces", body())
    assert (answer.kind, answer.rejected) == ("taken", 3)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, "later"), (grpc.StatusCode.RESOURCE_EXHAUSTED, "later"),
        (grpc.StatusCode.UNAUTHENTICATED, "wrong"), (grpc.StatusCode.UNIMPLEMENTED, "wrong"),
        (grpc.StatusCode.INVALID_ARGUMENT, "refused"), (grpc.StatusCode.INTERNAL, "refused"),
    ],
)  # fmt: skip
def test_status_codes(server: Server, transport: GrpcTransport, code: grpc.StatusCode, kind: str) -> None:
    server.play = fails(code)
    answer = transport.send("traces", body())
    assert (answer.kind, answer.reason) == (kind, f"grpc_{code.name.lower()}")


def test_it_is_told_how_long_to_wait(server: Server, transport: GrpcTransport) -> None:
    # google.rpc.Status with a google.rpc.RetryInfo of 2.5 seconds among its details, by hand.
    delay = b"\x08\x02\x10" + otlp.varint(500_000_000)
    retry_info = b"\x0a" + otlp.varint(len(delay)) + delay
    url = b"type.googleapis.com/google.rpc.RetryInfo"
    detail = b"\x0a" + otlp.varint(len(url)) + url + b"\x12" + otlp.varint(len(retry_info)) + retry_info
    status = b"\x08\x0e" + b"\x1a" + otlp.varint(len(detail)) + detail
    server.play = fails(grpc.StatusCode.UNAVAILABLE, grpc_status_details_bin=status)
    assert transport.send("traces", body()).retry_after == 2.5


def test_nobody_there(transport: GrpcTransport, server: Server) -> None:
    server.close()
    assert transport.send("traces", body()).kind == "later"


def test_a_certificate_that_cannot_be_read_is_said_at_once() -> None:
    destination = resolve(OTLP(endpoint="https://c:1", protocol="grpc", certificate="/no/such"), {})
    with pytest.raises(ConfigError, match="/no/such"):
        GrpcTransport(destination.endpoints)
