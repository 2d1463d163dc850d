"""Responses of the Messages API, both ways."""

from __future__ import annotations

from typing import Final

from interlay.dialects._codec import Object, a_dict, a_str, an_object, encode_node, refuse_many, shell, without_none
from interlay.dialects.anthropic_messages import figures
from interlay.dialects.anthropic_messages.parts import CHILDREN, ORIGIN, decode_content, encode_content
from interlay.dialects.anthropic_messages.request import exact_arguments
from interlay.dialects.anthropic_messages.tracker import FINISH
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.messages import ChatResponse, Choice, Message, ToolCall
from interlay.model.usage import Usage

_WORDS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "error": "end_turn",
}


def decode(body: bytes) -> ChatResponse:
    """Raises ``DecodeError``, for an error too: see ``failures``."""
    raw = an_object(json.decode(body), "the response")
    response = read(raw)
    content = response.choices[0].message.content
    if any(isinstance(part, ToolCall) for part in content):
        exact_arguments([content], b'{"messages":[%s]}' % body)
    return response


def read(raw: Object) -> ChatResponse:
    """The response that a message object is. Raises ``DecodeError``."""
    if raw.get("type", "message") != "message":
        raise DecodeError("the response is no message")
    refuse_many(raw.get("content"), CHILDREN)
    response = _read(shell(raw, "content"))
    response.choices[0].message.content = decode_content(raw.get("content"), "content")
    return response


def encode(response: ChatResponse) -> bytes:
    """A response of this API is patched, one of another is built from its first choice."""
    body = encode_node(response, ORIGIN, _read, _write)
    content = response.choices[0].message.content if response.choices else []
    if content:
        body["content"] = encode_content(content, body.get("content", []))
    return json.encode(body)


def finish_of(word: str | None) -> str | None:
    """The provider's stop reason in canonical words."""
    return None if word is None else FINISH.get(word, word)


def _read(raw: Object) -> ChatResponse:
    word = a_str(raw.get("stop_reason"))
    found = a_dict(raw.get("usage"))
    usage = None if found is None else figures.of_mapping(found)
    return ChatResponse(
        id=a_str(raw.get("id")),
        model=a_str(raw.get("model")),
        choices=[
            Choice(
                message=Message(role=a_str(raw.get("role")) or "assistant", origin=ORIGIN),
                finish_reason=finish_of(word),
                provider_finish_reason=word,
                stop_sequence=a_str(raw.get("stop_sequence")),
            )
        ],
        usage=usage,
        service_tier=None if usage is None else usage.service_tier,
        raw=raw,
        origin=ORIGIN,
    )


def _write(response: ChatResponse) -> Object:
    choice = response.choices[0] if response.choices else Choice(message=Message(role="assistant"))
    return {
        **without_none(id=response.id),
        "type": "message",
        "role": choice.message.role,
        **without_none(model=response.model),
        "content": [],
        "stop_reason": stop_word(choice.finish_reason, choice.provider_finish_reason, choice.stop_sequence),
        "stop_sequence": choice.stop_sequence,
        "usage": write_usage(response.usage or Usage()),
    }


def stop_word(finish: str | None, provider: str | None, sequence: str | None) -> str | None:
    """The stop reason: the provider's own where it means what ``finish`` says."""
    if finish is None or (provider in FINISH and FINISH[provider] == finish):
        return provider if finish is not None else None
    if finish == "stop" and sequence is not None:
        return "stop_sequence"
    return _WORDS.get(finish, finish)


def write_usage(usage: Usage) -> Object:
    """The usage object that canonical figures make. The SDKs demand the two totals."""
    fresh = max((usage.input_tokens or 0) - usage.cache_read_tokens - usage.cache_write_tokens, 0)
    fields: Object = {
        "input_tokens": fresh,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens or 0,
    }
    if usage.cache_write_tokens:
        fields["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_write_5m_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        }
    if usage.reasoning_tokens:
        fields["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    if usage.tools:
        fields["server_tool_use"] = {f"{name}_requests": count for name, count in usage.tools.items()}
    if usage.service_tier is not None:
        fields["speed" if usage.service_tier == figures.FAST else "service_tier"] = usage.service_tier
    return fields
