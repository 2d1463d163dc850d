"""Requests for an answer, both ways."""

from __future__ import annotations

from typing import Final

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
)
from interlay.dialects._functions import read_tool, write_tool
from interlay.dialects.cohere.names import ORIGIN
from interlay.dialects.cohere.turns import NODES, decode_message, encode_message
from interlay.model import json
from interlay.model.messages import ChatRequest, OutputFormat, ToolChoice

_SETTINGS: Final = {
    "model": "model",
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "p",
    "top_k": "k",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "logprobs": "logprobs",
}
"""Canonical fields, and the members that say the same."""
_CHOICES: Final = {"NONE": "none", "REQUIRED": "required"}
_WIRE_CHOICES: Final = {"none": "NONE", "required": "REQUIRED", "named": "REQUIRED"}


def decode(body: bytes) -> ChatRequest:
    """Raises ``DecodeError``."""
    wire = an_object(json.decode(body), "the request")
    refuse_many([wire], NODES)
    request = _read(wire)
    request.raw, request.origin = shell(wire, "messages", "tools"), ORIGIN
    request.messages = [decode_message(item) for item in objects(wire.get("messages"), "messages")]
    request.tools = [came_from(item, ORIGIN, read_tool(item)) for item in objects(wire.get("tools"), "tools")]
    return request


def encode(request: ChatRequest) -> bytes:
    """The request as this API takes it.

    What has no form here is left out: which tool is to be called, where one is named, tools that a provider runs,
    several answers, the user, effort of reasoning, and what ``encode_message`` leaves out.
    """
    ours = request.raw is not None and request.origin == ORIGIN
    wire = dict(encode_node(request, ORIGIN, _read, _write))
    if request.messages or not ours or wire.get("messages") is not None:
        wire["messages"] = [item for message in request.messages for item in encode_message(message)]
    tools = [tool for tool in request.tools if tool.origin == ORIGIN or not tool.server]
    if tools:
        wire["tools"] = [encode_node(tool, ORIGIN, read_tool, write_tool) for tool in tools]
    return json.encode(wire)


def _read(wire: Object) -> ChatRequest:
    """All but the children."""
    stops, word = wire.get("stop_sequences"), a_str(wire.get("tool_choice"))
    return ChatRequest(
        model=a_str(wire.get("model")),
        tool_choice=None if word is None else ToolChoice(mode=_CHOICES.get(word, word)),
        output_format=_read_format(a_dict(wire.get("response_format"))),
        max_tokens=an_int(wire.get("max_tokens")),
        temperature=a_float(wire.get("temperature")),
        top_p=a_float(wire.get("p")),
        top_k=an_int(wire.get("k")),
        stop=stops if isinstance(stops, list) and all(isinstance(stop, str) for stop in stops) else [],
        seed=an_int(wire.get("seed")),
        frequency_penalty=a_float(wire.get("frequency_penalty")),
        presence_penalty=a_float(wire.get("presence_penalty")),
        logprobs=a_bool(wire.get("logprobs")),
        reasoning_budget=an_int((a_dict(wire.get("thinking")) or {}).get("token_budget")),
        stream=wire.get("stream") is True,
        raw=wire,
        origin=ORIGIN,
    )


def _write(request: ChatRequest) -> Object:
    """The members that the canonical fields make, less children."""
    raw = request.raw if request.raw is not None and request.origin == ORIGIN else {}
    wire: Object = {
        name: getattr(request, field) for field, name in _SETTINGS.items() if getattr(request, field) is not None
    }
    if request.stop:
        wire["stop_sequences"] = request.stop
    if request.stream or "stream" in raw or not raw:
        wire["stream"] = request.stream
    if request.reasoning_budget is not None:
        wire["thinking"] = {
            **({} if isinstance(raw.get("thinking"), dict) else {"type": "enabled"}),
            "token_budget": request.reasoning_budget,
        }
    if request.output_format is not None:
        wire["response_format"] = _write_format(request.output_format, a_dict(raw.get("response_format")) or {})
    choice = request.tool_choice
    if choice is not None and choice.mode and choice.mode != "auto":
        wire["tool_choice"] = _WIRE_CHOICES.get(choice.mode, choice.mode)
    return wire


def _read_format(value: Object | None) -> OutputFormat | None:
    kind = a_str((value or {}).get("type"))
    if value is None or kind is None:
        return None
    schema = a_dict(value.get("json_schema")) or a_dict(value.get("schema"))
    return OutputFormat(kind="json_schema" if schema is not None and kind == "json_object" else kind, schema=schema)


def _write_format(format: OutputFormat, held: Object) -> Object:
    """The schema has two names; the one that stands there is kept."""
    if format.kind not in ("json_object", "json_schema"):
        return {"type": format.kind}
    name = "schema" if a_dict(held.get("schema")) and not a_dict(held.get("json_schema")) else "json_schema"
    return {"type": "json_object", **({} if format.schema is None else {name: format.schema})}
