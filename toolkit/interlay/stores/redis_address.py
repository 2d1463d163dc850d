"""What a ``redis://`` address says. Passwords in it are in no message and no ``repr``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from interlay.model.arguments import shown
from interlay.model.errors import ConfigError
from interlay.model.secrets import Secret

Kind = Literal["single", "cluster", "sentinel"]

_KINDS: Final[dict[str, Kind]] = {"": "single", "cluster": "cluster", "sentinel": "sentinel"}
_PORTS: Final[dict[Kind, int]] = {"single": 6379, "cluster": 6379, "sentinel": 26379}
_FORMS: Final[dict[Kind, str]] = {
    "single": "redis://[user:password@]host[:port][/number of database]",
    "cluster": "redis+cluster://[user:password@]host[:port][,host…]",
    "sentinel": "redis+sentinel://[user:password@]host[:port][,host…]/service[/number of database]",
}
_TLS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_SENTINEL: Final = ("sentinel_username", "sentinel_password")


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a Redis is, and who we are there."""

    kind: Kind
    hosts: tuple[tuple[str, int], ...]
    tls: bool
    db: int = 0
    service: str = ""
    """What sentinels call the servers."""
    username: str = ""
    password: Secret | None = None
    sentinel_username: str = ""
    sentinel_password: Secret | None = None
    tls_options: dict[str, Any] = {}
    """As redis-py takes them."""

    def __str__(self) -> str:
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        path = "".join(f"/{part}" for part in (self.service, self.db) if part)
        scheme = ("rediss" if self.tls else "redis") + ("" if self.kind == "single" else f"+{self.kind}")
        return f"{scheme}://{hosts}{path}"

    def login(self) -> dict[str, str | None]:
        """Name and password, as redis-py takes them."""
        return _login(self.username, self.password)

    def sentinel_login(self) -> dict[str, str | None]:
        """The same for the sentinels."""
        return _login(self.sentinel_username, self.sentinel_password)


def _login(username: str, password: Secret | None) -> dict[str, str | None]:
    return {"username": username or None, "password": password.reveal() if password is not None else None}


def parse(url: str) -> Address:
    """What an address says.

    ``redis://[user:password@]host[:port][/db]``; ``rediss`` for TLS; ``redis+cluster://host,host…``;
    ``redis+sentinel://host,host…/service[/db]``. Options after ``?``: ``ssl_ca_certs``, ``ssl_certfile``,
    ``ssl_keyfile``, ``ssl_cert_reqs`` (``required``, ``optional``, ``none``), ``ssl_check_hostname`` and, for
    sentinels that want to know who asks, ``sentinel_username`` and ``sentinel_password``. What is no plain letter in a
    password is written as in all addresses: ``%40`` for ``@``.

    Raises ``ConfigError`` that says which part is wrong, and never shows one that may be a password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigError(f"a Redis store's address: expected {_FORMS['single']}") from None
    scheme, _, word = parts.scheme.partition("+")
    kind = _KINDS.get(word)
    if scheme not in ("redis", "rediss") or kind is None:
        raise ConfigError(
            f"a Redis store's address begins with {shown(parts.scheme)}: expected redis, rediss, redis+cluster, "
            "rediss+cluster, redis+sentinel or rediss+sentinel"
        )
    tls = scheme == "rediss"
    login, _, hosts = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    if parts.fragment or "@" in parts.path + parts.query:
        raise ConfigError(
            "a Redis store's address has a # or an @ after its host: in a password they are written as %23 and %40, "
            "a / as %2F, a ? as %3F"
        )
    if kind == "single" and "," in hosts:
        raise ConfigError(f"a Redis store's address has several hosts: expected one host, or {_FORMS['cluster']}")
    found = tuple(_host(kind, host) for host in hosts.split(","))
    service, db = _path(kind, parts.path)
    tls_options, sentinel_login = _query(kind, parts.query, tls=tls)
    return Address(
        kind=kind,
        hosts=found,
        tls=tls,
        db=db,
        service=service,
        username=unquote(username),
        password=Secret(unquote(password)) if password else None,
        sentinel_username=sentinel_login.get("sentinel_username", ""),
        sentinel_password=_secret(sentinel_login.get("sentinel_password")),
        tls_options=tls_options,
    )


def _secret(value: str | None) -> Secret | None:
    return Secret(value) if value else None


def _host(kind: Kind, text: str) -> tuple[str, int]:
    # What is wrong with it is not shown: an unescaped password may have ended up here.
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigError(f"a Redis store's address has a port that is none: expected {_FORMS[kind]}") from None
    if not host or parts.path or parts.query or parts.fragment or "@" in text:
        raise ConfigError(f"a Redis store's address has no host: expected {_FORMS[kind]}")
    return host, _PORTS[kind] if port is None else port


def _path(kind: Kind, path: str) -> tuple[str, int]:
    """Service and number of the database."""
    words = [unquote(word) for word in path.split("/") if word]
    service = words.pop(0) if kind == "sentinel" and words else ""
    db = words.pop(0) if kind != "cluster" and words else "0"
    if words or (kind == "sentinel" and not service) or not (db.isascii() and db.isdecimal() and len(db) < 6):
        raise ConfigError(f"a Redis store's address has the path {shown(path)}: expected {_FORMS[kind]}")
    return service, int(db)


def _query(kind: Kind, query: str, *, tls: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """Options of TLS, and who we are to sentinels."""
    allowed = (_TLS if tls else ()) + (_SENTINEL if kind == "sentinel" else ())
    tls_options: dict[str, Any] = {}
    login: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in allowed:
            expected = f"expected one of {', '.join(allowed)}" if allowed else "expected none"
            raise ConfigError(f"a Redis store's address has the option {shown(name)}: {expected}")
        if name in _SENTINEL:
            login[name] = value
        elif name == "ssl_check_hostname":
            tls_options[name] = _choice(name, value, {"true": True, "false": False})
        elif name == "ssl_cert_reqs":
            tls_options[name] = _choice(name, value, {word: word for word in ("required", "optional", "none")})
        else:
            tls_options[name] = value
    if tls_options.get("ssl_cert_reqs") == "none":
        tls_options["ssl_check_hostname"] = False
    return tls_options, login


def _choice(name: str, value: str, choices: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever redis-py takes
    if value not in choices:
        raise ConfigError(f"a Redis store's address has {name}={shown(value)}: expected {', '.join(choices)}")
    return choices[value]
