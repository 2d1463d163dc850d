"""Messages of this API as it writes them, for records that keep contents."""

from __future__ import annotations

from typing import Any

from interlay.dialects.counts import object_of, objects
from interlay.model.protocols import WireEvent


def prompt(body: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Messages, the system text first, and tools of a request. Raises ``DecodeError``."""
    request = object_of(body)
    system = request.get("system")
    first: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    return first + objects(request.get("messages")), objects(request.get("tools"))


def answer(body: bytes) -> list[dict[str, Any]]:
    """The message a response is. Raises ``DecodeError``."""
    message = object_of(body)
    return [{"role": message.get("role", "assistant"), "content": message.get("content")}]


def streamed_answer(events: list[WireEvent]) -> list[dict[str, Any]]:
    """The message that a stream's events add up to. Raises ``DecodeError``."""
    blocks: dict[int, dict[str, Any]] = {}
    for event in events:
        said = object_of(event.data) if event.data else {}
        index, kind = said.get("index"), said.get("type")
        if not isinstance(index, int):
            continue
        if kind == "content_block_start" and isinstance(said.get("content_block"), dict):
            blocks[index] = said["content_block"]
        elif kind == "content_block_delta" and index in blocks and isinstance(said.get("delta"), dict):
            _add(blocks[index], said["delta"])
    return [{"role": "assistant", "content": list(blocks.values())}] if blocks else []


def _add(block: dict[str, Any], delta: dict[str, Any]) -> None:
    for name in ("text", "thinking", "signature", "partial_json"):
        if isinstance(delta.get(name), str):
            before = block.get(name)
            block[name] = (before if isinstance(before, str) else "") + delta[name]
    if isinstance(delta.get("citation"), dict):
        block["citations"] = [*(block.get("citations") or []), delta["citation"]]
