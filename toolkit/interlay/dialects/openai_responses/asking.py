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
    )
)
"""Who asks, labels and where prompts are remembered cannot change what a model says, but the answer repeats them:
``user``, ``safety_identifier``, ``metadata``, ``prompt_cache_key``. Nobody is to read another's."""
TELLING_HEADERS: Final[tuple[str, ...]] = ("openai-organization", "openai-project", "openai-beta", *GATEWAYS)

_STATE: Final = frozenset(
    (
        "background",
        "conversation",
        "previous_response_id",
        "prompt",  # a template that OpenAI keeps
    )
)
_PROMPT_CACHE: Final = frozenset(("prewarm", "comparison_response_id"))
"""Options by which a request says nothing, or is told of another one."""
_TOOLS: Final = frozenset(("plugins", "search_parameters"))
_SEARCHING: Final = re.compile(r"-search(?:-|$)|-deep-research(?:-|$)|:online(?:$|:)")
_WHOLE: Final = frozenset(
    ("message", "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output")
)
"""Items that say all there is to them."""
_SEALED: Final = frozenset(("reasoning", "compaction"))
"""Items that do so where they carry their contents, sealed; else the provider looks them up."""
_PLAIN: Final = frozenset(("input_text", "output_text", "text", "refusal"))


def unfit(body: Mapping[str, Any]) -> str | None:
    """Why a cache may not answer a request; None where it may."""
    options = body.get("prompt_cache_options")
    if any_set(body, _STATE) or (type(options) is dict and any_set(options, _PROMPT_CACHE)):
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
