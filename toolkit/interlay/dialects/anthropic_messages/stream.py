"""Events of the Messages API and the canonical deltas they are, one event at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from interlay.dialects._codec import Object, a_dict, a_str, an_int, without_none
from interlay.dialects._deltas import heard, told
from interlay.dialects.anthropic_messages import failures, figures
from interlay.dialects.anthropic_messages.parts import ORIGIN, decode_part, encode_part
from interlay.dialects.anthropic_messages.response import finish_of, stop_word, write_usage
from interlay.model import json
from interlay.model.messages import Delta, Text, ToolCall
from interlay.model.protocols import WireEvent
from interlay.model.record import Failure
from interlay.model.usage import Usage

_PIECES: Final = {
    "text": ("text_delta", "text"),
    "refusal": ("text_delta", "text"),
    "reasoning": ("thinking_delta", "thinking"),
    "signature": ("signature_delta", "signature"),
    "tool_arguments": ("input_json_delta", "partial_json"),
}
_KINDS: Final = {
    "text_delta": "text",
    "thinking_delta": "reasoning",
    "signature_delta": "signature",
    "input_json_delta": "tool_arguments",
}


def decode_event(event: WireEvent) -> list[Delta]:
    """What an event says; nothing for pings, block stops and what we do not know. The first delta keeps the whole
    event in its ``raw``. Raises ``DecodeError`` for data that cannot be read."""
    return heard(event, ORIGIN, _read)


def encode_event(deltas: Sequence[Delta]) -> bytes:
    """The events that ``deltas`` make: one, if they came from one of this API."""
    return b"".join(
        frame(a_str(event.get("type")) or "", json.encode(event)) for event in told(deltas, ORIGIN, _read, _write)
    )


def error_event(failure: Failure) -> bytes:
    """The event by which the API reports an error in mid-stream."""
    return frame("error", failures.encode(failure))


def frame(name: str, data: bytes) -> bytes:
    """A server-sent event. ``data`` is JSON without line breaks."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)


def _read(raw: Object) -> list[Delta]:
    read = _READERS.get(a_str(raw.get("type")) or "")
    return read(raw) if read is not None else []


def _read_start(raw: Object) -> list[Delta]:
    message = a_dict(raw.get("message")) or {}
    return [
        Delta(
            kind="start",
            id=a_str(message.get("id")),
            model=a_str(message.get("model")),
            role=a_str(message.get("role")),
            usage=_usage(message.get("usage")),
        )
    ]


def _read_block(raw: Object) -> list[Delta]:
    block = a_dict(raw.get("content_block"))
    if block is None:
        return []
    part = decode_part(block)
    if not isinstance(part, ToolCall):
        return [Delta(kind="part", block=_index(raw), part=part)]
    text = "" if part.arguments == "{}" else part.arguments
    return [Delta(kind="tool_call", block=_index(raw), id=part.id, name=part.name, text=text, part=part)]


def _read_delta(raw: Object) -> list[Delta]:
    delta = a_dict(raw.get("delta")) or {}
    word = a_str(delta.get("type")) or ""
    citation = a_dict(delta.get("citation"))
    if word == "citations_delta" and citation is not None:
        return [Delta(kind="citation", block=_index(raw), part=Text(text="", citations=[citation]))]
    kind = _KINDS.get(word)
    text = delta.get(_PIECES[kind][1]) if kind is not None else None
    if kind is None or not isinstance(text, str):
        return []
    return [Delta(kind=kind, block=_index(raw), text=text)]  # type: ignore[arg-type]  # a key of _PIECES


def _read_end(raw: Object) -> list[Delta]:
    deltas: list[Delta] = []
    word = a_str((a_dict(raw.get("delta")) or {}).get("stop_reason"))
    if word is not None:
        deltas.append(Delta(kind="finish", finish_reason=finish_of(word), provider_finish_reason=word))
    if (usage := _usage(raw.get("usage"))) is not None:
        deltas.append(Delta(kind="usage", usage=usage))
    return deltas


def _read_error(raw: Object) -> list[Delta]:
    error = a_dict(raw.get("error")) or {}
    return [Delta(kind="error", name=a_str(error.get("type")), text=a_str(error.get("message")) or "")]


_READERS: Final[dict[str, Callable[[Object], list[Delta]]]] = {
    "message_start": _read_start,
    "content_block_start": _read_block,
    "content_block_delta": _read_delta,
    "message_delta": _read_end,
    "message_stop": lambda _: [Delta(kind="end")],
    "error": _read_error,
}


def _index(raw: Object) -> int:
    return an_int(raw.get("index")) or 0


def _usage(found: object) -> Usage | None:
    return figures.of_mapping(found) if isinstance(found, dict) else None


def _write(deltas: Sequence[Delta]) -> list[Object]:
    events: list[Object] = []
    for delta in deltas:
        event = _write_one(delta)
        if event is None:
            continue
        if events and event["type"] == events[-1]["type"] == "message_delta":
            events[-1] |= {key: value for key, value in event.items() if key != "delta" or value}
        else:
            events.append(event)
        if delta.kind == "tool_call" and delta.part is None and delta.text:
            events.append(_piece("tool_arguments", delta))
    return events


def _piece(kind: str, delta: Delta) -> Object:
    word, key = _PIECES[kind]
    return {"type": "content_block_delta", "index": delta.block, "delta": {"type": word, key: delta.text}}


def _write_one(delta: Delta) -> Object | None:
    kind, at = delta.kind, {"index": delta.block}
    if kind in _PIECES:
        return _piece(kind, delta)
    if kind == "citation" and isinstance(delta.part, Text) and delta.part.citations:
        said = {"type": "citations_delta", "citation": delta.part.citations[0]}
        return {"type": "content_block_delta", **at, "delta": said}
    if kind in {"part", "tool_call"}:
        block = _write_block(delta)
        return None if block is None else {"type": "content_block_start", **at, "content_block": block}
    if kind == "start":
        return {"type": "message_start", "message": _write_start(delta)}
    if kind == "finish":
        word_of = stop_word(delta.finish_reason, delta.provider_finish_reason, None)
        return {"type": "message_delta", "delta": {"stop_reason": word_of, "stop_sequence": None}}
    if kind == "usage" and delta.usage is not None:
        return {"type": "message_delta", "delta": {}, "usage": write_usage(delta.usage)}
    if kind == "error":
        return {"type": "error", "error": {"type": delta.name or "api_error", "message": delta.text}}
    return {"type": "message_stop"} if kind == "end" else None


def _write_block(delta: Delta) -> Object | None:
    if delta.part is not None:
        block = encode_part(delta.part)
        if block is None or not isinstance(delta.part, ToolCall):
            return block
        return {**block, **without_none(id=delta.id, name=delta.name)}
    # What came with the head of a call can only be said in a delta behind it: see `_write`.
    return {**without_none(type="tool_use", id=delta.id), "name": delta.name or "", "input": {}}


def _write_start(delta: Delta) -> Object:
    return {
        **without_none(id=delta.id),
        "type": "message",
        "role": delta.role or "assistant",
        **without_none(model=delta.model),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": write_usage(delta.usage or Usage()),
    }
