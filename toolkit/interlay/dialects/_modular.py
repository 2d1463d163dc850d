"""What the classes of dialects have alike: each is put together from the modules of its package, which have its parts
under the same names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from interlay.dialects._codec import Object
from interlay.dialects._sse import MAX_EVENT
from interlay.model.errors import DecodeError
from interlay.model.messages import ChatRequest, ChatResponse, Delta
from interlay.model.places import Channel, TextPlace
from interlay.model.protocols import WireEvent
from interlay.model.record import Failure
from interlay.model.usage import Usage

EVENT_STREAM: Final = "text/event-stream; charset=utf-8"
"""The media type of server-sent events."""
Texts = Mapping[Channel, str]


class Askings(Protocol):
    """The module ``asking``: which requests a cache may answer."""

    def unfit(self, body: Mapping[str, Any]) -> str | None: ...


class Figures(Protocol):
    """The module ``figures``: usage in canonical form."""

    def read(self, raw: bytes) -> Usage: ...
    def of_mapping(self, fields: Mapping[str, Any]) -> Usage: ...


class Failures(Protocol):
    """The module ``failures``: errors, in every shape that hosts send."""

    def decode(self, body: bytes, status: int | None = None, headers: Mapping[str, str] | None = None) -> Failure: ...
    def encode(self, failure: Failure, was: bytes | None = None) -> bytes: ...


class Requests(Protocol):
    """The module ``request``."""

    def decode(self, body: bytes) -> ChatRequest: ...
    def encode(self, request: ChatRequest) -> bytes: ...


class Responses(Protocol):
    """The module ``response``."""

    def decode(self, body: bytes) -> ChatResponse: ...
    def encode(self, response: ChatResponse) -> bytes: ...
    def read(self, wire: Object, /) -> ChatResponse: ...


class Assemblies(Protocol):
    """The module ``assembly``: events added up to a whole answer."""

    def whole(self, events: Iterable[WireEvent]) -> Object: ...


class Streams(Protocol):
    """The module ``stream``: what events say, and events for what is to be said."""

    def decode_event(self, event: WireEvent) -> list[Delta]: ...
    def encode_event(self, deltas: list[Delta]) -> bytes: ...
    def error_event(self, failure: Failure) -> bytes: ...


class Places(Protocol):
    """The module ``places``: where text stands."""

    def request_places(self, body: Mapping[str, Any]) -> list[TextPlace]: ...
    def response_places(self, body: Mapping[str, Any]) -> list[TextPlace]: ...
    def event_places(self, event: WireEvent) -> list[TextPlace]: ...
    def rewrite(self, event: WireEvent, texts: Texts, wholes: Texts | None = None) -> bytes: ...


class Forms(Protocol):
    """The module ``forms``: one answer whole and streamed. Both ways raise ``DecodeError`` where there is none."""

    def as_stream(self, body: bytes, query: str, /) -> list[bytes]: ...
    def as_body(self, events: Iterable[WireEvent], /) -> bytes: ...


class Sayings(Protocol):
    """The module ``said``, or a ``ChatSayings``: messages as the API writes them."""

    def prompt(self, body: bytes) -> tuple[list[Object], list[Object]]: ...
    def answer(self, body: bytes) -> list[Object]: ...
    def streamed_answer(self, events: list[WireEvent]) -> list[Object]: ...


class ModularDialect:
    """Usage and errors, for an API that always reports usage. See ``interlay.model.protocols.Dialect``."""

    plain_query: frozenset[str] = frozenset()
    _asking: Askings
    _figures: Figures
    _failures: Failures

    def place(self, path: str) -> str:
        """Streams are asked for in the body."""
        return path

    def unfit(self, body: Mapping[str, Any], path: str) -> str | None:
        return self._asking.unfit(body)

    def usage(self, raw: Mapping[str, Any] | bytes) -> Usage:
        return self._figures.read(raw) if isinstance(raw, bytes) else self._figures.of_mapping(raw)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        return self._failures.decode(body, status, headers)

    def encode_error(self, failure: Failure, was: bytes | None = None) -> bytes:
        return self._failures.encode(failure, was)

    def ask_usage(self, body: bytes) -> bytes | None:
        """Usage is reported unasked."""
        return None

    def hide_usage(self, event: WireEvent) -> bytes:
        return event.raw


class ModularCodec(ModularDialect):
    """All that is said of messages. See ``interlay.model.protocols.Codec``."""

    _request: Requests
    _response: Responses
    _assembly: Assemblies
    _stream: Streams
    _places: Places
    _forms: Forms
    _said: Sayings

    def encode_error_event(self, failure: Failure) -> bytes:
        return self._stream.error_event(failure)

    def decode_request(self, body: bytes) -> ChatRequest:
        return self._request.decode(body)

    def encode_request(self, request: ChatRequest) -> bytes:
        return self._request.encode(request)

    def decode_response(self, body: bytes) -> ChatResponse:
        return self._response.decode(body)

    def encode_response(self, response: ChatResponse) -> bytes:
        return self._response.encode(response)

    def decode_event(self, event: WireEvent) -> list[Delta]:
        return self._stream.decode_event(event)

    def encode_event(self, deltas: list[Delta]) -> bytes:
        return self._stream.encode_event(deltas)

    def assemble(self, events: list[WireEvent]) -> ChatResponse:
        return self._response.read(self._assembly.whole(events))

    def request_places(self, body: Mapping[str, Any]) -> list[TextPlace]:
        return self._places.request_places(body)

    def response_places(self, body: Mapping[str, Any]) -> list[TextPlace]:
        return self._places.response_places(body)

    def event_places(self, event: WireEvent) -> list[TextPlace]:
        return self._places.event_places(event)

    def rewrite(self, event: WireEvent, texts: Texts, wholes: Texts | None = None) -> bytes:
        return self._places.rewrite(event, texts, wholes)

    def stream_type(self, query: str = "") -> str:
        return EVENT_STREAM

    def as_stream(self, body: bytes, query: str = "") -> list[bytes] | None:
        try:
            made = self._forms.as_stream(body, query)
        except DecodeError:
            return None
        return made if max(map(len, made)) <= MAX_EVENT else None  # who frames it has to be able to

    def as_body(self, events: Iterable[WireEvent]) -> bytes | None:
        try:
            return self._forms.as_body(events)
        except DecodeError:
            return None

    def prompt(self, body: bytes) -> tuple[list[Object], list[Object]]:
        return self._said.prompt(body)

    def answer(self, body: bytes) -> list[Object]:
        return self._said.answer(body)

    def streamed_answer(self, events: list[WireEvent]) -> list[Object]:
        return self._said.streamed_answer(events)
