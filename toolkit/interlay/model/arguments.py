"""Arguments that a user gives: what they are checked for, and what an error shows of them."""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import Final

from interlay.model.secrets import redact

_LONGEST: Final = 80


def is_number(value: object) -> bool:
    """Whether ``value`` is a finite number; ``True`` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: object) -> bool:
    """Whether ``value`` is a whole number, 0 or more; ``True`` is none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def shown(value: object) -> str:
    """What an error shows of ``value``: plain ones as they are written, cut and without secrets, else the type."""
    if value is None or isinstance(value, bool | int | float | str | PurePath):
        text = redact(repr(value) if not isinstance(value, int) or abs(value) < 10**_LONGEST else "a huge int")
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return type(value).__name__
