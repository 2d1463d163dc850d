"""Canonical embeddings: what is to be embedded, and the vectors. Nodes keep their JSON as those of messages do."""

from __future__ import annotations

from typing import Any

import msgspec

from interlay.model.messages import Node
from interlay.model.usage import Usage


class Vector(Node, kw_only=True):
    """One embedding."""

    index: int = 0
    """Which of the inputs it is of."""
    values: Any = None
    """A list of numbers, or base64 of little-endian 32-bit floats, as was asked for."""


class EmbeddingRequest(Node, kw_only=True):
    """What is to be embedded."""

    model: str | None = None
    inputs: list[Any] = msgspec.field(default_factory=list)
    """Texts, or lists of token numbers; token numbers themselves where one input was given so."""
    dimensions: int | None = None
    encoding: str | None = None
    """``float`` or ``base64``."""
    user: str | None = None


class EmbeddingResponse(Node, kw_only=True):
    """What was answered."""

    model: str | None = None
    vectors: list[Vector] = msgspec.field(default_factory=list)
    usage: Usage | None = None
