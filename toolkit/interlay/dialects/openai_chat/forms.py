"""A chat completion in its two forms: one body, or chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from interlay.dialects._codec import Object, a_dict, a_str, an_int, an_object
from interlay.dialects._forms import Repeats, choices_of, encode, event_object, is_number, list_of, text_of, whole_body
from interlay.dialects._openai import PADDING
from interlay.dialects.openai_chat.assembly import Assembly
from interlay.dialects.openai_chat.tracker import DONE, MAX_CHOICES
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent

_END: Final = b"data: [DONE]\n\n"
_OWN: Final = ("role", "content", "refusal", "tool_calls", "function_call")
"""Members of a message that are streamed each in its own way."""
_INNER: Final = ("function", "custom")
"""Members of a call that have its name."""
_MAX_CALLS: Final = 4096
_JOINED: Final = frozenset(
    ("role", "content", "refusal", "reasoning", "reasoning_content", "reasoning_details", "tool_calls",
     "function_call", "audio", "annotations")
)  # fmt: skip
"""Members of a delta that assemblies know how to join."""
_APART: Final = frozenset(("delta", "message", "text", "logprobs", "index"))
"""Members of a choice that are looked at on their own; some hosts say in ``text`` again what the delta says."""
_NAMES: Final = ("id", "model")
_KNOWN: Final = frozenset((*_NAMES, "choices", "usage", "x_groq", *PADDING))
"""Members of a chunk that assemblies know how to join, or that say nothing."""


# A body as chunks


def as_stream(body: bytes, _query: str) -> list[bytes]:
    """The chunks of a completion, with usage as if it had been asked for. Raises ``DecodeError``."""
    whole = whole_body(body)
    said = [_Choice(choice) for choice in choices_of(whole.get("choices"), MAX_CHOICES)]
    chunks = _Chunks(whole)
    # All begin before one goes on: readers count choices by their first chunks.
    made = [chunks.of(choice.head()) for choice in said]
    for choice in said:
        made += [chunks.of(each) for each in choice.deltas()]
    made += [chunks.of(choice.end(), last=choice is said[-1]) for choice in said]
    return [*made, *chunks.usage(), _END]


class _Chunks:
    """What the chunks of one completion have alike."""

    def __init__(self, whole: Object) -> None:
        members = {key: value for key, value in whole.items() if key not in ("choices", "usage", "error")}
        members["object"] = "chat.completion.chunk"
        self._usage = a_dict(whole.get("usage"))
        self._top = {key: value for key, value in members.items() if not isinstance(value, list | dict)}
        self._once = {key: value for key, value in members.items() if isinstance(value, list | dict)}

    def of(self, choice: Object, *, last: bool = False) -> bytes:
        """A chunk that has one choice."""
        chunk = {**self._top, **(self._once if last else {}), "choices": [choice]}
        if self._usage is not None:
            if last and isinstance(groq := chunk.get("x_groq"), dict):
                chunk["x_groq"] = {**groq, "usage": self._usage}
            chunk["usage"] = None
        return b"data: %s\n\n" % encode(chunk)

    def usage(self) -> list[bytes]:
        """The chunk that has no choice."""
        if self._usage is None:
            return []
        return [b"data: %s\n\n" % encode({**self._top, "choices": [], "usage": self._usage})]


class _Choice:
    """One choice, as it is said bit by bit."""

    def __init__(self, choice: Object) -> None:
        message = a_dict(choice.get("message"))
        if message is None or a_dict(message.get("audio")) is not None:
            raise DecodeError("no message, or one that is spoken: streams have other sounds")
        text_of(choice.get("finish_reason"))
        self._message = message
        self._choice = choice
        self._logprobs = choice.get("logprobs")

    def head(self) -> Object:
        message = self._message
        nothing = {key: None for key, value in message.items() if value is None}
        content = {"content": ""} if isinstance(message.get("content"), str | list) else {}
        return self._chunk({"role": message.get("role") or "assistant", **nothing, **content})

    def deltas(self) -> Iterator[Object]:
        message = self._message
        others = {key: value for key, value in message.items() if key not in _OWN and value not in (None, [])}
        if others:
            yield self._chunk(others)
        for key in ("content", "refusal"):
            if message.get(key):
                yield self._chunk({key: message[key]}, self._take_logprobs())
        # Each whole: readers made for hosts that send calls so cannot do with pieces, and others with both.
        calls = list_of(message["tool_calls"]) if message.get("tool_calls") else []
        if len(calls) > _MAX_CALLS:
            raise DecodeError("too many calls")
        for index, call in enumerate(calls):
            yield self._chunk({"tool_calls": [{**call, "index": index}]})
        if function := message.get("function_call"):
            yield self._chunk({"function_call": an_object(function, "the function")})

    def end(self) -> Object:
        others = {key: value for key, value in self._choice.items() if key not in _APART}
        return {**self._chunk({}, self._take_logprobs()), **others}

    def _take_logprobs(self) -> Any:
        taken, self._logprobs = self._logprobs, None
        return taken

    def _chunk(self, delta: Object, logprobs: Any = None) -> Object:
        known = {"logprobs": logprobs} if "logprobs" in self._choice else {}
        return {"index": an_int(self._choice.get("index")) or 0, "delta": delta, **known, "finish_reason": None}


# Chunks as a body


def as_body(events: Iterable[WireEvent]) -> bytes:
    """The completion that chunks add up to. Raises ``DecodeError`` where something would be lost, also where usage was
    not reported: a completion always has it."""
    assembly, repeats = Assembly(), Repeats()
    for event in events:
        if event.data is not None and event.data.startswith(DONE):
            break
        chunk = event_object(event)
        if chunk is not None:
            _look_through(chunk, repeats)
            assembly.add_chunk(chunk)
    whole = assembly.response()
    repeats.put_names(whole, *_NAMES)
    whole["object"] = "chat.completion"
    whole["choices"] = [_finished(choice) for choice in list_of(whole["choices"])]
    _settle_usage(whole)
    return encode(whole)


def _look_through(chunk: Object, repeats: Repeats) -> None:
    """Refuse what assemblies would lose: of members they do not know they keep the last."""
    repeats.name(chunk, *_NAMES)
    tier = chunk.get("service_tier")
    if tier is not None and not isinstance(tier, str):
        raise DecodeError("a tier that is no word takes the place of one that is")
    for key, value in chunk.items():
        if isinstance(value, list | dict) and key not in _KNOWN:
            repeats.add(key, value)
    choices = chunk.get("choices")
    for choice in list_of(choices) if choices else ():
        index = an_int(choice.get("index"))
        if choice.get("content_filter_results") == {}:
            del choice["content_filter_results"]  # of a chunk without text: it takes no verdict back
        for key, value in choice.items():
            if key not in _APART:
                repeats.add((index, key), value)
        if not isinstance(choice.get("logprobs"), dict):
            repeats.add((index, "logprobs"), choice.get("logprobs"))
        delta = choice.get("delta")
        for key, value in delta.items() if isinstance(delta, dict) else ():
            if key not in _JOINED and not is_number(value):
                repeats.add((index, "delta", key), value)


def _finished(choice: Object) -> Object:
    text_of(choice.get("finish_reason"))  # without one for each choice the stream has not ended
    message = {"role": "assistant", "content": None, **an_object(choice.get("message"), "message")}
    # Numbers beside each token, such as its own, say nothing of the message.
    message = {key: value for key, value in message.items() if key in _JOINED or not is_number(value)}
    for call in list_of(message["tool_calls"]) if message.get("tool_calls") else ():
        inner: Object = next((call[kind] for kind in _INNER if isinstance(call.get(kind), dict)), {})
        if a_str(inner.get("name")) is None:
            raise DecodeError("a call without a name")
    return {**choice, "message": message}


def _settle_usage(whole: Object) -> None:
    """Groq has it in a member of its own, at the end of a stream alone."""
    groq = a_dict(whole.get("x_groq")) or {}
    if not isinstance(whole.get("usage"), dict):
        whole["usage"] = an_object(groq.get("usage"), "usage")
    if "usage" in groq:
        whole["x_groq"] = {key: value for key, value in groq.items() if key != "usage"}
