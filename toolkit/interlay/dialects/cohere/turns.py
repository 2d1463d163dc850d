"""Messages of this API. Its members become one list of parts: the plan for tools, the content, calls of tools. What it
cites stays beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from interlay.dialects._codec import Object, a_str, an_object, encode_node, objects, shell
from interlay.dialects._functions import turns_of
from interlay.dialects.cohere.names import ORIGIN
from interlay.dialects.cohere.parts import decode_call, decode_part, encode_call, encode_part
from interlay.model.errors import DecodeError
from interlay.model.messages import AnyPart, Message, Reasoning, Text, ToolCall, ToolResult

NODES: Final = ("messages", "message", "content", "tool_calls", "tools")
PLAN: Final = "tool_plan"
_CHILDREN: Final = (PLAN, "content", "tool_calls")


def decode_message(item: Object, role: str = "") -> Message:
    """One message; ``role`` where it does not say. Raises ``DecodeError`` where its shape is none of this API's."""
    message = _read(item)
    message.role = message.role or role
    message.raw, message.origin = shell(item, *_CHILDREN), ORIGIN
    plan = item.get(PLAN)
    parts: list[AnyPart] = []
    if isinstance(plan, str) and plan:
        parts.append(Reasoning(text=plan, raw={PLAN: ""}, origin=ORIGIN))
    elif plan is not None:
        message.raw[PLAN] = plan
    parts += _content(item.get("content"))
    parts += [decode_call(call) for call in objects(item.get("tool_calls"), "tool_calls")]
    if message.role == "tool":
        called = a_str(item.get("tool_call_id")) or ""
        parts = [ToolResult(tool_call_id=called, content=list(parts), origin=ORIGIN)]
    message.content = parts
    return message


def encode_message(message: Message, *, answer: bool = False) -> list[Object]:
    """The messages that one canonical message is: each result of a tool is a message of its own here.

    In a request reasoning is left out that another API's model made. What has no form is left out: files, sound,
    whether a result is an error.
    """
    return turns_of(
        message,
        lambda result: _encode_result(message, result),
        lambda turn: _encode(turn, turn.content, answer=answer),
    )


def _read(item: Object) -> Message:
    return Message(role=a_str(item.get("role")) or "", raw=item, origin=ORIGIN)


def _write(message: Message) -> Object:
    """An answer need not say its role. This API knows no developers."""
    raw = message.raw if message.origin == ORIGIN else None
    implied = raw is not None and not a_str(raw.get("role")) and message.role in ("", "assistant")
    if implied or not message.role:
        return {}
    return {"role": "system" if raw is None and message.role == "developer" else message.role}


def _content(content: Any) -> list[AnyPart]:
    if isinstance(content, list):
        return [decode_part(an_object(item, "content")) for item in content]
    if not isinstance(content, str | None):
        raise DecodeError("content is neither a string nor a list")
    return [Text(text=content, origin=ORIGIN)] if content else []


def _encode_result(message: Message, result: ToolResult) -> Object:
    content: list[Any] = list(result.content)
    if message.raw is None or message.origin != ORIGIN or message.role != "tool":
        said = [part for part in content if isinstance(part, Text)]
        return {**_encode(Message(role="tool"), said, answer=False), "tool_call_id": result.tool_call_id}
    wire = _encode(message, content, answer=False)
    if (a_str(wire.get("tool_call_id")) or "") != result.tool_call_id:
        wire["tool_call_id"] = result.tool_call_id
    return wire


def _encode(message: Message, content: Sequence[AnyPart], *, answer: bool) -> Object:
    wire = dict(encode_node(message, ORIGIN, _read, _write))
    ours = message.raw is not None and message.origin == ORIGIN
    if plan := "".join(part.text for part in content if isinstance(part, Reasoning) and _is_plan(part)):
        wire[PLAN] = plan
    calls = [encode_call(part) for part in content if isinstance(part, ToolCall) and not part.server]
    _put_content(wire, [part for part in content if _is_content(part, answer=answer)], ours=ours, listed=answer)
    if not ours and not wire["content"] and (calls or answer):
        del wire["content"]
    if calls:
        wire["tool_calls"] = calls
    return wire


def _is_plan(part: Reasoning) -> bool:
    return part.origin == ORIGIN and part.raw is not None and PLAN in part.raw


def _is_content(part: AnyPart, *, answer: bool) -> bool:
    if isinstance(part, Reasoning):
        return not _is_plan(part) and (answer or part.origin in (ORIGIN, None))
    return not isinstance(part, ToolCall | ToolResult)


def _put_content(wire: Object, parts: Sequence[AnyPart], *, ours: bool, listed: bool) -> None:
    form = wire.get("content") if ours else [] if listed else None
    items = [(part, item) for part in parts if (item := encode_part(part)) is not None]
    only = items[0][0] if len(items) == 1 else None
    if isinstance(form, list) or (items and not _is_plain(only)):
        wire["content"] = [item for _, item in items]
    elif isinstance(only, Text):
        wire["content"] = only.text
    elif not ours:
        wire["content"] = ""


def _is_plain(part: AnyPart | None) -> bool:
    """Whether a string can say it."""
    return isinstance(part, Text) and (part.raw is None or part.origin != ORIGIN)
