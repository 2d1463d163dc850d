"""What a caller may say of caching, in the words of HTTP: the request directives of RFC 9111, section 5.2.1, and
``stale-if-error`` of RFC 5861."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from interlay.model.arguments import is_number, seconds, shown


class Directives(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What one call, or all calls in a block, want of a cache. Times are seconds."""

    no_store: bool = False
    """Neither give nor keep an answer."""
    no_cache: bool = False
    """Ask the provider, and keep what it says."""
    only_if_cached: bool = False
    """Do not ask the provider."""
    max_age: float | None = None
    """Give nothing older than this."""
    min_fresh: float = 0.0
    """Give nothing that becomes stale sooner than this."""
    max_stale: float = 0.0
    """Give what has been stale for up to this long."""
    stale_if_error: float | None = None
    """Give what has been stale for up to this long if the provider fails; None: as the cache says."""
    ttl: float | None = None
    """How long the answer is fresh; None: as the cache says."""
    tags: tuple[str, ...] = ()
    """More words to forget it by."""


NONE: Final = Directives()

_FLAGS: Final = frozenset(("no_store", "no_cache", "only_if_cached"))
_TIMES: Final = frozenset(("max_age", "min_fresh", "max_stale", "stale_if_error", "ttl"))
_DIRECTIVE: Final = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*(?:"([^"]*)"|([^\s",]+)))?\s*(?:,|\Z)')
_DELTA: Final = re.compile(r"[0-9]{1,10}\Z")


def of_header(text: str) -> Directives:
    """What a ``cache-control`` header says. What it says that is unknown or no time is passed over, as HTTP has it."""
    found: dict[str, Any] = {}
    for name, value in _pairs(text):
        if name in _FLAGS:
            found[name] = True
        elif name == "max_stale" and value is None:
            found[name] = math.inf
        elif name in _TIMES and name != "ttl" and value is not None and _DELTA.match(value):
            found[name] = float(value)
    return Directives(**found) if found else NONE


def of_user(given: object) -> Directives:
    """What ``using(cache=…)`` says: False for neither giving nor keeping, ``cache-control`` as a string, or a mapping
    of directives that may have ``ttl`` and ``tags`` too.

    Raises ``TypeError`` for something else, ``ValueError`` for directives that there are not, or that are no times.
    """
    if given is False:
        return Directives(no_store=True)
    if isinstance(given, str):
        return _checked(dict(_pairs(given, strict=True)), text=True)
    if isinstance(given, Mapping):
        return _checked({_name(key): value for key, value in given.items()}, text=False)
    raise TypeError(f"using(cache={shown(given)}): expected False, cache-control as a string, or a mapping")


def joined(outer: Directives, inner: Directives) -> Directives:
    """Both, as far as they can hold together: what forbids holds, else the inner one's times do; tags add up."""
    if NONE in (outer, inner):
        return inner if outer == NONE else outer
    said: dict[str, Any] = {
        field: getattr(inner if getattr(inner, field) != getattr(NONE, field) else outer, field)
        for field in Directives.__struct_fields__
    }
    said["tags"] = tuple(dict.fromkeys((*outer.tags, *inner.tags)))
    return Directives(**said)


def _name(name: object) -> str:
    text = str(name).lower().replace("-", "_")
    return "max_age" if text == "s_maxage" else text


def _pairs(text: str, *, strict: bool = False) -> Iterable[tuple[str, str | None]]:
    at = 0
    while at < len(text):
        match = _DIRECTIVE.match(text, at)
        if match is None:
            if strict:
                raise ValueError(f"using(cache={shown(text)}): expected directives, such as 'max-age=60, no-store'")
            comma = text.find(",", at)
            if comma < 0:
                return
            at = comma + 1
            continue
        at = match.end()
        yield _name(match[1]), match[2] if match[2] is not None else match[3]


def _checked(given: dict[str, Any], *, text: bool) -> Directives:
    found: dict[str, Any] = {}
    for name, value in given.items():
        word = name.replace("_", "-")
        if name in _FLAGS and (value is None if text else isinstance(value, bool)):
            found[name] = value is None or value
        elif name == "max_stale" and (value is None or value is True):
            found[name] = math.inf
        elif name in _TIMES:
            number = _seconds(value, text=text)
            if number is None:
                raise ValueError(f"using(cache={word}={shown(value)}): expected seconds, 0 or more")
            found[name] = number
        elif name == "tags" and not text:
            found[name] = _tags(value)
        else:
            raise ValueError(f"using(cache={word}): expected one of {', '.join(_words(text=text))}")
    return Directives(**found)


def _seconds(value: object, *, text: bool) -> float | None:
    if text and isinstance(value, str):
        return float(value) if _DELTA.match(value) else seconds(value)
    number = seconds(value)
    return number if number is not None and is_number(number) else None


def _tags(value: object) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"using(cache=tags={shown(value)}): expected a list of strings")
    tags = tuple(value)
    if not all(isinstance(tag, str) for tag in tags):
        raise TypeError(f"using(cache=tags={shown(value)}): expected a list of strings")
    return tags


def _words(*, text: bool) -> list[str]:
    return sorted(name.replace("_", "-") for name in (*_FLAGS, *_TIMES, *(() if text else ("tags",))))
