"""Every layer's tests run in both colours."""

from __future__ import annotations

import pytest
from tests.unit.layers.bench import Bench, Clock, colours

from interlay.entry import wire


@pytest.fixture(params=["sync", "async"])
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bench:
    clock = Clock()
    sync, asynchronous = colours(clock)
    monkeypatch.setattr(wire, "SyncIO", sync)
    monkeypatch.setattr(wire, "AsyncIO", asynchronous)
    return Bench(request.param, clock)
