"""Messages as the GenAI conventions write them, made of a record's contents, and bounded in size.

A record keeps messages as their API wrote them, redacted. They are read by that API's own codec here, so that every
dialect's messages come out in one form: ``[{"role": …, "parts": [{"type": "text", "content": …}, …]}]``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

from interlay import dialects
from interlay.model.errors import DecodeError
from interlay.model.messages import (
    Audio,
    File,
    Image,
    Message,
    Part,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from interlay.model.protocols import Codec
from interlay.model.record import Contents

Json = dict[str, Any]

_ENDS: Final = (8192, 2048, 512, 128)
"""To how many characters texts are cut, until the whole fits."""
_CUT: Final = "… [cut]"


class Said(NamedTuple):
    """What was asked and answered, in the conventions' form."""

    input: list[Json]
    output: list[Json]
    tools: list[Json]


def said(contents: Contents, dialect: str | None) -> Said:
    """The messages of a record. What the codec cannot read stands as it was, in a part of type ``unknown``."""
    codec = dialects.named(dialect) if dialect is not None else None
    if isinstance(codec, Codec):
        asked, tools = _read(codec, contents.input, contents.tools)
        answered, _ = _read(codec, contents.output, [])
        return Said(asked, answered, tools)
    return Said(_unread(contents.input), _unread(contents.output), list(contents.tools))


def bounded(messages: list[Json], limit: int) -> list[Json]:
    """The same messages in at most ``limit`` bytes of JSON: long texts are cut first, then the oldest messages go.

    What is left says so: a cut text ends in ``… [cut]``, and where messages went stands how many.
    """
    if _size(messages) <= limit:
        return messages
    for end in _ENDS:
        messages = [_cut(message, end) for message in messages]
        if _size(messages) <= limit:
            return messages
    kept: list[Json] = []
    room = limit - 96  # what says how many went
    for message in reversed(messages):
        room -= _size(message) + 1
        if room < 0:
            break
        kept.append(message)
    note = {"type": "interlay.dropped", "messages": len(messages) - len(kept)}
    return [{"role": "system", "parts": [note]}, *reversed(kept)] if limit > 96 else []


def text_of(messages: Iterable[Json]) -> str:
    """The plain text of the last message that has some: what a list of calls shows."""
    found = ""
    for message in messages:
        texts = [part["content"] for part in message.get("parts", ()) if part.get("type") == "text"]
        found = "\n".join(texts) or found
    return found


def to_json(value: object) -> str:
    """A JSON text, as spans carry structured values."""
    return _encode(value).decode()


_encode: Final = msgspec.json.Encoder(decimal_format="string").encode


def _size(value: object) -> int:
    return len(_encode(value))


def _read(codec: Codec, messages: list[Json], tools: list[Json]) -> tuple[list[Json], list[Json]]:
    try:
        request = codec.decode_request(_encode({codec.turns: messages, "tools": tools}))
    except DecodeError:
        return _unread(messages), list(tools)
    return [_message(message) for message in request.messages], [_tool(tool) for tool in request.tools]


def _unread(messages: list[Json]) -> list[Json]:
    return [
        {"role": str(message.get("role", "user")), "parts": [{"type": "unknown", "content": message.get("content")}]}
        for message in messages
    ]


def _message(message: Message) -> Json:
    role = "system" if message.role == "developer" else message.role
    made: Json = {"role": role, "parts": [_part(part) for part in message.content]}
    if message.name is not None:
        made["name"] = message.name
    return made


def _part(part: Part) -> Json:
    match part:
        case Text():
            return {"type": "text", "content": part.text}
        case Reasoning():
            return {"type": "reasoning", "content": part.text}
        case Refusal():
            return {"type": "text", "content": part.text, "refusal": True}
        case ToolCall():
            return _tool_call(part)
        case ToolResult():
            return _tool_result(part)
        case Image():
            return _media("image", part.data, part.media_type, part.url, part.file_id)
        case Audio():
            made = _media("audio", part.data, f"audio/{part.format}" if part.format else None, None, part.id)
            return {**made, "transcript": part.transcript} if part.transcript is not None else made
        case File():
            return _media("document", part.data, part.media_type, part.url, part.file_id)
    return {"type": "unknown", "content": part.raw}


def _tool_call(part: ToolCall) -> Json:
    try:
        arguments: Any = msgspec.json.decode(part.arguments) if part.arguments else {}
    except msgspec.DecodeError:
        arguments = part.arguments
    made: Json = {"type": "tool_call", "id": part.id, "name": part.name, "arguments": arguments}
    if part.server:
        call = {"type": part.name, "arguments": arguments}
        made = {"type": "server_tool_call", "id": part.id, "name": part.name, "server_tool_call": call}
    return made


def _tool_result(part: ToolResult) -> Json:
    answer: Any = [_part(each) for each in part.content]
    if len(answer) == 1 and answer[0]["type"] == "text":
        answer = answer[0]["content"]
    if part.server:
        response = {"type": "unknown", "response": answer}
        return {"type": "server_tool_call_response", "id": part.tool_call_id, "server_tool_call_response": response}
    return {"type": "tool_call_response", "id": part.tool_call_id, "response": answer}


def _media(modality: str, data: str | None, kind: str | None, url: str | None, file_id: str | None) -> Json:
    if data is not None:
        return {"type": "blob", "modality": modality, "mime_type": kind, "content": data}
    if file_id is not None:
        return {"type": "file", "modality": modality, "file_id": file_id}
    return {"type": "uri", "modality": modality, "uri": url or ""}


def _tool(tool: Tool) -> Json:
    made: Json = {"type": tool.kind, "name": tool.name}
    if tool.description is not None:
        made["description"] = tool.description
    if tool.parameters is not None:
        made["parameters"] = tool.parameters
    return made


def _cut(value: Any, end: int) -> Any:  # noqa: ANN401 - JSON
    """A copy of a JSON value whose longer texts end early."""
    if isinstance(value, str):
        return value if len(value) <= end else value[: end - len(_CUT)] + _CUT
    if isinstance(value, dict):
        return {key: _cut(each, end) for key, each in value.items()}
    if isinstance(value, list):
        return [_cut(each, end) for each in value]
    return value
