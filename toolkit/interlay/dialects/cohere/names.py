"""The name of this dialect, which its nodes carry, and the words that its finish reasons are."""

from __future__ import annotations

from typing import Final

ORIGIN: Final = "cohere"

FINISH: Final = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR": "error",
    "TIMEOUT": "error",
}
"""The API's finish reasons in canonical words; others stand as they are."""
_WORDS: Final = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL", "error": "ERROR"}


def finish_of(word: str) -> str:
    """The canonical word for one of the API's."""
    return FINISH.get(word, word)


def wire_word(finish: str | None, provider: str | None) -> str | None:
    """The API's word for a finish reason: its own where that means the same."""
    if provider is not None and finish == finish_of(provider):
        return provider
    return None if finish is None else _WORDS.get(finish, finish)
