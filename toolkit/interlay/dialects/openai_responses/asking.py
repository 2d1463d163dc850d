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
    any_set,
    is_inline,
    refers,
    runs_at_server,
)

IGNORED: Final = frozenset(
    (
        "stream",  # the form of the answer
        "stream_options",  # padding of its stream
        "user",  # who asks, for the provider's watch on abuse
        "safety_identifier",  # its successor
        "metadata",  # labels for the provider's own list of calls
        "prompt_cache_key",  # where the provider looks for a prompt that it has read before
        "prompt_cache_retention",  # how long it remembers that
    )
)
TELLING_HEADERS: Final[tuple[str, ...]] = ("openai-organization", "openai-project", "openai-beta", *GATEWAYS)

_STATE: Final = frozenset(("background", "conversation", "previous_response_id", "prompt"))
"""A prompt is a template that OpenAI keeps."""
_TOOLS: Final = frozenset(("plugins", "search_parameters"))
_SEARCHING: Final = re.compile(r"-search(?:-|$)|-deep-research(?:-|$)|:online(?:$|:)")
_WHOLE: Final = frozenset(
    ("message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output")
)
"""Items that say all there is to them."""
_SEALED: Final = frozenset(("reasoning", "compaction"))
"""Items that do so where they carry their contents, sealed; else the provider looks them up."""
_PLAIN: Final = frozenset(("input_text", "output_text", "text", "refusal", "input_audio"))


def unfit(body: Mapping[str, Any]) -> str | None:
    """Why a cache may not answer a request; None where it may."""
    if any_set(body, _STATE):
        return SERVER_STATE
    if any_set(body, _TOOLS) or runs_at_server(body.get("tools")):
        return SERVER_TOOLS
    model = body.get("model")
    if type(model) is str and _SEARCHING.search(model):
        return SERVER_TOOLS
    items = body.get("input")
    for item in items if type(items) is list else ():
        if type(item) is dict and (reason := _item(item)) is not None:
            return reason
    return None


def _item(item: dict[str, Any]) -> str | None:
    kind = item.get("type", "message")
    if type(kind) is not str:
        return SERVER_STATE
    if kind in _SEALED:
        return None if item.get("encrypted_content") else SERVER_STATE
    if kind not in _WHOLE:
        return SERVER_STATE
    content = item.get("content" if kind == "message" else "output")
    return FILES if type(content) is list and any(map(_elsewhere, content)) else None


def _elsewhere(part: Any) -> bool:
    """Whether a part of an item names something that does not stand in it."""
    if type(part) is not dict:
        return False
    kind = part.get("type")
    if type(kind) is str and kind in _PLAIN:
        return False
    if kind == "input_image":
        return bool(part.get("file_id")) or not is_inline(part.get("image_url"))
    return refers(part)
