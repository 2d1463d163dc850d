"""Undoing compression beside a body that is forwarded: exact at any chunking, and bounded whatever comes."""

from __future__ import annotations

import gzip
import random
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import brotli  # type: ignore[import-untyped,unused-ignore]
import httpx2
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from interlay.chain.codings import BOMB, MAX_CODINGS, MAX_INFLATED, STEP, inflate, is_undone, narrowed
from interlay.model.errors import DecodeError

MIB = 1 << 20


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}


def undone(coding: str, pieces: Iterable[bytes]) -> bytes:
    undo = inflate(coding)
    assert undo is not None
    return b"".join(part for piece in pieces for part in undo.feed(piece))


def cut(data: bytes, where: list[int]) -> list[bytes]:
    """``data`` in pieces; ``where`` is in thousandths of its length."""
    places = sorted(len(data) * part // 1000 for part in where)
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


class TestExact:
    @given(
        st.binary(max_size=3000)
        | st.builds(lambda piece, n: piece * n, st.binary(max_size=20), st.integers(0, 40_000)),
        st.lists(st.sampled_from(sorted(CODERS)), min_size=1, max_size=3),
        st.lists(st.integers(0, 1000), max_size=8),
    )
    def test_at_any_chunking_and_in_any_order(self, plain: bytes, codings: list[str], where: list[int]) -> None:
        body = plain
        for coding in codings:
            body = CODERS[coding](body)
        assert undone(", ".join(codings), cut(body, where)) == plain

    @pytest.mark.parametrize("coding", CODERS)
    def test_byte_by_byte(self, coding: str) -> None:
        plain = b'{"a": "' + b"x" * 300_000 + b'"}'
        assert undone(coding, (bytes([byte]) for byte in CODERS[coding](plain))) == plain

    def test_deflate_comes_with_its_head_and_without(self) -> None:
        assert undone("deflate", [bare_deflate(b"plain" * 99)]) == b"plain" * 99

    def test_zstd_comes_in_several_frames(self) -> None:
        frames = zstandard.compress(b"one ") + b"\x50\x2a\x4d\x18\x02\0\0\0xx" + zstandard.compress(b"two")
        assert undone("zstd", [frames]) == b"one two"
        assert undone("zstd", (bytes([byte]) for byte in frames)) == b"one two"

    def test_what_follows_the_end_of_gzip_is_no_part_of_it(self) -> None:
        assert undone("gzip", [gzip.compress(b"plain") + b"more", b"and more"]) == b"plain"

    @pytest.mark.parametrize("header", ["gzip", "GZIP", " gzip ,, identity ", "x-gzip"])
    def test_a_header_is_read_as_http_has_it(self, header: str) -> None:
        assert undone(header, [gzip.compress(b"plain")]) == b"plain"

    @pytest.mark.parametrize("header", ["snappy", "gzip, snappy", "compress", ", ".join(["gzip"] * (MAX_CODINGS + 1))])
    def test_what_cannot_be_undone_is_not_begun(self, header: str) -> None:
        assert inflate(header) is None


class TestDamage:
    @pytest.mark.parametrize("coding", CODERS)
    @given(data=st.binary(min_size=1, max_size=200))
    def test_garbage_raises_one_error_or_waits_for_more(self, coding: str, data: bytes) -> None:
        with suppress(DecodeError):
            undone(coding, [data])

    @pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
    def test_is_told_as_the_http_library_tells_it(self, coding: str) -> None:
        body = b"this is plain text, whatever the header says"
        with pytest.raises(httpx2.DecodingError) as theirs:
            httpx2.Response(200, headers={"content-encoding": coding}, content=body)
        with pytest.raises(DecodeError) as ours:
            undone(coding, [body])
        assert str(ours.value) == str(theirs.value)

    @pytest.mark.parametrize("coding", CODERS)
    def test_one_wrong_byte_changes_nothing_before_it(self, coding: str, rng: random.Random) -> None:
        plain = rng.randbytes(2000)
        packed = bytearray(CODERS[coding](plain))
        packed[len(packed) // 2] ^= 0xFF
        undo, got = inflate(coding), b""
        assert undo is not None
        with suppress(DecodeError):
            for byte in packed:
                got += b"".join(undo.feed(bytes([byte])))
        assert got[:500] == plain[:500] or plain.startswith(got)


def repeated(packer: Any, feed: str, end: str, times: int = 300) -> bytes:
    """So many MiB of nothing."""
    blank = bytes(MIB)
    return b"".join([*(getattr(packer, feed)(blank) for _ in range(times)), getattr(packer, end)()])


BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: repeated(zlib.compressobj(wbits=31), "compress", "flush"),
    "deflate": lambda: repeated(zlib.compressobj(), "compress", "flush"),
    "br": lambda: repeated(brotli.Compressor(quality=4), "process", "finish"),
    "zstd": lambda: repeated(zstandard.ZstdCompressor().compressobj(), "compress", "flush"),
    # Empty blocks: much that inflates to nothing.
    "deflate, gzip": lambda: gzip.compress(b"\x78\x9c" + b"\x00\x00\x00\xff\xff" * (8 * MIB), 1),
    "gzip, gzip": lambda: gzip.compress(gzip.compress(bytes(60 * MIB), 1), 1),
}


class TestBounds:
    @pytest.mark.parametrize("coding", BOMBS)
    def test_a_bomb_is_given_up_in_small_pieces(self, coding: str) -> None:
        body, undo = BOMBS[coding](), inflate(coding)
        assert undo is not None
        sizes: list[int] = []
        started = time.process_time()
        tracemalloc.start()
        with pytest.raises(DecodeError, match="inflates to more"):
            sizes.extend(map(len, undo.feed(body)))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert sum(sizes) <= BOMB
        assert max(sizes, default=0) <= 16 * STEP
        assert peak < 24 * MIB
        assert time.process_time() - started < 5

    def test_what_is_large_and_no_bomb_is_read_on(self, rng: random.Random) -> None:
        piece = rng.randbytes(STEP // 8) + bytes(STEP - STEP // 8)
        packer, undo, got = zlib.compressobj(1, wbits=31), inflate("gzip"), 0
        assert undo is not None
        for _ in range((MAX_INFLATED - MIB) // STEP):
            got += sum(map(len, undo.feed(packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH))))
        assert got == (MAX_INFLATED - MIB) // STEP * STEP
        more = b"".join(packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for _ in range(9))
        with pytest.raises(DecodeError, match=f"more than {MAX_INFLATED}"):
            list(undo.feed(more))


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_nothing_is_held_back_of_what_inflates_to_much(coding: str) -> None:
    plain = (b": " + b" " * 4_000 + b"\n\n") * 8_000
    packed = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "br": lambda data: brotli.compress(data, quality=4),
        "zstd": zstandard.compress,
    }[coding](plain)
    undo = inflate(coding)
    assert undo is not None
    undo.lift()
    assert b"".join(undo.feed(packed)) == plain


class TestUndone:
    """What HTTP libraries undo by themselves: three codings always, others where the request accepted them."""

    @pytest.mark.parametrize(
        ("coding", "accepted", "undone"),
        [
            ("gzip", None, True),
            ("Deflate , GZIP", "identity", True),
            ("identity", "", True),
            ("br", "gzip, deflate, br", True),
            ("br", "gzip", False),
            ("zstd", "gzip, deflate, br", False),
            ("gzip, zstd", "gzip, zstd;q=0.5", True),
            ("gzip, br", "gzip", False),
            ("x-gzip", "gzip, x-zip", False),
            ("snappy", "snappy", False),
            ("br", None, False),
        ],
    )
    def test_is_as_the_request_has_it(self, coding: str, accepted: str | None, undone: bool) -> None:  # noqa: FBT001
        assert is_undone(coding, accepted) is undone


class TestAccepted:
    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            ("gzip, deflate", None),
            ("gzip, deflate, br, zstd", None),
            ("identity", None),
            ("gzip;q=0.5, snappy", "gzip;q=0.5"),
            ("snappy", "identity"),
            ("", None),
        ],
    )
    def test_is_narrowed_and_never_widened(self, header: str, expected: str | None) -> None:
        assert narrowed(header) == expected
