"""What the record needs of a request, read without building it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interlay.dialects.counts import MAX_COUNT, items_in, text
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.protocols import Outline

_NOTHING: Final = msgspec.Raw()


class _Request(msgspec.Struct, gc=False):
    model: str | None = None
    dimensions: int | None = None
    output_dimension: int | None = None
    encoding_format: str | None = None
    input_type: str | None = None
    input: msgspec.Raw = _NOTHING


_requests: Final = json.Reader(_Request, marks=None)


def outline(body: bytes) -> Outline:
    """A request at a glance. Never raises; what is of another type than it should be is left out."""
    try:
        request = _requests.lenient(body)
    except DecodeError:
        return Outline(readable=False)
    found: dict[str, Any] = {}
    wanted = request.dimensions if request.dimensions is not None else request.output_dimension  # Voyage's name
    if wanted is not None and 0 <= wanted <= MAX_COUNT:
        found["dimensions"] = wanted
    words = {"encoding_format": request.encoding_format, "input_type": request.input_type}
    found |= {name: word for name, value in words.items() if (word := text(value, 64)) is not None}
    if count := items_in(request.input):
        found["input_count"] = count
    return Outline(model=text(request.model, 256), parameters=found)
