"""Events of the Responses API and the canonical deltas they are, one event at a time.

Four events repeat each text that the deltas said (``….done``, ``content_part.done``, ``output_item.done`` and the
terminal one): those say nothing canonical again. ``block`` is the item's place in the output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from interlay.dialects._codec import Object, a_dict, a_str, an_int, without_none
from interlay.dialects._deltas import heard, told
from interlay.dialects.openai_responses import failures
from interlay.dialects.openai_responses.items import decode_item, encode_item
from interlay.dialects.openai_responses.parts import ORIGIN, encode_part
from interlay.dialects.openai_responses.response import ending, read, write_usage
from interlay.dialects.openai_responses.tracker import TERMINAL
from interlay.model import json
from interlay.model.messages import Audio, Delta, Reasoning, Text, ToolCall
from interlay.model.protocols import WireEvent
from interlay.model.record import Failure

KINDS: Final = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.function_call_arguments.delta": "tool_arguments",
    "response.custom_tool_call_input.delta": "tool_arguments",
    "response.mcp_call_arguments.delta": "tool_arguments",
    "response.code_interpreter_call_code.delta": "tool_arguments",
}
"""Events that add to a text."""
_WORDS: Final = {
    "text": "response.output_text.delta",
    "refusal": "response.refusal.delta",
    "reasoning": "response.reasoning_summary_text.delta",
    "tool_arguments": "response.function_call_arguments.delta",
}


def decode_event(event: WireEvent) -> list[Delta]:
    """What an event says; nothing for repeats, progress and what we do not know. The first delta keeps the whole
    event in its ``raw``. Raises ``DecodeError`` for data that cannot be read."""
    return heard(event, ORIGIN, _read)


def encode_event(deltas: Sequence[Delta]) -> bytes:
    """The events that ``deltas`` make: one, if they came from one of this API."""
    return b"".join(frame(event) for event in told(deltas, ORIGIN, _read, _write))


def error_event(failure: Failure) -> bytes:
    """The event by which the API reports an error in mid-stream."""
    return frame(failures.event_members(failure.code or failure.type, failure.message or failure.type))


def frame(event: Object) -> bytes:
    """A server-sent event."""
    return b"event: %s\ndata: %s\n\n" % ((a_str(event.get("type")) or "").encode(), json.encode(event))


def _read(raw: Object) -> list[Delta]:
    kind = a_str(raw.get("type")) or ""
    word = KINDS.get(kind)
    if word is not None:
        text = raw.get("delta")
        return [Delta(kind=word, block=_index(raw), text=text)] if isinstance(text, str) else []  # type: ignore[arg-type]
    if kind in TERMINAL:
        return _read_end(raw)
    reader = _READERS.get(kind)
    return reader(raw) if reader is not None else []


def _index(raw: Object) -> int:
    return an_int(raw.get("output_index")) or 0


def _read_start(raw: Object) -> list[Delta]:
    response = a_dict(raw.get("response")) or {}
    return [Delta(kind="start", id=a_str(response.get("id")), model=a_str(response.get("model")), role="assistant")]


def _read_added(raw: Object) -> list[Delta]:
    """A call's head. What else an item has when it begins comes again when it is done."""
    item = a_dict(raw.get("item")) or {}
    part = decode_item(item)
    if not isinstance(part, ToolCall) or part.server:
        return []
    return [Delta(kind="tool_call", block=_index(raw), id=part.id, name=part.name, text=part.arguments, part=part)]


def _read_done(raw: Object) -> list[Delta]:
    """Items that no delta told of, and what seals reasoning."""
    item = a_dict(raw.get("item")) or {}
    if item.get("type", "message") == "message":
        return []
    part = decode_item(item)
    if isinstance(part, ToolCall) and not part.server:
        return []
    if isinstance(part, Reasoning) and not part.encrypted:
        return []
    return [Delta(kind="part", block=_index(raw), part=part)]


def _read_annotation(raw: Object) -> list[Delta]:
    note = a_dict(raw.get("annotation"))
    return [] if note is None else [Delta(kind="citation", block=_index(raw), part=Text(text="", citations=[note]))]


def _read_audio(raw: Object) -> list[Delta]:
    piece, spoken = a_str(raw.get("delta")), raw.get("type") == "response.audio.delta"
    if piece is None:
        return []
    part = Audio(data=piece) if spoken else Audio(transcript=piece)
    return [Delta(kind="audio", block=_index(raw), text="" if spoken else piece, part=part)]


def _read_end(raw: Object) -> list[Delta]:
    wire = a_dict(raw.get("response")) or {}
    deltas: list[Delta] = []
    error = a_dict(wire.get("error"))
    if error:
        failure = failures.of_object(error)
        deltas.append(Delta(kind="error", name=failure.type, text=failure.message or ""))
    response = read({**wire, "object": "response", "output": _kinds(wire.get("output"))})
    for choice in response.choices:
        if choice.finish_reason is not None:
            word = choice.provider_finish_reason
            deltas.append(Delta(kind="finish", finish_reason=choice.finish_reason, provider_finish_reason=word))
    if response.usage is not None:
        deltas.append(Delta(kind="usage", usage=response.usage))
    return [*deltas, Delta(kind="end")]


def _kinds(items: object) -> list[Object]:
    """An output's items less all that they say."""
    found = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return [{key: item[key] for key in ("type", "action") if key in item} for item in found]


def _read_error(raw: Object) -> list[Delta]:
    failure = failures.of_event(json.encode(raw))
    return [Delta(kind="error", name=failure.type, text=failure.message or "")]


_READERS: Final[dict[str, Callable[[Object], list[Delta]]]] = {
    "response.created": _read_start,
    "response.output_item.added": _read_added,
    "response.output_item.done": _read_done,
    "response.output_text.annotation.added": _read_annotation,
    "response.audio.delta": _read_audio,
    "response.audio.transcript.delta": _read_audio,
    "error": _read_error,
}


def _write(deltas: Sequence[Delta]) -> list[Object]:
    """The deltas that end a stream are one event, all others are one each."""
    events: list[Object] = []
    over = any(delta.kind == "end" for delta in deltas)
    for delta in deltas:
        if over and delta.kind in ("finish", "usage", "error", "end"):
            continue
        event = _write_one(delta)
        if event is not None:
            events.append(event)
    if over or any(delta.kind in ("finish", "usage") for delta in deltas):
        events.append(_write_end(deltas))
    return events


def _write_one(delta: Delta) -> Object | None:
    at = {"output_index": delta.block}
    if delta.kind in _WORDS:
        raw = delta.raw if delta.origin == ORIGIN else None
        word = a_str((raw or {}).get("type")) if KINDS.get(str((raw or {}).get("type"))) == delta.kind else None
        return {"type": word or _WORDS[delta.kind], **at, "delta": delta.text}
    if delta.kind == "tool_call":
        part = delta.part if isinstance(delta.part, ToolCall) else ToolCall(name="")
        item = encode_item(_called(part, delta), answer=True)
        return None if item is None else {"type": "response.output_item.added", **at, "item": item}
    if delta.kind == "part" and delta.part is not None:
        return _write_part(delta)
    if delta.kind == "citation" and isinstance(delta.part, Text) and delta.part.citations:
        return {"type": "response.output_text.annotation.added", **at, "annotation": delta.part.citations[0]}
    if delta.kind == "audio" and isinstance(delta.part, Audio):
        spoken = delta.part.data is not None
        word = "response.audio.delta" if spoken else "response.audio.transcript.delta"
        return {"type": word, "delta": delta.part.data if spoken else delta.text}
    if delta.kind == "start":
        response = {**without_none(id=delta.id), "object": "response", **without_none(model=delta.model)}
        return {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}}
    return failures.event_members(delta.name, delta.text) if delta.kind == "error" else None


def _called(part: ToolCall, delta: Delta) -> ToolCall:
    name = delta.name if delta.name is not None else part.name
    fields = {field: getattr(part, field) for field in part.__struct_fields__}
    return ToolCall(**{**fields, "id": delta.id, "name": name, "arguments": delta.text})


def _write_part(delta: Delta) -> Object | None:
    at, part = {"output_index": delta.block}, delta.part
    assert part is not None
    item = encode_item(part, answer=True)
    if item is not None:
        return {"type": "response.output_item.done", **at, "item": item}
    content = encode_part(part, answer=True)
    if content is None:
        return None
    return {"type": "response.content_part.added", **at, "content_index": 0, "part": content}


def _write_end(deltas: Sequence[Delta]) -> Object:
    finish = next((delta for delta in deltas if delta.kind == "finish"), None)
    usage = next((delta.usage for delta in deltas if delta.usage is not None), None)
    error = next((delta for delta in deltas if delta.kind == "error"), None)
    if finish is None:
        # An end that does not say how is a good one, as far as this API can say it.
        finish = Delta(kind="finish", finish_reason="stop" if error is None else "error")
    response = ending(finish.finish_reason, finish.provider_finish_reason)
    if error is not None:
        response["error"] = {"code": error.name, "message": error.text}
    if usage is not None:
        response["usage"] = write_usage(usage)
    return {"type": f"response.{response['status']}", "response": response}
