"""JSON from outside, read safely, and patched by byte.

Every decode of foreign bytes goes through this module: ``decode`` and ``decode_exact`` for whole values, ``Reader``
for a few members of a large one. All raise ``DecodeError`` and nothing else, whatever the bytes are. msgspec does
the work; what it leaves open is closed here: nesting is bounded (it raises ``RecursionError``, at a depth that
depends on the caller's stack), and so is how much a body can swell in memory.
"""

from __future__ import annotations

import math
from array import array
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final, Generic, TypeVar, overload

import msgspec

from interlay.model.errors import DecodeError

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_DEPTH: Final = 128
MAX_MARKS: Final = 500_000
"""How many ``,``, ``{`` and ``[`` a large body may have outside its strings: an empty object is 2 bytes on the wire
and 64 in memory."""
SMALL: Final = 256 * 1024
"""Bytes up to which marks are not counted."""

encode = msgspec.json.encode
"""The one JSON encoder: compact, keys in order, strict UTF-8."""

_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_STEPS: Final = bytes.maketrans(b"[]", b"\x01\xff")
_PEELED: Final = 12
"""Levels that are taken away from within, by which most bodies are gone, before the rest is counted through."""
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_HEAD: Final = 4 * 1024
"""Bytes at the start that are looked at on their own: what is nested too deep most often begins so."""
_RUN: Final = 16 * 1024
"""Brackets that are counted at a time."""


@overload
def decode(data: bytes, *, limit: int = ..., depth: int = ...) -> Any: ...
@overload
def decode(data: bytes, *, type: type[T], limit: int = ..., depth: int = ...) -> T: ...
def decode(data: bytes, *, type: Any = Any, limit: int = MAX_BYTES, depth: int = MAX_DEPTH) -> Any:
    """The value of JSON ``data``, in strict UTF-8, of at most ``limit`` bytes and nested at most ``depth`` deep.

    Raises ``DecodeError``, whose message never holds any of the data.
    """
    _guard(data, limit, depth)
    return _run(_ANY if type is Any else msgspec.json.Decoder(type), data)


def decode_exact(data: bytes, *, limit: int = MAX_BYTES, depth: int = MAX_DEPTH) -> Any:
    """As ``decode``, with numbers as they were written: integers as ``int``, all others as ``Decimal``."""
    _guard(data, limit, depth)
    return _run(_EXACT, data)


def decode_canonical(data: bytes, *, limit: int = MAX_BYTES, depth: int = MAX_DEPTH) -> Any:
    """As ``decode``, with each number in one form for all its spellings: an ``int`` where it is whole, else a
    normalised ``Decimal``, without a digit lost."""
    _guard(data, limit, depth)
    return _run(_CANONICAL, data)


class Reader(Generic[S]):
    """Reads the members that ``shape``, a struct, declares, and skips all others unread.

    Strings that are skipped are not checked for UTF-8. What is skipped costs no memory, so ``marks`` may be None
    for shapes without lists; ``limit`` is in bytes.
    """

    __slots__ = ("_decoder", "_limit", "_marks", "_shape")

    def __init__(self, shape: type[S], *, limit: int = MAX_BYTES, marks: int | None = MAX_MARKS) -> None:
        self._shape = shape
        self._decoder = msgspec.json.Decoder(shape)
        self._limit = limit
        self._marks = marks

    def read(self, data: bytes) -> S:
        """Raises ``DecodeError``, also when a member is of another type than declared."""
        if len(data) > SMALL:
            _guard_size(data, self._limit, self._marks)
        return _run(self._decoder, data)

    def lenient(self, data: bytes) -> S:
        """As ``read``, but what is of another type than declared is left at its default, member by member.

        Raises ``DecodeError`` when ``data`` is no JSON object. Twenty times slower than ``read`` where a type
        is wrong, equally fast where none is.
        """
        if len(data) > SMALL:
            _guard_size(data, self._limit, self._marks)
        try:
            return self._decoder.decode(data)
        except msgspec.ValidationError:
            found = _lenient(self._shape, data)
            if found is None:
                raise DecodeError("the JSON is no object") from None
            return found
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _refusal(error) from None


def has_one_reading(data: bytes, value: Any) -> bool:
    """Whether no object in ``data`` has a key twice, ``value`` being what it decodes to."""
    written = _plain(value)
    # Every member has one colon outside the strings, and a twin is gone from the value.
    return written == data or _outside(written).count(b":") == _outside(data).count(b":")


def has_duplicate_keys(data: bytes) -> bool:
    """Whether any object in ``data`` has a key twice, escaped twins included. Raises ``DecodeError``."""
    return not has_one_reading(data, decode(data))


_ANY: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder()
_EXACT: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(float_hook=Decimal)
_SHORT: Final = 32
_DIGITS: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


def _number(text: str) -> int | Decimal:
    return _short_number(text) if len(text) <= _SHORT else _any_number(text)


def _any_number(text: str) -> int | Decimal:
    if math.isinf(float(text)):
        raise OverflowError  # as ``decode`` does
    value = Decimal(text).normalize(_DIGITS)
    return int(value) if value == value.to_integral_value() else value


_short_number: Final = lru_cache(1024)(_any_number)
_CANONICAL: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder(float_hook=_number)
_plain: Final = msgspec.json.Encoder(decimal_format="number").encode
encode_canonical: Final = msgspec.json.Encoder(order="sorted", decimal_format="number").encode
"""The encoder whose bytes are equal for equal values: compact, keys sorted. For what ``decode_canonical`` gave."""


def _run(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError) as error:
        raise _refusal(error) from None


def _refusal(error: Exception) -> DecodeError:
    """What may be told of ``error``: msgspec's messages on types can hold a value, those on syntax a position."""
    if isinstance(error, RecursionError):
        return DecodeError("JSON is nested too deep")
    if isinstance(error, UnicodeDecodeError):
        return DecodeError(f"invalid UTF-8 (byte {error.start} of a string)")
    if isinstance(error, msgspec.DecodeError) and not isinstance(error, msgspec.ValidationError):
        return DecodeError(str(error))
    return DecodeError("JSON of another shape, or a number out of range")


def _guard(data: bytes, limit: int, depth: int) -> None:
    """Refuses what is too large, too wide or too deep; cheap where the size alone says that it is neither."""
    size = len(data)
    if size > SMALL or size > limit:
        _guard_size(data, limit, MAX_MARKS)
    if size > 2 * depth and data.count(b"{") + data.count(b"[") > depth and deeper_than(data, depth):
        raise DecodeError(f"JSON is nested more than {depth} deep")


def _guard_size(data: bytes, limit: int, marks: int | None) -> None:
    if len(data) > limit:
        raise DecodeError(f"more than {limit} bytes of JSON")
    if marks is not None and _marks(data) > marks:
        # A long text may have many commas: then what counts is outside the strings, if they are not too many.
        quotes = data.count(b'"') - data.count(b'\\"')
        if quotes > marks or _marks(_outside(data)) > marks:
            raise DecodeError(f"more than {marks} values in JSON")


def _marks(data: bytes) -> int:
    return data.count(b",") + data.count(b"{") + data.count(b"[")


def deeper_than(data: bytes, depth: int) -> bool:
    """Whether valid JSON ``data`` is nested more than ``depth`` deep. Of other bytes anything may be said."""
    if len(data) > 2 * _HEAD and _climbs(_brackets(data[:_HEAD]), depth):
        return True
    marks = _brackets(data)
    for _ in range(min(depth, _PEELED)):
        marks = marks.replace(b"[]", b"")
        if not marks:
            return False
    return _climbs(marks, depth - min(depth, _PEELED))


def _brackets(data: bytes) -> bytes:
    """The brackets of JSON outside its strings, braces among them."""
    return _outside(data).translate(_BRACKETS, _NO_BRACKETS)


def _outside(data: bytes) -> bytes:
    """JSON without its strings; one that is cut off at the end ends there."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Every second piece is the inside of a string.
    return b"".join(data.split(b'"')[::2])


def _climbs(marks: bytes, depth: int) -> bool:
    """Whether more than ``depth`` brackets are open at some point."""
    level = 0
    steps = array("b", marks.translate(_STEPS))
    for start in range(0, len(steps), _RUN):
        levels = list(accumulate(steps[start : start + _RUN], initial=level))
        if max(levels) > depth:
            return True
        level = levels[-1]
    return False


def _lenient(shape: type[S], data: bytes | msgspec.Raw) -> S | None:
    """``shape`` with the members that fit it; None where ``data`` is no object."""
    try:
        members = _RAWS.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    found = {}
    for field in msgspec.structs.fields(shape):
        raw = members.get(field.encode_name)
        if raw is None:
            continue
        try:
            found[field.name] = msgspec.json.decode(raw, type=field.type)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            part = _lenient_member(msgspec.inspect.type_info(field.type), raw)
            if part is not None:
                found[field.name] = part
    return shape(**found)


def _lenient_member(kind: msgspec.inspect.Type, raw: msgspec.Raw) -> Any:
    options = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    for option in options:
        if isinstance(option, msgspec.inspect.StructType):
            return _lenient(option.cls, raw)
        if isinstance(option, msgspec.inspect.ListType) and isinstance(option.item_type, msgspec.inspect.StructType):
            try:
                items = _LISTS.decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            shape = option.item_type.cls
            return [item for item in (_lenient(shape, each) for each in items[:_MAX_ITEMS]) if item is not None]
    return None


_RAWS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LISTS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_MAX_ITEMS: Final = 1024
"""Items of a list that are read one by one: each takes some 20 µs."""
