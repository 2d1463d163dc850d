"""The store in Redis on real servers: what all stores promise, what others put under its keys, and its lists."""

from __future__ import annotations

import itertools
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.services.redis_server import RedisCluster, RedisSentinel, RedisServer, free_port, running, until
from tests.unit.stores.conformance import HOUR, KEY, OTHER, Bomb, Conformance, run, share_leases, sync

from interlay.chain.io import IO, SyncIO, drive
from interlay.chain.runner import Runner
from interlay.model.errors import ConfigError
from interlay.stores.redis import RedisStore
from interlay.stores.store import StoreBusy, StoreError

__all__ = ["run"]

PATIENT = 60.0
"""Seconds for an operation: a busy machine is no reason to fail."""

_prefixes = map("test{}".format, itertools.count())


class RedisBench:
    """A store with a prefix of its own, and the servers that it is on."""

    def __init__(self, url: str, *servers: RedisServer, timeout: float = PATIENT) -> None:
        self.servers = servers
        self.prefix = next(_prefixes)
        self.store = RedisStore(url, timeout=timeout, prefix=self.prefix)

    def names(self, kind: str = "*") -> list[tuple[Any, bytes]]:
        """Names of what the store has put there, each with the server it is on."""
        return [(server, key) for server in self.servers for key in server.ask("KEYS", f"{self.prefix}:*:{kind}")]

    def one(self, kind: str) -> tuple[Any, bytes]:
        (found,) = self.names(kind)
        return found

    def pass_(self, seconds: float) -> None:
        """Move all that is there into the past."""
        gone = round(seconds * 1000)
        for server, key in self.names():
            with server.client() as client:
                left = client.pttl(key)
                if key.endswith(b"}:k"):
                    for row, score in client.zscan(key)[1]:
                        client.zadd(key, {row: score - gone})
                elif b"}:e:" in key:
                    client.setrange(key, 4, b"%016d" % (int(client.getrange(key, 4, 19)) - gone))
                client.pexpire(key, left - gone)  # what is past is deleted

    def set(self, key: str = KEY, value: bytes = b"value", **others: Any) -> bool:
        return sync(lambda io: self.store.set(io, key, value, lifetime=HOUR, **others))

    def get(self, key: str = KEY) -> bytes | None:
        return sync(lambda io: self.store.get(io, key))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    found = RedisServer(tmp_path_factory.mktemp("redis"))
    with running(found):
        yield found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    found = RedisCluster(tmp_path_factory.mktemp("cluster"))
    yield found
    found.kill()


@pytest.fixture
def bench(server: RedisServer) -> Iterator[RedisBench]:
    found = RedisBench(server.url, server)
    yield found
    found.store.close()


class TestRedis(Conformance):
    pass


class TestCluster(Conformance):
    @pytest.fixture
    def bench(self, cluster: RedisCluster) -> Iterator[RedisBench]:
        found = RedisBench(cluster.url, *cluster.nodes)
        yield found
        found.store.close()

    def test_uses_all_servers(self, bench: RedisBench) -> None:
        for at in range(100):
            assert bench.set(f"{at:064d}")
        assert {server.port for server, _ in bench.names()} == {node.port for node in bench.servers}

    def test_a_server_that_is_frozen_is_told_from_one_that_is_crowded(self, bench: RedisBench) -> None:
        keys = [f"{at:064d}" for at in range(60)]
        for key in keys:
            bench.set(key)
        frozen = bench.servers[0]
        away = {
            key for key in keys if any(name.endswith(key.encode()) for name in frozen.ask("KEYS", f"{bench.prefix}:*"))
        }
        bench.store.timeout = 0.2
        frozen.freeze()
        try:
            for key in sorted(away)[:3]:
                with pytest.raises(StoreError) as caught:
                    bench.get(key)
                assert not isinstance(caught.value, StoreBusy)
            bench.store.timeout = PATIENT
            for key in set(keys) - away:
                assert bench.get(key) == b"value"
        finally:
            frozen.thaw()
        assert all(bench.get(key) == b"value" for key in keys)

    def test_follows_keys_that_move(self, cluster: RedisCluster, bench: RedisBench) -> None:
        bench.set()
        source, name = bench.one("e:*")
        target = next(node for node in cluster.nodes if node is not source)
        slot = source.ask("CLUSTER", "KEYSLOT", name)
        ids = {node.port: node.ask("CLUSTER", "MYID") for node in cluster.nodes}
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source.port])
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target.port])
        keys = source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100)
        source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 60_000, "KEYS", *keys)
        assert bench.get() == b"value"
        for node in (target, source, *cluster.nodes):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", ids[target.port])
        assert bench.get() == b"value"
        assert bench.set(value=b"moved")
        assert bench.get() == b"moved"
        assert sync(bench.store.forget) == 1


class TestSentinel:
    def test_goes_to_whom_the_sentinel_names(self, tmp_path: Path) -> None:
        trio = RedisSentinel(tmp_path)
        bench = RedisBench(trio.url, trio.first)
        try:
            assert bench.set(scope="s", tags=["t"])
            assert bench.get() == b"value"
            assert len(bench.names("e:*")) == 1
            trio.first.kill()

            def is_back() -> bool:
                try:
                    return bench.set(value=b"new")
                except StoreError:
                    return False

            until(is_back, "there is no new one")
            assert bench.get() == b"new"
            assert trio.second.ask("KEYS", f"{bench.prefix}:*:e:*")
        finally:
            bench.store.close()
            trio.kill()


class TestPoison:
    @pytest.mark.parametrize(
        "command",
        [
            ("SET", "KEY", b""),
            ("SET", "KEY", b"other"),
            ("SET", "KEY", b"ILR1"),
            ("SET", "KEY", b"ILR1" + b"x" * 20),
            ("SET", "KEY", b"\x80\x04N."),
            ("RPUSH", "KEY", "a", "b"),
            ("HSET", "KEY", "a", "b"),
            ("ZADD", "KEY", 1, "b"),
            ("SADD", "KEY", "a"),
        ],
    )
    def test_what_is_not_ours_is_a_miss(self, bench: RedisBench, tmp_path: Path, command: tuple[Any, ...]) -> None:
        bench.set(tags=["t"])
        bench.set(OTHER, b"other", tags=["t"])
        server, name = next((server, key) for server, key in bench.names("e:*") if key.endswith(KEY.encode()))
        server.ask("DEL", name)
        if command[2] == b"\x80\x04N.":
            command = ("SET", "KEY", pickle.dumps(Bomb(tmp_path / "went off")))
        server.ask(*(name if word == "KEY" else word for word in command))
        assert bench.get() is None
        assert sync(lambda io: bench.store.find(io, KEY)) is None
        assert bench.get(OTHER) == b"other"
        assert sync(bench.store.stats).entries <= 2
        assert sync(lambda io: bench.store.forget(io, tag="t")) == 1
        assert bench.set(value=b"new")
        assert bench.get() == b"new"
        assert not (tmp_path / "went off").exists()

    @pytest.mark.parametrize("command", [("SET", "LIST", "x"), ("HSET", "LIST", "a", "b")])
    def test_a_list_that_is_not_ours_is_left_alone(self, bench: RedisBench, command: tuple[str, ...]) -> None:
        bench.set()
        server, name = bench.one("k")
        server.ask("DEL", name)
        server.ask(*(name if word == "LIST" else word for word in command))
        assert bench.get() is None
        assert not bench.set()
        assert bench.get() is None
        assert not sync(lambda io: bench.store.delete(io, KEY))
        assert sync(bench.store.forget) == 0
        assert sync(bench.store.stats).entries == 0
        assert server.ask("EXISTS", name)

    def test_a_lease_that_is_not_ours_is_an_error(self, bench: RedisBench) -> None:
        assert sync(lambda io: bench.store.lease(io, "name", "ann", lifetime=60))
        server, name = bench.one("l:*")
        server.ask("DEL", name)
        server.ask("RPUSH", name, "x")
        with pytest.raises(StoreError, match="another program's"):
            sync(lambda io: bench.store.lease(io, "name", "ann", lifetime=60))


class TestLists:
    def test_an_answer_that_is_not_on_a_list_is_none(self, bench: RedisBench) -> None:
        bench.set(tags=["t"])
        server, name = bench.one("k")
        server.ask("DEL", name)  # as Redis does that is full
        assert bench.get() is None, "nobody could forget it by its tag"
        assert bench.set(OTHER)
        assert bench.get() is None

    def test_end_with_the_last_of_their_answers(self, bench: RedisBench) -> None:
        async def work(io: IO) -> None:
            for at in range(300):
                await bench.store.set(io, f"{at:064d}", b"v", lifetime=60, tags=[str(at)])

        sync(work)
        bench.pass_(61)
        assert not bench.names()

    def test_do_not_grow_with_what_expires(self, bench: RedisBench) -> None:
        async def work(io: IO) -> None:
            for round_ in range(4):
                for at in range(640):
                    await bench.store.set(io, f"{round_}-{at}", b"v", lifetime=60, tags=["t"])
                await bench.store.set(io, "long", b"v", lifetime=HOUR)
                bench.pass_(61)

        sync(work)
        rows = sum(server.ask("ZCARD", key) for server, key in bench.names("k"))
        assert rows < 2 * 640

    def test_do_not_grow_with_what_is_evicted(self, bench: RedisBench) -> None:
        for at in range(2000):
            bench.set(f"{at:064d}")
        for server, key in bench.names("e:*")[:1500]:
            server.ask("DEL", key)
        for _ in range(64):
            bench.store._sweep()
        assert sum(server.ask("ZCARD", key) for server, key in bench.names("k")) == 500
        assert sync(bench.store.stats).entries == 500

    def test_are_swept_beside_the_calls(self, bench: RedisBench) -> None:
        asked = list[Callable[[], None]]()

        class Later(SyncIO):
            def later(self, work: Callable[[], None]) -> bool:
                asked.append(work)
                return True

        async def work() -> None:
            for at in range(600):
                await bench.store.set(Later(Runner()), f"{at:064d}", b"v", lifetime=60)

        drive(work())
        assert len(asked) == 2

    def test_others_keys_are_left_alone(self, bench: RedisBench, server: RedisServer) -> None:
        server.ask("SET", "precious", "x")
        server.ask("SET", f"{bench.prefix}x:{{1}}:e:y", "x")
        other = RedisBench(server.url, server)
        other.set(tags=["t"])
        bench.set(tags=["t"])
        assert sync(bench.store.forget) == 1
        assert other.get() == b"value"
        assert server.ask("EXISTS", "precious", f"{bench.prefix}x:{{1}}:e:y") == 2
        other.store.close()

    def test_labels_of_any_length_are_found(self, bench: RedisBench) -> None:
        tags = [f"tag {at} " + "x" * 100 for at in range(50)]
        assert bench.set(tags=tags)
        assert not bench.set(OTHER, tags=["x" * 70_000]), "too long to be kept"
        assert sync(lambda io: bench.store.forget(io, tag=tags[49])) == 1


def figure(server: RedisServer, name: str) -> int:
    """One of those that the server counts."""
    text: bytes = server.ask("INFO", "stats")
    return int(text.split(f"{name}:".encode())[1].split(b"\r")[0])


def test_one_round_trip_sets_with_tags(bench: RedisBench, server: RedisServer) -> None:
    bench.set(tags=["a"])  # so that it has a connection, and the server the script
    before = figure(server, "total_reads_processed")
    for _ in range(100):
        bench.set(scope="s", tags=["a", "b", "c"])
    assert figure(server, "total_reads_processed") - before < 110, "one read a set, and those of asking"


def test_nothing_is_sent_before_first_use(server: RedisServer) -> None:
    before = figure(server, "total_connections_received")
    RedisStore(server.url).close()
    assert figure(server, "total_connections_received") == before + 1, "the one that asks"


@pytest.mark.parametrize("are_answered", [True, False])
def test_having_no_connection_while_others_are_answered_is_being_busy(bench: RedisBench, *, are_answered: bool) -> None:
    bench.set()
    server = bench.store._servers._server  # type: ignore[attr-defined] # of a single one
    held = server._take(time.monotonic() + PATIENT)
    server._makers, server._answered = 10**6, float("inf") if are_answered else 0.0
    bench.store.timeout = 0.01
    with pytest.raises(StoreError) as caught:
        bench.get()
    assert isinstance(caught.value, StoreBusy) == are_answered
    server._makers, bench.store.timeout = 0, PATIENT
    server._give(held)
    assert bench.get() == b"value"


def test_scripts_may_be_forgotten(bench: RedisBench, server: RedisServer) -> None:
    bench.set()
    server.ask("SCRIPT", "FLUSH")
    assert bench.set(value=b"new", tags=["t"])
    server.ask("SCRIPT", "FLUSH")
    assert sync(lambda io: bench.store.lease(io, "n", "ann", lifetime=60))
    server.ask("SCRIPT", "FLUSH")
    assert sync(lambda io: bench.store.forget(io, tag="t")) == 1


LEASER = """
import sys
from interlay.chain.io import SyncIO, drive
from interlay.chain.runner import Runner
from interlay.stores.redis import RedisStore

store, io = RedisStore(sys.argv[1], timeout=60, prefix=sys.argv[2]), SyncIO(Runner())
print("ready", flush=True)
sys.stdin.readline()
print(*(at for at in range(300) if drive(store.lease(io, str(at), sys.argv[3], lifetime=3600))))
"""


def test_of_two_processes_one_gets_each_lease(bench: RedisBench, server: RedisServer) -> None:
    share_leases([sys.executable, "-c", LEASER, server.url, bench.prefix])


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of newer Pythons, for any fork beside threads
def test_a_forked_child_has_connections_of_its_own(bench: RedisBench) -> None:
    bench.set()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if all(bench.get() == b"value" and bench.set(OTHER, b"child") for _ in range(50)) else 1
        finally:
            os._exit(code)
    for _ in range(50):
        assert bench.get() == b"value"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert bench.get(OTHER) == b"child"


def test_logs_in_and_shows_no_password(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    with running(server):
        server.ask("ACL", "SETUSER", "cache", "on", ">pa:ss@wörd", "~answers:*", "+@all")
        server.ask("CONFIG", "SET", "requirepass", "closed to others")
        address = f"redis://cache:pa%3Ass%40w%C3%B6rd@127.0.0.1:{server.port}/2"
        store = RedisStore(address, timeout=PATIENT, prefix="answers")
        assert sync(lambda io: store.set(io, KEY, b"value", lifetime=HOUR))
        assert sync(lambda io: store.get(io, KEY)) == b"value"
        assert "w" not in repr(store).split("127.0.0.1")[1]
        assert repr(store) == f"RedisStore('redis://127.0.0.1:{server.port}/2')"
        wrong = RedisStore(address.replace("pa%3A", "no%3A"), timeout=PATIENT)
        with pytest.raises(StoreError) as caught:
            sync(lambda io: wrong.get(io, KEY))
        assert "rd" not in str(caught.value).replace("word", "")
        for closing in (store, wrong):
            closing.close()


def test_by_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    for name, pem in [
        ("key", certificate.private_key_pem),
        ("certificate", certificate.cert_chain_pems[0]),
        ("authority", authority.cert_pem),
    ]:
        pem.write_to_path(tmp_path / name)
    port = free_port()
    server = RedisServer(
        tmp_path / "redis",
        *("--tls-port", str(port), "--tls-auth-clients", "no", "--tls-ca-cert-file", str(tmp_path / "authority")),
        *("--tls-cert-file", str(tmp_path / "certificate"), "--tls-key-file", str(tmp_path / "key")),
    )
    with running(server):
        address = f"rediss://localhost:{port}?ssl_ca_certs={tmp_path / 'authority'}"
        store = RedisStore(address, timeout=PATIENT)
        before = figure(server, "total_connections_received")
        for at in range(50):
            value = bytes(at * 1000)
            assert sync(lambda io, value=value: store.set(io, KEY, value, lifetime=HOUR))  # type: ignore[misc]
            assert sync(lambda io: store.get(io, KEY)) == value
        assert figure(server, "total_connections_received") - before == 2, "one is used again and again"
        store.close()
        stranger = RedisStore(f"rediss://localhost:{port}", timeout=PATIENT)
        with pytest.raises(StoreError):
            sync(lambda io: stranger.get(io, KEY))
        stranger.close()


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "1s", None])
def test_says_what_a_time_is(timeout: object) -> None:
    with pytest.raises(ConfigError, match=r"RedisStore\(timeout=.*expected seconds"):
        RedisStore("redis://localhost", timeout=timeout)  # type: ignore[arg-type]


@pytest.mark.parametrize("prefix", ["", "a{b", "}", "ü", "a\n", None, 5])
def test_says_what_a_prefix_is(prefix: object) -> None:
    with pytest.raises(ConfigError, match=r"RedisStore\(prefix=.*expected plain letters"):
        RedisStore("redis://localhost", prefix=prefix)  # type: ignore[arg-type]
