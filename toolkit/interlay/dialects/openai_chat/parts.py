"""Pieces of a message: content parts, tool calls, reasoning and sound, as chat completions write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from interlay.dialects._codec import Object, a_dict, a_str, an_int, encode_node, part_from, without_none
from interlay.dialects._functions import read_call, write_call
from interlay.model.messages import (
    AnyPart,
    Audio,
    File,
    Image,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)

ORIGIN: Final = "openai-chat"


def decode_part(item: Object) -> AnyPart:
    """One item of a content list. What is unknown, or not as it should be, is an ``Opaque``."""
    return _decoded(item, _CONTENT.get(a_str(item.get("type")) or ""))


def encode_part(part: Part) -> Object | None:
    """The content item that ``part`` is; None for what has no form here: another maker's opaque parts, reasoning and
    tool results, and documents that are only a URL."""
    if isinstance(part, Opaque):
        return part.raw if part.origin == ORIGIN else None
    if part.origin != ORIGIN and isinstance(part, File) and part.data is None and part.file_id is None:
        return None
    writer = _WRITERS.get(type(part))
    if writer is None or (isinstance(part, Reasoning) and not _is_content(part)):
        return None
    return encode_node(part, ORIGIN, _read_again, writer)


def _is_content(part: Reasoning) -> bool:
    return part.origin == ORIGIN and part.raw is not None and part.raw.get("type") == "thinking"


def decode_call(item: Object) -> AnyPart:
    """One tool call: of a function, or of a custom tool, whose input is text. A nameless one is of another kind."""
    return _decoded(item, read_call)


def encode_call(part: Part) -> Object | None:
    """The tool call that ``part`` is; None for calls that another provider runs itself."""
    if not isinstance(part, ToolCall) or (part.server and part.origin != ORIGIN):
        return None
    return encode_node(part, ORIGIN, _read_call_again, write_call)


def decode_function(item: Object) -> AnyPart:
    """The one call of the API's first form, ``function_call``."""
    return _decoded(item, _read_function)


def encode_function(part: ToolCall) -> Object:
    """A call in the API's first form."""
    return encode_node(part, ORIGIN, _read_function_again, _write_function)


def is_detail(item: Any) -> bool:
    """Whether ``item`` has the form of OpenRouter's reasoning details."""
    return isinstance(item, dict) and str(item.get("type")).startswith("reasoning.")


def decode_detail(item: Object) -> AnyPart:
    """One of OpenRouter's reasoning details."""
    return _decoded(item, _read_detail)


def encode_detail(part: Part) -> Object | None:
    """One of OpenRouter's reasoning details."""
    return encode_node(part, ORIGIN, _read_detail_again, _write_detail) if isinstance(part, Reasoning) else None


def decode_audio(item: Object) -> AnyPart:
    """What the model spoke."""
    return _decoded(item, _read_spoken)


def encode_audio(part: Audio) -> Object:
    """What the model spoke; of another turn it is enough to name it."""
    return encode_node(part, ORIGIN, _read_spoken, _write_spoken)


def _decoded(item: Object, read: Callable[[Object], AnyPart | None] | None) -> AnyPart:
    part = part_from(item, ORIGIN, None if read is None else read(item))
    part.cache_control = a_dict(item.get("cache_control"))
    return part


def _read_again(raw: Object) -> Any:
    return decode_part(raw)


def _read_text(item: Object) -> Text | None:
    text = a_str(item.get("text"))
    return None if text is None else Text(text=text)


def _write_text(part: Text) -> Object:
    return {"type": "text", "text": part.text, **_mark(part)}


def _read_refusal(item: Object) -> Refusal | None:
    text = a_str(item.get("refusal"))
    return None if text is None else Refusal(text=text)


def _write_refusal(part: Refusal) -> Object:
    return {"type": "refusal", "refusal": part.text}


def _read_image(item: Object) -> Image | None:
    image = item.get("image_url")
    url = image if isinstance(image, str) else a_str(image.get("url")) if isinstance(image, dict) else None
    if url is None:
        return None
    detail = a_str(image.get("detail")) if isinstance(image, dict) else None
    media_type, data = split_data_url(url)
    if data is not None:
        return Image(data=data, media_type=media_type, detail=detail)
    return Image(url=url, detail=detail)


def _write_image(part: Image) -> Object:
    url = part.url
    if part.data is not None:
        url = data_url(part.media_type or "image/png", part.data)
    if part.raw is not None and isinstance(part.raw.get("image_url"), str):
        return {"type": "image_url", "image_url": url, **_mark(part)}
    return {"type": "image_url", "image_url": without_none(url=url, detail=part.detail), **_mark(part)}


def _read_sound(item: Object) -> Audio | None:
    sound = a_dict(item.get("input_audio"))
    data = a_str(sound.get("data")) if sound else None
    return None if sound is None or data is None else Audio(data=data, format=a_str(sound.get("format")))


def _write_sound(part: Audio) -> Object:
    return {"type": "input_audio", "input_audio": without_none(data=part.data, format=part.format), **_mark(part)}


def _read_file(item: Object) -> File | None:
    file = a_dict(item.get("file"))
    if file is None:
        return None
    data, media_type = a_str(file.get("file_data")), None
    if data is not None and data.startswith("data:"):
        media_type, found = split_data_url(data)
        data = data if found is None else found
    return File(
        data=data, media_type=media_type, file_id=a_str(file.get("file_id")), filename=a_str(file.get("filename"))
    )


def _write_file(part: File) -> Object:
    if part.origin != ORIGIN and part.media_type == "text/plain" and part.data is not None:
        return {"type": "text", "text": part.data}
    data = part.data
    if data is not None and part.media_type is not None:
        data = data_url(part.media_type, data)
    file = without_none(file_data=data, file_id=part.file_id, filename=part.filename)
    return {"type": "file", "file": file, **_mark(part)}


def _read_thinking(item: Object) -> Reasoning | None:
    """Mistral's: a string, or a list of texts, among which references may stand."""
    thinking = item.get("thinking")
    if isinstance(thinking, str):
        return Reasoning(text=thinking)
    if not isinstance(thinking, list):
        return None
    texts = [a_str(piece.get("text")) or "" for piece in thinking if isinstance(piece, dict)]
    return Reasoning(text="".join(texts))


def _write_thinking(part: Reasoning) -> Object:
    if part.raw is not None and isinstance(part.raw.get("thinking"), str):
        return {"type": "thinking", "thinking": part.text}
    return {"type": "thinking", "thinking": [{"type": "text", "text": part.text}]}


def _read_call_again(raw: Object) -> Any:
    return decode_call(raw)


def _read_function(item: Object) -> ToolCall | None:
    name = a_str(item.get("name"))
    return None if name is None else ToolCall(name=name, arguments=a_str(item.get("arguments")) or "")


def _read_function_again(raw: Object) -> Any:
    return decode_function(raw)


def _write_function(part: ToolCall) -> Object:
    return {"name": part.name, "arguments": part.arguments}


def _read_detail(item: Object) -> Reasoning:
    text = a_str(item.get("text")) or a_str(item.get("summary")) or ""
    return Reasoning(text=text, signature=a_str(item.get("signature")), encrypted=a_str(item.get("data")))


def _read_detail_again(raw: Object) -> Any:
    return decode_detail(raw)


def _write_detail(part: Reasoning) -> Object:
    kind = a_str((part.raw or {}).get("type"))
    if part.encrypted is not None:
        return {"type": kind or "reasoning.encrypted", "data": part.encrypted}
    member = "summary" if kind == "reasoning.summary" else "text"
    return {"type": kind or "reasoning.text", member: part.text, **without_none(signature=part.signature)}


def _read_spoken(item: Object) -> Audio:
    return Audio(
        id=a_str(item.get("id")),
        data=a_str(item.get("data")),
        transcript=a_str(item.get("transcript")),
        expires_at=an_int(item.get("expires_at")),
        raw=item,
        origin=ORIGIN,
    )


def _write_spoken(part: Audio) -> Object:
    return without_none(id=part.id, data=part.data, transcript=part.transcript, expires_at=part.expires_at)


def _mark(part: Part) -> Object:
    return without_none(cache_control=part.cache_control)


def split_data_url(url: str) -> tuple[str | None, str | None]:
    """Media type and base64 data of a ``data:`` URL; of another URL, None and None."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None, None
    return head[5:-7] or None, data


def data_url(media_type: str, data: str) -> str:
    """A ``data:`` URL for base64 data."""
    return f"data:{media_type};base64,{data}"


_CONTENT: Final[dict[str, Callable[[Object], AnyPart | None]]] = {
    "text": _read_text,
    "refusal": _read_refusal,
    "image_url": _read_image,
    "input_audio": _read_sound,
    "file": _read_file,
    "thinking": _read_thinking,
}
_WRITERS: Final[dict[type[Part], Callable[[Any], Object]]] = {
    Text: _write_text,
    Refusal: _write_refusal,
    Image: _write_image,
    Audio: _write_sound,
    File: _write_file,
    Reasoning: _write_thinking,
}
