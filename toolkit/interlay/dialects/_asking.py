"""What the dialects share of telling which requests a cache may answer: references to what stands elsewhere, tools that
run at the provider, and headers by which the gateways that speak every API are told what to do."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

SERVER_STATE: Final = "server_state"
SERVER_TOOLS: Final = "server_tools"
FILES: Final = "files"

GATEWAYS: Final[tuple[str, ...]] = (
    "anthropic-beta",  # passed on to Anthropic
    "x-anthropic-beta",
    "azureml-model-deployment",  # Azure: which of an endpoint's deployments answers
    "extra-parameters",  # Azure AI: whether members that it does not know are dropped, passed on or refused
    "cf-aig-",  # Cloudflare's gateway
    "helicone-cache-",  # Helicone: its cache, where the request goes, what checks it
    "helicone-fallbacks",
    "helicone-llm-security-",
    "helicone-model-override",
    "helicone-moderations-enabled",
    "helicone-openai-api-base",
    "helicone-prompt-",
    "helicone-target-",
    "portkey-",
    "x-amzn-bedrock-",  # Bedrock: guardrails, and how fast
    "x-ms-oai-",  # Azure: the deployment that makes images
    "x-portkey-config",  # Portkey: where the request goes, and by which rules
    "x-portkey-custom-host",
    "x-portkey-metadata",
    "x-portkey-provider",
    "x-portkey-virtual-key",
    "x-portkey-azure-",
    "x-portkey-cache-",
    "x-portkey-huggingface-",
    "x-portkey-vertex-",
    "x-tfy-metadata",  # TrueFoundry: where the request goes
    "x-litellm-tags",  # LiteLLM: the same
)
"""Headers by which hosts between us and a model are told what to do with a request."""

_KINDS: Final = frozenset(("function", "custom"))
_ELSEWHERE: Final = re.compile(r"[a-z][a-z0-9+.-]{0,20}+://\S+\Z", re.IGNORECASE)
_REFERENCES: Final = frozenset(("file_id", "file_uri", "file_url", "fileId", "fileUri"))
_NODES: Final = 10_000
"""Values of an unknown object that are looked at, each in a tenth of a microsecond."""


def any_set(body: Mapping[str, Any], names: Collection[str]) -> bool:
    """Whether one of ``names`` is set in ``body``: to something, or to an object, which may be empty."""
    return not body.keys().isdisjoint(names) and any(is_set(body.get(name)) for name in names)


def is_set(value: Any) -> bool:
    """Whether a member's value says that it is used. An empty object does: it takes all defaults."""
    return bool(value) or type(value) is dict


def runs_at_server(tools: Any, kinds: Collection[str] = _KINDS) -> bool:
    """Whether one of a request's tools is of no kind that the caller runs. One without a kind is a function."""
    if not tools:
        return False
    return type(tools) is not list or not all(
        type(tool) is dict and type(kind := tool.get("type", "function")) is str and kind in kinds for tool in tools
    )


def is_inline(url: Any) -> bool:
    """Whether what a URL names stands in it: anything else may be another thing tomorrow."""
    if type(url) is dict:
        url = url.get("url")
    return type(url) is str and url[:5].lower() == "data:"


def is_elsewhere(text: str) -> bool:
    """Whether a text is a URL and nothing else: some hosts fetch what it names."""
    return _ELSEWHERE.match(text) is not None


def any_elsewhere(content: Any, plain: Collection[str]) -> bool:
    """Whether a part of a message's content, as chat completions have it, names something that does not stand in it. No
    part of a type in ``plain`` does."""
    return type(content) is list and any(_is_part_elsewhere(part, plain) for part in content)


def _is_part_elsewhere(part: Any, plain: Collection[str]) -> bool:
    if type(part) is not dict:
        return False
    kind = part.get("type")
    if type(kind) is str and kind in plain:
        return False
    if kind == "image_url":
        return not is_inline(part.get("image_url"))
    return refers(part)


def refers(value: Any) -> bool:
    """Whether an object of a kind that nobody knows seems to name something that stands elsewhere. So does one that is
    too large to look through."""
    left, room = [value], _NODES
    while left:
        each = left.pop()
        if type(each) is str:
            if is_elsewhere(each):
                return True
        elif type(each) is dict:
            if any_set(each, _REFERENCES):
                return True
            left.extend(each.values())
            room -= len(each)
        elif type(each) is list:
            left.extend(each)
            room -= len(each)
        if room < 0:
            return True
    return False
