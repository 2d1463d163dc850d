"""Names of members. This API writes ``inlineData`` and takes ``inline_data`` too, so both are read, and what is set is
set under the name that stands there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

ORIGIN: Final = "gemini"

_CAPITAL: Final = re.compile(r"(?=[A-Z])")


@cache
def snake(name: str) -> str:
    """The other way to write one of the API's names."""
    return _CAPITAL.sub("_", name).lower()


def key(holder: Mapping[str, Any], name: str) -> str:
    """How ``holder`` writes a name; as the API does where it has neither."""
    return name if name in holder else other if (other := snake(name)) in holder else name


def get(holder: Mapping[str, Any], name: str) -> Any:
    """A member under either name; None where there is none."""
    return holder.get(key(holder, name))


def written(members: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Members under the names that ``raw`` has for them."""
    return {key(raw, name): value for name, value in members.items()}
