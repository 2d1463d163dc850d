"""15: other types than expected, everywhere. 16: empty, truncated, followed by more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from tests.hostile.inputs import Hostile, Ordinary, Size, compact, instead, variants

_WRONG: list[Any] = [[], {}, -1.5, "x", None, [[7]], {"text": 1}]


def _eighths(part: int) -> Callable[[bytes], bytes]:
    return lambda body: body[: len(body) * part // 8]


def inputs(ordinary: Ordinary, size: Size) -> Iterator[Hostile]:
    for place, body in (
        ("request", ordinary.request()),
        ("answer", ordinary.answer()),
        ("event", ordinary.event()),
        ("error", ordinary.error()),
    ):
        for number, wrong in enumerate(variants(msgspec.json.decode(body), _WRONG)):
            yield Hostile(f"15 wrong type {number} in the {place}", instead(compact(wrong)), frozenset({place}))
    for value in (b"null", b"true", b"7", b"[]", b"{}", b'""', b'"text"', b"[{}]", b"[null]"):
        yield Hostile(f"15 {value.decode()} instead", instead(value))
    yield Hostile("16 empty", instead(b""))
    yield Hostile("16 white space", instead(b" \t\r\n "))
    for part in (1, 2, 3, 5, 7):
        yield Hostile(f"16 {part} eighths of it", _eighths(part))
    yield Hostile("16 all but the last byte", lambda body: body[:-1])
    yield Hostile("16 one brace more", lambda body: body + b"}")
    yield Hostile("16 twice", lambda body: body + body)
    yield Hostile("16 words behind", lambda body: body + b" and so on")
    yield Hostile("16 no JSON", instead(b"<html><body>502 Bad Gateway</body></html>"))
    yield Hostile("16 single quotes", lambda body: body.replace(b'"', b"'"))
