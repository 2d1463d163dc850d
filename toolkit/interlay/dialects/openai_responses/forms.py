"""A response in its two forms: one body, or events, of which the last has the whole of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from interlay.dialects._codec import Object, an_object
from interlay.dialects._forms import Repeats, framed, list_of, text_of, whole_body
from interlay.dialects.openai_responses.tracker import TERMINAL
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent

_ENDED: Final = frozenset(("completed", "incomplete"))
"""States of an answer; one that failed, or was cancelled, is none."""
_LATER: Final[Object] = {
    "status": "in_progress",
    "output": [],
    "usage": None,
    "incomplete_details": None,
    "completed_at": None,
}
"""Members of a response that has only begun. Its tools were not used yet."""
_GROWN: Final = {
    "function_call": ("arguments", "function_call_arguments"),
    "mcp_call": ("arguments", "mcp_call_arguments"),
    "custom_tool_call": ("input", "custom_tool_call_input"),
}
"""Items that are said in pieces: the member that grows, and the word for it in the names of events."""
_MAX_ITEMS: Final = 4096


# A body as events


def as_stream(body: bytes, _query: str) -> list[bytes]:
    """The events of a response. Raises ``DecodeError``."""
    whole = whole_body(body)
    output, status = whole.get("output"), text_of(whole.get("status"))
    if status not in _ENDED or not isinstance(output, list) or len(output) > _MAX_ITEMS or not _is_named(whole):
        raise DecodeError("no response, or one without an end")
    begun = {**whole, **{key: value for key, value in _LATER.items() if key in whole}}
    begun.pop("tool_usage", None)
    made: list[Object] = [{"type": f"response.{word}", "response": begun} for word in ("created", "in_progress")]
    for index, item in enumerate(list_of(output) if output else ()):
        made += _item(item, index)
    made.append({"type": f"response.{status}", "response": whole})
    return [framed(each["type"], {**each, "sequence_number": number}) for number, each in enumerate(made)]


def _is_named(whole: Object) -> bool:
    return bool(whole.get("object", "response") == "response")


def _item(item: Object, index: int) -> Iterator[Object]:
    """An item of the output: its beginning, what is said in pieces, and the whole of it again."""
    kind, at = item.get("type"), {"output_index": index}
    begun = {**item, **({"status": "in_progress"} if "status" in item else {})}
    named = {"item_id": item["id"], **at} if "id" in item else at
    bits: list[Object] = []
    if kind in ("message", "reasoning"):
        begun |= {key: [] for key in ("content", "summary") if isinstance(item.get(key), list)}
        if kind == "reasoning":
            begun.pop("encrypted_content", None)  # it is sealed at the end
            for number, part in enumerate(_listed(item, "summary")):
                bits += _summary(part, {**named, "summary_index": number})
        for number, part in enumerate(_listed(item, "content")):
            bits += _part(part, {**named, "content_index": number})
    elif isinstance(kind, str) and kind in _GROWN:
        key, word = _GROWN[kind]
        text = text_of(item.get(key))
        begun[key] = ""
        bits += _said(f"response.{word}", named, text, {key: text})
    yield {"type": "response.output_item.added", **at, "item": begun}
    yield from bits
    yield {"type": "response.output_item.done", **at, "item": item}


def _listed(item: Object, key: str) -> list[Object]:
    return list_of(item[key]) if item.get(key) else []


def _said(name: str, at: Object, text: str, whole: Object, beside: Object | None = None) -> list[Object]:
    """What is added to a text, and the whole of it; nothing is added where it is empty."""
    added = [{"type": f"{name}.delta", **at, "delta": text, **(beside or {})}] if text else []
    return [*added, {"type": f"{name}.done", **at, **whole, **(beside or {})}]


def _summary(part: Object, at: Object) -> Iterator[Object]:
    text = text_of(part.get("text"))
    yield {"type": "response.reasoning_summary_part.added", **at, "part": {**part, "text": ""}}
    yield from _said("response.reasoning_summary_text", at, text, {"text": text})
    yield {"type": "response.reasoning_summary_part.done", **at, "part": part}


def _part(part: Object, at: Object) -> Iterator[Object]:
    kind = part.get("type")
    if kind == "output_text":
        begun, bits = _text(part, at)
    elif kind == "refusal":
        text = text_of(part.get("refusal"))
        begun, bits = {"refusal": ""}, _said("response.refusal", at, text, {"refusal": text})
    elif kind == "reasoning_text":
        text = text_of(part.get("text"))
        begun, bits = {"text": ""}, _said("response.reasoning_text", at, text, {"text": text})
    else:
        raise DecodeError("a part of which nobody knows how it is streamed")
    yield {"type": "response.content_part.added", **at, "part": {**part, **begun}}
    yield from bits
    yield {"type": "response.content_part.done", **at, "part": part}


def _text(part: Object, at: Object) -> tuple[Object, list[Object]]:
    text, notes = text_of(part.get("text")), _listed(part, "annotations")
    logprobs: Any = part.get("logprobs") or []
    bits = _said("response.output_text", at, text, {"text": text}, {"logprobs": logprobs})
    added = [
        {"type": "response.output_text.annotation.added", **at, "annotation_index": number, "annotation": note}
        for number, note in enumerate(notes)
    ]
    emptied: Object = {key: [] for key in ("annotations", "logprobs") if isinstance(part.get(key), list)}
    return {"text": "", **emptied}, [*bits[:-1], *added, bits[-1]]


# Events as a body


class _Event(msgspec.Struct, gc=False):
    type: str | None = None
    output_index: int | None = None
    response: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


_events: Final = json.Reader(_Event)


_TOLD: Final = ("model", "service_tier")
"""Members of a response that each of its events repeats."""


def as_body(events: Iterable[WireEvent]) -> bytes:
    """The response that the last event has, byte for byte. Raises ``DecodeError`` for streams that have no such event,
    and where items are missing in it."""
    items, repeats = 0, Repeats()
    told: set[str] = set()
    for event in events:
        if event.data is None:
            continue
        said = _events.read(event.data)
        kind = said.type or event.name
        if kind == "error" or bytes(said.error) not in (b"", b"null"):
            raise DecodeError("the stream has failed")
        if said.output_index is not None:
            items = max(items, said.output_index + 1)
        if not said.response:  # a Raw that is not there is false
            continue
        response = an_object(json.decode(bytes(said.response)), "the response")
        repeats.name(response, "id")
        told.update(name for name in _TOLD if response.get(name))
        if kind in TERMINAL:
            if not all(response.get(name) for name in told):
                raise DecodeError("the end lacks what was said before")
            _see_whole(response, items)
            return bytes(said.response)
    raise DecodeError("the stream has no end")


def _see_whole(whole: Object, items: int) -> None:
    """Refuse what is no whole answer."""
    for key in ("id", "model"):
        text_of(whole.get(key))
    output = whole.get("output")
    if not _is_named(whole) or text_of(whole.get("status")) not in _ENDED:
        raise DecodeError("no response, or one that has failed")
    if whole.get("error") is not None:
        raise DecodeError("the response is an error")
    if not isinstance(output, list) or len(output) < items:
        raise DecodeError("items are missing")
