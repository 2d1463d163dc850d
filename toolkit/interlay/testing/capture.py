"""What was recorded inside a block, and a block that reaches no network."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from interlay.chain.recorder import Observe
from interlay.entry import process
from interlay.model.record import Record

_SETTLE_SECONDS: Final = 1.0


class _Collector:
    def __init__(self) -> None:
        self.records: list[Record] = []

    def on_end(self, record: Record) -> None:
        self.records.append(record)


@contextmanager
def capture() -> Iterator[list[Record]]:
    """Collect the records that are sealed inside the block, by any client of the process, oldest first.

        with capture() as records:
            client.chat.completions.create(...)
        assert records[0].usage.output_tokens == 12

    Leaving the block waits, at most a second, for what is still to be sealed in the background.
    """
    collector = _Collector()
    process.recorder.listen(Observe(collector, inline=True))
    try:
        yield collector.records
    finally:
        process.recorder.runner.drain(_SETTLE_SECONDS)
        process.recorder.unlisten(collector)


class NetworkRefusedError(ConnectionRefusedError):
    """Something inside ``no_network()`` wanted to leave this machine."""


@contextmanager
def no_network() -> Iterator[list[str]]:
    """Refuse every connection, datagram and name look-up beyond the loopback inside the block.

    Yields the list of addresses that were asked for and refused. To the code inside it looks like a refused
    connection (``NetworkRefusedError``). Concerns the whole process, all threads included.
    """
    refused: list[str] = []

    def check(address: object) -> None:
        host = address[0] if isinstance(address, tuple) and address else address
        if not _is_local(host):
            refused.append(str(host))
            raise NetworkRefusedError(f"no_network(): {host!r} is not on this machine")

    def connect(self: socket.socket, address: Any) -> None:
        if self.family != _UNIX:
            check(address)
        _Base.connect(self, address)

    def connect_ex(self: socket.socket, address: Any) -> int:
        if self.family != _UNIX:
            check(address)
        return _Base.connect_ex(self, address)  # type: ignore[no-any-return]

    def sendto(self: socket.socket, data: Any, *rest: Any) -> int:
        if self.family != _UNIX:
            check(rest[-1])
        return _Base.sendto(self, data, *rest)  # type: ignore[no-any-return]

    def getaddrinfo(host: Any, *rest: Any, **named: Any) -> Any:
        check(host)
        return look_up(host, *rest, **named)

    look_up = socket.getaddrinfo
    before = {name: socket.socket.__dict__.get(name) for name in ("connect", "connect_ex", "sendto")}
    socket.socket.connect = connect  # type: ignore[assignment,method-assign]
    socket.socket.connect_ex = connect_ex  # type: ignore[assignment,method-assign]
    socket.socket.sendto = sendto  # type: ignore[assignment,method-assign]
    socket.getaddrinfo = getaddrinfo
    try:
        yield refused
    finally:
        socket.getaddrinfo = look_up
        for name, method in before.items():
            if method is None:
                delattr(socket.socket, name)
            else:
                setattr(socket.socket, name, method)


_Base: Final[Any] = socket.socket.__mro__[1]
_UNIX: Final = getattr(socket, "AF_UNIX", None)


def _is_local(host: object) -> bool:
    if host is None:
        return True
    if isinstance(host, bytes):
        host = os.fsdecode(host)
    if not isinstance(host, str):
        return False
    if host in ("", "localhost", "localhost."):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
