"""Entries that only the holders of a key can read, or make. The one place that needs ``cryptography``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

from interlay.model.errors import ConfigError

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError:
    AESGCM = None  # type: ignore[assignment,misc,unused-ignore]

_NONCE: Final = 12
_NAME: Final = 4


class Seal:
    """AES-GCM with keys of 16, 24 or 32 bytes: the first one seals, any of them opens, so keys can be changed while
    entries live.

    A sealed entry has the first bytes of its key's digest in front, then a nonce of 96 random bits (NIST SP 800-38D,
    section 8.2.2: at most 2**32 entries for one key). Raises ``ConfigError`` for keys of another length, for none, and
    without the ``cryptography`` package.
    """

    def __init__(self, *keys: bytes) -> None:
        if AESGCM is None:
            raise ConfigError("Seal() needs the package cryptography: pip install 'interlay[encryption]'")
        _check(keys)
        self._ciphers: dict[bytes, Any] = {_name(key): AESGCM(key) for key in reversed(keys)}
        self._first = _name(keys[0])

    def __repr__(self) -> str:
        return f"Seal(<{len(self._ciphers)} keys>)"

    def close(self, plain: bytes, context: bytes) -> bytes:
        """Seal ``plain``: what comes back opens with the same ``context`` only."""
        nonce = os.urandom(_NONCE)
        return b"".join((self._first, nonce, self._ciphers[self._first].encrypt(nonce, plain, context)))

    def open(self, sealed: bytes, context: bytes) -> bytes | None:
        """What was sealed. None for what no key of ours sealed in this context."""
        cipher = self._ciphers.get(sealed[:_NAME])
        if cipher is None or len(sealed) < _NAME + _NONCE:
            return None
        try:
            opened: bytes = cipher.decrypt(sealed[_NAME : _NAME + _NONCE], sealed[_NAME + _NONCE :], context)
        except InvalidTag:
            return None
        return opened


def _check(keys: Sequence[object]) -> None:
    if not keys or not all(isinstance(key, bytes) and len(key) in (16, 24, 32) for key in keys):
        raise ConfigError("Seal(): expected one or more keys of 16, 24 or 32 bytes; os.urandom(32) makes one")


def _name(key: bytes) -> bytes:
    return blake2b(key, digest_size=_NAME, person=b"interlay seal").digest()
