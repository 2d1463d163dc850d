"""What was said, as the API writes it: for records that keep contents."""

from __future__ import annotations

from typing import Any

from interlay.dialects.counts import object_of, objects
from interlay.dialects.openai_chat.assembly import whole
from interlay.model.protocols import WireEvent


def prompt(body: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The messages and the tools of a request. Raises ``DecodeError``."""
    request = object_of(body)
    return objects(request.get("messages")), objects(request.get("tools"))


def answer(body: bytes) -> list[dict[str, Any]]:
    """The messages of a response, one a choice. Raises ``DecodeError``."""
    return _messages(object_of(body))


def streamed_answer(events: list[WireEvent]) -> list[dict[str, Any]]:
    """The messages that a stream's chunks add up to."""
    return _messages(whole(events))


def _messages(response: dict[str, Any]) -> list[dict[str, Any]]:
    messages = (choice.get("message") for choice in objects(response.get("choices")))
    return [message for message in messages if isinstance(message, dict)]
