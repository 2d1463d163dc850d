"""OpenAI embeddings: ``POST …/embeddings``, at OpenAI, Azure, Mistral, Voyage and others who took over the form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlay.dialects._modular import ModularDialect
from interlay.dialects._sse import SSEFramer
from interlay.dialects.counts import object_of
from interlay.dialects.openai_chat import failures
from interlay.dialects.openai_embeddings import asking, codec, figures, places
from interlay.dialects.openai_embeddings.outline import outline
from interlay.dialects.openai_embeddings.tracker import Tracker
from interlay.model.embeddings import EmbeddingRequest, EmbeddingResponse
from interlay.model.places import TextPlace
from interlay.model.protocols import Outline, WireEvent


class OpenAIEmbeddings(ModularDialect):
    """The dialect of the embeddings API, and its codec: it has no messages, so it is no ``Codec``."""

    name = "openai-embeddings"
    operation = "embeddings"
    streams_json = False
    harmless = places.HARMLESS
    ignored = asking.IGNORED
    telling_headers = asking.TELLING_HEADERS
    _asking = asking
    _figures = figures
    _failures = failures

    def matches(self, method: str, path: str) -> bool:
        """Not ``/api/embeddings``, which is Ollama's own API."""
        return method == "POST" and path.endswith("/embeddings") and not path.endswith("/api/embeddings")

    def outline(self, body: bytes) -> Outline:
        return outline(body)

    def framer(self) -> SSEFramer:
        return SSEFramer()

    def tracker(self) -> Tracker:
        return Tracker()

    def decode_request(self, body: bytes) -> EmbeddingRequest:
        """Raises ``DecodeError`` for a body that is of another shape, too deep, or too wide."""
        return codec.decode_request(body)

    def encode_request(self, request: EmbeddingRequest) -> bytes:
        """A request of this dialect patched, one of another built."""
        return codec.encode_request(request)

    def decode_response(self, body: bytes) -> EmbeddingResponse:
        """Raises ``DecodeError``."""
        return codec.decode_response(body)

    def encode_response(self, response: EmbeddingResponse) -> bytes:
        """A response of this dialect patched, one of another built."""
        return codec.encode_response(response)

    def request_places(self, body: Mapping[str, Any]) -> list[TextPlace]:
        """Where the text of a request's JSON object stands."""
        return places.request_places(body)

    def response_places(self, body: Mapping[str, Any]) -> list[TextPlace]:
        """Where the text of a response's, or an error's, JSON object stands."""
        return places.response_places(body)

    def prompt(self, body: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Each text that is to be embedded, as a user's message; there are no tools."""
        inputs = object_of(body).get("input")
        texts = inputs if isinstance(inputs, list) else [inputs]
        return [{"role": "user", "content": text} for text in texts if isinstance(text, str)], []

    def answer(self, body: bytes) -> list[dict[str, Any]]:
        """Vectors are no messages."""
        return []

    def streamed_answer(self, events: list[WireEvent]) -> list[dict[str, Any]]:
        return []
