"""Content blocks of the Messages API and the canonical parts they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from interlay.dialects._codec import Object, a_dict, a_str, an_object, encode_node, shell, without_none
from interlay.model import json
from interlay.model.errors import DecodeError
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

ORIGIN: Final = "anthropic-messages"
_WRAPPER: Final = "INVALID_JSON"
"""This API takes objects only: arguments that are none travel as the one string in an object of this key."""
CHILDREN: Final = ("content", "source")
"""Where blocks stand within messages and blocks."""
_SERVER_CALLS: Final = frozenset({"server_tool_use", "mcp_tool_use"})


def decode_content(value: Any, what: str) -> list[AnyPart]:
    """The parts of a content that is a string, a list of blocks, or one block. Raises ``DecodeError``."""
    if value is None:
        return []
    if isinstance(value, str):
        return [Text(text=value)]
    if isinstance(value, dict):
        return [decode_part(value)]
    if not isinstance(value, list):
        raise DecodeError(f"{what} is neither a string nor a list")
    return [decode_part(an_object(item, what)) for item in value]


def encode_content(parts: Sequence[Part], was: Any = None) -> Any:
    """The content that ``parts`` make, in the form it had: ``was`` is the empty value that stood for it."""
    if len(parts) == 1 and not isinstance(was, list):
        only = parts[0]
        if isinstance(only, Text) and only.raw is None and not only.cache_control and not only.citations:
            return only.text
        if isinstance(was, dict):
            return encode_part(only) or {}
    return [block for part in parts if (block := encode_part(part)) is not None]


def decode_part(block: Object) -> AnyPart:
    """One block. What we do not know, or what is not as it should be, is an ``Opaque``."""
    kind = a_str(block.get("type")) or ""
    read = _READERS.get(kind)
    if read is None and kind.endswith("_tool_result"):
        read = _read_result
    part = read(block) if read is not None else None
    if part is None:
        return Opaque(raw=block, origin=ORIGIN)
    part.origin = ORIGIN
    if isinstance(part, ToolResult):
        part.raw = shell(block, "content")
        part.content = list(decode_content(block.get("content"), kind))
    elif isinstance(part, File) and _has_blocks(source := a_dict(block.get("source")) or {}):
        part.raw = {**block, "source": shell(source, "content")}
        part.blocks = list(decode_content(source.get("content"), kind))
    else:
        part.raw = block
    return part


def encode_part(part: Part) -> Object | None:
    """The block that ``part`` is; None for what cannot be said here: other makers' reasoning and server tools,
    sound, and parts nobody knows."""
    ours = part.raw is not None and part.origin == ORIGIN
    if isinstance(part, Opaque):
        return part.raw if ours else None
    if not ours and not _can_be_said(part):
        return None
    block = encode_node(part, ORIGIN, _read_again, _write)
    if isinstance(part, ToolResult) and part.content:
        block["content"] = encode_content(part.content, block.get("content"))
    elif isinstance(part, File) and part.blocks:
        source = a_dict(block.get("source")) or {}
        if _has_blocks(source):
            block["source"] = {**source, "content": encode_content(part.blocks, source.get("content"))}
    return block


def arguments_of(value: Any) -> str:
    """The arguments of a tool call as JSON text, from the ``input`` object."""
    if isinstance(value, dict) and value.keys() == {_WRAPPER} and isinstance(value[_WRAPPER], str):
        return str(value[_WRAPPER])
    return json.encode(value).decode()


def input_of(arguments: str) -> Object:
    """The ``input`` object for arguments, which need not be an object, nor even JSON."""
    if not arguments.strip():
        return {}
    try:
        value = json.decode(arguments.encode("utf-8", "replace"))
    except DecodeError:
        value = None
    return value if isinstance(value, dict) else {_WRAPPER: arguments}


def set_arguments(part: AnyPart, text: bytes) -> None:
    """Give a tool call its arguments as they stood on the wire, in place of the same value encoded again."""
    if isinstance(part, ToolCall) and text.startswith(b"{"):
        exact = text.decode("utf-8", "replace")
        if input_of(exact) == input_of(part.arguments):
            part.arguments = exact


def _can_be_said(part: Part) -> bool:
    if isinstance(part, Reasoning):
        return part.origin in {None, ORIGIN} and bool(part.signature or part.encrypted)
    if isinstance(part, ToolCall | ToolResult):
        return not part.server
    if isinstance(part, Text):
        return bool(part.text)
    if isinstance(part, Audio):
        return bool(part.transcript)
    if isinstance(part, Image):
        return bool(part.data or part.url or part.file_id)
    return True


def _has_blocks(source: Object) -> bool:
    return source.get("type") == "content"


def _is_content(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, dict) for item in value)
    return value is None or isinstance(value, str | dict)


def _mark(block: Object) -> Object | None:
    return a_dict(block.get("cache_control"))


def _read_text(block: Object) -> AnyPart | None:
    text = block.get("text")
    if not isinstance(text, str):
        return None
    found = block.get("citations")
    citations = [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
    return Text(text=text, citations=citations, cache_control=_mark(block))


def _read_image(block: Object) -> AnyPart | None:
    source = a_dict(block.get("source")) or {}
    data, url, file = (a_str(source.get(key)) for key in ("data", "url", "file_id"))
    if sum(value is not None for value in (data, url, file)) != 1:
        return None
    media_type = a_str(source.get("media_type"))
    return Image(data=data, media_type=media_type, url=url, file_id=file, cache_control=_mark(block))


def _read_document(block: Object) -> AnyPart | None:
    source = a_dict(block.get("source")) or {}
    if a_str(source.get("type")) not in {"base64", "text", "url", "file", "content"}:
        return None
    if _has_blocks(source) and not _is_content(source.get("content")):
        return None
    return File(
        data=a_str(source.get("data")),
        media_type=a_str(source.get("media_type")),
        url=a_str(source.get("url")),
        file_id=a_str(source.get("file_id")),
        title=a_str(block.get("title")),
        context=a_str(block.get("context")),
        cache_control=_mark(block),
    )


def _read_call(block: Object) -> AnyPart | None:
    name = block.get("name")
    if not isinstance(name, str) or not isinstance(block.get("input", {}), dict):
        return None
    return ToolCall(
        id=a_str(block.get("id")),
        name=name,
        arguments=arguments_of(block["input"]) if "input" in block else "",
        server=block.get("type") in _SERVER_CALLS,
        cache_control=_mark(block),
    )


def _read_result(block: Object) -> AnyPart | None:
    call = block.get("tool_use_id")
    content = block.get("content")
    if not isinstance(call, str) or not _is_content(content):
        return None
    return ToolResult(
        tool_call_id=call,
        is_error=block.get("is_error") is True,
        server=block.get("type") != "tool_result",
        cache_control=_mark(block),
    )


def _read_thinking(block: Object) -> AnyPart | None:
    thinking = block.get("thinking")
    if not isinstance(thinking, str):
        return None
    return Reasoning(text=thinking, signature=a_str(block.get("signature")))


def _read_redacted(block: Object) -> AnyPart | None:
    data = block.get("data")
    return Reasoning(encrypted=data) if isinstance(data, str) else None


_READERS: Final[dict[str, Callable[[Object], AnyPart | None]]] = {
    "text": _read_text,
    "image": _read_image,
    "document": _read_document,
    "tool_use": _read_call,
    "server_tool_use": _read_call,
    "mcp_tool_use": _read_call,
    "tool_result": _read_result,
    "thinking": _read_thinking,
    "redacted_thinking": _read_redacted,
}


def _read_again(raw: Object) -> Part:
    return decode_part(raw)


def _write(part: Part) -> Object:
    """The members that the canonical fields make, less children."""
    write = _WRITERS.get(type(part))
    block = write(part) if write is not None else {}
    if part.cache_control is not None:
        block["cache_control"] = part.cache_control
    return block


def _write_text(part: Text) -> Object:
    block: Object = {"type": "text", "text": part.text}
    if part.citations:
        block["citations"] = part.citations
    return block


def _write_image(part: Image) -> Object:
    return {"type": "image", "source": _source(part)}


def _source(part: Image | File) -> Object:
    if part.file_id is not None:
        return {"type": "file", "file_id": part.file_id}
    if part.url is not None:
        return {"type": "url", "url": part.url}
    return without_none(type="base64", media_type=part.media_type, data=part.data)


def _write_document(part: File) -> Object:
    source = _source(part)
    if part.data is not None and part.media_type == "text/plain":
        source["type"] = "text"
    elif part.data is not None and part.media_type is None:
        source["media_type"] = "application/pdf"
    elif source == {"type": "base64"}:
        source = {"type": "content"}
    title = part.title if part.title is not None else part.filename
    return without_none(type="document", source=source, title=title, context=part.context)


def _write_call(part: ToolCall) -> Object:
    kind = "server_tool_use" if part.server else "tool_use"
    return {**without_none(type=kind, id=part.id, name=part.name), "input": input_of(part.arguments)}


def _write_result(part: ToolResult) -> Object:
    block: Object = {"type": "tool_result", "tool_use_id": part.tool_call_id}
    if part.is_error:
        block["is_error"] = True
    return block


def _write_reasoning(part: Reasoning) -> Object:
    if part.encrypted is not None:
        return {"type": "redacted_thinking", "data": part.encrypted}
    return without_none(type="thinking", thinking=part.text, signature=part.signature)


def _write_refusal(part: Refusal) -> Object:
    return {"type": "text", "text": part.text}


def _write_audio(part: Audio) -> Object:
    return {"type": "text", "text": part.transcript}


_WRITERS: Final[dict[type[Part], Callable[[Any], Object]]] = {
    Text: _write_text,
    Image: _write_image,
    File: _write_document,
    ToolCall: _write_call,
    ToolResult: _write_result,
    Reasoning: _write_reasoning,
    Refusal: _write_refusal,
    Audio: _write_audio,
}
