"""What was said, as the API writes it: for records that keep contents."""

from __future__ import annotations

from interlay.dialects._codec import Object, a_dict
from interlay.dialects.cohere.assembly import whole
from interlay.dialects.counts import object_of, objects
from interlay.model.protocols import WireEvent


def prompt(body: bytes) -> tuple[list[Object], list[Object]]:
    """The messages and the tools of a request. Raises ``DecodeError``."""
    request = object_of(body)
    return objects(request.get("messages")), objects(request.get("tools"))


def answer(body: bytes) -> list[Object]:
    """The message of a response. Raises ``DecodeError``."""
    return _message(object_of(body))


def streamed_answer(events: list[WireEvent]) -> list[Object]:
    """The message that a stream's events add up to."""
    return _message(whole(events))


def _message(response: Object) -> list[Object]:
    message = a_dict(response.get("message"))
    return [] if message is None else [message]
