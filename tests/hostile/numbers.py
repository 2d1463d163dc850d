"""11: numbers that JSON readers read differently, or not at all. 12: what ``max_tokens`` and ``n`` are not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tests.hostile.inputs import Hostile, Ordinary, Size, with_last_member, with_member

_NUMBERS = (
    *(b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"1e-400", b"-0", b"-0.0"),
    *(b"9223372036854775808", b"18446744073709551616", b"-9223372036854775809"),
    *(b"7" * 4_299, b"7" * 5_000, b"0." + b"7" * 5_000),
    *(b"1e1000000", b"1e-1000000", b"1E+99999999999999999999", b"01", b"+1", b".5", b"1.", b"0x10", b"1_000"),
)
_LIMITS = (
    *(b"-1", b"0", b"1.5", b"1e3", b"true", b"false", b'"9"', b"null", b"[]", b"{}"),
    *(b"1000000000", b"9007199254740993", b"1e1000000", b"NaN"),
)
_COUNT = re.compile(rb'("(?:max_tokens|prompt_tokens|completion_tokens|input_tokens|output_tokens|created|index)":)\d+')


def _for_every_count(number: bytes) -> Callable[[bytes], bytes]:
    return lambda body: _COUNT.sub(lambda match: match[1] + number, body)


def inputs(ordinary: Ordinary, size: Size) -> Iterator[Hostile]:
    for number in _NUMBERS:
        name = number.decode() if len(number) < 30 else f"{len(number)} digits"
        yield Hostile(f"11 {name}, first", with_member(b'"x":' + number))
        yield Hostile(f"11 {name}, last", with_last_member(b'"temperature":' + number))
        yield Hostile(f"11 {name} for every count", _for_every_count(number))
    for limit in _LIMITS:
        for key in (b"max_tokens", b"max_completion_tokens", b"n", b"top_p", b"seed"):
            make = with_last_member(b'"' + key + b'":' + limit)
            yield Hostile(f"12 {key.decode()} of {limit.decode()}", make, frozenset({"request"}))
