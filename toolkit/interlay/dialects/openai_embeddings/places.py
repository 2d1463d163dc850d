"""Where text is in requests for embeddings: the inputs. Responses have none, but for what is said of a failure.

A channel is (kind, input, 0).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlay.dialects._places import strings
from interlay.model.places import TextPlace

HARMLESS: Final = frozenset(
    {
        # words of the API's own
        "object", "type", "code", "param", "encoding_format", "input_type", "output_dtype", "task_type",
        # identifiers
        "id", "model", "request_id",
        # vectors, in base64
        "embedding",
    }
)  # fmt: skip
"""Keys whose strings carry no text."""


def request_places(body: Mapping[str, Any]) -> list[TextPlace]:
    """Where the text of a request stands."""
    places: list[TextPlace] = []
    for key, value in body.items():
        if key == "input" and isinstance(value, list):
            for at, item in enumerate(value):
                places += strings(item, (key, at), ("text", at, 0), ())
        elif key == "input":
            places += strings(value, (key,), ("text", 0, 0), ())
        elif not (isinstance(value, str) and key in HARMLESS):
            places += strings(value, (key,), ("other", 0, -1), HARMLESS)
    return places


def response_places(body: Mapping[str, Any]) -> list[TextPlace]:
    """Where the text of a response, or of an error, stands."""
    places: list[TextPlace] = []
    for key, value in body.items():
        if not (isinstance(value, str) and key in HARMLESS):
            kind = "error" if key in ("error", "detail", "message") else "other"
            places += strings(value, (key,), (kind, 0, -1), HARMLESS)
    return places
