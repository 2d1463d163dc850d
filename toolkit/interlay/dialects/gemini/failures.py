"""Errors of Gemini and Vertex: ``{"error":{"code","message","status","details"}}``, of a stream without ``alt=sse`` in
an array."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlay.dialects._codec import Object, patched_error, without_none
from interlay.dialects.counts import text
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.record import Failure

_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"
_BY_STATUS: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""Google's words for its statuses: google.rpc.Code and the HTTP mapping beside it."""
_OURS: Final = {"timeout": "DEADLINE_EXCEEDED", "connect": "UNAVAILABLE", "read": "UNAVAILABLE", "cut": "UNAVAILABLE"}
_MAX_MESSAGE: Final = 16 * 1024
_MAX_DETAILS: Final = 64


def decode(body: bytes, status: int | None = None, headers: Mapping[str, str] | None = None) -> Failure:
    """The failure that an error body, or an event with an ``error``, tells of. Never raises; what stands between us and
    the API may have answered in another shape, or in none."""
    try:
        said = _alone(json.decode(body))
    except DecodeError:
        said = None
    error = said.get("error") if isinstance(said, dict) else None
    if not isinstance(error, dict):
        error = {
            "message": error if isinstance(error, str) else said.get("message") if isinstance(said, dict) else None
        }
    code, message = error.get("code"), error.get("message")
    if status is None and type(code) is int and 400 <= code <= 599:
        status = code
    fallback = f"http_{status}" if status is not None else "error"
    return Failure(
        type=text(error.get("status"), 64) or fallback,
        code=_reason(error.get("details")),
        status=status,
        request_id=text((headers or {}).get("x-request-id")),
        message=message[:_MAX_MESSAGE] if isinstance(message, str) else None,
    )


def encode(failure: Failure, was: bytes | None = None) -> bytes:
    """The failure as the API would say it, or ``was``, an error body of this API, with what it has otherwise."""
    if was is not None:
        listed, alone = _unlisted(was)
        said = patched_error(alone, lambda body: decode(body, failure.status), failure, _write)
        if said is not None:
            return json.encode([said] if listed else said)
    return json.encode({"error": _write(failure)})


def _alone(said: Any) -> Any:
    return said[0] if isinstance(said, list) and len(said) == 1 else said


def _unlisted(body: bytes) -> tuple[bool, bytes]:
    try:
        said = json.decode(body)
    except DecodeError:
        return False, body
    return (True, json.encode(said[0])) if isinstance(said, list) and len(said) == 1 else (False, body)


def _reason(details: Any) -> str | None:
    """Why, in a word: ``API_KEY_INVALID``."""
    for detail in details[:_MAX_DETAILS] if isinstance(details, list) else ():
        if isinstance(detail, dict) and (reason := text(detail.get("reason"), 64)):
            return reason
    return None


def _write(failure: Failure) -> Object:
    kind = _OURS.get(failure.type, failure.type)
    status = failure.status or 500
    if kind.startswith("http_") or kind == "error":
        kind = _BY_STATUS.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
    details = None if failure.code is None else [{"@type": _INFO, "reason": failure.code}]
    message = failure.message or failure.type
    return {"code": status, "message": message, "status": kind, **without_none(details=details)}
