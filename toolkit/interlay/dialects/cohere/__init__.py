"""Cohere: ``POST …/v2/chat``, whole or streamed. The API before it, at ``/v1``, is another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlay.dialects._sse import SSEFramer
from interlay.dialects.cohere import assembly, failures, figures, places, request, response, said, stream
from interlay.dialects.cohere.names import ORIGIN
from interlay.dialects.cohere.outline import outline
from interlay.dialects.cohere.tracker import Tracker
from interlay.model.messages import ChatRequest, ChatResponse, Delta
from interlay.model.places import Channel, TextPlace
from interlay.model.protocols import Outline, WireEvent
from interlay.model.record import Failure
from interlay.model.usage import Usage


class Cohere:
    """The codec between Cohere's chat API and the canonical model."""

    name = ORIGIN
    operation = "chat"
    turns = "messages"
    harmless = places.HARMLESS
    streams_json = False

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/v2/chat")

    def outline(self, body: bytes) -> Outline:
        return outline(body)

    def framer(self) -> SSEFramer:
        return SSEFramer()

    def tracker(self) -> Tracker:
        return Tracker()

    def usage(self, raw: Mapping[str, Any] | bytes) -> Usage:
        return figures.read(raw) if isinstance(raw, bytes) else figures.of_mapping(raw)

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure:
        return failures.decode(body, status, headers)

    def encode_error(self, failure: Failure, was: bytes | None = None) -> bytes:
        return failures.encode(failure, was)

    def encode_error_event(self, failure: Failure) -> bytes:
        return stream.error_event(failure)

    def ask_usage(self, body: bytes) -> bytes | None:
        """Streams of this API always report usage."""
        return None

    def hide_usage(self, event: WireEvent) -> bytes:
        return event.raw

    def decode_request(self, body: bytes) -> ChatRequest:
        return request.decode(body)

    def encode_request(self, request_: ChatRequest) -> bytes:
        return request.encode(request_)

    def decode_response(self, body: bytes) -> ChatResponse:
        return response.decode(body)

    def encode_response(self, response_: ChatResponse) -> bytes:
        return response.encode(response_)

    def decode_event(self, event: WireEvent) -> list[Delta]:
        return stream.decode_event(event)

    def encode_event(self, deltas: list[Delta]) -> bytes:
        return stream.encode_event(deltas)

    def assemble(self, events: list[WireEvent]) -> ChatResponse:
        return response.read(assembly.whole(events))

    def request_places(self, body: Mapping[str, Any]) -> list[TextPlace]:
        return places.request_places(body)

    def response_places(self, body: Mapping[str, Any]) -> list[TextPlace]:
        return places.response_places(body)

    def event_places(self, event: WireEvent) -> list[TextPlace]:
        return places.event_places(event)

    def rewrite(
        self, event: WireEvent, texts: Mapping[Channel, str], wholes: Mapping[Channel, str] | None = None
    ) -> bytes:
        return places.rewrite(event, texts, wholes)

    def prompt(self, body: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        return said.prompt(body)

    def answer(self, body: bytes) -> list[dict[str, Any]]:
        return said.answer(body)

    def streamed_answer(self, events: list[WireEvent]) -> list[dict[str, Any]]:
        return said.streamed_answer(events)
