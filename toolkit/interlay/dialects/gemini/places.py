"""Where text stands in requests, responses and chunks of Gemini, and setting it there.

A channel is (kind, candidate, part): the text of a candidate is one channel, and so are its thoughts; calls and what
tools gave back are numbered by their part. In requests the second number is the content's. A chunk repeats nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from interlay.dialects._codec import Object, a_dict, an_int
from interlay.dialects._functions import args_of
from interlay.dialects._places import Texts, changed_by, patch, said_by, strings
from interlay.dialects._places import rewritten as restated
from interlay.dialects.gemini.framing import END, framed_anew
from interlay.dialects.gemini.names import get, key, snake
from interlay.dialects.gemini.parts import SIGNATURE
from interlay.model import json
from interlay.model.places import Channel, Path, TextPlace
from interlay.model.protocols import WireEvent

_NAMES: Final = frozenset(
    {
        # words of the API's own
        "role", "finishReason", "blockReason", "modality", "trafficType", "serviceTier", "category", "probability",
        "severity", "status", "reason", "domain", "locale", "@type", "outcome", "language", "mimeType", "mode",
        "thinkingLevel", "responseMimeType", "mediaResolution", "urlRetrievalStatus", "quotaMetric", "quotaId",
        "quotaValue", "retryDelay", "type", "format", "code",
        # identifiers
        "id", "responseId", "modelVersion", "model", "cachedContent", "service",
        # names that the request gave
        "name",
        # times
        "createTime",
        # sealed or encoded
        "thoughtSignature", "data",
    }
)  # fmt: skip
HARMLESS: Final = _NAMES | {snake(name) for name in _NAMES}
"""Members whose strings carry no text."""
WORDS: Final = frozenset({"responseModalities", "response_modalities", "required", "propertyOrdering",
                          "property_ordering"})  # fmt: skip
"""Members below which there are lists of words of the API's own, or of names that the request gave."""
_NO_PART: Final = -1


def request_places(body: Mapping[str, Any]) -> list[TextPlace]:
    """Where the text of a request stands: of its system, its contents and its tools, and all that is said elsewhere."""
    places: list[TextPlace] = []
    system = key(body, "systemInstruction")
    for name, value in body.items():
        if name == "contents" and isinstance(value, list):
            for at, content in enumerate(value):
                places += _content(content, (name, at), at, "text")
        elif name == system:
            places += _content(value, (name,), 0, "system")
        elif name in ("labels", "tools"):
            kind = "tool" if name == "tools" else "other"
            places += strings(value, (name,), (kind, 0, _NO_PART), HARMLESS if name == "tools" else (), WORDS)
        else:
            places += _rest(value, name, (name,), ("other", 0, _NO_PART))
    return places


def response_places(body: Mapping[str, Any]) -> list[TextPlace]:
    """Where the text of a response, of a chunk, or of an error, stands."""
    places: list[TextPlace] = []
    for name, value in body.items():
        if name == "candidates" and isinstance(value, list):
            for at, candidate in enumerate(value):
                places += _candidate(candidate, (name, at))
        elif name == "error":
            places += _rest(value, name, (name,), ("error", 0, _NO_PART))
        else:
            places += _rest(value, name, (name,), ("other", 0, _NO_PART))
    return places


def event_places(event: WireEvent) -> list[TextPlace]:
    """Where the text of a chunk stands; paths are of its data. Raises ``DecodeError`` for data that cannot be read."""
    chunk = _chunk(event)
    return [] if chunk is None else response_places(chunk)


def rewrite(event: WireEvent, texts: Texts, wholes: Texts | None = None) -> bytes:
    """The chunk with other texts, its other members as they were; never dropped, as it counts tokens too.

    Where what a part says was changed its signature goes, and signed thoughts go whole. Raises ``DecodeError`` for an
    event that cannot be read.
    """
    chunk = _chunk(event)
    if chunk is None:
        return event.raw
    return restated(event, chunk, touched=_rewrite(chunk, texts, wholes), reframed=framed_anew)


def rewritten(chunk: Object, texts: Texts) -> Object:
    """A chunk's JSON object with other texts."""
    copy: Object = msgspec.json.decode(msgspec.json.encode(chunk))
    _rewrite(copy, texts, None)
    return copy


def _rewrite(chunk: Object, texts: Texts, wholes: Texts | None) -> bool:
    places = response_places(chunk)
    changed = changed_by(texts, places)
    touched = patch(chunk, places, texts, wholes, args_of)
    for place in places:
        if place.channel in changed and place.role == "delta" and "parts" in place.path:
            _unsign(chunk, place.path)
    return touched


def _unsign(chunk: Object, path: Path) -> None:
    """Take the signature off the part that ``path`` leads into."""
    holder: Any = chunk
    for step in path[: path.index("parts") + 2]:
        holder = holder[step]
    if isinstance(holder, dict):
        holder.pop(key(holder, SIGNATURE), None)


def _chunk(event: WireEvent) -> Object | None:
    return None if event.data == END else said_by(event)


def _candidate(candidate: Any, path: Path) -> Iterator[TextPlace]:
    if not isinstance(candidate, dict):
        yield from _rest(candidate, "", path, ("other", 0, _NO_PART))
        return
    index = an_int(candidate.get("index")) or 0
    text, other = ("text", index, 0), ("other", index, _NO_PART)
    for name, value in candidate.items():
        if name == "content":
            yield from _content(value, (*path, name), index, "text")
        elif name == "logprobsResult" and value:
            # Spells the text out token by token.
            yield TextPlace(path=(*path, name), channel=text, role="echo", text="")
        elif name == "citationMetadata":
            yield from strings(value, (*path, name), text, HARMLESS, role="echo")
        elif name == "groundingMetadata" and isinstance(value, dict):
            for inner, item in value.items():
                shown = inner == "groundingSupports"
                yield from strings(item, (*path, name, inner), text if shown else other, HARMLESS,
                                   role="echo" if shown else "delta")  # fmt: skip
        else:
            yield from _rest(value, name, (*path, name), other)


def _content(content: Any, path: Path, at: int, kind: str) -> Iterator[TextPlace]:
    if isinstance(content, str):
        yield TextPlace(path=path, channel=(kind, at, 0), role="delta", text=content)
    elif isinstance(content, dict):
        for name, value in content.items():
            if name == "parts" and isinstance(value, list):
                for number, part in enumerate(value):
                    yield from _part(part, (*path, name, number), at, number, kind)
            else:
                yield from _rest(value, name, (*path, name), ("other", at, _NO_PART))
    else:
        yield from _rest(content, "", path, ("other", at, _NO_PART))


def _part(part: Any, path: Path, at: int, number: int, kind: str) -> Iterator[TextPlace]:
    if not isinstance(part, dict):
        yield from _rest(part, "", path, (kind, at, 0))
        return
    thought = part.get("thought") is True
    for name, value in part.items():
        here = (*path, name)
        if name == "text":
            channel: Channel = ("reasoning", at, 0) if thought else (kind, at, 0)
            signed = thought and bool(get(part, SIGNATURE))
            yield from strings(value, here, channel, HARMLESS, signed=signed)
        elif name in ("functionCall", "function_call"):
            yield from _call(value, here, ("tool_arguments", at, number))
        elif name in ("executableCode", "executable_code"):
            yield from _inner(value, here, ("tool_arguments", at, number), ("code",))
        elif name in ("functionResponse", "function_response"):
            yield from _inner(value, here, ("tool_result", at, number), ("response",))
        elif name in ("codeExecutionResult", "code_execution_result"):
            yield from _inner(value, here, ("tool_result", at, number), ("output",))
        else:
            yield from _rest(value, name, here, ("other", at, number))


def _call(call: Any, path: Path, channel: Channel) -> Iterator[TextPlace]:
    args = a_dict(call.get("args")) if isinstance(call, dict) else None
    if args:
        yield TextPlace(path=(*path, "args"), channel=channel, role="delta", text=json.encode(args).decode())
        call = {name: value for name, value in call.items() if name != "args"}
    yield from strings(call, path, channel, HARMLESS)


def _inner(value: Any, path: Path, channel: Channel, free: tuple[str, ...]) -> Iterator[TextPlace]:
    """An object whose members ``free`` are not the API's: every string below them is text."""
    for name, item in value.items() if isinstance(value, dict) else ():
        if name in free:
            yield from strings(item, (*path, name), channel, ())
        else:
            yield from _rest(item, name, (*path, name), channel)
    if not isinstance(value, dict):
        yield from strings(value, path, channel, HARMLESS)


def _rest(value: Any, name: str, path: Path, channel: Channel) -> Iterator[TextPlace]:
    if not (isinstance(value, str) and name in HARMLESS) and name not in WORDS:
        yield from strings(value, path, channel, HARMLESS, WORDS)
