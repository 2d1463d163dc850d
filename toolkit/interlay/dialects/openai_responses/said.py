"""What was said, as the API writes it: for records that keep contents."""

from __future__ import annotations

from typing import Any

from interlay.dialects.counts import object_of, objects
from interlay.dialects.openai_responses.assembly import whole
from interlay.model.protocols import WireEvent


def prompt(body: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The items of a request's input, its instructions first, and its tools. Raises ``DecodeError``."""
    request = object_of(body)
    asked, told = request.get("input"), request.get("instructions")
    first: list[dict[str, Any]] = [{"role": "system", "content": told}] if told else []
    items = [{"role": "user", "content": asked}] if isinstance(asked, str) else objects(asked)
    return first + items, objects(request.get("tools"))


def answer(body: bytes) -> list[dict[str, Any]]:
    """The items of a response's output. Raises ``DecodeError``."""
    return objects(object_of(body).get("output"))


def streamed_answer(events: list[WireEvent]) -> list[dict[str, Any]]:
    """The items that a stream's events add up to."""
    return objects(whole(events).get("output"))
