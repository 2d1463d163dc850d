"""Secrets are a type that does not print, and a registry that finds them in text."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

MASK: Final = "[secret]"
_MIN_LENGTH: Final = 8
"""Shorter strings are not searched for: they would blank innocent text."""
_MAX_REGISTERED: Final = 10_000


class Secret:
    """A string that shows itself to nobody who does not ask by name.

    Making one registers its value, so that interlay blanks it wherever it records text. ``str``, ``repr``,
    formatting, pickling and JSON do not reveal it; ``reveal()`` does.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        if not isinstance(value, str) or not value:
            raise TypeError(f"Secret(value): expected a non-empty string, got {type(value).__name__}")
        self.__value = value
        register(value)

    def reveal(self) -> str:
        """The value itself."""
        return self.__value

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.__value == self.__value

    def __hash__(self) -> int:
        return hash(self.__value)

    def __reduce__(self) -> Any:
        raise TypeError("a Secret cannot be pickled")


_lock = threading.Lock()
_registered: dict[str, None] = {}
_index: dict[str, list[Form]] | None = None


def register(value: str) -> None:
    """Blank ``value`` wherever interlay records text from now on. Values under eight characters are not searched
    for; beyond 10,000 values the oldest is forgotten."""
    global _index
    if len(value) < _MIN_LENGTH or value in _registered:
        return
    with _lock:
        _registered[value] = None
        if len(_registered) > _MAX_REGISTERED:
            del _registered[next(iter(_registered))]
        _index = None


def redact(text: str, also: Iterable[str] = ()) -> str:
    """``text`` with every registered secret, and each of ``also`` (values of headers and the like), replaced by
    ``[secret]``.

    A secret is found by its first eight characters, and as much of it is blanked as stands there: providers' error
    messages show keys cut short. It is found as it stands in JSON strings and in URLs, too.
    """
    global _index
    if len(text) < _MIN_LENGTH:
        return text
    index = _index
    if index is None:
        with _lock:
            index = _index = _by_beginning(_registered)
    if index:
        text = _blanked(text, index)
    if also:
        text = _blanked(text, _by_beginning(also, headers=True))
    return text


def redact_json(value: Any, also: Iterable[str] = ()) -> Any:
    """A copy of a JSON value with ``redact`` applied to every string in it, keys included."""
    return _redact_json(value, _by_beginning(also, headers=True))


def _redact_json(value: Any, index: dict[str, list[Form]]) -> Any:
    if isinstance(value, str):
        text = redact(value)
        return _blanked(text, index) if index and len(text) >= _MIN_LENGTH else text
    if isinstance(value, dict):
        return {_redact_json(str(key), index): _redact_json(each, index) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_redact_json(each, index) for each in value]
    return value


Form = tuple[str, bool]
"""How a secret may stand in a text, and whether its beginning alone says nothing."""


def _by_beginning(values: Iterable[str], *, headers: bool = False) -> dict[str, list[Form]]:
    """The forms that ``values`` can stand in, by their first eight characters. Of headers, such as "Bearer …" or
    "theme=dark; session=…", every word is looked for, and the whole as a whole."""
    index: dict[str, list[Form]] = {}
    for value in values:
        words = [_unnamed(word) for word in _WORDS.findall(value)] if headers else []
        only_whole = " " in value[:_MIN_LENGTH] or (bool(words) and words != [value])
        for word in dict.fromkeys((value, *words)):
            for form in dict.fromkeys((word, json.dumps(word)[1:-1], quote(word, safe=""))):
                if len(form) >= _MIN_LENGTH:
                    index.setdefault(form[:_MIN_LENGTH], []).append((form, only_whole and word is value))
    return index


_WORDS: Final = re.compile(r"[^\s;,]+")


def _unnamed(word: str) -> str:
    """What stands behind the name in ``name=value``."""
    value = word.partition("=")[2]
    return value if len(value) >= _MIN_LENGTH else word


def _blanked(text: str, index: dict[str, list[Form]]) -> str:
    if len(index) <= _FEW:
        found = [beginning for beginning in index if beginning in text]
    else:
        found = list({text[at : at + _MIN_LENGTH] for at in range(len(text) - _MIN_LENGTH + 1)} & index.keys())
    if not found:
        return text
    pattern = re.compile("|".join(map(re.escape, found)))
    pieces: list[str] = []
    at = searched = 0
    while (match := pattern.search(text, searched)) is not None:
        start = match.start()
        length = max(_length(text, start, form) for form in index[match.group()])
        searched = start + (length or 1)
        if length:
            pieces += (text[at:start], MASK)
            at = searched
    return "".join((*pieces, text[at:]))


def _length(text: str, at: int, form: Form) -> int:
    """How many characters of a secret stand in ``text`` from there on."""
    value, only_whole = form
    if text.startswith(value, at):
        return len(value)
    if only_whole:
        return 0
    there = text[at : at + len(value)]
    return next((count for count, pair in enumerate(zip(value, there, strict=False)) if pair[0] != pair[1]), len(there))


_FEW: Final = 64
"""Secrets that are looked for one by one; of more, every place in a text is looked up."""
