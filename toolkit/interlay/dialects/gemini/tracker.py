"""What the record needs of a response, gathered while it passes."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from interlay.dialects._tails import ends_whole, last_object
from interlay.dialects.counts import text
from interlay.dialects.gemini import failures, figures
from interlay.dialects.gemini.framing import END
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent
from interlay.model.record import Failure
from interlay.model.tokens import estimate
from interlay.model.usage import Usage

MAX_CANDIDATES: Final = 256

_FINISH: Final = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "MALFORMED_FUNCTION_CALL": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "MALFORMED_RESPONSE": "error",
    **dict.fromkeys(
        (
            "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "MODEL_ARMOR",
            "IMAGE_SAFETY", "IMAGE_RECITATION", "IMAGE_PROHIBITED_CONTENT",
        ),
        "content_filter",
    ),
}  # fmt: skip
"""The API's finish reasons in canonical words; others stand as they are."""
_NUMBERS: Final = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}
"""The numbers that clients who ask for them get, as far as Gemini's and Vertex's are the same."""
_UNSPECIFIED: Final = frozenset({"", "FINISH_REASON_UNSPECIFIED", "0"})
_NOTHING: Final = msgspec.Raw()
_MAX_USAGE: Final = 64 * 1024
_MAX_QUERIES: Final = 1024
_GENERATION: Final = re.compile(r"gemini-(\d{1,3})")
_BY_QUERY: Final = 3
"""From this generation on each search is billed, before it each answer that rests on any."""


class _Call(msgspec.Struct, gc=False):
    name: str | None = None
    args: msgspec.Raw = _NOTHING


class _Code(msgspec.Struct, gc=False):
    code: str | None = None


class _Part(msgspec.Struct, gc=False):
    text: str | None = None
    functionCall: _Call | None = None  # noqa: N815 - the wire's name
    executableCode: _Code | None = None  # noqa: N815


class _Content(msgspec.Struct, gc=False):
    parts: list[_Part] | None = None


class _Grounding(msgspec.Struct, gc=False):
    queries: list[msgspec.Raw] | None = msgspec.field(default=None, name="webSearchQueries")


class _Candidate(msgspec.Struct, gc=False):
    index: int | None = None
    content: _Content | None = None
    finish: str | int | None = msgspec.field(default=None, name="finishReason")
    grounding: _Grounding | None = msgspec.field(default=None, name="groundingMetadata")


class _Feedback(msgspec.Struct, gc=False):
    block: str | int | None = msgspec.field(default=None, name="blockReason")


class _Answer(msgspec.Struct, gc=False):
    """A whole response, or a chunk of one."""

    candidates: list[_Candidate] | None = None
    usage: msgspec.Raw = msgspec.field(default=_NOTHING, name="usageMetadata")
    model: str | None = msgspec.field(default=None, name="modelVersion")
    id: str | None = msgspec.field(default=None, name="responseId")
    feedback: _Feedback | None = msgspec.field(default=None, name="promptFeedback")
    error: msgspec.Raw = _NOTHING


_answers: Final = json.Reader(_Answer)
_MAX_COMMAS: Final = 300_000
"""Of a body that is an array; one with more is read from its end alone."""
_list: Final = msgspec.json.Decoder(list[msgspec.Raw])


def word_of(finish: Any) -> str | None:
    """The API's word for a finish reason that may come as a number; None where there is none."""
    if type(finish) is int:
        finish = _NUMBERS.get(finish, str(finish))
    return finish if isinstance(finish, str) and finish not in _UNSPECIFIED else None


def finish_of(word: str, *, calls: bool) -> str:
    """The canonical word for one of the API's. It says ``STOP`` too where it wants tools to be called."""
    return "tool_calls" if calls and word == "STOP" else _FINISH.get(word, word)


def tools_of(model: str | None, queries: int) -> dict[str, int]:
    """Searches that an answer rests on, in the unit they are billed in."""
    if not queries:
        return {}
    match = _GENERATION.search(model or "")
    return {"web_search": 1 if match is not None and int(match[1]) < _BY_QUERY else queries}


class _Chosen:
    """What is known of one candidate."""

    __slots__ = ("calls", "queries", "word")

    def __init__(self) -> None:
        self.calls = False
        self.queries = 0
        self.word: str | None = None


class Tracker:
    """Gathers from chunks, or from a body, what the record needs."""

    __slots__ = ("_blocked", "_candidates", "_usage", "_usage_raw", "failure", "finished", "id", "model",
                 "output_tokens_estimate")  # fmt: skip

    def __init__(self) -> None:
        self.id: str | None = None
        self.model: str | None = None
        self.finished = False
        self.failure: Failure | None = None
        self.output_tokens_estimate = 0.0
        self._blocked = False
        self._candidates: dict[int, _Chosen] = {}
        self._usage_raw: bytes | None = None
        self._usage: Usage | None = None

    @property
    def ended_well(self) -> bool:
        """This API has no last event of its own: a stream has ended when every candidate has a finish reason."""
        chosen = self._candidates.values()
        return self.finished or self._blocked or (bool(chosen) and all(each.word is not None for each in chosen))

    @property
    def service_tier(self) -> str | None:
        usage = self.usage
        return None if usage is None else usage.service_tier

    @property
    def finish_reasons(self) -> list[str]:
        if self._blocked and not self._candidates:
            return ["content_filter"]
        chosen = (each for _, each in sorted(self._candidates.items(), key=lambda item: item[0]))
        return [finish_of(each.word, calls=each.calls) for each in chosen if each.word is not None]

    @property
    def usage(self) -> Usage | None:
        """From the last counts that came, as they are cumulative. Before the end the answer's are only those so far:
        they are no report of the whole, and the estimate is no less than they are."""
        if self._usage_raw is None:
            return None
        if self._usage is None:
            usage = figures.read(self._usage_raw)
            queries = sum(each.queries for each in self._candidates.values())
            if tools := tools_of(self.model, queries):
                usage = msgspec.structs.replace(usage, tools=tools)
            if not self.ended_well:
                self.output_tokens_estimate = max(self.output_tokens_estimate, float(usage.output_tokens or 0))
                return msgspec.structs.replace(usage, output_tokens=None, reasoning_tokens=0)
            self._usage = usage
        return self._usage

    def event(self, event: WireEvent) -> None:
        data = event.data
        if data is None or self.finished:
            return
        if data == END:
            self.finished = True
        else:
            self._take(data)

    def body(self, data: bytes) -> None:
        """Also the array that a stream without ``alt=sse`` is."""
        if data[:64].lstrip().startswith(b"["):
            if data.count(b",") > _MAX_COMMAS:
                self.finished = data[-64:].rstrip().endswith(b"]")
                self.tail(data)
                return
            try:
                for item in _list.decode(data):
                    self._take(bytes(item))
                self.finished = True
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self.tail(data)
        elif self._take(data):
            self.finished = True
        else:
            self.finished = ends_whole(data)
            self.tail(data)

    def tail(self, data: bytes) -> None:
        """Usage stands behind the candidates in the bodies this API sends."""
        if (raw := last_object(data, "usageMetadata")) is not None:
            self._heard(raw)

    def _take(self, data: bytes) -> bool:
        try:
            answer = _answers.lenient(data)
        except DecodeError:
            return False
        for candidate in answer.candidates or ():
            chosen = self._candidates.get(candidate.index or 0) or self._choose(candidate.index or 0)
            if chosen is None:
                continue
            content = candidate.content
            if content is not None and content.parts is not None:
                for part in content.parts:
                    if part.text:
                        self.output_tokens_estimate += estimate(part.text)
                    if part.functionCall is not None or part.executableCode is not None:
                        self._called(part, chosen)
            if candidate.finish is not None or candidate.grounding is not None:
                _ended(candidate, chosen)
        # A Raw that is not there is false.
        if answer.usage:
            self._heard(bytes(answer.usage))
        if self.id is None and answer.id is not None:
            self.id = text(answer.id)
        if self.model is None and answer.model is not None:
            self.model = text(answer.model, 256)
        if answer.feedback is not None and answer.feedback.block not in (None, "", 0, "BLOCK_REASON_UNSPECIFIED"):
            self._blocked = True
        if answer.error and self.failure is None and bytes(answer.error) not in (b"null", b"{}"):
            self.failure = failures.decode(data)
        return True

    def _choose(self, index: int) -> _Chosen | None:
        if len(self._candidates) >= MAX_CANDIDATES:
            return None
        return self._candidates.setdefault(index, _Chosen())

    def _called(self, part: _Part, chosen: _Chosen) -> None:
        if part.functionCall is not None:
            chosen.calls = True
            self.output_tokens_estimate += _weight(part.functionCall)
        if part.executableCode is not None and part.executableCode.code:
            self.output_tokens_estimate += estimate(part.executableCode.code)

    def _heard(self, usage: bytes) -> None:
        """Chunks before the last may state no more than the kind of traffic, and take no counts back."""
        if not usage.startswith(b"{") or len(usage) > _MAX_USAGE:
            return
        if b'"promptTokenCount"' in usage or (self._usage_raw is None and b"TokenCount" in usage):
            self._usage_raw, self._usage = usage, None


def _ended(candidate: _Candidate, chosen: _Chosen) -> None:
    if candidate.finish is not None:
        chosen.word = text(word_of(candidate.finish), 64) or chosen.word
    if candidate.grounding is not None and candidate.grounding.queries:
        chosen.queries = max(chosen.queries, len(candidate.grounding.queries[:_MAX_QUERIES]))


def _weight(call: _Call) -> float:
    arguments = bytes(call.args)
    total = estimate(call.name or "")
    return total if arguments in (b"", b"{}") else total + estimate(arguments.decode("utf-8", "replace"))
