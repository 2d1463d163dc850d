"""What was said, as the API writes it: for records that keep contents."""

from __future__ import annotations

from typing import Any

from interlay.dialects.counts import object_of, objects
from interlay.dialects.gemini.assembly import whole
from interlay.dialects.gemini.framing import GeminiFramer
from interlay.dialects.gemini.names import get
from interlay.model.protocols import WireEvent


def prompt(body: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The contents of a request, the system's text first, and its tools. Raises ``DecodeError``."""
    request = object_of(body)
    system = get(request, "systemInstruction")
    if isinstance(system, str):
        system = {"parts": [{"text": system}]}
    first = [{**system, "role": "system"}] if isinstance(system, dict) and system else []
    return first + objects(request.get("contents")), objects(request.get("tools"))


def answer(body: bytes) -> list[dict[str, Any]]:
    """The contents of a response, one a candidate. Raises ``DecodeError``."""
    if body.lstrip().startswith(b"["):
        framer = GeminiFramer()
        return streamed_answer([*framer.feed(body), *framer.finish()])
    return _contents(object_of(body))


def streamed_answer(events: list[WireEvent]) -> list[dict[str, Any]]:
    """The contents that a stream's chunks add up to."""
    return _contents(whole(events))


def _contents(response: dict[str, Any]) -> list[dict[str, Any]]:
    contents = (candidate.get("content") for candidate in objects(response.get("candidates")))
    return [content for content in contents if isinstance(content, dict)]
