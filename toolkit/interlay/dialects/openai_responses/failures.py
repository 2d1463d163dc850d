"""Errors of the Responses API: OpenAI's bodies, its ``error`` event, and a response that failed."""

from __future__ import annotations

from typing import Any, Final

from interlay.dialects._codec import object_or_none
from interlay.dialects.counts import text
from interlay.dialects.openai_chat.failures import decode, encode
from interlay.model.record import Failure

__all__ = ["decode", "encode", "event_members", "of_event", "of_object", "of_response"]

_MAX_BYTES: Final = 1024 * 1024
_MAX_MESSAGE: Final = 16 * 1024
_NOT_SAID: Final = "server_error"
"""The API's own word for a failure of which it says no more."""


def of_event(data: bytes) -> Failure:
    """The failure that an ``error`` event tells of. Never raises.

    Its members stand at the top; some hosts put them into an object ``error``, as in a body.
    """
    said = object_or_none(data, limit=_MAX_BYTES)
    if said is None:
        return Failure(type=_NOT_SAID)
    inner = said.get("error")
    return of_object(inner if isinstance(inner, dict) else {**said, "type": None})


def of_response(error: bytes) -> Failure:
    """The failure that the member ``error`` of a response tells of, in JSON. Never raises."""
    return of_object(object_or_none(error, limit=_MAX_BYTES) or {})


def of_object(error: dict[str, Any]) -> Failure:
    """The failure that an error object tells of."""
    code, message = text(error.get("code"), 64), error.get("message")
    return Failure(
        type=text(error.get("type"), 64) or code or _NOT_SAID,
        code=code,
        message=message[:_MAX_MESSAGE] if isinstance(message, str) else None,
    )


def event_members(name: str | None, message: str) -> dict[str, Any]:
    """An ``error`` event. Its number is its sender's to set: see ``places.renumber``."""
    return {"type": "error", "code": name, "message": message, "param": None, "sequence_number": 0}
