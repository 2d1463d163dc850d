"""24: CR, LF and NUL in whatever becomes a header, both ways."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

VALUES: Final = (
    "a\r\nset-cookie: stolen=1",
    "a\nb",
    "a\rb",
    "a\x00b",
    "a\x1b[31mb",
    "\r\n\r\n{}",
    "",
    " ",
    "\t",
    "é",
    "你",
    "x" * 60_000,
)

_NAMES: Final = (
    "content-type",
    "content-encoding",
    "content-length",
    "x-request-id",
    "request-id",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "x-other",
    "x-ratelimit-remaining-tokens",
)
_ODD: Final = {
    "retry-after": ("-1", "1e999", "NaN", "inf", "9" * 400, "Mon, 99 Foo 2026", "٣"),
    "retry-after-ms": ("-1", "1e999", "NaN"),
    "content-type": ("application/json; charset=utf-16", "text/event-stream", "multipart/mixed", "application/JSON"),
    "content-length": ("0", "1", "99999999"),
}


def inputs() -> Iterator[tuple[str, str]]:
    """Name and value of one header each."""
    for name in _NAMES:
        for value in (*VALUES, *_ODD.get(name, ())):
            yield name, value
