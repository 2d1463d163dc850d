"""Anthropic messages: ``POST …/v1/messages``, whole or streamed."""

from __future__ import annotations

from interlay.dialects._modular import ModularCodec
from interlay.dialects._sse import SSEFramer
from interlay.dialects.anthropic_messages import (
    asking,
    assembly,
    failures,
    figures,
    forms,
    places,
    request,
    response,
    said,
    stream,
)
from interlay.dialects.anthropic_messages.outline import outline
from interlay.dialects.anthropic_messages.tracker import Tracker
from interlay.model.messages import ChatResponse
from interlay.model.protocols import Outline, WireEvent


class AnthropicMessages(ModularCodec):
    """The codec between the Messages API and the canonical model."""

    name = "anthropic-messages"
    operation = "chat"
    streams_json = False
    turns = "messages"
    harmless = places.HARMLESS
    ignored = asking.IGNORED
    telling_headers = asking.TELLING_HEADERS

    _asking = asking
    _figures = figures
    _failures = failures
    _request = request
    _response = response
    _stream = stream
    _places = places
    _forms = forms
    _said = said

    def matches(self, method: str, path: str) -> bool:
        """Also ``/messages`` under a gateway's base, but not the messages of another API's threads."""
        if method != "POST" or not path.endswith("/messages"):
            return False
        return path.endswith("/v1/messages") or path.split("/")[-3:-2] != ["threads"]

    def outline(self, body: bytes) -> Outline:
        return outline(body)

    def framer(self) -> SSEFramer:
        return SSEFramer()

    def tracker(self) -> Tracker:
        return Tracker()

    def assemble(self, events: list[WireEvent]) -> ChatResponse:
        """Raises ``DecodeError`` when the events are not this API's."""
        return assembly.assemble(events)
