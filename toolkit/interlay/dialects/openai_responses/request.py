"""Requests of the Responses API, both ways."""

from __future__ import annotations

from typing import Any, Final

from interlay.dialects._codec import (
    Object,
    a_bool,
    a_dict,
    a_float,
    a_str,
    an_int,
    an_object,
    came_from,
    encode_node,
    objects,
    refuse_many,
    shell,
    without_none,
)
from interlay.dialects.openai_responses.items import NODES, decode_item, encode_item, is_item, is_message
from interlay.dialects.openai_responses.parts import ORIGIN, decode_content, encode_content
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.messages import (
    AnyPart,
    ChatRequest,
    Message,
    Opaque,
    OutputFormat,
    Text,
    Tool,
    ToolChoice,
    ToolResult,
)

_CHILDREN: Final = ("input", "instructions", "tools")
_CLIENT_TOOLS: Final = frozenset({"function", "custom", "namespace"})


def decode(body: bytes) -> ChatRequest:
    """Raises ``DecodeError``."""
    wire = an_object(json.decode(body), "the request")
    refuse_many([wire], NODES)
    request = _read(wire)
    request.raw, request.origin = shell(wire, *_CHILDREN), ORIGIN
    request.messages = [*_decode_instructions(wire.get("instructions")), *_decode_input(wire.get("input"))]
    request.tools = [came_from(item, ORIGIN, _read_tool(item)) for item in objects(wire.get("tools"), "tools")]
    return request


def encode(request: ChatRequest) -> bytes:
    """The request as this API takes it.

    What has no form here is left out: ``n``, ``seed``, ``stop``, ``top_k``, penalties, reasoning of another API's
    models, tools that another provider runs, and prompt-cache marks.
    """
    wire = dict(encode_node(request, ORIGIN, _read, _write))
    ours = request.raw is not None and request.origin == ORIGIN
    messages = list(request.messages)
    if messages and _is_instructions(messages[0]):
        wire["instructions"] = encode_content(messages.pop(0).content, wire.get("instructions"))
    if messages or not ours:
        wire["input"] = _encode_input(messages, wire.get("input"))
    tools = [item for tool in request.tools if (item := _encode_tool(tool)) is not None]
    if tools:
        wire["tools"] = tools
    return json.encode(wire)


def _decode_instructions(value: Any) -> list[Message]:
    """The text at the top of a request. It has no object of its own, so the message has no ``raw``."""
    if value is None or value == "":
        return []
    if not isinstance(value, str):
        raise DecodeError("instructions is no string")
    return [Message(role="system", content=[Text(text=value, origin=ORIGIN)], origin=ORIGIN)]


def _is_instructions(message: Message) -> bool:
    return message.role == "system" and message.origin == ORIGIN and message.raw is None


def _decode_input(value: Any) -> list[Message]:
    if isinstance(value, str):
        return [Message(role="user", content=decode_content(value, "input"), origin=ORIGIN)] if value else []
    return [_decode_message(item) for item in objects(value, "input")]


def _decode_message(item: Object) -> Message:
    if is_message(item) and isinstance(item.get("content"), str | list | None):
        content = decode_content(item.get("content"), "content")
        return Message(role=a_str(item.get("role")) or "", content=content, raw=shell(item, "content"), origin=ORIGIN)
    part = decode_item(item)
    return Message(role="tool" if isinstance(part, ToolResult) else "assistant", content=[part], origin=ORIGIN)


def _encode_input(messages: list[Message], was: Any) -> Any:
    if isinstance(was, str) and len(messages) == 1:
        only = messages[0]
        said = encode_content(only.content, was)
        if only.role == "user" and only.raw is None and isinstance(said, str):
            return said
    return [item for message in messages for item in encode_message(message)]


def encode_message(message: Message) -> list[Object]:
    """The items that one message is: calls, results and reasoning are items of their own here."""
    ours = message.raw is not None and message.origin == ORIGIN
    items: list[Object] = []
    content: list[AnyPart] = []

    def say() -> None:
        if content:
            items.append(_turn(message, content))
            content.clear()

    for part in message.content:
        if is_item(part) and not (ours and isinstance(part, Opaque)):
            if (item := encode_item(part, answer=False)) is not None:
                say()
                items.append(item)
        elif ours or not isinstance(part, Opaque):
            content.append(part)
    say()
    return items or [_turn(message, [])] if ours else items


def _turn(message: Message, content: list[AnyPart]) -> Object:
    item = dict(encode_node(message, ORIGIN, _read_turn, _write_turn))
    ours = message.raw is not None and message.origin == ORIGIN
    if content or not ours:
        item["content"] = encode_content(content, item.get("content"), answer=message.role == "assistant")
    return item


def _read_turn(raw: Object) -> Message:
    return Message(role=a_str(raw.get("role")) or "", origin=ORIGIN)


def _write_turn(message: Message) -> Object:
    return {"role": message.role}


def _read(wire: Object) -> ChatRequest:
    """All but the children."""
    reasoning = a_dict(wire.get("reasoning")) or {}
    text = a_dict(wire.get("text")) or {}
    return ChatRequest(
        model=a_str(wire.get("model")),
        tool_choice=_read_choice(wire),
        output_format=_read_format(text.get("format")),
        max_tokens=an_int(wire.get("max_output_tokens")),
        temperature=a_float(wire.get("temperature")),
        top_p=a_float(wire.get("top_p")),
        top_logprobs=an_int(wire.get("top_logprobs")),
        reasoning_effort=a_str(reasoning.get("effort")),
        stream=wire.get("stream") is True,
        user=a_str(wire.get("user")),
        service_tier=a_str(wire.get("service_tier")),
        raw=wire,
    )


def _write(request: ChatRequest) -> Object:
    """The members that the canonical fields make, less children."""
    was = request.raw if request.raw is not None and request.origin in (ORIGIN, None) else {}
    wire = without_none(
        model=request.model,
        max_output_tokens=request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        top_logprobs=request.top_logprobs,
        user=request.user,
        service_tier=request.service_tier,
    )
    if request.stream or "stream" in was:
        wire["stream"] = request.stream
    if request.reasoning_effort is not None:
        wire["reasoning"] = {"effort": request.reasoning_effort}
    if request.output_format is not None:
        wire["text"] = {"format": _write_format(request.output_format)}
    _write_choice(wire, request.tool_choice)
    return wire


def _read_format(value: Any) -> OutputFormat | None:
    if not isinstance(value, dict) or (kind := a_str(value.get("type"))) is None:
        return None
    return OutputFormat(
        kind=kind,
        name=a_str(value.get("name")),
        schema=a_dict(value.get("schema")),
        strict=a_bool(value.get("strict")),
    )


def _write_format(format: OutputFormat) -> Object:
    if format.kind != "json_schema":
        return {"type": format.kind}
    members = without_none(schema=format.schema, strict=format.strict)
    return {"type": "json_schema", "name": format.name or "answer", **members}


def _read_choice(wire: Object) -> ToolChoice | None:
    choice, parallel = wire.get("tool_choice"), a_bool(wire.get("parallel_tool_calls"))
    if isinstance(choice, str):
        return ToolChoice(mode=choice, parallel=parallel)
    if isinstance(choice, dict):
        name, kind = a_str(choice.get("name")), a_str(choice.get("type")) or ""
        named = kind in ("function", "custom") and name is not None
        mode = "named" if named else kind
        return ToolChoice(mode=mode, name=name if named else None, parallel=parallel, raw=choice, origin=ORIGIN)
    return None if parallel is None else ToolChoice(mode="", parallel=parallel)


def _write_choice(wire: Object, choice: ToolChoice | None) -> None:
    if choice is None:
        return
    if choice.parallel is not None:
        wire["parallel_tool_calls"] = choice.parallel
    was = choice.raw if choice.origin == ORIGIN else None
    if choice.mode == "named":
        wire["tool_choice"] = {"type": "custom" if (was or {}).get("type") == "custom" else "function"} | without_none(
            name=choice.name
        )
    elif was is not None and choice.mode == (a_str(was.get("type")) or ""):
        wire["tool_choice"] = was
    elif choice.mode:
        wire["tool_choice"] = choice.mode


def _read_tool(item: Object) -> Tool:
    kind = a_str(item.get("type")) or "function"
    return Tool(
        name=a_str(item.get("name")) or "",
        description=a_str(item.get("description")),
        parameters=a_dict(item.get("parameters")),
        strict=a_bool(item.get("strict")),
        kind=kind,
        server=kind not in _CLIENT_TOOLS,
    )


def _write_tool(tool: Tool) -> Object:
    named = {"name": tool.name} if tool.name else {}
    members = without_none(description=tool.description, parameters=tool.parameters, strict=tool.strict)
    return {"type": tool.kind, **named, **members}


def _encode_tool(tool: Tool) -> Object | None:
    ours = tool.raw is not None and tool.origin == ORIGIN
    if not ours and tool.origin not in (ORIGIN, None) and (tool.server or tool.kind not in ("function", "custom")):
        return None  # another maker's tool
    item = encode_node(tool, ORIGIN, _read_tool, _write_tool)
    if not ours and tool.kind == "function":
        item.setdefault("parameters", {"type": "object", "properties": {}})
    return item
