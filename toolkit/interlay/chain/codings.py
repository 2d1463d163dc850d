"""Looking into compressed bodies: bounded, streaming, and apart from what is forwarded."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, Protocol

from interlay.model.errors import DecodeError

try:
    import brotli  # type: ignore[import-untyped,unused-ignore]
except ImportError:
    brotli = None
try:
    import zstandard
except ImportError:
    zstandard = None  # type: ignore[assignment,unused-ignore]

STEP: Final = 256 * 1024
"""Bytes a decoder gives out at once, so that a small bomb never becomes one large string."""
MAX_INFLATED: Final = 32 * 1024 * 1024
"""Where we stop looking. What is forwarded is not touched by this."""


class Decoder(Protocol):
    """Compressed bytes in, plain bytes out, in bounded pieces."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises ``DecodeError`` on garbage."""
        ...


class _Zlib:
    """gzip and deflate. Deflate is tried as zlib first and as a bare stream second, as HTTP clients do."""

    def __init__(self, wbits: int, fallback: int | None = None) -> None:
        self._inflate = zlib.decompressobj(wbits)
        self._fallback = fallback

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            try:
                piece = self._inflate.decompress(data, STEP)
            except zlib.error as error:
                if self._fallback is None:
                    raise DecodeError("the compressed body is damaged") from error
                self._inflate, self._fallback = zlib.decompressobj(self._fallback), None
                continue
            self._fallback = None
            data = self._inflate.unconsumed_tail
            if piece:
                yield piece
            if self._inflate.eof:
                return


class _Brotli:
    def __init__(self) -> None:
        self._inflate: Any = brotli.Decompressor()
        self._bounded = hasattr(self._inflate, "can_accept_more_data")

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            if not self._bounded:
                yield self._inflate.process(data)
                return
            piece = self._inflate.process(data, output_buffer_limit=STEP)
            while piece:
                yield piece
                if self._inflate.can_accept_more_data():
                    return
                piece = self._inflate.process(b"", output_buffer_limit=STEP)
        except brotli.error as error:
            raise DecodeError("the compressed body is damaged") from error


class _Zstd:
    def __init__(self) -> None:
        # max_window_size bounds what a frame can make us allocate.
        self._new: Callable[[], Any] = lambda: zstandard.ZstdDecompressor(max_window_size=2**23).decompressobj(
            write_size=STEP
        )
        self._inflate = self._new()

    def feed(self, data: bytes) -> Iterator[bytes]:
        # zstandard gives all that one input inflates to: small inputs keep that small.
        for start in range(0, len(data), 512):
            try:
                piece = self._inflate.decompress(data[start : start + 512])
            except zstandard.ZstdError as error:
                raise DecodeError("the compressed body is damaged") from error
            if piece:
                yield piece


_CODINGS: Final[dict[str, Callable[[], Decoder]]] = {
    "gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "x-gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "deflate": lambda: _Zlib(zlib.MAX_WBITS, -zlib.MAX_WBITS),
    **({"br": _Brotli} if brotli is not None else {}),
    **({"zstd": _Zstd} if zstandard is not None else {}),
}


class Inflate:
    """The codings of one body, undone in turn, up to ``MAX_INFLATED`` bytes."""

    def __init__(self, decoders: list[Decoder]) -> None:
        self._decoders = decoders
        self._left = MAX_INFLATED

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Plain bytes in bounded pieces. Raises ``DecodeError`` when damaged or past the bound."""
        for piece in self._through(data, 0):
            self._left -= len(piece)
            if self._left < 0:
                raise DecodeError(f"the compressed body inflates to more than {MAX_INFLATED} bytes")
            yield piece

    def _through(self, data: bytes, index: int) -> Iterator[bytes]:
        if index == len(self._decoders):
            yield data
            return
        for piece in self._decoders[index].feed(data):
            yield from self._through(piece, index + 1)


def inflate(content_encoding: str) -> Inflate | None:
    """A decoder for a ``content-encoding`` header's value; None when it names a coding we cannot undo."""
    names = [name for name in (part.strip().lower() for part in content_encoding.split(",")) if name]
    decoders: list[Decoder] = []
    for name in reversed(names):
        if name == "identity":
            continue
        make = _CODINGS.get(name)
        if make is None:
            return None
        decoders.append(make())
    return Inflate(decoders)


@lru_cache(64)
def narrowed(accept_encoding: str) -> str | None:
    """The value of ``accept-encoding`` less the codings we cannot undo; None when nothing has to change."""
    parts = [part.strip() for part in accept_encoding.split(",") if part.strip()]
    kept = [part for part in parts if part.split(";")[0].strip().lower() in _KNOWN]
    if len(kept) == len(parts):
        return None
    return ", ".join(kept) or "identity"


_KNOWN: Final = {*_CODINGS, "identity"}
