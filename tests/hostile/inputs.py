"""What a hostile input is, and the ordinary exchange that it is put into.

The numbers of the families are those of the forty hostile inputs that interlay is held to; here are the ones that
can reach the seam under an SDK. Each family is a file with a generator of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

DialectName = Literal["openai", "anthropic"]
Size = Literal["modest", "full"]
"""``full`` is what the bars are stated for: ten megabytes and more. ``modest`` is the same in small."""

MARK = "wry-otter-5521"
"""The text of every message here. It may be in what the caller gets and in what goes upstream, and nowhere else."""


@dataclass(frozen=True)
class Hostile:
    """One hostile body, made of an ordinary one.

    Args:
        name: says what it is.
        make: gives the hostile body for the ordinary JSON of a request, an answer, an event or an error.
        places: where it makes sense.
        quiet: whether interlay has nothing to complain of in its log.
    """

    name: str
    make: Callable[[bytes], bytes]
    places: frozenset[str] = frozenset({"request", "answer", "event", "error"})
    quiet: bool = True

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class HostileStream:
    """A stream that is hostile as a whole.

    Args:
        name: says what it is.
        wire: the bytes of its body.
        end: how its record has to end.
        usage: the tokens in and out that its record has to carry, where that is certain.
        flags: what the record's usage has to be flagged with.
        headers: of the response, beside the ordinary ones.
    """

    name: str
    wire: bytes
    end: str | None = "complete"
    usage: tuple[int | None, int | None] | None = None
    flags: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def compact(value: object) -> bytes:
    return msgspec.json.encode(value)


def with_member(member: bytes) -> Callable[[bytes], bytes]:
    """Put ``"key":value`` into an object, as its first member."""
    return lambda body: b"{" + member + b"," + body[1:]


def with_last_member(member: bytes) -> Callable[[bytes], bytes]:
    return lambda body: body[:-1] + b"," + member + b"}"


def with_text(text: bytes) -> Callable[[bytes], bytes]:
    """Put ``text``, the inside of a JSON string, behind the message's own."""
    return lambda body: body.replace(MARK.encode(), MARK.encode() + text)


def instead_of_text(value: bytes) -> Callable[[bytes], bytes]:
    """Put the JSON ``value`` where the message's text stands."""
    return lambda body: body.replace(b'"' + MARK.encode() + b'"', value)


def instead(value: bytes) -> Callable[[bytes], bytes]:
    """``value``, whatever was there."""
    return lambda body: value


def variants(value: Any, wrong: list[Any]) -> Iterator[Any]:
    """``value`` with each of its members, at any depth, replaced by each of ``wrong``."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from ({**value, key: other} for other in wrong)
            yield from ({**value, key: changed} for changed in variants(child, wrong))
    elif isinstance(value, list):
        for place, child in enumerate(value):
            for changed in (*wrong, *variants(child, wrong)):
                yield [*value[:place], changed, *value[place + 1 :]]


def sse(data: bytes, name: str | None = None, end: bytes = b"\n") -> bytes:
    head = b"event: " + name.encode() + end if name else b""
    return head + b"data: " + data + end + end


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """A chunk of an OpenAI stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return compact(
        {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "gpt-4o-mini",
            "choices": [choice],
            **more,
        }
    )


DONE = b"[DONE]"
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-6",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 1},
}


def openai_data(usage: Any = USAGE) -> list[bytes]:
    """The data of an ordinary OpenAI stream."""
    last = compact(
        {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "gpt-4o-mini",
            "choices": [],
            "usage": usage,
        }
    )
    return [chunk({"role": "assistant", "content": MARK}), chunk({}, "stop"), *([last] if usage else []), DONE]


def anthropic_data(usage: Any = None) -> list[bytes]:
    """The data of an ordinary Anthropic stream."""
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": MESSAGE},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": MARK}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 2} if usage is None else usage,
        },
        {"type": "message_stop"},
    ]
    return [compact(event) for event in events]


def name_of(data: bytes) -> str | None:
    """The name that Anthropic gives an event beside its data."""
    try:
        return msgspec.json.decode(data, type=dict[str, Any]).get("type")
    except msgspec.DecodeError:
        return None


@dataclass(frozen=True)
class Ordinary:
    """An exchange with nothing wrong, for one dialect."""

    dialect: DialectName

    @property
    def path(self) -> str:
        return "/chat/completions" if self.dialect == "openai" else "/v1/messages"

    def request(self, *, stream: bool = False) -> bytes:
        model = "gpt-4o-mini" if self.dialect == "openai" else "claude-sonnet-4-6"
        body: dict[str, Any] = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": MARK}]}
        return compact({**body, "stream": True} if stream else body)

    def answer(self) -> bytes:
        if self.dialect == "openai":
            message = {"role": "assistant", "content": MARK}
            return compact(
                {
                    "id": "c1",
                    "object": "chat.completion",
                    "created": 1,
                    "model": "gpt-4o-mini",
                    "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                    "usage": USAGE,
                }
            )
        content = [{"type": "text", "text": MARK}]
        return compact(
            {**MESSAGE, "content": content, "stop_reason": "end_turn", "usage": {"input_tokens": 9, "output_tokens": 2}}
        )

    def error(self) -> bytes:
        if self.dialect == "openai":
            return compact({"error": {"message": MARK, "type": "invalid_request_error", "param": None, "code": "bad"}})
        return compact({"type": "error", "error": {"type": "invalid_request_error", "message": MARK}})

    def event(self) -> bytes:
        """The data of one event in the middle of a stream."""
        return self.data()[0 if self.dialect == "openai" else 2]

    def data(self) -> list[bytes]:
        return openai_data() if self.dialect == "openai" else anthropic_data()

    def stream(self, data: list[bytes], end: bytes = b"\n") -> bytes:
        named = self.dialect == "anthropic"
        return b"".join(sse(each, name_of(each) if named else None, end) for each in data)

    def stream_around(self, event: bytes) -> bytes:
        """An ordinary stream with ``event`` in the place of the one in its middle."""
        data = self.data()
        at = data.index(self.event())
        if self.dialect == "openai":
            parts = [sse(each) for each in data]
            parts[at] = sse(event)
        else:
            parts = [sse(each, name_of(each)) for each in data]
            parts[at] = sse(event, "content_block_delta")
        return b"".join(parts)


BOTH: tuple[Ordinary, ...] = (Ordinary("openai"), Ordinary("anthropic"))
