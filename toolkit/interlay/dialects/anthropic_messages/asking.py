"""Which requests a cache may answer, and what of them is no part of the question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlay.dialects._asking import FILES, GATEWAYS, SERVER_STATE, SERVER_TOOLS, any_set

IGNORED: Final = frozenset(
    (
        "stream",  # the form of the answer
        "metadata",  # who asks, for the provider's watch on abuse
    )
)
TELLING_HEADERS: Final[tuple[str, ...]] = (
    "anthropic-version",
    "anthropic-organization-id",
    "anthropic-user-profile-id",
    "anthropic-workspace-id",
    *GATEWAYS,
)

_STATE: Final = frozenset(
    (
        "container",
        "diagnostics",  # compares with an earlier message
        "fallback_credit_token",  # stands for an earlier message, and lapses in minutes
        "thread",
    )
)
_TOOLS: Final = frozenset(("mcp_servers",))
_RUN_BY_CALLER: Final = ("bash_", "text_editor_", "memory_")
"""Beginnings of the names of tools that Anthropic defines and the caller runs."""
_PLAIN: Final = frozenset(
    ("text", "thinking", "redacted_thinking", "tool_use", "search_result", "tool_reference", "compaction")
)
_SOURCED: Final = frozenset(("image", "document"))
_INLINE: Final = frozenset(("base64", "text"))


def unfit(body: Mapping[str, Any]) -> str | None:
    """Why a cache may not answer a request; None where it may."""
    if any_set(body, _STATE):
        return SERVER_STATE
    if any_set(body, _TOOLS) or _runs_at_server(body.get("tools")):
        return SERVER_TOOLS
    messages = body.get("messages")
    for message in messages if type(messages) is list else ():
        if type(message) is dict and (reason := _blocks(message.get("content"))) is not None:
            return reason
    return None


def _runs_at_server(tools: Any) -> bool:
    if not tools:
        return False
    if type(tools) is not list:
        return True
    for tool in tools:
        kind = tool.get("type", "custom") if type(tool) is dict else None
        if kind != "custom" and kind is not None and not (type(kind) is str and kind.startswith(_RUN_BY_CALLER)):
            return True
    return False


def _blocks(content: Any) -> str | None:
    """Why content depends on more than itself."""
    for block in content if type(content) is list else ():
        if type(block) is not dict:
            continue
        kind = block.get("type")
        if type(kind) is not str:
            return SERVER_STATE
        if kind in _PLAIN:
            continue
        if kind == "tool_result":
            reason = _blocks(block.get("content"))
        elif kind in _SOURCED:
            reason = _source(block.get("source"))
        else:
            # What tools at the provider did, and files in its containers.
            reason = FILES if kind == "container_upload" else SERVER_STATE
        if reason is not None:
            return reason
    return None


def _source(source: Any) -> str | None:
    if type(source) is not dict:
        return FILES
    kind = source.get("type")
    if kind == "content":
        return _blocks(source.get("content"))
    return None if type(kind) is str and kind in _INLINE else FILES
