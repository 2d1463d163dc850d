"""Errors of this API: ``{"id", "message", "error_type"?}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlay.dialects._codec import Object, a_dict, a_str, patched, patched_error, without_none
from interlay.dialects.counts import text
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.record import Failure

_MAX_MESSAGE: Final = 16 * 1024
_REQUEST_IDS: Final = ("x-debug-trace-id", "x-request-id")


def decode(body: bytes, status: int | None = None, headers: Mapping[str, str] | None = None) -> Failure:
    """The failure that an error body tells of. Never raises; what stands between us and the API may have answered in
    another shape, or in none."""
    try:
        said = json.decode(body)
    except DecodeError:
        said = None
    error = (a_dict(said.get("error")) or said) if isinstance(said, dict) else {}
    return of_object(error, status, headers)


def of_object(error: Mapping[str, Any], status: int | None = None, headers: Mapping[str, str] | None = None) -> Failure:
    """The failure that an object with a ``message``, or with a string under ``error``, tells of."""
    names = ((headers or {}).get(name) for name in _REQUEST_IDS)
    message = a_str(error.get("message")) or a_str(error.get("error"))
    kind = text(error.get("error_type"), 64) or text(error.get("type"), 64)
    return Failure(
        type=kind or (f"http_{status}" if status is not None else "error"),
        code=text(error.get("code"), 64),
        status=status,
        request_id=text(next((name for name in names if name), None)),
        message=(message or "")[:_MAX_MESSAGE] or None,
    )


def encode(failure: Failure, was: bytes | None = None) -> bytes:
    """The failure as the API would say it, or ``was``, a body of its own, with what the failure has otherwise.

    Its code, for which this API has no member, stands beside the message; clients pass over it.
    """
    if was is not None:
        said = _patched(was, failure)
        if said is not None:
            return json.encode(said)
    return json.encode(write(failure))


def write(failure: Failure) -> Object:
    """The members that a failure makes. A kind that is only the status, or our word for none, is not said."""
    kind = None if failure.type == "error" or failure.type.startswith("http_") else failure.type
    return {"message": failure.message or failure.type, **without_none(error_type=kind, code=failure.code)}


def _patched(was: bytes, failure: Failure) -> Object | None:
    try:
        said = json.decode(was)
    except DecodeError:
        return None
    if isinstance(said, dict) and isinstance(said.get("message"), str) and not isinstance(said.get("error"), dict):
        return patched(said, write(decode(was, failure.status)), write(failure))
    return patched_error(was, lambda body: decode(body, failure.status), failure, write)
