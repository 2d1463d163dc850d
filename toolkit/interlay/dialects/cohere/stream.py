"""Events of a streamed answer: what each says, and events for what is to be said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from interlay.dialects._codec import Object, a_dict, a_str, an_int, without_none
from interlay.dialects._deltas import heard, told
from interlay.dialects.cohere import failures, figures
from interlay.dialects.cohere.names import ORIGIN, finish_of, wire_word
from interlay.dialects.cohere.parts import decode_call, decode_part, encode_part
from interlay.dialects.cohere.tracker import DONE, is_failure
from interlay.model import json
from interlay.model.messages import Delta, Text
from interlay.model.protocols import WireEvent
from interlay.model.record import Failure

PLAN: Final = -1
"""The block that the plan for tools is: it has no place among the content."""
_END: Final = b"data: [DONE]\n\n"


def decode_event(event: WireEvent) -> list[Delta]:
    """What an event says; nothing for the ends of blocks and what we do not know. The first delta keeps the whole event
    in its ``raw``. Raises ``DecodeError`` for data that cannot be read."""
    if event.data is not None and event.data.startswith(DONE):
        return [Delta(kind="end", origin=ORIGIN)]
    return heard(event, ORIGIN, _read)


def encode_event(deltas: Sequence[Delta]) -> bytes:
    """The events that ``deltas`` make: one, if they came from one of this API."""
    made = b"".join(_frame(event) for event in told(deltas, ORIGIN, _read, _write))
    return made + _END if any(delta.kind == "end" for delta in deltas) else made


def error_event(failure: Failure) -> bytes:
    """The end of a stream that failed."""
    return _frame({"type": "message-end", "delta": _error(failure)})


def _frame(event: Object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % ((a_str(event.get("type")) or "").encode(), json.encode(event))


def _error(failure: Failure) -> Object:
    said = failures.write(failure)
    return {"finish_reason": "ERROR", "error": said.pop("message"), **said}


def _read(said: Object) -> list[Delta]:
    read = _READERS.get(a_str(said.get("type")) or "")
    return [] if read is None else read(said)


def _read_start(said: Object) -> list[Delta]:
    return [Delta(kind="start", id=a_str(said.get("id")), role=a_str(_message(said).get("role")))]


def _read_block(said: Object) -> list[Delta]:
    content = a_dict(_message(said).get("content"))
    return [] if content is None else [Delta(kind="part", block=_index(said), part=decode_part(content))]


def _read_text(said: Object) -> list[Delta]:
    content = a_dict(_message(said).get("content")) or {}
    text, thought = a_str(content.get("text")), a_str(content.get("thinking"))
    deltas = [Delta(kind="reasoning", block=_index(said), text=thought)] if thought is not None else []
    return [*deltas, *([Delta(kind="text", block=_index(said), text=text)] if text is not None else [])]


def _read_plan(said: Object) -> list[Delta]:
    plan = a_str(_message(said).get("tool_plan"))
    return [] if plan is None else [Delta(kind="reasoning", block=PLAN, text=plan)]


def _read_call(said: Object) -> list[Delta]:
    call = decode_call(a_dict(_message(said).get("tool_calls")) or {})
    return [Delta(kind="tool_call", block=_index(said), id=call.id, name=call.name, text=call.arguments)]


def _read_arguments(said: Object) -> list[Delta]:
    function = a_dict((a_dict(_message(said).get("tool_calls")) or {}).get("function")) or {}
    text = a_str(function.get("arguments"))
    return [] if text is None else [Delta(kind="tool_arguments", block=_index(said), text=text)]


def _read_citation(said: Object) -> list[Delta]:
    cited = a_dict(_message(said).get("citations"))
    if cited is None:
        return []
    block = an_int(cited.get("content_index")) or 0
    return [Delta(kind="citation", block=block, part=Text(text="", citations=[cited]))]


def _read_end(said: Object) -> list[Delta]:
    delta = _delta(said)
    word, usage = a_str(delta.get("finish_reason")), a_dict(delta.get("usage"))
    deltas: list[Delta] = []
    if is_failure(delta.get("error"), word):
        failure = failures.of_object(delta)
        deltas.append(Delta(kind="error", name=failure.type, text=failure.message or ""))
    elif word is not None:
        deltas.append(Delta(kind="finish", finish_reason=finish_of(word), provider_finish_reason=word))
    if usage is not None:
        deltas.append(Delta(kind="usage", usage=figures.of_mapping(usage)))
    return deltas


_READERS: Final[dict[str, Callable[[Object], list[Delta]]]] = {
    "message-start": _read_start,
    "content-start": _read_block,
    "content-delta": _read_text,
    "tool-plan-delta": _read_plan,
    "tool-call-start": _read_call,
    "tool-call-delta": _read_arguments,
    "citation-start": _read_citation,
    "message-end": _read_end,
}


def _delta(said: Object) -> Object:
    return a_dict(said.get("delta")) or {}


def _message(said: Object) -> Object:
    return a_dict(_delta(said).get("message")) or {}


def _index(said: Object) -> int:
    return an_int(said.get("index")) or 0


def _write(deltas: Sequence[Delta]) -> list[Object]:
    events: list[Object] = []
    for delta in deltas:
        event = _write_one(delta)
        if event is None:
            continue
        last: Object = events[-1] if events else {"type": None}
        if event["type"] == last["type"] == "message-end":
            last["delta"] |= event["delta"]
        elif event["type"] == last["type"] == "content-delta" and event["index"] == last["index"]:
            last["delta"]["message"]["content"] |= event["delta"]["message"]["content"]
        else:
            events.append(event)
    return events


def _write_one(delta: Delta) -> Object | None:
    kind, at = delta.kind, delta.block
    if kind in ("text", "refusal"):
        return _said("content-delta", at, content={"text": delta.text})
    if kind == "reasoning":
        if at == PLAN:
            return {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": delta.text}}}
        return _said("content-delta", at, content={"thinking": delta.text})
    if kind == "part" and delta.part is not None:
        item = encode_part(delta.part)
        return None if item is None else _said("content-start", at, content=item)
    if kind == "tool_call":
        function = {"name": delta.name or "", "arguments": delta.text}
        call = {**without_none(id=delta.id), "type": "function", "function": function}
        return _said("tool-call-start", at, tool_calls=call)
    if kind == "tool_arguments":
        return _said("tool-call-delta", at, tool_calls={"function": {"arguments": delta.text}})
    if kind == "citation" and isinstance(delta.part, Text) and delta.part.citations:
        return _said("citation-start", at, citations=delta.part.citations[0])
    return _write_around(delta)


def _write_around(delta: Delta) -> Object | None:
    """The events that a message begins and ends with."""
    if delta.kind == "start":
        made: Object = {"role": delta.role or "assistant"}
        return {**without_none(id=delta.id), "type": "message-start", "delta": {"message": made}}
    if delta.kind == "finish":
        word = wire_word(delta.finish_reason, delta.provider_finish_reason)
        return {"type": "message-end", "delta": {"finish_reason": word}}
    if delta.kind == "usage" and delta.usage is not None:
        return {"type": "message-end", "delta": {"usage": figures.write(delta.usage)}}
    if delta.kind == "error":
        return {"type": "message-end", "delta": _error(Failure(type=delta.name or "error", message=delta.text))}
    return None


def _said(kind: str, index: int, **message: Any) -> Object:
    return {"type": kind, "index": index, "delta": {"message": message}}
