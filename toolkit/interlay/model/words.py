"""Text from elsewhere that goes into records, headers and errors: short words, and what UTF-8 can say."""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(r"[A-Za-z0-9_.:/ -]{1,64}\Z")


def word(text: object) -> str | None:
    """``text`` if it is a short word, as types, codes and ids are; None for prose, and for what is no text."""
    return text if isinstance(text, str) and _WORD.match(text) else None


def printable(text: str) -> str:
    """``text`` as far as UTF-8 can say it."""
    return text.encode(errors="replace").decode()
