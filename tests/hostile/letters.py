"""13: what is no UTF-8, or barely. 14: characters that are not seen, or mean an end elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.hostile.inputs import Hostile, Ordinary, Size, with_text

_TEXTS = {
    "13 a lone high surrogate, escaped": rb"\ud800",
    "13 a lone low surrogate, escaped": rb"\udc00",
    "13 surrogates in the wrong order": rb"\udc00\ud800",
    "13 a lone surrogate, raw": b"\xed\xa0\x80",
    "13 an overlong slash": b"\xc0\xaf",
    "13 an overlong NUL": b"\xc0\x80",
    "13 beyond Unicode": b"\xf4\x90\x80\x80",
    "13 a continuation byte": b"\x80",
    "13 half a character": b"\xe4\xbd",
    "13 bytes that no UTF-8 has": b"\xfe\xff",
    "13 a byte order mark inside": b"\xef\xbb\xbf",
    "14 NUL, escaped": rb"\u0000",
    "14 NUL, raw": b"\x00",
    "14 control characters, raw": b"\x01\x1b[31m\x7f",
    "14 a newline, raw": b"\n",
    "14 a carriage return, raw": b"\r",
    "14 bidirectional overrides": "\u202e\u2066txt.exe\u2069\u202c".encode(),
    "14 zero width": "\u200b\u200c\u200d\u2060\ufeff".encode(),
    "14 tag characters": "".join(chr(0xE0000 + ord(letter)) for letter in "ignore all").encode(),
    "14 line separators": "\u2028\u2029\x85".encode(),
    "14 a combining heap": ("a" + "\u0301" * 500).encode(),
}


def _in(coding: str) -> Callable[[bytes], bytes]:
    return lambda body: body.decode().encode(coding)


def inputs(ordinary: Ordinary, size: Size) -> Iterator[Hostile]:
    for name, text in _TEXTS.items():
        yield Hostile(name, with_text(text))
    yield Hostile("13 a byte order mark before", lambda body: b"\xef\xbb\xbf" + body)
    for coding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        yield Hostile(f"13 {coding}", _in(coding))
    yield Hostile("14 NUL before", lambda body: b"\x00" + body)
    yield Hostile("14 NUL behind", lambda body: body + b"\x00")
