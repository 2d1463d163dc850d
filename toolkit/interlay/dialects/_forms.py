"""One answer in two forms, whole and streamed: what going from one to the other has alike at all APIs.

The functions here, and those in the packages' ``forms``, raise ``DecodeError`` where an answer has no other form that
is sure to say the same. Numbers keep all their digits on the way.
"""

from __future__ import annotations

from collections.abc import Hashable
from decimal import Decimal
from typing import Any, Final

import msgspec

from interlay.dialects._codec import Object, an_int, an_object
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent

encode: Final = msgspec.json.Encoder(decimal_format="number").encode
"""Compact, keys in order, numbers as ``json.decode_exact`` has read them."""
DEPTH: Final = json.MAX_DEPTH - 8
"""How deep that may be nested which goes into an object of the other form: what is made has to be readable too."""


def whole_body(body: bytes) -> Object:
    """The object that a whole answer is. Raises ``DecodeError``, for errors inside a 200 too."""
    found = an_object(json.decode_exact(body, depth=DEPTH), "the response")
    if found.get("error") is not None:
        raise DecodeError("the response is an error")
    return found


def event_object(event: WireEvent) -> Object | None:
    """The object that an event has; None for comments. Raises ``DecodeError``, for errors too: what is passed over in a
    stream would be missing in a body."""
    if event.data is None:
        return None
    if event.name == "error":
        raise DecodeError("the stream has failed")
    found = an_object(json.decode_exact(event.data), "the event")
    if found.get("error") is not None:
        raise DecodeError("the stream has failed")
    return found


def framed(name: str | None, said: Any) -> bytes:
    """A server-sent event."""
    head = b"" if name is None else b"event: %s\n" % name.encode()
    return b"%sdata: %s\n\n" % (head, encode(said))


class Repeats:
    """Members that come with several events, and of which assemblies keep the last.

    That is the whole of what was said only if each repeats, or goes on, what the one before has said.
    """

    def __init__(self) -> None:
        self._last: dict[Hashable, Any] = {}

    def add(self, where: Hashable, value: Any) -> None:
        """One more value of a member. Raises ``DecodeError`` where something of the value before would be lost."""
        if value is None:
            return
        before = self._last.get(where)
        if before is not None and not grown(before, value):
            raise DecodeError("what a stream says in pieces that nobody knows how to join")
        self._last[where] = value

    def name(self, said: Object, *keys: str) -> None:
        """Members that name the answer: empty where they are not known yet, else the same in each event."""
        for key in keys:
            if said.get(key) is not None:
                self.add(key, text_of(said[key]) or None)

    def put_names(self, whole: Object, *keys: str) -> None:
        """Give an answer the names that its events had."""
        whole |= {key: self._last[key] for key in keys if key in self._last}


def grown(before: Any, value: Any) -> bool:
    """Whether ``value`` says all that ``before`` has said."""
    if isinstance(before, dict) and isinstance(value, dict):
        return all(key in value and grown(item, value[key]) for key, item in before.items())
    if isinstance(before, list) and isinstance(value, list):
        return len(before) <= len(value) and all(map(grown, before, value))
    return bool(before == value)


def choices_of(value: Any, most: int) -> list[Object]:
    """The choices of an answer, each in its own place. Raises ``DecodeError``."""
    found = list_of(value)
    if len(found) > most or len({an_int(each.get("index")) or 0 for each in found}) < len(found):
        raise DecodeError("too many choices, or two in one place")
    return found


def is_number(value: Any) -> bool:
    """Whether a value that was read exactly is a number."""
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def text_of(value: Any) -> str:
    """``value`` if it is a string. Raises ``DecodeError``."""
    if not isinstance(value, str):
        raise DecodeError("no text")
    return value


def list_of(value: Any) -> list[Object]:
    """``value`` if it is a list of objects, and not an empty one. Raises ``DecodeError``."""
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        raise DecodeError("no list of objects")
    return value
