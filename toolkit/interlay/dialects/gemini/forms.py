"""A response in its two forms: one body, or chunks, which are responses themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qs

from interlay.dialects._codec import Object, a_dict, an_int, an_object
from interlay.dialects._forms import Repeats, choices_of, encode, event_object, is_number, list_of, whole_body
from interlay.dialects.counts import text
from interlay.dialects.gemini.assembly import LOGPROBS, Assembly
from interlay.dialects.gemini.framing import END
from interlay.dialects.gemini.tracker import MAX_CANDIDATES, word_of
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent

_LAST: Final = frozenset(("content", "safetyRatings", "tokenCount", "index"))
"""Members of a candidate that are joined, or of which the last counts."""
_NAMES: Final = ("responseId", "modelVersion")


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
            logprobs.look_through(chunk)
            assembly.add_chunk(chunk)
    whole = assembly.response()
    repeats.put_names(whole, *_NAMES)
    _see_ended(whole)
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
            if key not in _LAST and key != LOGPROBS:
                repeats.add((index, key), value)


class _Logprobs:
    """Log-probabilities, whose lists are joined. Their other members are said once, or are the same each time."""

    def __init__(self) -> None:
        self._said: dict[tuple[int, str], Any] = {}

    def look_through(self, chunk: Object) -> None:
        """Raises ``DecodeError`` where something would be lost."""
        for candidate in chunk.get("candidates") or ():
            index, result = an_int(candidate.get("index")) or 0, candidate.get(LOGPROBS)
            for key, value in an_object(result, LOGPROBS).items() if result is not None else ():
                known = self._said.get((index, key))
                joined = isinstance(known, list) and isinstance(value, list)
                if known is None:
                    self._said[index, key] = value
                elif not joined and (is_number(known) or known != value):
                    raise DecodeError("log-probabilities that nobody knows how to join")
