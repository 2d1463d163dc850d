"""Whether an answer may be kept, to be given again to whoever asks the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

import msgspec

from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.messages import ChatResponse, Choice, Refusal, Text
from interlay.model.protocols import Codec, Dialect, Tracker, WireEvent

_GOOD: Final = frozenset({"stop", "length", "tool_calls"})
"""Ends of an answer that is what was asked for. One that was cut at the caller's own limit is; what is not known to be
such an end is none."""
_REASONS: Final = {
    "content_filter": "filtered",
    "error": "error",
    "cancelled": "unfinished",
    "pause_turn": "paused",
}
_REFUSAL: Final = "refusal"
"""Anthropic's stop reason, which canonically is a content filter's."""


def reason_not_to_keep(
    dialect: Dialect,
    streamed: bool,  # noqa: FBT001 - with it goes which of the next two there is
    body: bytes | None,
    events: Sequence[WireEvent] | None,
) -> str | None:
    """Why an answer of status 200 is never given again; None where it may be.

    Args:
        dialect: the one that the request was of.
        streamed: whether the answer came as events.
        body: the whole of one that did not, decompressed.
        events: all of one that did.

    Returns:
        ``unreadable``: no answer of this API. ``error``: it tells of a failure. ``cut``: a stream without its end.
        ``empty``: it says nothing. ``unfinished``: a choice without an end, a response that is still worked on.
        ``filtered``: a filter kept something back. ``refused``: the model would not. ``paused``: the provider's tools
        are to run on. ``ended``: an end that is not known to be a good one.

    Off the caller's path, once for each answer that is stored: it takes what decoding the answer takes.
    """
    tracker = dialect.tracker()
    if streamed:
        for event in events or ():
            tracker.event(event)
    elif body is None or not _is_object(body):
        return "unreadable"
    else:
        tracker.body(body)
    if tracker.failure is not None:
        return "error"
    if not tracker.ended_well:
        return "cut" if streamed else "unreadable"
    codec = _codec(dialect)
    if codec is None:
        return _of_words(tracker)
    try:
        answer = codec.assemble(list(events or ())) if streamed else codec.decode_response(body or b"")
    except DecodeError:
        return "unreadable"
    return _of_answer(answer)


def _codec(dialect: Dialect) -> Codec | None:
    """Asking for all that a protocol has takes thirty microseconds; one member that no other has will do."""
    return cast("Codec", dialect) if hasattr(dialect, "assemble") else None


def _is_object(body: bytes) -> bool:
    """Bodies that are cut off may pass for whole ones by their last bytes."""
    try:
        json.decode(body, type=dict[str, msgspec.Raw])
    except DecodeError:
        return False
    return True


def _of_words(tracker: Tracker) -> str | None:
    """What the ends of choices say, where that is all that is known. Embeddings have none."""
    reasons = (_of_end(word, None) for word in tracker.finish_reasons)
    return next((reason for reason in reasons if reason is not None), None)


def _of_answer(answer: ChatResponse) -> str | None:
    if not answer.choices:
        return "empty"
    return next((reason for reason in map(_of_choice, answer.choices) if reason is not None), None)


def _of_choice(choice: Choice) -> str | None:
    if any(isinstance(part, Refusal) and part.text for part in choice.message.content):
        return "refused"
    reason = _of_end(choice.finish_reason, choice.provider_finish_reason)
    if reason is not None:
        return reason
    said = any(not isinstance(part, Text) or part.text for part in choice.message.content)
    return None if said else "empty"


def _of_end(word: str | None, provider: str | None) -> str | None:
    if word is None:
        return "unfinished"
    if word in _GOOD:
        return None
    return "refused" if provider == _REFUSAL else _REASONS.get(word, "ended")
