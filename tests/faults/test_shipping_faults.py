"""A disk that is full for a while: what was written arrives once, and what was not is counted to the record."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.faults.test_call_faults import clock, disk
from tests.unit.entry.wires import MESSAGES, Wire
from tests.unit.telemetry.backends import Backend, refuse, take

import interlay
from interlay.chain.journal import Journal
from interlay.entry import process
from interlay.telemetry.settings import OTLP

__all__ = ["clock", "disk"]
OFF: dict[str, Any] = {"tracer_provider": False, "meter_provider": False}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("down", [False, True], ids=["backend up", "backend down meanwhile"])
def test_a_full_disk_under_a_shipper(disk: Path, clock: list[float], *, down: bool) -> None:
    backend = Backend(refuse(503) if down else take)
    interlay.setup(journal=disk / "j", export=OTLP(endpoint=backend.url, signals=("traces",)), **OFF)
    journal = process.recorder.journal
    assert isinstance(journal, Journal)
    client = interlay.wrap(Wire(200).for_openai())
    ids: list[str] = []

    def call(count: int) -> None:
        for _ in range(count):
            client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
            ids.append(interlay.last(1)[0].id)

    try:
        call(10)
        with (disk / "ballast").open("wb", buffering=0) as ballast:
            while shutil.disk_usage(disk).free:
                ballast.write(b"x" * 4096)
        for _ in range(4):
            clock[0] += 0.7
            call(10)
        assert journal.trouble is not None
        (disk / "ballast").unlink()
        backend.behaviours[:] = [take]
        clock[0] += 1.5
        call(10)
        dropped = journal.dropped
        assert 0 < dropped < len(ids)
        while not (flushed := interlay.flush(5)).done:
            pass
    finally:
        interlay.setup(journal=False, export=False, **OFF)
        backend.close()
    (delivery,) = flushed.deliveries
    arrived = Counter(backend.record_ids())
    assert set(arrived.values()) == {1}
    assert set(arrived) <= set(ids)
    assert (delivery.delivered, delivery.dropped) == (len(arrived), dropped)
    assert delivery.delivered + delivery.dropped == len(ids)
