"""The key of an exact cache: which requests ask the same question, on whose behalf.

What is hashed: the dialect, the method, where the request goes, the headers that the dialect calls telling, on whose
behalf it is made, and the whole canonical body, less the few members that the dialect says cannot change the answer.
Nothing is left out because it is unknown.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol
from urllib.parse import unquote_to_bytes

import msgspec

from interlay.chain.call import Call, WireRequest
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.protocols import Dialect
from interlay.model.record import Identity

VERSION: Final = "interlay-key-1"
"""Changes when equal requests may get other keys than before."""

VARIES: Final = frozenset(("user", "session", "key", "tags"))
"""Fields of an identity by which answers can be kept apart, beyond the tenant."""


class Question(msgspec.Struct, frozen=True, gc=False):
    """What a request asks. Two requests with one ``key`` may be given the same answer."""

    key: str
    """64 hexadecimal digits."""
    scope: str
    """On whose behalf: ``tenant:<name>``, or ``key:<digest of the credentials>``, then ``|user=…`` and the like."""


class Unfit(msgspec.Struct, frozen=True, gc=False):
    """A request that no cache may answer."""

    reason: str
    """``no_dialect``, ``method``, ``opaque``, ``unreadable``, or what the dialect says: ``server_state``,
    ``server_tools``, ``files``."""


class Keyed(NamedTuple):
    """What the keys of one route's requests begin with, and the path that its dialect judges them by."""

    begun: Hasher
    path: str


class Hasher(Protocol):
    """A hash under way, as ``hashlib`` makes them."""

    def copy(self) -> Hasher: ...
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


Pairs = list[tuple[bytes, bytes]]


def question(call: Call, *, vary_by: Collection[str] = (), secret: bytes = b"") -> Question | Unfit:
    """What ``call`` asks, or why no cache may answer it.

    Judges the body, as ``call.read()`` does. ``vary_by`` names fields of the identity (see ``VARIES``) that keep
    answers apart; ``secret`` keys the digest of the credentials, so that it tells nothing to who does not know it.
    """
    route, request = call.route, call.request
    dialect = route.dialect
    if dialect is None:
        return Unfit("no_dialect")
    if request.method != "POST":
        return Unfit("method")
    body = _body(call)
    if not isinstance(body, dict):
        return Unfit("opaque" if body is _OPAQUE else "unreadable")
    keyed = route.keyed
    if not isinstance(keyed, Keyed):
        keyed = route.keyed = _keyed(dialect, request)
    if (reason := dialect.unfit(body, keyed.path)) is not None:
        return Unfit(reason)
    for name in dialect.ignored:
        body.pop(name, None)
    asked = _headers(request.fields(), dialect.telling_headers)
    if query := request.query():
        _query(query, asked)
    if userinfo := request.userinfo():
        asked.credentials.append((b"@", userinfo))
    label, on_behalf = _scope(call.identity, asked, vary_by, secret)
    return Question(digest(keyed.begun, asked.telling, on_behalf, json.encode_canonical(body)), label)


def begin(*, dialect: str, method: str, origin: str, place: str) -> Hasher:
    """A hash that knows where a request goes; ``origin`` is scheme, host and port."""
    where = packed(map(_bytes, (VERSION, dialect, method, origin, place)))
    return blake2b(where, digest_size=32, usedforsecurity=False)


def digest(begun: Hasher, telling: Pairs, scope: bytes, body: bytes) -> str:
    """The key: 64 hexadecimal digits. ``telling`` has names and values of headers and of the query, in any order, but
    for values of one name; ``body`` is canonical JSON. What was begun is left as it is."""
    if len(telling) > 1:
        telling.sort(key=_name)
    hashed = begun.copy()
    hashed.update(packed((scope, *itertools.chain.from_iterable(telling))) + b"\n")
    hashed.update(body)
    return hashed.hexdigest()


def packed(parts: Iterable[bytes]) -> bytes:
    """``parts`` in one, each after its length, so that other parts never give the same bytes."""
    return b"".join([b"%d:%b" % (len(part), part) for part in parts])


# The body.

_OPAQUE: Final = object()


def _body(call: Call) -> object:
    """What the body says, each number in one form; ``_OPAQUE`` where the chain may not judge it."""
    body = call.request.body
    if body is None or call.body_kind == "opaque":
        return _OPAQUE
    try:
        value = json.decode_canonical(body)
        if json.has_one_reading(body, value):
            call.vouch()
            return value
    except DecodeError:
        return _OPAQUE if call.read() is None else None
    judged = call.read()
    return _OPAQUE if judged is None else json.decode_canonical(judged)


# Where it goes.


def _keyed(dialect: Dialect, request: WireRequest) -> Keyed:
    origin, path = request.location()
    place = dialect.place(path)
    return Keyed(begin(dialect=dialect.name, method=request.method, origin=origin, place=place), path)


# Headers and query: what is telling, and what says who asks.

_TELLING: Final = 1
_CREDENTIAL: Final = 2
_SUSPECT: Final = 3
"""Looks like a credential and is not known as one: it may be telling too."""
_COOKIE: Final = 4

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
_FORMS: Final = frozenset(((b"alt", b"sse"), (b"alt", b"json")))
"""What a query says of the form alone: Gemini's streams as server-sent events, and the plain form's own name."""
_NAMES: Final = 4096


class _Asked(NamedTuple):
    """What headers and query say."""

    telling: Pairs
    credentials: Pairs
    suspects: Pairs


@lru_cache(64)
def _kinds(telling: tuple[str, ...]) -> dict[bytes, int]:
    """What headers are to a dialect, by their names as they were seen; those that were not are looked up."""
    return {told.encode("latin-1"): _TELLING for told in telling if not told.endswith("-")}


def _kind(name: bytes, telling: tuple[str, ...]) -> int:
    if name in _CREDENTIALS:
        return _CREDENTIAL
    if name == _HOST:
        return _TELLING
    text = name.decode("latin-1")
    if any(text == told or (told.endswith("-") and text.startswith(told)) for told in telling):
        return _TELLING
    if name == b"cookie":
        return _COOKIE
    return _SUSPECT if _SECRETS.search(name) and name not in _PER_CALL else 0


def _headers(fields: Pairs, telling: tuple[str, ...]) -> _Asked:
    asked = _Asked([], [], [])
    kinds = _kinds(telling)
    for name, value in fields:
        kind = kinds.get(name)
        if kind is None:
            kind = _kind(name.lower(), telling)
            if len(kinds) < _NAMES:
                kinds[name] = kind
        if not kind:
            continue
        if kind == _TELLING:
            asked.telling.append((name.lower(), value))
        elif kind == _CREDENTIAL:
            asked.credentials.append((name.lower(), _lasting(value)))
        elif kind == _SUSPECT:
            asked.suspects.append((name.lower(), value))
        elif kept := _session(value):
            asked.suspects.append((b"cookie", kept))
    return asked


_SIGNED_BY: Final = re.compile(rb'(?:AWS4-.*?Credential=([^/,\s]+)|Signature .*?keyId="([^"]+)")')


def _lasting(credential: bytes) -> bytes:
    """What a credential says of who asks: of a signature, which is another for each request, the key's name."""
    if credential.startswith((b"AWS4-", b"Signature ")) and (found := _SIGNED_BY.match(credential)):
        return found[1] or found[2]
    return credential


_BALANCERS: Final = re.compile(
    rb"(?:__cf_bm|_cfuvid|cf_clearance|__cflb|__cfruid|AWSALB\w*|ARRAffinity\w*|GCLB|x-ms-gateway-slice|stsservicecookie"
    rb"|visid_incap_\w+|incap_ses_\w+|nlbi_\w+)="
)
"""Cookies that a provider's balancer sets and an HTTP client sends back: they say nothing of who asks, and change."""


def _session(cookies: bytes) -> bytes:
    """Cookies without those of balancers."""
    pieces = (piece.strip() for piece in cookies.split(b";"))
    return b";".join(sorted(piece for piece in pieces if piece and not _BALANCERS.match(piece)))


def _query(query: bytes, asked: _Asked) -> None:
    """Adds what the query says to what the headers do."""
    for piece in query.split(b"&"):
        name, _, value = piece.partition(b"=")
        if b"%" in name or b"+" in name:
            name = unquote_to_bytes(name.replace(b"+", b" "))
        if name in _QUERY_CREDENTIALS:
            asked.credentials.append((b"?" + name, value))
        elif piece and (name, value) not in _FORMS:
            asked.telling.append((b"?" + name, value))


def _name(pair: tuple[bytes, bytes]) -> bytes:
    return pair[0]


# On whose behalf.

_AWKWARD: Final = re.compile(r"[%|,\x00-\x1f\x7f\ud800-\udfff]")


def _scope(identity: Identity, asked: _Asked, vary_by: Collection[str], secret: bytes) -> tuple[str, bytes]:
    """On whose behalf a request is made, for people and for the key."""
    if identity.tenant is not None:
        asked.telling.extend(asked.suspects)
        label, told = f"tenant:{_plain(identity.tenant)}", packed((b"tenant", _bytes(identity.tenant)))
    else:
        mark = _mark([*asked.credentials, *asked.suspects], secret)
        label, told = f"key:{mark}", b"key" + mark.encode()
    for field in sorted(vary_by):
        value = getattr(identity, field)
        label, told = f"{label}|{field}", packed((told, _bytes(field)))
        if value is not None:
            words = sorted(set(value)) if field == "tags" else [value]
            label = f"{label}={','.join(map(_plain, words))}"
            told += packed((b"", *map(_bytes, words)))
    return label, told


def _mark(credentials: Pairs, secret: bytes) -> str:
    """A digest of credentials, 32 hexadecimal digits, by which nobody finds them out without ``secret``."""
    if len(credentials) > 1:
        credentials.sort()
    key = secret if len(secret) <= blake2b.MAX_KEY_SIZE else blake2b(secret).digest()
    return blake2b(packed(itertools.chain.from_iterable(credentials)), digest_size=16, key=key).hexdigest()


def _plain(word: str) -> str:
    """``word`` so that it can stand in a scope."""
    return _AWKWARD.sub(lambda found: "".join(f"%{byte:02X}" for byte in _bytes(found[0])), word)


def _bytes(word: str) -> bytes:
    return word.encode("utf-8", "surrogatepass")
