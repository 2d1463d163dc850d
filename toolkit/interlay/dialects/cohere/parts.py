"""Pieces of a message: items of its content, and calls of tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from interlay.dialects._codec import Object, a_dict, a_str, came_from, encode_node, part_by_type, without_none
from interlay.dialects._functions import read_call, write_call
from interlay.dialects.cohere.names import ORIGIN
from interlay.model.messages import AnyPart, File, Image, Opaque, Part, Reasoning, Refusal, Text, ToolCall

_BASE64: Final = ";base64"


def decode_part(item: Object) -> AnyPart:
    """One item of a content list. What is unknown, or not as it should be, is an ``Opaque``; so are documents."""
    return part_by_type(item, ORIGIN, _READERS)


def encode_part(part: Part) -> Object | None:
    """The item that ``part`` is; None for what has no form here."""
    if isinstance(part, Opaque):
        return part.raw if part.origin == ORIGIN else None
    if isinstance(part, Image) and part.data is None and part.url is None:
        return None
    if isinstance(part, File):
        return {"type": "text", "text": part.data} if part.media_type == "text/plain" and part.data else None
    writer = _WRITERS.get(type(part))
    return None if writer is None else encode_node(part, ORIGIN, _read_again, writer)


def decode_call(item: Object) -> ToolCall:
    """A call of a tool."""
    return came_from(item, ORIGIN, read_call(item))


def encode_call(part: ToolCall) -> Object:
    """The call as this API writes it."""
    return encode_node(part, ORIGIN, read_call, write_call)


def _read_again(raw: Object) -> Any:
    return decode_part(raw)


def _read_text(item: Object) -> Text | None:
    text = a_str(item.get("text"))
    return None if text is None else Text(text=text)


def _write_text(part: Text | Refusal) -> Object:
    return {"type": "text", "text": part.text}


def _read_thinking(item: Object) -> Reasoning | None:
    thinking = a_str(item.get("thinking"))
    return None if thinking is None else Reasoning(text=thinking)


def _write_thinking(part: Reasoning) -> Object:
    return {"type": "thinking", "thinking": part.text}


def _read_image(item: Object) -> Image | None:
    image = a_dict(item.get("image_url")) or {}
    url = a_str(image.get("url"))
    if url is None:
        return None
    head, comma, data = url.partition(",")
    if comma and head.startswith("data:") and head.endswith(_BASE64):
        kind = head.removeprefix("data:").removesuffix(_BASE64)
        return Image(data=data, media_type=kind, detail=a_str(image.get("detail")))
    return Image(url=url, detail=a_str(image.get("detail")))


def _write_image(part: Image) -> Object:
    kind = "image/png" if part.media_type is None else part.media_type
    url = part.url if part.data is None else f"data:{kind}{_BASE64},{part.data}"
    return {"type": "image_url", "image_url": without_none(url=url, detail=part.detail)}


_READERS: Final[dict[str, Callable[[Object], AnyPart | None]]] = {
    "text": _read_text,
    "thinking": _read_thinking,
    "image_url": _read_image,
}
_WRITERS: Final[dict[type[Part], Callable[[Any], Object]]] = {
    Text: _write_text,
    Refusal: _write_text,
    Reasoning: _write_thinking,
    Image: _write_image,
}
