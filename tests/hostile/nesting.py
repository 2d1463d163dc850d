"""8: nested 900, 1,000 and 100,000 deep."""

from __future__ import annotations

from collections.abc import Iterator

from tests.hostile.inputs import Hostile, Ordinary, Size, instead, instead_of_text, with_last_member, with_member


def inputs(ordinary: Ordinary, size: Size) -> Iterator[Hostile]:
    for depth in (129, 900, 1_000, 100_000):
        lists = b"[" * depth + b"]" * depth
        objects = b'{"a":' * depth + b"0" + b"}" * depth
        for kind, value in (("lists", lists), ("objects", objects)):
            yield Hostile(f"8 {depth} {kind}, first", with_member(b'"x":' + value))
            yield Hostile(f"8 {depth} {kind}, last", with_last_member(b'"x":' + value))
        yield Hostile(f"8 {depth} lists for the text", instead_of_text(lists))
        yield Hostile(f"8 {depth} lists that never close", instead(b"[" * depth))
        yield Hostile(f"8 {depth} objects that never close", instead(b'{"a":' * depth))
