"""The store on disk: what all promise, its bounds, other processes, and what others put into its folder."""

from __future__ import annotations

import os
import pickle
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from tests.unit.stores.conformance import HOUR, KEY, OTHER, Bomb, Conformance, run, share_leases, sync

from interlay.model.errors import ConfigError
from interlay.stores.disk import BytesDisk, DiskStore
from interlay.stores.store import StoreError

__all__ = ["run"]

MIB = 2**20
PATIENT = 60.0
"""Seconds to wait for a lock: a busy machine is no reason to fail."""


class DiskBench:
    def __init__(self, path: Path, max_bytes: int = 64 * MIB, timeout: float = PATIENT) -> None:
        self.path = path
        self.store = DiskStore(path, max_bytes, timeout=timeout, patience=timeout)

    def pass_(self, seconds: float) -> None:
        """Move all that is there into the past."""
        self.sql("UPDATE Cache SET store_time = store_time - ?, expire_time = expire_time - ?", seconds, seconds)
        self.sql("UPDATE Leases SET ends = ends - ?", seconds)

    def sql(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.database, isolation_level=None, timeout=PATIENT)) as connection:
            return connection.execute(statement, values).fetchall()

    @property
    def database(self) -> Path:
        (found,) = self.path.glob("answers-*/cache.db")
        return found

    def set(self, key: str = KEY, value: bytes = b"value", *, tags: Iterable[str] = ()) -> bool:
        return sync(lambda io: self.store.set(io, key, value, lifetime=HOUR, tags=tags))

    def get(self, key: str = KEY) -> bytes | None:
        return sync(lambda io: self.store.get(io, key))

    def size(self) -> int:
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[DiskBench]:
    found = DiskBench(tmp_path / "made" / "cache")
    yield found
    found.store.close()


class TestDisk(Conformance):
    pass


def test_is_there_when_it_is_opened_again(bench: DiskBench) -> None:
    bench.set()
    bench.store.close()
    again = DiskBench(bench.path)
    assert again.get() == b"value"
    again.store.close()


def test_touches_nothing_before_first_use(tmp_path: Path) -> None:
    DiskStore(tmp_path / "cache").close()
    assert not list(tmp_path.iterdir())


class TestFolder:
    def test_is_for_its_user_alone(self, bench: DiskBench) -> None:
        before = os.umask(0)
        try:
            bench.set()
        finally:
            os.umask(before)
        modes = {path.name: path.stat().st_mode & 0o777 for path in [bench.path, *bench.path.rglob("*")]}
        assert {mode for name, mode in modes.items() if name.startswith("cache.db")} == {0o600}
        assert {mode for name, mode in modes.items() if not name.startswith("cache.db")} == {0o700}

    def test_is_refused_if_others_may_write_to_it(self, bench: DiskBench) -> None:
        bench.path.mkdir(parents=True)
        bench.path.chmod(0o777)
        with pytest.raises(StoreError):
            bench.set()
        assert not list(bench.path.iterdir())

    def test_may_be_no_link_into_anothers(self, bench: DiskBench, tmp_path: Path) -> None:
        (tmp_path / "precious").write_bytes(b"precious")
        (bench.path / "answers-1").mkdir(parents=True, mode=0o700)
        (bench.path / "answers-1" / "cache.db").symlink_to(tmp_path / "precious")
        with pytest.raises(StoreError):
            bench.set()
        assert (tmp_path / "precious").read_bytes() == b"precious"

    def test_that_cannot_be_made_is_an_error_until_it_can(self, bench: DiskBench) -> None:
        bench.path.parent.write_bytes(b"a file")
        for _ in range(2):
            with pytest.raises(StoreError):
                bench.get()
        bench.path.parent.unlink()
        assert bench.get() is None


class TestPoison:
    @pytest.mark.parametrize("mode", [0, 1, 2, 3, 4, 5, "x", None])
    @pytest.mark.parametrize("in_file", [False, True])
    def test_a_row_that_is_no_bytes_of_ours_is_a_miss(
        self, bench: DiskBench, tmp_path: Path, mode: object, *, in_file: bool
    ) -> None:
        bench.set()
        bench.set(OTHER, b"other")
        poison, file = pickle.dumps(Bomb(tmp_path / "went off")), bench.database.parent / "poison"
        if in_file:
            file.write_bytes(poison)
        set_ = "UPDATE Cache SET mode = ?, filename = ?, value = ? WHERE key = ?"
        bench.sql(set_, mode, "poison" if in_file else None, None if in_file else poison, KEY.encode())
        found = bench.get()
        assert found is None or (mode == 1 and not in_file and found == poison), (
            "bytes, for the entry's format to judge"
        )
        assert not (tmp_path / "went off").exists()
        assert bench.get(OTHER) == b"other"
        assert bench.set(value=b"new")
        assert bench.get() == b"new"
        assert file.exists() == in_file, "no file is read or deleted because a row names it"

    @pytest.mark.parametrize("name", ["../../precious", "/etc/hostname", "../precious", "cache.db"])
    @pytest.mark.parametrize("mode", [1, 2, 3, 4])
    def test_a_row_that_names_a_file_outside_is_a_miss(self, bench: DiskBench, name: str, mode: int) -> None:
        bench.set(tags=["t"])
        precious = bench.path.parent / "precious"
        for path in (precious, bench.path / "precious"):
            path.write_bytes(b"precious")
        bench.sql("UPDATE Cache SET mode = ?, filename = ?, value = NULL", mode, name)
        assert bench.get() is None
        assert bench.set()
        assert bench.get() == b"value"
        bench.sql("UPDATE Cache SET mode = ?, filename = ?, value = NULL, expire_time = 1", mode, name)
        assert bench.set(OTHER), "which takes away what is past its lifetime"
        assert sync(bench.store.forget) == 1
        assert precious.read_bytes() == b"precious"

    @pytest.mark.parametrize("value", [5, 0.5, "text", None])
    def test_values_of_other_types_are_a_miss(self, bench: DiskBench, value: object) -> None:
        bench.set()
        bench.sql("UPDATE Cache SET value = ?", value)
        assert bench.get() is None
        bench.sql("UPDATE Cache SET filename = CAST(X'FFFE' AS TEXT)")
        assert bench.get() is None

    def test_keys_that_are_pickles_are_stepped_over(self, bench: DiskBench, tmp_path: Path) -> None:
        bench.set()
        bench.sql("UPDATE Cache SET key = ?, raw = 0", pickle.dumps(Bomb(tmp_path / "went off")))
        bench.set(OTHER)
        assert sync(bench.store.forget) == 2
        assert not (tmp_path / "went off").exists()

    def test_arguments_of_other_types_are_told_apart_from_damage(self, bench: DiskBench) -> None:
        bench.set()
        for odd in ("text", bytearray(b"x"), None):
            with pytest.raises(TypeError):
                bench.set(value=odd)  # type: ignore[arg-type]
        assert bench.get() == b"value"

    @pytest.mark.parametrize("table", ["Settings", "Cache"])
    def test_rows_of_nothing_are_no_error_twice(self, bench: DiskBench, table: str) -> None:
        bench.set()
        bench.store.close()
        columns = "key, value" if table == "Settings" else "key, raw"
        bench.sql(f"DROP TABLE {table}")
        bench.sql(f"CREATE TABLE {table} ({columns})")
        bench.sql(f"INSERT INTO {table} VALUES (NULL, NULL)")
        assert bench.get() is None
        assert bench.set()
        assert bench.get() == b"value"

    def test_settings_in_the_folder_are_not_obeyed(self, bench: DiskBench) -> None:
        bench.set()
        bench.store.close()
        for key, value in [("get", "x"), ("sqlite_evil = 1; --", 1), ("disk_fetch", "x"), ("size_limit", "huge")]:
            bench.sql("INSERT OR REPLACE INTO Settings VALUES (?, ?)", key, value)
        assert bench.get() == b"value"
        assert bench.set(OTHER)
        assert bench.store._room is not None
        assert bench.store._room.first.size_limit < 64 * MIB

    @pytest.mark.parametrize("as_", ["key", "value"])
    def test_the_disk_takes_bytes_only(self, as_: str) -> None:
        disk = BytesDisk("nowhere")
        for odd in ("text", 1, None, bytearray(b"x"), [b"x"]):
            with pytest.raises(TypeError):
                disk.put(odd) if as_ == "key" else disk.store(odd, read=False)


class TestDamage:
    @pytest.mark.parametrize("size", [1, 100, 4096, 100_000])
    def test_a_file_that_is_no_database_is_left_for_a_new_one(
        self, bench: DiskBench, rng: random.Random, size: int
    ) -> None:
        bench.set()
        bench.store.close()
        bench.database.write_bytes(rng.randbytes(size))
        assert bench.get() is None
        assert bench.set()
        assert bench.get() == b"value"

    @pytest.mark.parametrize(
        "statement", ["DROP TABLE Cache", "DROP TABLE Settings", "ALTER TABLE Cache DROP COLUMN tag"]
    )
    def test_tables_of_others_are_left_for_new_ones(self, bench: DiskBench, statement: str) -> None:
        bench.set()
        bench.sql(statement)
        with pytest.raises(StoreError):
            bench.set()
        assert bench.set()
        assert bench.get() == b"value"

    def test_pages_overwritten_under_it_are_never_an_answer(self, bench: DiskBench, rng: random.Random) -> None:
        values = {f"{at:064d}": rng.randbytes(rng.randrange(3000)) for at in range(200)}
        for key, value in values.items():
            bench.set(key, value)
        bench.store.close()
        size = bench.database.stat().st_size
        with bench.database.open("r+b") as file:
            for _ in range(20):
                file.seek(rng.randrange(size))
                file.write(rng.randbytes(200))
        for key in values:
            try:
                found = bench.get(key)
            except StoreError:
                continue
            assert found is None or isinstance(found, bytes)
        for _ in range(3):  # at the latest then it has seen what happened
            try:
                assert bench.set(KEY, b"new")
                assert bench.get(KEY) == b"new"
                break
            except StoreError:
                continue
        else:
            pytest.fail("it does not recover")


class TestBound:
    def test_is_kept_by_all_files_together(self, tmp_path: Path, rng: random.Random) -> None:
        bench = DiskBench(tmp_path / "cache", 16 * MIB)
        most = 0
        # Small ones first: with each large one that comes, ten small ones would not be enough.
        for size, count in ((5_000, 2_000), (400_000, 60)):
            for at in range(count):
                assert bench.set(f"{size}-{at}", rng.randbytes(size))
                if at % 20 == 0:
                    most = max(most, bench.size())
        assert 8 * MIB < most <= 16 * MIB
        assert bench.get("400000-59") is not None
        assert bench.get("5000-0") is None, "what was stored the longest ago goes first"
        bench.store.close()

    def test_what_is_too_long_is_not_kept_nor_what_it_replaces(self, tmp_path: Path) -> None:
        bench = DiskBench(tmp_path / "cache", 16 * MIB)
        bench.set()
        assert not bench.set(value=bytes(MIB))
        assert bench.get() is None
        bench.store.close()

    @pytest.mark.parametrize("bound", [0, 2**20, 1e9, "1GB", None, True])
    def test_says_what_a_bound_is(self, tmp_path: Path, bound: object) -> None:
        with pytest.raises(ConfigError, match=r"DiskStore\(max_bytes=.*expected bytes"):
            DiskStore(tmp_path, bound)  # type: ignore[arg-type]

    @pytest.mark.parametrize("field", ["timeout", "patience"])
    @pytest.mark.parametrize("value", [0, -1, float("inf"), "1s"])
    def test_says_what_a_time_is(self, tmp_path: Path, field: str, value: object) -> None:
        with pytest.raises(ConfigError, match=rf"DiskStore\({field}=.*expected seconds"):
            DiskStore(tmp_path, **{field: value})  # type: ignore[arg-type]

    @pytest.mark.long
    def test_is_kept_under_a_million_inserts(self, tmp_path: Path, rng: random.Random) -> None:
        bench = DiskBench(tmp_path / "cache", 64 * MIB)
        for at in range(1_000_000):
            bench.set(f"{at:064d}", bytes(rng.randrange(2000)))
            if at % 5000 == 0:
                assert bench.size() <= 64 * MIB
        assert bench.get(f"{999_999:064d}") is not None
        bench.store.close()


WRITER = """
import random, sys
from interlay.chain.io import SyncIO, drive
from interlay.chain.runner import Runner
from interlay.stores.disk import DiskStore
from interlay.stores.store import StoreError

name, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
store, io, seen, at = DiskStore(path, 2**24, timeout=60.0), SyncIO(Runner()), 0, 0
while at < count:
    key = f"{at % 50:064d}"
    value = f"{key} {name} ".encode() * (1 + at % 40)
    assert drive(store.set(io, key, value, lifetime=3600, tags=[name]))
    other = f"{random.randrange(50):064d}"
    found = drive(store.get(io, other))
    if found is not None:
        assert found[:65] == other.encode() + b" " and found == found[:67] * (len(found) // 67), found
        seen += found[65:66] != name.encode()
    at += 1
    if at == 100:
        print("going", flush=True)
print(seen)
"""


def writer(name: str, path: Path, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, name, str(path), str(count)], stdout=subprocess.PIPE)


class TestProcesses:
    def test_share_one_folder(self, bench: DiskBench) -> None:
        both = [writer(name, bench.path, 400) for name in "ab"]
        out = [process.communicate(timeout=240)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0]
        assert sync(bench.store.stats).entries == 50
        assert sync(lambda io: bench.store.forget(io, tag="a")) + sync(lambda io: bench.store.forget(io, tag="b")) == 50
        assert len(out) == 2

    def test_may_be_killed_while_writing(self, bench: DiskBench, rng: random.Random) -> None:
        for _ in range(3):
            with writer("a", bench.path, 10**9) as process:
                try:
                    assert process.stdout is not None
                    assert process.stdout.readline() == b"going\n"
                    # Anywhere in the next writes; where exactly is not what is tested.
                    for _ in range(rng.randrange(30)):
                        bench.get(f"{rng.randrange(50):064d}")
                finally:
                    process.kill()
            for at in range(50):
                key = f"{at:064d}"
                found = bench.get(key)
                assert found is not None
                assert found == f"{key} a ".encode() * (len(found) // 67)
            assert bench.sql("PRAGMA integrity_check") == [("ok",)]
            assert bench.set()

    def test_of_two_one_gets_each_lease(self, bench: DiskBench) -> None:
        share_leases([sys.executable, "-c", LEASER, str(bench.path)])

    def test_wait_for_a_lock_as_long_as_they_may_to_write(self, tmp_path: Path) -> None:
        bench = DiskBench(tmp_path / "cache", timeout=0.01)
        bench.store = DiskStore(bench.path, timeout=0.01, patience=PATIENT)
        bench.set()
        connection = sqlite3.connect(bench.database, isolation_level=None, check_same_thread=False)
        connection.execute("BEGIN IMMEDIATE")
        thread = threading.Timer(0.3, connection.rollback)
        thread.start()
        assert bench.set(value=b"later"), "it waits longer than it may to look something up"
        thread.join()
        connection.close()
        bench.store.close()

    def test_open_it_while_another_is_in_the_middle_of_writing(self, bench: DiskBench) -> None:
        bench.set()
        with closing(sqlite3.connect(bench.database, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            again = DiskBench(bench.path, timeout=0.01)
            assert again.get() == b"value"
            again.store.close()

    def test_wait_for_a_lock_no_longer_than_they_should(self, tmp_path: Path) -> None:
        bench = DiskBench(tmp_path / "cache", timeout=0.01)
        bench.set()
        with closing(sqlite3.connect(bench.database, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError):
                bench.set()
            with pytest.raises(StoreError):
                sync(bench.store.forget)
            with pytest.raises(StoreError):
                sync(lambda io: bench.store.lease(io, "name", "ann", lifetime=60))
            assert bench.get() == b"value", "reading needs no lock"
        assert bench.set(value=b"later")
        bench.store.close()

    @pytest.mark.filterwarnings(
        "ignore:This process:DeprecationWarning"
    )  # of newer Pythons, for any fork beside threads
    def test_forked_from_one_another_go_on(self, bench: DiskBench) -> None:
        bench.set()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if bench.get() == b"value" and bench.set(OTHER, b"child") else 1
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert bench.get(OTHER) == b"child"
        assert bench.set(value=b"parent")
        assert bench.get() == b"parent"


LEASER = """
import sys
from interlay.chain.io import SyncIO, drive
from interlay.chain.runner import Runner
from interlay.stores.disk import DiskStore

store, io = DiskStore(sys.argv[1], 2**24, timeout=60.0), SyncIO(Runner())
print("ready", flush=True)
sys.stdin.readline()
print(*(at for at in range(300) if drive(store.lease(io, str(at), sys.argv[2], lifetime=3600))))
"""


def open_files(path: Path) -> list[str]:
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.append(str(entry.readlink()))
    return [name for name in found if name.startswith(str(path))]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no way here to look at open files")
class TestOpenFiles:
    def test_are_closed_whichever_thread_opened_them(self, bench: DiskBench) -> None:
        together, done = threading.Barrier(5), threading.Event()

        def worker() -> None:
            together.wait(60)
            bench.get()
            together.wait(60)
            done.wait(60)

        threads = [threading.Thread(target=worker) for _ in range(4)]
        for thread in threads:
            thread.start()
        together.wait(60)
        together.wait(60)
        try:
            assert open_files(bench.path)
            bench.store.close()
            assert not open_files(bench.path)
        finally:
            done.set()
            for thread in threads:
                thread.join()

    def test_are_few_however_many_threads_come_and_go(self, bench: DiskBench) -> None:
        for _ in range(10):
            threads = [threading.Thread(target=bench.get) for _ in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(open_files(bench.path)) <= 8 * 3

    def test_of_work_under_way_are_closed_with_it(self, bench: DiskBench) -> None:
        bench.set()
        started, go = threading.Event(), threading.Event()

        def slow(cache: object) -> None:
            started.set()
            go.wait(60)

        thread = threading.Thread(target=lambda: bench.store._try(slow))
        thread.start()
        started.wait(60)
        bench.store.close()
        go.set()
        thread.join()
        assert not open_files(bench.path)


FULL = """
import resource, signal, sys
from interlay.chain.io import SyncIO, drive
from interlay.chain.runner import Runner
from interlay.stores.disk import DiskStore
from interlay.stores.store import StoreError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store, io = DiskStore(sys.argv[1], 2**28, timeout=60.0), SyncIO(Runner())
drive(store.set(io, "first", b"value", lifetime=3600))
resource.setrlimit(resource.RLIMIT_FSIZE, (3 * 2**20, resource.RLIM_INFINITY))
failed = 0
for at in range(100):
    try:
        drive(store.set(io, str(at), bytes(100_000), lifetime=3600))
    except StoreError:
        failed += 1
assert failed > 10, failed
assert drive(store.get(io, "first")) == b"value"
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert drive(store.set(io, "last", bytes(100_000), lifetime=3600))
assert drive(store.get(io, "first")) == b"value"
store.close()
"""


def test_a_full_disk_is_an_error_and_no_loss(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path / "cache")], check=False, timeout=240)
    assert done.returncode == 0
