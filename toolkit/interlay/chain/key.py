"""The key of an exact cache: which requests ask the same question, on whose behalf.

What is hashed: the dialect, the method, where the request goes, the headers that the dialect calls telling, on whose
behalf it is made, and the whole canonical body, less the few members that the dialect says cannot change the answer.
No member of a body is left out because nobody knows it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol

import msgspec

from interlay.chain.asked import Asked, Headers, Pairs, headers_of, read_query
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
    control: bytes | None = None
    """What its header ``cache-control`` says."""


class Unfit(msgspec.Struct, frozen=True, gc=False):
    """A request that no cache may answer."""

    reason: str
    """``no_dialect``, ``method``, ``opaque``, ``unreadable``, or what the dialect says: ``server_state``,
    ``server_tools``, ``files``."""


class Keyed(NamedTuple):
    """What one route's requests have alike."""

    begun: Hasher
    """The hash, which knows where they go."""
    path: str
    headers: Headers


class Hasher(Protocol):
    """A hash under way, as ``hashlib`` makes them."""

    def copy(self) -> Hasher: ...
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


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
    if not body.keys().isdisjoint(dialect.ignored):
        for name in dialect.ignored:
            body.pop(name, None)
    asked = keyed.headers.read(request.fields())
    if query := request.query():
        read_query(query, dialect.plain_query, asked)
    if userinfo := request.userinfo():
        asked.credentials.append((b"@", userinfo))
    scope, on_behalf = _scope(call.identity, asked, vary_by, secret)
    key = digest(keyed.begun, asked.telling, on_behalf, json.encode_canonical(body))
    return Question(key, scope, asked.control)


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
    hashed.update(b"%d:%b%b\n" % (len(scope), scope, _packed_pairs(telling)))
    hashed.update(body)
    return hashed.hexdigest()


def packed(parts: Iterable[bytes]) -> bytes:
    """``parts`` in one, each after its length, so that other parts never give the same bytes."""
    return b"".join([b"%d:%b" % (len(part), part) for part in parts])


def _packed_pairs(pairs: Pairs) -> bytes:
    return b"".join([b"%d:%b%d:%b" % (len(name), name, len(value), value) for name, value in pairs])


def _name(pair: tuple[bytes, bytes]) -> bytes:
    return pair[0]


def _keyed(dialect: Dialect, request: WireRequest) -> Keyed:
    origin, path = request.location()
    begun = begin(dialect=dialect.name, method=request.method, origin=origin, place=dialect.place(path))
    return Keyed(begun, path, headers_of(dialect.telling_headers))


_OPAQUE: Final = object()


def _body(call: Call) -> object:
    """What the body says, each number in one form; ``_OPAQUE`` where the chain may not judge it, None where nothing
    can be read."""
    body = call.request.body
    if body is None or call.body_kind == "opaque":
        return _OPAQUE
    try:
        value = json.decode_canonical(body)
        if json.has_one_reading(body, value):
            call.vouch()
            return value
        judged = call.read()  # twins are dropped, and all numbers in it are written anew
        return _OPAQUE if judged is None else json.decode_canonical(judged)
    except DecodeError:
        return _OPAQUE if call.read() is None else None


_AWKWARD: Final = re.compile(r"[%|,\x00-\x1f\x7f\ud800-\udfff]")


def _scope(identity: Identity, asked: Asked, vary_by: Collection[str], secret: bytes) -> tuple[str, bytes]:
    """On whose behalf a request is made, for people and for the key. What looks like a credential tells something
    where the tenant is known."""
    if identity.tenant is not None:
        asked.telling.extend(asked.suspects)
        scope, told = f"tenant:{_word(identity.tenant)}", packed((b"tenant", _bytes(identity.tenant)))
    else:
        mark = _mark((*asked.credentials, *asked.suspects), secret)
        scope, told = f"key:{mark}", b"key" + mark.encode()
    for field in sorted(vary_by) if vary_by else ():
        value = getattr(identity, field)
        words = sorted(set(value)) if field == "tags" else [value] if value is not None else []
        scope, told = f"{scope}|{field}", packed((told, _bytes(field), *map(_bytes, words)))
        if words:
            scope = f"{scope}={','.join(map(_word, words))}"
    return scope, told


@lru_cache(256)
def _mark(credentials: tuple[tuple[bytes, bytes], ...], secret: bytes) -> str:
    """A digest of credentials, 32 hexadecimal digits."""
    key = secret if len(secret) <= blake2b.MAX_KEY_SIZE else blake2b(secret).digest()
    return blake2b(_packed_pairs(sorted(credentials)), digest_size=16, key=key).hexdigest()


def _word(word: str) -> str:
    """``word`` so that it can stand in a scope."""
    return _AWKWARD.sub(lambda found: "".join(f"%{byte:02X}" for byte in _bytes(found[0])), word)


def _bytes(word: str) -> bytes:
    return word.encode("utf-8", "surrogatepass")
