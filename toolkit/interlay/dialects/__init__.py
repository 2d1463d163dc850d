"""Codecs between wire APIs and the canonical model. One file an API, one row here."""

from __future__ import annotations

from typing import Final, Protocol, runtime_checkable

from interlay.dialects.anthropic_messages import AnthropicMessages
from interlay.dialects.cohere import Cohere
from interlay.dialects.gemini import Gemini
from interlay.dialects.ollama import Ollama
from interlay.dialects.openai_chat import OpenAIChat
from interlay.dialects.openai_embeddings import OpenAIEmbeddings
from interlay.dialects.openai_responses import OpenAIResponses
from interlay.model.protocols import Dialect

DIALECTS: Final[tuple[Dialect, ...]] = (
    OpenAIChat(),
    AnthropicMessages(),
    OpenAIResponses(),
    OpenAIEmbeddings(),
    Gemini(),
    Cohere(),
    Ollama(),
)


@runtime_checkable
class Located(Protocol):
    """A dialect whose requests are known in part by their path alone."""

    def at(self, path: str) -> Dialect:
        """The same dialect for requests to ``path``."""
        ...


# What a protocol is asked at run time takes ten microseconds, and some URLs are looked up for each call.
_LOCATED: Final = {dialect.name: dialect for dialect in DIALECTS if isinstance(dialect, Located)}


def find(method: str, path: str) -> Dialect | None:
    """The dialect of a request to ``path`` (without query), or None for plain HTTP. Where paths say something of a
    request, such as its model, the dialect that is given knows it."""
    for dialect in DIALECTS:
        if dialect.matches(method, path):
            located = _LOCATED.get(dialect.name)
            return dialect if located is None else located.at(path)
    return None


def named(name: str) -> Dialect | None:
    """The dialect with a name, such as ``openai-chat``."""
    return next((dialect for dialect in DIALECTS if dialect.name == name), None)
