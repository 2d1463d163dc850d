"""Codecs between wire APIs and the canonical model. One file an API, one row here."""

from __future__ import annotations

from typing import Final

from interlay.dialects.anthropic_messages import AnthropicMessages
from interlay.dialects.openai_chat import OpenAIChat
from interlay.dialects.openai_embeddings import OpenAIEmbeddings
from interlay.dialects.openai_responses import OpenAIResponses
from interlay.model.protocols import Dialect

DIALECTS: Final[tuple[Dialect, ...]] = (OpenAIChat(), AnthropicMessages(), OpenAIResponses(), OpenAIEmbeddings())


def find(method: str, path: str) -> Dialect | None:
    """The dialect of a request to ``path`` (without query), or None for plain HTTP."""
    for dialect in DIALECTS:
        if dialect.matches(method, path):
            return dialect
    return None


def named(name: str) -> Dialect | None:
    """The dialect with a name, such as ``openai-chat``."""
    return next((dialect for dialect in DIALECTS if dialect.name == name), None)
