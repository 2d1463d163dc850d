"""What the codecs share: patching instead of rebuilding, and typed looks at foreign objects.

A node that was decoded keeps its JSON object in ``raw``, less the children that are nodes of their own: in their
place stands an empty value of the same kind (``""``, ``[]``, ``{}``), so that the order of keys and the form that
was used are kept. To encode it, a codec writes the wire members of the node as it is and of the node as it was
(read again from ``raw``): what differs between the two is patched into ``raw``, and nothing else is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeVar

from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.messages import AnyPart, Node, Opaque
from interlay.model.record import Failure

N = TypeVar("N", bound=Node)

Object = dict[str, Any]
Write = Callable[[Failure], Object]

MAX_NODES: Final = 20_000
"""Messages, parts and tools of one body. A node takes microseconds to read and write, and a body of 4 MB could hold
a quarter of a million."""


def came_from(raw: Object, origin: str, node: N) -> N:
    """``node``, which was read from ``raw`` in dialect ``origin``."""
    node.raw, node.origin = raw, origin
    return node


def part_from(raw: Object, origin: str, part: AnyPart | None) -> AnyPart:
    """The same for a part. What could not be read, as it is unknown or not as it should be, is an ``Opaque``."""
    return came_from(raw, origin, Opaque() if part is None else part)


def part_by_type(raw: Object, origin: str, readers: Mapping[str, Callable[[Object], AnyPart | None]]) -> AnyPart:
    """The part that the reader for its ``type`` makes of ``raw``."""
    read = readers.get(a_str(raw.get("type")) or "")
    return part_from(raw, origin, None if read is None else read(raw))


def encode_node(node: N, origin: str, read: Callable[[Object], N], write: Callable[[N], Object]) -> Object:
    """The JSON object of ``node`` in dialect ``origin``, less its children.

    ``write`` gives the wire members that a node's canonical fields make, ``read`` is how a node is decoded.
    """
    members = write(node)
    if node.raw is None or node.origin != origin:
        return members
    return patched(node.raw, write(read(node.raw)), members)


def patched(raw: Object, before: Mapping[str, Any], after: Mapping[str, Any]) -> Object:
    """A copy of ``raw`` with the members set that ``after`` has otherwise than ``before``, and those it lacks
    removed. Objects in objects are patched the same way."""
    result = dict(raw)
    for key, value in after.items():
        if key in before and same(before[key], value):
            continue
        old, was = raw.get(key), before.get(key)
        if isinstance(value, dict) and isinstance(old, dict) and isinstance(was, dict):
            result[key] = patched(old, was, value)
        else:
            result[key] = value
    for key in before:
        if key not in after:
            result.pop(key, None)
    return result


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values, to which ``true`` is no ``1``."""
    return one == other and (type(one) is type(other) or not isinstance(one, bool | int))


def without_none(**members: Any) -> Object:
    """``members`` that are not None."""
    return {key: value for key, value in members.items() if value is not None}


def an_object(value: Any, what: str) -> Object:
    """``value`` if it is a JSON object, else ``DecodeError``."""
    if not isinstance(value, dict):
        raise DecodeError(f"{what} is no object")
    return value


def object_or_none(data: bytes | None, *, limit: int = json.MAX_BYTES) -> Object | None:
    """The JSON object that ``data`` is; None for anything else. Never raises."""
    if data is None:
        return None
    try:
        return a_dict(json.decode(data, limit=limit))
    except DecodeError:
        return None


def objects(value: Any, what: str) -> list[Object]:
    """``value`` if it is a list of objects; empty for null. Else ``DecodeError``."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise DecodeError(f"{what} is no list")
    return [an_object(item, what) for item in value]


def patched_error(was: bytes, decode: Callable[[bytes], Failure], failure: Failure, write: Write) -> Object | None:
    """The error body ``was`` with what ``failure`` has otherwise than it tells; None where it has no form to be set in.

    ``write`` gives the members of the object ``error`` that a failure makes.
    """
    try:
        said = json.decode(was)
    except DecodeError:
        return None
    before = decode(was)
    if isinstance(said, dict) and isinstance(error := said.get("error"), dict):
        return {**said, "error": patched(error, write(before), write(failure))}
    return said if isinstance(said, dict) and write(before) == write(failure) else None


def refuse_many(value: Any, within: Collection[str], room: int = MAX_NODES) -> int:
    """Room left after the items of ``value`` and of all lists under the keys ``within`` in it. Raises ``DecodeError``
    for too many."""
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        return room
    room -= len(value)
    if room < 0:
        raise DecodeError(f"more than {MAX_NODES} messages, parts and tools")
    for item in value:
        if isinstance(item, dict):
            for key in within:
                if isinstance(child := item.get(key), list | dict):
                    room = refuse_many(child, within, room)
    return room


def a_str(value: Any) -> str | None:
    """``value`` if it is a string, else None: so are the other three for their types."""
    return value if isinstance(value, str) else None


def an_int(value: Any) -> int | None:
    """Booleans are no integers, and what exceeds 64 bits is none that an API means."""
    return value if type(value) is int and -(2**63) <= value < 2**63 else None


def a_float(value: Any) -> float | None:
    return value if type(value) is float or (type(value) is int and abs(value) < 2**63) else None


def a_bool(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def a_dict(value: Any) -> Object | None:
    return value if isinstance(value, dict) else None


def shell(value: Object, *keys: str) -> Object:
    """``value`` with empty values of the same kind where the children under ``keys`` stood."""
    emptied = dict(value)
    for key in keys:
        child = emptied.get(key)
        if isinstance(child, str | list | dict):
            emptied[key] = type(child)()
    return emptied
