"""Items of a request's input and of a response's output, and the canonical parts they are.

A message's content has parts, other items are one part each. In an answer, where all items make one canonical
message, the first part of a message item keeps that item in its ``raw``, with the part alone as its content; the parts
that follow it there keep only themselves. So a part whose ``raw`` is a message begins an item when it is encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from interlay.dialects._codec import Object, a_dict, a_str, encode_node, objects, part_by_type, shell, without_none
from interlay.dialects.openai_responses.parts import (
    ORIGIN,
    decode_content,
    encode_content,
    encode_part,
)
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.messages import AnyPart, Audio, Opaque, Part, Reasoning, Text, ToolCall, ToolResult

NODES: Final = ("input", "output", "content", "summary", "tools")
"""Where items and parts stand within requests, responses and items."""
_RESULTS: Final = frozenset({"function_call_output", "custom_tool_call_output"})
_SERVER: Final = {
    "web_search_call": "action",
    "file_search_call": "queries",
    "code_interpreter_call": "code",
    "mcp_call": "arguments",
}
"""Calls of tools that the provider runs itself, and where they say what is asked of the tool."""
_CONTINUED: Final = "…"
"""The key under which a part that nobody knows keeps itself where it goes on with a message."""


def is_message(item: Object) -> bool:
    """Whether an item is a turn of the conversation; its type may be left out."""
    return bool(item.get("type", "message") == "message")


def decode_item(item: Object) -> AnyPart:
    """An item that is no message. What we do not know, or what is not as it should be, is an ``Opaque``."""
    part = part_by_type(item, ORIGIN, _READERS)
    if isinstance(part, ToolResult):
        part.raw = shell(item, "output")
        part.content = list(decode_content(item.get("output"), "output"))
    return part


def encode_item(part: Part, *, answer: bool) -> Object | None:
    """The item of its own that ``part`` is; None for what is a message's content, and for what has no form here.

    Reasoning of another API's models is said in an ``answer``, less its signature, and in a request left out.
    """
    ours = part.raw is not None and part.origin == ORIGIN
    if isinstance(part, Opaque):
        return part.raw if ours else None
    if not isinstance(part, ToolCall | ToolResult | Reasoning):
        return None
    if not ours and isinstance(part, ToolCall | ToolResult) and part.server:
        return None
    if not ours and isinstance(part, Reasoning) and not answer and not (part.origin is None and part.encrypted):
        return None
    item = encode_node(part, ORIGIN, _read_again, _write)
    if isinstance(part, ToolResult) and (part.content or not ours):
        item["output"] = encode_content(part.content, item.get("output"))
    return item


def is_item(part: Part) -> bool:
    """Whether a part is an item of its own, and not a message's content."""
    return isinstance(part, ToolCall | ToolResult | Reasoning | Opaque)


def decode_output(items: Any) -> list[AnyPart]:
    """The parts of an answer. Raises ``DecodeError``."""
    parts: list[AnyPart] = []
    for item in objects(items, "output"):
        content = item.get("content")
        if item.get("type") != "message" or not isinstance(content, str | list) or not content:
            parts.append(decode_item(item))
        elif isinstance(content, str):
            parts.append(Text(text=content, raw=shell(item, "content"), origin=ORIGIN))
        else:
            parts += _decode_message(item, decode_content(content, "content"))
    return parts


def _decode_message(item: Object, parts: list[AnyPart]) -> list[AnyPart]:
    parts[0].raw = {**item, "content": [parts[0].raw]}
    for part in parts[1:]:
        if isinstance(part, Opaque) and part.raw is not None:
            part.raw = {_CONTINUED: part.raw}
    return parts


def encode_output(parts: Sequence[Part]) -> list[Object]:
    """The items of an answer."""
    items: list[Object] = []
    content: list[Any] | None = None
    """Of the message that what comes next goes on with."""
    for part in parts:
        raw = part.raw if part.raw is not None and part.origin == ORIGIN else {}
        if (begun := _begun(part, raw)) is not None:
            items.append(begun)
            content = begun["content"] if isinstance(begun["content"], list) else None
        elif is_item(part) and _CONTINUED not in raw:
            if (item := encode_item(part, answer=True)) is not None:
                items.append(item)
                content = None
        elif (said := raw.get(_CONTINUED) or encode_part(_spoken(part), answer=True)) is not None:
            if content is None:
                content = []
                items.append({"type": "message", "role": "assistant", "status": "completed", "content": content})
            content.append(said)
    return items


def _spoken(part: Part) -> Part:
    """Sound that another API's model made is its transcript here."""
    return Text(text=part.transcript or "") if isinstance(part, Audio) and part.origin != ORIGIN else part


def _begun(part: Part, raw: Object) -> Object | None:
    """The message item that ``part`` begins, with itself as its content."""
    content = raw.get("content")
    if raw.get("type") != "message" or not isinstance(content, str | list):
        return None
    if isinstance(content, str):
        return {**raw, "content": part.text} if isinstance(part, Text) else None
    if not content or isinstance(part, Opaque):
        return {**raw, "content": list(content)}
    alone = encode_part(msgspec.structs.replace(part, raw=content[0]), answer=True)
    return {**raw, "content": [alone]}


def _read_again(raw: Object) -> Any:
    return decode_item(raw)


def _read_call(item: Object) -> ToolCall | None:
    name, custom = a_str(item.get("name")), item.get("type") == "custom_tool_call"
    if name is None:
        return None
    arguments = a_str(item.get("input" if custom else "arguments")) or ""
    return ToolCall(id=a_str(item.get("call_id")), name=name, arguments=arguments)


def _read_server_call(item: Object) -> ToolCall:
    kind = a_str(item.get("type")) or ""
    asked = item.get(_SERVER[kind])
    arguments = asked if isinstance(asked, str) else "" if asked is None else json.encode(asked).decode()
    name = a_str(item.get("name")) or kind.removesuffix("_call")
    return ToolCall(id=a_str(item.get("id")), name=name, arguments=arguments, server=True)


def _read_result(item: Object) -> ToolResult | None:
    call, output = a_str(item.get("call_id")), item.get("output")
    if call is None or not isinstance(output, str | list | None):
        return None
    if isinstance(output, list) and not all(isinstance(part, dict) for part in output):
        return None
    return ToolResult(tool_call_id=call)


def _read_reasoning(item: Object) -> Reasoning | None:
    """Its text, else the summary of what stays hidden."""
    content, summary = item.get("content"), item.get("summary")
    said = [_texts(value) for value in (content, summary)]
    if None in said:
        return None
    return Reasoning(
        text="".join(said[0] or ()) or "".join(said[1] or ()), encrypted=a_str(item.get("encrypted_content"))
    )


def _texts(value: Any) -> list[str] | None:
    """The texts of a list of parts; None where it is another value."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        return None
    return [a_str(part.get("text")) or "" for part in value]


def _write(part: Part) -> Object:
    return _WRITERS[type(part)](part)


def _write_call(part: ToolCall) -> Object:
    kind = a_str((part.raw or {}).get("type")) if part.origin in (ORIGIN, None) else None
    if part.server and kind in _SERVER:
        return {"type": kind, **without_none(id=part.id), _SERVER[kind]: _asked(part.arguments, part.raw, kind)}
    if kind == "custom_tool_call":
        return {"type": kind, **without_none(call_id=part.id), "name": part.name, "input": part.arguments}
    # No null and no empty text may stand here: the API pairs calls and results by it.
    return {"type": "function_call", "call_id": part.id or "call_0", "name": part.name, "arguments": part.arguments}


def _asked(arguments: str, raw: Object | None, kind: str) -> Any:
    was = (raw or {}).get(_SERVER[kind])
    if isinstance(was, str):
        return arguments
    if was is None and not arguments:
        return None
    try:
        return json.decode(arguments.encode("utf-8", "replace"))
    except DecodeError:
        return arguments


def _write_result(part: ToolResult) -> Object:
    kind = a_str((part.raw or {}).get("type")) if part.origin in (ORIGIN, None) else None
    return {"type": kind if kind in _RESULTS else "function_call_output", "call_id": part.tool_call_id}


def _write_reasoning(part: Reasoning) -> Object:
    raw = part.raw if part.origin in (ORIGIN, None) and part.raw is not None else {}
    encrypted = part.encrypted if part.origin in (ORIGIN, None) else None
    item: Object = {"type": "reasoning", **without_none(encrypted_content=encrypted)}
    if any(_texts(raw.get("content")) or ()):
        return {**item, "content": _one_text(raw["content"], part.text, "reasoning_text")}
    return {**item, "summary": _one_text(raw.get("summary"), part.text, "summary_text")}


def _one_text(was: Any, text: str, kind: str) -> list[Object]:
    """A list of parts that says ``text``, in its first."""
    if "".join(_texts(was) or ()) == text:
        return list(was) if isinstance(was, list) else []
    first = a_dict(was[0]) if isinstance(was, list) and was else None
    return [{"type": kind, **(first or {}), "text": text}]


_READERS: Final[dict[str, Callable[[Object], AnyPart | None]]] = {
    "function_call": _read_call,
    "custom_tool_call": _read_call,
    **dict.fromkeys(_SERVER, _read_server_call),
    **dict.fromkeys(_RESULTS, _read_result),
    "reasoning": _read_reasoning,
}
_WRITERS: Final[dict[type[Part], Callable[[Any], Object]]] = {
    ToolCall: _write_call,
    ToolResult: _write_result,
    Reasoning: _write_reasoning,
}
