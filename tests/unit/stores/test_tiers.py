"""Stores in a row: what all promise, and how long the near ones may answer for the far one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from tests.unit.stores.conformance import HOUR, KEY, OTHER, Conformance, run, sync
from tests.unit.stores.test_memory import MIB, MemoryBench

from interlay.chain.io import IO
from interlay.model.errors import ConfigError
from interlay.stores.memory import MemoryStore
from interlay.stores.store import Found, StoreError
from interlay.stores.tiers import Tiers

__all__ = ["run"]


class Row(MemoryBench):
    """Three stores on one clock."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.middle, self.far = (MemoryStore(64 * MIB, clock=lambda: self.now) for _ in range(3))
        self.store = Tiers(self.near, self.middle, self.far)  # type: ignore[assignment]

    def holders(self, key: str = KEY) -> list[MemoryStore]:
        def has(store: MemoryStore) -> bool:
            return sync(lambda io: store.get(io, key)) is not None

        return [store for store in (self.near, self.middle, self.far) if has(store)]

    def set(self, value: bytes = b"value", lifetime: float = HOUR, key: str = KEY) -> bool:
        return sync(lambda io: self.store.set(io, key, value, lifetime=lifetime, tags=["t"]))

    def get(self, key: str = KEY) -> bytes | None:
        return sync(lambda io: self.store.get(io, key))


@pytest.fixture
def bench() -> Row:
    return Row()


class TestTiers(Conformance):
    pass


def test_what_is_far_is_put_near(bench: Row) -> None:
    sync(lambda io: bench.far.set(io, KEY, b"value", lifetime=HOUR))
    assert bench.get() == b"value"
    assert bench.holders() == [bench.near, bench.middle, bench.far]
    bench.pass_(59)
    bench.near.close()
    assert bench.get() == b"value"
    assert bench.near in bench.holders(), "from the middle, and for no longer than it is there"
    bench.pass_(2)
    assert bench.holders() == [bench.far]


def test_nothing_is_near_for_longer_than_far(bench: Row) -> None:
    sync(lambda io: bench.far.set(io, KEY, b"value", lifetime=100))
    bench.pass_(95)
    assert bench.get() == b"value"
    bench.pass_(4)
    assert bench.holders() == [bench.near, bench.middle, bench.far]
    bench.pass_(2)
    assert bench.holders() == []


def test_what_another_process_deleted_is_gone_within_a_minute(bench: Row) -> None:
    assert bench.set()
    sync(lambda io: bench.far.delete(io, KEY))
    assert bench.get() == b"value"
    bench.pass_(61)
    assert bench.get() is None


@pytest.mark.parametrize("what", ["delete", "forget", "forget by tag"])
def test_what_this_one_deletes_is_gone_at_once(bench: Row, what: str) -> None:
    sync(lambda io: bench.far.set(io, KEY, b"value", lifetime=HOUR, tags=["t"]))
    assert bench.get() == b"value"
    work: dict[str, Callable[[IO], object]] = {
        "delete": lambda io: bench.store.delete(io, KEY),
        "forget": bench.store.forget,
        "forget by tag": lambda io: bench.store.forget(io, tag="t"),
    }
    assert sync(work[what]) == 1  # type: ignore[arg-type]
    assert bench.holders() == []


def test_what_was_read_before_a_deletion_is_not_put_near_after_it(bench: Row) -> None:
    async def find(io: IO, key: str) -> Found | None:
        found = await MemoryStore.find(bench.far, io, key)
        await bench.store.delete(io, key)
        return found

    sync(lambda io: bench.far.set(io, KEY, b"value", lifetime=HOUR))
    bench.far.find = find  # type: ignore[method-assign]
    assert bench.get() == b"value"
    assert bench.holders() == []


class Broken(MemoryStore):
    """Down."""

    async def get(self, io: IO, key: str) -> bytes | None:
        raise StoreError("down")

    async def find(self, io: IO, key: str) -> Found | None:
        raise StoreError("down")

    async def set(
        self, io: IO, key: str, value: bytes, *, lifetime: float, scope: str = "", tags: Iterable[str] = ()
    ) -> bool:
        raise StoreError("down")

    async def delete(self, io: IO, key: str) -> bool:
        raise StoreError("down")


def test_a_near_store_that_fails_is_passed_by() -> None:
    far = MemoryStore()
    store = Tiers(Broken(), Broken(), far)
    assert sync(lambda io: store.set(io, KEY, b"value", lifetime=HOUR))
    assert sync(lambda io: store.get(io, KEY)) == b"value"
    assert sync(lambda io: store.find(io, KEY)) is not None


def test_a_far_store_that_fails_is_told_of_and_what_is_near_is_gone_all_the_same() -> None:
    near = MemoryStore()
    sync(lambda io: near.set(io, KEY, b"value", lifetime=HOUR))
    store = Tiers(near, Broken())
    assert sync(lambda io: store.get(io, KEY)) == b"value"
    with pytest.raises(StoreError):
        sync(lambda io: store.get(io, OTHER))
    with pytest.raises(StoreError):
        sync(lambda io: store.delete(io, KEY))
    assert sync(lambda io: near.get(io, KEY)) is None


@pytest.mark.parametrize("count", [0, 1])
def test_says_how_many_it_takes(count: int) -> None:
    with pytest.raises(ConfigError, match="expected two or more stores"):
        Tiers(*[MemoryStore() for _ in range(count)])


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), "1m", None, True])
def test_says_what_a_time_is(seconds: object) -> None:
    with pytest.raises(ConfigError, match=r"Tiers\(near_seconds=.*expected seconds above 0"):
        Tiers(MemoryStore(), MemoryStore(), near_seconds=seconds)  # type: ignore[arg-type]
