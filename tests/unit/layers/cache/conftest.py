"""Every test of the cache runs in both colours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.unit.layers.cache.bench import Bench, Clock, colours

from interlay.entry import wire
from interlay.testing import capture


@pytest.fixture(params=["sync", "async"])
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    clock = Clock()
    sync, asynchronous = colours(clock)
    monkeypatch.setattr(wire, "SyncIO", sync)
    monkeypatch.setattr(wire, "AsyncIO", asynchronous)
    made = Bench(request.param, clock)
    with capture() as records:
        made.records = records
        yield made
    made.close()
