"""A stored answer as bytes.

A frame is ``marker (3) | version (1) | flags (1) | length (4) | crc32 (4) | payload``, little-endian. ``length`` is
that of the plain entry. The checksum is over all the rest of the frame. The payload is an ``Entry`` as a MessagePack
array; ``flags`` says how it was compressed, and whether it was sealed after that.

Stores are shared with other programs, versions and people: what is no frame of ours, whole and of the key that was
asked for, is no entry, and never an error.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from interlay.stores.sealing import Seal

try:
    import zstandard
except ImportError:
    zstandard = None  # type: ignore[assignment,unused-ignore]

MARKER: Final = b"\xffIE"
VERSION: Final = 1
MAX_BYTES: Final = 64 * 1024 * 1024
"""Bytes of a plain entry. Longer ones are neither written nor read."""

_HEAD: Final = struct.Struct("<3sBBII")
_CHECKED: Final = struct.Struct("<3sBBI")
OVERHEAD: Final = _HEAD.size
"""Bytes a frame adds to its payload."""

_PLAIN: Final = 0
_ZLIB: Final = 1
_ZSTD: Final = 2
_SEALED: Final = 0x10

# Inflating 2 KB takes 4 µs by zlib, a fifth of a whole hit in memory, and 10 by zstd, which has to be set up; below
# 8 KiB there is little to save. From about 16 KiB on zstd is two or three times as fast (November 2026).
_WORTH: Final = 8 * 1024
_LARGE: Final = 16 * 1024


class Entry(msgspec.Struct, frozen=True, gc=False, array_like=True, kw_only=True):
    """An answer, and what must be known to give it again."""

    key: str
    """Digest of the question that it answers."""
    status: int
    """Of HTTP."""
    headers: tuple[tuple[str, str], ...]
    """Those that whoever made the entry wants back, in their order."""
    form: str
    """``body``, or for one that came as a stream the stream's media type."""
    body: bytes
    """Its bytes, uncompressed."""
    created: float
    """When the answer was complete; seconds since the epoch, as ``fresh_until``."""
    fresh_until: float
    """When it becomes stale. How much longer it is kept is the store's lifetime."""
    record_id: str
    """Of the call that made it."""
    scope: str = ""
    """Whose it is: nobody else is answered with it."""
    tags: tuple[str, ...] = ()
    """Words to delete it by."""
    shows_usage: bool = True
    """False for a stream that reports no usage, as nobody has asked for it where the API has to be asked."""
    seconds: float = 0.0
    """How long the call took that made it."""
    trace_id: str | None = None
    """That of the call that made it, where it had one, and so ``span_id``."""
    span_id: str | None = None


_decoder: Final = msgspec.msgpack.Decoder(Entry)
_encoder: Final = msgspec.msgpack.Encoder()


def encode(entry: Entry, seal: Seal | None = None) -> bytes | None:
    """The entry's frame, sealed if a seal is given. None for an entry that cannot be kept: it is longer than
    ``MAX_BYTES``, or has text that is no Unicode (lone surrogates) or numbers that MessagePack has not."""
    try:
        plain = _encoder.encode(entry)
    except (UnicodeEncodeError, OverflowError):
        return None
    if len(plain) > MAX_BYTES:
        return None
    flags, payload = _compressed(plain)
    if seal is not None:
        flags |= _SEALED
        payload = seal.close(payload, _context(flags, len(plain), entry.key))
    check = zlib.crc32(payload, zlib.crc32(_CHECKED.pack(MARKER, VERSION, flags, len(plain))))
    return _HEAD.pack(MARKER, VERSION, flags, len(plain), check) + payload


def decode(data: bytes, key: str, seal: Seal | None = None) -> Entry | None:
    """The entry of ``key`` that ``encode`` made ``data`` of. None for all other bytes: cut, changed, of another
    program, version or key. With a seal only entries that it opens are entries, without one only unsealed ones."""
    if len(data) < OVERHEAD:
        return None
    marker, version, flags, length, check = _HEAD.unpack_from(data)
    if marker != MARKER or version != VERSION or length > MAX_BYTES or bool(flags & _SEALED) != (seal is not None):
        return None
    payload = data[OVERHEAD:]
    if zlib.crc32(payload, zlib.crc32(data[: _CHECKED.size])) != check:
        return None
    if seal is not None:
        opened = seal.open(payload, _context(flags, length, key))
        if opened is None:
            return None
        payload = opened
    plain = _inflated(payload, flags & ~_SEALED, length)
    if plain is None:
        return None
    try:
        entry = _decoder.decode(plain)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return entry if entry.key == key else None


def _context(flags: int, length: int, key: str) -> bytes:
    # Whoever can write to the store but has no key may neither change a frame's head nor put it under another key.
    return _CHECKED.pack(MARKER, VERSION, flags, length) + key.encode("utf-8", "surrogatepass")


def _compressed(plain: bytes) -> tuple[int, bytes]:
    if len(plain) < _WORTH:
        return _PLAIN, plain
    if len(plain) >= _LARGE and zstandard is not None:
        coding, packed = _ZSTD, zstandard.ZstdCompressor(level=1).compress(plain)
    else:
        coding, packed = _ZLIB, zlib.compress(plain, 1)
    # Saving an eighth is not worth inflating it on each hit.
    return (coding, packed) if len(packed) <= len(plain) - len(plain) // 8 else (_PLAIN, plain)


def _inflated(payload: bytes, coding: int, length: int) -> bytes | None:
    """What was compressed, if it is exactly ``length`` bytes: a bomb is not inflated further."""
    if coding == _PLAIN:
        return payload if len(payload) == length else None
    if coding == _ZLIB:
        inflate = zlib.decompressobj()
        try:
            plain = inflate.decompress(payload, length + 1)
        except zlib.error:
            return None
        return plain if len(plain) == length and inflate.eof and not inflate.unused_data else None
    if coding == _ZSTD and zstandard is not None:
        return _unzstd(payload, length)
    return None


def _unzstd(payload: bytes, length: int) -> bytes | None:
    try:
        # The frame says how much it inflates to, and that much memory is taken before the first byte is looked at.
        if zstandard.frame_content_size(payload) != length:
            return None
        return zstandard.ZstdDecompressor().decompress(payload, max_output_size=length, allow_extra_data=False)
    except zstandard.ZstdError:
        return None
