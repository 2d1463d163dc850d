"""Cohere: ``POST …/v2/chat``, whole or streamed. The API before it, at ``/v1``, is another."""

from __future__ import annotations

from interlay.dialects._modular import ModularCodec
from interlay.dialects._said import ChatSayings, the_message
from interlay.dialects._sse import SSEFramer
from interlay.dialects.cohere import asking, assembly, failures, figures, forms, places, request, response, stream
from interlay.dialects.cohere.names import ORIGIN
from interlay.dialects.cohere.outline import outline
from interlay.dialects.cohere.tracker import Tracker
from interlay.model.protocols import Outline


class Cohere(ModularCodec):
    """The codec between Cohere's chat API and the canonical model."""

    name = ORIGIN
    operation = "chat"
    turns = "messages"
    harmless = places.HARMLESS
    ignored = asking.IGNORED
    telling_headers = asking.TELLING_HEADERS
    streams_json = False

    _asking = asking
    _figures = figures
    _failures = failures
    _request = request
    _response = response
    _assembly = assembly
    _stream = stream
    _places = places
    _forms = forms
    _said = ChatSayings(the_message, assembly.whole)

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/v2/chat")

    def outline(self, body: bytes) -> Outline:
        return outline(body)

    def framer(self) -> SSEFramer:
        return SSEFramer()

    def tracker(self) -> Tracker:
        return Tracker()
