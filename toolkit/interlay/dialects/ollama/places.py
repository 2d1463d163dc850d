"""Where text stands in requests, answers and lines, and setting it there.

A channel is (kind, choice, block): there is one choice, one text and one thinking, and calls are numbered. In requests
the second number is the message's. Nothing is said twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from interlay.dialects._codec import Object
from interlay.dialects._functions import args_of
from interlay.dialects._places import Texts, patch, said_by, strings
from interlay.dialects._places import rewritten as restated
from interlay.dialects.ollama.framing import reframed
from interlay.dialects.ollama.turns import index_of
from interlay.model import json
from interlay.model.places import Channel, Path, TextPlace
from interlay.model.protocols import WireEvent

HARMLESS: Final = frozenset(
    {
        # words of the API's own
        "role", "done_reason", "type", "format", "code",
        # identifiers
        "id", "model", "remote_model", "remote_host", "tool_call_id",
        # names that the request gave
        "name", "tool_name",
        # times
        "created_at", "keep_alive",
    }
)  # fmt: skip
"""Members whose strings carry no text."""
WORDS: Final = frozenset({"images"})
"""Members below which there is base64."""
_SETTINGS: Final = frozenset({"think"})
"""Members of a request below which no string carries text."""
_NO_BLOCK: Final = -1


def request_places(body: Mapping[str, Any]) -> list[TextPlace]:
    """Where the text of a request stands: of its messages and its tools, and all that is said elsewhere."""
    places: list[TextPlace] = []
    for name, value in body.items():
        if name == "messages" and isinstance(value, list):
            for at, message in enumerate(value):
                places += _message(message, (name, at), at)
        elif name not in _SETTINGS:
            kind = "tool" if name == "tools" else "other"
            places += _rest(value, name, (name,), (kind, 0, _NO_BLOCK))
    return places


def response_places(body: Mapping[str, Any]) -> list[TextPlace]:
    """Where the text of an answer, of a line, or of an error, stands."""
    places: list[TextPlace] = []
    for name, value in body.items():
        if name == "message":
            places += _message(value, (name,), 0)
        elif name == "logprobs" and value:
            # Spells the text out token by token.
            places.append(TextPlace(path=(name,), channel=("text", 0, 0), role="echo", text=""))
        else:
            kind = "error" if name == "error" else "other"
            places += _rest(value, name, (name,), (kind, 0, _NO_BLOCK))
    return places


def event_places(event: WireEvent) -> list[TextPlace]:
    """Where the text of a line stands. Raises ``DecodeError`` for data that cannot be read."""
    said = said_by(event)
    return [] if said is None else response_places(said)


def rewrite(event: WireEvent, texts: Texts, wholes: Texts | None = None) -> bytes:
    """The line with other texts, its other members as they were; never dropped, as the last one counts tokens too.
    Raises ``DecodeError`` for an event that cannot be read."""
    said = said_by(event)
    if said is None:
        return event.raw
    touched = patch(said, response_places(said), texts, wholes, args_of)
    return restated(event, said, touched=touched, reframed=reframed)


def rewritten(said: Object, texts: Texts) -> Object:
    """A line's JSON object with other texts."""
    copy: Object = msgspec.json.decode(msgspec.json.encode(said))
    patch(copy, response_places(copy), texts, None, args_of)
    return copy


def _message(message: Any, path: Path, choice: int) -> Iterator[TextPlace]:
    if not isinstance(message, dict):
        yield from _rest(message, "", path, ("other", choice, _NO_BLOCK))
        return
    said = "tool_result" if message.get("role") == "tool" else "text"
    for name, value in message.items():
        here = (*path, name)
        if name == "content":
            yield from strings(value, here, (said, choice, 0), HARMLESS)
        elif name == "thinking":
            yield from strings(value, here, ("reasoning", choice, 0), HARMLESS)
        elif name == "tool_calls" and isinstance(value, list):
            for at, call in enumerate(value):
                yield from _call(call, (*here, at), choice, at)
        else:
            yield from _rest(value, name, here, ("other", choice, _NO_BLOCK))


def _call(call: Any, path: Path, choice: int, at: int) -> Iterator[TextPlace]:
    channel = ("tool_arguments", choice, index_of(call, at) if isinstance(call, dict) else at)
    function = call.get("function") if isinstance(call, dict) else None
    arguments = function.get("arguments") if isinstance(function, dict) else None
    taken: tuple[Path, ...] = ()
    if isinstance(arguments, dict) and arguments:
        taken = ((*path, "function", "arguments"),)
        yield TextPlace(path=taken[0], channel=channel, role="delta", text=json.encode(arguments).decode())
    yield from strings(call, path, channel, HARMLESS, WORDS, but=taken)


def _rest(value: Any, name: str, path: Path, channel: Channel) -> Iterator[TextPlace]:
    if not (isinstance(value, str) and name in HARMLESS) and name not in WORDS:
        yield from strings(value, path, channel, HARMLESS, WORDS)
