"""Messages of this API as it writes them, for records that keep contents."""

from __future__ import annotations

from typing import Any

from interlay.dialects.anthropic_messages.assembly import message_of
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
    return _bare(object_of(body))


def streamed_answer(events: list[WireEvent]) -> list[dict[str, Any]]:
    """The message that a stream's events add up to."""
    message = message_of(events)
    return [] if message is None else _bare(message)


def _bare(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": message.get("role", "assistant"), "content": message.get("content")}]
