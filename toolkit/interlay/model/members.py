"""The members of a JSON object, found and changed in its bytes.

Nothing is decoded and encoded again, so all that is not changed stays byte for byte: white space, escapes, the form
of numbers, the order of keys, keys that stand there twice.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

import msgspec

from interlay.model.errors import DecodeError
from interlay.model.json import SMALL, encode


class Member(msgspec.Struct, frozen=True, gc=False):
    """Where a member of an object stands: offsets into its bytes, ends exclusive."""

    key: str
    start: int
    """Of the key's opening quote."""
    value: int
    end: int


MAX_MEMBERS: Final = 20_000
"""Members of one object that are looked at one by one: each takes a microsecond."""
_MAX_KEYS: Final = 200_000
"""Members and strings in lists, at all depths, of a large object: a member of its own takes 150 bytes to find."""

_DEEPEST: Final = 1000
"""Where other readers of JSON give up too."""

_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_BLANK: Final = rb"[ \t\r\n]*+"
_KEY: Final = re.compile(_BLANK + b"(" + _STRING + b")" + _BLANK + b":" + _BLANK, re.DOTALL)
_AFTER: Final = re.compile(_BLANK + rb"[,}]")
_SCALAR: Final = re.compile(_STRING + rb"|[^\s,\]}\[{\"]++", re.DOTALL)
_NESTED: Final = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
_VALUES: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT: Final = msgspec.json.Decoder(str)


def members(data: bytes) -> list[Member]:
    """All members of the object ``data``, in order, those with equal keys too.

    Raises ``DecodeError`` for what is no object, and for objects of very many members.
    """
    # Inside a string no quote follows a comma but its own.
    if len(data) > SMALL and data.count(b',"') + data.count(b', "') > _MAX_KEYS:
        raise DecodeError(f"more than {_MAX_KEYS} members")
    try:
        values = _VALUES.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise DecodeError("no JSON object") from None
    return _walk(data, values)


def find_member(data: bytes, key: str) -> Member | None:
    """The member ``key`` as JSON readers see it: the last one of that name. Raises ``DecodeError``."""
    found = None
    for member in members(data):
        if member.key == key:
            found = member
    return found


def object_under(data: bytes, key: str) -> bytes | None:
    """The text of the member ``key``, as ``find_member`` finds it, if that is an object. Raises ``DecodeError``."""
    found = find_member(data, key)
    return data[found.value : found.end] if found is not None and data[found.value] in b"{" else None


def cut_member(data: bytes, key: str) -> bytes:
    """``data`` without any member ``key``, and without the comma that parted it. Raises ``DecodeError``."""
    found = members(data)
    view, kept, at = memoryview(data), [], 0
    if found and found[0].key == key:
        rest = next((member.start for member in found if member.key != key), found[-1].end)
        kept, at = [view[: found[0].start]], rest
    for before, member in pairwise(found):
        if member.key == key and before.end >= at:
            kept.append(view[at : before.end])
            at = member.end
    return b"".join((*kept, view[at:])) if kept else data


def set_member(data: bytes, key: str, value: bytes) -> bytes:
    """``data`` with the JSON ``value`` in the place of member ``key``, or behind the last member where there is none.

    Of several of that name the last, which is the one that counts, is set. Raises ``DecodeError``.
    """
    found = members(data)
    view = memoryview(data)
    for member in reversed(found):
        if member.key == key:
            return b"".join((view[: member.value], value, view[member.end :]))
    end = found[-1].end if found else data.index(b"{") + 1
    return b"".join((view[:end], b"," if found else b"", encode(key), b":", value, view[end:]))


def _walk(data: bytes, values: dict[str, msgspec.Raw]) -> list[Member]:
    """The values are found, and with them their lengths; here they are put in place.

    Of two members with equal keys the decoder kept the last, so where a value does not stand as expected, it is
    scanned.
    """
    found: list[Member] = []
    at = data.index(b"{") + 1
    while (key := _KEY.match(data, at)) is not None:
        name, start = _TEXT.decode(key[1]), key.end()
        value = bytes(values[name])
        end = start + len(value)
        after = _AFTER.match(data, end) if data.startswith(value, start) else None
        if after is None:
            end = end_of_value(data, start)
            after = _AFTER.match(data, end)
            if after is None:
                raise DecodeError("no JSON object")
        if len(found) == MAX_MEMBERS:
            raise DecodeError(f"more than {MAX_MEMBERS} members in an object")
        found.append(Member(name, key.start(1), start, end))
        at = after.end()
    return found


def end_of_value(data: bytes, at: int) -> int:
    """Where the JSON value that starts at ``at`` ends. Raises ``DecodeError`` when it does not, or is very deep."""
    if data[at] not in b"[{":
        match = _SCALAR.match(data, at)
        if match is None:
            raise DecodeError("no JSON object")
        return match.end()
    depth = 0
    for match in _NESTED.finditer(data, at):
        mark = match.group()
        if mark in b"[{":
            depth += 1
            if depth > _DEEPEST:
                break
        elif mark in b"]}":
            depth -= 1
            if depth == 0:
                return match.end()
    raise DecodeError("no JSON object")
