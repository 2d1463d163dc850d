"""Gemini: ``POST …/models/{model}:generateContent`` and ``:streamGenerateContent``, at Google AI Studio and Vertex.

The two differ in their hosts and paths alone, and in a few members of their answers. Other publishers' models at Vertex
have APIs of their own.
"""

from __future__ import annotations

from interlay.dialects._modular import EVENT_STREAM, ModularCodec
from interlay.dialects.gemini import asking, assembly, failures, figures, forms, places, request, response, said, stream
from interlay.dialects.gemini.framing import GeminiFramer
from interlay.dialects.gemini.names import ORIGIN
from interlay.dialects.gemini.outline import outline, target
from interlay.dialects.gemini.tracker import Tracker
from interlay.model.protocols import Outline


class Gemini(ModularCodec):
    """The codec between the generateContent API and the canonical model.

    The model and whether the answer streams stand in the path of a request, and are not in what is decoded.

    Args:
        path: that of the requests which ``outline`` reads: it names the model and says whether the answer streams.
    """

    name = ORIGIN
    operation = "chat"
    turns = "contents"
    harmless = places.HARMLESS | places.WORDS
    ignored = asking.IGNORED
    telling_headers = asking.TELLING_HEADERS
    plain_query = asking.PLAIN_QUERY
    streams_json = True
    """Without ``alt=sse`` a stream is a JSON array."""

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

    def __init__(self, path: str = "") -> None:
        self._target = target(path)

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and target(path) is not None

    def at(self, path: str) -> Gemini:
        """The same for requests to ``path``."""
        return Gemini(path)

    def place(self, path: str) -> str:
        return asking.place(path)

    def outline(self, body: bytes) -> Outline:
        return outline(body, self._target)

    def framer(self) -> GeminiFramer:
        return GeminiFramer()

    def tracker(self) -> Tracker:
        return Tracker()

    def stream_type(self, query: str = "") -> str:
        return EVENT_STREAM if forms.in_events(query) else "application/json; charset=UTF-8"
