"""A fault of ours in reading a response costs what it would have told, and nothing else."""

from __future__ import annotations

import logging

import pytest

from interlay.chain.monitor import Monitor
from interlay.dialects.openai_chat import OpenAIChat
from interlay.model.protocols import WireEvent

EVENT = b'data: {"model":"m","choices":[]}\n\n'


class Broken:
    """A framer with a fault in it, from the second chunk on or at the end."""

    def __init__(self, *, at_end: bool) -> None:
        self.at_end = at_end
        self.fed = 0

    def feed(self, chunk: bytes) -> list[WireEvent]:
        self.fed += 1
        if self.fed > 1 and not self.at_end:
            raise ZeroDivisionError
        return [WireEvent(chunk, None, chunk[6:-2])]

    def finish(self) -> list[WireEvent]:
        raise ZeroDivisionError


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("at_once", [False, True])
def test_a_fault_in_a_framer_reaches_nobody(*, at_end: bool, at_once: bool, caplog: pytest.LogCaptureFixture) -> None:
    monitor = Monitor(OpenAIChat().tracker(), Broken(at_end=at_end), None)
    with caplog.at_level(logging.ERROR, "interlay.wire"):
        for now in (1.0, 2.0, 3.0):
            monitor.note(EVENT, now)
            if at_once:
                monitor.catch_up()
        assert monitor.finish(4.0) == []
    assert monitor.opaque
    assert monitor.tracker is not None
    assert monitor.tracker.model == "m"
    assert caplog.messages == ["a response could not be read; it is forwarded unread"]


def test_what_a_fault_kept_from_being_cut_is_forwarded() -> None:
    monitor = Monitor(OpenAIChat().tracker(), Broken(at_end=False), None)
    monitor.spill()
    assert [event.raw for event in monitor.cut(EVENT, 1.0)] == [EVENT]
    assert monitor.cut(EVENT, 2.0) == monitor.cut(EVENT, 3.0) == []
    assert monitor.spilled() == EVENT + EVENT
