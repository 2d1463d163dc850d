"""What there is one of in a process: the recorder, its journal, the runner."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from interlay.chain.journal import Journal
from interlay.chain.recorder import Recorder
from interlay.chain.runner import Runner
from interlay.cost import pricer
from interlay.model.cost import PriceFn
from interlay.model.record import Record

recorder: Final = Recorder(Runner())


class Flushed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of background work."""

    done: bool
    """Whether everything that was queued is done."""
    pending: int
    """Pieces of work still queued."""
    dropped: int
    """Records that observers on the runner did not get, because the queue was full."""


@cache
def price() -> PriceFn:
    """The price book's function; the book is read when the first call is priced."""
    return pricer()


def setup(*, contents: bool = False, journal: bool | str | Path = True) -> None:
    """Keep a journal of all records from now on, and say whether messages are kept.

    Args:
        contents: keep messages, tools and provider messages in records, redacted: the call's credentials, secret
            headers, secrets in URLs and every ``Secret`` are blanked.
        journal: True for the stated place (``$INTERLAY_HOME``, else the platform's state folder), a folder to
            use instead, or False to write nothing.
    """
    recorder.settle()
    recorder.contents = contents
    if journal is False:
        recorder.journal = None
    elif journal is True:
        recorder.journal = Journal()
    else:
        recorder.journal = Journal(Path(journal))


def last(limit: int | None = None) -> list[Record]:
    """The records of this process, newest first: the last 1,000, or ``limit`` of them."""
    return recorder.newest(limit)


def flush(timeout: float = 5.0) -> Flushed:
    """Wait, at most ``timeout`` seconds, until observers have seen every record sealed so far."""
    recorder.settle()
    done = recorder.runner.drain(timeout)
    return Flushed(done=done, pending=recorder.runner.pending(), dropped=recorder.dropped)
