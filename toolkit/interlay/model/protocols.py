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


class WireEvent(msgspec.Struct, gc=False):
    """One event of a stream as it stood on the wire. ``raw`` of all events, joined, is the stream's bytes."""

    raw: bytes
    """All of its bytes, the blank line that ends it included."""
    name: str | None
    """Server-sent events' ``event:`` field."""
    data: bytes | None
    """Its ``data:`` lines joined by newlines; None for comments and empty events."""

    def __repr__(self) -> str:
        return f"WireEvent({self.name!r}, {len(self.raw)} bytes)"


class Framer(Protocol):
    """Cuts a byte stream into events, sans-io."""

    def feed(self, chunk: bytes) -> list[WireEvent]:
        """Events completed by ``chunk``. Raises ``DecodeError`` when one event exceeds the limit."""
        ...

    def finish(self) -> list[WireEvent]:
        """What is left at the end of bytes: an event that was not ended, its ``data`` read all the same. After
        ``feed`` has raised: the bytes it has not given back."""
        ...


class Tracker(Protocol):
    """Gathers from a response what the record needs. Sees every event once, or the whole body once, and never
    raises on foreign bytes."""

    finished: bool
    """True once the dialect's own end was seen: its terminal event, or a whole body."""
    failure: Failure | None
    """An error the provider reported inside a 200."""
    output_tokens_estimate: float
    """Script-aware count of the text that came, fractional; see ``interlay.model.tokens``."""

    @property
    def id(self) -> str | None: ...

    @property
    def model(self) -> str | None: ...

    @property
    def usage(self) -> Usage | None: ...

    @property
    def service_tier(self) -> str | None: ...

    @property
    def finish_reasons(self) -> list[str]:
        """One per choice, canonical."""
        ...

    @property
    def ended_well(self) -> bool:
        """True when an end of bytes here would be no cut: ``finished``, or all that can be asked of a host that
        sends no terminal event (openai-chat: every choice has its finish reason)."""
        ...

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
    """Kind (``text``, ``reasoning``, ``refusal``, ``tool_arguments``, ``transcript``, ``error``), choice, block."""
    role: str
    """``delta`` (adds to the channel), ``twin`` (says the delta of the same event once more), ``repeat`` (says the
    whole so far again) or ``echo`` (all below ``path`` shows parts of the text: log-probabilities, citations,
    transcripts, rejected predictions; ``text`` is empty)."""
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

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure: ...

    def usage(self, raw: Mapping[str, Any] | bytes) -> Usage:
        """The provider's usage object in canonical, checked form. Never raises: what is wrong is in ``flags``.

        Given its JSON text, a reported cost is exact to the last digit; of a mapping it is what its floats say.
        """
        ...

    def ask_usage(self, body: bytes) -> bytes | None:
        """The request's own bytes, patched so that the stream reports usage; None where that is not needed."""
        ...

    def hide_usage(self, event: WireEvent) -> bytes:
        """The event's bytes as the API would have sent them had nobody asked for usage; empty to drop it."""
        ...

    def prompt(self, body: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The messages and the tools of a request, as the API writes them. Raises ``DecodeError``."""
        ...

    def answer(self, body: bytes) -> list[dict[str, Any]]:
        """The messages of a response, as the API writes them. Raises ``DecodeError``."""
        ...

    def streamed_answer(self, events: list[WireEvent]) -> list[dict[str, Any]]:
        """The messages that a stream's events add up to. Raises ``DecodeError``."""
        ...


@runtime_checkable
class Codec(Dialect, Protocol):
    """A dialect that says everything canonically, in both directions."""

    def decode_request(self, body: bytes) -> ChatRequest:
        """Raises ``DecodeError``."""
        ...

    def encode_request(self, request: ChatRequest) -> bytes: ...

    def decode_response(self, body: bytes) -> ChatResponse:
        """Raises ``DecodeError``."""
        ...

    def encode_response(self, response: ChatResponse) -> bytes: ...

    def decode_event(self, event: WireEvent) -> list[Delta]:
        """What a stream event says, in order; empty for events that say nothing canonical. Raises ``DecodeError``."""
        ...

    def encode_event(self, deltas: list[Delta]) -> bytes:
        """One wire event for the deltas of one event: the inverse of ``decode_event``."""
        ...

    def assemble(self, events: list[WireEvent]) -> ChatResponse:
        """The answer that a stream's events add up to. Raises ``DecodeError``."""
        ...

    def encode_error(self, failure: Failure) -> bytes:
        """An error body in the API's own shape."""
        ...

    def encode_error_event(self, failure: Failure) -> bytes:
        """The event by which the API reports an error in mid-stream."""
        ...

    def request_places(self, body: Mapping[str, Any]) -> list[TextPlace]: ...

    def response_places(self, body: Mapping[str, Any]) -> list[TextPlace]: ...

    def event_places(self, event: WireEvent) -> list[TextPlace]: ...

    def rewrite(
        self,
        event: WireEvent,
        texts: Mapping[tuple[str, int, int], str],
        wholes: Mapping[tuple[str, int, int], str] | None = None,
    ) -> bytes:
        """The event's own JSON with the text of each channel replaced: deltas and twins set from ``texts``, repeats
        from ``wholes`` (what a channel has said so far), echoes cut, padding remade. Everything else stands as it
        stood. Raises ``DecodeError`` for an event that cannot be read.
        """
        ...
