"""Where text stands in requests, answers and events, and setting it there.

A channel is (kind, choice, block): there is one choice, and content is numbered, and calls are. The plan for tools is
reasoning of block -1. In requests the second number is the message's. What is cited, or spelt out as log-probabilities,
echoes the text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from interlay.dialects._codec import a_dict, an_int
from interlay.dialects._places import Texts, patch, rewritten, said_by, strings
from interlay.dialects.cohere.stream import PLAN
from interlay.dialects.cohere.tracker import DONE
from interlay.model.places import Channel, Path, TextPlace
from interlay.model.protocols import WireEvent

HARMLESS: Final = frozenset(
    {
        # words of the API's own
        "type", "role", "finish_reason", "error_type", "code", "detail", "safety_mode", "tool_choice", "mode",
        # identifiers
        "id", "model", "tool_call_id",
        # names that the request gave
        "name",
    }
)  # fmt: skip
"""Members whose strings carry no text."""
_NO_BLOCK: Final = -1
_OTHER: Final[Channel] = ("other", 0, _NO_BLOCK)
_ERROR: Final[Channel] = ("error", 0, _NO_BLOCK)


def request_places(body: Mapping[str, Any]) -> list[TextPlace]:
    """Where the text of a request stands: of its messages, documents and tools, and all that is said elsewhere."""
    places: list[TextPlace] = []
    for name, value in body.items():
        if name == "messages" and isinstance(value, list):
            for at, message in enumerate(value):
                places += _message(message, (name, at), at)
        elif name == "documents":
            places += strings(value, (name,), _OTHER, ())
        else:
            places += _rest(value, name, (name,), ("tool", 0, _NO_BLOCK) if name == "tools" else _OTHER)
    return places


def response_places(body: Mapping[str, Any]) -> list[TextPlace]:
    """Where the text of an answer, or of an error, stands."""
    places: list[TextPlace] = []
    error = "message" if isinstance(body.get("message"), str) else "error"
    for name, value in body.items():
        if name == error:
            places += strings(value, (name,), _ERROR, HARMLESS)
        elif name == "message":
            places += _message(value, (name,), 0)
        elif name == "logprobs":
            places += strings(value, (name,), ("text", 0, 0), HARMLESS, role="echo")
        else:
            places += _rest(value, name, (name,), _OTHER)
    return places


def event_places(event: WireEvent) -> list[TextPlace]:
    """Where the text of an event stands; paths are of its data. Raises ``DecodeError`` for data that cannot be read."""
    said = _said(event)
    return [] if said is None else list(_event(said))


def rewrite(event: WireEvent, texts: Texts, wholes: Texts | None = None) -> bytes:
    """The event with other texts, its other members as they were. Raises ``DecodeError`` for an event that cannot be
    read."""
    said = _said(event)
    if said is None:
        return event.raw
    return rewritten(event, said, touched=patch(said, list(_event(said)), texts, wholes))


def _said(event: WireEvent) -> dict[str, Any] | None:
    return None if event.data is not None and event.data.startswith(DONE) else said_by(event)


def _event(said: Mapping[str, Any]) -> Iterator[TextPlace]:
    block = an_int(said.get("index")) or 0
    for name, value in said.items():
        if name == "delta" and isinstance(value, dict):
            for inner, item in value.items():
                if inner == "message":
                    yield from _message(item, (name, inner), 0, block)
                elif inner == "error":
                    yield from strings(item, (name, inner), _ERROR, HARMLESS)
                else:
                    yield from _rest(item, inner, (name, inner), _OTHER)
        elif name == "logprobs":
            yield from strings(value, (name,), ("text", 0, block), HARMLESS, role="echo")
        else:
            yield from _rest(value, name, (name,), _OTHER)


def _message(message: Any, path: Path, choice: int, block: int | None = None) -> Iterator[TextPlace]:
    """Text in a message; with a ``block`` in what an event adds to one, which has an item where that has a list."""
    if not isinstance(message, dict):
        yield from strings(message, path, ("other", choice, _NO_BLOCK), HARMLESS)
        return
    kind = "tool_result" if message.get("role") == "tool" else "text"
    for name, value in message.items():
        here = (*path, name)
        if name == "content":
            for at, item, place in _items(value, here, block):
                yield from _item(item, place, kind, choice, at)
        elif name == "tool_plan":
            yield from strings(value, here, ("reasoning", choice, PLAN), HARMLESS)
        elif name == "tool_calls":
            for at, item, place in _items(value, here, block):
                yield from strings(item, place, ("tool_arguments", choice, at), HARMLESS)
        elif name == "citations":
            for _, item, place in _items(value, here, block):
                of = an_int((a_dict(item) or {}).get("content_index")) or 0
                yield from strings(item, place, ("text", choice, of), HARMLESS, role="echo")
        else:
            yield from _rest(value, name, here, ("other", choice, _NO_BLOCK))


def _items(value: Any, path: Path, block: int | None) -> Iterator[tuple[int, Any, Path]]:
    if isinstance(value, list):
        yield from ((at, item, (*path, at)) for at, item in enumerate(value))
    else:
        yield block or 0, value, path


def _item(item: Any, path: Path, kind: str, choice: int, block: int) -> Iterator[TextPlace]:
    """Of documents, whose members are not the API's, every string is text."""
    if not isinstance(item, dict):
        yield from strings(item, path, (kind, choice, block), HARMLESS)
        return
    for name, value in item.items():
        if name == "thinking":
            yield from strings(value, (*path, name), ("reasoning", choice, block), HARMLESS)
        elif name == "document":
            yield from strings(value, (*path, name), (kind, choice, block), ())
        else:
            yield from _rest(value, name, (*path, name), (kind, choice, block))


def _rest(value: Any, name: str, path: Path, channel: Channel) -> Iterator[TextPlace]:
    if not (isinstance(value, str) and name in HARMLESS):
        yield from strings(value, path, channel, HARMLESS)
