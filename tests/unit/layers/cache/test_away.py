"""A store that is away is told from one that has nothing."""

from __future__ import annotations

from tests.unit.layers.cache.bench import Bench, question

import interlay
from interlay.chain.io import IO
from interlay.stores.guarded import GuardedStore
from interlay.stores.memory import MemoryStore
from interlay.stores.store import Found, StoreError


class Down(MemoryStore):
    """Nobody answers."""

    async def get(self, io: IO, key: str) -> bytes | None:
        raise StoreError("nobody answers")

    async def find(self, io: IO, key: str) -> Found | None:
        raise StoreError("nobody answers")


def test_a_store_that_is_down_is_an_error_of_the_cache_and_of_no_call(bench: Bench) -> None:
    bench.wrap(interlay.Cache(GuardedStore(Down(), budget=30.0)))
    for text in ("a", "b"):
        assert bench.ask(question(text)).status == 200
        assert bench.found == ("error", "store")


def test_one_that_has_nothing_is_a_miss(bench: Bench) -> None:
    bench.wrap(interlay.Cache(GuardedStore(MemoryStore(), budget=30.0)))
    bench.ask(question("a"))
    assert bench.found == ("miss", "absent")
