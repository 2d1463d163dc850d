"""Gemini: ``POST …/models/{model}:generateContent`` and ``:streamGenerateContent``, at Google AI Studio and Vertex.

The two differ in their hosts and paths alone, and in a few members of their answers. Other publishers' models at Vertex
have APIs of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlay.dialects.gemini import assembly, failures, figures, places, request, response, said, stream
from interlay.dialects.gemini.framing import GeminiFramer
from interlay.dialects.gemini.names import ORIGIN
from interlay.dialects.gemini.outline import outline, target
from interlay.dialects.gemini.tracker import Tracker
from interlay.model.messages import ChatRequest, ChatResponse, Delta
from interlay.model.places import Channel, TextPlace
from interlay.model.protocols import Outline, WireEvent
from interlay.model.record import Failure
from interlay.model.usage import Usage


class Gemini:
    """The codec between the generateContent API and the canonical model.

    Args:
        path: that of the requests which ``outline`` reads: it names the model and says whether the answer streams.
    """

    name = ORIGIN
    operation = "chat"
    turns = "contents"
    harmless = places.HARMLESS | places.WORDS
    streams_json = True
    """Without ``alt=sse`` a stream is a JSON array."""

    def __init__(self, path: str = "") -> None:
        self._target = target(path)

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and target(path) is not None

    def at(self, path: str) -> Gemini:
        """The same for requests to ``path``."""
        return Gemini(path)

    def outline(self, body: bytes) -> Outline:
        return outline(body, self._target)

    def framer(self) -> GeminiFramer:
        return GeminiFramer()

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
        """The model and whether the answer streams stand in the path, and are not in what is decoded."""
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
