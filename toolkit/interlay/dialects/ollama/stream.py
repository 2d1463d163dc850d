"""Lines of a streamed answer: what each says, and lines for what is to be said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from interlay.dialects._codec import Object, a_dict, a_str, without_none
from interlay.dialects._deltas import heard, retold
from interlay.dialects._functions import args_of
from interlay.dialects.counts import objects
from interlay.dialects.ollama import failures, figures
from interlay.dialects.ollama.framing import framed
from interlay.dialects.ollama.names import ORIGIN
from interlay.dialects.ollama.places import rewritten
from interlay.dialects.ollama.response import time_of, wire_word
from interlay.dialects.ollama.tracker import finish_of
from interlay.dialects.ollama.turns import decode_call, encode_call, index_of
from interlay.model import json
from interlay.model.messages import Delta, Image, ToolCall
from interlay.model.places import Channel
from interlay.model.protocols import WireEvent
from interlay.model.record import Failure

_TOP: Final = ("model", "created_at", "remote_model", "remote_host")
_TEXTUAL: Final = ("text", "reasoning")


def decode_event(event: WireEvent) -> list[Delta]:
    """What a line says. The first delta keeps the line in its ``raw``. Raises ``DecodeError``."""
    return heard(event, ORIGIN, _read)


def encode_event(deltas: Sequence[Delta]) -> bytes:
    """One line for the deltas of one event, and nothing for none.

    A line that was decoded is given out as it was, its texts set where they were changed; where other deltas were added
    or taken away, it is made anew.
    """
    if not deltas:
        return b""
    raw = deltas[0].raw if deltas[0].origin == ORIGIN else None
    if raw is None:
        made = _line(deltas, {})
        return b"" if made is None else framed(made)
    texts = retold(_read(raw), deltas, _channel)
    if texts is not None:
        return framed(rewritten(raw, texts) if texts else raw)
    return framed(_line(deltas, raw) or raw)


def error_event(failure: Failure) -> bytes:
    """The line by which the API reports an error in mid-stream."""
    return failures.encode(failure) + b"\n"


def _channel(delta: Delta) -> Channel | None:
    return (delta.kind, delta.choice, delta.block) if delta.kind in _TEXTUAL else None


def _read(said: Object) -> list[Delta]:
    deltas: list[Delta] = []
    if said.get("error"):
        failure = failures.decode(json.encode(said))
        return [Delta(kind="error", name=failure.type, text=failure.message or "")]
    message = a_dict(said.get("message")) or {}
    if thought := a_str(message.get("thinking")):
        deltas.append(Delta(kind="reasoning", text=thought))
    if text := a_str(message.get("content")):
        deltas.append(Delta(kind="text", text=text))
    images = message.get("images")
    pictures = [image for image in images if isinstance(image, str)] if isinstance(images, list) else []
    deltas += [Delta(kind="part", part=Image(data=image)) for image in pictures]
    calls = objects(message.get("tool_calls"))
    deltas += [_of_call(item, at) for at, item in enumerate(calls)]
    word = a_str(said.get("done_reason"))
    if word is not None:
        reason = finish_of(word, calls=bool(calls))
        deltas.append(Delta(kind="finish", finish_reason=reason, provider_finish_reason=word))
    if (usage := figures.of_answer(said)) is not None:
        deltas.append(Delta(kind="usage", usage=usage))
    if said.get("done") is True:
        deltas.append(Delta(kind="end"))
    return deltas


def _of_call(item: Object, at: int) -> Delta:
    call = decode_call(item)
    delta = Delta(kind="tool_call", block=index_of(item, at), id=call.id, name=call.name, text=call.arguments)
    delta.part = call
    return delta


def _line(deltas: Sequence[Delta], raw: Object) -> Object | None:
    """A line that says what deltas say; None where they say nothing that has a form here."""
    top: Object = {"model": "", "created_at": time_of(None), **{key: raw[key] for key in _TOP if key in raw}}
    message: Object = {"role": "assistant", "content": ""}
    end: Object = {}
    said = False
    for delta in deltas:
        if delta.kind == "error":
            return _error(delta)
        said |= _say(top, message, end, delta)
    if not said:
        return None
    return {**top, "message": message, "done": False, **end}


def _say(top: Object, message: Object, end: Object, delta: Delta) -> bool:
    """Put one delta into a line. Whether it had a form."""
    if delta.kind == "start":
        top |= without_none(model=delta.model)
    elif delta.kind in ("text", "refusal"):
        message["content"] += delta.text
    elif delta.kind == "reasoning":
        message["thinking"] = message.get("thinking", "") + delta.text
    elif delta.kind == "part" and isinstance(delta.part, Image) and delta.part.data is not None:
        message.setdefault("images", []).append(delta.part.data)
    elif delta.kind == "tool_call":
        # A call comes whole here: what another API says of it in pieces later has no form.
        message.setdefault("tool_calls", []).append(_call(delta))
    elif delta.kind == "finish":
        end |= without_none(done_reason=wire_word(delta.finish_reason, delta.provider_finish_reason))
    elif delta.kind == "usage" and delta.usage is not None:
        end |= figures.write(delta.usage)
    elif delta.kind == "end":
        end["done"] = True
    else:
        return False
    return True


def _call(delta: Delta) -> Object:
    if isinstance(delta.part, ToolCall) and delta.part.origin == ORIGIN:
        return encode_call(delta.part)
    function = {"index": delta.block, "name": delta.name or "", "arguments": args_of(delta.text)}
    return {**without_none(id=delta.id), "function": function}


def _error(delta: Delta) -> Object:
    made: Object = json.decode(failures.encode(Failure(type=delta.name or "error", message=delta.text)))
    return made
