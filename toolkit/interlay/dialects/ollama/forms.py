"""An answer in its two forms: one body, or lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from interlay.dialects._codec import Object, an_object
from interlay.dialects._forms import Repeats, encode, event_object, list_of, text_of, whole_body
from interlay.dialects.ollama.assembly import Assembly
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent

_TOP: Final = ("model", "created_at", "remote_model", "remote_host")
"""Members that all lines have."""
_JOINED: Final = ("role", "content", "thinking", "tool_calls", "images")
"""Members of a message that assemblies know how to join."""


def as_stream(body: bytes, _query: str) -> list[bytes]:
    """The lines of an answer. Raises ``DecodeError``."""
    whole = whole_body(body)
    if whole.get("done") is not True:
        raise DecodeError("the answer has no end")
    message = an_object(whole.get("message"), "message")
    lines = [_line(whole, each, {"done": False, **more}) for each, more in _bits(message, whole.get("logprobs"))]
    role = message.get("role") or "assistant"
    end = {key: value for key, value in whole.items() if key not in (*_TOP, "message", "logprobs")}
    return [*lines, _line(whole, {"role": role, "content": ""}, end)]


def _bits(message: Object, logprobs: object) -> Iterator[tuple[Object, Object]]:
    """What lines say of a message, and the log-probabilities of the texts: thoughts, text, and what comes whole."""
    role = {"role": message.get("role") or "assistant"}
    said = [{**role, "content": "", "thinking": message["thinking"]}] if message.get("thinking") else []
    if content := message.get("content"):
        said.append({**role, "content": text_of(content)})
    others = {key: value for key, value in message.items() if key not in ("role", "content", "thinking")}
    if others:
        said.append({**role, "content": "", **others})
    for each in said:
        # They are in one list for all that was said.
        yield each, {"logprobs": logprobs} if logprobs and each is said[-1] else {}
    if logprobs and not said:
        yield {**role, "content": ""}, {"logprobs": logprobs}


def _line(whole: Object, message: Object, more: Object) -> bytes:
    top = {key: whole[key] for key in _TOP if key in whole}
    return encode({**top, "message": message, **more}) + b"\n"


def as_body(events: Iterable[WireEvent]) -> bytes:
    """The answer that lines add up to. Raises ``DecodeError`` where something would be lost."""
    assembly, repeats, done = Assembly(), Repeats(), False
    for event in events:
        line = event_object(event)
        if line is None:
            continue
        repeats.name(line, "model")
        for key, value in line.items():
            if isinstance(value, list | dict) and key not in ("message", "logprobs", "model"):
                repeats.add(key, value)
        message = line.get("message")
        for key, value in an_object(message, "message").items() if message is not None else ():
            if key not in _JOINED:
                repeats.add(("message", key), value)
        assembly.add_line(line)
        if line.get("done") is True:
            done = True
            break
    if not done:
        raise DecodeError("the stream has no end")
    whole = assembly.response()
    repeats.put_names(whole, "model")
    if any(isinstance(whole.get(name), list | dict | str) for name in ("prompt_eval_count", "eval_count")):
        raise DecodeError("a count that is no number")
    for call in list_of(calls) if (calls := an_object(whole.get("message"), "message").get("tool_calls")) else ():
        an_object(call.get("function"), "the function")
    return encode(whole)
