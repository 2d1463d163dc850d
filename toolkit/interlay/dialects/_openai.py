"""What the dialects of OpenAI's APIs share."""

from __future__ import annotations

from typing import Final

from interlay.dialects._codec import Object

PADDING: Final = ("obfuscation", "p")
"""Members of a stream's event that only blur its length: OpenAI's and Mistral's."""
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def pad(event: Object, grown: int) -> None:
    """Remake the padding of an event whose text has grown by ``grown`` characters: padding makes all events of like
    length, so it gives what the text takes."""
    for key in PADDING if grown else ():
        padding = event.get(key)
        if isinstance(padding, str) and padding:
            length = max(1, len(padding) - grown)
            event[key] = (_ALPHABET * (length // len(_ALPHABET) + 1))[:length]
