"""17: bombs of gzip, br and zstd, and codings in codings. 18: gzip of garbage, and what is cut or damaged."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import brotli  # type: ignore[import-untyped,unused-ignore]
import zstandard
from tests.hostile.inputs import Size

GARBAGE: Final = bytes((number * 167 + 13) % 256 for number in range(3_000))
STEP: Final = 1 << 20


class Coded(NamedTuple):
    """A body under a ``content-encoding``."""

    name: str
    coding: str
    body: bytes
    readable: bool = True
    """Whether what is inside is whole and undamaged, so that usage can be read of it."""

    @property
    def accepted(self) -> bool:
        """Whether the SDKs' HTTP library takes every one of these codings."""
        return {part.strip().lower() for part in self.coding.split(",")} <= {"", "identity", "gzip", "deflate", "br"}


def _brotli(data: bytes) -> bytes:
    return bytes(brotli.compress(data, quality=4))


def _deflated(data: bytes) -> bytes:
    return zlib.compress(data)


def _bare_deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


CODERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "deflate": _deflated,
    "br": _brotli,
    "zstd": zstandard.compress,
}


def inputs(plain: bytes, size: Size, blank: bytes = b" ") -> Iterator[Coded]:
    """``plain`` under each coding; what makes a bomb of it are ``blank`` bytes behind, which JSON lets pass."""
    yield from _bombs(plain, 300 if size == "full" else 6, blank)
    yield from _nested(plain)
    yield from _odd(plain)
    yield from _damaged(plain)


def _bombs(plain: bytes, steps: int, blank: bytes) -> Iterator[Coded]:
    fill = blank * (STEP // len(blank))
    name = f"17 a bomb of {steps} MiB in"

    def packed(feed: Callable[[bytes], bytes], finish: Callable[[], bytes]) -> bytes:
        return b"".join([feed(plain), *(feed(fill) for _ in range(steps)), finish()])

    for coding, wbits in (("gzip", 31), ("deflate", 15)):
        packer = zlib.compressobj(9, wbits=wbits)
        yield Coded(f"{name} {coding}", coding, packed(packer.compress, packer.flush), readable=steps < 4)
    brotlied = brotli.Compressor(quality=6)
    yield Coded(f"{name} br", "br", packed(brotlied.process, brotlied.finish), readable=steps < 4)
    zstd = zstandard.ZstdCompressor().compressobj()
    yield Coded(f"{name} zstd", "zstd", packed(zstd.compress, zstd.flush), readable=steps < 4)


def _nested(plain: bytes) -> Iterator[Coded]:
    for codings in (
        ("gzip", "gzip"),
        ("gzip", "br"),
        ("br", "gzip"),
        ("zstd", "gzip"),
        ("deflate", "gzip", "zstd", "br"),
        ("gzip",) * 5,
        ("gzip",) * 100,
    ):
        body = plain
        for coding in codings:
            body = CODERS[coding](body)
        name = f"17 {' in '.join(codings[:5])} ({len(codings)})"
        yield Coded(name, ", ".join(codings), body, readable=len(codings) < 9)
    bomb = CODERS["gzip"](CODERS["gzip"](plain + b" " * 4 * STEP))
    yield Coded("17 a bomb in gzip in gzip", "gzip, gzip", bomb, readable=False)


def _odd(plain: bytes) -> Iterator[Coded]:
    """Codings that are undamaged, said or made in an odd way."""
    half = len(plain) // 2
    two = (plain[:half], plain[half:])
    yield Coded("17 gzip in two members", "gzip", b"".join(map(CODERS["gzip"], two)), readable=False)
    yield Coded("17 zstd in two frames", "zstd", b"".join(map(CODERS["zstd"], two)))
    yield Coded("17 zstd with a frame to skip", "zstd", b"\x50\x2a\x4d\x18\x03\0\0\0abc" + zstandard.compress(plain))
    window = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    ).compressobj()
    wide = window.compress(plain) + window.flush()
    yield Coded("17 zstd with a window of 128 MiB", "zstd", wide, readable=False)
    yield Coded("17 deflate without its head", "deflate", _bare_deflated(plain))
    yield Coded("18 a coding in capitals", "GZIP", CODERS["gzip"](plain))
    yield Coded("18 spaces and commas", " gzip ,, ", CODERS["gzip"](plain), readable=False)
    yield Coded("18 identity", "identity", plain)
    yield Coded("18 a coding nobody knows", "snappy", plain, readable=False)
    yield Coded("18 a coding nobody knows over gzip", "gzip, snappy", CODERS["gzip"](plain), readable=False)
    yield Coded("18 words behind the end", "gzip", CODERS["gzip"](plain) + b"and so on")
    yield Coded("18 x-gzip", "x-gzip", CODERS["gzip"](plain), readable=False)


def _damaged(plain: bytes) -> Iterator[Coded]:
    for coding, pack in CODERS.items():
        packed = pack(plain)
        half = len(packed) // 2
        damaged = packed[:half] + bytes([packed[half] ^ 0xFF]) + packed[half + 1 :]
        for name, body in (
            ("garbage as", GARBAGE),
            ("nothing as", b""),
            ("plain text as", plain),
            ("half of", packed[:half]),
            ("one byte less of", packed[:-1]),
            ("one byte of", packed[:1]),
            ("a damaged byte in", damaged),
            ("no final check in", packed[:-4] + b"\0\0\0\0"),
        ):
            yield Coded(f"18 {name} {coding}", coding, body, readable=False)
