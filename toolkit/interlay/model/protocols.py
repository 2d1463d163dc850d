"""What the rooms expect of each other: the seams, as types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import msgspec

from interlay.model.messages import ChatRequest, ChatResponse, Delta
from interlay.model.record import Failure
from interlay.model.usage import Usage


class Outline(msgspec.Struct, kw_only=True):
    """A request at a glance: what the record needs, read in one cheap pass that never raises."""

    model: str | None = None
    streamed: bool = False
    parameters: dict[str, Any] = {}
    wants_usage: bool = True
    """False for a stream whose caller did not ask for usage where the API has to be asked."""
    readable: bool = True
    """False when the body is not what the dialect expects: then nothing about it is known."""


class WireEvent:
    """One event of a stream as it stood on the wire. ``raw`` of all events, joined, is the stream's bytes."""

    __slots__ = ("data", "name", "raw")

    def __init__(self, raw: bytes, name: str | None, data: bytes | None) -> None:
        self.raw = raw
        """All of its bytes, the blank line that ends it included."""
        self.name = name
        """Server-sent events' ``event:`` field."""
        self.data = data
        """Its ``data:`` lines joined by newlines; None for comments and empty events."""

    def __repr__(self) -> str:
        return f"WireEvent({self.name!r}, {len(self.raw)} bytes)"


class Framer(Protocol):
    """Cuts a byte stream into events, sans-io."""

    def feed(self, chunk: bytes) -> list[WireEvent]:
        """Events completed by ``chunk``. Raises ``DecodeError`` when one event exceeds the limit."""
        ...

    def finish(self) -> list[WireEvent]:
        """What is left at the end of bytes: at most one unfinished event, its ``raw`` kept."""
        ...


class Tracker(Protocol):
    """Gathers from a response what the record needs. Sees every event once, or the whole body once, and never
    raises on foreign bytes."""

    id: str | None
    model: str | None
    usage: Usage | None
    service_tier: str | None
    finish_reasons: list[str]
    """One per choice, canonical."""
    finished: bool
    """True once the dialect's own end was seen: its terminal event, or a whole body."""
    ended_well: bool
    """True when an end of bytes here would be no cut: ``finished``, or all that can be asked of a host that
    sends no terminal event (openai-chat: every choice has its finish reason)."""
    failure: Failure | None
    """An error the provider reported inside a 200."""
    output_tokens_estimate: float
    """Script-aware count of the text that came, fractional; see ``interlay.model.tokens``."""

    def event(self, event: WireEvent) -> None: ...

    def body(self, data: bytes) -> None:
        """The whole body of an answer that is no stream."""
        ...

    def tail(self, data: bytes) -> None:
        """The last bytes of a body that was too large to keep: find what can still be found, such as usage."""
        ...


class TextPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where text stands in an event, a response or a request."""

    path: tuple[str | int, ...]
    channel: tuple[str, int, int]
    """Kind (``text``, ``reasoning``, ``refusal``, ``tool_arguments``, ``transcript``), choice, block."""
    role: str
    """``delta`` (adds to the channel), ``repeat`` (says the whole again) or ``echo`` (shows parts of the text
    elsewhere: log-probabilities, citations, transcripts, rejected predictions)."""
    text: str
    signed: bool = False
    """True where the text is covered by a signature: released or dropped whole, never edited."""


@runtime_checkable
class Dialect(Protocol):
    """A codec between one wire API and the canonical model: bytes in, values out, no I/O, no clock."""

    name: str
    operation: str

    def matches(self, method: str, path: str) -> bool:
        """Whether a request to ``path`` (no query) is of this API."""
        ...

    def outline(self, body: bytes) -> Outline: ...

    def framer(self) -> Framer: ...

    def tracker(self) -> Tracker: ...

    def decode_request(self, body: bytes) -> ChatRequest:
        """Raises ``DecodeError``."""
        ...

    def encode_request(self, request: ChatRequest) -> bytes: ...

    def decode_response(self, body: bytes) -> ChatResponse:
        """Raises ``DecodeError``."""
        ...

    def encode_response(self, response: ChatResponse) -> bytes: ...

    def decode_event(self, event: WireEvent) -> list[Delta]:
        """What a stream event says, in order; empty for events that say nothing canonical."""
        ...

    def encode_event(self, deltas: list[Delta]) -> bytes:
        """One wire event for the deltas of one event: the inverse of ``decode_event``."""
        ...

    def assemble(self, events: list[WireEvent]) -> ChatResponse:
        """The answer that a stream's events add up to."""
        ...

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure: ...

    def encode_error(self, failure: Failure) -> bytes:
        """An error body in the API's own shape."""
        ...

    def encode_error_event(self, failure: Failure) -> bytes:
        """The event by which the API reports an error in mid-stream."""
        ...

    def usage(self, raw: Mapping[str, Any]) -> Usage:
        """The provider's usage object in canonical, checked form. Never raises: what is wrong is in ``flags``."""
        ...

    def ask_usage(self, body: bytes) -> bytes | None:
        """The request's own bytes, patched so that the stream reports usage; None where that is not needed."""
        ...

    def hide_usage(self, event: WireEvent) -> bytes:
        """The event's bytes as the API would have sent them had nobody asked for usage; empty to drop it."""
        ...

    def request_places(self, body: Mapping[str, Any]) -> list[TextPlace]: ...

    def response_places(self, body: Mapping[str, Any]) -> list[TextPlace]: ...

    def event_places(self, event: WireEvent) -> list[TextPlace]: ...

    def rewrite(self, event: WireEvent, texts: Mapping[tuple[str, int, int], str]) -> bytes:
        """The event's own JSON with the text of each channel replaced: deltas and repeats set, echoes cut,
        padding remade. Everything else stands as it stood."""
        ...
