"""Changes to JSON that leave it JSON, so that a fuzzer comes past the parser."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any, Final

from interlay.model import json
from interlay.model.errors import DecodeError

ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, 2**53, 2**63, 2**70, 0.5, -0.0, 1e300, "", "a", "\u0000", "☃", "x" * 300,
    [], {}, [[]], [{}], {"type": "text"}, {"": ""}, "[DONE]", "data:text/plain;base64,QQ==",
)  # fmt: skip


def mutated(data: bytes, rng: random.Random) -> bytes | None:
    """``data`` with one JSON value in it changed, or the data of one of its events; None when there is none."""
    lines = data.split(b"\n")
    at = [number for number, line in enumerate(lines) if line.startswith(b"data: {")]
    if not at:
        return _mutated_value(data, rng)
    chosen = rng.choice(at)
    changed = _mutated_value(lines[chosen][6:], rng)
    if changed is None:
        return None
    lines[chosen] = b"data: " + changed
    if rng.random() < 0.2:
        lines[chosen:chosen] = [lines[rng.choice(at)], b""]
    return b"\n".join(lines)


def _mutated_value(data: bytes, rng: random.Random) -> bytes | None:
    try:
        value = json.decode(data)
    except DecodeError:
        return None
    places = list(_places(value))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not places:
            return None
        _change(*rng.choice(places), rng, places)
    try:
        return json.encode(value)
    except (ValueError, RecursionError):  # an object was put into itself
        return None


def _change(holder: Any, key: Any, rng: random.Random, places: list[tuple[Any, Any]]) -> None:
    if (isinstance(holder, list) and key >= len(holder)) or (isinstance(holder, dict) and key not in holder):
        return  # an earlier change took it away
    other_holder, other_key = rng.choice(places)
    try:
        other = copy.deepcopy(other_holder[other_key])
    except (KeyError, IndexError):
        other = None
    move = rng.randrange(5)
    if move == 0:
        holder[key] = copy.deepcopy(rng.choice(ODD))
    elif move == 1:
        holder[key] = other
    elif move == 2:
        del holder[key]
    elif isinstance(holder, list):
        holder.insert(key, other)
    elif move == 3:
        holder[other_key if isinstance(other_key, str) else "new"] = holder.pop(key)
    else:
        holder[rng.choice(("type", "id", "text", "content", "index", "name", "new"))] = other


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _places(item)
