"""Handing OTLP requests to a backend over HTTP, and reading what it made of them.

Over the standard library's client: one connection, kept open, used by one thread. What OpenTelemetry's own exporters
do with an answer is not enough here: they do not tell a refusal from an outage, and do not read of how many spans
a backend says that it took them not.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import io
import socket
import ssl
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any, Final, Literal, NamedTuple, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from interlay.model.errors import ConfigError
from interlay.telemetry.answers import Answer, read_answer

Signal = Literal["traces", "metrics", "logs"]

_MOST: Final = 1024 * 1024
"""Bytes of an answer that are read."""
_GZIP: Final = 1
"""Fastest: records of one program are so alike that the next level saves two percent."""


class Transport(Protocol):
    """Sends one request at a time, from one thread. Never raises for what a network or a backend does."""

    def send(self, signal: Signal, body: bytes) -> Answer: ...

    def close(self) -> None: ...

    def abandon(self) -> None:
        """After a fork, in the child: let go of connections that are the parent's, without a word on them."""
        ...


class Endpoint(NamedTuple):
    """Where a signal goes, and how."""

    url: str
    headers: Mapping[str, str] = {}
    timeout: float = 10.0
    """Seconds for the whole exchange."""
    compression: Literal["none", "gzip"] = "none"
    certificate: str | None = None
    """File of the authorities to trust, instead of the system's."""
    client_certificate: str | None = None
    client_key: str | None = None
    settings: Mapping[str, str] = {}
    """Which setting named each of these files."""

    def setting(self, name: str) -> str:
        """What to look at when ``certificate``, ``client_certificate`` or ``client_key`` is not right."""
        return self.settings.get(name, f"OTEL_EXPORTER_OTLP_{name.upper()}")


class HTTPTransport:
    """OTLP over HTTP with protobuf bodies. Raises ``ConfigError`` for certificates that cannot be read."""

    def __init__(self, endpoints: Mapping[Signal, Endpoint]) -> None:
        self._lines = {signal: _Line(endpoint) for signal, endpoint in endpoints.items()}

    def send(self, signal: Signal, body: bytes) -> Answer:
        """Send one request and wait for its answer."""
        return self._lines[signal].send(body)

    def close(self) -> None:
        """Close the connections."""
        for line in self._lines.values():
            line.close()

    def abandon(self) -> None:
        """See ``Transport``. Closing a socket here says nothing on the parent's copy of it."""
        self.close()


class _Line:
    """One connection to one URL, straight or through the proxy that the environment names."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        url = urlsplit(endpoint.url)
        self._context = tls(endpoint) if url.scheme == "https" else None
        self._headers = {
            "content-type": "application/x-protobuf",
            "user-agent": "interlay",
            **{name.lower(): value for name, value in endpoint.headers.items()},
        }
        if endpoint.compression == "gzip":
            self._headers["content-encoding"] = "gzip"
        self._path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._connection: http.client.HTTPConnection | None = None
        self._until = 0.0

    def send(self, body: bytes) -> Answer:
        if self._endpoint.compression == "gzip":
            body = gzip.compress(body, _GZIP)
        self._until = monotonic() + self._endpoint.timeout
        reused = self._connection is not None
        try:
            try:
                return self._exchange(body)
            except (http.client.RemoteDisconnected, ConnectionError, ssl.SSLEOFError):
                if not reused:
                    raise
                # A connection that was kept open may have been closed by the other side meanwhile.
                self.close()
                return self._exchange(body)
        except TimeoutError:
            self.close()
            return Answer("later", "timeout")
        except ssl.SSLEOFError:
            self.close()
            return Answer("later", "read", message="the other side hung up")
        except ssl.SSLError as error:
            self.close()
            return Answer("wrong", "tls", message=_what_is_wrong(error, self._endpoint))
        except (OSError, http.client.HTTPException) as error:
            self.close()
            connects = isinstance(error, ConnectionRefusedError | socket.gaierror)
            return Answer("later", "connect" if connects else "read", message=type(error).__name__)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _exchange(self, body: bytes) -> Answer:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._connect()
        if connection.sock is not None:
            connection.sock.settimeout(self._left())
        connection.request("POST", self._path, body, self._headers)
        with connection.getresponse() as response:
            answer = response.read(_MOST)
            if response.length and len(answer) < _MOST:
                raise http.client.IncompleteRead(answer, response.length)
            if not response.isclosed():
                self.close()
        return read_answer(response.status, response.headers.get, answer)

    def _connect(self) -> http.client.HTTPConnection:
        url = urlsplit(self._endpoint.url)
        proxy = _proxy(url)
        address = proxy or url
        kinds: tuple[Any, dict[str, Any]] = (http.client.HTTPConnection, {})
        if self._context is not None and (proxy is None or proxy.scheme != "https"):
            kinds = http.client.HTTPSConnection, {"context": self._context}
        connection: http.client.HTTPConnection = kinds[0](
            address.hostname or "", address.port, timeout=self._left(), **kinds[1]
        )
        if proxy is not None:
            if url.scheme == "https":
                connection.set_tunnel(url.hostname or "", url.port or 443, _credentials(proxy))
            else:
                self._path = self._endpoint.url
                self._headers.update(_credentials(proxy))
        # A response that drips is cut off when the time is over, not after a pause of that length.
        connection.response_class = self._response  # type: ignore[assignment]
        return connection

    def _response(self, sock: socket.socket, *args: Any, **options: Any) -> http.client.HTTPResponse:
        return http.client.HTTPResponse(_Hurried(sock, self._until), *args, **options)  # type: ignore[arg-type]

    def _left(self) -> float:
        return max(0.001, self._until - monotonic())


class _Hurried:
    """A socket, as ``HTTPResponse`` wants one, that times out at a point in time."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._sock = sock
        self._until = until

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_HurriedIO(self._sock, self._until))


class _HurriedIO(io.RawIOBase):
    def __init__(self, sock: socket.socket, until: float) -> None:
        self._sock = sock
        self._until = until
        self._raw: Any = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int | None:  # type: ignore[override]  # what Buffer is in 3.12
        left = self._until - monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        read: int | None = self._raw.readinto(buffer)
        return read

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


def tls(endpoint: Endpoint) -> ssl.SSLContext:
    """What is trusted and shown. Raises ``ConfigError`` for files that cannot be read, or hold something else, by the
    name of the setting."""
    try:
        context = ssl.create_default_context(cafile=endpoint.certificate)
    except OSError as error:  # what OpenSSL raises is one too
        raise _unusable(endpoint, "certificate", error) from error
    if endpoint.client_certificate is not None:
        for name in ("client_certificate", "client_key"):
            try:
                if path := getattr(endpoint, name):
                    Path(path).read_bytes()
            except OSError as error:
                raise _unusable(endpoint, name, error) from error
        try:
            # A key with a password is none that can be used here: nobody is there to be asked for it.
            context.load_cert_chain(endpoint.client_certificate, endpoint.client_key, password="")
        except OSError as error:
            mismatch = "KEY_VALUES_MISMATCH" in str(error)
            raise _unusable(endpoint, "client_key" if mismatch else "client_certificate", error) from error
    return context


def _unusable(endpoint: Endpoint, name: str, error: OSError) -> ConfigError:
    what = (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or "it holds no such thing"
    path = getattr(endpoint, name) or endpoint.client_certificate
    return ConfigError(f"{endpoint.setting(name)}: {path!r} cannot be used: {what}")


def _what_is_wrong(error: ssl.SSLError, endpoint: Endpoint) -> str:
    """What a handshake failed for, with the setting that has to do with it."""
    reason = error.reason or type(error).__name__
    if "ALERT" in reason:  # said by the other side, of what it was shown
        return f"{reason}: see {endpoint.setting('client_certificate')}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{reason}: {error.verify_message}: see {endpoint.setting('certificate')}"
    return reason


def _proxy(url: SplitResult) -> SplitResult | None:
    host = url.hostname or ""
    proxy = urllib.request.getproxies().get(url.scheme)
    if not proxy or urllib.request.proxy_bypass(host):
        return None
    return urlsplit(proxy if "://" in proxy else f"http://{proxy}")


def _credentials(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    plain = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return {"proxy-authorization": "Basic " + base64.b64encode(plain).decode()}
