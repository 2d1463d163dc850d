"""Where text stands in requests, responses and chunks, and setting it there.

A channel is (kind, choice, block); of a request the second is the message. Kinds: ``text``, ``reasoning``,
``refusal``, ``tool_arguments``, ``transcript``, and ``error`` for what a host says of a failure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from interlay.dialects._codec import Object
from interlay.dialects._openai import pad
from interlay.dialects._places import Texts, changed_by, patch, said_by, strings, texts_of
from interlay.dialects._places import rewritten as restated
from interlay.dialects.openai_chat.tracker import DONE
from interlay.model.places import Channel, Path, TextPlace
from interlay.model.protocols import WireEvent

_REASONING: Final = ("reasoning_content", "reasoning")

HARMLESS: Final = frozenset(
    {
        # words of the APIs' own
        "code", "finish_reason", "format", "native_finish_reason", "object", "param", "role", "search_context_size",
        "service_tier", "severity", "type",
        # identifiers
        "id", "model", "provider", "provider_name", "request_id", "system_fingerprint", "tool_call_id",
        "user_id", "weight_version",
        # names that the request gave
        "name",
        # times
        "date",
        # encrypted or encoded: OpenRouter's reasoning, sound
        "data", "signature",
        # padding
        "obfuscation", "p",
    }
)  # fmt: skip
"""Members whose strings carry no text."""
WORDS: Final = frozenset({"category_applied_input_types"})
"""Members below which there are lists of words of the API's own."""
_SETTINGS: Final = frozenset(
    {"audio", "modalities", "model", "reasoning", "reasoning_effort", "service_tier", "tool_choice", "verbosity"}
)
"""Members of a request below which no string carries text."""
_NO_BLOCK: Final = -1


def request_places(body: Mapping[str, Any]) -> list[TextPlace]:
    """Where the text of a prompt stands: of messages, tool calls and their results, of tools, and all that is said
    elsewhere in a request."""
    places: list[TextPlace] = []
    for at, message in _objects(body.get("messages")):
        places += _said(message, ("messages", at), at, twins=False)
    prediction = body.get("prediction")
    if isinstance(prediction, dict):
        places += _content(prediction.get("content"), ("prediction", "content"), -1)
    taken = {place.path for place in places}
    for key, value in body.items():
        if key == "messages":
            for at, message in _objects(value):
                places += strings(message, (key, at), ("other", at, _NO_BLOCK), HARMLESS, but=taken)
        elif key not in _SETTINGS:
            kind = "tool" if key in ("tools", "functions") else "other"
            places += strings(value, (key,), (kind, 0, _NO_BLOCK), HARMLESS, but=taken)
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
    places += _around(body)
    return places + _others(body, places)


def event_places(event: WireEvent) -> list[TextPlace]:
    """Where the text of a chunk stands. Raises ``DecodeError`` for data that cannot be read."""
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
    places += _around(chunk)
    return places + _others(chunk, places)


def rewrite(event: WireEvent, texts: Texts, wholes: Texts | None = None) -> bytes:
    """The event with other texts, its other members as they were: see ``interlay.model.protocols.Codec``. Raises
    ``DecodeError`` for an event that cannot be read."""
    chunk = _chunk(event)
    return event.raw if chunk is None else restated(event, chunk, touched=_rewrite(chunk, texts, wholes))


def rewritten(chunk: Object, texts: Texts) -> Object:
    """A chunk's JSON object with other texts."""
    copy: Object = msgspec.json.decode(msgspec.json.encode(chunk))
    _rewrite(copy, texts, None)
    return copy


def _rewrite(chunk: Object, texts: Texts, wholes: Texts | None) -> bool:
    places = _chunk_places(chunk)
    changed, before = changed_by(texts, places), texts_of(places)
    touched = patch(chunk, places, texts, wholes)
    _unsign(chunk, changed)
    pad(chunk, sum(len(texts[channel]) - len(before.get(channel, "")) for channel in changed))
    return touched


def _chunk(event: WireEvent) -> Object | None:
    return None if event.data is not None and event.data.startswith(DONE) else said_by(event)


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


def _others(body: Mapping[str, Any], places: Sequence[TextPlace]) -> list[TextPlace]:
    """The strings of which nobody has told us what they are."""
    taken = {place.path for place in places}
    found: list[TextPlace] = []
    for key, value in body.items():
        if key == "choices":
            for at, choice in _objects(value):
                channel = ("other", _index(choice), _NO_BLOCK)
                found += strings(choice, (key, at), channel, HARMLESS, WORDS, but=taken)
        elif not isinstance(value, str) or key not in HARMLESS:
            found += strings(value, (key,), ("other", 0, _NO_BLOCK), HARMLESS, WORDS, but=taken)
    return found


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
