"""A response in its two forms: one body, or chunks, which are responses themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qs

from interlay.dialects._codec import Object, a_dict, an_int
from interlay.dialects._forms import Repeats, choices_of, encode, event_object, is_number, list_of, whole_body
from interlay.dialects.counts import text
from interlay.dialects.gemini.assembly import Assembly
from interlay.dialects.gemini.framing import END
from interlay.dialects.gemini.tracker import MAX_CANDIDATES, word_of
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent

_LAST: Final = frozenset(("content", "safetyRatings", "tokenCount", "index"))
"""Members of a candidate that are joined, or of which the last counts."""
_NAMES: Final = ("responseId", "modelVersion")
_LOGPROBS: Final = "logprobsResult"


def in_events(query: str) -> bool:
    """Whether a request asks for server-sent events: without, a stream is an array."""
    return parse_qs(query).get("alt") == ["sse"]


def as_stream(body: bytes, query: str) -> list[bytes]:
    """A stream of one chunk, which is the response: short answers are streamed so. Raises ``DecodeError``."""
    whole = whole_body(body)
    _see_ended(whole)
    chunk = encode(whole)
    return [b"data: %s\r\n\r\n" % chunk] if in_events(query) else [b"[" + chunk, b"\n" + END]


def as_body(events: Iterable[WireEvent]) -> bytes:
    """The response that chunks add up to. Raises ``DecodeError`` where something would be lost."""
    assembly, repeats, logprobs = Assembly(), Repeats(), _Logprobs()
    for event in events:
        if event.data == END:
            break
        chunk = event_object(event)
        if chunk is not None:
            _look_through(chunk, repeats)
            assembly.add_chunk(chunk)
            logprobs.add(chunk)
    whole = assembly.response()
    repeats.put_names(whole, *_NAMES)
    _see_ended(whole)
    logprobs.put_into(whole)
    return encode(whole)


def _see_ended(whole: Object) -> None:
    """Refuse what is no end of a response: each candidate tells its own, and what was blocked has none."""
    candidates = whole.get("candidates")
    if not candidates:
        if not (a_dict(whole.get("promptFeedback")) or {}).get("blockReason"):
            raise DecodeError("no candidates")
        return
    words = (word_of(each.get("finishReason")) for each in choices_of(candidates, MAX_CANDIDATES))
    if any(text(word, 64) is None for word in words):
        raise DecodeError("a candidate has no end")


def _look_through(chunk: Object, repeats: Repeats) -> None:
    """Refuse what assemblies would lose: of members they do not know they keep the last."""
    repeats.name(chunk, *_NAMES)
    for key, value in chunk.items():
        if isinstance(value, list | dict) and key not in ("candidates", "usageMetadata", *_NAMES):
            repeats.add(key, value)
    candidates = chunk.get("candidates")
    for candidate in list_of(candidates) if candidates else ():
        index = an_int(candidate.get("index")) or 0
        for key, value in candidate.items():
            if key not in _LAST and key != _LOGPROBS:
                repeats.add((index, key), value)


class _Logprobs:
    """Log-probabilities, which each chunk has for its own tokens."""

    def __init__(self) -> None:
        self._found: dict[int, Object] = {}

    def add(self, chunk: Object) -> None:
        for candidate in chunk.get("candidates") or ():
            result = a_dict(candidate.get(_LOGPROBS))
            if result is None:
                continue
            known = self._found.setdefault(an_int(candidate.get("index")) or 0, {})
            for key, value in result.items():
                known[key] = _joined(known.get(key), value)

    def put_into(self, whole: Object) -> None:
        for candidate in whole.get("candidates") or ():
            result = self._found.get(an_int(candidate.get("index")) or 0)
            if result is not None:
                candidate[_LOGPROBS] = result


def _joined(known: Any, value: Any) -> Any:
    if known is None:
        return list(value) if isinstance(value, list) else value
    if isinstance(known, list) and isinstance(value, list):
        known += value
        return known
    if is_number(known) or known != value:
        raise DecodeError("log-probabilities that nobody knows how to join")
    return known
