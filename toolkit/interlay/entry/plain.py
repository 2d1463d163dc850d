"""What functions are given and give, as JSON values that take a bounded amount of room."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid
from collections.abc import Iterable
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final

import msgspec

from interlay.model.secrets import MASK, Secret

ROOM: Final = 256 * 1024
"""Characters that all values of one ``Plain`` may take together."""
_DEPTH: Final = 16
_CUT: Final = "… [cut]"
_WORDS: Final = (Decimal, dt.date, dt.time, dt.timedelta, uuid.UUID, PurePath)


class Plain:
    """Makes values plain. What is no data stands as the name of its class: its ``repr`` may say anything."""

    def __init__(self, room: int = ROOM) -> None:
        self._left = room

    @property
    def is_full(self) -> bool:
        """Whether something was left out."""
        return self._left <= 0

    def __call__(self, value: object) -> Any:
        try:
            return self._plain(value, 0)
        except Exception:  # noqa: BLE001 - somebody's own attributes or length; the call they are given to goes on
            return f"<{type(value).__name__}>"

    def _plain(self, value: object, depth: int) -> Any:
        self._left -= 1
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, enum.Enum):
            return self._plain(value.value, depth + 1)
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int):
            return value if -(2**63) <= value < 2**64 else self._text(hex(value))
        if isinstance(value, Secret):
            return MASK
        if self._left <= 0 or depth >= _DEPTH:
            return _CUT
        if isinstance(value, _WORDS):
            return self._text(str(value))
        members = _members(value)
        if members is not None:
            return {self._text(str(name)): self._plain(each, depth + 1) for name, each in self._some(members)}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._plain(each, depth + 1) for each in self._some(value)]
        return f"<{type(value).__name__}>"

    def _text(self, text: str) -> str:
        room = max(self._left, 0)
        self._left -= len(text)
        return text if len(text) <= room else text[:room] + _CUT

    def _some(self, items: Iterable[Any]) -> Iterable[Any]:
        for item in items:
            if self._left <= 0:
                return
            yield item


def _members(value: object) -> Iterable[tuple[Any, Any]] | None:
    """The names and values of a dictionary, or of an object that is data; None for anything else."""
    if isinstance(value, dict):
        return list(value.items())
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind) if field.repr]
    elif isinstance(value, msgspec.Struct):
        names = list(value.__struct_fields__)
    elif hasattr(kind, "model_fields"):  # pydantic's, which keeps them there
        names = list(vars(value))
    else:
        return None
    return [(name, getattr(value, name)) for name in names if hasattr(value, name)]


def as_text(value: object) -> str:
    """A plain value as text: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
