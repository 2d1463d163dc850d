"""Which requests a cache may answer, and what of them is no part of the question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlay.dialects._asking import FILES, GATEWAYS, SERVER_STATE, SERVER_TOOLS, refers, runs_at_server

IGNORED: Final = frozenset(
    (
        "stream",  # the form of the answer
    )
)
TELLING_HEADERS: Final[tuple[str, ...]] = GATEWAYS


def unfit(body: Mapping[str, Any]) -> str | None:
    """Why a cache may not answer a request; None where it may."""
    messages = body.get("messages")
    if not messages:
        return SERVER_STATE  # it asks nothing: it loads a model into memory, or takes it out
    if runs_at_server(body.get("tools")):
        return SERVER_TOOLS
    for message in messages if type(messages) is list else ():
        if type(message) is dict and message.get("images") and refers(message["images"]):
            return FILES
    return None
