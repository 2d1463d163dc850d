"""Answers, both ways. An answer has one choice, and does not say which model made it."""

from __future__ import annotations

from interlay.dialects._codec import Object, a_dict, a_str, an_object, encode_node, refuse_many, shell, without_none
from interlay.dialects.cohere import figures
from interlay.dialects.cohere.names import ORIGIN, finish_of, wire_word
from interlay.dialects.cohere.turns import NODES, decode_message, encode_message
from interlay.model import json
from interlay.model.members import object_under
from interlay.model.messages import ChatResponse, Choice, Message


def decode(body: bytes) -> ChatResponse:
    """Raises ``DecodeError``."""
    response = read(an_object(json.decode(body), "the response"))
    if (usage := object_under(body, "usage")) is not None:  # figures are read as they were written
        response.usage = figures.read(usage)
    return response


def read(wire: Object) -> ChatResponse:
    """The canonical response of a JSON object. Raises ``DecodeError`` where its shape is none of this API's."""
    refuse_many([wire], NODES)
    response = _read(wire)
    response.raw, response.origin = shell(wire, "message"), ORIGIN
    if wire.get("message") is not None:
        response.choices[0].message = decode_message(an_object(wire["message"], "message"), "assistant")
    return response


def encode(response: ChatResponse) -> bytes:
    """The response as this API gives it: of several choices the first."""
    wire = dict(encode_node(response, ORIGIN, _read, _write))
    ours = response.raw is not None and response.origin == ORIGIN
    choice = response.choices[0] if response.choices else None
    if choice is not None and (not ours or isinstance(wire.get("message"), dict) or choice.message.content):
        wire["message"] = encode_message(choice.message, answer=True)[-1]
    return json.encode(wire)


def _read(wire: Object) -> ChatResponse:
    word, usage = a_str(wire.get("finish_reason")), a_dict(wire.get("usage"))
    reason = None if word is None else finish_of(word)
    return ChatResponse(
        id=a_str(wire.get("id")),
        choices=[Choice(message=Message(role="assistant"), finish_reason=reason, provider_finish_reason=word)],
        usage=None if usage is None else figures.of_mapping(usage),
        raw=wire,
        origin=ORIGIN,
    )


def _write(response: ChatResponse) -> Object:
    choice = response.choices[0] if response.choices else None
    word = None if choice is None else wire_word(choice.finish_reason, choice.provider_finish_reason)
    usage = None if response.usage is None else figures.write(response.usage)
    return without_none(id=response.id, finish_reason=word, usage=usage)
