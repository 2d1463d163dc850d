"""Requests for an answer, both ways."""

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
from interlay.dialects.ollama.names import ORIGIN
from interlay.dialects.ollama.turns import NODES, decode_message, encode_message, names_in
from interlay.model import json
from interlay.model.messages import ChatRequest, OutputFormat

_OPTIONS: Final = {
    "max_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}
"""Canonical fields, and the members of ``options`` that say the same."""


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

    What has no form here is left out: which tool is to be called, tools that a provider runs, several answers, the
    user, and what ``encode_message`` leaves out.
    """
    ours = request.raw is not None and request.origin == ORIGIN
    wire = dict(encode_node(request, ORIGIN, _read, _write))
    names = names_in(request.messages)
    if request.messages or not ours or wire.get("messages") is not None:
        wire["messages"] = [item for message in request.messages for item in encode_message(message, names)]
    tools = [tool for tool in request.tools if tool.origin == ORIGIN or not tool.server]
    if tools:
        wire["tools"] = [encode_node(tool, ORIGIN, read_tool, write_tool) for tool in tools]
    return json.encode(wire)


def _read(wire: Object) -> ChatRequest:
    """All but the children."""
    options = a_dict(wire.get("options")) or {}
    think, stop = wire.get("think"), options.get("stop")
    return ChatRequest(
        model=a_str(wire.get("model")),
        output_format=_read_format(wire.get("format")),
        max_tokens=an_int(options.get("num_predict")),
        temperature=a_float(options.get("temperature")),
        top_p=a_float(options.get("top_p")),
        top_k=an_int(options.get("top_k")),
        seed=an_int(options.get("seed")),
        frequency_penalty=a_float(options.get("frequency_penalty")),
        presence_penalty=a_float(options.get("presence_penalty")),
        stop=_read_stop(stop),
        logprobs=a_bool(wire.get("logprobs")),
        top_logprobs=an_int(wire.get("top_logprobs")),
        reasoning_effort=a_str(think),
        stream=wire.get("stream") is not False,
        raw=wire,
        origin=ORIGIN,
    )


def _write(request: ChatRequest) -> Object:
    """The members that the canonical fields make, less children."""
    raw = request.raw if request.raw is not None and request.origin == ORIGIN else {}
    held = a_dict(raw.get("options")) or {}
    wire = without_none(model=request.model, logprobs=request.logprobs, top_logprobs=request.top_logprobs)
    options: Object = {
        name: getattr(request, field) for field, name in _OPTIONS.items() if getattr(request, field) is not None
    }
    if request.stop:
        alone = isinstance(held.get("stop"), str) and len(request.stop) == 1
        options["stop"] = request.stop[0] if alone else request.stop
    if options or isinstance(raw.get("options"), dict):
        wire["options"] = options
    if request.reasoning_effort is not None:
        wire["think"] = request.reasoning_effort
    if request.output_format is not None and (form := _write_format(request.output_format)) is not None:
        wire["format"] = form
    if not request.stream or "stream" in raw or not raw:
        wire["stream"] = request.stream
    return wire


def _read_stop(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else []


def _read_format(value: Any) -> OutputFormat | None:
    if isinstance(value, dict):
        return OutputFormat(kind="json_schema", schema=value)
    return OutputFormat(kind="json_object") if value == "json" else None


def _write_format(format: OutputFormat) -> Any:
    if format.kind == "json_schema" and format.schema is not None:
        return format.schema
    return "json" if format.kind in ("json_object", "json_schema") else None
