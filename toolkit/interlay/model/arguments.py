"""Arguments that a user gives: what they are checked for, and what an error shows of them."""

from __future__ import annotations

import math
import re
from pathlib import PurePath
from typing import Final

from interlay.model.secrets import redact

_LONGEST: Final = 80
_TIME: Final = re.compile(r"(\d{1,10}(?:\.\d{1,6})?) ?(ms|s|m|h|d|w)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def is_number(value: object) -> bool:
    """Whether ``value`` is a finite number; ``True`` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: object) -> bool:
    """Whether ``value`` is a whole number, 0 or more; ``True`` is none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def seconds(value: object) -> float | None:
    """A time that a user gives: seconds, 0 or more, or a word such as ``90s``, ``15m``, ``1h``, ``7d`` or ``2w``. None
    for what is none."""
    if isinstance(value, str):
        match = _TIME.fullmatch(value.strip())
        return None if match is None else float(match[1]) * _UNITS[match[2]]
    return float(value) if is_number(value) and value >= 0 else None  # type: ignore[operator,arg-type]


def shown(value: object) -> str:
    """What an error shows of ``value``: plain ones as they are written, cut and without secrets, else the type."""
    if value is None or isinstance(value, bool | int | float | str | PurePath):
        text = redact(repr(value) if not isinstance(value, int) or abs(value) < 10**_LONGEST else "a huge int")
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return type(value).__name__
