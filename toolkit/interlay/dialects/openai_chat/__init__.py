"""OpenAI chat completions, and the hosts that speak it with small differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlay.dialects._sse import SSEFramer
from interlay.dialects.openai_chat import failures, figures, places, said, stream
from interlay.dialects.openai_chat.outline import ask_usage, outline
from interlay.dialects.openai_chat.request import decode_request, encode_request
from interlay.dialects.openai_chat.response import decode_response, encode_response, read_response
from interlay.dialects.openai_chat.tracker import Tracker, hide_usage
from interlay.model.messages import ChatRequest, ChatResponse, Delta
from interlay.model.places import Channel, TextPlace
from interlay.model.protocols import Outline, WireEvent
from interlay.model.record import Failure
from interlay.model.usage import Usage


class OpenAIChat:
    """``POST …/chat/completions``, at OpenAI, Azure and all who took over the form."""

    name = "openai-chat"
    operation = "chat"
    streams_json = False
    turns = "messages"
    harmless = places.HARMLESS | places.WORDS

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/chat/completions")

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
        return b"data: " + failures.encode(failure) + b"\n\n"

    def ask_usage(self, body: bytes) -> bytes | None:
        return ask_usage(body)

    def hide_usage(self, event: WireEvent) -> bytes:
        return hide_usage(event)

    def decode_request(self, body: bytes) -> ChatRequest:
        return decode_request(body)

    def encode_request(self, request: ChatRequest) -> bytes:
        return encode_request(request)

    def decode_response(self, body: bytes) -> ChatResponse:
        return decode_response(body)

    def encode_response(self, response: ChatResponse) -> bytes:
        return encode_response(response)

    def decode_event(self, event: WireEvent) -> list[Delta]:
        return stream.decode_event(event)

    def encode_event(self, deltas: list[Delta]) -> bytes:
        return stream.encode_event(deltas)

    def assemble(self, events: list[WireEvent]) -> ChatResponse:
        return read_response(said.whole(events))

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
