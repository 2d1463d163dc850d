"""Chunks of a streamed chat completion: what each says, and chunks for what is to be said."""

from __future__ import annotations

from typing import Any, Final

from interlay.dialects._codec import Object, a_dict, a_str, an_int, without_none
from interlay.dialects._deltas import retold
from interlay.dialects._places import said_by
from interlay.dialects.counts import objects
from interlay.dialects.openai_chat import failures, figures
from interlay.dialects.openai_chat.parts import ORIGIN, decode_audio, decode_part, encode_part, is_detail
from interlay.dialects.openai_chat.places import rewritten
from interlay.dialects.openai_chat.response import finish, write_usage
from interlay.dialects.openai_chat.tracker import DONE
from interlay.dialects.openai_chat.turns import REASONING
from interlay.model import json
from interlay.model.messages import AnyPart, Audio, Delta, Image, Reasoning, Refusal, Text
from interlay.model.places import Channel
from interlay.model.protocols import WireEvent
from interlay.model.record import Failure

_END: Final = b"data: [DONE]\n\n"
_TOP: Final = ("id", "object", "created", "model", "system_fingerprint", "service_tier", "provider")
_TEXTUAL: Final = ("text", "reasoning", "refusal", "tool_arguments")


def decode_event(event: WireEvent) -> list[Delta]:
    """What a chunk says. The first delta keeps the chunk in its ``raw``. Raises ``DecodeError``."""
    if event.data is not None and event.data.startswith(DONE):
        return [Delta(kind="end", origin=ORIGIN)]
    chunk = said_by(event)
    return [] if chunk is None else _deltas(chunk)


def encode_event(deltas: list[Delta]) -> bytes:
    """One chunk for the deltas of one event, and nothing for none.

    A chunk that was decoded is given out as it was, its texts set where they were changed; where other deltas were
    added or taken away, its choices are made anew.
    """
    if not deltas:
        return b""
    if any(delta.kind == "end" for delta in deltas):
        return _END
    raw = deltas[0].raw if deltas[0].origin == ORIGIN else None
    if raw is None:
        return _framed(_chunk(deltas, {}))
    texts = retold(_deltas(raw), deltas, _channel)
    if texts is not None:
        return _framed(rewritten(raw, texts) if texts else raw)
    return _framed(_chunk(deltas, {key: raw[key] for key in _TOP if key in raw}))


def error_event(failure: Failure) -> bytes:
    """The chunk by which hosts report an error in mid-stream."""
    return b"data: " + failures.encode(failure) + b"\n\n"


def _framed(chunk: Object) -> bytes:
    return b"data: " + json.encode(chunk) + b"\n\n"


def _channel(delta: Delta) -> Channel | None:
    return (delta.kind, delta.choice, delta.block) if delta.kind in _TEXTUAL else None


def _deltas(chunk: Object) -> list[Delta]:
    deltas: list[Delta] = []
    error = chunk.get("error")
    if error:
        deltas.append(_error(error))
    for choice in objects(chunk.get("choices")):
        index = an_int(choice.get("index")) or 0
        delta = a_dict(choice.get("delta"))
        if delta is not None:
            deltas += _of_delta(delta, index, chunk)
        word = a_str(choice.get("finish_reason"))
        if word is not None:
            deltas.append(Delta(kind="finish", choice=index, finish_reason=finish(word), provider_finish_reason=word))
    usage = a_dict(chunk.get("usage")) or a_dict((a_dict(chunk.get("x_groq")) or {}).get("usage"))
    if usage is not None:
        deltas.append(Delta(kind="usage", usage=figures.of_mapping(usage)))
    for each in deltas:
        each.origin = ORIGIN
    if deltas:
        deltas[0].raw = chunk
    return deltas


def _error(error: Any) -> Delta:
    if not isinstance(error, dict):
        return Delta(kind="error", text=a_str(error) or "")
    return Delta(kind="error", name=a_str(error.get("type")), text=a_str(error.get("message")) or "")


def _of_delta(delta: Object, choice: int, chunk: Object) -> list[Delta]:
    deltas: list[Delta] = []
    role = a_str(delta.get("role"))
    if role:
        model = a_str(chunk.get("model"))
        deltas.append(Delta(kind="start", choice=choice, role=role, id=a_str(chunk.get("id")), model=model))
    deltas += _reasoning(delta, choice)
    content = delta.get("content")
    if isinstance(content, str):
        if content:
            deltas.append(Delta(kind="text", choice=choice, text=content))
    elif isinstance(content, list):
        for item in objects(content):
            deltas.append(_of_part(decode_part(item), choice))
    refusal = a_str(delta.get("refusal"))
    if refusal:
        deltas.append(Delta(kind="refusal", choice=choice, text=refusal))
    audio = a_dict(delta.get("audio"))
    if audio is not None:
        part = decode_audio(audio)
        text = part.transcript if isinstance(part, Audio) else None
        deltas.append(Delta(kind="audio", choice=choice, text=text or "", part=part))
    for place, call in enumerate(objects(delta.get("tool_calls"))):
        block = an_int(call.get("index"))
        deltas += _of_call(call, choice, place if block is None else block)
    function = a_dict(delta.get("function_call"))
    if function is not None:
        deltas += _of_call({"function": function}, choice, 0)
    annotations = delta.get("annotations")
    if isinstance(annotations, list) and annotations:
        cited = Text(text="", citations=objects(annotations), origin=ORIGIN)
        deltas.append(Delta(kind="citation", choice=choice, part=cited))
    return deltas


def _reasoning(delta: Object, choice: int) -> list[Delta]:
    """OpenRouter's details have signatures; the text beside them is the same once more."""
    details = delta.get("reasoning_details")
    if not isinstance(details, list) or not details or not all(map(is_detail, details)):
        texts = (a_str(delta.get(key)) for key in REASONING)
        text = next((text for text in texts if text), None)
        return [] if text is None else [Delta(kind="reasoning", choice=choice, text=text)]
    deltas: list[Delta] = []
    for detail in details:
        text = a_str(detail.get("text")) or a_str(detail.get("summary"))
        if text:
            deltas.append(Delta(kind="reasoning", choice=choice, text=text))
        if signature := a_str(detail.get("signature")):
            deltas.append(Delta(kind="signature", choice=choice, text=signature))
        if data := a_str(detail.get("data")):
            deltas.append(Delta(kind="part", choice=choice, part=Reasoning(encrypted=data, origin=ORIGIN)))
    return deltas


def _of_part(part: AnyPart, choice: int) -> Delta:
    if isinstance(part, Text):
        return Delta(kind="text", choice=choice, text=part.text)
    if isinstance(part, Reasoning):
        return Delta(kind="reasoning", choice=choice, text=part.text)
    if isinstance(part, Refusal):
        return Delta(kind="refusal", choice=choice, text=part.text)
    return Delta(kind="part", choice=choice, part=part)


def _of_call(call: Object, choice: int, block: int) -> list[Delta]:
    inner = a_dict(call.get("function")) or a_dict(call.get("custom")) or {}
    call_id, name = a_str(call.get("id")), a_str(inner.get("name"))
    text = a_str(inner.get("arguments")) or a_str(inner.get("input")) or ""
    deltas: list[Delta] = []
    if call_id or name:
        deltas.append(Delta(kind="tool_call", choice=choice, block=block, id=call_id, name=name))
    if text:
        deltas.append(Delta(kind="tool_arguments", choice=choice, block=block, text=text))
    return deltas


def _chunk(deltas: list[Delta], top: Object) -> Object:
    choices: dict[int, Object] = {}
    wire = {"object": "chat.completion.chunk", **top, "choices": []}
    for delta in deltas:
        if delta.kind == "usage":
            wire["usage"] = None if delta.usage is None else write_usage(delta.usage)
        elif delta.kind == "error":
            wire["error"] = {"message": delta.text, "type": delta.name or "error", "param": None, "code": None}
        elif delta.kind not in ("signature", "end"):
            if delta.kind == "start":
                wire |= without_none(id=delta.id, model=delta.model)
            new = {"index": delta.choice, "delta": {}, "logprobs": None, "finish_reason": None}
            choice = choices.setdefault(delta.choice, new)
            _say(choice, choice["delta"], delta)
    wire["choices"] = list(choices.values())
    return wire


def _say(choice: Object, wire: Object, delta: Delta) -> None:
    """Put one delta into its choice."""
    if delta.kind == "start":
        wire["role"] = delta.role or "assistant"
        wire.setdefault("content", "")
    elif delta.kind == "text":
        wire["content"] = wire.get("content", "") + delta.text
    elif delta.kind == "reasoning":
        wire["reasoning_content"] = wire.get("reasoning_content", "") + delta.text
    elif delta.kind == "refusal":
        wire["refusal"] = wire.get("refusal", "") + delta.text
    elif delta.kind == "tool_call":
        function = {"name": delta.name or "", "arguments": delta.text}
        call = {"index": delta.block, **without_none(id=delta.id), "type": "function", "function": function}
        wire.setdefault("tool_calls", []).append(call)
    elif delta.kind == "tool_arguments":
        _say_arguments(wire.setdefault("tool_calls", []), delta)
    elif delta.kind == "audio" and isinstance(delta.part, Audio):
        part = delta.part
        wire["audio"] = without_none(id=part.id, data=part.data, transcript=part.transcript, expires_at=part.expires_at)
    elif delta.kind == "citation" and isinstance(delta.part, Text):
        wire["annotations"] = delta.part.citations
    elif delta.kind == "part" and isinstance(delta.part, Image):
        # As hosts send pictures that a model made.
        wire.setdefault("images", []).append(encode_part(delta.part))
    elif delta.kind == "finish":
        word = delta.provider_finish_reason
        choice["finish_reason"] = word if finish(word) == delta.finish_reason else delta.finish_reason


def _say_arguments(calls: list[Object], delta: Delta) -> None:
    for call in calls:
        if call["index"] == delta.block:
            call["function"]["arguments"] += delta.text
            return
    calls.append({"index": delta.block, "function": {"arguments": delta.text}})
