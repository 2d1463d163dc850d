"""What the codecs share about text places: finding strings in foreign JSON, and setting them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from interlay.dialects._codec import Object
from interlay.dialects._sse import reframed
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.places import Channel, Path, TextPlace
from interlay.model.protocols import WireEvent

Texts = Mapping[Channel, str]
Reframe = Callable[[WireEvent, bytes], bytes]
"""Gives the bytes of an event with other data."""


def said_by(event: WireEvent) -> Object | None:
    """The JSON object of an event; None where it has no data. Raises ``DecodeError`` for data that is none: what
    nobody could look at is not to pass for looked at."""
    if event.data is None or not event.data.strip():
        return None
    said = json.decode(event.data)
    if not isinstance(said, dict):
        raise DecodeError("the event's data is no object")
    return said


def strings(
    value: Any,
    path: Path,
    channel: Channel,
    harmless: Collection[str],
    words: Collection[str] = (),
    *,
    role: str = "delta",
    signed: bool = False,
    but: Collection[Path] = (),
) -> Iterator[TextPlace]:
    """A place for each string in ``value``, but for those under harmless keys, for base64, for all that stands below
    the keys ``words``, and for all at the paths ``but`` and below."""
    found: list[TextPlace] = []

    def walk(value: Any, path: Path) -> None:
        if path in but:
            return
        kind = value.__class__
        if kind is str:
            found.append(TextPlace(path=path, channel=channel, role=role, text=value, signed=signed))
        elif kind is dict:
            for key, item in value.items():
                inner = item.__class__
                if inner is str:
                    if key not in harmless and key not in words and not _is_base64(value, key, item):
                        walk(item, (*path, key))
                elif item and (inner is dict or inner is list) and key not in words:
                    walk(item, (*path, key))
        elif kind is list:
            for at, item in enumerate(value):
                walk(item, (*path, at))

    walk(value, path)
    return iter(found)


def _is_base64(holder: Object, key: str, value: str) -> bool:
    if key == "data":
        return holder.get("type") == "base64"
    return value.startswith("data:") and ";base64," in value[:128]


def texts_of(places: Sequence[TextPlace]) -> dict[Channel, str]:
    """What the deltas among ``places`` say, by channel."""
    texts: dict[Channel, str] = {}
    for place in places:
        if place.role == "delta":
            texts[place.channel] = texts.get(place.channel, "") + place.text
    return texts


def changed_by(texts: Texts, places: Sequence[TextPlace]) -> set[Channel]:
    """The channels of ``places`` that ``texts`` has otherwise: of one that is only echoed here, any text is."""
    before = texts_of(places)
    found = {place.channel for place in places} & texts.keys()
    return {channel for channel in found if texts[channel] != before.get(channel)}


def patch(
    said: Object,
    places: Sequence[TextPlace],
    texts: Texts,
    wholes: Texts | None = None,
    objects: Callable[[str], Any] = str,
) -> bool:
    """Set the texts of channels in ``said``, an event whose text places are ``places``. Whether anything was set.

    Of several deltas in one channel the first says all of its text, and so of several twins; what is signed says
    nothing any more. ``wholes`` has the channels that were changed, here or in earlier events, and what they have said
    so far: that is what their repeats say. Their echoes are cut. ``objects`` makes what is set where an object stands.
    """
    wholes = wholes or {}
    changed = changed_by(texts, places)
    written: set[tuple[str, Channel]] = set()
    touched = bool(changed)
    for place in places:
        channel, role = place.channel, place.role
        if channel not in changed and channel not in wholes:
            continue
        if role == "repeat":
            whole = wholes.get(channel, "")
            touched |= whole != place.text
            _set(said, place.path, whole, objects)
        elif role == "echo":
            touched |= _cut(said, place.path)
        elif channel in changed:
            text = "" if place.signed or (role, channel) in written else texts[channel]
            written.add((role, channel))
            _set(said, place.path, text, objects)
    return touched


def rewritten(event: WireEvent, said: Object, *, touched: bool, reframed: Reframe = reframed) -> bytes:
    """The bytes of ``event``, which says ``said`` now.

    Also where nothing was touched: of two equal keys every reader sees the last and the wire carries both, and
    what was looked at is what is sent.
    """
    data = json.encode(said)
    assert event.data is not None
    if not touched and (data == event.data or not json.has_duplicate_keys(event.data)):
        return event.raw
    return reframed(event, data)


def _holder(root: Object, path: Path) -> Any:
    at: Any = root
    for step in path[:-1]:
        at = at[step]
    return at


def _set(root: Object, path: Path, text: str, objects: Callable[[str], Any]) -> None:
    holder = _holder(root, path)
    holder[path[-1]] = text if isinstance(holder[path[-1]], str) else objects(text)


def _cut(root: Object, path: Path) -> bool:
    """Strings and lists become empty, anything else null: readers expect the member. Whether that is a change."""
    holder = _holder(root, path)
    value = holder[path[-1]]
    holder[path[-1]] = type(value)() if isinstance(value, str | list) else None
    return bool(value)
