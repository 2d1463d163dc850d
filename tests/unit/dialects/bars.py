"""How much CPU and memory hostile bytes may take."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import NamedTuple


class Bars(NamedTuple):
    """The most that one piece of work may take. CPU is this process's own, and of three tries the best counts."""

    seconds: float
    bytes: int | None = None
    """Traced memory at its peak; None where it is not measured, as that makes everything several times slower."""

    def hold(self, work: Callable[[], object], *, slack: float = 1.0) -> None:
        """Fails when ``work`` takes more; ``slack`` is how often as much of both it may take."""
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            work()
            best = min(best, time.process_time() - started)
            if best < self.seconds * slack:
                break
        assert best < self.seconds * slack, f"took {best:.3f} s"
        if self.bytes is not None:
            tracemalloc.start()
            try:
                work()
                peak = tracemalloc.get_traced_memory()[1]
                assert peak < self.bytes * slack, f"took {peak} bytes"
            finally:
                tracemalloc.stop()


LOOSE = Bars(seconds=5.0)
"""Exceeded by hangs and quadratic work only, however busy the machine is."""
EXACT = Bars(seconds=0.1, bytes=64 * 1024 * 1024)
"""The project's own bars for hostile inputs."""
