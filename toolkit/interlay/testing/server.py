"""A player on a real socket: a small HTTP/1.1 server on the loopback, from the standard library alone."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from types import TracebackType
from typing import BinaryIO, Final, Self

from interlay.testing.player import Answer, Pause, Player, Sent

_MAX_LINE: Final = 1024 * 1024
_BODY_LIMIT: Final = 256 * 1024 * 1024


class Server:
    """Serves a player's answers on ``127.0.0.1``, at a port the system picks.

        with Server(Player(Recording.load(path))) as server:
            client = OpenAI(base_url=server.url + "/v1", api_key="none")

    Each connection has a thread and is kept alive. ``refuse`` cannot be played on a connection that was accepted:
    it is reset there; ``closed_port()`` names an address that refuses.
    """

    def __init__(self, player: Player) -> None:
        self.player = player
        self.accepted = 0
        """Connections that were ever opened."""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._acceptor = threading.Thread(target=self._accept, name="interlay-testing", daemon=True)
        self._acceptor.start()

    @property
    def url(self) -> str:
        """Scheme, host and port; no path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """Connections that are open now, idle ones too."""
        with self._lock:
            return len(self._connections)

    def close(self) -> None:
        """Stop: connections are closed and all threads are gone afterwards."""
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        with self._lock:
            open_ = list(self._connections.items())
        for connection, _ in open_:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for _, thread in open_:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._converse, args=(connection,), name="interlay-testing", daemon=True)
            with self._lock:
                self.accepted += 1
                self._connections[connection] = thread
            thread.start()

    def _converse(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as reader:
                while not self._stopping.is_set():
                    sent = _read_request(reader, self.url)
                    if sent is None:
                        return
                    answer = self.player.answer(sent)
                    try:
                        kept = self._play(connection, answer)
                    finally:
                        answer.released()
                    if not kept or (sent.header("connection") or "").lower() == "close":
                        return
        except (OSError, ValueError):
            return  # the peer went away, or speaks something else
        finally:
            with self._lock:
                self._connections.pop(connection, None)

    def _play(self, connection: socket.socket, answer: Answer) -> bool:
        """Carry out an answer. Returns whether the connection can serve another request."""
        if answer.before is not None:
            if answer.before == "hang":
                _wait_for_the_end(connection)
            else:
                _reset(connection)
            return False
        connection.sendall(_head(answer))
        for step in answer.steps:
            if isinstance(step, bytes):
                connection.sendall(b"%x\r\n%b\r\n" % (len(step), step) if answer.chunked else step)
            elif isinstance(step, Pause):
                if self._stopping.wait(step.seconds):
                    return False
            elif step == "hang":
                _wait_for_the_end(connection)
                return False
            elif step == "reset":
                _reset(connection)
                return False
            else:
                connection.sendall(b"ff\r\ntruncated")
                return False
        if answer.chunked:
            connection.sendall(b"0\r\n\r\n")
        return True


def closed_port() -> str:
    """The URL of a loopback port where nobody listens: connections to it are refused."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def _head(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} Answer"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    if answer.chunked:
        lines.append("transfer-encoding: chunked")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _read_request(reader: BinaryIO, base: str) -> Sent | None:
    """The next request of a connection, or None at its end. Raises ``ValueError`` for what is no HTTP/1.1."""
    line = reader.readline(_MAX_LINE).decode("latin-1").strip()
    if not line:
        return None
    method, target, _ = line.split(" ", 2)
    headers = []
    while line := reader.readline(_MAX_LINE).decode("latin-1").rstrip("\r\n"):
        name, _, value = line.partition(":")
        headers.append((name, value.strip()))
    sent = Sent(method, base + target, tuple(headers), b"")
    if "chunked" in (sent.header("transfer-encoding") or "").lower():
        body = _read_chunks(reader)
    else:
        body = reader.read(min(int(sent.header("content-length") or 0), _BODY_LIMIT))
    return Sent(method, base + target, tuple(headers), body)


def _read_chunks(reader: BinaryIO) -> bytes:
    body = bytearray()
    while size := int(reader.readline(_MAX_LINE).partition(b";")[0], 16):
        body += reader.read(size)
        reader.readline(_MAX_LINE)
        if len(body) > _BODY_LIMIT:
            raise ValueError("the request is too large")
    while reader.readline(_MAX_LINE).strip():
        pass
    return bytes(body)


def _reset(connection: socket.socket) -> None:
    """Close so that the peer gets a RST: lingering for no time at all discards what was not sent."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _wait_for_the_end(connection: socket.socket) -> None:
    """Block until the peer, or ``close()``, ends the connection."""
    with contextlib.suppress(OSError):
        connection.recv(1, socket.MSG_PEEK)
