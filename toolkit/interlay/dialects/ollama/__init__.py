"""Ollama: ``POST …/api/chat``, whole or streamed as JSON lines. What its server says at ``/v1`` is OpenAI's API."""

from __future__ import annotations

from interlay.dialects._modular import ModularCodec
from interlay.dialects._said import ChatSayings, the_message
from interlay.dialects.ollama import asking, assembly, failures, figures, forms, places, request, response, stream
from interlay.dialects.ollama.framing import LineFramer
from interlay.dialects.ollama.names import ORIGIN
from interlay.dialects.ollama.outline import outline
from interlay.dialects.ollama.tracker import Tracker
from interlay.model.protocols import Outline


class Ollama(ModularCodec):
    """The codec between Ollama's own chat API and the canonical model."""

    name = ORIGIN
    operation = "chat"
    turns = "messages"
    harmless = places.HARMLESS | places.WORDS
    ignored = asking.IGNORED
    telling_headers = asking.TELLING_HEADERS
    streams_json = True
    """Streams are JSON lines, which some servers between call plain JSON."""

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
        return method == "POST" and path.endswith("/api/chat")

    def outline(self, body: bytes) -> Outline:
        return outline(body)

    def framer(self) -> LineFramer:
        return LineFramer()

    def tracker(self) -> Tracker:
        return Tracker()

    def stream_type(self, query: str = "") -> str:
        return "application/x-ndjson"
