"""Messages of chat completions. What this API spreads over members of a message, the canonical model has in one list:
reasoning, then content, refusal, sound, tool calls, each of them empty more often than not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from interlay.dialects._codec import Object, a_str, an_object, encode_node, objects, shell, without_none
from interlay.dialects._functions import turns_of
from interlay.dialects.openai_chat.parts import (
    ORIGIN,
    decode_audio,
    decode_call,
    decode_detail,
    decode_function,
    decode_part,
    encode_audio,
    encode_call,
    encode_detail,
    encode_function,
    encode_part,
    is_detail,
)
from interlay.model.errors import DecodeError
from interlay.model.messages import (
    AnyPart,
    Audio,
    Message,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)

REASONING: Final = ("reasoning_content", "reasoning")
"""The names under which hosts put reasoning text: DeepSeek, xAI, Z.ai and vLLM; OpenRouter, Groq and Cerebras."""

NODES: Final = ("message", "content", "tool_calls", "reasoning_details", "annotations")
"""Where parts stand within choices and messages."""
_CHILDREN: Final = (
    *REASONING, "reasoning_details", "content", "refusal", "audio", "tool_calls", "function_call", "annotations",
)  # fmt: skip


def decode_message(item: Object, role: str = "") -> Message:
    """One message; ``role`` where it does not say. Raises ``DecodeError`` where its shape is none of this API's."""
    message = _read_members(item)
    message.role = message.role or role
    message.raw, message.origin = shell(item, *_CHILDREN), ORIGIN
    content = [*_reasoning(item, message.raw), *_content(item, message.raw)]
    refusal, audio = item.get("refusal"), item.get("audio")
    if isinstance(refusal, str) and refusal:
        content.append(Refusal(text=refusal, origin=ORIGIN))
    elif refusal is not None:
        message.raw["refusal"] = refusal
    if isinstance(audio, dict) and audio:
        content.append(decode_audio(audio))
        del message.raw["audio"]  # no empty object stays in its place: a host may have sent one
    elif audio is not None:
        message.raw["audio"] = audio
    content += [decode_call(call) for call in objects(item.get("tool_calls"), "tool_calls")]
    function = item.get("function_call")
    if isinstance(function, dict) and a_str(function.get("name")):
        content.append(decode_function(function))
        del message.raw["function_call"]
    elif function is not None:
        message.raw["function_call"] = function
    if message.role == "tool":
        result = ToolResult(tool_call_id=a_str(item.get("tool_call_id")) or "", content=list(content))
        result.origin = ORIGIN
        content = [result]
    message.content = content
    return message


def encode_message(message: Message, *, answer: bool = False) -> list[Object]:
    """The messages that one canonical message is: each tool result is a message of its own here.

    In a request reasoning is left out that another API's model made; in an ``answer`` only its signature is.
    """
    return turns_of(
        message,
        lambda result: _encode_result(message, result),
        lambda turn: _encode(turn, turn.content, answer=answer),
    )


def _read_members(item: Object) -> Message:
    return Message(role=a_str(item.get("role")) or "", name=a_str(item.get("name")))


def _write_members(message: Message) -> Object:
    """An answer need not say its role."""
    raw = message.raw if message.origin in (ORIGIN, None) else None
    implied = raw is not None and not a_str(raw.get("role")) and message.role == "assistant"
    role = {"role": message.role} if message.role and not implied else {}
    return {**role, **without_none(name=message.name)}


def _reasoning(item: Object, kept: Object) -> list[AnyPart]:
    """Text under each name that hosts have for it, and OpenRouter's details, which such a text repeats."""
    details = item.get("reasoning_details")
    parts: list[AnyPart] = []
    if isinstance(details, list) and all(is_detail(detail) for detail in details):
        parts += [decode_detail(detail) for detail in details]
    elif details is not None:
        kept["reasoning_details"] = details
    detailed = _text_of(parts)
    for key in REASONING:
        text = item.get(key)
        if isinstance(text, str) and (text != detailed if parts else text):
            # Its raw remembers under which name it stood.
            parts.append(Reasoning(text=text, raw={key: ""}, origin=ORIGIN))
        elif isinstance(text, list | dict):
            kept[key] = text
    return parts


def _text_of(parts: Sequence[AnyPart]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Reasoning))


def _content(item: Object, kept: Object) -> list[AnyPart]:
    content, annotations = item.get("content"), item.get("annotations")
    citable = isinstance(content, str) and content and _are_objects(annotations)
    if "annotations" in item and not citable:
        kept["annotations"] = annotations
    if isinstance(content, list):
        return [decode_part(an_object(part, "content")) for part in content]
    if not isinstance(content, str | None):
        raise DecodeError("content is neither a string nor a list")
    if not content:
        return []
    cited = annotations if isinstance(annotations, list) and _are_objects(annotations) else []
    return [Text(text=content, citations=cited, origin=ORIGIN)]


def _are_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _encode_result(message: Message, result: ToolResult) -> Object:
    if message.raw is None or message.origin != ORIGIN or message.role != "tool":
        # Only text can be said in a tool's message here.
        text = [part for part in result.content if isinstance(part, Text)]
        name = message.name if message.role == "tool" else None
        wire = _encode(Message(role="tool", name=name), list(text), answer=False)
        return {**wire, "tool_call_id": result.tool_call_id}
    wire = _encode(message, list(result.content), answer=False)  # type: ignore[arg-type]
    if (a_str(wire.get("tool_call_id")) or "") != result.tool_call_id:
        wire["tool_call_id"] = result.tool_call_id
    return wire


def _encode(message: Message, content: Sequence[AnyPart], *, answer: bool) -> Object:
    wire = dict(encode_node(message, ORIGIN, _read_again, _write_members))
    ours = message.raw is not None and message.origin == ORIGIN
    places: dict[str, list[AnyPart]] = {}
    for part in content:
        places.setdefault(_place(part, message), []).append(part)
    thought = places.get("reasoning", [])
    if not answer:
        thought = [part for part in thought if part.origin in (ORIGIN, None)]
    _put_reasoning(wire, thought)
    _put_content(wire, places.get("content", []), ours=ours, calls="tool_calls" in places)
    if refused := "".join(part.text for part in places.get("refusal", ()) if isinstance(part, Refusal)):
        wire["refusal"] = refused
    for part in places.get("audio", ()):
        if isinstance(part, Audio):
            wire["audio"] = encode_audio(part)
    for part in places.get("function_call", ()):
        if isinstance(part, ToolCall):
            wire["function_call"] = encode_function(part)
    calls = [item for part in places.get("tool_calls", ()) if (item := encode_call(part)) is not None]
    if calls:
        wire["tool_calls"] = calls
    return wire


def _read_again(raw: Object) -> Message:
    message = _read_members(raw)
    message.raw = raw
    return message


def _place(part: AnyPart, message: Message) -> str:
    """The member of a message that a part stands in."""
    raw = part.raw if part.origin == ORIGIN else None
    if isinstance(part, ToolCall):
        # The API's first form of a call had neither an id nor a type.
        first = raw is not None and bool(part.name) and raw.get("name") is not None and "function" not in raw
        return "function_call" if first and "custom" not in (raw or {}) else "tool_calls"
    if isinstance(part, Reasoning):
        return "content" if raw is not None and raw.get("type") == "thinking" else "reasoning"
    if isinstance(part, Refusal):
        return "refusal" if raw is None else "content"
    if isinstance(part, Audio):
        spoken = message.role == "assistant" if raw is None else "input_audio" not in raw
        return "audio" if spoken else "content"
    return "content"


def _put_reasoning(wire: Object, thought: Sequence[AnyPart]) -> None:
    named: dict[str, str] = {}
    details: list[AnyPart] = []
    for part in thought:
        if not isinstance(part, Reasoning):
            continue
        raw = part.raw if part.origin == ORIGIN else None
        key: str | None = next((key for key in REASONING if raw is not None and key in raw), None)
        if raw is not None and key is None:
            details.append(part)
        elif part.text or key is not None:
            name = key or next((name for name in REASONING if wire.get(name) == ""), "reasoning_content")
            named[name] = named.get(name, "") + part.text
    if details:
        wire["reasoning_details"] = [encode_detail(part) for part in details]
        named = {key: _text_of(details) for key in REASONING if wire.get(key) == ""} | named
    wire.update(named)


def _put_content(wire: Object, parts: Sequence[AnyPart], *, ours: bool, calls: bool) -> None:
    form = wire.get("content") if ours else None
    cited = [each for part in parts if isinstance(part, Text) and part.origin == ORIGIN for each in part.citations]
    if cited:
        wire["annotations"] = cited
    items = [(part, item) for part in parts if (item := encode_part(part)) is not None]
    only = items[0][0] if len(items) == 1 else None
    if isinstance(form, list) or (items and not _is_plain(only)):
        wire["content"] = [item for _, item in items]
    elif isinstance(only, Text):
        wire["content"] = only.text
    elif not ours:
        wire["content"] = None if calls else ""


def _is_plain(part: AnyPart | None) -> bool:
    """Whether a string can say it."""
    return isinstance(part, Text) and not part.cache_control and (part.raw is None or part.origin != ORIGIN)
