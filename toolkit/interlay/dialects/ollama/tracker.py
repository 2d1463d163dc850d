"""What the record needs of a response, gathered while it passes."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from interlay.dialects._tails import ends_whole
from interlay.dialects.counts import text
from interlay.dialects.ollama import failures, figures
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent
from interlay.model.record import Failure
from interlay.model.tokens import estimate
from interlay.model.usage import Usage

_NOTHING: Final = msgspec.Raw()


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: msgspec.Raw = _NOTHING


class _Call(msgspec.Struct, gc=False):
    function: _Function | None = None


class _Message(msgspec.Struct, gc=False):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None


class _Answer(msgspec.Struct, gc=False):
    """A whole answer, or a line of one."""

    model: str | None = None
    message: _Message | None = None
    done: bool | None = None
    done_reason: str | None = None
    prompt_eval_count: msgspec.Raw = _NOTHING
    eval_count: msgspec.Raw = _NOTHING
    error: msgspec.Raw = _NOTHING


_answers: Final = json.Reader(_Answer)
_MAX_COUNT: Final = 64
"""Characters of a count."""
_COUNTS: Final = re.compile(rb'"(prompt_eval_count|eval_count)"[ \t\r\n]*:[ \t\r\n]*(\d{1,20})(?=[ \t\r\n]*[,}])')


def finish_of(word: str, *, calls: bool) -> str:
    """The canonical word for one of the API's, which says ``stop`` too where it wants tools to be called."""
    return "tool_calls" if calls and word == "stop" else word


class Tracker:
    """Gathers from lines, or from a body, what the record needs."""

    __slots__ = ("_calls", "_usage", "_word", "failure", "finished", "model", "output_tokens_estimate")

    id: str | None = None
    """This API gives its answers no names."""
    service_tier: str | None = None

    def __init__(self) -> None:
        self.model: str | None = None
        self.finished = False
        self.failure: Failure | None = None
        self.output_tokens_estimate = 0.0
        self._calls = False
        self._word: str | None = None
        self._usage: dict[str, msgspec.Raw] = {}

    @property
    def ended_well(self) -> bool:
        return self.finished

    @property
    def finish_reasons(self) -> list[str]:
        return [] if self._word is None else [finish_of(self._word, calls=self._calls)]

    @property
    def usage(self) -> Usage | None:
        return figures.read(json.encode(self._usage)) if self._usage else None

    def event(self, event: WireEvent) -> None:
        if event.data is not None and not self.finished and self.failure is None:
            self._take(event.data)

    def body(self, data: bytes) -> None:
        if self._take(data):
            self.finished = True
        else:
            self.finished = ends_whole(data)
            self.tail(data)

    def tail(self, data: bytes) -> None:
        """The counts stand behind the message in the bodies this API sends."""
        for count in _COUNTS.finditer(data):
            self._usage[count[1].decode()] = msgspec.Raw(count[2])

    def _take(self, data: bytes) -> bool:
        try:
            answer = _answers.lenient(data)
        except DecodeError:
            return False
        message = answer.message
        if message is not None:
            if message.content:
                self.output_tokens_estimate += estimate(message.content)
            if message.thinking:
                self.output_tokens_estimate += estimate(message.thinking)
            for call in message.tool_calls or ():
                self._called(call)
        if self.model is None and answer.model:
            self.model = text(answer.model, 256)
        if answer.done_reason is not None:
            self._word = text(answer.done_reason, 64)
        # A Raw that is not there is false.
        if answer.prompt_eval_count:
            self._count(figures.INPUT, answer.prompt_eval_count)
        if answer.eval_count:
            self._count(figures.OUTPUT, answer.eval_count)
        if answer.error and self.failure is None and bytes(answer.error) not in (b"null", b'""', b"{}"):
            self.failure = failures.decode(data)
        elif answer.done is True:
            self.finished = True
        return True

    def _called(self, call: _Call) -> None:
        self._calls = True
        if (function := call.function) is not None:
            self.output_tokens_estimate += estimate(function.name or "")
            if (arguments := bytes(function.arguments)) not in (b"", b"{}"):
                self.output_tokens_estimate += estimate(arguments.decode("utf-8", "replace"))

    def _count(self, name: str, count: msgspec.Raw) -> None:
        if (written := bytes(count)) != b"null" and len(written) <= _MAX_COUNT:
            self._usage[name] = msgspec.Raw(written)
