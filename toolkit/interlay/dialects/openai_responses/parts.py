"""Content parts of the Responses API and the canonical parts they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from interlay.dialects._codec import Object, a_dict, a_str, an_object, encode_node, part_by_type, without_none
from interlay.dialects.openai_chat.parts import data_url, split_data_url
from interlay.model.errors import DecodeError
from interlay.model.messages import AnyPart, Audio, File, Image, Opaque, Part, Refusal, Text

ORIGIN: Final = "openai-responses"


def decode_content(value: Any, what: str) -> list[AnyPart]:
    """The parts of a content that is a string or a list. Raises ``DecodeError``."""
    if isinstance(value, str):
        return [Text(text=value, origin=ORIGIN)] if value else []
    if value is None:
        return []
    if not isinstance(value, list):
        raise DecodeError(f"{what} is neither a string nor a list")
    return [decode_part(an_object(item, what)) for item in value]


def encode_content(parts: Sequence[Part], was: Any = None, *, answer: bool = False) -> Any:
    """The content that ``parts`` make, in the form it had: ``was`` is the empty value that stood for it. ``answer``
    says that the model wrote it."""
    if len(parts) == 1 and not isinstance(was, list):
        only = parts[0]
        if isinstance(only, Text) and (only.raw is None or only.origin != ORIGIN):
            return only.text
    if not parts and isinstance(was, str):
        return was
    return [item for part in parts if (item := encode_part(part, answer=answer)) is not None]


def decode_part(item: Object) -> AnyPart:
    """One part of a content. What we do not know, or what is not as it should be, is an ``Opaque``."""
    return part_by_type(item, ORIGIN, _READERS)


def encode_part(part: Part, *, answer: bool = False) -> Object | None:
    """The content part that ``part`` is; None for what has no form here: another maker's opaque parts, and what is
    an item of its own."""
    if isinstance(part, Opaque):
        return part.raw if part.origin == ORIGIN else None
    writer = _WRITERS.get(type(part))
    if writer is None:
        return None
    item = encode_node(part, ORIGIN, _read_again, writer)
    if part.raw is None or part.origin != ORIGIN:
        if isinstance(part, Text) and answer:
            item = {**item, "type": "output_text", "annotations": item.get("annotations", [])}
        if isinstance(part, Refusal) and not answer:
            item = {"type": "input_text", "text": part.text}
    return item


def _read_again(raw: Object) -> Any:
    return decode_part(raw)


def _kind(part: Part, default: str) -> str:
    return a_str((part.raw or {}).get("type")) or default if part.origin in (ORIGIN, None) else default


def _read_text(item: Object) -> Text | None:
    text = item.get("text")
    if not isinstance(text, str):
        return None
    notes = item.get("annotations")
    cited = notes if isinstance(notes, list) and all(isinstance(note, dict) for note in notes) else []
    return Text(text=text, citations=cited)


def _write_text(part: Text) -> Object:
    item: Object = {"type": _kind(part, "input_text"), "text": part.text}
    if part.citations and part.origin in (ORIGIN, None):
        item["annotations"] = part.citations
    return item


def _read_refusal(item: Object) -> Refusal | None:
    text = a_str(item.get("refusal"))
    return None if text is None else Refusal(text=text)


def _write_refusal(part: Refusal) -> Object:
    return {"type": "refusal", "refusal": part.text}


def _read_image(item: Object) -> Image:
    url, media_type, data = a_str(item.get("image_url")), None, None
    if url is not None and url.startswith("data:"):
        media_type, data = split_data_url(url)
        url = None if data is not None else url
    return Image(
        data=data, media_type=media_type, url=url, file_id=a_str(item.get("file_id")), detail=a_str(item.get("detail"))
    )


def _write_image(part: Image) -> Object:
    url = part.url if part.data is None else data_url(part.media_type or "image/png", part.data)
    file_id = part.file_id if part.origin in (ORIGIN, None) else None
    return without_none(type="input_image", image_url=url, file_id=file_id, detail=part.detail)


def _read_file(item: Object) -> File:
    data, media_type = a_str(item.get("file_data")), None
    if data is not None and data.startswith("data:"):
        media_type, found = split_data_url(data)
        data = data if found is None else found
    return File(
        data=data,
        media_type=media_type,
        url=a_str(item.get("file_url")),
        file_id=a_str(item.get("file_id")),
        filename=a_str(item.get("filename")),
    )


def _write_file(part: File) -> Object:
    if part.origin != ORIGIN and part.media_type == "text/plain" and part.data is not None:
        return {"type": "input_text", "text": part.data}
    data = part.data
    if data is not None and part.media_type is not None:
        data = data_url(part.media_type, data)
    name = part.filename if part.filename is not None or part.origin == ORIGIN else part.title
    return without_none(type="input_file", file_data=data, file_url=part.url, file_id=part.file_id, filename=name)


def _read_sound(item: Object) -> Audio | None:
    sound = a_dict(item.get("input_audio"))
    data = a_str(sound.get("data")) if sound else None
    return None if sound is None or data is None else Audio(data=data, format=a_str(sound.get("format")))


def _write_sound(part: Audio) -> Object:
    if _kind(part, "") == "output_audio":
        return without_none(type="output_audio", data=part.data, transcript=part.transcript)
    if part.origin != ORIGIN and part.data is None:
        return {"type": "input_text", "text": part.transcript or ""}
    return {"type": "input_audio", "input_audio": without_none(data=part.data, format=part.format)}


def _read_spoken(item: Object) -> Audio:
    return Audio(data=a_str(item.get("data")), transcript=a_str(item.get("transcript")))


_READERS: Final[dict[str, Callable[[Object], AnyPart | None]]] = {
    "input_text": _read_text,
    "output_text": _read_text,
    "text": _read_text,
    "refusal": _read_refusal,
    "input_image": _read_image,
    "input_file": _read_file,
    "input_audio": _read_sound,
    "output_audio": _read_spoken,
}
_WRITERS: Final[dict[type[Part], Callable[[Any], Object]]] = {
    Text: _write_text,
    Refusal: _write_refusal,
    Image: _write_image,
    File: _write_file,
    Audio: _write_sound,
}
