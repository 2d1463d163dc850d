"""Responses of Gemini, both ways."""

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
from interlay.dialects.gemini import figures
from interlay.dialects.gemini.names import ORIGIN
from interlay.dialects.gemini.parts import decode_parts, encode_parts
from interlay.dialects.gemini.request import NODES
from interlay.dialects.gemini.tracker import finish_of, tools_of, word_of
from interlay.model import json
from interlay.model.members import object_under
from interlay.model.messages import ChatResponse, Choice, Delta, Message, ToolCall
from interlay.model.usage import Usage

_WORDS: Final = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "error": "OTHER",
}


def decode(body: bytes) -> ChatResponse:
    """Raises ``DecodeError``, for an error too: see ``failures``."""
    wire = an_object(json.decode(body), "the response")
    response = read(wire)
    if (usage := object_under(body, "usageMetadata")) is not None:  # figures are read as they were written
        response.usage = _with_tools(figures.read(usage), wire)
    return response


def read(wire: Object) -> ChatResponse:
    """The canonical response of a JSON object. Raises ``DecodeError`` where its shape is none of this API's."""
    refuse_many([wire], NODES)
    response = _read(wire)
    response.raw, response.origin = shell(wire, "candidates"), ORIGIN
    response.choices = [_decode_candidate(item) for item in objects(wire.get("candidates"), "candidates")]
    blocked = (a_dict(wire.get("promptFeedback")) or {}).get("blockReason")
    if not response.choices and isinstance(blocked, str) and blocked not in ("", "BLOCK_REASON_UNSPECIFIED"):
        # What was refused has no candidate, and is an answer all the same.
        choice = Choice(message=Message(role="assistant"), finish_reason="content_filter", origin=ORIGIN)
        choice.provider_finish_reason = blocked
        response.choices = [choice]
    return response


def encode(response: ChatResponse) -> bytes:
    """A response of this API is patched, one of another is built. Signatures of another API's models are left out."""
    ours = response.raw is not None and response.origin == ORIGIN
    wire = dict(encode_node(response, ORIGIN, _read, _write))
    choices = [choice for choice in response.choices if not _is_refusal(choice)]
    if choices or not ours:
        made = [_encode_candidate(choice) for choice in choices]
        wire = {**wire, "candidates": made} if ours else {"candidates": made, **wire}
    return json.encode(wire)


def finish(word: str | None, message: Message) -> str | None:
    """The canonical finish reason of a candidate."""
    if word is None:
        return None
    return finish_of(word, calls=any(isinstance(part, ToolCall) and not part.server for part in message.content))


def _is_refusal(choice: Choice) -> bool:
    return choice.origin == ORIGIN and choice.raw is None and not choice.message.content


def _read(wire: Object) -> ChatResponse:
    usage = a_dict(wire.get("usageMetadata"))
    return ChatResponse(
        id=a_str(wire.get("responseId")),
        model=a_str(wire.get("modelVersion")),
        usage=None if usage is None else _with_tools(figures.of_mapping(usage), wire),
        service_tier=None if usage is None else figures.tier_of(usage),
        raw=wire,
        origin=ORIGIN,
    )


def _with_tools(usage: Usage, wire: Object) -> Usage:
    queries = 0
    candidates = wire.get("candidates")
    for candidate in candidates if isinstance(candidates, list) else ():
        grounding = a_dict(candidate.get("groundingMetadata")) if isinstance(candidate, dict) else None
        found = (grounding or {}).get("webSearchQueries")
        queries += len(found) if isinstance(found, list) else 0
    tools = tools_of(a_str(wire.get("modelVersion")), queries)
    return Usage(**{**{name: getattr(usage, name) for name in usage.__struct_fields__}, "tools": tools})


def _write(response: ChatResponse) -> Object:
    members = without_none(responseId=response.id, modelVersion=response.model)
    return {**members, **({} if response.usage is None else {"usageMetadata": write_usage(response.usage)})}


def write_usage(usage: Usage) -> Object:
    """Usage as the API reports it: what is zero it leaves out."""
    inputs, outputs, thoughts = usage.input_tokens, usage.output_tokens, usage.reasoning_tokens
    total = None if inputs is None or outputs is None else inputs + outputs
    counts = without_none(
        promptTokenCount=inputs,
        candidatesTokenCount=None if outputs is None else max(outputs - thoughts, 0),
        totalTokenCount=total,
    )
    parts = {"cachedContentTokenCount": usage.cache_read_tokens, "thoughtsTokenCount": thoughts}
    return counts | {name: count for name, count in parts.items() if count}


def _decode_candidate(item: Object) -> Choice:
    content = item.get("content")
    inner = an_object(content, "content") if content is not None else {}
    message = Message(role="assistant", content=decode_parts(inner.get("parts")), origin=ORIGIN)
    message.raw = shell(inner, "parts")
    choice = _read_candidate(item)
    choice.message = message
    choice.finish_reason = finish(choice.provider_finish_reason, message)
    choice.raw, choice.origin = shell(item, "content"), ORIGIN
    return choice


def _encode_candidate(choice: Choice) -> Object:
    ours = choice.raw is not None and choice.origin == ORIGIN
    wire = dict(encode_node(choice, ORIGIN, _read_candidate, _write_candidate))
    parts = encode_parts(choice.message.content, {}, answer=True)
    raw = (
        choice.message.raw if choice.message.raw is not None and choice.message.origin == ORIGIN else {"role": "model"}
    )
    if parts or not ours:
        wire["content"] = {**raw, "parts": parts}
    elif isinstance(wire.get("content"), dict):
        wire["content"] = raw
    return wire


def _read_candidate(item: Object) -> Choice:
    return Choice(
        index=an_int(item.get("index")) or 0,
        message=Message(role="assistant"),
        provider_finish_reason=word_of(item.get("finishReason")),
        logprobs=a_dict(item.get("logprobsResult")),
        raw=item,
        origin=ORIGIN,
    )


def _write_candidate(choice: Choice) -> Object:
    """``raw`` of a candidate that was read again has no content, and so no finish reason but the API's."""
    made: Object = without_none(logprobsResult=choice.logprobs if choice.origin in (ORIGIN, None) else None)
    if choice.index or (choice.raw or {}).get("index") is not None or choice.origin != ORIGIN:
        made["index"] = choice.index
    word = wire_word(choice)
    was = (choice.raw or {}).get("finishReason") if choice.origin == ORIGIN else None
    if word is not None:
        made["finishReason"] = was if word_of(was) == word else word
    return made


def wire_word(choice: Choice | Delta) -> str | None:
    """The API's finish reason: the provider's own where it means what the canonical one says."""
    word, said = choice.provider_finish_reason, choice.finish_reason
    if said is None:
        return word if choice.origin == ORIGIN else None
    if word is not None and choice.origin in (ORIGIN, None) and said in (finish_of(word, calls=False),
                                                                         finish_of(word, calls=True)):  # fmt: skip
        return word
    return _WORDS.get(said, said)
