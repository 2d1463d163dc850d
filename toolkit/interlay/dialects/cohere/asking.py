"""Which requests a cache may answer, and what of them is no part of the question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlay.dialects._asking import (
    FILES,
    GATEWAYS,
    SERVER_STATE,
    SERVER_TOOLS,
    any_elsewhere,
    any_set,
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
        if any_elsewhere(content, _PLAIN):
            return FILES
    return None
