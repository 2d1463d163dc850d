"""Scenes, and a look behind them: what they leave open fails the test."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.recorded.scenes import Scene, open_sockets, soon, strangers


@pytest.fixture(scope="session")
def _quick_collections() -> Iterator[None]:
    """What is there already need not be looked through at each collection."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def scene(_quick_collections: None) -> Iterator[Callable[..., Scene]]:
    """Make scenes. Afterwards no thread and no socket may be there that was not there before."""
    opened: list[Scene] = []
    gc.collect()
    before = set(threading.enumerate())
    sockets = open_sockets()

    def make(*arguments: Any, **named: Any) -> Scene:
        opened.append(Scene(*arguments, **named))
        return opened[-1]

    yield make
    for made in opened:
        made.server.close()
    assert soon(lambda: not strangers(before)), strangers(before)
    assert soon(lambda: open_sockets() <= sockets), "a socket was left open"
