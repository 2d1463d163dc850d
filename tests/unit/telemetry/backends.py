"""A backend over real sockets that does what a test tells it to, and keeps what it was sent."""

from __future__ import annotations

import gzip
import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

Handler = BaseHTTPRequestHandler
Behaviour = Callable[["Backend", Handler, bytes], None]


class Backend:
    """Answers by the behaviours it was given, one a request, the last one from then on."""

    def __init__(self, *behaviours: Behaviour, port: int = 0) -> None:
        self.behaviours = list(behaviours or (take,))
        self.requests: list[tuple[float, str, dict[str, str], bytes]] = []
        """Everything that came: when, path, headers, body."""
        self.taken: list[tuple[str, bytes]] = []
        """What it said that it has: path, body."""
        self._lock = threading.Lock()
        backend = self

        class Handling(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with backend._lock:
                    backend.requests.append((time.monotonic(), self.path, headers, body))
                    behave = backend.behaviours[0]
                    if len(backend.behaviours) > 1:
                        backend.behaviours.pop(0)
                if headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                behave(backend, self, body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # who hangs up on us is part of the play

        self._server = Server(("127.0.0.1", port), Handling)
        self.port = int(self._server.server_port)
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def spans(self) -> list[Any]:
        """All that it has."""
        found = []
        for path, body in list(self.taken):
            if path.endswith("/v1/traces"):
                for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    found += [span for of_scope in of_resource.scope_spans for span in of_scope.spans]
        return found

    @property
    def events(self) -> list[Any]:
        found = []
        for path, body in list(self.taken):
            if path.endswith("/v1/logs"):
                for of_resource in ExportLogsServiceRequest.FromString(body).resource_logs:
                    found += [event for of_scope in of_resource.scope_logs for event in of_scope.log_records]
        return found

    @property
    def metrics(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for path, body in list(self.taken):
            if path.endswith("/v1/metrics"):
                for of_resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    found |= {metric.name: metric for of in of_resource.scope_metrics for metric in of.metrics}
        return found

    def record_ids(self) -> list[str]:
        """The records whose root spans it has, in order."""
        return [
            pair.value.string_value
            for span in self.spans
            for pair in span.attributes
            if pair.key == "interlay.record.id"
        ]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def answer(handler: Handler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def take(backend: Backend, handler: Handler, body: bytes) -> None:
    """Takes it."""
    backend.taken.append((handler.path, body))
    answer(handler, 200, content_type="application/x-protobuf")


def refuse(status: int, **headers: str) -> Behaviour:
    """Answers with a status and takes nothing."""

    def behave(_backend: Backend, handler: Handler, _body: bytes) -> None:
        answer(handler, status, b"no", content_type="text/plain", **headers)

    return behave


def refuse_if_it_holds(word: bytes, status: int = 400) -> Behaviour:
    """Refuses a whole request for one thing in it."""

    def behave(backend: Backend, handler: Handler, body: bytes) -> None:
        if word in body:
            answer(handler, status, b"bad span")
        else:
            take(backend, handler, body)

    return behave


def take_but_say_rejected(count: int) -> Behaviour:
    """Takes it, less some."""

    def behave(backend: Backend, handler: Handler, body: bytes) -> None:
        backend.taken.append((handler.path, body))
        said = ExportTraceServiceResponse()
        said.partial_success.rejected_spans = count
        said.partial_success.error_message = "too old"
        answer(handler, 200, said.SerializeToString(), content_type="application/x-protobuf")

    return behave


def welcome(_backend: Backend, handler: Handler, _body: bytes) -> None:
    """A page to log in, with a 200."""
    answer(handler, 200, b"<html>please log in</html>", content_type="text/html; charset=utf-8")


def reset(_backend: Backend, handler: Handler, _body: bytes) -> None:
    """Hangs up in the middle, the hard way."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()


def take_and_hang_up(backend: Backend, handler: Handler, body: bytes) -> None:
    """Takes it, says so, and closes a connection that it said it would keep."""
    take(backend, handler, body)
    handler.close_connection = True


def cut(_backend: Backend, handler: Handler, _body: bytes) -> None:
    """Promises more than it sends."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort")
    handler.close_connection = True


def drip(seconds: float) -> Behaviour:
    """Answers, a byte now and then, for so long."""

    def behave(_backend: Backend, handler: Handler, _body: bytes) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            handler.wfile.write(b"x")
            time.sleep(0.02)

    return behave


def stall(_backend: Backend, handler: Handler, _body: bytes) -> None:
    """Says nothing until the other side is gone."""
    handler.connection.settimeout(30)
    handler.connection.recv(1)
    handler.close_connection = True
