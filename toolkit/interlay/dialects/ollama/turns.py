"""Messages of this API. What it spreads over members of a message the canonical model has in one list: thinking, the
content, pictures, calls of tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from interlay.dialects._codec import Object, a_dict, a_str, an_int, came_from, encode_node, objects, shell, without_none
from interlay.dialects._functions import args_of, turns_of
from interlay.dialects.ollama.names import ORIGIN
from interlay.model import json
from interlay.model.messages import (
    AnyPart,
    File,
    Image,
    Message,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)

NODES: Final = ("messages", "message", "images", "tool_calls", "tools")
_CHILDREN: Final = ("thinking", "content", "images", "tool_calls")
P = TypeVar("P", bound=Part)


def decode_message(item: Object, role: str = "") -> Message:
    """One message; ``role`` where it does not say. Raises ``DecodeError`` where its shape is none of this API's."""
    message = _read(item)
    message.role = message.role or role
    message.raw, message.origin = shell(item, *_CHILDREN), ORIGIN
    thought, said, images = item.get("thinking"), item.get("content"), item.get("images")
    parts: list[AnyPart] = []
    if isinstance(thought, str) and thought:
        parts.append(Reasoning(text=thought, origin=ORIGIN))
    elif thought is not None:
        message.raw["thinking"] = thought
    if isinstance(said, str) and said:
        parts.append(Text(text=said, origin=ORIGIN))
    elif said is not None:
        message.raw["content"] = said
    if isinstance(images, list) and all(isinstance(image, str) for image in images):
        parts += [Image(data=image, origin=ORIGIN) for image in images]
    elif images is not None:
        message.raw["images"] = images
    parts += [decode_call(call) for call in objects(item.get("tool_calls"), "tool_calls")]
    if message.role == "tool":
        # Older clients say only which tool it was.
        called = a_str(item.get("tool_call_id")) or a_str(item.get("tool_name")) or ""
        parts = [ToolResult(tool_call_id=called, content=list(parts), origin=ORIGIN)]
    message.content = parts
    return message


def encode_message(message: Message, names: Mapping[str, str], *, answer: bool = False) -> list[Object]:
    """The messages that one canonical message is: each result of a tool is a message of its own here. ``names`` has the
    names of the tools that were called, by the ids of the calls.

    In a request reasoning is left out that another API's model made. What has no form is left out: files, sound,
    pictures that are only a URL, whether a result is an error.
    """
    return turns_of(
        message,
        lambda result: _encode_result(message, result, names),
        lambda turn: _encode(turn, turn.content, answer=answer),
    )


def names_in(messages: Sequence[Message]) -> dict[str, str]:
    """The names of the tools that were called, by the ids of the calls."""
    calls = (part for message in messages for part in message.content if isinstance(part, ToolCall))
    return {call.id: call.name for call in calls if call.id is not None}


def decode_call(item: Object) -> ToolCall:
    """A call of a tool, whose arguments are an object on this wire."""
    return came_from(item, ORIGIN, _read_call(item))


def encode_call(part: ToolCall) -> Object:
    """The call as this API writes it."""
    return encode_node(part, ORIGIN, _read_call, _write_call)


def _read(item: Object) -> Message:
    return Message(role=a_str(item.get("role")) or "", raw=item, origin=ORIGIN)


def _write(message: Message) -> Object:
    """An answer need not say its role."""
    raw = message.raw if message.origin == ORIGIN else None
    implied = raw is not None and not a_str(raw.get("role")) and message.role in ("", "assistant")
    return {} if implied or not message.role else {"role": message.role}


def _read_call(item: Object) -> ToolCall:
    function = a_dict(item.get("function")) or {}
    arguments = function.get("arguments")
    said = arguments if isinstance(arguments, str) else "" if arguments is None else json.encode(arguments).decode()
    return ToolCall(id=a_str(item.get("id")), name=a_str(function.get("name")) or "", arguments=said)


def _write_call(part: ToolCall) -> Object:
    raw = part.raw if part.origin == ORIGIN else None
    held = (a_dict((raw or {}).get("function")) or {}).get("arguments")
    arguments = part.arguments if isinstance(held, str) else args_of(part.arguments)
    return {**without_none(id=part.id), "function": {"name": part.name, "arguments": arguments}}


def _encode_result(message: Message, result: ToolResult, names: Mapping[str, str]) -> Object:
    content: list[Any] = list(result.content)
    called = result.tool_call_id
    if message.raw is None or message.origin != ORIGIN or message.role != "tool":
        wire = _encode(Message(role="tool", content=content), content, answer=False)
        return {**wire, **without_none(tool_name=names.get(called)), **({"tool_call_id": called} if called else {})}
    wire = _encode(message, content, answer=False)
    was = a_str(message.raw.get("tool_call_id"))
    if called != (was or a_str(message.raw.get("tool_name")) or ""):
        wire["tool_name" if was is None and "tool_name" in message.raw else "tool_call_id"] = called
    return wire


def _encode(message: Message, content: Sequence[AnyPart], *, answer: bool) -> Object:
    wire = dict(encode_node(message, ORIGIN, _read, _write))
    ours = message.raw is not None and message.origin == ORIGIN
    thought = [part for part in _of(content, Reasoning) if answer or part.origin in (ORIGIN, None)]
    if text := "".join(part.text for part in thought):
        wire["thinking"] = text
    said = "".join(_said(part) for part in content)
    if said or not ours:
        wire["content"] = said
    if images := [part.data for part in _of(content, Image) if part.data is not None]:
        wire["images"] = images
    if calls := [encode_call(part) for part in _of(content, ToolCall) if not part.server]:
        wire["tool_calls"] = calls
        for at, call in enumerate(calls if answer and not ours else ()):
            call["function"] = {"index": at, **call["function"]}
    return wire


def _of(content: Sequence[AnyPart], kind: type[P]) -> list[P]:
    return [part for part in content if isinstance(part, kind)]


def _said(part: AnyPart) -> str:
    if isinstance(part, Text | Refusal):
        return part.text
    is_text = isinstance(part, File) and part.media_type == "text/plain"
    return (part.data or "") if is_text and isinstance(part, File) else ""


def index_of(item: Object, otherwise: int) -> int:
    """The number of a call among those of its message."""
    index = an_int((a_dict(item.get("function")) or {}).get("index"))
    return otherwise if index is None else index
