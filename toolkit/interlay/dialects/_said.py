"""What was said, as chat APIs write it: for records that keep contents. APIs whose requests are otherwise have a module
of their own, ``said``."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from interlay.dialects._codec import Object, a_dict
from interlay.dialects.counts import object_of, objects
from interlay.model.protocols import WireEvent


class ChatSayings:
    """For an API whose requests have ``messages`` and ``tools``.

    ``messages`` gives those of a response, ``whole`` the response that events add up to.
    """

    __slots__ = ("_messages", "_whole")

    def __init__(
        self, messages: Callable[[Object], list[Object]], whole: Callable[[Iterable[WireEvent]], Object]
    ) -> None:
        self._messages = messages
        self._whole = whole

    def prompt(self, body: bytes) -> tuple[list[Object], list[Object]]:
        """The messages and the tools of a request. Raises ``DecodeError``."""
        request = object_of(body)
        return objects(request.get("messages")), objects(request.get("tools"))

    def answer(self, body: bytes) -> list[Object]:
        """The messages of a response. Raises ``DecodeError``."""
        return self._messages(object_of(body))

    def streamed_answer(self, events: Iterable[WireEvent]) -> list[Object]:
        """The messages that a stream's events add up to."""
        return self._messages(self._whole(events))


def the_message(response: Object) -> list[Object]:
    """The one message of a response."""
    message = a_dict(response.get("message"))
    return [] if message is None else [message]


def messages_of_choices(response: Object) -> list[Object]:
    """The messages of a response, one a choice."""
    messages = (choice.get("message") for choice in objects(response.get("choices")))
    return [message for message in messages if isinstance(message, dict)]
