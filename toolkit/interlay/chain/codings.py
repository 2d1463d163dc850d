"""Looking into compressed bodies: bounded, streaming, and apart from what is forwarded."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from interlay.model.errors import DecodeError

if TYPE_CHECKING:
    from interlay.chain.stream import Source

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
"""Bytes after which we stop looking, those between two codings included. What is forwarded is not touched by this."""
BOMB: Final = 8 * 1024 * 1024
BOMB_RATIO: Final = 100
"""What is more than ``BOMB`` bytes, and more than a hundred times as many as came, is looked at no further either."""
MAX_CODINGS: Final = 8
"""Bodies that were compressed more often are not looked into."""


class Decoder(Protocol):
    """Compressed bytes in, plain bytes out, in bounded pieces."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises ``DecodeError`` on garbage, in the words of the library: HTTP clients pass on the same, and they
        hold nothing of the body."""
        ...


class _Zlib:
    """gzip and deflate. Deflate is tried as zlib first and as a bare stream second, as HTTP clients do."""

    def __init__(self, wbits: int, fallback: int | None = None) -> None:
        self._inflate = zlib.decompressobj(wbits)
        self._fallback = fallback

    def feed(self, data: bytes) -> Iterator[bytes]:
        while not self._inflate.eof:
            try:
                piece = self._inflate.decompress(data, STEP)
            except zlib.error as error:
                if self._fallback is None:
                    raise DecodeError(str(error)) from error
                self._inflate, self._fallback = zlib.decompressobj(self._fallback), None
                continue
            self._fallback = None
            if not piece:
                return
            data = self._inflate.unconsumed_tail
            yield piece


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
                # That more data can be accepted does not mean that all of the last is out.
                piece = self._inflate.process(b"", output_buffer_limit=STEP)
        except brotli.error as error:
            raise DecodeError(str(error)) from error


class _Zstd:
    """One frame after the other, as HTTP clients take them."""

    def __init__(self) -> None:
        # max_window_size bounds what a frame can make us allocate.
        self._new: Callable[[], Any] = lambda: zstandard.ZstdDecompressor(max_window_size=2**23).decompressobj(
            write_size=STEP
        )
        self._inflate = self._new()

    def feed(self, data: bytes) -> Iterator[bytes]:
        # zstandard gives all that one input inflates to: small inputs keep that small.
        for start in range(0, len(data), _ZSTD_INPUT):
            part = data[start : start + _ZSTD_INPUT]
            while part:
                try:
                    if self._inflate.eof:
                        self._inflate = self._new()
                    piece = self._inflate.decompress(part)
                except zstandard.ZstdError as error:
                    raise DecodeError(str(error)) from error
                part = self._inflate.unused_data if self._inflate.eof else b""
                if piece:
                    yield piece


_ZSTD_INPUT: Final = 128
"""Four bytes can stand for a block of 128 KiB."""

_CODINGS: Final[dict[str, Callable[[], Decoder]]] = {
    "gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "x-gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    "deflate": lambda: _Zlib(zlib.MAX_WBITS, -zlib.MAX_WBITS),
    **({"br": _Brotli} if brotli is not None else {}),
    **({"zstd": _Zstd} if zstandard is not None else {}),
}


class Inflate:
    """The codings of one body, undone in turn, up to ``MAX_INFLATED`` bytes in all."""

    def __init__(self, decoders: list[Decoder]) -> None:
        self._decoders = decoders
        self._taken = 0
        self._given = 0
        self._looks = True

    def lift(self) -> None:
        """From now on the plain bytes are what the reader gets: a bound would be an error of ours."""
        self._looks = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Plain bytes in bounded pieces. Raises ``DecodeError`` when damaged, or past the bound unless it is lifted."""
        if not self._decoders:
            yield data
            return
        for start in range(0, len(data), _INPUT):
            part = data[start : start + _INPUT]
            self._taken += len(part)
            pieces = self._bounded(self._decoders[0].feed(part))
            for decoder in self._decoders[1:]:
                pieces = self._bounded(_through(decoder, pieces))
            yield from pieces

    def _bounded(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            # Of each coding: one that inflates to much can hide in one that inflates to nothing.
            self._given += len(piece)
            limit = BOMB if self._given > BOMB_RATIO * self._taken else MAX_INFLATED
            if self._given > limit and self._looks:
                raise DecodeError(f"the compressed body inflates to more than {limit} bytes")
            yield piece


_INPUT: Final = 32 * 1024
"""Bytes that are undone at once, so that what came can be weighed against what it became."""


def _through(decoder: Decoder, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield from decoder.feed(piece)


def inflate(content_encoding: str) -> Inflate | None:
    """A decoder for a ``content-encoding`` header's value; None when it names a coding that we cannot undo, or more
    than ``MAX_CODINGS``."""
    names = [name for name in (part.strip().lower() for part in content_encoding.split(",")) if name]
    if len(names) > MAX_CODINGS:
        return None
    decoders: list[Decoder] = []
    for name in reversed(names):
        if name == "identity":
            continue
        make = _CODINGS.get(name)
        if make is None:
            return None
        decoders.append(make())
    return Inflate(decoders)


class Undone:
    """A source of coded bytes as one of plain bytes, in pieces of bounded size, however much a chunk inflates to: what
    is changed on its way to the reader leaves so. ``note(taken, given)`` is told of bytes that came and that go on."""

    __slots__ = ("_inflate", "_note", "_pieces", "_plain", "_source")

    def __init__(self, source: Source, inflate: Inflate, note: Callable[[int, int], None]) -> None:
        self._source = source
        self._inflate = inflate
        self._note = note
        self._pieces: Iterator[bytes] = iter(())
        self._plain: object = None

    def plain(self) -> object:
        """An iterator of the colour that the source has."""
        if self._plain is None:
            inner: Any = self._source.plain()
            self._plain = _AsyncPlain(self, inner) if hasattr(inner, "__anext__") else self._iterate(inner)
        return self._plain

    async def read(self) -> bytes:
        while not (piece := self.piece()):
            chunk = await self._source.read()
            if not chunk:
                return b""
            self.take(chunk)
        return piece

    async def close(self) -> None:
        await self._source.close()

    def abandon(self) -> None:
        self._source.abandon()

    def take(self, chunk: bytes) -> None:
        """A chunk that came. There is no other piece of the last one."""
        self._note(len(chunk), 0)
        self._pieces = self._inflate.feed(chunk)

    def piece(self) -> bytes:
        """The next piece of what came; empty where there is none. Raises ``DecodeError``."""
        for piece in self._pieces:
            if piece:
                self._note(0, len(piece))
                return piece
        return b""

    def _iterate(self, inner: Iterator[bytes]) -> Iterator[bytes]:
        try:
            for chunk in inner:
                self.take(chunk)
                while piece := self.piece():
                    yield piece
        except GeneratorExit:
            # At exit nobody else ends the library's own.
            if isinstance(inner, Generator):
                inner.close()
            raise


class _AsyncPlain:
    """What ``Undone.plain`` is in asynchronous calls."""

    __slots__ = ("_inner", "_undone")

    def __init__(self, undone: Undone, inner: AsyncIterator[bytes]) -> None:
        self._undone = undone
        self._inner = inner

    def __aiter__(self) -> _AsyncPlain:
        return self

    async def __anext__(self) -> bytes:
        while not (piece := self._undone.piece()):
            self._undone.take(await anext(self._inner))
        return piece


@lru_cache(64)
def narrowed(accept_encoding: str) -> str | None:
    """The value of ``accept-encoding`` less the codings we cannot undo; None when nothing has to change."""
    parts = [part.strip() for part in accept_encoding.split(",") if part.strip()]
    kept = [part for part in parts if part.split(";")[0].strip().lower() in _KNOWN]
    if len(kept) == len(parts):
        return None
    return ", ".join(kept) or "identity"


_KNOWN: Final = {*_CODINGS, "identity"}


@lru_cache(64)
def is_undone(content_encoding: str, accept_encoding: str | None) -> bool:
    """Whether an HTTP library undoes every coding of ``content-encoding`` for a request that accepted
    ``accept_encoding``. Three it undoes whether they were accepted or not; what it knows beyond, it accepts."""
    accepted = {part.split(";")[0].strip().lower() for part in (accept_encoding or "").split(",")}
    codings = {part.strip().lower() for part in content_encoding.split(",")} - {""}
    return codings <= (accepted & _KNOWN) | _ALWAYS


_ALWAYS: Final = {"identity", "gzip", "deflate"}
