"""What is told where a store is away, and where the provider is."""

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


def test_the_send_that_failed_before_a_stale_answer_is_told_to_have_failed(bench: Bench) -> None:
    bench.wrap(interlay.Cache(ttl=0, stale_if_error="1h"))
    bench.ask(question("a"))
    bench.settle()
    bench.serves(503)
    assert bench.ask(question("a")).status == 200
    assert bench.found == ("stale", "error")
    (failed,) = bench.last.attempts
    assert failed.error is not None
    assert (failed.status, failed.error.status, failed.billed) == (503, 503, False)
    assert (bench.last.end, bench.last.error) == ("complete", None)
