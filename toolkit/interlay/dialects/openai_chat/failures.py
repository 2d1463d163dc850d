"""Errors of chat completions, in the shapes that its many hosts send.

OpenAI, Azure, Groq, DeepSeek, OpenRouter and Perplexity put an object in ``error``; the last two number their codes.
xAI puts a string there and the code beside it. Mistral answers ``detail``, or the members of an error at the top.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlay.dialects._codec import patched_error
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.record import Failure
from interlay.model.words import word

_REQUEST_IDS: Final = (
    "x-request-id",
    "request-id",
    "apim-request-id",
    "mistral-correlation-id",
    "x-generation-id",
    "x-amzn-requestid",
)
_MAX_MESSAGE: Final = 16 * 1024


def decode(body: bytes, status: int | None = None, headers: Mapping[str, str] | None = None) -> Failure:
    """The failure that an error body, or an event with an ``error``, tells of. Never raises: what stands between us
    and the API may have answered in another shape, or in none."""
    try:
        said = json.decode(body)
    except DecodeError:
        said = None
    error = _error(said)
    code = error.get("code")
    if status is None and type(code) is int and 400 <= code <= 599:
        status = code
    name = word(error.get("type")) or (word(code) if isinstance(code, str) and not code.isdigit() else None)
    fallback = f"http_{status}" if status is not None else "error"
    return Failure(
        type=name or fallback,
        code=word(str(code)) if isinstance(code, str | int) and not isinstance(code, bool) else None,
        status=status,
        request_id=_request_id(headers or {}),
        message=_message(error),
    )


def encode(failure: Failure, was: bytes | None = None) -> bytes:
    """The failure as OpenAI's API would say it, or ``was``, a host's body, with what it has otherwise."""
    if was is not None:
        said = patched_error(was, lambda body: decode(body, failure.status), failure, _write)
        if said is not None:
            return json.encode(said)
    return json.encode({"error": {**_write(failure), "param": None}})


def _write(failure: Failure) -> dict[str, Any]:
    return {"message": failure.message or failure.type, "type": failure.type, "code": failure.code}


def _error(said: Any) -> dict[str, Any]:
    if isinstance(said, str):
        return {"message": said}
    if not isinstance(said, dict):
        return {}
    error = said.get("error")
    if isinstance(error, dict):
        return error
    if isinstance(error, str):
        return {"message": error, "code": said.get("code"), "type": said.get("type")}
    return said


def _message(error: Mapping[str, Any]) -> str | None:
    for key in ("message", "detail"):
        value = error.get(key)
        if isinstance(value, list):  # a validation error: one object a mistake
            value = "; ".join(
                item["msg"] for item in value[:8] if isinstance(item, dict) and isinstance(item.get("msg"), str)
            )
        if isinstance(value, str) and value:
            return value[:_MAX_MESSAGE]
    return None


def _request_id(headers: Mapping[str, str]) -> str | None:
    for name in _REQUEST_IDS:
        if value := headers.get(name):
            return value[:128]
    return None
