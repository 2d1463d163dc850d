"""Where text is in requests, responses and events of the Messages API.

Every string is a text place unless its key is on the list of harmless ones: text in a field that came after this
was written is found too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from interlay.dialects._codec import a_dict, a_str, an_int
from interlay.dialects._places import Texts, changed_by, patch, rewritten, said_by, strings
from interlay.dialects.anthropic_messages.parts import input_of
from interlay.model import json
from interlay.model.places import Channel, Path, TextPlace
from interlay.model.protocols import WireEvent

HARMLESS: Final = frozenset(
    {
        # words of the API's own
        "type", "role", "model", "stop_reason", "service_tier", "inference_geo", "speed", "category", "error_code",
        "file_type", "media_type", "ttl", "version", "status", "effort",
        # identifiers
        "id", "tool_use_id", "tool_id", "file_id", "skill_id", "request_id", "container_id", "mcp_server_name",
        # names that the request gave
        "name", "tool_name", "server_name", "toolset_name", "stop_sequence",
        # sealed by the API
        "signature", "encrypted_content", "encrypted_index", "encrypted_stdout",
        # times
        "expires_at", "retrieved_at",
    }
)  # fmt: skip
"""Keys whose strings carry no text."""
_CHOICE: Final = 0
_NO_BLOCK: Final = -1


def response_places(body: Mapping[str, Any]) -> list[TextPlace]:
    """The text places of a message, or of an error."""
    return list(_response(body, ()))


def event_places(event: WireEvent) -> list[TextPlace]:
    """The text places of an event; paths are of its data. Raises ``DecodeError`` for data that cannot be read."""
    said = said_by(event)
    return list(_event(said)) if said is not None else []


def request_places(body: Mapping[str, Any]) -> list[TextPlace]:
    """The text places of a request: system text, messages, definitions of tools, stop sequences. In channels the
    second number is the message's, and the third the block's."""
    places: list[TextPlace] = []
    system = body.get("system")
    places += _content(system, ("system",), "system", _CHOICE)
    messages = body.get("messages")
    for number, message in enumerate(messages if isinstance(messages, list) else ()):
        if isinstance(message, dict):
            places += _content(message.get("content"), ("messages", number, "content"), "text", number)
    for key in ("tools", "stop_sequences", "output_config", "output_format", "metadata", "mcp_servers"):
        places += _leaves(body.get(key), (key,), ("tool" if key == "tools" else "other", _CHOICE, _NO_BLOCK))
    return places


def rewrite(event: WireEvent, texts: Texts, wholes: Texts | None = None) -> bytes:
    """The event with the text of each channel replaced; empty for an event that is dropped. Padding needs no care
    here: this API's does not follow the text. Nor does it repeat a text.

    Signed reasoning is never edited: a text that differs drops the event, and an empty one drops the signature and
    the stop of the block too. The block's start has no text to differ in, so it is the caller's to drop.
    """
    said = said_by(event)
    if said is None:
        return event.raw
    if texts.get(("reasoning", _CHOICE, _index(said))) == "" and _ends_block(said):
        return b""
    places = list(_event(said))
    changed = changed_by(texts, places)
    if any(place.signed and place.channel in changed for place in places):
        return b""
    return rewritten(event, said, touched=patch(said, places, texts, wholes, input_of))


def _index(said: Mapping[str, Any]) -> int:
    return an_int(said.get("index")) or 0


def _ends_block(said: Mapping[str, Any]) -> bool:
    """Whether an event, of a thinking block, is its signature or its stop."""
    delta = a_dict(said.get("delta")) or {}
    return said.get("type") == "content_block_stop" or delta.get("type") == "signature_delta"


def _event(said: Mapping[str, Any]) -> Iterator[TextPlace]:
    kind, index = said.get("type"), _index(said)
    rest = dict(said)
    if kind == "message_start" and isinstance(message := rest.pop("message", None), dict):
        yield from _response(message, ("message",))
    elif kind == "content_block_start" and isinstance(block := rest.pop("content_block", None), dict):
        yield from _block(block, ("content_block",), _CHOICE, index, "text")
    elif kind == "content_block_delta" and isinstance(delta := rest.pop("delta", None), dict):
        yield from _delta(delta, index)
    elif kind == "message_delta" and isinstance(delta := rest.pop("delta", None), dict):
        yield from _ending(delta, ("delta",))
    elif kind == "error":
        yield from _leaves(rest.pop("error", None), ("error",), ("error", _CHOICE, _NO_BLOCK))
    yield from _leaves(rest, (), ("other", _CHOICE, _NO_BLOCK))


def _delta(delta: Mapping[str, Any], index: int) -> Iterator[TextPlace]:
    kind, path = delta.get("type"), ("delta",)
    if kind == "citations_delta":
        yield from _leaves(delta, path, ("text", _CHOICE, index), role="echo")
    elif kind == "thinking_delta":
        # Whether a signature will follow is not known yet.
        yield from _leaves(delta, path, ("reasoning", _CHOICE, index), signed=True)
    elif kind == "input_json_delta":
        yield from _leaves(delta, path, ("tool_arguments", _CHOICE, index))
    else:
        yield from _leaves(delta, path, ("text", _CHOICE, index))


def _response(body: Mapping[str, Any], path: Path) -> Iterator[TextPlace]:
    rest = dict(body)
    if body.get("type") == "error":
        yield from _leaves(rest.pop("error", None), (*path, "error"), ("error", _CHOICE, _NO_BLOCK))
    yield from _content(rest.pop("content", None), (*path, "content"), "text", _CHOICE)
    yield from _ending(rest, path)


def _ending(fields: Mapping[str, Any], path: Path) -> Iterator[TextPlace]:
    rest = dict(fields)
    details = rest.pop("stop_details", None)
    yield from _leaves(details, (*path, "stop_details"), ("refusal", _CHOICE, _NO_BLOCK))
    yield from _leaves(rest, path, ("other", _CHOICE, _NO_BLOCK))


def _content(content: Any, path: Path, kind: str, choice: int) -> Iterator[TextPlace]:
    if isinstance(content, str):
        yield TextPlace(path=path, channel=(kind, choice, 0), role="delta", text=content)
    for index, block in enumerate(content if isinstance(content, list) else ()):
        if isinstance(block, dict):
            yield from _block(block, (*path, index), choice, index, kind)
        else:
            yield from _leaves(block, (*path, index), (kind, choice, index))


def _block(block: Mapping[str, Any], path: Path, choice: int, index: int, text: str) -> Iterator[TextPlace]:
    kind, rest = a_str(block.get("type")) or "", dict(block)
    channel = (text, choice, index)
    if kind == "thinking":
        signed = bool(block.get("signature")) or path == ("content_block",)
        yield from _leaves(rest.pop("thinking", None), (*path, "thinking"), ("reasoning", choice, index), signed=signed)
    elif kind == "text":
        yield from _leaves(rest.pop("text", None), (*path, "text"), channel)
        yield from _leaves(rest.pop("citations", None), (*path, "citations"), channel, role="echo")
    elif kind == "redacted_thinking":
        rest.pop("data", None)
    elif kind.endswith("tool_use"):
        called = rest.pop("input", None)
        if isinstance(called, dict) and called:
            arguments = ("tool_arguments", choice, index)
            yield TextPlace(path=(*path, "input"), channel=arguments, role="delta", text=json.encode(called).decode())
    elif kind.endswith("tool_result"):
        channel = ("tool_result", choice, index)
    yield from _leaves(rest, path, channel)


def _leaves(
    value: Any, path: Path, channel: Channel, *, role: str = "delta", signed: bool = False
) -> Iterator[TextPlace]:
    return strings(value, path, channel, HARMLESS, role=role, signed=signed)
