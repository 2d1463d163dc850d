"""TLS to a backend: an authority of one's own, a client's certificate, and what is wrong said by the setting's name."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
import trustme
from tests.unit.telemetry.backends import Backend
from tests.unit.telemetry.exchanges import record

from interlay.model.errors import ConfigError
from interlay.telemetry import otlp
from interlay.telemetry.sending import HTTPTransport
from interlay.telemetry.settings import OTLP, resolve
from interlay.telemetry.spans import Told, spans_of
from interlay.telemetry.vocabulary import VOCABULARIES
from interlay_integrations.exporters.otlp_grpc import GrpcTransport

SETTING = "OTEL_EXPORTER_OTLP_"


class Files:
    """Two authorities, a server's certificate of the first, a client's of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trusted, self.other = trustme.CA(), trustme.CA()
        self.ca = self._write("ca.pem", self.trusted.cert_pem)
        self.other_ca = self._write("other-ca.pem", self.other.cert_pem)
        self.server = self.trusted.issue_cert("127.0.0.1")
        self.client, self.key = self._leaf("client", self.trusted.issue_cert("client@example.org"))
        self.stranger, self.strangers_key = self._leaf("stranger", self.other.issue_cert("stranger@example.org"))
        self.nonsense = self._write("nonsense.pem", trustme.Blob(b"no certificate"))

    def _write(self, name: str, blob: trustme.Blob) -> str:
        path = self.folder / name
        blob.write_to_path(path)
        return str(path)

    def _leaf(self, name: str, leaf: trustme.LeafCert) -> tuple[str, str]:
        (chain,) = leaf.cert_chain_pems
        return self._write(f"{name}.pem", chain), self._write(f"{name}-key.pem", leaf.private_key_pem)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


class Secured(Backend):
    """The backend behind TLS."""

    def __init__(self, files: Files, *, wants_client: bool) -> None:
        super().__init__()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        files.server.configure_cert(context)
        if wants_client:
            files.trusted.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        # The handshake is made by the thread of the connection, not by the one that accepts.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://127.0.0.1:{self.port}"


class SecuredGrpc:
    """The same over gRPC."""

    def __init__(self, files: Files, *, wants_client: bool) -> None:
        self.taken = threading.Event()

        def take(_request: bytes, _context: Any) -> bytes:
            self.taken.set()
            return b""

        handler = grpc.unary_unary_rpc_method_handler(take)
        name = "opentelemetry.proto.collector.trace.v1.TraceService"
        chain = b"".join(pem.bytes() for pem in files.server.cert_chain_pems)
        credentials = grpc.ssl_server_credentials(
            [(files.server.private_key_pem.bytes(), chain)],
            files.trusted.cert_pem.bytes() if wants_client else None,
            wants_client,
        )
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Export": handler}),))
        self.url = f"https://127.0.0.1:{self._server.add_secure_port('127.0.0.1:0', credentials)}"
        self._server.start()

    def close(self) -> None:
        self._server.stop(None).wait(10)


Serve = Callable[..., Any]


@pytest.fixture
def serve(files: Files) -> Iterator[Serve]:
    served: list[Any] = []

    def serve(protocol: str, *, wants_client: bool = False) -> Any:
        kind = SecuredGrpc if protocol == "grpc" else Secured
        served.append(kind(files, wants_client=wants_client))
        return served[-1]

    yield serve
    for each in served:
        each.close()


def body() -> bytes:
    spans = spans_of(record(), Told(VOCABULARIES["genai-1.41"]))
    return otlp.request([otlp.spans_item(spans)], otlp.resource({"service.name": "t"}), otlp.scope("1"))


def sent(url: str, protocol: str, env: dict[str, str]) -> Any:
    """What became of a request."""
    kind: Any = GrpcTransport if protocol == "grpc" else HTTPTransport
    place = OTLP(endpoint=url, protocol=protocol, signals=("traces",), timeout=30)  # type: ignore[arg-type]
    transport = kind(resolve(place, {f"{SETTING}{name}": path for name, path in env.items()}).endpoints)
    try:
        return transport.send("traces", body())
    finally:
        transport.close()


PROTOCOLS = pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])


@PROTOCOLS
def test_an_authority_of_ones_own_is_trusted(serve: Serve, files: Files, protocol: str) -> None:
    server = serve(protocol)
    assert sent(server.url, protocol, {"CERTIFICATE": files.ca}).kind == "taken"
    assert sent(server.url, protocol, {"TRACES_CERTIFICATE": files.ca, "CERTIFICATE": files.other_ca}).kind == "taken"


@PROTOCOLS
def test_a_clients_certificate_is_shown(serve: Serve, files: Files, protocol: str) -> None:
    server = serve(protocol, wants_client=True)
    shown = {"CERTIFICATE": files.ca, "CLIENT_CERTIFICATE": files.client, "CLIENT_KEY": files.key}
    assert sent(server.url, protocol, shown).kind == "taken"


@PROTOCOLS
def test_certificate_and_key_may_be_in_one_file(serve: Serve, files: Files, protocol: str, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text(Path(files.key).read_text() + Path(files.client).read_text())
    server = serve(protocol, wants_client=True)
    assert sent(server.url, protocol, {"CERTIFICATE": files.ca, "CLIENT_CERTIFICATE": str(both)}).kind == "taken"


@pytest.mark.parametrize("given", ["another's", "the system's"])
def test_a_backend_that_is_not_trusted_gets_nothing(serve: Serve, files: Files, given: str) -> None:
    server = serve("http/protobuf")
    answer = sent(server.url, "http/protobuf", {"CERTIFICATE": files.other_ca} if given == "another's" else {})
    assert (answer.kind, answer.reason) == ("wrong", "tls")
    assert answer.message.startswith("CERTIFICATE_VERIFY_FAILED")
    assert answer.message.endswith("see OTEL_EXPORTER_OTLP_CERTIFICATE")
    assert server.requests == []


def test_one_that_is_not_trusted_over_grpc(serve: Serve, files: Files) -> None:
    server = serve("grpc")
    assert sent(server.url, "grpc", {"CERTIFICATE": files.other_ca}).kind == "later"
    assert not server.taken.is_set()


@pytest.mark.parametrize("shown", ["nothing", "a stranger's"])
def test_a_client_that_the_backend_does_not_know(serve: Serve, files: Files, shown: str) -> None:
    server = serve("http/protobuf", wants_client=True)
    env = {"CERTIFICATE": files.ca}
    if shown != "nothing":
        env |= {"CLIENT_CERTIFICATE": files.stranger, "CLIENT_KEY": files.strangers_key}
    answer = sent(server.url, "http/protobuf", env)
    # TLS 1.3 tells the client after its side of the handshake: either as an alert, or by hanging up.
    assert answer.kind in ("wrong", "later")
    if answer.reason == "tls":
        assert answer.message.endswith("see OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE")
    assert server.requests == []


@PROTOCOLS
@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"CERTIFICATE": "missing"}, "CERTIFICATE: '/no/such.pem' cannot be used: No such file"),
        ({"CERTIFICATE": "nonsense"}, "CERTIFICATE: .*nonsense.pem' cannot be used"),
        ({"CLIENT_CERTIFICATE": "missing"}, "CLIENT_CERTIFICATE: '/no/such.pem' cannot be used: No such file"),
        ({"CLIENT_CERTIFICATE": "nonsense"}, "CLIENT_CERTIFICATE: .*nonsense.pem' cannot be used"),
        ({"CLIENT_CERTIFICATE": "client", "CLIENT_KEY": "missing"}, "CLIENT_KEY: '/no/such.pem' cannot be used"),
        ({"CLIENT_CERTIFICATE": "client", "CLIENT_KEY": "strangers_key"}, "CLIENT_KEY: .* cannot be used: KEY_VALUES"),
        ({"CLIENT_CERTIFICATE": "client"}, "CLIENT_CERTIFICATE: .*client.pem' cannot be used"),
        ({"CLIENT_KEY": "key"}, "CLIENT_KEY: a key without a client certificate"),
    ],
)
def test_a_wrong_file_is_said_at_once_by_the_settings_name(
    files: Files, protocol: str, names: dict[str, str], said: str
) -> None:
    env = {name: getattr(files, which, "/no/such.pem") for name, which in names.items()}
    with pytest.raises(ConfigError, match=f"^OTEL_EXPORTER_OTLP_{said}"):
        sent("https://127.0.0.1:1", protocol, env)
