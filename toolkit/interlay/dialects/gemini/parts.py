"""Parts of Gemini's contents and the canonical parts they are.

A part's ``thoughtSignature`` covers what the part says. It stays in ``raw`` while that is unchanged, and is left out
when it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from interlay.dialects._codec import (
    Object,
    a_dict,
    a_str,
    encode_node,
    object_or_none,
    objects,
    part_from,
    without_none,
)
from interlay.dialects._functions import args_of
from interlay.dialects.gemini.names import ORIGIN, get, key, written
from interlay.model import json
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
    ToolResult,
)

SIGNATURE: Final = "thoughtSignature"
_CODE: Final = "code_execution"
_FORMATS: Final = {"wav": "audio/wav", "mp3": "audio/mp3", "flac": "audio/flac", "opus": "audio/opus"}


def decode_parts(value: Any) -> list[AnyPart]:
    """The parts of a content. Raises ``DecodeError``."""
    return [decode_part(part) for part in objects(value, "parts")]


def decode_part(item: Object) -> AnyPart:
    """One part. What we do not know, or what is not as it should be, is an ``Opaque``."""
    part: AnyPart | None = None
    for name, read in _READERS:
        if key(item, name) in item:
            part = read(item[key(item, name)])
            break
    else:
        part = _read_text(item)
    return part_from(item, ORIGIN, part)


def encode_parts(parts: Sequence[Part], names: Mapping[str, str], *, answer: bool = False) -> list[Object]:
    """The parts of a content. ``names`` has the names of the tools that were called, by the ids of the calls: a result
    names its tool here."""
    found = (encode_part(part, names, answer=answer) for part in parts)
    return [item for item in found if item is not None]


def encode_part(part: Part, names: Mapping[str, str], *, answer: bool = False) -> Object | None:
    """The part that ``part`` is; None for what has no form here: another maker's opaque parts, reasoning (but in an
    ``answer``), and tools that another provider runs."""
    ours = part.raw is not None and part.origin == ORIGIN
    if isinstance(part, Opaque):
        return part.raw if ours else None
    if not ours and not _can_be_said(part, answer=answer):
        return None
    if isinstance(part, ToolResult) and not ours:
        return _new_result(part, names)
    item = encode_node(part, ORIGIN, decode_part, _write)
    if ours and part.raw is not None and item != part.raw:
        item.pop(key(item, SIGNATURE), None)
    return item


def arguments_of(value: Any) -> str:
    """The arguments of a call as JSON text."""
    return json.encode(value).decode() if value is not None else ""


def _can_be_said(part: Part, *, answer: bool) -> bool:
    if isinstance(part, Reasoning):
        return bool(part.text) and (answer or part.origin in (None, ORIGIN))
    if isinstance(part, ToolCall | ToolResult):
        return not part.server
    if isinstance(part, Image | File):
        return part.data is not None or part.url is not None
    return not isinstance(part, Audio) or bool(part.data or part.transcript)


def _read_text(item: Object) -> AnyPart | None:
    value = item.get("text")
    if not isinstance(value, str):
        return None
    if item.get("thought") is True:
        return Reasoning(text=value, signature=a_str(get(item, SIGNATURE)))
    return Text(text=value)


def _read_call(value: Any) -> AnyPart | None:
    call = a_dict(value) or {}
    name, args = a_str(call.get("name")), call.get("args")
    if name is None or not isinstance(args, dict | None):
        return None
    return ToolCall(id=a_str(call.get("id")), name=name, arguments=arguments_of(args))


def _read_result(value: Any) -> AnyPart | None:
    result = a_dict(value) or {}
    name = a_str(result.get("name"))
    if name is None:
        return None
    content: list[Part] = [Text(text=arguments_of(result["response"]))] if result.get("response") is not None else []
    return ToolResult(tool_call_id=a_str(result.get("id")) or name, content=content)


def _read_inline(value: Any) -> AnyPart | None:
    blob = a_dict(value) or {}
    data, kind = a_str(blob.get("data")), a_str(get(blob, "mimeType"))
    if data is None:
        return None
    if kind is not None and kind.startswith("image/"):
        return Image(data=data, media_type=kind)
    if kind is not None and kind.startswith("audio/"):
        return Audio(data=data, format=kind.removeprefix("audio/"))
    return File(data=data, media_type=kind, filename=a_str(get(blob, "displayName")))


def _read_file(value: Any) -> AnyPart | None:
    file = a_dict(value) or {}
    url, kind = a_str(get(file, "fileUri")), a_str(get(file, "mimeType"))
    if url is None:
        return None
    if kind is not None and kind.startswith("image/"):
        return Image(url=url, media_type=kind)
    return File(url=url, media_type=kind, filename=a_str(get(file, "displayName")))


def _read_code(value: Any) -> AnyPart | None:
    code = a_dict(value)
    return None if code is None else ToolCall(name=_CODE, arguments=arguments_of(code), server=True)


def _read_code_result(value: Any) -> AnyPart | None:
    result = a_dict(value)
    if result is None:
        return None
    said = a_str(result.get("output"))
    content: list[Part] = [] if said is None else [Text(text=said)]
    is_error = result.get("outcome") not in (None, "OUTCOME_OK", 1)
    return ToolResult(tool_call_id=_CODE, content=content, is_error=is_error, server=True)


_READERS: Final[tuple[tuple[str, Callable[[Any], AnyPart | None]], ...]] = (
    ("functionCall", _read_call),
    ("functionResponse", _read_result),
    ("inlineData", _read_inline),
    ("fileData", _read_file),
    ("executableCode", _read_code),
    ("codeExecutionResult", _read_code_result),
)


def _write(part: Part) -> Object:
    """The members that the canonical fields make, under the names that ``raw`` has for them."""
    return written(_WRITERS[type(part)](part), _raw(part))


def _raw(part: Part) -> Object:
    return part.raw if part.raw is not None and part.origin == ORIGIN else {}


def _inner(part: Part, name: str) -> Object:
    return a_dict(get(_raw(part), name)) or {}


def _write_text(part: Text | Refusal) -> Object:
    return {"text": part.text}


def _write_reasoning(part: Reasoning) -> Object:
    return {"text": part.text, "thought": True}


def _write_call(part: ToolCall) -> Object:
    if part.server:
        return {"executableCode": args_of(part.arguments)}
    return {"functionCall": {**without_none(id=part.id), "name": part.name, "args": args_of(part.arguments)}}


def _write_result(part: ToolResult) -> Object:
    if part.server:
        return {"codeExecutionResult": {"output": _text_of(part)}}
    called = {"id" if a_str(_inner(part, "functionResponse").get("id")) else "name": part.tool_call_id}
    return {"functionResponse": {**called, "response": response_of(part)}}


def _text_of(part: ToolResult) -> str:
    return "".join(item.text for item in part.content if isinstance(item, Text))


def _new_result(part: ToolResult, names: Mapping[str, str]) -> Object:
    name = names.get(part.tool_call_id, part.tool_call_id)
    called = {"id": part.tool_call_id} if name != part.tool_call_id else {}
    response = response_of(part)
    if part.is_error:
        response = {"error": response.get("result", response)}
    return {"functionResponse": {**called, "name": name, "response": response}}


def response_of(part: ToolResult) -> Any:
    """What a tool gave back as the object that this API takes."""
    said = _text_of(part)
    value = object_or_none(said.encode("utf-8", "replace"))
    return {"result": said} if value is None else value


def _write_image(part: Image) -> Object:
    return _media(part.data, part.url, part.media_type or "image/png", part)


def _write_file(part: File) -> Object:
    if part.origin != ORIGIN and part.media_type == "text/plain" and part.data is not None:
        return {"text": part.data}
    made = _media(part.data, part.url, part.media_type, part)
    inner = next(iter(made.values()))
    if part.origin in (ORIGIN, None) and part.filename is not None:
        held = _inner(part, next(iter(made)))
        inner[key(held, "displayName")] = part.filename
    return made


def _media(data: str | None, url: str | None, kind: str | None, part: Part) -> Object:
    name = "inlineData" if data is not None else "fileData"
    members = without_none(mimeType=kind, data=data, fileUri=url if data is None else None)
    held = _inner(part, name)
    if held and key(held, "mimeType") not in held:
        members.pop("mimeType", None)
    return {name: written(members, held)}


def _write_audio(part: Audio) -> Object:
    if part.data is None:
        return {"text": part.transcript or ""}
    kind = (
        f"audio/{part.format}" if part.origin == ORIGIN else _FORMATS.get(part.format or "wav", f"audio/{part.format}")
    )
    return _media(part.data, None, kind, part)


_WRITERS: Final[dict[type[Part], Callable[[Any], Object]]] = {
    Text: _write_text,
    Refusal: _write_text,
    Reasoning: _write_reasoning,
    ToolCall: _write_call,
    ToolResult: _write_result,
    Image: _write_image,
    Audio: _write_audio,
    File: _write_file,
}
