"""What the rooms expect of each other: the seams, as types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import msgspec

from interlay.model.messages import ChatRequest, ChatResponse, Delta
from interlay.model.places import Channel, TextPlace
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
    def id(self) -> str | None:
        """The response's."""
        ...

    @property
    def model(self) -> str | None:
        """The one that answered."""
        ...

    @property
    def usage(self) -> Usage | None:
        """None until some was reported; of several reports the one that counts."""
        ...

    @property
    def service_tier(self) -> str | None:
        """The tier that served the call."""
        ...

    @property
    def finish_reasons(self) -> list[str]:
        """One per choice, canonical."""
        ...

    @property
    def ended_well(self) -> bool:
        """True when an end of bytes here would be no cut: ``finished``, or all that can be asked of a host that
        sends no terminal event (openai-chat: every choice has its finish reason)."""
        ...

    def event(self, event: WireEvent) -> None:
        """The next event. On the path of every chunk."""
        ...

    def body(self, data: bytes) -> None:
        """The whole body of an answer that is no stream."""
        ...

    def tail(self, data: bytes) -> None:
        """The last bytes of a body that was too large to keep: find what can still be found, such as usage."""
        ...


@runtime_checkable
class Dialect(Protocol):
    """What the record needs of one wire API: bytes in, values out, no I/O, no clock.

    Stateless, so one serves all calls at once. What is read here may be anything: only ``prompt``, ``answer`` and
    ``streamed_answer``, which are asked for when contents are kept, may raise, and nothing but ``DecodeError``.
    """

    name: str
    """Lower case with hyphens: ``openai-chat``. Records carry it."""
    operation: str
    """``chat``, ``embeddings``, …"""
    streams_json: bool
    """Whether a stream may come as one JSON document, which the framer cuts too."""

    ignored: frozenset[str]
    """Members of a request's object that cannot change what the answer says: the form it comes in, who pays attention
    to it, where the provider files it. They are left out of a cache's key, and nothing else of the body is."""
    telling_headers: tuple[str, ...]
    """Headers of a request that can change what the answer says, in lower case. One that ends in a hyphen stands for
    all that begin so."""

    plain_query: frozenset[str]
    """Pieces of a request's query that say the form of the answer alone, such as ``alt=sse``."""

    def place(self, path: str) -> str:
        """The path by which a request is known, whether or not its answer streams."""
        ...

    def unfit(self, body: Mapping[str, Any], path: str) -> str | None:
        """Why a request may not be answered from a cache: what the answer says depends on more than the request.

        ``server_state``: on what the provider keeps of other requests, or would keep of this one. ``server_tools``: on
        what is found or done while it answers. ``files``: on what stands elsewhere and may change. None where the
        request is all there is. Never raises, whatever ``body`` is.
        """
        ...

    def matches(self, method: str, path: str) -> bool:
        """Whether a request to ``path`` (no query) is of this API."""
        ...

    def outline(self, body: bytes) -> Outline:
        """A request at a glance. On the path of every call: some microseconds, however large the body is."""
        ...

    def framer(self) -> Framer:
        """A new framer, for one stream."""
        ...

    def tracker(self) -> Tracker:
        """A new tracker, for one response."""
        ...

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        """What a response of status 400 and above says. Names of ``headers`` are in lower case. What stands between us
        and the API may have answered in any shape."""
        ...

    def encode_error(self, failure: Failure, was: bytes | None = None) -> bytes:
        """An error body in the API's own shape. ``was``, an error body of this API, is patched: what the failure does
        not say otherwise stays."""
        ...

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
    """A dialect that says everything canonically, in both directions.

    What was decoded and not changed encodes to the same JSON, members that nobody knows included. What was changed is
    patched into the JSON it came from. What has no form in this API is left out, never guessed.
    """

    turns: str
    """The member of a request that its messages stand in: ``prompt`` and ``answer`` give such messages."""
    harmless: frozenset[str]
    """Keys whose strings carry no text: words of the API's own, identifiers, names, times, padding, sealed data."""

    def decode_request(self, body: bytes) -> ChatRequest:
        """Raises ``DecodeError`` for a body that is of another shape, too deep, or too wide."""
        ...

    def encode_request(self, request: ChatRequest) -> bytes:
        """A request of this dialect patched, one of another built."""
        ...

    def decode_response(self, body: bytes) -> ChatResponse:
        """Raises ``DecodeError``."""
        ...

    def encode_response(self, response: ChatResponse) -> bytes:
        """A response of this dialect patched, one of another built."""
        ...

    def decode_event(self, event: WireEvent) -> list[Delta]:
        """What a stream event says, in order; the first delta keeps the event's JSON. Empty for events that say
        nothing canonical. Raises ``DecodeError`` for data that cannot be read."""
        ...

    def encode_event(self, deltas: list[Delta]) -> bytes:
        """The wire event for the deltas of one event: the inverse of ``decode_event``. Deltas of another dialect may
        need several events, or none."""
        ...

    def assemble(self, events: list[WireEvent]) -> ChatResponse:
        """The answer that a stream's events add up to, as far as they go; what cannot be read is passed over.

        Raises ``DecodeError`` when what they add up to is no answer of this API.
        """
        ...

    def stream_type(self, query: str = "") -> str:
        """The media type of streamed answers; at some APIs the request's ``query`` chooses their form."""
        ...

    def as_stream(self, body: bytes, query: str = "") -> list[bytes] | None:
        """The raw events, the terminal one included, that say what the whole answer ``body`` says, with usage as if it
        had been asked for. None where there are none that surely say the same; never raises."""
        ...

    def as_body(self, events: Iterable[WireEvent]) -> bytes | None:
        """The whole answer that a stream's events add up to, as the API gives answers that are not streamed. None
        where the stream has not ended, has failed, or cannot be added up without loss; never raises."""
        ...

    def encode_error_event(self, failure: Failure) -> bytes:
        """The event by which the API reports an error in mid-stream."""
        ...

    def request_places(self, body: Mapping[str, Any]) -> list[TextPlace]:
        """Where the text of a request's JSON object stands, text that the dialect knows nothing of included."""
        ...

    def response_places(self, body: Mapping[str, Any]) -> list[TextPlace]:
        """Where the text of a response's, or an error's, JSON object stands: every string is in a place, unless its
        key is on the dialect's list of those that carry no text."""
        ...

    def event_places(self, event: WireEvent) -> list[TextPlace]:
        """Where the text of an event stands; paths are of its data. None for events without data.

        Raises ``DecodeError`` for data that cannot be read, so that it does not pass for data without text.
        """
        ...

    def rewrite(
        self, event: WireEvent, texts: Mapping[Channel, str], wholes: Mapping[Channel, str] | None = None
    ) -> bytes:
        """The event's own JSON with the text of each channel replaced: deltas and twins set from ``texts``, padding
        remade, all else as it stood. ``wholes`` has what each channel that was changed, here or in an earlier event,
        has said so far: its repeats say that, and its echoes are cut. Those of a channel that is changed here, and is
        not in ``wholes``, say nothing.

        The event's own bytes when nothing is changed and no object in it has a key twice: what was looked at is what
        is sent. Empty for an event that is dropped, as signed text is when it is changed. Raises ``DecodeError`` for
        data that cannot be read.
        """
        ...
