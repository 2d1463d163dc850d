"""Which requests a cache may answer, and what of them is no part of the question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlay.dialects._asking import (
    FILES,
    GATEWAYS,
    SERVER_STATE,
    SERVER_TOOLS,
    any_set,
    is_inline,
    refers,
    runs_at_server,
)

IGNORED: Final = frozenset(
    (
        "stream",  # the form of the answer
    )
)
TELLING_HEADERS: Final[tuple[str, ...]] = GATEWAYS

_STATE: Final = frozenset(("conversation_id", "chat_id"))
_TOOLS: Final = frozenset(("connectors",))
_PLAIN: Final = frozenset(("text", "thinking", "document"))
"""Documents stand in the request whole."""


def unfit(body: Mapping[str, Any]) -> str | None:
    """Why a cache may not answer a request; None where it may."""
    if any_set(body, _STATE):
        return SERVER_STATE
    if any_set(body, _TOOLS) or runs_at_server(body.get("tools")):
        return SERVER_TOOLS
    messages = body.get("messages")
    for message in messages if type(messages) is list else ():
        content = message.get("content") if type(message) is dict else None
        if type(content) is list and any(map(_elsewhere, content)):
            return FILES
    return None


def _elsewhere(part: Any) -> bool:
    """Whether a part of a message names something that does not stand in it."""
    if type(part) is not dict:
        return False
    kind = part.get("type")
    if type(kind) is str and kind in _PLAIN:
        return False
    if kind == "image_url":
        return not is_inline(part.get("image_url"))
    return refers(part)
