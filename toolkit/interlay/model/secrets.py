"""Secrets are a type that does not print, and a registry that finds them in text."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from typing import Any, Final

MASK: Final = "[secret]"
_MIN_LENGTH: Final = 8
"""Shorter strings are not searched for: they would blank innocent text."""
_MAX_REGISTERED: Final = 10_000


class Secret:
    """A string that shows itself to nobody who does not ask by name.

    Making one registers its value, so that interlay blanks it wherever it records text. ``str``, ``repr``,
    formatting, pickling and JSON do not reveal it; ``reveal()`` does.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str) or not value:
            raise TypeError(f"Secret(value): expected a non-empty string, got {type(value).__name__}")
        self.__value = value
        register(value)

    def reveal(self) -> str:
        """The value itself."""
        return self.__value

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.__value == self.__value

    def __hash__(self) -> int:
        return hash(self.__value)

    def __reduce__(self) -> Any:
        raise TypeError("a Secret cannot be pickled")


_lock = threading.Lock()
_registered: dict[str, None] = {}
_pattern: re.Pattern[str] | None = None


def register(value: str) -> None:
    """Blank ``value`` wherever interlay records text from now on. Values under eight characters are not searched
    for; beyond 10,000 values the oldest is forgotten."""
    global _pattern
    if len(value) < _MIN_LENGTH or value in _registered:
        return
    with _lock:
        _registered[value] = None
        if len(_registered) > _MAX_REGISTERED:
            del _registered[next(iter(_registered))]
        _pattern = None


def redact(text: str, also: Iterable[str] = ()) -> str:
    """``text`` with every registered secret, and each of ``also``, replaced by ``[secret]``."""
    global _pattern
    pattern = _pattern
    if pattern is None and _registered:
        with _lock:
            # Longest first, so that a secret that begins with another is blanked whole.
            values = sorted(_registered, key=len, reverse=True)
            pattern = _pattern = re.compile("|".join(map(re.escape, values)))
    if pattern is not None:
        text = pattern.sub(MASK, text)
    for value in also:
        if len(value) >= _MIN_LENGTH and value in text:
            text = text.replace(value, MASK)
    return text


def redact_json(value: Any, also: Iterable[str] = ()) -> Any:
    """A copy of a JSON value with ``redact`` applied to every string in it, keys included."""
    also = tuple(also)
    if isinstance(value, str):
        return redact(value, also)
    if isinstance(value, dict):
        return {redact(str(k), also): redact_json(v, also) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [redact_json(v, also) for v in value]
    return value
