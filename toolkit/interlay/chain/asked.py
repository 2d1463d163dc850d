"""What headers and query of a request say: what can change the answer, and who asks.

A credential says who asks and nothing else. What looks like one and is not known may do either.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

Pairs = list[tuple[bytes, bytes]]

_SILENT: Final = 0
_TELLING: Final = 1
_CREDENTIAL: Final = 2
_SUSPECT: Final = 3
_COOKIE: Final = 4
_CONTROL: Final = 5

_CREDENTIALS: Final = frozenset(
    (
        b"authorization",
        b"proxy-authorization",
        b"x-api-key",
        b"api-key",
        b"x-goog-api-key",
        b"x-goog-iam-authorization-token",
        b"x-amz-security-token",
        b"ocp-apim-subscription-key",
        b"cf-aig-authorization",
        b"helicone-auth",
        b"x-portkey-api-key",
    )
)
_QUERY_CREDENTIALS: Final = frozenset((b"key", b"api_key", b"api-key", b"apikey", b"access_token", b"subscription-key"))
_SECRETS: Final = re.compile(rb"auth|key|token|secret|cookie|credential|password|signature")
_PER_CALL: Final = frozenset((b"idempotency-key", b"x-idempotency-key"))
"""Look like credentials, and are another for each call."""
_HOST: Final = b"host"
"""May be another than the URL's."""
_NAMES: Final = 4096
"""Names of headers that are remembered for a dialect."""


class Asked(msgspec.Struct, gc=False):
    """What headers and query say, by name and value."""

    telling: Pairs
    """Can change the answer."""
    credentials: Pairs
    suspects: Pairs
    """Look like credentials."""
    control: bytes | None = None
    """What is wanted of caches, as ``cache-control`` says it."""


class Headers:
    """What headers are to a dialect. Remembers the names it has seen.

    Args:
        telling: the dialect's ``telling_headers``.
    """

    __slots__ = ("_beginnings", "_kinds", "_silent", "_telling")

    def __init__(self, telling: Collection[str]) -> None:
        self._telling = frozenset(name.encode() for name in telling)
        self._beginnings = tuple(name for name in self._telling if name.endswith(b"-"))
        self._silent: set[bytes] = set()
        self._kinds: dict[bytes, int] = {}

    def read(self, fields: Pairs) -> Asked:
        """What a request's headers say. On the path of every call that a cache may answer."""
        asked = Asked([], [], [])
        silent = self._silent
        for name, value in [field for field in fields if field[0] not in silent]:
            kind = self._kinds.get(name)
            if kind is None:
                kind = self._learn(name)
            if kind == _TELLING:
                asked.telling.append((name.lower(), value))
            elif kind == _CREDENTIAL:
                asked.credentials.append((name.lower(), _lasting(value)))
            elif kind == _SUSPECT:
                asked.suspects.append((name.lower(), value))
            elif kind == _CONTROL:
                asked.control = value if asked.control is None else asked.control + b", " + value
            elif kind == _COOKIE and (kept := _session(value)):
                asked.suspects.append((b"cookie", kept))
        return asked

    def _learn(self, seen: bytes) -> int:
        kind = self._kind(seen.lower())
        if len(self._silent) + len(self._kinds) < _NAMES:
            if kind == _SILENT:
                self._silent.add(seen)
            else:
                self._kinds[seen] = kind
        return kind

    def _kind(self, name: bytes) -> int:
        if name in _CREDENTIALS:
            return _CREDENTIAL
        if name == _HOST or name in self._telling or name.startswith(self._beginnings):
            return _TELLING
        if name == b"cookie":
            return _COOKIE
        if name == b"cache-control":
            return _CONTROL
        return _SUSPECT if _SECRETS.search(name) and name not in _PER_CALL else _SILENT


@lru_cache(64)
def headers_of(telling: tuple[str, ...]) -> Headers:
    """The one reader of headers for all routes of a dialect."""
    return Headers(telling)


def read_query(query: bytes, plain: Collection[str], asked: Asked) -> None:
    """Add what a query says to what the headers do, but for what stands in ``plain``."""
    for piece in query.split(b"&"):
        if not piece or piece.decode("latin-1") in plain:
            continue
        given, _, value = piece.partition(b"=")
        name = unquote_to_bytes(given.replace(b"+", b" ")).lower()
        if name in _QUERY_CREDENTIALS:
            asked.credentials.append((b"?" + name, value))
        elif _SECRETS.search(name):
            asked.suspects.append((b"?" + given, value))
        else:
            asked.telling.append((b"?" + given, value))


_SIGNED_BY: Final = re.compile(rb'AWS4-[^,]*?Credential=([^/,\s]+)/|Signature [^\n]*?keyId="([^"]+)"')


def _lasting(credential: bytes) -> bytes:
    """What a credential says of who asks: of a signature, which is another for each request, the key's name."""
    if credential.startswith((b"AWS4-", b"Signature ")) and (found := _SIGNED_BY.match(credential)):
        return found[1] or found[2]
    return credential


_BALANCERS: Final = re.compile(
    rb"(?:__cf_bm|_cfuvid|cf_clearance|__cflb|__cfruid|AWSALB\w*|ARRAffinity\w*|GCLB|x-ms-gateway-slice|stsservicecookie"
    rb"|visid_incap_\w+|incap_ses_\w+|nlbi_\w+)="
)
"""Cookies that a balancer sets and an HTTP client sends back: they say nothing of who asks, and change."""


def _session(cookies: bytes) -> bytes:
    """Cookies without those of balancers."""
    pieces = (piece.strip() for piece in cookies.split(b";"))
    return b";".join(sorted(piece for piece in pieces if piece and not _BALANCERS.match(piece)))
