"""Requests for contents, both ways. The model, and whether the answer streams, stand in the path and not here."""

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
    encode_node,
    objects,
    refuse_many,
    shell,
    without_none,
)
from interlay.dialects.gemini.names import ORIGIN, get, key, snake, written
from interlay.dialects.gemini.parts import decode_parts, encode_parts
from interlay.model import json
from interlay.model.messages import (
    AnyPart,
    ChatRequest,
    Message,
    Opaque,
    OutputFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

NODES: Final = ("contents", "parts", "tools", "functionDeclarations", "function_declarations", "candidates", "content")
_SYSTEM: Final = "systemInstruction"
_DECLARED: Final = "functionDeclarations"
_CONFIG: Final = "generationConfig"
_ROLES: Final = {"model": "assistant", "function": "tool"}
_MODES: Final = {"AUTO": "auto", "NONE": "none", "ANY": "required"}
_WIRE_MODES: Final = {canonical: word for word, canonical in _MODES.items()}
_TYPES: Final = frozenset({"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"})
_SETTINGS: Final = {
    "temperature": "temperature",
    "top_p": "topP",
    "max_tokens": "maxOutputTokens",
    "seed": "seed",
    "n": "candidateCount",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
"""Canonical fields, and the members of a configuration that say the same."""
_MAX_SCHEMA_DEPTH: Final = 64


def decode(body: bytes) -> ChatRequest:
    """Raises ``DecodeError``."""
    wire = an_object(json.decode(body), "the request")
    refuse_many([wire], NODES)
    request = _read(wire)
    system = key(wire, _SYSTEM)
    request.raw, request.origin = shell(wire, "contents", system, "tools"), ORIGIN
    request.messages = [
        *([_decode_system(wire[system])] if wire.get(system) is not None else []),
        *(_decode_content(item) for item in objects(wire.get("contents"), "contents")),
    ]
    request.tools = [tool for item in objects(wire.get("tools"), "tools") for tool in _decode_tools(item)]
    return request


def encode(request: ChatRequest) -> bytes:
    """The request as this API takes it.

    A request of another API is built: its system texts become one, its results are in turns of the user. What has no
    form here is left out: whether tools may be called at once, images' detail, prompt-cache marks, the user.
    """
    ours = request.raw is not None and request.origin == ORIGIN
    wire = dict(encode_node(request, ORIGIN, _read, _write))
    names = _names(request.messages)
    messages = list(request.messages)
    system = key(wire, _SYSTEM)
    if ours and wire.get(system) is not None:
        if messages and messages[0].role == "system" and messages[0].origin == ORIGIN:
            wire[system] = _encode_system(messages.pop(0))
        else:
            del wire[system]
    said = [message for message in messages if _is_system(message)]
    if said:
        parts = [item for message in said for item in encode_parts(message.content, names)]
        before = wire.get(system)
        before = before if isinstance(before, dict) else {}
        was = before.get("parts")
        wire[system] = {**before, "parts": [*(was if isinstance(was, list) else ()), *parts]}
        messages = [message for message in messages if not _is_system(message)]
    if messages or not ours:
        wire["contents"] = _encode_contents(messages, names)
    tools = _encode_tools(request.tools)
    if tools:
        wire["tools"] = tools
    return json.encode(wire)


def _decode_system(value: Any) -> Message:
    """The text at the top of a request: an object with parts, or a string. What is neither is kept whole."""
    raw: Object | None = None
    if isinstance(value, str):
        content: list[AnyPart] = [Text(text=value, origin=ORIGIN)]
    elif isinstance(value, dict) and isinstance(value.get("parts"), list):
        raw, content = shell(value, "parts"), decode_parts(value["parts"])
    else:
        content = [Opaque(raw={_WHOLE: value}, origin=ORIGIN)]
    return Message(role="system", content=content, raw=raw, origin=ORIGIN)


_WHOLE: Final = "…"
"""The key under which something keeps itself whole where its own keys would say what it is not."""


def _encode_system(message: Message) -> Any:
    only = message.content[0] if len(message.content) == 1 else None
    if message.raw is None and isinstance(only, Opaque):
        return (only.raw or {}).get(_WHOLE)
    if message.raw is None:
        return "".join(part.text for part in message.content if isinstance(part, Text))
    return {**message.raw, "parts": encode_parts(message.content, {})}


def _is_system(message: Message) -> bool:
    """Whether a message of another API, or of none, belongs to the text at the top."""
    ours = message.origin == ORIGIN and message.raw is not None
    return message.role in ("system", "developer") and not ours


def _decode_content(item: Object) -> Message:
    content = decode_parts(item.get("parts"))
    message = _read_content(item)
    if message.role == "user" and content and all(isinstance(part, ToolResult) and not part.server for part in content):
        message.role = "tool"
    message.content, message.raw, message.origin = content, shell(item, "parts"), ORIGIN
    return message


def _read_content(raw: Object) -> Message:
    word = a_str(raw.get("role")) or ""
    return Message(role=_ROLES.get(word, word or "user"), raw=raw, origin=ORIGIN)


def _write_content(message: Message) -> Object:
    raw = message.raw if message.raw is not None and message.origin == ORIGIN else {}
    was = a_str(raw.get("role")) or ""
    meant = {_ROLES.get(was, was or "user"), "tool" if was in ("", "user") else ""}
    if raw and message.role in meant:
        return {"role": was} if was else {}
    return {"role": {"assistant": "model", "tool": "user"}.get(message.role, message.role)}


def _encode_contents(messages: list[Message], names: dict[str, str]) -> list[Object]:
    """Turns. What is not from this API is joined where one side speaks twice: all results of a turn are one."""
    turns: list[Object] = []
    joinable = False
    for message in messages:
        ours = message.raw is not None and message.origin == ORIGIN
        turn = dict(encode_node(message, ORIGIN, _read_content, _write_content))
        parts = encode_parts(message.content, names)
        if parts or not ours or "parts" in turn:
            turn["parts"] = parts if parts or not ours else turn["parts"]
        if not ours and joinable and turns[-1].get("role") == turn.get("role"):
            turns[-1]["parts"] = [*turns[-1]["parts"], *parts]
        elif parts or ours:
            turns.append(turn)
            joinable = not ours
    return turns


def _names(messages: list[Message]) -> dict[str, str]:
    """The names of the tools that were called, by the ids of the calls."""
    calls = (part for message in messages for part in message.content if isinstance(part, ToolCall))
    return {call.id: call.name for call in calls if call.id is not None}


def _read(wire: Object) -> ChatRequest:
    """All but the children."""
    config = a_dict(get(wire, _CONFIG)) or {}
    thinking = a_dict(get(config, "thinkingConfig")) or {}
    level, stops = a_str(get(thinking, "thinkingLevel")), get(config, "stopSequences")
    return ChatRequest(
        model=a_str(wire.get("model")),
        temperature=a_float(config.get("temperature")),
        top_p=a_float(get(config, "topP")),
        top_k=an_int(get(config, "topK")),
        max_tokens=an_int(get(config, "maxOutputTokens")),
        stop=[stop for stop in stops if isinstance(stop, str)] if isinstance(stops, list) else [],
        seed=an_int(config.get("seed")),
        n=an_int(get(config, "candidateCount")),
        frequency_penalty=a_float(get(config, "frequencyPenalty")),
        presence_penalty=a_float(get(config, "presencePenalty")),
        logprobs=a_bool(get(config, "responseLogprobs")),
        top_logprobs=an_int(config.get("logprobs")),
        reasoning_effort=None if level is None else level.lower(),
        reasoning_budget=an_int(get(thinking, "thinkingBudget")),
        output_format=_read_format(config),
        tool_choice=_read_choice(a_dict(get(wire, "toolConfig")) or {}),
        service_tier=a_str(get(wire, "serviceTier")),
        raw=wire,
        origin=ORIGIN,
    )


def _write(request: ChatRequest) -> Object:
    """The members that the canonical fields make, less children, under the names that ``raw`` has for them."""
    raw = request.raw if request.raw is not None and request.origin == ORIGIN else {}
    held = a_dict(get(raw, _CONFIG)) or {}
    config: Object = {
        name: getattr(request, field) for field, name in _SETTINGS.items() if getattr(request, field) is not None
    }
    config |= without_none(topK=request.top_k, stopSequences=request.stop or None)
    level = None if request.reasoning_effort is None else request.reasoning_effort.upper()
    if thinking := without_none(thinkingLevel=level, thinkingBudget=request.reasoning_budget):
        config["thinkingConfig"] = written(thinking, a_dict(get(held, "thinkingConfig")) or {})
    if request.output_format is not None:
        config |= _write_format(request.output_format, held)
    wire: Object = {"generationConfig": written(config, held)} if config else {}
    if request.tool_choice is not None and (choice := _write_choice(request.tool_choice, raw)) is not None:
        wire["toolConfig"] = choice
    wire |= without_none(serviceTier=request.service_tier if raw else None)
    if raw:
        wire |= without_none(model=request.model)
    return written(wire, raw)


def _read_format(config: Object) -> OutputFormat | None:
    kind = a_str(get(config, "responseMimeType"))
    schema = a_dict(get(config, "responseJsonSchema")) or a_dict(get(config, "responseSchema"))
    if kind != "application/json":
        return None
    if schema is None:
        return OutputFormat(kind="json_object")
    return OutputFormat(kind="json_schema", schema=_lowered(schema))


def _write_format(format: OutputFormat, held: Object) -> Object:
    if format.kind not in ("json_object", "json_schema"):
        return {"responseMimeType": "text/plain"} if key(held, "responseMimeType") in held else {}
    if format.schema is None:
        return {"responseMimeType": "application/json"}
    first = a_dict(get(held, "responseSchema")) is not None and a_dict(get(held, "responseJsonSchema")) is None
    name = "responseSchema" if first else "responseJsonSchema"
    return {"responseMimeType": "application/json", name: format.schema}


def _lowered(schema: Any, depth: int = 0) -> Any:
    """A schema with its types as JSON Schema writes them: this API's own form has them in capitals."""
    if depth > _MAX_SCHEMA_DEPTH:
        return schema
    if isinstance(schema, list):
        return [_lowered(item, depth + 1) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: value.lower()
        if name == "type" and isinstance(value, str) and value in _TYPES
        else _lowered(value, depth + 1)
        for name, value in schema.items()
    }


def _read_choice(config: Object) -> ToolChoice | None:
    calling = a_dict(get(config, "functionCallingConfig")) or {}
    mode, allowed = a_str(calling.get("mode")), get(calling, "allowedFunctionNames")
    if mode is None:
        return None
    only = allowed[0] if isinstance(allowed, list) and len(allowed) == 1 and isinstance(allowed[0], str) else None
    named = mode == "ANY" and only is not None
    return ToolChoice(mode="named" if named else _MODES.get(mode, mode), name=only if named else None)


def _write_choice(choice: ToolChoice, raw: Object) -> Object | None:
    if not choice.mode:
        return None
    held = a_dict(get(raw, "toolConfig")) or {}
    calling: Object = {"mode": "ANY" if choice.mode == "named" else _WIRE_MODES.get(choice.mode, choice.mode)}
    if choice.mode == "named" and choice.name is not None:
        calling["allowedFunctionNames"] = [choice.name]
    inner = a_dict(get(held, "functionCallingConfig")) or {}
    return written({"functionCallingConfig": written(calling, inner)}, held)


def _decode_tools(item: Object) -> list[Tool]:
    """The declarations in one object, or the tool of the provider's that it is. The first declaration keeps the object,
    with itself alone in it."""
    name = key(item, _DECLARED)
    declared = item.get(name)
    if not isinstance(declared, list) or not declared or not all(isinstance(each, dict) for each in declared):
        kind = next((kind for kind in item if kind != name), "")
        return [Tool(name="", kind=kind, server=True, raw=item, origin=ORIGIN)]
    tools = [_read_tool(each) for each in declared]
    for tool, each in zip(tools, declared, strict=True):
        tool.raw, tool.origin = {_WHOLE: each} if _has_declarations(each) else each, ORIGIN
    tools[0].raw = {**item, name: [declared[0]]}
    return tools


def _has_declarations(item: Object) -> bool:
    return _DECLARED in item or snake(_DECLARED) in item


def _encode_tools(tools: list[Tool]) -> list[Object]:
    items: list[Object] = []
    declared: list[Object] | None = None
    """Of the object that the next declaration goes on with."""
    for tool in tools:
        raw = tool.raw if tool.raw is not None and tool.origin == ORIGIN else None
        if raw is not None and tool.server:
            items.append(raw)
            declared = None
        elif raw is not None and _has_declarations(raw):
            name = key(raw, _DECLARED)
            declared = [_encode_tool(tool, raw[name][0])]
            items.append({**raw, name: declared})
        elif not tool.server and tool.kind in ("function", "custom"):
            if declared is None:
                declared = []
                items.append({_DECLARED: declared})
            declared.append(_encode_tool(tool, None if raw is None else raw.get(_WHOLE, raw)))
    return items


def _encode_tool(tool: Tool, raw: Object | None) -> Object:
    made = Tool(
        name=tool.name, description=tool.description, parameters=tool.parameters, kind=tool.kind, raw=raw,
        origin=None if raw is None else ORIGIN,
    )  # fmt: skip
    return encode_node(made, ORIGIN, _read_tool, _write_tool)


def _read_tool(item: Object) -> Tool:
    parameters = a_dict(get(item, "parametersJsonSchema")) or a_dict(item.get("parameters"))
    return Tool(
        name=a_str(item.get("name")) or "",
        description=a_str(item.get("description")),
        parameters=None if parameters is None else _lowered(parameters),
        raw=item,
        origin=ORIGIN,
    )


def _write_tool(tool: Tool) -> Object:
    raw = tool.raw if tool.raw is not None and tool.origin == ORIGIN else {}
    name = (
        "parameters"
        if a_dict(raw.get("parameters")) and not get(raw, "parametersJsonSchema")
        else "parametersJsonSchema"
    )
    members = without_none(description=tool.description)
    if tool.parameters is not None:
        members[name] = tool.parameters
    return written({"name": tool.name, **members}, raw)
