"""Chunks of a streamed answer, each a response of its own: what it says, and chunks for what is to be said."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interlay.dialects._codec import Object, a_dict, a_str, an_int, without_none
from interlay.dialects._deltas import retold
from interlay.dialects._functions import args_of
from interlay.dialects._places import said_by
from interlay.dialects.gemini import failures, figures
from interlay.dialects.gemini.framing import END
from interlay.dialects.gemini.names import ORIGIN
from interlay.dialects.gemini.parts import decode_part, encode_part
from interlay.dialects.gemini.places import rewritten
from interlay.dialects.gemini.response import wire_word, write_usage
from interlay.dialects.gemini.tracker import finish_of, word_of
from interlay.model import json
from interlay.model.messages import Delta, Opaque, Part, Reasoning, Text, ToolCall
from interlay.model.places import Channel
from interlay.model.protocols import WireEvent
from interlay.model.record import Failure

_TEXTUAL: Final = ("text", "reasoning")
_TOP: Final = ("modelVersion", "responseId", "createTime")


def decode_event(event: WireEvent) -> list[Delta]:
    """What a chunk says. The first delta keeps the chunk in its ``raw``. Raises ``DecodeError``."""
    if event.data == END:
        return [Delta(kind="end", origin=ORIGIN)]
    chunk = said_by(event)
    return [] if chunk is None else _deltas(chunk)


def encode_event(deltas: list[Delta]) -> bytes:
    """One server-sent event for the deltas of one chunk, and nothing for none: there is no last event of its own.

    A chunk that was decoded is given out as it was, its texts set where they were changed; where other deltas were
    added or taken away, its candidates are made anew.
    """
    if all(delta.kind == "end" for delta in deltas):
        return b""
    raw = deltas[0].raw if deltas[0].origin == ORIGIN else None
    if raw is None:
        return frame(_chunk(deltas, {}))
    texts = retold(_deltas(raw), deltas, _channel)
    if texts is not None:
        return frame(rewritten(raw, texts) if texts else raw)
    return frame(_chunk(deltas, {key: raw[key] for key in _TOP if key in raw}))


def frame(chunk: Object) -> bytes:
    """A server-sent event."""
    return b"data: " + json.encode(chunk) + b"\n\n"


def error_event(failure: Failure) -> bytes:
    """The event by which the API reports an error in mid-stream."""
    return b"data: " + failures.encode(failure) + b"\n\n"


def _channel(delta: Delta) -> Channel | None:
    return (delta.kind, delta.choice, 0) if delta.kind in _TEXTUAL else None


def _deltas(chunk: Object) -> list[Delta]:
    deltas: list[Delta] = []
    error = chunk.get("error")
    if error:
        failure = failures.decode(json.encode({"error": error}))
        deltas.append(Delta(kind="error", name=failure.type, text=failure.message or ""))
    candidates = chunk.get("candidates")
    for candidate in candidates if isinstance(candidates, list) else ():
        if isinstance(candidate, dict):
            deltas += _of_candidate(candidate, chunk)
    usage = a_dict(chunk.get("usageMetadata"))
    if usage is not None:
        deltas.append(Delta(kind="usage", usage=figures.of_mapping(usage)))
    for delta in deltas:
        delta.origin = ORIGIN
    if deltas:
        deltas[0].raw = chunk
    return deltas


def _of_candidate(candidate: Object, chunk: Object) -> list[Delta]:
    index = an_int(candidate.get("index")) or 0
    content = a_dict(candidate.get("content")) or {}
    deltas: list[Delta] = []
    if content.get("role") == "model":
        name, model = a_str(chunk.get("responseId")), a_str(chunk.get("modelVersion"))
        deltas.append(Delta(kind="start", choice=index, role="assistant", id=name, model=model))
    calls, parts = False, content.get("parts")
    for at, item in enumerate(parts if isinstance(parts, list) else ()):
        if isinstance(item, dict):
            said = _of_part(item, index, at)
            calls = calls or any(delta.kind == "tool_call" for delta in said)
            deltas += said
    word = word_of(candidate.get("finishReason"))
    if word is not None:
        reason = finish_of(word, calls=calls)
        deltas.append(Delta(kind="finish", choice=index, finish_reason=reason, provider_finish_reason=word))
    return deltas


def _of_part(item: Object, choice: int, at: int) -> list[Delta]:
    part = decode_part(item)
    signature = a_str(item.get("thoughtSignature"))
    sealed = [Delta(kind="signature", choice=choice, block=at, text=signature)] if signature else []
    if isinstance(part, Text):
        return [*([Delta(kind="text", choice=choice, text=part.text)] if part.text else []), *sealed]
    if isinstance(part, Reasoning):
        return [*([Delta(kind="reasoning", choice=choice, text=part.text)] if part.text else []), *sealed]
    if isinstance(part, ToolCall) and not part.server:
        called = Delta(kind="tool_call", choice=choice, block=at, id=part.id, name=part.name, text=part.arguments)
        called.part = part
        return [called, *sealed]
    if isinstance(part, Opaque) and item.keys() <= {"thoughtSignature"}:
        return sealed
    return [Delta(kind="part", choice=choice, block=at, part=part), *sealed]


def _chunk(deltas: list[Delta], top: Object) -> Object:
    candidates: dict[int, Object] = {}
    wire: Object = {}
    for delta in deltas:
        if delta.kind == "usage":
            wire |= {} if delta.usage is None else {"usageMetadata": write_usage(delta.usage)}
        elif delta.kind == "error":
            said = failures.encode(Failure(type=delta.name or "error", message=delta.text))
            wire |= json.decode(said)
        elif delta.kind == "start":
            top = without_none(responseId=delta.id, modelVersion=delta.model) | top
        elif delta.kind != "end":
            new: Object = {"content": {"parts": [], "role": "model"}, "index": delta.choice}
            candidate = candidates.setdefault(delta.choice, new)
            _say(candidate, delta)
    made: Object = {"candidates": list(candidates.values())} if candidates else {}
    return {**made, **wire, **top}


def _say(candidate: Object, delta: Delta) -> None:
    """Put one delta into its candidate."""
    parts: list[Any] = candidate["content"]["parts"]
    if delta.kind == "finish":
        candidate["finishReason"] = wire_word(delta)
        return
    part = _part_of(delta)
    item = encode_part(part, {}, answer=True) if part is not None else None
    if item is not None:
        parts.append(item)
    elif delta.kind == "signature" and parts and delta.origin == ORIGIN:
        parts[-1]["thoughtSignature"] = delta.text


def _part_of(delta: Delta) -> Part | None:
    if delta.kind in ("text", "refusal"):
        return Text(text=delta.text)
    if delta.kind == "reasoning":
        return Reasoning(text=delta.text)
    if delta.kind == "tool_call":
        # A call comes whole here: what another API says of it in pieces later has no form.
        if isinstance(delta.part, ToolCall):
            return msgspec.structs.replace(delta.part, id=delta.id, name=delta.name or "", arguments=delta.text)
        return ToolCall(id=delta.id, name=delta.name or "", arguments=json.encode(args_of(delta.text)).decode())
    return delta.part if delta.kind in ("part", "audio") else None
