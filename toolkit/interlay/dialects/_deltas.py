"""Between a stream's events and the canonical deltas they are: what the codecs do alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from interlay.dialects._codec import Object, patched
from interlay.dialects._places import said_by
from interlay.model.messages import Delta
from interlay.model.places import Channel
from interlay.model.protocols import WireEvent

Read = Callable[[Object], list[Delta]]
Write = Callable[[Sequence[Delta]], list[Object]]


def heard(event: WireEvent, origin: str, read: Read) -> list[Delta]:
    """What an event says. The first delta keeps the whole event in its ``raw``. Raises ``DecodeError`` for data that
    cannot be read."""
    raw = said_by(event)
    if raw is None:
        return []
    deltas = read(raw)
    for delta in deltas:
        delta.origin = origin
    if deltas:
        deltas[0].raw = raw
    return deltas


def told(deltas: Sequence[Delta], origin: str, read: Read, write: Write) -> list[Object]:
    """The events that ``deltas`` make. The one they came from is patched, if they came from one of ``origin``."""
    written = write(deltas)
    first = deltas[0] if deltas else None
    if first is not None and first.raw is not None and first.origin == origin and len(written) == 1:
        before = write(read(first.raw))
        written = [patched(first.raw, before[0], written[0])] if len(before) == 1 else written
    return written


def retold(
    before: Sequence[Delta], deltas: Sequence[Delta], channel: Callable[[Delta], Channel | None]
) -> dict[Channel, str] | None:
    """The texts of ``deltas`` where these differ from ``before`` in texts alone; empty where nothing differs, None
    where more does. ``channel`` gives that of a delta whose text may be set, None for others."""
    if len(before) != len(deltas):
        return None
    pairs = [(_said(one), _said(other), channel(one)) for one, other in zip(before, deltas, strict=True)]
    if all(one == other for one, other, _ in pairs):
        return {}
    for one, other, textual in pairs:
        if one != other and (textual is None or {**one, "text": ""} != {**other, "text": ""}):
            return None
    texts: dict[Channel, str] = {}
    for delta in deltas:
        if (its := channel(delta)) is not None:
            texts[its] = texts.get(its, "") + delta.text
    return texts


def _said(delta: Delta) -> Object:
    """All of a delta but where it comes from."""
    return {name: getattr(delta, name) for name in Delta.__struct_fields__ if name not in ("raw", "origin")}
