"""Connections to Redis, of which no operation takes longer than it may.

redis-py speaks the protocol, logs in, and knows what clusters and sentinels say. What is ours is who may use a
connection, and until when:

- Each operation has one deadline for all that it sends and reads, however slowly the server trickles.
- Connections are made on threads of their own, name resolution and all. An operation waits for one until its
  deadline; one that comes too late is there for the next operation.
- A connection is used again only after every answer that was owed on it was read. After a time-out, a failure, Ctrl-C
  or a stray byte it is thrown away, so that nobody can get another's answer.
"""

from __future__ import annotations

import threading
import time
from _thread import start_new_thread
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol

from interlay.chain.forks import in_children
from interlay.model.errors import ConfigError
from interlay.stores.redis_address import Address

try:
    from redis.backoff import NoBackoff
    from redis.cluster import ClusterNode, RedisCluster
    from redis.connection import Connection, SSLConnection
    from redis.exceptions import AskError, MovedError, NoScriptError, ResponseError
    from redis.retry import Retry
    from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection
except ImportError as missing:
    raise ConfigError("RedisStore needs the package redis: pip install 'interlay[redis]'") from missing

Command = tuple[str | bytes | int | float, ...]
Reply = Any
"""What a command was answered with: a ``ResponseError`` is one, too."""

_CONNECTING: Final = 5.0
"""Seconds that making a connection may take, which nobody waits for."""
_MAKERS: Final = 16
"""Threads that make connections to one server, more or less."""
_IDLE: Final = 32
"""Connections to one server that are kept for the next ones who come."""

__all__ = ["Command", "Crowded", "NoScriptError", "Reply", "ResponseError", "Servers", "connect"]

_own = threading.local()
"""``deadline``: until when what this thread is doing may last, on ``time.monotonic``'s clock."""


@contextmanager
def _until(deadline: float) -> Iterator[None]:
    before = getattr(_own, "deadline", None)
    _own.deadline = deadline
    try:
        yield
    finally:
        _own.deadline = before


def _left() -> float:
    deadline = getattr(_own, "deadline", None)
    if deadline is None:
        return _CONNECTING
    left: float = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time for this is up")
    return left


class _Socket:
    """A socket that waits no longer than the thread using it may."""

    def __init__(self, socket: Any) -> None:  # noqa: ANN401 - plain or TLS
        self._socket = socket
        self._longest = _CONNECTING

    def recv_into(self, *arguments: Any) -> int:
        self._socket.settimeout(min(_left(), self._longest))
        count: int = self._socket.recv_into(*arguments)
        return count

    def recv(self, *arguments: Any) -> bytes:
        self._socket.settimeout(min(_left(), self._longest))
        data: bytes = self._socket.recv(*arguments)
        return data

    def sendall(self, data: Any) -> None:  # noqa: ANN401 - anything with bytes
        self._socket.settimeout(_left())
        self._socket.sendall(data)

    def settimeout(self, seconds: float | None) -> None:
        """What redis-py wants; older versions look by this whether something is to be read."""
        self._longest = _CONNECTING if seconds is None else seconds

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._socket, name)


class _Prompt:
    """What is ours of a connection."""

    socket_connect_timeout: float | None
    socket_timeout: float | None

    def _connect(self) -> _Socket:
        # A server may have several addresses, and each is tried for this long.
        self.socket_connect_timeout = self.socket_timeout = _left()
        return _Socket(super()._connect())  # type: ignore[misc] # the other base has it


class _PlainConnection(_Prompt, Connection):
    pass


class _TLSConnection(_Prompt, SSLConnection):
    pass


class _SentinelConnection(_Prompt, SentinelManagedConnection):
    pass


class _SentinelTLSConnection(_Prompt, SentinelManagedConnection, SSLConnection):
    pass


def _is_silent(connection: Any) -> bool:  # noqa: ANN401 - of four classes
    """Whether it is open, and nothing has come on it that nobody asked for."""
    try:
        return not connection.can_read(0)
    except Exception:  # noqa: BLE001 - the server has closed it, for one
        return False


class Crowded(Exception):
    """A server answers others, and had no connection for this one in time."""


class _Server:
    """One server, and the connections to it that nobody uses right now."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._reset()
        # The sockets are the parent's: they are closed in a child, and not said goodbye to.
        in_children(self._reset)

    def _reset(self) -> None:
        # Nothing else wakes who waits and is still sound when a signal interrupts it anywhere.
        self._idle: SimpleQueue[Any] = SimpleQueue()
        """Connections; and failures to make one, for who waits."""
        self._makers = 0
        self._answered = 0.0
        self._closed = False

    def ask(self, commands: Sequence[Command], deadline: float) -> list[Reply]:
        """The answers to commands that are sent together."""
        connection = self._take(deadline)
        _own.deadline = deadline
        replies: list[Reply] = []
        try:
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            for _ in commands:
                try:
                    replies.append(connection.read_response())
                except ResponseError as error:
                    replies.append(error)
        except BaseException:
            connection.disconnect()
            # The others are to the same server, which may be another by now.
            self.forget()
            raise
        finally:
            _own.deadline = None
        self._answered = time.monotonic()
        self._give(connection)
        return replies

    def _take(self, deadline: float) -> Any:  # noqa: ANN401 - of four classes
        while True:
            try:
                found = self._idle.get_nowait()
            except Empty:
                break
            if not isinstance(found, Exception):
                if _is_silent(found):
                    return found
                found.disconnect()
        if self._makers < _MAKERS:
            # `Thread.start` waits for the thread, and what interrupts that is lost.
            start_new_thread(self._connect, (self._idle,))
        begun = time.monotonic()
        try:
            found = self._idle.get(timeout=max(0.0, deadline - begun))
        except Empty:
            if self._answered > begun:
                raise Crowded("all connections are in use") from None
            raise ConnectionError("no connection in time") from None
        if isinstance(found, Exception):
            raise found
        return found

    def _give(self, connection: Any) -> None:  # noqa: ANN401 - of four classes
        if self._idle.qsize() < _IDLE:
            self._idle.put(connection)
            if self._closed:
                self.forget()
        else:
            connection.disconnect()

    def _connect(self, idle: SimpleQueue[Any]) -> None:
        self._makers += 1
        connection: Any = None
        try:
            with _until(time.monotonic() + _CONNECTING):
                connection = self._make()
                connection.connect()
                # The answer says that it is a Redis, and that what TLS sends by itself at first has come.
                connection.send_command("PING", check_health=False)
                with suppress(ResponseError):  # of one that may not ping
                    connection.read_response()
                if not _is_silent(connection):
                    raise ConnectionError("the server says more than it was asked")
            idle.put(connection)
        except Exception as error:  # noqa: BLE001 - for whoever waits to raise
            with suppress(Exception):
                connection.disconnect()
            # Without its frames, which hold whatever else was going on.
            idle.put(error.with_traceback(None))
        finally:
            self._makers -= 1
        if self._closed:
            self.forget()

    def forget(self) -> None:
        """Close what is idle."""
        while True:
            try:
                found = self._idle.get_nowait()
            except Empty:
                return
            if not isinstance(found, Exception):
                found.disconnect()

    def close(self) -> None:
        self._closed = True
        self.forget()


class Servers(Protocol):
    """One Redis, or many that are one."""

    def ask(self, tag: bytes, commands: Sequence[Command], deadline: float) -> list[Reply]:
        """The answers to commands that are sent together, about keys with one hash tag. Raises what redis-py and the
        network do, and ``Crowded``."""
        ...

    def ask_all(self, asked: Sequence[tuple[bytes, Command]], deadline: float) -> list[Reply]:
        """The same about keys of several tags."""
        ...

    def close(self) -> None: ...


class Single:
    """One server, or the one that sentinels name."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._server = _Server(make)

    def ask(self, tag: bytes, commands: Sequence[Command], deadline: float) -> list[Reply]:
        return self._server.ask(commands, deadline)

    def ask_all(self, asked: Sequence[tuple[bytes, Command]], deadline: float) -> list[Reply]:
        return self._server.ask([command for _, command in asked], deadline)

    def close(self) -> None:
        self._server.close()


class Cluster:
    """Servers that share the keys. redis-py asks them who has which, on a thread of its own: when it is first needed,
    and again when one of them does not answer or says that it has them no more.

    Args:
        learn: asks the cluster.
        make: a connection to one server.
    """

    def __init__(self, learn: Callable[[], Any], make: Callable[[str, int], Any]) -> None:
        self._learn = learn
        self._make = make
        self._lock = threading.Lock()
        self._learner: threading.Thread | None = None
        self._map: Any = None
        self._servers: dict[tuple[str, int], _Server] = {}
        self._failure: Exception | None = None
        self._closed = False
        in_children(self._after_fork)

    def _after_fork(self) -> None:
        self._lock, self._learner = threading.Lock(), None

    def ask(self, tag: bytes, commands: Sequence[Command], deadline: float) -> list[Reply]:
        node = self._known(deadline).get_node_from_key(tag)
        if node is None:
            raise ConnectionError("the cluster has no server for some keys")
        return self._ask((node.host, node.port), commands, deadline)

    def ask_all(self, asked: Sequence[tuple[bytes, Command]], deadline: float) -> list[Reply]:
        known = self._known(deadline)
        shares: dict[tuple[str, int] | None, list[int]] = {}
        for at, (tag, _) in enumerate(asked):
            node = known.get_node_from_key(tag)
            shares.setdefault(None if node is None else (node.host, node.port), []).append(at)
        replies: list[Reply] = [None] * len(asked)
        for server, share in shares.items():
            if server is None:
                raise ConnectionError("the cluster has no server for some keys")
            for at, reply in zip(share, self._ask(server, [asked[at][1] for at in share], deadline), strict=True):
                replies[at] = reply
        return replies

    def _ask(self, server: tuple[str, int], commands: Sequence[Command], deadline: float) -> list[Reply]:
        try:
            replies = self._server(server).ask(commands, deadline)
        except Exception:
            self._look_again()
            raise
        for at, reply in enumerate(replies):
            if isinstance(reply, ResponseError) and (word := _word(reply)) in ("MOVED", "ASK"):
                other = self._server(_elsewhere(reply, server[0]))
                if word == "ASK":  # on their way: this one time
                    replies[at] = other.ask((("ASKING",), commands[at]), deadline)[1]
                else:
                    self._look_again()
                    replies[at] = other.ask((commands[at],), deadline)[0]
        return replies

    def close(self) -> None:
        with self._lock:
            self._closed = True
            known, self._map = self._map, None
            servers, self._servers = self._servers, {}
        for server in servers.values():
            server.close()
        if known is not None:
            known.close()

    def _server(self, where: tuple[str, int]) -> _Server:
        server = self._servers.get(where)
        if server is None:
            with self._lock:
                server = self._servers.setdefault(where, _Server(partial(self._make, *where)))
        return server

    def _known(self, deadline: float) -> Any:  # noqa: ANN401 - redis-py's client of clusters is not typed
        known = self._map
        if known is not None:
            return known
        learner = self._look_again()
        learner.join(max(0.0, deadline - time.monotonic()))
        known, failure = self._map, self._failure
        if known is not None:
            return known
        if learner.is_alive() or failure is None:
            raise ConnectionError("no connection in time")
        raise failure

    def _look_again(self) -> threading.Thread:
        with self._lock:
            learner = self._learner
            if learner is None:
                learner = self._learner = threading.Thread(target=self._look, name="interlay-redis", daemon=True)
                learner.start()
            return learner

    def _look(self) -> None:
        known, failure = None, None
        try:
            known = self._learn()
        except Exception as error:  # noqa: BLE001 - for whoever waits to raise
            failure = error.with_traceback(None)
        with self._lock:
            self._learner, self._failure = None, failure
            before = known if self._closed else self._map
            if known is not None and not self._closed:
                self._map = known
        if known is not None and before is not None:
            before.close()


def _word(reply: ResponseError) -> str:
    """What kind of redirection an answer is, if it is one. Some versions of redis-py tell it by type only, others by
    text only."""
    if isinstance(reply, AskError):
        return "ASK"
    return "MOVED" if isinstance(reply, MovedError) else str(reply).partition(" ")[0]


def _elsewhere(reply: ResponseError, host: str) -> tuple[str, int]:
    """Where it redirects to: ``… slot host:port``, where no host is the same one."""
    where, _, port = str(reply).rpartition(" ")[2].rpartition(":")
    return where or host, int(port)


def connect(address: Address) -> Servers:
    """The servers at an address. Nothing is sent before they are asked something."""
    # All that waits is given a time, although a deadline is above it all, and nothing is tried twice. The newer
    # protocol would let the server send what nobody asked for.
    options: dict[str, Any] = {
        **address.login(),
        **address.tls_options,
        "socket_timeout": _CONNECTING,
        "socket_connect_timeout": _CONNECTING,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    if address.kind == "sentinel":
        return Single(_named_by_sentinels(address, options))
    make = _TLSConnection if address.tls else _PlainConnection
    if address.kind == "cluster":
        return Cluster(
            lambda: RedisCluster(
                startup_nodes=[ClusterNode(*host) for host in address.hosts],  # type: ignore[no-untyped-call,unused-ignore]
                require_full_coverage=False,
                ssl=address.tls,
                **options,
            ),
            lambda host, port: make(host=host, port=port, **options),
        )
    host, port = address.hosts[0]
    return Single(lambda: make(host=host, port=port, db=address.db, **options))


def _named_by_sentinels(address: Address, options: dict[str, Any]) -> Callable[[], Any]:
    sentinels = Sentinel(  # type: ignore[no-untyped-call,unused-ignore]
        address.hosts, sentinel_kwargs={**options, **address.sentinel_login(), "ssl": address.tls}
    )
    pool: Any = SentinelConnectionPool(  # type: ignore[no-untyped-call,unused-ignore]
        address.service,
        sentinels,
        connection_class=_SentinelTLSConnection if address.tls else _SentinelConnection,
        max_connections=2**31,  # it counts those that were made, and never those that are gone
        db=address.db,
        **options,
    )
    make: Callable[[], Any] = pool.make_connection
    return make
