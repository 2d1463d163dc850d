"""What ``Cache`` is made with, checked."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

from interlay.model.arguments import seconds, shown
from interlay.model.errors import ConfigError
from interlay.model.secrets import Secret
from interlay.stores.sealing import Seal


def time_of(name: str, value: float | str, of: str = "Cache") -> float:
    """Seconds. Raises ``ConfigError`` for what is no time."""
    found = seconds(value)
    if found is None:
        raise ConfigError(f"{of}({name}={shown(value)}): expected seconds, 0 or more, or words such as '10m' or '7d'")
    return found


def words_of(name: str, value: Iterable[str]) -> tuple[str, ...]:
    """A list of words. Raises ``ConfigError`` for what is none."""
    words = () if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    if isinstance(value, str) or not all(isinstance(word, str) for word in words) or (value and not words):
        raise ConfigError(f"Cache({name}={shown(value)}): expected a list of words")
    return words


def seal_of(given: Seal | Secret | bytes | str | None) -> Seal | None:
    """What makes entries unreadable to others. Raises ``ConfigError`` for keys of another length."""
    if given is None or isinstance(given, Seal):
        return given
    key = given.reveal() if isinstance(given, Secret) else given
    if isinstance(key, str):
        try:
            key = base64.b64decode(key, validate=True)
        except (binascii.Error, ValueError):
            raise ConfigError("Cache(encrypt=…): expected 16, 24 or 32 bytes, or base64 of these") from None
    if not isinstance(key, bytes) or len(key) not in (16, 24, 32):
        raise ConfigError("Cache(encrypt=…): expected 16, 24 or 32 bytes, or base64 of these")
    return Seal(key)


def secret_of(secret: Secret | bytes | str) -> bytes:
    """A secret's bytes. Raises ``ConfigError`` for what is none."""
    plain = secret.reveal() if isinstance(secret, Secret) else secret
    if not isinstance(plain, bytes | str):
        raise ConfigError("Cache(secret=…): expected bytes or a string")
    return plain if isinstance(plain, bytes) else plain.encode()
