"""Requests and responses for embeddings, both ways."""

from __future__ import annotations

from typing import Any, Final

from interlay.dialects._codec import Object, a_str, an_int, an_object, encode_node, objects, shell, without_none
from interlay.dialects.openai_chat.response import write_usage as write_chat_usage
from interlay.dialects.openai_embeddings import figures
from interlay.model import json
from interlay.model.embeddings import EmbeddingRequest, EmbeddingResponse, Vector
from interlay.model.errors import DecodeError
from interlay.model.usage import Usage

ORIGIN: Final = "openai-embeddings"


def decode_request(body: bytes) -> EmbeddingRequest:
    """Raises ``DecodeError``."""
    wire = an_object(json.decode(body), "the request")
    request = _read_request(wire)
    request.raw, request.origin = shell(wire, "input"), ORIGIN
    request.inputs = _inputs(wire.get("input"))
    return request


def encode_request(request: EmbeddingRequest) -> bytes:
    """A request of this API is patched, one of another is built. The one input of a request that had it alone stays
    alone."""
    wire = dict(encode_node(request, ORIGIN, _read_request, _write_request))
    inputs, was = list(request.inputs), wire.get("input")
    ours = request.raw is not None and request.origin == ORIGIN
    if len(inputs) == 1 and isinstance(inputs[0], str) and (isinstance(was, str) or not ours):
        wire["input"] = inputs[0]
    elif inputs or not ours:
        wire["input"] = inputs
    return json.encode(wire)


def decode_response(body: bytes) -> EmbeddingResponse:
    """Raises ``DecodeError``."""
    wire = an_object(json.decode(body), "the response")
    response = _read_response(wire)
    response.raw, response.origin = shell(wire, "data"), ORIGIN
    response.vectors = [_vector(item) for item in objects(wire.get("data"), "data")]
    return response


def encode_response(response: EmbeddingResponse) -> bytes:
    """A response of this API is patched, one of another is built."""
    wire = dict(encode_node(response, ORIGIN, _read_response, _write_response))
    ours = response.raw is not None and response.origin == ORIGIN
    if not ours:
        wire = {"object": "list", **wire}
    if response.vectors or not ours:
        wire["data"] = [encode_node(vector, ORIGIN, _vector, _write_vector) for vector in response.vectors]
    return json.encode(wire)


def _inputs(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, str):
        return [value] if value else []
    if not isinstance(value, list):
        raise DecodeError("input is neither a string nor a list")
    return value


def _read_request(wire: Object) -> EmbeddingRequest:
    return EmbeddingRequest(
        model=a_str(wire.get("model")),
        dimensions=an_int(wire.get("dimensions")),
        encoding=a_str(wire.get("encoding_format")),
        user=a_str(wire.get("user")),
        raw=wire,
    )


def _write_request(request: EmbeddingRequest) -> Object:
    return without_none(
        model=request.model,
        dimensions=request.dimensions,
        encoding_format=request.encoding,
        user=request.user,
    )


def _read_response(wire: Object) -> EmbeddingResponse:
    usage = wire.get("usage")
    return EmbeddingResponse(
        model=a_str(wire.get("model")),
        usage=figures.of_mapping(usage) if isinstance(usage, dict) else None,
        raw=wire,
    )


def _write_response(response: EmbeddingResponse) -> Object:
    wire = without_none(model=response.model)
    if response.usage is not None:
        wire["usage"] = _write_usage(response.usage)
    return wire


def _write_usage(usage: Usage) -> Object:
    said = write_chat_usage(usage)
    return {key: said[key] for key in ("prompt_tokens", "total_tokens") if key in said}


def _vector(item: Object) -> Vector:
    return Vector(index=an_int(item.get("index")) or 0, values=item.get("embedding"), raw=item, origin=ORIGIN)


def _write_vector(vector: Vector) -> Object:
    return {"object": "embedding", "index": vector.index, "embedding": vector.values}
