"""OpenAI responses: ``POST …/responses``, at OpenAI, Azure, xAI and others who took over the form."""

from __future__ import annotations

from interlay.dialects._modular import ModularCodec
from interlay.dialects._sse import SSEFramer
from interlay.dialects.openai_responses import (
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
from interlay.dialects.openai_responses.outline import outline
from interlay.dialects.openai_responses.tracker import Tracker
from interlay.model.protocols import Outline, WireEvent


class OpenAIResponses(ModularCodec):
    """The codec between the Responses API and the canonical model."""

    name = "openai-responses"
    operation = "chat"
    streams_json = False
    turns = "input"
    harmless = places.HARMLESS | places.WORDS
    ignored = asking.IGNORED
    telling_headers = asking.TELLING_HEADERS

    _asking = asking
    _figures = figures
    _failures = failures
    _request = request
    _response = response
    _assembly = assembly
    _stream = stream
    _places = places
    _forms = forms
    _said = said

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/responses")

    def outline(self, body: bytes) -> Outline:
        return outline(body)

    def framer(self) -> SSEFramer:
        return SSEFramer()

    def tracker(self) -> Tracker:
        return Tracker()

    def renumber(self, event: WireEvent, number: int) -> bytes:
        """The event with another sequence number, for a stream in which events were added or dropped."""
        return places.renumber(event, number)
