"""Where text is in requests, responses and events of the Responses API, and setting it there.

A channel is (kind, item, part): the second number is the item's place in the output, in requests in the input, and the
third the part's place in its content. Summaries of reasoning are numbered down from -1, as an item may have both its
text and a summary. A text that deltas said comes again in four events, as ``repeat``; where no delta came before, such
a repeat says it first. Strings that nobody knows are deltas of the kind ``other`` wherever they stand, so a repeated
one is looked at each time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from interlay.dialects._codec import Object, a_str, an_int
from interlay.dialects._openai import pad
from interlay.dialects._places import Texts, changed_by, patch, rewritten, said_by, strings, texts_of
from interlay.dialects._sse import reframed
from interlay.dialects.openai_responses.stream import KINDS
from interlay.model.errors import DecodeError
from interlay.model.members import find_member
from interlay.model.places import Channel, Path, TextPlace
from interlay.model.protocols import WireEvent

HARMLESS: Final = frozenset(
    {
        # words of the API's own
        "type", "object", "role", "status", "phase", "code", "param", "effort", "verbosity", "context", "mode",
        "truncation", "service_tier", "tool_choice", "syntax", "execution", "format_type", "prompt_cache_retention",
        "background", "quality", "size", "output_format", "payer", "severity", "environment_type",
        "search_context_size", "search_content_types", "ranker", "require_approval",
        # identifiers
        "id", "item_id", "call_id", "model", "file_id", "container_id", "vector_store_id", "previous_response_id",
        "response_id", "approval_request_id", "request_id", "connector_id", "prompt_cache_key", "safety_identifier",
        "system_fingerprint",
        # names that the request gave
        "name", "namespace", "server_label", "tool_name",
        # sealed or encoded by the API
        "encrypted_content", "partial_image_b64",
        # padding
        "obfuscation",
    }
)  # fmt: skip
"""Keys whose strings carry no text."""
WORDS: Final = frozenset({"category_applied_input_types", "required", "include"})
"""Keys below which there are lists of words of the API's own, or of names that the request gave."""
_NO_PART: Final = -1
_DONE: Final = {
    "response.output_text.done": ("text", "text"),
    "response.refusal.done": ("refusal", "refusal"),
    "response.reasoning_text.done": ("text", "reasoning"),
    "response.reasoning_summary_text.done": ("text", "reasoning"),
    "response.function_call_arguments.done": ("arguments", "tool_arguments"),
    "response.mcp_call_arguments.done": ("arguments", "tool_arguments"),
    "response.custom_tool_call_input.done": ("input", "tool_arguments"),
    "response.code_interpreter_call_code.done": ("code", "tool_arguments"),
}
"""Events that repeat one text: the member it stands in, and its kind."""
_PARTS: Final = {
    "output_text": ("text", "text"),
    "input_text": ("text", "text"),
    "text": ("text", "text"),
    "refusal": ("refusal", "refusal"),
    "reasoning_text": ("text", "reasoning"),
    "summary_text": ("text", "reasoning"),
    "output_audio": ("transcript", "transcript"),
}
"""Types of parts: the member their text stands in, and its kind."""
_CALLED: Final = {
    "function_call": "arguments",
    "mcp_call": "arguments",
    "custom_tool_call": "input",
    "code_interpreter_call": "code",
}
_SAYS: Final = frozenset({"message", "reasoning", *_CALLED})
"""Items of which deltas tell."""
_SETTINGS: Final = frozenset(
    {"model", "reasoning", "service_tier", "tool_choice", "include", "truncation", "previous_response_id", "modalities"}
)
"""Members of a request below which no string carries text."""


def request_places(body: Mapping[str, Any]) -> list[TextPlace]:
    """Where the text of a request stands: its instructions, its input, its tools, and all that is said elsewhere."""
    places: list[TextPlace] = []
    for key, value in body.items():
        if key == "input":
            if isinstance(value, str):
                places.append(TextPlace(path=(key,), channel=("text", 0, 0), role="delta", text=value))
            else:
                places += _items(value, (key,), "delta", asked=True)
        elif key == "instructions":
            places += _rest(value, (key,), ("system", 0, 0))
        elif key in ("metadata", "prompt"):
            places += _free(value, (key,), ("other", 0, _NO_PART))
        elif key not in _SETTINGS:
            places += _rest(value, (key,), ("tool" if key == "tools" else "other", 0, _NO_PART))
    return places


def response_places(body: Mapping[str, Any]) -> list[TextPlace]:
    """Where the text of a response, or of an error, stands."""
    return list(_response(body, (), "delta"))


def event_places(event: WireEvent) -> list[TextPlace]:
    """Where the text of an event stands; paths are of its data. Raises ``DecodeError`` for data that cannot be read."""
    said = said_by(event)
    return list(_event(said)) if said is not None else []


def rewrite(event: WireEvent, texts: Texts, wholes: Texts | None = None) -> bytes:
    """The event with the text of each channel replaced, its other members as they were; its number stays too.

    Where text was changed, what showed parts of it (log-probabilities, citations) is cut, and padding is remade.
    Raises ``DecodeError`` for an event that cannot be read.
    """
    said = said_by(event)
    if said is None:
        return event.raw
    places = list(_event(said))
    changed, before = changed_by(texts, places), texts_of(places)
    touched = patch(said, places, texts, wholes)
    if changed:
        pad(said, sum(len(texts[channel]) - len(before.get(channel, "")) for channel in changed))
    return rewritten(event, said, touched=touched)


def renumber(event: WireEvent, number: int) -> bytes:
    """The event with another ``sequence_number``, for streams in which events were added or dropped. Every other byte
    stays; an event that has none is given back as it was."""
    data = event.data
    try:
        found = find_member(data, "sequence_number") if data is not None else None
    except DecodeError:
        found = None
    if data is None or found is None or not data[found.value : found.end].removeprefix(b"-").isdigit():
        return event.raw
    made = data[: found.value] + str(number).encode() + data[found.end :]
    return event.raw.replace(data, made, 1) if data in event.raw else reframed(event, made)


def _event(said: Mapping[str, Any]) -> Iterator[TextPlace]:
    kind, rest = a_str(said.get("type")) or "", dict(said)
    item, other = an_int(said.get("output_index")) or 0, ("other", 0, _NO_PART)
    if kind in KINDS or kind == "response.audio.transcript.delta":
        channel = (KINDS.get(kind, "transcript"), item, _part_of(said))
        yield from _rest(rest.pop("delta", None), ("delta",), channel)
        yield from _shown(rest, ("logprobs",), channel)
    elif kind in _DONE:
        key, word = _DONE[kind]
        channel = (word, item, _part_of(said))
        yield from _rest(rest.pop(key, None), (key,), channel, role="repeat")
        yield from _shown(rest, ("logprobs",), channel)
    elif kind == "response.output_text.annotation.added":
        yield from _shown(rest, ("annotation",), ("text", item, _part_of(said)))
    elif kind == "response.audio.delta":
        rest.pop("delta", None)
    elif isinstance(part := said.get("part"), dict):
        rest.pop("part")
        yield from _part(part, ("part",), item, _part_of(said), _role_of(kind))
    elif isinstance(entry := said.get("item"), dict):
        rest.pop("item")
        yield from _item(entry, ("item",), item, _role_of(kind))
    elif isinstance(response := said.get("response"), dict):
        rest.pop("response")
        yield from _response(response, ("response",), "repeat")
    elif kind == "error":
        other = ("error", 0, _NO_PART)
    yield from _rest(rest, (), other)


def _role_of(kind: str) -> str:
    return "repeat" if kind.endswith(".done") else "delta"


def _part_of(said: Mapping[str, Any]) -> int:
    summary = an_int(said.get("summary_index"))
    return an_int(said.get("content_index")) or 0 if summary is None else _summary(summary)


def _summary(index: int) -> int:
    return -1 - index


def _response(body: Mapping[str, Any], path: Path, role: str) -> Iterator[TextPlace]:
    for key, value in body.items():
        if key == "output":
            yield from _items(value, (*path, key), role)
        elif key == "error" and value is not None:
            yield from _rest(value, (*path, key), ("error", 0, _NO_PART))
        elif key == "metadata":
            yield from _free(value, (*path, key), ("other", 0, _NO_PART))
        elif not (isinstance(value, str) and key in HARMLESS):
            yield from _rest(value, (*path, key), ("other", 0, _NO_PART))


def _items(value: Any, path: Path, role: str, *, asked: bool = False) -> Iterator[TextPlace]:
    for at, item in enumerate(value if isinstance(value, list) else ()):
        if isinstance(item, dict):
            yield from _item(item, (*path, at), at, role, asked=asked)
        else:
            yield from _rest(item, (*path, at), ("other", at, _NO_PART))
    if isinstance(value, dict):
        yield from _rest(value, path, ("other", 0, _NO_PART))


def _item(item: Object, path: Path, at: int, role: str, *, asked: bool = False) -> Iterator[TextPlace]:
    kind, rest = a_str(item.get("type")) or "message", dict(item)
    other = ("other", at, _NO_PART)
    if kind == "message" or asked:
        text = "system" if item.get("role") in ("system", "developer") else "text"
        yield from _parts(rest.pop("content", None), (*path, "content"), at, role, text)
    elif kind == "reasoning":
        yield from _parts(rest.pop("content", None), (*path, "content"), at, role, "reasoning")
    if kind == "reasoning":
        yield from _parts(rest.pop("summary", None), (*path, "summary"), at, role, "reasoning", summary=True)
    elif kind in _CALLED:
        key = _CALLED[kind]
        yield from _rest(rest.pop(key, None), (*path, key), ("tool_arguments", at, 0), role=role)
        other = ("tool_result", at, _NO_PART)
    elif kind.endswith("_output"):
        other = ("tool_result", at, _NO_PART)
    elif kind == "image_generation_call":
        rest.pop("result", None)  # base64
    yield from _free(rest.pop("arguments", None), (*path, "arguments"), ("tool_arguments", at, 0))
    yield from _rest(rest, path, other)


def _parts(value: Any, path: Path, at: int, role: str, text: str, *, summary: bool = False) -> Iterator[TextPlace]:
    if isinstance(value, str):
        yield TextPlace(path=path, channel=(text, at, 0), role=role, text=value)
        return
    for index, part in enumerate(value if isinstance(value, list) else ()):
        number = _summary(index) if summary else index
        if isinstance(part, dict):
            yield from _part(part, (*path, index), at, number, role, text)
        else:
            yield from _rest(part, (*path, index), (text, at, number), role=role)
    if isinstance(value, dict):
        yield from _rest(value, path, ("other", at, _NO_PART))


def _part(part: Object, path: Path, at: int, number: int, role: str, text: str = "text") -> Iterator[TextPlace]:
    rest = dict(part)
    key, kind = _PARTS.get(a_str(part.get("type")) or "", ("text", "other"))
    if kind == "other":
        yield from _rest(rest, path, ("other", at, _NO_PART))
        return
    channel = (text if kind == "text" else kind, at, number)
    yield from _rest(rest.pop(key, None), (*path, key), channel, role=role)
    yield from _shown(rest, (*path, "annotations"), channel)
    yield from _shown(rest, (*path, "logprobs"), channel)
    if kind == "transcript":
        rest.pop("data", None)
    yield from _rest(rest, path, ("other", at, _NO_PART))


def _shown(holder: Object, path: Path, channel: Channel) -> Iterator[TextPlace]:
    """What shows parts of a channel's text, all below ``path``; it is taken out of ``holder``."""
    if holder.pop(str(path[-1]), None):
        yield TextPlace(path=path, channel=channel, role="echo", text="")


def _free(value: Any, path: Path, channel: Channel) -> Iterator[TextPlace]:
    """Every string of an object whose keys are not the API's."""
    return strings(value, path, channel, ())


def _rest(value: Any, path: Path, channel: Channel, *, role: str = "delta") -> Iterator[TextPlace]:
    return strings(value, path, channel, HARMLESS, WORDS, role=role)
