"""What can still be found in a body that was too large to keep: an object that stands near its end."""

from __future__ import annotations

import re
from typing import Final

from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.members import end_of_value

_MAX_TRIES: Final = 16
_FOLLOWS: Final = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*(?=\{)")


def last_object(data: bytes, key: str) -> bytes | None:
    """The JSON text of the object under ``key`` that is nearest to the end of ``data``, or None. Never raises."""
    quoted, at = f'"{key}"'.encode(), len(data)
    for _ in range(_MAX_TRIES):
        at = data.rfind(quoted, 0, at)
        if at < 0:
            return None
        match = _FOLLOWS.match(data, at + len(quoted))
        if match is None:
            continue
        try:
            raw = data[match.end() : end_of_value(data, match.end())]
            if isinstance(json.decode(raw), dict):
                return raw
        except DecodeError:
            continue
    return None


def ends_whole(data: bytes) -> bool:
    """Whether a body ends as an object does: it came whole, also where its numbers or its depth are more than we
    read."""
    return data[-64:].rstrip(b" \t\r\n\0").endswith(b"}")
