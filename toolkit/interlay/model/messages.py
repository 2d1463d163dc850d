"""Canonical messages: what is said in a call, whichever API carried it.

A node that was decoded from the wire keeps the JSON object it came from in ``raw`` and the name of the dialect in
``origin``. Encoding a node back into that dialect patches ``raw`` where the canonical fields were changed and
returns it as it was where they were not, so fields we do not know survive. Encoding into another dialect builds
the object from the canonical fields alone.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from interlay.model.usage import Usage


class Node(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What all canonical nodes share."""

    raw: dict[str, Any] | None = None
    """The JSON object this node was decoded from. Where children stood that are nodes of their own there is an
    empty value of the same kind (``""``, ``[]``, ``{}``): it keeps their place and the form that was used."""
    origin: str | None = None
    """The dialect ``raw`` is written in."""


class Part(Node, tag_field="type", kw_only=True):
    """One piece of a message."""

    cache_control: dict[str, Any] | None = None
    """The prompt-cache mark on this part, as Anthropic's API writes it."""


class Text(Part, tag="text", kw_only=True):
    """Plain text."""

    text: str
    citations: list[dict[str, Any]] = []


class Image(Part, tag="image", kw_only=True):
    """Exactly one of ``data`` (base64), ``url`` and ``file_id`` is set."""

    data: str | None = None
    media_type: str | None = None
    url: str | None = None
    file_id: str | None = None
    detail: str | None = None


class Audio(Part, tag="audio", kw_only=True):
    """Recorded or spoken sound."""

    data: str | None = None
    """Base64."""
    format: str | None = None
    id: str | None = None
    transcript: str | None = None
    expires_at: int | None = None


class File(Part, tag="file", kw_only=True):
    """A document: PDF, plain text, or blocks of text."""

    data: str | None = None
    """Base64, or the text itself where ``media_type`` is ``text/plain``."""
    media_type: str | None = None
    url: str | None = None
    file_id: str | None = None
    filename: str | None = None
    title: str | None = None
    context: str | None = None
    blocks: list[Part] = []


class ToolCall(Part, tag="tool_call", kw_only=True):
    """The model asks for a tool. ``arguments`` is the JSON text as it stood on the wire, which may be no JSON."""

    id: str | None = None
    name: str
    arguments: str = ""
    server: bool = False
    """True when the provider itself runs the tool."""


class ToolResult(Part, tag="tool_result", kw_only=True):
    """What a tool gave back."""

    tool_call_id: str
    content: list[Part] = []
    is_error: bool = False
    server: bool = False


class Reasoning(Part, tag="reasoning", kw_only=True):
    """Thinking text. Signed or encrypted reasoning is valid only at its maker and is never edited."""

    text: str = ""
    signature: str | None = None
    encrypted: str | None = None


class Refusal(Part, tag="refusal", kw_only=True):
    """The model says that it will not."""

    text: str


class Opaque(Part, tag="opaque", kw_only=True):
    """A part we do not know; ``raw`` holds it and it passes through unchanged."""


class Message(Node, kw_only=True):
    """One turn of a conversation."""

    role: str
    """``system``, ``developer``, ``user``, ``assistant`` or ``tool``; others as the provider has them."""
    content: list[AnyPart] = []
    name: str | None = None


AnyPart = Text | Image | Audio | File | ToolCall | ToolResult | Reasoning | Refusal | Opaque


class Tool(Node, kw_only=True):
    """A tool the model may call. ``server`` tools are run by the provider, and are known by ``kind``."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """JSON Schema."""
    strict: bool | None = None
    kind: str = "function"
    server: bool = False
    cache_control: dict[str, Any] | None = None


class ToolChoice(Node, kw_only=True):
    """Whether, and which, tools the model is to call."""

    mode: str
    """``auto``, ``none``, ``required`` or ``named``; others as the provider has them."""
    name: str | None = None
    parallel: bool | None = None


class OutputFormat(Node, kw_only=True):
    """Structured output: ``text``, ``json_object`` or ``json_schema``."""

    kind: str
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class ChatRequest(Node, kw_only=True):
    """What is asked."""

    model: str | None = None
    messages: list[Message] = []
    """System text comes first, as messages of role ``system`` or ``developer``, wherever the API carries it."""
    tools: list[Tool] = []
    tool_choice: ToolChoice | None = None
    output_format: OutputFormat | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: list[str] = []
    seed: int | None = None
    n: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    reasoning_effort: str | None = None
    reasoning_budget: int | None = None
    """Tokens the model may spend on reasoning."""
    stream: bool = False
    user: str | None = None
    service_tier: str | None = None


class Choice(Node, kw_only=True):
    """One of the answers."""

    index: int = 0
    message: Message
    finish_reason: str | None = None
    """Canonical word: ``stop``, ``length``, ``tool_calls``, ``content_filter``, ``error``; else the provider's."""
    provider_finish_reason: str | None = None
    """The provider's own word."""
    stop_sequence: str | None = None
    logprobs: dict[str, Any] | None = None


class ChatResponse(Node, kw_only=True):
    """What was answered."""

    id: str | None = None
    model: str | None = None
    created: int | None = None
    choices: list[Choice] = []
    usage: Usage | None = None
    service_tier: str | None = None


class Delta(Node, kw_only=True):
    """What one stream event says. An event may say nothing canonical (a ping): then it has no delta."""

    kind: Literal[
        "start",
        "text",
        "reasoning",
        "signature",
        "refusal",
        "tool_call",
        "tool_arguments",
        "audio",
        "citation",
        "part",
        "finish",
        "usage",
        "error",
        "end",
    ]
    choice: int = 0
    block: int = 0
    """Index of the content block or tool call within the choice."""
    text: str = ""
    """Text, reasoning, refusal, transcript, or a piece of tool arguments."""
    id: str | None = None
    name: str | None = None
    role: str | None = None
    model: str | None = None
    finish_reason: str | None = None
    provider_finish_reason: str | None = None
    usage: Usage | None = None
    part: AnyPart | None = None
    """A part that came whole."""
