"""What the record needs of a request: the model and whether it streams from its path, the rest from its body."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import msgspec

from interlay.dialects.counts import MAX_COUNT, figures_of, items_in, text
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.protocols import Outline

_PATH: Final = re.compile(r"(?:\A|/)(models|tunedModels|endpoints)/([^/:]+):(generateContent|streamGenerateContent)\Z")
_REMEMBERED: Final = 512
_NOTHING: Final = msgspec.Raw()


class Target(NamedTuple):
    """What a path says of a request."""

    model: str
    streamed: bool


class _Thinking(msgspec.Struct, gc=False):
    budget: int | None = msgspec.field(default=None, name="thinkingBudget")
    budget_: int | None = msgspec.field(default=None, name="thinking_budget")
    level: str | None = msgspec.field(default=None, name="thinkingLevel")
    level_: str | None = msgspec.field(default=None, name="thinking_level")


class _Config(msgspec.Struct, gc=False, rename="camel"):
    temperature: float | None = None
    top_p: float | None = None
    top_k: float | None = None
    max_output_tokens: int | None = None
    candidate_count: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    response_logprobs: bool | None = None
    logprobs: int | None = None
    response_mime_type: str | None = None
    stop_sequences: msgspec.Raw = _NOTHING
    response_modalities: msgspec.Raw = _NOTHING
    thinking_config: _Thinking | None = None


class _Request(msgspec.Struct, gc=False):
    config: _Config | None = msgspec.field(default=None, name="generationConfig")
    config_: msgspec.Raw = msgspec.field(default=_NOTHING, name="generation_config")
    tools: msgspec.Raw = _NOTHING
    tier: str | None = msgspec.field(default=None, name="serviceTier")


_NAMES: Final = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_output_tokens": "max_tokens",
    "candidate_count": "n",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "response_logprobs": "logprobs",
    "logprobs": "top_logprobs",
}
"""Members of a configuration, and what records call them."""
_requests: Final = json.Reader(_Request, marks=None)
_snake_configs: Final[json.Reader[Any]] = json.Reader(
    msgspec.defstruct("_SnakeConfig", [(one.name, one.type, one.default) for one in msgspec.structs.fields(_Config)])
)
"""Reads a configuration in the API's other spelling."""


@lru_cache(_REMEMBERED)
def target(path: str) -> Target | None:
    """What a path says: of ``…/models/gemini-2.5-flash:streamGenerateContent`` the model, and that it streams. Models
    of a project's own are at ``…/tunedModels/x`` and, at Vertex, ``…/endpoints/1``."""
    match = _PATH.search(path)
    if match is None:
        return None
    kind, model, verb = match.groups()
    name = unquote(model)
    return Target(name if kind == "models" else f"{kind}/{name}", verb == "streamGenerateContent")


def outline(body: bytes, where: Target | None) -> Outline:
    """A request at a glance. Never raises; what is of another type than it should be is left out."""
    model, streamed = (text(where.model, 256), where.streamed) if where is not None else (None, False)
    try:
        request = _requests.lenient(body)
    except DecodeError:
        return Outline(model=model, streamed=streamed, readable=False)
    config = request.config
    if config is None and request.config_:
        try:
            config = _snake_configs.lenient(bytes(request.config_))
        except DecodeError:
            config = None
    return Outline(model=model, streamed=streamed, parameters=_parameters(request, config))


def _parameters(request: _Request, config: _Config | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if config is not None:
        found = figures_of(config, _NAMES)
        if (kind := text(config.response_mime_type, 64)) is not None:
            found["response_format"] = "json_object" if kind == "application/json" else kind
        if count := items_in(config.stop_sequences):
            found["stop_count"] = count
        if (thinking := config.thinking_config) is not None:
            budget = thinking.budget if thinking.budget is not None else thinking.budget_
            if budget is not None and -1 <= budget <= MAX_COUNT:
                found["reasoning_budget"] = budget
            if (level := text(thinking.level or thinking.level_, 64)) is not None:
                found["reasoning_effort"] = level.lower()
    if (tier := text(request.tier, 64)) is not None:
        found["service_tier"] = tier
    if count := items_in(request.tools):
        found["tool_count"] = count
    return found
