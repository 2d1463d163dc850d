"""Errors of the Messages API: ``{"type":"error","error":{"type","message"},"request_id"}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from interlay.dialects._codec import patched_error
from interlay.dialects.counts import text
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.record import Failure

_BY_STATUS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The API's own words, as its documentation lists them."""
_MAX_BYTES: Final = 1024 * 1024
_OURS: Final = {"timeout": "timeout_error", "connect": "api_error", "read": "api_error", "cut": "api_error"}


class _Body(msgspec.Struct):
    error: msgspec.Raw = msgspec.Raw()
    message: str | None = None
    request_id: str | None = None


_bodies: Final = json.Reader(_Body)


def decode(body: bytes, status: int | None = None, headers: Mapping[str, str] | None = None) -> Failure:
    """The failure that an error body or an ``error`` event tells of. Never raises; what stands between us and the
    API may have answered in another shape, or in none."""
    try:
        said = _bodies.lenient(body)
        error = json.decode(bytes(said.error), limit=_MAX_BYTES) if bytes(said.error) else None
    except DecodeError:
        said, error = _Body(), None
    if not isinstance(error, dict):
        error = {"message": error if isinstance(error, str) else said.message}
    message = error.get("message")
    request_id = headers.get("request-id") if headers is not None else None
    return Failure(
        type=text(error.get("type")) or (f"http_{status}" if status is not None else "error"),
        code=text(error.get("code")),
        status=status,
        request_id=text(request_id) or text(said.request_id),
        message=message if isinstance(message, str) else None,
    )


def encode(failure: Failure, was: bytes | None = None) -> bytes:
    """The body of an error in the API's shape, or ``was``, one of this API's, with what the failure has otherwise. A
    type that is not the API's own becomes the one of its status."""
    if was is not None:
        said = patched_error(was, lambda body: decode(body, failure.status), failure, _write)
        if said is not None:
            return json.encode(said)
    return json.encode({"type": "error", "error": _write(failure), "request_id": failure.request_id})


def _write(failure: Failure) -> dict[str, str]:
    kind = _OURS.get(failure.type, failure.type)
    if kind.startswith("http_"):
        kind = _BY_STATUS.get(failure.status or 0, "api_error" if (failure.status or 500) >= 500 else _BY_STATUS[400])
    error = {"type": kind, "message": failure.message or failure.type}
    if failure.code is not None:
        error["code"] = failure.code
    return error
