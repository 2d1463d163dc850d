"""How a body goes over the wire: what it leaves unsaid, how it is compressed, how it is cut into pieces."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

try:
    import brotli  # type: ignore[import-untyped,unused-ignore]
except ImportError:
    brotli = None
try:
    import zstandard
except ImportError:
    zstandard = None  # type: ignore[assignment,unused-ignore]

Split = Callable[[bytes], Iterable[bytes]]
"""Cuts bytes into the pieces that arrive one by one."""


def every(size: int) -> Split:
    """Pieces of ``size`` bytes: ``every(1)`` is one byte at a time."""

    def split(data: bytes) -> Iterator[bytes]:
        return (data[start : start + size] for start in range(0, len(data), size))

    return split


def sized(*sizes: int) -> Split:
    """Pieces of these sizes, the rest in one."""

    def split(data: bytes) -> Iterator[bytes]:
        at = 0
        for size in sizes:
            if size and at < len(data):
                yield data[at : at + size]
                at += size
        if at < len(data):
            yield data[at:]

    return split


def at_random(seed: object, *, mean: int = 40) -> Split:
    """Pieces of random sizes. The same seed cuts the same body at the same places."""

    def split(data: bytes) -> Iterator[bytes]:
        chance = random.Random(f"{seed} {len(data)}")
        at = 0
        while at < len(data):
            size = 1 + int(chance.expovariate(1 / mean))
            yield data[at : at + size]
            at += size

    return split


class Coder:
    """Compresses a body piece by piece. Each piece can be read as soon as it has come, as providers do it for
    event streams."""

    def __init__(self, coding: str) -> None:
        self._feed, self._end = _CODERS[coding]()

    def feed(self, piece: bytes) -> bytes:
        return self._feed(piece)

    def finish(self) -> bytes:
        return self._end()


def codings() -> tuple[str, ...]:
    """The codings that can be made here: gzip and deflate always, br and zstd where their packages are installed."""
    return ("gzip", "deflate", *(["br"] if brotli is not None else []), *(["zstd"] if zstandard is not None else []))


def accepts(header: str, coding: str) -> bool:
    """Whether an ``accept-encoding`` header takes a coding."""
    for offer in header.split(","):
        name, _, parameters = offer.partition(";")
        if name.strip().lower() in (coding, "*"):
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


_Pair = tuple[Callable[[bytes], bytes], Callable[[], bytes]]


def _zlib(wbits: int) -> Callable[[], _Pair]:
    def make() -> _Pair:
        coder = zlib.compressobj(wbits=wbits)
        return lambda piece: coder.compress(piece) + coder.flush(zlib.Z_SYNC_FLUSH), coder.flush

    return make


def _br() -> _Pair:
    coder: Any = brotli.Compressor()
    return lambda piece: coder.process(piece) + coder.flush(), coder.finish


def _zstd() -> _Pair:
    coder = zstandard.ZstdCompressor().compressobj()
    block = zstandard.COMPRESSOBJ_FLUSH_BLOCK
    return lambda piece: coder.compress(piece) + coder.flush(block), coder.flush


_CODERS: Final[dict[str, Callable[[], _Pair]]] = {
    "gzip": _zlib(31),
    "deflate": _zlib(15),
    "br": _br,
    "zstd": _zstd,
}

_NULL_USAGE: Final = re.compile(rb',\s*"usage"\s*:\s*null|"usage"\s*:\s*null\s*,\s*')
_NO_CHOICES: Final = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_USAGE: Final = re.compile(rb'"usage"\s*:\s*\{')


def unasked(events: Iterable[bytes]) -> list[bytes]:
    """OpenAI's chat stream as it comes when nobody asked for usage: the chunk that only brings it is not there, and
    the others say nothing of it. Made by byte, apart from the codec that this tests."""
    kept = [event for event in events if not (_NO_CHOICES.search(event) and _USAGE.search(event))]
    return [_NULL_USAGE.sub(b"", event) for event in kept]
