"""Which requests a cache may answer, and what of them is no part of the question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlay.dialects._asking import FILES, GATEWAYS, SERVER_STATE, SERVER_TOOLS, any_set, refers

IGNORED: Final = frozenset(
    (
        "labels",  # Vertex: words to sum bills by
    )
)
TELLING_HEADERS: Final[tuple[str, ...]] = ("x-goog-user-project", "x-vertex-ai-", *GATEWAYS)
PLAIN_QUERY: Final = frozenset(("alt=sse", "alt=json"))
"""Streams as server-sent events, and what is so without a word."""

_STREAMED: Final = ":streamGenerateContent"
_WHOLE: Final = ":generateContent"
_STATE: Final = frozenset(
    (
        "cachedContent",  # contents that stand at the provider
        "cached_content",
        "continuationToken",  # goes on where an earlier answer stopped
        "continuation_token",
        "modelArmorConfig",  # names rules for what is let through
        "model_armor_config",
    )
)
_FUNCTIONS: Final = frozenset(("functionDeclarations", "function_declarations"))
_FILE: Final = frozenset(("fileData", "file_data"))
_PLAIN: Final = frozenset(
    (
        "text",
        "thought",
        "thoughtSignature",
        "thought_signature",
        "inlineData",
        "inline_data",
        "functionCall",
        "function_call",
        "executableCode",
        "executable_code",
        "codeExecutionResult",
        "code_execution_result",
        "videoMetadata",
        "video_metadata",
        "mediaResolution",
        "media_resolution",
    )
)
_RESPONSES: Final = ("functionResponse", "function_response")


def place(path: str) -> str:
    """The path of the same request, its answer whole."""
    return path.removesuffix(_STREAMED) + _WHOLE if path.endswith(_STREAMED) else path


def unfit(body: Mapping[str, Any]) -> str | None:
    """Why a cache may not answer a request; None where it may."""
    if any_set(body, _STATE):
        return SERVER_STATE
    if _runs_at_server(body.get("tools")):
        return SERVER_TOOLS
    contents = body.get("contents")
    turns = [*(contents if type(contents) is list else (contents,))]
    turns += (body.get("systemInstruction"), body.get("system_instruction"))
    for turn in turns:
        parts = turn.get("parts") if type(turn) is dict else None
        for part in parts if type(parts) is list else (parts,):
            if type(part) is dict and not part.keys() <= _PLAIN and _elsewhere(part):
                return FILES
    return None


def _runs_at_server(tools: Any) -> bool:
    """Whether one of the tools is not a function of the caller's."""
    if not tools:
        return False
    for tool in tools if type(tools) is list else (tools,):
        if type(tool) is not dict or any(value is not None and name not in _FUNCTIONS for name, value in tool.items()):
            return True
    return False


def _elsewhere(part: dict[str, Any]) -> bool:
    """Whether a part names something that does not stand in it."""
    for name, value in part.items():
        if name in _PLAIN:
            continue
        if name in _FILE:
            return True
        if name in _RESPONSES:
            within = value.get("parts") if type(value) is dict else None
            inner = within if type(within) is list else ()
            if any(type(each) is dict and not each.keys() <= _PLAIN and refers(each) for each in inner):
                return True
        elif refers(value):
            return True
    return False
