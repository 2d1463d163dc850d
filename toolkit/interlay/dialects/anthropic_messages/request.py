"""Requests of the Messages API, both ways."""

from __future__ import annotations

from typing import Any, Final

import msgspec

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
from interlay.dialects.anthropic_messages.parts import (
    CHILDREN,
    ORIGIN,
    decode_content,
    encode_content,
    set_arguments,
)
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.messages import (
    AnyPart,
    ChatRequest,
    Message,
    OutputFormat,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

DEFAULT_MAX_TOKENS: Final = 4096
"""The API demands a limit; a request of an API that does not gets this one, above what it may spend on reasoning."""
_SYSTEM: Final = frozenset({"system", "developer"})
_MODES: Final = {"auto": "auto", "any": "required", "tool": "named", "none": "none"}
_WIRE_MODES: Final = {canonical: wire for wire, canonical in _MODES.items()}
_TIERS: Final = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
_EFFORTS: Final = {"minimal": "low"}
_SERVER_TOOLS: Final = ("web_search_", "web_fetch_", "code_execution_", "tool_search_", "mcp_", "advisor_")


class _Input(msgspec.Struct):
    input: msgspec.Raw = msgspec.Raw()


class _Turn(msgspec.Struct):
    content: list[_Input] | str | None = None


class _Turns(msgspec.Struct):
    messages: list[_Turn] = []


_turns: Final = json.Reader(_Turns)


def decode(body: bytes) -> ChatRequest:
    """Raises ``DecodeError``."""
    raw = an_object(json.decode(body), "the request")
    room = refuse_many(raw.get("messages"), CHILDREN)
    refuse_many(raw.get("tools"), (), refuse_many(raw.get("system"), CHILDREN, room))
    request = _read(shell(raw, "messages", "tools", "system"))
    request.messages = _system(raw.get("system"))
    turns = [_message(item) for item in objects(raw.get("messages"), "messages")]
    if any(isinstance(part, ToolCall) for turn in turns for part in turn.content):
        exact_arguments([turn.content for turn in turns], body)
    request.messages += turns
    request.tools = [_tool(item) for item in objects(raw.get("tools"), "tools")]
    return request


def encode(request: ChatRequest) -> bytes:
    """A request of this API is patched, one of another is built: its system texts become one, its tool results
    go into user turns, and what this API does not know (``n``, ``seed``, penalties, ``logprobs``) is left out."""
    ours = request.raw is not None and request.origin == ORIGIN
    body = encode_node(request, ORIGIN, _read, _write)
    system, turns = _split(request.messages)
    if system:
        body["system"] = encode_content(system, body.get("system"))
    if turns or not ours:
        body["messages"] = _encode_turns(turns)
    tools = [tool for each in request.tools if (tool := _encode_tool(each)) is not None]
    if tools:
        body["tools"] = tools
    if not ours:
        _fit(body, request)
    return json.encode(body)


def exact_arguments(contents: list[list[AnyPart]], body: bytes) -> None:
    """Give the tool calls of a request's messages their arguments as they stand in ``body``."""
    try:
        turns = _turns.lenient(body).messages
    except DecodeError:
        return
    for content, turn in zip(contents, turns, strict=False):
        if isinstance(turn.content, list):
            for part, block in zip(content, turn.content, strict=False):
                set_arguments(part, bytes(block.input))


def _system(value: Any) -> list[Message]:
    """The text at the top of the request. It has no object of its own, so the message has no ``raw``."""
    if value is None:
        return []
    return [Message(role="system", content=decode_content(value, "system"), origin=ORIGIN)]


def _message(item: Object) -> Message:
    return Message(
        role=a_str(item.get("role")) or "",
        content=decode_content(item.get("content"), "content"),
        raw=shell(item, "content"),
        origin=ORIGIN,
    )


def _split(messages: list[Message]) -> tuple[list[AnyPart], list[Message]]:
    """The parts that belong into ``system``, and the turns. A system message that this API itself had between the
    turns stays there."""
    system: list[AnyPart] = []
    turns: list[Message] = []
    for message in messages:
        ours = message.raw is not None and message.origin == ORIGIN
        if message.role in _SYSTEM and not ours:
            system += message.content
        else:
            turns.append(message)
    return system, turns


def _encode_turns(turns: list[Message]) -> list[Object]:
    encoded: list[Object] = []
    last_is_ours = True
    for message in turns:
        ours = message.raw is not None and message.origin == ORIGIN
        turn = encode_node(message, ORIGIN, _read_message, _write_message)
        if message.content or not ours:
            turn["content"] = encode_content(message.content, turn.get("content"))
        if encoded and encoded[-1].get("role") == turn.get("role") and not (ours and last_is_ours):
            turn["content"] = _joined(encoded.pop().get("content"), turn.get("content"))
        encoded.append(turn)
        last_is_ours = ours
    return encoded


def _joined(one: Any, other: Any) -> list[Object]:
    """Two contents in one turn. The results of tools have to come first."""
    blocks: list[Object] = []
    for content in (one, other):
        blocks += [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    return sorted(blocks, key=lambda block: block.get("type") != "tool_result")


def _read_message(raw: Object) -> Message:
    return Message(role=a_str(raw.get("role")) or "", origin=ORIGIN)


def _write_message(message: Message) -> Object:
    if message.origin != ORIGIN and any(isinstance(part, ToolResult) for part in message.content):
        return {"role": "user"}
    return {"role": message.role}


def _tool(item: Object) -> Tool:
    kind = a_str(item.get("type")) or "custom"
    custom = kind == "custom"
    return Tool(
        name=a_str(item.get("name")) or "",
        description=a_str(item.get("description")),
        parameters=a_dict(item.get("input_schema")),
        strict=a_bool(item.get("strict")),
        kind="function" if custom else kind,
        server=kind.startswith(_SERVER_TOOLS),
        cache_control=a_dict(item.get("cache_control")),
        raw=item,
        origin=ORIGIN,
    )


def _encode_tool(tool: Tool) -> Object | None:
    ours = tool.raw is not None and tool.origin == ORIGIN
    if not ours and tool.kind != "function" and tool.origin not in {None, ORIGIN}:
        return None  # another maker's tool
    encoded = encode_node(tool, ORIGIN, _tool, _write_tool)
    if not ours and tool.kind == "function":
        encoded.setdefault("input_schema", {"type": "object", "properties": {}})
    return encoded


def _write_tool(tool: Tool) -> Object:
    return without_none(
        type=None if tool.kind == "function" else tool.kind,
        name=tool.name or None,
        description=tool.description,
        input_schema=tool.parameters,
        strict=tool.strict,
        cache_control=tool.cache_control,
    )


def _read(raw: Object) -> ChatRequest:
    """All but the children."""
    config = a_dict(raw.get("output_config")) or {}
    stops = raw.get("stop_sequences")
    return ChatRequest(
        model=a_str(raw.get("model")),
        max_tokens=an_int(raw.get("max_tokens")),
        temperature=a_float(raw.get("temperature")),
        top_p=a_float(raw.get("top_p")),
        top_k=an_int(raw.get("top_k")),
        stop=[stop for stop in stops if isinstance(stop, str)] if isinstance(stops, list) else [],
        stream=raw.get("stream") is True,
        user=a_str((a_dict(raw.get("metadata")) or {}).get("user_id")),
        service_tier=a_str(raw.get("service_tier")),
        reasoning_effort=a_str(config.get("effort")),
        reasoning_budget=_budget(a_dict(raw.get("thinking")) or {}),
        output_format=_format(a_dict(raw.get("output_format")) or a_dict(config.get("format"))),
        tool_choice=_choice(a_dict(raw.get("tool_choice"))),
        raw=raw,
        origin=ORIGIN,
    )


def _budget(thinking: Object) -> int | None:
    return 0 if thinking.get("type") == "disabled" else an_int(thinking.get("budget_tokens"))


def _format(found: Object | None) -> OutputFormat | None:
    kind = a_str(found.get("type")) if found is not None else None
    if found is None or kind is None:
        return None
    return OutputFormat(kind=kind, schema=a_dict(found.get("schema")), raw=found, origin=ORIGIN)


def _choice(found: Object | None) -> ToolChoice | None:
    kind = a_str(found.get("type")) if found is not None else None
    if found is None or kind is None:
        return None
    alone = a_bool(found.get("disable_parallel_tool_use"))
    return ToolChoice(
        mode=_MODES.get(kind, kind),
        name=a_str(found.get("name")),
        parallel=None if alone is None else not alone,
        raw=found,
        origin=ORIGIN,
    )


def _write(request: ChatRequest) -> Object:
    """The members that the canonical fields make, less children."""
    body = without_none(
        model=request.model,
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        stop_sequences=request.stop or None,
        stream=request.stream or None,
        service_tier=request.service_tier,
        metadata=None if request.user is None else {"user_id": request.user},
        thinking=_write_budget(request.reasoning_budget),
        tool_choice=None if request.tool_choice is None else _write_choice(request.tool_choice),
    )
    config = without_none(effort=request.reasoning_effort)
    if (wanted := request.output_format) is not None and wanted.kind != "text":
        form = without_none(type=wanted.kind, schema=wanted.schema)
        # Older requests have it at the top.
        if request.raw is not None and request.origin == ORIGIN and "output_format" in request.raw:
            body["output_format"] = form
        else:
            config["format"] = form
    if config:
        body["output_config"] = config
    return body


def _write_budget(budget: int | None) -> Object | None:
    if budget is None:
        return None
    return {"type": "enabled", "budget_tokens": budget} if budget > 0 else {"type": "disabled"}


def _write_choice(choice: ToolChoice) -> Object:
    return without_none(
        type=_WIRE_MODES.get(choice.mode, choice.mode),
        name=choice.name,
        disable_parallel_tool_use=None if choice.parallel is None else not choice.parallel,
    )


def _fit(body: Object, request: ChatRequest) -> None:
    """What a request of another API has otherwise."""
    body.setdefault("max_tokens", DEFAULT_MAX_TOKENS + (request.reasoning_budget or 0))
    if (tier := _TIERS.get(body.pop("service_tier", ""))) is not None:
        body["service_tier"] = tier
    choice = body.get("tool_choice", {})
    if "tools" not in body:
        body.pop("tool_choice", None)
    elif choice.get("type") == "none":
        choice.pop("disable_parallel_tool_use", None)
    config = body.get("output_config", {})
    if "effort" in config:
        config["effort"] = _EFFORTS.get(config["effort"], config["effort"])
        if config["effort"] == "none":
            del config["effort"]
    if "format" in config and config["format"].get("schema") is None:
        del config["format"]  # JSON of any shape cannot be asked for here
    if not config:
        body.pop("output_config", None)
