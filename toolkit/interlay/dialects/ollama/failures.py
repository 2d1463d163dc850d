"""Errors of this API: ``{"error": "…"}``, a string; at gateways and in its hosted form an object may stand there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlay.dialects._codec import Object, a_str, patched, patched_error, without_none
from interlay.dialects.counts import text
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.record import Failure

_MAX_MESSAGE: Final = 16 * 1024


def decode(body: bytes, status: int | None = None, headers: Mapping[str, str] | None = None) -> Failure:
    """The failure that an error body, or a line with an ``error``, tells of. Never raises; what stands between us and
    the API may have answered in another shape, or in none."""
    try:
        said = json.decode(body)
    except DecodeError:
        said = None
    error = _error(said)
    return Failure(
        type=text(error.get("type"), 64) or (f"http_{status}" if status is not None else "error"),
        code=text(error.get("code"), 64),
        status=status,
        request_id=text((headers or {}).get("x-request-id")),
        message=(a_str(error.get("message")) or "")[:_MAX_MESSAGE] or None,
    )


def encode(failure: Failure, was: bytes | None = None) -> bytes:
    """The failure as the API would say it, or ``was``, a body of its own, with what the failure has otherwise.

    Its kind and its code, for which this API has no words, stand beside the message; clients pass over them.
    """
    if was is not None:
        said = _patched(was, failure)
        if said is not None:
            return json.encode(said)
    return json.encode(_write(failure))


def _patched(was: bytes, failure: Failure) -> Object | None:
    try:
        said = json.decode(was)
    except DecodeError:
        return None
    if isinstance(said, dict) and isinstance(said.get("error"), str):
        return patched(said, _write(decode(was, failure.status)), _write(failure))
    return patched_error(was, lambda body: decode(body, failure.status), failure, _inner)


def _error(said: Any) -> Object:
    if not isinstance(said, dict):
        return {}
    error = said.get("error")
    if isinstance(error, dict):
        return error
    return {**said, "message": error} if isinstance(error, str) else said


def _write(failure: Failure) -> Object:
    told = _inner(failure)
    return {"error": told.pop("message"), **told}


def _inner(failure: Failure) -> Object:
    """A kind that is only the status, or our word for none, is not said."""
    kind = None if failure.type == "error" or failure.type.startswith("http_") else failure.type
    return {"message": failure.message or failure.type, **without_none(type=kind, code=failure.code)}
