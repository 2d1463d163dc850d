"""Usage figures, checked: foreign numbers become canonical counts, or flags that say what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from math import isfinite
from typing import Any, Final

import msgspec

from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.usage import Usage

MAX_COUNT: Final = 2**53
MAX_RAW: Final = 64 * 1024
"""Bytes of a usage object that are kept with the figures."""
_MAX_USAGE: Final = 4 * MAX_RAW
"""Bytes of a usage object that is read at all."""
_MAX_EXPONENT: Final = 30
_MAX_COUNTED: Final = 256 * 1024
"""Bytes of a list whose items are counted."""
_NUMBERS: Final = msgspec.json.Encoder(decimal_format="number")
_ITEMS: Final = msgspec.json.Decoder(str | list[msgspec.Raw])


class Counts:
    """Reads counts out of a provider's usage object and remembers what was wrong."""

    __slots__ = ("_flags", "raw")

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        self._flags: list[str] = []

    def get(self, *path: str) -> int | None:
        """The count at a path; None where there is none. What is no non-negative integer up to 2**53 is flagged."""
        value: Any = self.raw
        for name in path:
            if not isinstance(value, Mapping):
                return None
            value = value.get(name)
        if value is None:
            return None
        if not _is_number(value):
            self.flag("usage_invalid")
            return None
        if not 0 <= value <= MAX_COUNT or value != int(value):
            self.flag("usage_invalid")
            return None
        return int(value)

    def part(self, whole: int | None, *paths: tuple[str, ...]) -> int:
        """The first count there is at ``paths``, which is part of ``whole``."""
        for path in paths:
            if (count := self.get(*path)) is not None:
                if whole is not None and count > whole:
                    self.flag("usage_inconsistent")
                return count
        return 0

    def money(self, *path: str) -> Decimal | None:
        """US dollars at a path, where the provider states them."""
        value: Any = self.raw
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is None:
            return None
        if _is_number(value):
            amount = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
            if amount >= 0 and abs(amount.adjusted()) <= _MAX_EXPONENT:
                return amount
        self.flag("usage_invalid")
        return None

    def flag(self, word: str) -> None:
        """Say that something is wrong."""
        if word not in self._flags:
            self._flags.append(word)

    @property
    def flags(self) -> tuple[str, ...]:
        """What was wrong."""
        return tuple(self._flags)


def _is_number(value: Any) -> bool:
    """A finite one; ``true`` is none."""
    if isinstance(value, Decimal):
        return value.is_finite()
    return type(value) is int or (type(value) is float and isfinite(value))


def text(value: Any, limit: int = 128) -> str | None:
    """A short string, or None."""
    return value if isinstance(value, str) and len(value) <= limit else None


def figures_of(shape: msgspec.Struct, names: Mapping[str, str]) -> dict[str, Any]:
    """The numbers and switches among a request's members, by the ``names`` that records have for them. What is not set
    is left out, and so is what no API means."""
    found: dict[str, Any] = {}
    for member, name in names.items():
        value = getattr(shape, member)
        if value is not None and -MAX_COUNT <= value <= MAX_COUNT:
            found[name] = value
    return found


def usage_of_text(raw: bytes, canonical: Callable[[Mapping[str, Any], bytes], Usage]) -> Usage:
    """What ``canonical`` makes of the usage object that the JSON text ``raw`` is, numbers as they were written. Never
    raises: what is no object is flagged."""
    try:
        fields = json.decode_exact(raw, limit=_MAX_USAGE)
    except DecodeError:
        fields = None
    if not isinstance(fields, dict):
        return Usage(flags=("usage_invalid",))
    return canonical(fields, raw)


def usage_of_mapping(fields: Mapping[str, Any], canonical: Callable[[Mapping[str, Any], bytes], Usage]) -> Usage:
    """The same for a usage object that was decoded elsewhere. Never raises."""
    try:
        raw = _NUMBERS.encode(fields)
    except (TypeError, ValueError, RecursionError, OverflowError):
        return Usage(flags=("usage_invalid",))
    return canonical(fields, raw)


def kept(raw: bytes) -> msgspec.Raw:
    """The text of a usage object as ``Usage.raw`` keeps it: null in place of a very large one."""
    return msgspec.Raw(raw if len(raw) <= MAX_RAW else b"null")


def items_in(raw: msgspec.Raw) -> int:
    """How many items a list has, and a string is one; 0 for all else, and for what is too large to be counted."""
    if not raw or len(memoryview(raw)) > _MAX_COUNTED:
        return 0
    try:
        items = _ITEMS.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0
    return 1 if isinstance(items, str) else len(items)


def object_of(data: bytes) -> dict[str, Any]:
    """The JSON object that ``data`` is. Raises ``DecodeError`` for anything else."""
    value = json.decode(data)
    if not isinstance(value, dict):
        raise DecodeError("the JSON is no object")
    return value


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a JSON list; none for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
