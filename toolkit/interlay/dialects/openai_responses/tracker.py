"""What the record needs of a response, gathered while it passes."""

from __future__ import annotations

from typing import Final

import msgspec

from interlay.dialects._tails import ends_whole, last_object
from interlay.dialects.counts import MAX_COUNT, text
from interlay.dialects.openai_responses import failures, figures
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent
from interlay.model.record import Failure
from interlay.model.tokens import estimate
from interlay.model.usage import Usage

TERMINAL: Final = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
"""Events that end a stream."""
REASONS: Final = {"max_output_tokens": "length", "content_filter": "content_filter"}
"""Why a response is incomplete, in canonical words; others stand as they are."""
CALLS: Final = frozenset(
    {"function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call"}
)
"""Items by which the model asks for something that the program has to do."""

_NOTHING: Final = msgspec.Raw()
_ENDED: Final = frozenset({"completed", "incomplete", "failed", "cancelled"})
_MAX_ITEMS: Final = 4096
_MAX_USAGE: Final = 64 * 1024


class _Action(msgspec.Struct, gc=False):
    type: str | None = None


class _Part(msgspec.Struct, gc=False):
    text: str | None = None
    refusal: str | None = None


class _Item(msgspec.Struct, gc=False):
    """An item of an output: only what counts, and what it was billed for."""

    type: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    code: str | None = None
    content: list[_Part] | str | None = None
    summary: list[_Part] | None = None
    action: _Action | None = None


class _Incomplete(msgspec.Struct, gc=False):
    reason: str | None = None


class _WebSearch(msgspec.Struct, gc=False):
    num_requests: int | None = None


class _ToolUsage(msgspec.Struct, gc=False):
    web_search: _WebSearch | None = None


class _Response(msgspec.Struct, gc=False):
    id: str | None = None
    model: str | None = None
    status: str | None = None
    service_tier: str | None = None
    incomplete_details: _Incomplete | None = None
    error: msgspec.Raw = _NOTHING
    usage: msgspec.Raw = _NOTHING
    tool_usage: _ToolUsage | None = None
    output: list[_Item] | None = None


class _Event(msgspec.Struct, gc=False):
    type: str | None = None
    delta: str | None = None
    item: _Item | None = None
    response: _Response | None = None
    error: msgspec.Raw = _NOTHING


_events: Final = json.Reader(_Event)
_responses: Final = json.Reader(_Response)


def finish_of(status: str | None, reason: str | None, *, calls: bool) -> str | None:
    """Why a response ended, in canonical words; None while it has not."""
    if status == "completed":
        return "tool_calls" if calls else "stop"
    if status == "incomplete":
        return REASONS.get(reason or "", reason or "length")
    return {"failed": "error", "cancelled": "cancelled"}.get(status or "")


class Tracker:
    """Gathers from events, or from a body, what the record needs."""

    __slots__ = (
        "_output", "_searches", "_usage", "_usage_raw", "failure", "finish_reasons", "finished", "id", "model",
        "output_tokens_estimate", "service_tier",
    )  # fmt: skip

    def __init__(self) -> None:
        self.id: str | None = None
        self.model: str | None = None
        self.service_tier: str | None = None
        self.finished = False
        self.failure: Failure | None = None
        self.finish_reasons: list[str] = []
        self.output_tokens_estimate = 0.0
        self._output: list[tuple[str | None, str | None]] = []
        self._searches: int | None = None
        self._usage_raw: bytes | None = None
        self._usage: Usage | None = None

    @property
    def ended_well(self) -> bool:
        return self.finished

    @property
    def usage(self) -> Usage | None:
        """Figures come with the terminal event, and the tools that were run with them."""
        if self._usage is None and self._usage_raw is not None:
            tools = figures.tools_of(self._output, self._searches)
            self._usage = figures.with_tools(figures.read(self._usage_raw), tools)
        return self._usage

    def event(self, event: WireEvent) -> None:
        data = event.data
        if data is None or self.finished:
            return
        try:
            said = _events.lenient(data)
        except DecodeError:
            if event.name == "error":
                self.failure = self.failure or failures.of_event(data)
            return
        kind = said.type or event.name
        if said.delta is not None:
            if kind != "response.audio.delta":
                self.output_tokens_estimate += estimate(said.delta)
        elif kind == "response.output_item.added":
            if said.item is not None and said.item.name:
                self.output_tokens_estimate += estimate(said.item.name)
        elif said.response is not None:
            self._take(said.response)
            if kind in TERMINAL:
                self.finished = True
        elif kind == "error" or bytes(said.error).startswith(b"{"):
            # Some hosts send an error as in a chat's stream.
            self.failure = self.failure or failures.of_event(data)

    def body(self, data: bytes) -> None:
        try:
            response = _responses.lenient(data)
        except DecodeError:
            self.finished = ends_whole(data)
            self.tail(data)
            return
        self.finished = True
        self._take(response)
        self.output_tokens_estimate += sum([_weight(item) for item in (response.output or ())[:_MAX_ITEMS]])

    def tail(self, data: bytes) -> None:
        """The usage object nearest to the end of a body that was too large to keep."""
        if (raw := last_object(data, "usage")) is not None:
            self._heard(raw)

    def _take(self, response: _Response) -> None:
        if self.id is None and response.id:
            self.id = text(response.id)
        if response.model:
            self.model = text(response.model, 256)
        if response.service_tier is not None:
            self.service_tier = text(response.service_tier, 64)
        if response.output:
            self._output = [
                (item.type, item.action.type if item.action is not None else None)
                for item in response.output[:_MAX_ITEMS]
            ]
        used = response.tool_usage
        if used is not None and used.web_search is not None and (count := used.web_search.num_requests) is not None:
            self._searches = count if 0 <= count <= MAX_COUNT else None
        if response.usage:
            self._heard(bytes(response.usage))
        reason = response.incomplete_details.reason if response.incomplete_details is not None else None
        calls = any(kind in CALLS for kind, _ in self._output)
        finish = finish_of(response.status, text(reason, 64), calls=calls)
        if finish is not None:
            self.finish_reasons = [finish]
        error = bytes(response.error)
        if self.failure is None and (response.status == "failed" or (error.startswith(b"{") and error != b"{}")):
            self.failure = failures.of_response(error)

    def _heard(self, usage: bytes) -> None:
        if usage.startswith(b"{") and len(usage) <= _MAX_USAGE:
            self._usage_raw, self._usage = usage, None


def _weight(item: _Item) -> float:
    """Tokens of an item that came whole."""
    total = 0.0
    for piece in (item.name, item.arguments, item.input, item.code):
        if piece:
            total += estimate(piece)
    if isinstance(item.content, str):
        total += estimate(item.content)
    else:
        total += sum([estimate(part.text or part.refusal or "") for part in item.content or ()])
    return total + sum([estimate(part.text or "") for part in item.summary or ()])
