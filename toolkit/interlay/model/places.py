"""Text places: where the text is in a request, a response or a stream event, whichever API wrote it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from interlay.model.errors import DecodeError
from interlay.model.json import decode
from interlay.model.members import find_member

Channel = tuple[str, int, int]
"""Kind, choice and block: the pieces of one text share it. In requests the choice is the message's number."""


class TextPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where text stands in an event, a response or a request."""

    path: tuple[str | int, ...]
    channel: Channel
    """Kind (``text``, ``reasoning``, ``refusal``, ``tool_arguments``, ``tool_result``, ``transcript``, ``error``;
    in requests ``system`` and ``tool`` too; ``other`` for what the dialect does not know), choice, block."""
    role: str
    """``delta`` (adds to the channel), ``repeat`` (says the whole again) or ``echo`` (shows parts of the text
    elsewhere: log-probabilities, citations, transcripts, rejected predictions)."""
    text: str
    """The text; the JSON text where an object stands at ``path``, as tool arguments do."""
    signed: bool = False
    """True where the text is covered by a signature: released or dropped whole, never edited."""


def replaced(data: bytes, path: Sequence[str | int], value: bytes) -> bytes:
    """JSON ``data`` with the JSON ``value`` at ``path``, every other byte as it was.

    Raises ``DecodeError`` when nothing stands at ``path``.
    """
    start, end = 0, len(data)
    for step in path:
        first, size = _span(data[start:end], step)
        start, end = start + first, start + first + size
    return b"".join((data[:start], value, data[end:]))


def _span(data: bytes, step: str | int) -> tuple[int, int]:
    if isinstance(step, str):
        member = find_member(data, step)
        if member is None:
            raise DecodeError("nothing stands at that path")
        return member.value, member.end - member.value
    items = decode(data, type=list[msgspec.Raw])
    if not 0 <= step < len(items):
        raise DecodeError("nothing stands at that path")
    at = data.index(b"[") + 1
    for item in items[:step]:
        at = data.index(b",", _start(data, at) + len(bytes(item))) + 1
    return _start(data, at), len(bytes(items[step]))


def _start(data: bytes, at: int) -> int:
    return len(data) - len(data[at:].lstrip(b" \t\r\n"))
