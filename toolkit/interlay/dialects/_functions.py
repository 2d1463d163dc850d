"""Tools and their calls in the form that OpenAI's chat completions gave them, and that other APIs have taken over."""

from __future__ import annotations

from collections.abc import Callable

from interlay.dialects._codec import Object, a_bool, a_dict, a_str, without_none
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.messages import AnyPart, Message, Tool, ToolCall, ToolResult


def read_tool(item: Object, otherwise: str = "function") -> Tool:
    """A tool whose definition stands under its kind, which is ``otherwise`` where it says none. Those that are no
    function run at the provider."""
    kind = a_str(item.get("type")) or otherwise
    inner = a_dict(item.get(kind)) or {}
    return Tool(
        name=a_str(inner.get("name")) or "",
        description=a_str(inner.get("description")),
        parameters=a_dict(inner.get("parameters")),
        strict=a_bool(inner.get("strict")),
        kind=kind,
        server=kind not in ("function", "custom"),
        cache_control=a_dict(item.get("cache_control")),
        raw=item,
    )


def write_tool(tool: Tool) -> Object:
    """The members that a tool's fields make."""
    inner = without_none(description=tool.description, parameters=tool.parameters, strict=tool.strict)
    if tool.name:
        inner = {"name": tool.name, **inner}
    wire = {"type": tool.kind, tool.kind: inner} if inner or not tool.server else {"type": tool.kind}
    return {**wire, **without_none(cache_control=tool.cache_control)}


def read_call(item: Object) -> ToolCall:
    """A call: of a function, or of a custom tool, whose input is text. A nameless one is of another kind."""
    for kind, words in (("function", "arguments"), ("custom", "input")):
        inner = a_dict(item.get(kind))
        name = a_str(inner.get("name")) if inner is not None else None
        if inner is not None and name is not None:
            return ToolCall(id=a_str(item.get("id")), name=name, arguments=a_str(inner.get(words)) or "")
    return ToolCall(id=a_str(item.get("id")), name="")


def write_call(part: ToolCall) -> Object:
    """The members that a call's fields make."""
    if part.raw is not None and "function" not in part.raw and "custom" in part.raw:
        return {**without_none(id=part.id), "type": "custom", "custom": {"name": part.name, "input": part.arguments}}
    function = {"name": part.name, "arguments": part.arguments}
    return {**without_none(id=part.id), "type": "function", "function": function}


def turns_of(
    message: Message, result: Callable[[ToolResult], Object], turn: Callable[[Message], Object]
) -> list[Object]:
    """The messages that one canonical message is: each result of a tool is a message of its own, and what is said
    beside results follows them. ``result`` and ``turn`` make a message of either."""
    results = [part for part in message.content if isinstance(part, ToolResult)]
    if not results:
        return [turn(message)]
    made = [result(part) for part in results]
    others: list[AnyPart] = [part for part in message.content if not isinstance(part, ToolResult)]
    if others:
        role = "user" if message.role == "tool" else message.role
        made.append(turn(Message(role=role, content=others, name=message.name)))
    return made


def args_of(arguments: str) -> Object:
    """Arguments as the object that some APIs take; what is none is put into one."""
    if not arguments.strip():
        return {}
    try:
        value = json.decode(arguments.encode("utf-8", "replace"))
    except DecodeError:
        value = arguments
    return value if isinstance(value, dict) else {"value": value}
