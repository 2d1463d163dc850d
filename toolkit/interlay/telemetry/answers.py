"""What a backend's answer to an OTLP request means: whether it has what was sent, and if not, what to do."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from time import time
from typing import Final, Literal, NamedTuple

import msgspec

_LATER: Final = frozenset((408, 429, 500, 502, 503, 504))
_WRONG: Final = frozenset((301, 302, 303, 307, 308, 401, 403, 404, 405, 407, 410, 415))
"""Said of the address, the credentials or the protocol, not of what was sent: somebody will put it right."""


class Answer(NamedTuple):
    """What a backend made of a request."""

    kind: Literal["taken", "later", "wrong", "refused"]
    """``taken``: it has it. ``later``: an outage. ``wrong``: the address, credentials or protocol are not right.
    ``refused``: there is something in the request that it will never take."""
    reason: str = ""
    """In a word, for the ``error.type`` of a metric: ``http_503``, ``timeout``, ``connect``, …"""
    retry_after: float | None = None
    """Seconds that it asks to be left alone."""
    rejected: int = 0
    """Of a request that was taken: how many items were not."""
    message: str = ""


def read_answer(status: int, header: Callable[[str], str | None], body: bytes) -> Answer:
    """What an HTTP answer to an OTLP request means. ``header(name)`` is a value or None."""
    if 200 <= status < 300:
        kind = (header("content-type") or "").partition(";")[0].strip().lower()
        if kind == "text/html":
            return Answer("wrong", "web_page", message="the address answers with a web page")
        rejected, message = partial_success(body, kind)
        return Answer("taken", "partial" if rejected else "", rejected=rejected, message=message)
    reason = f"http_{status}"
    if status in _LATER:
        return Answer("later", reason, retry_after=retry_after(header("retry-after")))
    return Answer("wrong" if status in _WRONG else "refused", reason)


def retry_after(value: str | None) -> float | None:
    """Seconds from a ``Retry-After`` header, a number or a date; None where it says neither."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except (ValueError, TypeError, OverflowError):
        return None


class _JsonPartial(msgspec.Struct, rename="camel"):
    rejected_spans: int = 0
    rejected_data_points: int = 0
    rejected_log_records: int = 0
    error_message: str = ""


class _JsonAnswer(msgspec.Struct, rename="camel"):
    partial_success: _JsonPartial | None = None


def partial_success(body: bytes, kind: str = "application/x-protobuf") -> tuple[int, str]:
    """How many items a backend says it did not take of a request that it took, and why."""
    if not body:
        return 0, ""
    if kind == "application/json":
        try:
            partial = msgspec.json.decode(body, type=_JsonAnswer, strict=False).partial_success
        except msgspec.DecodeError:
            return 0, ""
        if partial is None:
            return 0, ""
        return (
            partial.rejected_spans + partial.rejected_data_points + partial.rejected_log_records,
            partial.error_message,
        )
    try:
        for number, value in fields(body):
            if number == 1 and isinstance(value, bytes):
                said = dict(fields(value))
                rejected, message = said.get(1, 0), said.get(2, b"")
                return (
                    rejected if isinstance(rejected, int) else 0,
                    message.decode(errors="replace")[:500] if isinstance(message, bytes) else "",
                )
    except (IndexError, ValueError):
        pass  # no message of this protocol: it said 200, and that is all it said
    return 0, ""


def fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """The fields of a protobuf message, by number; those of fixed width are left out.

    Raises ``IndexError`` or ``ValueError`` where it is none.
    """
    found: list[tuple[int, int | bytes]] = []
    place = 0
    while place < len(data):
        tag, place = _read_varint(data, place)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, place = _read_varint(data, place)
            found.append((number, value))
        elif wire == 2:
            size, place = _read_varint(data, place)
            if size > len(data) - place:
                raise ValueError
            found.append((number, data[place : place + size]))
            place += size
        elif wire in (1, 5):
            place += 8 if wire == 1 else 4
        else:
            raise ValueError
    return found


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[place]
        place += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, place
        shift += 7
        if shift > 63:
            raise ValueError
