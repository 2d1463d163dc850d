"""Chat requests: from the wire to canonical, and back."""

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
from interlay.dialects._functions import read_tool, write_tool
from interlay.dialects.openai_chat.parts import ORIGIN
from interlay.dialects.openai_chat.turns import NODES, decode_message, encode_message
from interlay.model import json
from interlay.model.messages import ChatRequest, OutputFormat, Tool, ToolChoice

_CHILDREN: Final = ("messages", "tools", "functions")


def decode(body: bytes) -> ChatRequest:
    """Raises ``DecodeError``."""
    return _read(an_object(json.decode(body), "the request"))


def encode(request: ChatRequest) -> bytes:
    """The request as this API takes it.

    What has no form here is left out: top_k, reasoning of another API's models, tools that another provider runs,
    whether a tool's result is an error, pictures in it, titles and URLs of documents, and prompt-cache marks where
    a string can say the text.
    """
    wire = dict(encode_node(request, ORIGIN, _read_members, _write_members))
    if request.messages or request.raw is None or request.origin != ORIGIN or wire.get("messages") is not None:
        wire["messages"] = [item for message in request.messages for item in encode_message(message)]
    tools = [tool for tool in request.tools if _has_form(tool)]
    for key, first in (("tools", False), ("functions", True)):
        if items := [_encode_tool(tool) for tool in tools if _is_first_form(tool) is first]:
            wire[key] = items
    return json.encode(wire)


def _read(wire: Object) -> ChatRequest:
    """The canonical request of a JSON object. Raises ``DecodeError``."""
    refuse_many([wire], (*_CHILDREN, *NODES))
    request = _read_members(wire)
    request.raw, request.origin = shell(wire, *_CHILDREN), ORIGIN
    request.messages = [decode_message(item) for item in objects(wire.get("messages"), "messages")]
    request.tools = [came_from(item, ORIGIN, _read_tool(item)) for item in objects(wire.get("tools"), "tools")]
    functions = objects(wire.get("functions"), "functions")
    if all(_has_first_form(item) for item in functions):
        request.tools += [came_from(item, ORIGIN, _read_first_form(item)) for item in functions]
    else:
        request.raw["functions"] = functions
    return request


def _read_members(wire: Object) -> ChatRequest:
    reasoning = a_dict(wire.get("reasoning")) or {}
    longest = an_int(wire.get("max_completion_tokens"))
    return ChatRequest(
        model=a_str(wire.get("model")),
        tool_choice=_read_choice(wire),
        output_format=_read_format(wire.get("response_format")),
        max_tokens=an_int(wire.get("max_tokens")) if longest is None else longest,
        temperature=a_float(wire.get("temperature")),
        top_p=a_float(wire.get("top_p")),
        top_k=an_int(wire.get("top_k")),
        stop=_read_stop(wire.get("stop")),
        seed=an_int(wire.get("seed")),
        n=an_int(wire.get("n")),
        frequency_penalty=a_float(wire.get("frequency_penalty")),
        presence_penalty=a_float(wire.get("presence_penalty")),
        logprobs=a_bool(wire.get("logprobs")),
        top_logprobs=an_int(wire.get("top_logprobs")),
        reasoning_effort=a_str(wire.get("reasoning_effort")) or a_str(reasoning.get("effort")),
        reasoning_budget=an_int(reasoning.get("max_tokens")),
        stream=wire.get("stream") is True,
        user=a_str(wire.get("user")),
        service_tier=a_str(wire.get("service_tier")),
        raw=wire,
    )


def _write_members(request: ChatRequest) -> Object:
    """``raw`` says which of two names for the same thing a host was given."""
    was = request.raw if request.raw is not None and request.origin in (ORIGIN, None) else {}
    old = an_int(was.get("max_tokens")) is not None and an_int(was.get("max_completion_tokens")) is None
    wire = without_none(
        model=request.model,
        temperature=request.temperature,
        top_p=request.top_p,
        seed=request.seed,
        n=request.n,
        frequency_penalty=request.frequency_penalty,
        presence_penalty=request.presence_penalty,
        logprobs=request.logprobs,
        top_logprobs=request.top_logprobs,
        user=request.user,
        service_tier=request.service_tier,
    )
    if request.max_tokens is not None:
        wire["max_tokens" if old else "max_completion_tokens"] = request.max_tokens
    if request.top_k is not None and "top_k" in was:
        wire["top_k"] = request.top_k
    if request.stop:
        alone = isinstance(was.get("stop"), str) and len(request.stop) == 1
        wire["stop"] = request.stop[0] if alone else request.stop
    if request.stream or "stream" in was:
        wire["stream"] = request.stream
    _write_reasoning(wire, request, was)
    _write_choice(wire, request.tool_choice)
    if request.output_format is not None:
        wire["response_format"] = _write_format(request.output_format)
    return wire


def _read_stop(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else []


def _write_reasoning(wire: Object, request: ChatRequest, was: Object) -> None:
    if isinstance(was.get("reasoning"), dict):  # OpenRouter's form
        effort = request.reasoning_effort if not a_str(was.get("reasoning_effort")) else None
        wire["reasoning"] = without_none(effort=effort, max_tokens=request.reasoning_budget)
        if effort is not None:
            return
    if request.reasoning_effort is not None:
        wire["reasoning_effort"] = request.reasoning_effort


def _read_choice(wire: Object) -> ToolChoice | None:
    choice, parallel = wire.get("tool_choice"), a_bool(wire.get("parallel_tool_calls"))
    if isinstance(choice, str):
        return ToolChoice(mode=choice, parallel=parallel)
    if isinstance(choice, dict):
        for kind in ("function", "custom"):
            inner = a_dict(choice.get(kind))
            if inner is not None and (name := a_str(inner.get("name"))) is not None:
                return ToolChoice(mode="named", name=name, parallel=parallel, raw=choice, origin=ORIGIN)
        return ToolChoice(mode=a_str(choice.get("type")) or "", parallel=parallel, raw=choice, origin=ORIGIN)
    return None if parallel is None else ToolChoice(mode="", parallel=parallel)


def _write_choice(wire: Object, choice: ToolChoice | None) -> None:
    if choice is None:
        return
    if choice.parallel is not None:
        wire["parallel_tool_calls"] = choice.parallel
    if choice.mode == "named":
        kind = "custom" if choice.origin == ORIGIN and "custom" in (choice.raw or {}) else "function"
        wire["tool_choice"] = {"type": kind, kind: {"name": choice.name}}
    elif choice.origin == ORIGIN and choice.raw is not None and choice.mode == (a_str(choice.raw.get("type")) or ""):
        wire["tool_choice"] = choice.raw
    elif choice.mode:
        wire["tool_choice"] = choice.mode


def _read_format(value: Any) -> OutputFormat | None:
    if not isinstance(value, dict) or (kind := a_str(value.get("type"))) is None:
        return None
    schema = a_dict(value.get("json_schema")) or {}
    return OutputFormat(
        kind=kind,
        name=a_str(schema.get("name")),
        schema=a_dict(schema.get("schema")),
        strict=a_bool(schema.get("strict")),
    )


def _write_format(format: OutputFormat) -> Object:
    if format.kind != "json_schema":
        return {"type": format.kind}
    schema = without_none(name=format.name or "answer", schema=format.schema, strict=format.strict)
    return {"type": "json_schema", "json_schema": schema}


def _read_tool(item: Object) -> Tool:
    return read_tool(item, "" if _has_first_form(item) else "function")


def _read_first_form(item: Object) -> Tool:
    """A tool as the API's first form had it, in ``functions``."""
    return Tool(
        name=a_str(item.get("name")) or "",
        description=a_str(item.get("description")),
        parameters=a_dict(item.get("parameters")),
    )


def _write_first_form(tool: Tool) -> Object:
    return {"name": tool.name, **without_none(description=tool.description, parameters=tool.parameters)}


def _is_first_form(tool: Tool) -> bool:
    raw = tool.raw if tool.origin == ORIGIN else None
    return raw is not None and tool.kind == "function" and _has_first_form(raw)


def _has_first_form(item: Object) -> bool:
    return bool(a_str(item.get("name"))) and "type" not in item and "function" not in item


def _has_form(tool: Tool) -> bool:
    return tool.origin in (ORIGIN, None) or not tool.server


def _encode_tool(tool: Tool) -> Object:
    if _is_first_form(tool):
        return encode_node(tool, ORIGIN, _read_first_form, _write_first_form)
    return encode_node(tool, ORIGIN, _read_tool, write_tool)
