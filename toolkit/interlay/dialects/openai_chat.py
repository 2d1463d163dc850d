"""OpenAI chat completions, and the hosts that speak it with small differences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec

from interlay.dialects.counts import MAX_COUNT, Counts, object_of, objects, text
from interlay.dialects.sse import SSEFramer
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.members import cut_member, find_member, members, set_member
from interlay.model.protocols import Outline, WireEvent
from interlay.model.record import Failure
from interlay.model.tokens import estimate
from interlay.model.usage import Usage

_MAX_CHOICES: Final = 256
_TICKS: Final = Decimal(10) ** 10
"""xAI states costs in ticks: 10^10 to the US dollar."""
_FINISH: Final = {
    "function_call": "tool_calls",
    "eos": "stop",
    "model_length": "length",
}
_NOTHING: Final = msgspec.Raw()


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Request(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    top_logprobs: int | None = None
    logprobs: bool | None = None
    reasoning_effort: str | None = None
    service_tier: str | None = None
    parallel_tool_calls: bool | None = None


_PARAMETERS: Final = tuple(
    name for name in _Request.__struct_fields__ if name not in ("model", "stream", "stream_options")
)
_requests: Final = json.Reader(_Request)


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    function: _Function | None = None


class _Said(msgspec.Struct):
    """A message or a delta: only what counts as output."""

    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    finish_reason: str | None = None
    delta: _Said | None = None
    message: _Said | None = None


class _Groq(msgspec.Struct):
    usage: msgspec.Raw = _NOTHING


class _Answer(msgspec.Struct):
    """A whole response, or a chunk of one."""

    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = _NOTHING
    service_tier: str | None = None
    x_groq: _Groq | None = None
    error: msgspec.Raw = _NOTHING
    estimated_cost: msgspec.Raw = _NOTHING


_answers: Final = json.Reader(_Answer)
_USAGE_LAST: Final = b',"usage":null}'
_ASKED: Final = b'{"include_usage":true}'


class OpenAIChatTracker:
    """Gathers from chunks, or from a body, what the record needs."""

    __slots__ = (
        "_chosen", "_usage_raw", "ended_well", "failure", "finished", "id", "model", "output_tokens_estimate",
        "service_tier",
    )  # fmt: skip

    def __init__(self) -> None:
        self.id: str | None = None
        self.model: str | None = None
        self.service_tier: str | None = None
        self.finished = False
        self.ended_well = False
        self.failure: Failure | None = None
        self.output_tokens_estimate = 0.0
        self._chosen: dict[int, str | None] = {}
        self._usage_raw: bytes | None = None

    @property
    def finish_reasons(self) -> list[str]:
        return [reason for _, reason in sorted(self._chosen.items()) if reason is not None]

    @property
    def usage(self) -> Usage | None:
        return None if self._usage_raw is None else _usage(self._usage_raw)

    def event(self, event: WireEvent) -> None:
        data = event.data
        if data is None or self.finished:
            return
        if data.startswith(b"[DONE]"):
            self.finished = True
            return
        self._take(data)
        chosen = self._chosen
        self.ended_well = bool(chosen) and None not in chosen.values()

    def body(self, data: bytes) -> None:
        if data and self._take(data):
            self.finished = True

    def tail(self, data: bytes) -> None:
        """Usage near the end of a body that was too large to keep."""
        at = data.rfind(b'"usage":')
        if at < 0:
            return
        start = at + len(b'"usage":')
        for end in range(data.find(b"}", start) + 1, len(data) + 1):
            if data[end - 1 : end] == b"}":
                try:
                    found = json.decode(data[start:end])
                except DecodeError:
                    continue
                if isinstance(found, dict):
                    self._usage_raw = data[start:end]
                return

    def _take(self, data: bytes) -> bool:
        answer = _read(data)
        if answer is None:
            return False
        if answer.id is not None:
            self.id = text(answer.id) or self.id
        if answer.model is not None:
            self.model = text(answer.model) or self.model
        if answer.service_tier is not None:
            self.service_tier = text(answer.service_tier)
        if answer.choices:
            self._choices(answer.choices)
        usage = bytes(answer.usage)
        if usage.startswith(b"{"):
            self._usage_raw = usage
        elif answer.x_groq is not None and bytes(answer.x_groq.usage).startswith(b"{"):
            self._usage_raw = bytes(answer.x_groq.usage)
        error = bytes(answer.error)
        if error and error != b"null" and self.failure is None:
            self.failure = _failure(json.decode(error), None)
        return True

    def _choices(self, choices: list[_Choice]) -> None:
        chosen = self._chosen
        for choice in choices:
            index = choice.index
            if index not in chosen:
                if len(chosen) >= _MAX_CHOICES:
                    continue
                chosen[index] = None
            if choice.finish_reason is not None:
                chosen[index] = _FINISH.get(choice.finish_reason, text(choice.finish_reason))
            said = choice.delta or choice.message
            if said is not None:
                self.output_tokens_estimate += _weight(said)


def _weight(said: _Said) -> float:
    total = 0.0
    for piece in (said.content, said.reasoning_content or said.reasoning, said.refusal):
        if piece:
            total += estimate(piece)
    for call in said.tool_calls or ():
        if call.function is not None:
            total += estimate(call.function.name or "") + estimate(call.function.arguments or "")
    return total


def _read(data: bytes) -> _Answer | None:
    try:
        return _answers.read(data)
    except DecodeError:
        return _leniently(data)


def _leniently(data: bytes) -> _Answer | None:
    """What can be read of an answer whose fields have other types than documented: Mistral's content in parts, and
    whatever a hostile host sends."""
    try:
        raw = json.decode(data)
    except DecodeError:
        return None
    if not isinstance(raw, dict):
        return None
    choices: list[_Choice] = []
    for choice in _list(raw.get("choices")):
        if not isinstance(choice, dict):
            continue
        said = choice.get("delta") or choice.get("message")
        pieces = list(_strings(said.get(name) for name in _SAID)) if isinstance(said, dict) else []
        index = choice.get("index")
        choices.append(
            _Choice(
                index=index if isinstance(index, int) else 0,
                finish_reason=text(choice.get("finish_reason")),
                delta=_Said(content="".join(pieces)),
            )
        )
    groq = raw.get("x_groq")
    return _Answer(
        id=text(raw.get("id")),
        model=text(raw.get("model")),
        service_tier=text(raw.get("service_tier")),
        choices=choices,
        usage=_member(data, "usage"),
        x_groq=_Groq(usage=msgspec.Raw(json.encode(groq.get("usage")))) if isinstance(groq, dict) else None,
        error=_member(data, "error"),
    )


_SAID: Final = ("content", "reasoning", "reasoning_content", "refusal", "tool_calls")


def _member(data: bytes, key: str) -> msgspec.Raw:
    member = find_member(data, key)
    return _NOTHING if member is None else msgspec.Raw(data[member.value : member.end])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _strings(values: Iterable[Any]) -> Iterable[str]:
    """Every string below some values, in order."""
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from _strings(value)
        elif isinstance(value, dict):
            yield from _strings(v for k, v in value.items() if k not in ("type", "id"))


_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]


class _Details(msgspec.Struct):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    audio_tokens: _Count | None = None
    image_tokens: _Count | None = None
    reasoning_tokens: _Count | None = None
    accepted_prediction_tokens: _Count | None = None
    rejected_prediction_tokens: _Count | None = None


class _Figures(msgspec.Struct):
    """The usage object as OpenAI sends it, and by name what other hosts add to it."""

    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    service_tier: str | None = None
    cost: msgspec.Raw = _NOTHING
    cost_in_usd_ticks: msgspec.Raw = _NOTHING
    prompt_cache_hit_tokens: msgspec.Raw = _NOTHING
    cached_tokens: msgspec.Raw = _NOTHING
    reasoning_tokens: msgspec.Raw = _NOTHING
    citation_tokens: msgspec.Raw = _NOTHING
    num_search_queries: msgspec.Raw = _NOTHING


_figures: Final = json.Reader(_Figures)
_NO_DETAILS: Final = _Details()


def _usage(raw: bytes) -> Usage | None:
    """What nearly all responses carry is read in one typed pass; anything else number by number."""
    try:
        figures = _figures.read(raw)
    except DecodeError:
        figures = None
    if figures is not None and (usage := _as_openai(figures, raw)) is not None:
        return usage
    try:
        fields = json.decode_exact(raw)
    except DecodeError:
        return None
    return _canonical(fields, raw) if isinstance(fields, dict) else None


def _as_openai(said: _Figures, raw: bytes) -> Usage | None:
    """Usage in OpenAI's own shape, with nothing to doubt; None for every other."""
    inputs, outputs = said.prompt_tokens, said.completion_tokens
    if (
        said.total_tokens != inputs + outputs
        or said.cost
        or said.cost_in_usd_ticks
        or said.prompt_cache_hit_tokens
        or said.cached_tokens
        or said.reasoning_tokens
        or said.citation_tokens
        or said.num_search_queries
    ):
        return None
    prompt, completion = said.prompt_tokens_details or _NO_DETAILS, said.completion_tokens_details or _NO_DETAILS
    read, written = prompt.cached_tokens or 0, prompt.cache_write_tokens or 0
    audio, image = prompt.audio_tokens or 0, prompt.image_tokens or 0
    reasoning, spoken = completion.reasoning_tokens or 0, completion.audio_tokens or 0
    drawn = completion.image_tokens or 0
    accepted, rejected = completion.accepted_prediction_tokens or 0, completion.rejected_prediction_tokens or 0
    if max(read, written, audio, image) > inputs or max(reasoning, spoken, drawn, accepted, rejected) > outputs:
        return None
    return Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        cache_read_tokens=read,
        cache_write_tokens=written,
        input_audio_tokens=audio,
        input_image_tokens=image,
        reasoning_tokens=reasoning,
        output_audio_tokens=spoken,
        output_image_tokens=drawn,
        accepted_prediction_tokens=accepted,
        rejected_prediction_tokens=rejected,
        service_tier=said.service_tier,
        raw=msgspec.Raw(raw),
    )


def _canonical(fields: Mapping[str, Any], raw: bytes) -> Usage:
    counts = Counts(fields)
    inputs, outputs, total = (
        counts.get("prompt_tokens"),
        counts.get("completion_tokens"),
        counts.get("total_tokens"),
    )
    reasoning = counts.part(None, ("completion_tokens_details", "reasoning_tokens"), ("reasoning_tokens",))
    citations = counts.part(None, ("citation_tokens",))
    if inputs is not None and outputs is not None and total is not None and total != inputs + outputs:
        # Some hosts count reasoning beside the completion and not inside it: their total tells.
        if total == inputs + outputs + reasoning:
            outputs += reasoning
        elif total == inputs + outputs + reasoning + citations:
            outputs += reasoning + citations
        else:
            counts.flag("usage_inconsistent")
    if outputs is not None and reasoning > outputs:
        counts.flag("usage_inconsistent")
    details, output_details = "prompt_tokens_details", "completion_tokens_details"
    cost = counts.money("cost")
    if cost is None:
        cost = counts.money("cost", "total_cost")
    if cost is None and (ticks := counts.money("cost_in_usd_ticks")) is not None:
        cost = ticks / _TICKS
    searches = counts.get("num_search_queries")
    return Usage(
        input_tokens=inputs,
        output_tokens=outputs,
        cache_read_tokens=counts.part(
            inputs, (details, "cached_tokens"), ("prompt_cache_hit_tokens",), ("cached_tokens",)
        ),
        cache_write_tokens=counts.part(inputs, (details, "cache_write_tokens")),
        input_audio_tokens=counts.part(inputs, (details, "audio_tokens")),
        input_image_tokens=counts.part(inputs, (details, "image_tokens")),
        reasoning_tokens=reasoning,
        citation_tokens=citations,
        output_audio_tokens=counts.part(outputs, (output_details, "audio_tokens")),
        output_image_tokens=counts.part(outputs, (output_details, "image_tokens")),
        accepted_prediction_tokens=counts.part(outputs, (output_details, "accepted_prediction_tokens")),
        rejected_prediction_tokens=counts.part(outputs, (output_details, "rejected_prediction_tokens")),
        tools={"search": searches} if searches else {},
        service_tier=text(fields.get("service_tier")),
        cost=cost,
        flags=counts.flags,
        raw=msgspec.Raw(raw),
    )


def _failure(body: Any, status: int | None) -> Failure:
    """A failure from an error object in one of the shapes that hosts of this API send."""
    error: Any = body
    if isinstance(body, dict):
        error = body.get("error", body)
        if isinstance(error, str):
            error = {"message": error, "code": body.get("code")}
    if not isinstance(error, dict):
        error = {"message": error if isinstance(error, str) else None}
    code = error.get("code")
    kind = text(error.get("type")) or (code if isinstance(code, str) else None)
    message = error.get("message") or error.get("detail")
    return Failure(
        type=kind or (f"http_{status}" if status is not None else "error"),
        code=None if code is None else text(str(code)),
        status=status,
        message=message if isinstance(message, str) else None,
    )


class OpenAIChat:
    """``POST …/chat/completions``."""

    name = "openai-chat"
    operation = "chat"

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/chat/completions")

    def outline(self, body: bytes) -> Outline:
        try:
            request = _requests.lenient(body)
        except DecodeError:
            return Outline(readable=False)
        parameters = {name: value for name in _PARAMETERS if (value := getattr(request, name)) is not None}
        options = request.stream_options
        return Outline(
            model=request.model,
            streamed=request.stream is True,
            parameters=parameters,
            wants_usage=options is not None and options.include_usage is True,
        )

    def framer(self) -> SSEFramer:
        return SSEFramer()

    def tracker(self) -> OpenAIChatTracker:
        return OpenAIChatTracker()

    def usage(self, raw: Mapping[str, Any] | bytes) -> Usage:
        if isinstance(raw, bytes):
            return _usage(raw) or Usage(flags=("usage_invalid",))
        return _canonical(raw, json.encode(raw))

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        try:
            read = json.decode(body)
        except DecodeError:
            read = None
        return msgspec.structs.replace(_failure(read, status), request_id=headers.get("x-request-id"))

    def ask_usage(self, body: bytes) -> bytes | None:
        """The request with ``stream_options.include_usage`` set, every other byte as it was."""
        try:
            found = members(body)
            if [member.key for member in found].count("stream") != 1:
                return None
            options = [member for member in found if member.key == "stream_options"]
            if len(options) > 1:
                return None
            value = body[options[0].value : options[0].end] if options else b"null"
            asked = _ASKED if value == b"null" else set_member(value, "include_usage", b"true")
            return set_member(body, "stream_options", asked)
        except DecodeError:
            return None

    def hide_usage(self, event: WireEvent) -> bytes:
        raw, data = event.raw, event.data
        if data is None or b'"usage"' not in data:
            return raw
        # How OpenAI writes it; anything else is looked at member by member.
        if data.endswith(_USAGE_LAST) and raw.endswith(data + b"\n\n"):
            return raw[: -len(_USAGE_LAST) - 2] + b"}\n\n"
        try:
            usage = find_member(data, "usage")
            if usage is None:
                return raw
            value = data[usage.value : usage.end]
            if value == b"null":
                return raw.replace(data, cut_member(data, "usage"), 1)
            if value.startswith(b"{") and not _answers.lenient(data).choices:
                return b""
        except DecodeError:
            pass
        return raw

    def prompt(self, body: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        request = object_of(body)
        return objects(request.get("messages")), objects(request.get("tools"))

    def answer(self, body: bytes) -> list[dict[str, Any]]:
        choices = objects(object_of(body).get("choices"))
        return [choice["message"] for choice in choices if isinstance(choice.get("message"), dict)]

    def streamed_answer(self, events: list[WireEvent]) -> list[dict[str, Any]]:
        messages: dict[int, _Joined] = {}
        for event in events:
            if event.data is None or event.data.startswith(b"[DONE]"):
                continue
            for choice in objects(object_of(event.data).get("choices")):
                index, delta = choice.get("index"), choice.get("delta")
                if isinstance(index, int) and isinstance(delta, dict) and len(messages) < _MAX_CHOICES:
                    messages.setdefault(index, _Joined()).add(delta)
        return [message.whole() for _, message in sorted(messages.items())]


class _Joined:
    """The deltas of one choice, added up. A tool call's pieces belong together by index; where a host repeats an
    index with another id, that begins another call."""

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {}
        self._calls: list[dict[str, Any]] = []
        self._by_index: dict[object, dict[str, Any]] = {}

    def add(self, delta: dict[str, Any]) -> None:
        for name in ("content", "refusal", "reasoning", "reasoning_content"):
            pieces = list(_strings([delta.get(name)]))
            if pieces:
                self._texts.setdefault(name, []).extend(pieces)
        for piece in objects(delta.get("tool_calls")):
            self._call(piece)

    def _call(self, piece: dict[str, Any]) -> None:
        index, identifier = piece.get("index", 0), piece.get("id")
        call = self._by_index.get(index)
        if call is None or (identifier and call["id"] and identifier != call["id"]):
            call = {"id": identifier, "type": "function", "function": {"name": "", "arguments": ""}}
            self._by_index[index] = call
            self._calls.append(call)
        function = piece.get("function")
        if isinstance(function, dict):
            for name in ("name", "arguments"):
                if isinstance(function.get(name), str):
                    call["function"][name] += function[name]

    def whole(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant"}
        message |= {name: "".join(pieces) for name, pieces in self._texts.items()}
        if self._calls:
            message["tool_calls"] = self._calls
        return message
