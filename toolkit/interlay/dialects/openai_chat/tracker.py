"""What the record needs of a response, gathered while it passes; and hiding the usage that nobody asked for."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from interlay.dialects._sse import reframed
from interlay.dialects._tails import ends_whole, last_object
from interlay.dialects.counts import text
from interlay.dialects.openai_chat import failures, figures
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.members import cut_member, members
from interlay.model.protocols import WireEvent
from interlay.model.record import Failure
from interlay.model.tokens import estimate
from interlay.model.usage import Usage

DONE: Final = b"[DONE]"
MAX_CHOICES: Final = 256

FINISH: Final = {
    "function_call": "tool_calls",
    "tool_call": "tool_calls",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "model_length": "length",
    "max_tokens": "length",
}
"""Hosts' own finish reasons in canonical words; others stand as they are."""

_NOTHING: Final = msgspec.Raw()


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: Any = None


class _ToolCall(msgspec.Struct, gc=False):
    function: _Function | None = None


class _Piece(msgspec.Struct, gc=False):
    """A part of a message, as Mistral sends its thinking."""

    text: str | None = None
    thinking: str | list[_Piece] | None = None


class _Said(msgspec.Struct, gc=False):
    """A message or a delta: only what counts as output."""

    content: str | list[_Piece] | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct, gc=False):
    index: int | None = None
    finish_reason: str | None = None
    delta: _Said | None = None
    message: _Said | None = None


class _Groq(msgspec.Struct, gc=False):
    usage: msgspec.Raw = _NOTHING


class _Answer(msgspec.Struct, gc=False):
    """A whole response, or a chunk of one."""

    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = _NOTHING
    service_tier: str | None = None
    x_groq: _Groq | None = None
    error: msgspec.Raw = _NOTHING


_answers: Final = json.Reader(_Answer)


class Tracker:
    """Gathers from chunks, or from a body, what the record needs."""

    __slots__ = ("_chosen", "_usage", "_usage_raw", "failure", "finished", "id", "model", "output_tokens_estimate",
                 "service_tier")  # fmt: skip

    def __init__(self) -> None:
        self.id: str | None = None
        self.model: str | None = None
        self.service_tier: str | None = None
        self.finished = False
        self.failure: Failure | None = None
        self.output_tokens_estimate = 0.0
        self._chosen: dict[int, str | None] = {}
        self._usage_raw: bytes | None = None
        self._usage: Usage | None = None

    @property
    def ended_well(self) -> bool:
        return self.finished or (bool(self._chosen) and None not in self._chosen.values())

    @property
    def finish_reasons(self) -> list[str]:
        return [reason for _, reason in sorted(self._chosen.items()) if reason is not None]

    @property
    def usage(self) -> Usage | None:
        """From the last usage object that came: hosts that send it with every chunk count up."""
        if self._usage is None and self._usage_raw is not None:
            self._usage = figures.read(self._usage_raw)
        return self._usage

    def event(self, event: WireEvent) -> None:
        data = event.data
        if data is None or self.finished:
            return
        if data.startswith(DONE):
            self.finished = True
        else:
            self._take(data)

    def body(self, data: bytes) -> None:
        if self._take(data, whole=True):
            self.finished = True
        else:
            self.finished = ends_whole(data)
            self.tail(data)

    def tail(self, data: bytes) -> None:
        """The usage object nearest to the end of a body that was too large to keep."""
        if (raw := last_object(data, "usage")) is not None:
            self._heard(raw)

    def _take(self, data: bytes, *, whole: bool = False) -> bool:
        try:
            answer = _answers.lenient(data)
        except DecodeError:
            return False
        if self.id is None and answer.id:
            self.id = text(answer.id)
        if self.model is None and answer.model:
            self.model = text(answer.model, 256)
        if answer.service_tier is not None:
            self.service_tier = text(answer.service_tier, 64)
        if answer.choices:
            self._choices(answer.choices, whole=whole)
        # A Raw that is not there is false.
        if answer.usage:
            self._heard(bytes(answer.usage))
        elif answer.x_groq is not None and answer.x_groq.usage:
            self._heard(bytes(answer.x_groq.usage))
        if answer.error and self.failure is None and bytes(answer.error) not in _NO_ERROR:
            self.failure = failures.decode(data)
        return True

    def _heard(self, usage: bytes) -> None:
        if usage.startswith(b"{") and len(usage) <= _MAX_USAGE:
            self._usage_raw, self._usage = usage, None

    def _choices(self, choices: list[_Choice], *, whole: bool) -> None:
        chosen = self._chosen
        for choice in choices:
            index = choice.index or 0
            if index not in chosen:
                if len(chosen) >= MAX_CHOICES:
                    continue
                chosen[index] = None
            if choice.finish_reason is not None:
                chosen[index] = FINISH.get(choice.finish_reason) or text(choice.finish_reason, 64)
            # Perplexity sends both: in a chunk the message repeats what was said so far.
            said = (choice.message if whole else choice.delta) or choice.message or choice.delta
            if said is not None:
                content = said.content
                if content.__class__ is str:
                    if content:
                        self.output_tokens_estimate += estimate(content)
                    if said.tool_calls is None and said.reasoning is said.reasoning_content is said.refusal is None:
                        continue
                self.output_tokens_estimate += _weight(said)


_NO_ERROR: Final = frozenset((b"null", b"false", b"{}", b'""'))
_MAX_USAGE: Final = 1024 * 1024


def _weight(said: _Said) -> float:
    """Tokens of all but a content that is one string. Hosts that send reasoning under two names repeat it."""
    total = estimate(said.reasoning_content or said.reasoning or "") + estimate(said.refusal or "")
    if isinstance(said.content, list):
        total += sum(map(_piece, said.content))
    for call in said.tool_calls or ():
        if call.function is not None:
            total += _called(call.function)
    if said.function_call is not None:
        total += _called(said.function_call)
    return total


def _piece(piece: _Piece) -> float:
    thinking = piece.thinking
    total = estimate(piece.text or "")
    if isinstance(thinking, str):
        return total + estimate(thinking)
    return total + sum([estimate(part.text or "") for part in thinking or ()])


def _called(function: _Function) -> float:
    arguments = function.arguments
    return estimate(function.name or "") + (estimate(arguments) if isinstance(arguments, str) else 0.0)


# Behind the member only flat ones may follow, up to the brace that ends the whole: then it is one of the event's
# own members and none of an object in it. Whatever looks otherwise is taken apart.
_NULL_USAGE: Final = re.compile(rb',"usage":null(?=(?:,"[^"\\]*+":(?:"[^"\\]*+"|null|true|false|[-+.0-9eE]++))*+\}\Z)')


_NULL: Final = b',"usage":null'
_LAST: Final = _NULL + b"}\n\n"
_BEFORE: Final = -len(_LAST)
_PADDED: Final = _NULL + b',"obfuscation":"'


def hide_usage(event: WireEvent) -> bytes:
    """The event as the API sends it unasked: no event that has usage and no choice, no ``"usage":null``."""
    raw, data = event.raw, event.data
    if data is None:
        return raw
    if len(raw) == len(data) + 8 and raw.startswith(b"data: "):
        # What nearly all events are: one line, with the member last, or last but for the padding.
        if raw.endswith(_LAST):
            return raw[:_BEFORE] + b"}\n\n"
        at = raw.rfind(_PADDED)
        if at > 0 and raw.endswith(b'"}\n\n') and raw.find(b'"', at + len(_PADDED), -4) < 0 and b"\\" not in raw[at:]:
            return raw[:at] + raw[at + len(_NULL) :]
    if b'"usage"' not in data:
        return raw
    match = _NULL_USAGE.search(data)
    if match is not None:
        start, end = match.span()
        if raw.startswith(data, 6) and raw.startswith(b"data: "):
            return b"".join((raw[: start + 6], raw[end + 6 :]))
        return reframed(event, data[:start] + data[end:])
    try:
        found = {member.key: data[member.value : member.end] for member in members(data)}
        usage = found.get("usage", b"")
        if usage == b"null":
            return reframed(event, cut_member(data, "usage"))
        if usage.startswith(b"{") and _EMPTY.fullmatch(found.get("choices", b"")):
            return b""
    except DecodeError:
        pass
    return raw


_EMPTY: Final = re.compile(rb"\[[ \t\r\n]*\]")
