"""Where text stands in requests, responses and chunks, and setting it there.

A channel is (kind, choice, block); of a request the second is the message. Kinds: ``text``, ``reasoning``,
``refusal``, ``tool_arguments``, ``transcript``, and ``error`` for what a host says of a failure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from interlay.dialects._codec import Object
from interlay.dialects.openai_chat.assembly import PADDING
from interlay.dialects.openai_chat.tracker import DONE
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.protocols import TextPlace, WireEvent

Channel = tuple[str, int, int]
Path = tuple[str | int, ...]

_REASONING: Final = ("reasoning_content", "reasoning")
_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

HARMLESS: Final = frozenset(
    {
        "category_applied_input_types", "code", "content_filter_results", "created", "data", "date", "finish_reason",
        "format", "id", "index", "model", "moderation", "name", "native_finish_reason", "object", "obfuscation", "p",
        "param", "prompt_filter_results", "provider", "provider_name", "request_id", "role", "seed", "service_tier",
        "signature", "system_fingerprint", "time_info", "tool_call_id", "type", "usage", "user_id", "weight_version",
        "x_groq",
    }
)  # fmt: skip
"""Members whose strings, and those below them, are no text: ids, names, words of a list, figures, padding, signatures
and encrypted or encoded data."""


def request_places(body: Mapping[str, Any]) -> list[TextPlace]:
    """Where the text of a prompt stands: of messages, tool calls and their results, and of tools."""
    places: list[TextPlace] = []
    for at, message in _objects(body.get("messages")):
        places += _said(message, ("messages", at), at, twins=False)
    for at, tool in _objects(body.get("tools")):
        function = tool.get("function")
        if isinstance(function, dict):
            _add(places, function.get("description"), ("tools", at, "function", "description"), ("text", -1, at))
    for at, function in _objects(body.get("functions")):
        _add(places, function.get("description"), ("functions", at, "description"), ("text", -1, at))
    prediction = body.get("prediction")
    if isinstance(prediction, dict):
        places += _content(prediction.get("content"), ("prediction", "content"), -1)
    return places


def response_places(body: Mapping[str, Any]) -> list[TextPlace]:
    """Where the text of a response, or of an error, stands."""
    places: list[TextPlace] = []
    for at, choice in _objects(body.get("choices")):
        index = _index(choice)
        message = choice.get("message")
        if isinstance(message, dict):
            places += _said(message, ("choices", at, "message"), index)
        delta = choice.get("delta")
        if isinstance(delta, dict):
            role = "twin" if isinstance(message, dict) else "delta"
            places += _as(role, _said(delta, ("choices", at, "delta"), index))
        places += _echoes(choice, at, index)
    return places + _around(body)


def event_places(event: WireEvent) -> list[TextPlace]:
    """Where the text of a chunk stands; nowhere in what is no chunk."""
    chunk = _chunk(event)
    return [] if chunk is None else _chunk_places(chunk)


def _chunk_places(chunk: Mapping[str, Any]) -> list[TextPlace]:
    places: list[TextPlace] = []
    for at, choice in _objects(chunk.get("choices")):
        index = _index(choice)
        delta = choice.get("delta")
        if isinstance(delta, dict):
            places += _said(delta, ("choices", at, "delta"), index)
        message = choice.get("message")
        if isinstance(message, dict):
            # Perplexity says in every chunk all that was said so far.
            role = "repeat" if isinstance(delta, dict) else "delta"
            places += _as(role, _said(message, ("choices", at, "message"), index))
        if isinstance(delta, dict):
            _add(places, choice.get("text"), ("choices", at, "text"), ("text", index, 0), "twin")  # Together
        else:
            _add(places, choice.get("text"), ("choices", at, "text"), ("text", index, 0))
        places += _echoes(choice, at, index)
    return places + _around(chunk)


def rewrite(event: WireEvent, texts: Mapping[Channel, str], wholes: Mapping[Channel, str] | None = None) -> bytes:
    """The event with other texts, its other members as they were.

    ``texts`` is what the event adds to each channel, ``wholes`` what a channel has said so far with it, for hosts
    that repeat that; a repeat of a channel that is not in ``wholes`` is emptied when the channel is rewritten.
    Raises ``DecodeError`` for an event that is no chunk, when there is something to set.
    """
    if not texts and not wholes:
        return event.raw
    chunk = _chunk(event)
    if chunk is None:
        raise DecodeError("the event is no chunk")
    changed = rewritten(chunk, texts, wholes)
    if changed is chunk:
        return event.raw
    name = b"" if event.name is None else b"event: " + event.name.encode() + b"\n"
    return name + b"data: " + json.encode(changed) + b"\n\n"


def rewritten(chunk: Object, texts: Mapping[Channel, str], wholes: Mapping[Channel, str] | None = None) -> Object:
    """A chunk's JSON object with other texts; the same object where none differs."""
    places = _chunk_places(chunk)
    before: dict[Channel, str] = {}
    for place in places:
        if place.role == "delta":
            before[place.channel] = before.get(place.channel, "") + place.text
    changed = {channel for channel, text in texts.items() if channel in before and before[channel] != text}
    wanted = {place.channel: (wholes or {}).get(place.channel, "") for place in places if place.role == "repeat"}
    stale = {
        place.channel for place in places
        if place.role == "repeat" and (place.channel in changed or place.channel in (wholes or {}))
        and place.text != wanted[place.channel]
    }  # fmt: skip
    if not changed and not stale:
        return chunk
    copy: Object = msgspec.json.decode(msgspec.json.encode(chunk))
    written: set[tuple[str, Channel]] = set()
    for place in reversed(places) if changed else ():
        if place.role == "echo" and place.channel in changed:
            _cut(copy, place.path)
    for place in places:
        if place.role == "repeat" and place.channel in stale:
            _set(copy, place.path, wanted[place.channel])
        elif place.role in ("delta", "twin") and place.channel in changed:
            # The first place of a channel takes all of its text.
            first = (place.role, place.channel) not in written
            written.add((place.role, place.channel))
            _set(copy, place.path, texts[place.channel] if first and not place.signed else "")
    _unsign(copy, changed)
    grown = sum(len(texts[channel]) - len(before[channel]) for channel in changed)
    _pad(copy, grown)
    return copy


def _chunk(event: WireEvent) -> Object | None:
    if event.data is None or event.data.startswith(DONE):
        return None
    try:
        chunk = json.decode(event.data)
    except DecodeError:
        return None
    return chunk if isinstance(chunk, dict) else None


def _said(message: Mapping[str, Any], path: Path, choice: int, *, twins: bool = True) -> list[TextPlace]:
    """Text in a message or a delta."""
    places = _content(message.get("content"), (*path, "content"), choice)
    reasoning = ("reasoning", choice, 0)
    said = False
    for key in _REASONING:
        said |= _add(places, message.get(key), (*path, key), reasoning, "twin" if said and twins else "delta")
    for at, detail in _objects(message.get("reasoning_details")):
        signed = isinstance(detail.get("signature"), str) and bool(detail["signature"])
        for key in ("text", "summary"):
            role = "twin" if said and twins else "delta"
            _add(places, detail.get(key), (*path, "reasoning_details", at, key), reasoning, role, signed=signed)
    _add(places, message.get("refusal"), (*path, "refusal"), ("refusal", choice, 0))
    for at, call in _objects(message.get("tool_calls")):
        index = call.get("index")
        block = index if type(index) is int else at
        for kind, key in (("function", "arguments"), ("custom", "input")):
            inner = call.get(kind)
            if isinstance(inner, dict):
                place = (*path, "tool_calls", at, kind, key)
                _add(places, inner.get(key), place, ("tool_arguments", choice, block))
    function = message.get("function_call")
    if isinstance(function, dict):
        place = (*path, "function_call", "arguments")
        _add(places, function.get("arguments"), place, ("tool_arguments", choice, 0))
    audio = message.get("audio")
    if isinstance(audio, dict):
        _add(places, audio.get("transcript"), (*path, "audio", "transcript"), ("transcript", choice, 0))
    if message.get("annotations"):
        places.append(_echo((*path, "annotations"), choice))
    return places


def _content(content: Any, path: Path, choice: int) -> list[TextPlace]:
    places: list[TextPlace] = []
    _add(places, content, path, ("text", choice, 0))
    for at, part in _objects(content):
        _add(places, part.get("text"), (*path, at, "text"), ("text", choice, 0))
        _add(places, part.get("refusal"), (*path, at, "refusal"), ("refusal", choice, 0))
        thinking = part.get("thinking")
        _add(places, thinking, (*path, at, "thinking"), ("reasoning", choice, 0))
        for inner, piece in _objects(thinking):
            _add(places, piece.get("text"), (*path, at, "thinking", inner, "text"), ("reasoning", choice, 0))
    return places


def _echoes(choice: Mapping[str, Any], at: int, index: int) -> Iterator[TextPlace]:
    """Log-probabilities spell the text out token by token."""
    if choice.get("logprobs"):
        yield _echo(("choices", at, "logprobs"), index)


def _around(body: Mapping[str, Any]) -> list[TextPlace]:
    """Text beside the choices: Perplexity's sources, and errors, among them what Groq's model failed to say."""
    places = [_echo((key,), 0) for key in ("citations", "search_results", "images") if body.get(key)]
    _add(places, body.get("detail"), ("detail",), ("error", 0, 0))
    error = body.get("error")
    _add(places, error, ("error",), ("error", 0, 0))
    if isinstance(error, dict):
        for key in ("message", "details"):
            _add(places, error.get(key), ("error", key), ("error", 0, 0))
        _add(places, error.get("failed_generation"), ("error", "failed_generation"), ("text", 0, 0))
        metadata = error.get("metadata")
        if isinstance(metadata, dict):
            _add(places, metadata.get("raw"), ("error", "metadata", "raw"), ("error", 0, 0))
    return places


def _echo(path: Path, choice: int) -> TextPlace:
    """Everything below ``path`` shows parts of the text, and goes when that is changed."""
    return TextPlace(path=path, channel=("text", choice, 0), role="echo", text="")


def _as(role: str, places: list[TextPlace]) -> list[TextPlace]:
    return [msgspec.structs.replace(place, role=role) if place.role == "delta" else place for place in places]


def _add(
    places: list[TextPlace], text: Any, path: Path, channel: Channel, role: str = "delta", *, signed: bool = False
) -> bool:
    if not isinstance(text, str):
        return False
    places.append(TextPlace(path=path, channel=channel, role=role, text=text, signed=signed))
    return bool(text)


def _objects(value: Any) -> list[tuple[int, Object]]:
    return [(at, item) for at, item in enumerate(value) if isinstance(item, dict)] if isinstance(value, list) else []


def _index(choice: Mapping[str, Any]) -> int:
    index = choice.get("index")
    return index if type(index) is int else 0


def _set(root: Object, path: Path, text: str) -> None:
    at: Any = root
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = text


def _cut(root: Object, path: Path) -> None:
    """A list becomes empty, anything else null: readers expect the member."""
    at: Any = root
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = [] if isinstance(at[path[-1]], list) else None


def _unsign(chunk: Object, changed: set[Channel]) -> None:
    """Reasoning that was changed takes its details, whose signatures are void now, with it."""
    for _, choice in _objects(chunk.get("choices")):
        if ("reasoning", _index(choice), 0) not in changed:
            continue
        for key in ("delta", "message"):
            said = choice.get(key)
            if isinstance(said, dict) and any(
                detail.get("signature") or detail.get("data") for _, detail in _objects(said.get("reasoning_details"))
            ):
                said["reasoning_details"] = []


def _pad(chunk: Object, grown: int) -> None:
    """Padding makes all chunks of like length: it gives what the text takes."""
    for key in PADDING:
        padding = chunk.get(key)
        if isinstance(padding, str) and padding:
            length = max(1, len(padding) - grown)
            times = length // len(_ALPHABET) + 1
            chunk[key] = (_ALPHABET * times)[:length]
