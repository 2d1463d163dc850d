"""Responses of the Responses API, both ways: one answer, whose items are the parts of one message."""

from __future__ import annotations

from typing import Any, Final

from interlay.dialects._codec import (
    Object,
    a_dict,
    a_str,
    an_int,
    an_object,
    encode_node,
    refuse_many,
    shell,
    without_none,
)
from interlay.dialects.openai_responses import figures
from interlay.dialects.openai_responses.items import NODES, decode_output, encode_output
from interlay.dialects.openai_responses.parts import ORIGIN
from interlay.dialects.openai_responses.tracker import CALLS, REASONS, finish_of
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.members import object_under
from interlay.model.messages import ChatResponse, Choice, Message
from interlay.model.usage import Usage

_STATUS: Final = {"length": "incomplete", "content_filter": "incomplete", "error": "failed", "cancelled": "cancelled"}
_REASONS: Final = {canonical: word for word, canonical in REASONS.items()}


def decode(body: bytes) -> ChatResponse:
    """Raises ``DecodeError``, for an error too: see ``failures``."""
    wire = an_object(json.decode(body), "the response")
    response = read(wire)
    if (usage := object_under(body, "usage")) is not None:  # figures are read as they were written
        response.usage = figures.with_tools(figures.read(usage), _tools(wire))
    return response


def read(wire: Object) -> ChatResponse:
    """The canonical response of a JSON object. Raises ``DecodeError`` where its shape is none of this API's."""
    if wire.get("object", "response") != "response":
        raise DecodeError("the response is of another API")
    refuse_many([wire], NODES)
    response = _read(wire)
    response.raw, response.origin = shell(wire, "output"), ORIGIN
    content = decode_output(wire.get("output"))
    if content and not response.choices:
        response.choices = [_choice(None, a_str(wire.get("status")))]
    if response.choices:
        response.choices[0].message.content = content
    return response


def encode(response: ChatResponse) -> bytes:
    """A response of this API is patched, one of another is built from its first choice. Signatures of another API's
    models are left out."""
    ours = response.raw is not None and response.origin == ORIGIN
    content = response.choices[0].message.content if response.choices else []
    wire = dict(encode_node(response, ORIGIN, _read, _write))
    if not ours:
        wire = {**without_none(id=response.id), "object": "response", **_DEFAULTS, **wire}
    if content or not ours:
        wire["output"] = encode_output(content)
    return json.encode(wire)


_DEFAULTS: Final[Object] = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
"""Members that the SDKs demand, and that say nothing of the answer."""


def _read(wire: Object) -> ChatResponse:
    usage, items = a_dict(wire.get("usage")), wire.get("output")
    details = a_dict(wire.get("incomplete_details")) or {}
    status, reason = a_str(wire.get("status")), a_str(details.get("reason"))
    kinds = [item.get("type") for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    finish = finish_of(status, reason, calls=any(isinstance(kind, str) and kind in CALLS for kind in kinds))
    read = None if usage is None else figures.with_tools(figures.of_mapping(usage), _tools(wire))
    return ChatResponse(
        id=a_str(wire.get("id")),
        model=a_str(wire.get("model")),
        created=an_int(wire.get("created_at")),
        # What was only accepted, as requests in the background are, is no answer yet.
        choices=[] if finish is None else [_choice(finish, reason if status == "incomplete" and reason else status)],
        usage=read,
        service_tier=a_str(wire.get("service_tier")),
        raw=wire,
        origin=ORIGIN,
    )


def _choice(finish: str | None, provider: str | None) -> Choice:
    message = Message(role="assistant", origin=ORIGIN)
    return Choice(message=message, finish_reason=finish, provider_finish_reason=provider)


def _tools(wire: Object) -> dict[str, int]:
    items = wire.get("output")
    kinds = [
        (a_str(item.get("type")), a_str((a_dict(item.get("action")) or {}).get("type")))
        for item in (items if isinstance(items, list) else ())
        if isinstance(item, dict)
    ]
    searches = (a_dict((a_dict(wire.get("tool_usage")) or {}).get("web_search")) or {}).get("num_requests")
    return figures.tools_of(kinds, searches if type(searches) is int and searches >= 0 else None)


def _write(response: ChatResponse) -> Object:
    wire = without_none(
        id=response.id, created_at=response.created, model=response.model, service_tier=response.service_tier
    )
    if response.choices:
        wire |= ending(response.choices[0].finish_reason, response.choices[0].provider_finish_reason)
    if response.usage is not None:
        wire["usage"] = write_usage(response.usage)
    return wire


def ending(finish: str | None, provider: str | None) -> Object:
    """The members that say how an answer ended; the provider's own word where it means what ``finish`` says."""
    if finish is None:
        return {} if provider is None else {"status": provider}
    status = _STATUS.get(finish, "completed")
    if finish not in (*_STATUS, "stop", "tool_calls") and provider == finish:
        status = "incomplete"  # a reason that came after this was written
    reason: Any = None
    if status == "incomplete":
        known = provider is not None and REASONS.get(provider, provider) == finish
        reason = {"reason": provider if known else _REASONS.get(finish, finish)}
    return {"status": status, "incomplete_details": reason}


def write_usage(usage: Usage) -> Object:
    """Usage as OpenAI reports it. The SDKs demand all of it."""
    inputs, outputs = usage.input_tokens or 0, usage.output_tokens or 0
    return {
        "input_tokens": inputs,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": outputs,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": inputs + outputs,
    }
