"""A response that begins: what will look at its body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlay.chain.codings import inflate, is_undone, narrowed
from interlay.chain.monitor import Monitor
from interlay.chain.stream import Source, Stream

if TYPE_CHECKING:
    from interlay.chain.call import Call
    from interlay.chain.run import Sending


def receive(
    call: Call, status: int, kind: str, coding: str | None, source: Source, sending: Sending | None = None
) -> Stream:
    """The body of a response to ``call``, as its ``content-type`` and ``content-encoding`` say; from the wire by
    ``sending``, else from elsewhere. Usage that only we have asked for is hidden from its reader."""
    dialect, run = call.route.dialect, call.run
    may_stream = dialect is not None and (dialect.streams_json or not kind.startswith("application/json"))
    events = status < 400 and (kind.startswith("text/event-stream") or (may_stream and call.streamed))
    undo = inflate(coding) if coding else None
    monitor = Monitor(
        dialect.tracker() if dialect is not None and 200 <= status < 300 else None,
        dialect.framer() if dialect is not None and events else None,
        undo,
        readable=dialect is not None and not (coding and undo is None),
        keep_events=run.keeps_contents,
    )
    stream = Stream(source, monitor, call, sending, status)
    if run.asked_usage and events and dialect is not None and (not coding or _is_undone(call, coding)):
        stream.filter(dialect.hide_usage)
    return stream


def _is_undone(call: Call, coding: str) -> bool:
    """Whether the HTTP library would undo the coding too: where the bare SDK fails, ours does."""
    accepted = call.request.header("accept-encoding")
    return is_undone(coding, accepted and (narrowed(accepted) or accepted))
