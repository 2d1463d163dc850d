"""Chat responses: from the wire to canonical, and back."""

from __future__ import annotations

from typing import Final

from interlay.dialects._codec import (
    Object,
    a_dict,
    a_str,
    an_int,
    an_object,
    encode_node,
    objects,
    refuse_many,
    shell,
    without_none,
)
from interlay.dialects.openai_chat import figures
from interlay.dialects.openai_chat.parts import ORIGIN
from interlay.dialects.openai_chat.tracker import FINISH
from interlay.dialects.openai_chat.turns import NODES, decode_message, encode_message
from interlay.model import json
from interlay.model.members import object_under
from interlay.model.messages import ChatResponse, Choice, Message
from interlay.model.usage import Usage

_CHILDREN: Final = ("choices",)


def decode(body: bytes) -> ChatResponse:
    """Raises ``DecodeError``."""
    response = read(an_object(json.decode(body), "the response"))
    if (usage := object_under(body, "usage")) is not None:  # figures are read as they were written
        response.usage = figures.read(usage)
    return response


def read(wire: Object) -> ChatResponse:
    """The canonical response of a JSON object. Raises ``DecodeError`` where its shape is none of this API's."""
    refuse_many([wire], (*_CHILDREN, *NODES))
    response = _read_members(wire)
    response.raw, response.origin = shell(wire, *_CHILDREN), ORIGIN
    response.choices = [_decode_choice(item) for item in objects(wire.get("choices"), "choices")]
    return response


def encode(response: ChatResponse) -> bytes:
    """The response as this API gives it. Signatures and encrypted reasoning of another API's models are left out."""
    wire = dict(encode_node(response, ORIGIN, _read_members, _write_members))
    ours = response.raw is not None and response.origin == ORIGIN
    if not ours:
        wire = {**without_none(id=response.id), "object": "chat.completion", **wire}
    if response.choices or not ours or wire.get("choices") is not None:
        wire["choices"] = [_encode_choice(choice) for choice in response.choices]
    return json.encode(wire)


def _read_members(wire: Object) -> ChatResponse:
    usage = a_dict(wire.get("usage"))
    if usage is None and (groq := a_dict(wire.get("x_groq"))) is not None:
        usage = a_dict(groq.get("usage"))
    return ChatResponse(
        id=a_str(wire.get("id")),
        model=a_str(wire.get("model")),
        created=an_int(wire.get("created")),
        usage=None if usage is None else figures.of_mapping(usage),
        service_tier=a_str(wire.get("service_tier")),
        raw=wire,
    )


def _write_members(response: ChatResponse) -> Object:
    wire = without_none(
        id=response.id, created=response.created, model=response.model, service_tier=response.service_tier
    )
    if response.usage is not None:
        wire["usage"] = write_usage(response.usage)
    return wire


def write_usage(usage: Usage) -> Object:
    """Usage as OpenAI reports it."""
    inputs, outputs = usage.input_tokens, usage.output_tokens
    total = None if inputs is None or outputs is None else inputs + outputs
    wire = without_none(prompt_tokens=inputs, completion_tokens=outputs, total_tokens=total)
    wire["prompt_tokens_details"] = {
        "cached_tokens": usage.cache_read_tokens,
        "audio_tokens": usage.input_audio_tokens,
        **({"cache_write_tokens": usage.cache_write_tokens} if usage.cache_write_tokens else {}),
    }
    wire["completion_tokens_details"] = {
        "reasoning_tokens": usage.reasoning_tokens,
        "audio_tokens": usage.output_audio_tokens,
        "accepted_prediction_tokens": usage.accepted_prediction_tokens,
        "rejected_prediction_tokens": usage.rejected_prediction_tokens,
    }
    return wire


def finish(word: str | None) -> str | None:
    """A host's finish reason in the canonical word."""
    return None if word is None else FINISH.get(word, word)


def _decode_choice(item: Object) -> Choice:
    choice = _read_choice(item)
    choice.raw, choice.origin = shell(item, "message"), ORIGIN
    message = item.get("message")
    if message is not None:
        choice.message = decode_message(an_object(message, "message"), "assistant")
    return choice


def _encode_choice(choice: Choice) -> Object:
    wire = dict(encode_node(choice, ORIGIN, _read_choice, _write_choice))
    ours = choice.raw is not None and choice.origin == ORIGIN
    if not ours or isinstance(wire.get("message"), dict) or choice.message.content:
        wire["message"] = encode_message(choice.message, answer=True)[-1]
        if not ours:
            wire["message"].setdefault("refusal", None)
    return wire


def _read_choice(item: Object) -> Choice:
    word = a_str(item.get("finish_reason"))
    return Choice(
        index=an_int(item.get("index")) or 0,
        message=Message(role="assistant"),
        finish_reason=finish(word),
        provider_finish_reason=word,
        logprobs=a_dict(item.get("logprobs")),
    )


def _write_choice(choice: Choice) -> Object:
    word = choice.provider_finish_reason
    if word is None or finish(word) != choice.finish_reason:
        word = choice.finish_reason
    return {"index": choice.index, "logprobs": choice.logprobs, "finish_reason": word}
