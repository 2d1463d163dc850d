"""Addresses of Redis: what they say, what is wrong with them, and what is never shown of them."""

from __future__ import annotations

import pytest

from interlay.model.errors import ConfigError
from interlay.stores.redis_address import parse


@pytest.mark.parametrize(
    ("url", "hosts", "db", "shown"),
    [
        ("redis://localhost", [("localhost", 6379)], 0, "redis://localhost:6379"),
        ("redis://localhost:7000/3", [("localhost", 7000)], 3, "redis://localhost:7000/3"),
        ("redis://[::1]:7000/", [("::1", 7000)], 0, "redis://[::1]:7000"),
        ("rediss://example.com", [("example.com", 6379)], 0, "rediss://example.com:6379"),
        ("redis+cluster://a,b:7001", [("a", 6379), ("b", 7001)], 0, "redis+cluster://a:6379,b:7001"),
        ("redis+sentinel://a,b:7001/m", [("a", 26379), ("b", 7001)], 0, "redis+sentinel://a:26379,b:7001/m"),
        ("rediss+sentinel://a/m/2", [("a", 26379)], 2, "rediss+sentinel://a:26379/m/2"),
    ],
)
def test_say_where_it_is(url: str, hosts: list[tuple[str, int]], db: int, shown: str) -> None:
    address = parse(url)
    assert list(address.hosts) == hosts
    assert address.db == db
    assert str(address) == shown


def test_say_who_we_are() -> None:
    address = parse("redis+sentinel://ann:p%40%2Fss%3Aword@a/m?sentinel_username=eve&sentinel_password=guard%40word")
    assert address.login() == {"username": "ann", "password": "p@/ss:word"}
    assert address.sentinel_login() == {"username": "eve", "password": "guard@word"}
    assert parse("redis://:word@a").login() == {"username": None, "password": "word"}
    for text in (str(address), repr(address), f"{address!s:>99}"):
        assert "word" not in text.replace("password=", "").replace("sentinel_password=", "")


def test_say_how_tls_is_to_be() -> None:
    url = "rediss://a?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=false&ssl_cert_reqs=required"
    assert parse(url).tls_options == {
        "ssl_ca_certs": "/etc/ca.pem",
        "ssl_check_hostname": False,
        "ssl_cert_reqs": "required",
    }
    assert parse("rediss://a?ssl_cert_reqs=none").tls_options["ssl_check_hostname"] is False


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:6379", "begins with"),
        ("http://localhost", "begins with 'http': expected redis"),
        ("redis+x://localhost", r"begins with 'redis\+x'"),
        ("redis://", "has no host"),
        ("redis://:hunter22@", "has no host"),
        ("redis://a:b", "a port that is none"),
        ("redis://a:99999", "a port that is none"),
        ("redis://ann:hunt#er22@a", "in a password they are written as %23"),
        ("redis://ann:hunt/er22@a", "in a password they are written as"),
        ("redis://ann:hunt?er22@a", "in a password they are written as"),
        ("redis+sentinel://ann:12/er22@a/m", "in a password they are written as"),
        ("redis://a/x", "has the path '/x': expected redis://"),
        ("redis://a/1/2", "has the path"),
        ("redis+cluster://a/1", "has the path"),
        ("redis+sentinel://a", "has the path '': expected redis.*service"),
        ("redis://a?socket_timeout=60", "has the option 'socket_timeout': expected none"),
        ("rediss://a?x=1", "has the option 'x': expected one of ssl_ca_certs"),
        ("rediss://a?ssl_cert_reqs=maybe", "has ssl_cert_reqs='maybe': expected required, optional, none"),
        ("redis://a,b", "expected one host"),
    ],
)
def test_that_are_none_are_told(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse(url)
    assert "er22" not in str(caught.value)
