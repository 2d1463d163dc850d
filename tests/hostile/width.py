"""9: ten megabytes of ``{}``. 10: one string of ten megabytes."""

from __future__ import annotations

from collections.abc import Iterator

from tests.hostile.inputs import Hostile, Ordinary, Size, instead_of_text, with_last_member, with_member, with_text


def inputs(ordinary: Ordinary, size: Size) -> Iterator[Hostile]:
    count = 10_000_000 if size == "full" else 60_000
    for what, item in (("objects", b"{}"), ("lists", b"[]"), ("numbers", b"1"), ("strings", b'""')):
        wide = b"[" + b",".join([item] * (count // (len(item) + 1))) + b"]"
        yield Hostile(f"9 {count} bytes of {what}, first", with_member(b'"x":' + wide))
        yield Hostile(f"9 {count} bytes of {what}, last", with_last_member(b'"x":' + wide))
        yield Hostile(f"9 {count} bytes of {what} for the text", instead_of_text(wide))
    wide = b",".join(b'"%x":0' % number for number in range(count // 10))
    yield Hostile(f"9 {count} bytes of members", with_last_member(wide))
    for what, text in (
        ("letters", b"a" * count),
        ("escapes", rb"\u0061" * (count // 6)),
        ("newlines", rb"\n" * (count // 2)),
        ("quotes", rb"\"" * (count // 2)),
        ("braces", b"{[" * (count // 2)),
        ("Chinese", "你".encode() * (count // 3)),
    ):
        yield Hostile(f"10 a string of {count} bytes of {what}", with_text(text))
        yield Hostile(f"10 a member of {count} bytes of {what}", with_member(b'"x":"' + text + b'"'))
