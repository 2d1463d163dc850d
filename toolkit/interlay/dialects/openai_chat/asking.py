"""Which requests a cache may answer, and what of them is no part of the question."""

from __future__ import annotations

import re
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
        "stream_options",  # what its stream says beside it: usage, padding
        "user",  # who asks, for the provider's watch on abuse
        "safety_identifier",  # its successor
        "metadata",  # labels for the provider's own list of calls
        "prompt_cache_key",  # where the provider looks for a prompt that it has read before
        "prompt_cache_retention",  # how long it remembers that
    )
)
TELLING_HEADERS: Final[tuple[str, ...]] = ("openai-organization", "openai-project", "openai-beta", *GATEWAYS)

_STATE: Final = frozenset(
    (
        "agent_id",  # settings that stand at the provider
        "assistant_id",
        "background",
        "conversation",
        "conversation_id",
        "deferred",  # xAI: the answer is fetched later
        "previous_response_id",
        "session_id",
        "thread_id",
    )
)
_TOOLS: Final = frozenset(
    (
        "data_sources",  # Azure: an index
        "enable_search",  # Qwen
        "mcp_servers",
        "plugins",  # OpenRouter
        "search_parameters",  # xAI
        "vector_store_ids",
        "web_search",
        "web_search_options",
    )
)
_FILES: Final = frozenset(("file_ids", "files"))
_MEMBERS: Final = _STATE | _TOOLS | _FILES | {"modalities", "extra_body"}
_SEARCHING: Final = re.compile(
    r"(?:^|/|-)sonar(?:-|$)"  # Perplexity
    r"|(?:^|/)compound(?:-|$)"  # Groq
    r"|-search(?:-|$)|-deep-research(?:-|$)"  # OpenAI
    r"|[:-]online(?:$|:)"  # OpenRouter, and Perplexity once
)
_KEPT: Final = "@preset/"
"""A model's name that stands for settings which OpenRouter keeps."""
_PLAIN: Final = frozenset(("text", "refusal", "thinking"))


def unfit(body: Mapping[str, Any]) -> str | None:
    """Why a cache may not answer a request; None where it may."""
    if not body.keys().isdisjoint(_MEMBERS) and (reason := _members(body)) is not None:
        return reason
    if runs_at_server(body.get("tools")):
        return SERVER_TOOLS
    model = body.get("model")
    if type(model) is str and _SEARCHING.search(model):
        return SERVER_TOOLS
    if type(model) is str and _KEPT in model:
        return SERVER_STATE
    messages = body.get("messages")
    for message in messages if type(messages) is list else ():
        if type(message) is not dict:
            continue
        if message.get("audio"):
            return SERVER_STATE
        content = message.get("content")
        if any_elsewhere(content, _PLAIN):
            return FILES
    return None


def _members(body: Mapping[str, Any]) -> str | None:
    """Why one of the members that few requests have makes a request unfit."""
    if any_set(body, _STATE):
        return SERVER_STATE
    if any_set(body, _FILES):
        return FILES
    if any_set(body, _TOOLS):
        return SERVER_TOOLS
    modalities, extra = body.get("modalities"), body.get("extra_body")
    if type(modalities) is list and "audio" in modalities:
        return SERVER_STATE  # later requests know a spoken answer by an id, which soon lapses
    google = extra.get("google") if type(extra) is dict else None
    return SERVER_STATE if type(google) is dict and google.get("cached_content") else None
