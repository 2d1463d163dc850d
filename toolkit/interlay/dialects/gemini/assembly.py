"""Chunks added up to the response that the API would have sent whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from interlay.dialects._codec import Object, an_int, object_or_none
from interlay.dialects.gemini.tracker import MAX_CANDIDATES
from interlay.model.protocols import WireEvent

LOGPROBS: Final = "logprobsResult"
"""The member with the log-probabilities, which each chunk has for its own tokens."""
_TEXT: Final = frozenset({"text", "thought"})


class Assembly:
    """Adds up the chunks of one stream. Never raises on foreign bytes; events that are no chunk are passed over.

    Of members that come again the last counts; parts follow one another, and text goes on with the text before it,
    unless one of the two has a signature.
    """

    def __init__(self) -> None:
        self._top: Object = {}
        self._candidates: dict[int, _Candidate] = {}

    def add(self, event: WireEvent) -> None:
        """Take in one event, in the order they came."""
        if (chunk := object_or_none(event.data)) is not None:
            self.add_chunk(chunk)

    def response(self) -> Object:
        """The response object so far."""
        ordered = sorted(self._candidates.items(), key=lambda item: item[0])
        candidates = [candidate.whole() for _, candidate in ordered]
        return {**({"candidates": candidates} if candidates else {}), **self._top}

    def add_chunk(self, chunk: Object) -> None:
        """Take in one event's JSON object."""
        for key, value in chunk.items():
            if key == "candidates":
                for candidate in value if isinstance(value, list) else ():
                    self._candidate(candidate)
            elif key == "usageMetadata" and not _is_news(value, self._top.get(key)):
                continue
            elif value is not None or key not in self._top:
                self._top[key] = value

    def _candidate(self, candidate: Any) -> None:
        if not isinstance(candidate, dict):
            return
        index = an_int(candidate.get("index")) or 0
        if index not in self._candidates:
            if len(self._candidates) >= MAX_CANDIDATES:
                return
            self._candidates[index] = _Candidate()
        self._candidates[index].add(candidate)


def _is_news(usage: Any, known: Any) -> bool:
    """Counts are not taken back by a chunk that only states the kind of traffic: here as in what trackers report."""
    if not isinstance(known, dict):
        return True
    return isinstance(usage, dict) and ("promptTokenCount" in usage or (_counts(usage) and not _counts(known)))


def _counts(usage: Object) -> bool:
    return any("TokenCount" in name for name in usage)


class _Candidate:
    """One candidate, as its chunks add up."""

    def __init__(self) -> None:
        self._members: Object = {}
        self._content: Object | None = None
        self._parts: list[Any] = []
        self._texts: list[str] = []
        """Pieces of the last part's text."""

    def add(self, candidate: Object) -> None:
        for key, value in candidate.items():
            if key == "content" and isinstance(value, dict):
                self._add_content(value)
            elif key == LOGPROBS and isinstance(value, dict):
                self._add_logprobs(value)
            elif key != "content" and (value is not None or key not in self._members):
                self._members[key] = value

    def whole(self) -> Object:
        self._join()
        content = {} if self._content is None else {"content": {**self._content, "parts": self._parts}}
        return {**content, **self._members}

    def _add_content(self, content: Object) -> None:
        known = self._content or {}
        self._content = known | {key: value for key, value in content.items() if key != "parts"}
        parts = content.get("parts")
        for part in parts if isinstance(parts, list) else ():
            last: Any = self._parts[-1] if self._parts else None
            if _is_text(part) and _is_text(last) and last.get("thought") == part.get("thought"):
                self._texts.append(part["text"])
                continue
            self._join()
            self._parts.append(part)
            self._texts = [part["text"]] if _is_text(part) else []

    def _add_logprobs(self, result: Object) -> None:
        """Its lists, which are our own, go on where the last ended."""
        known = self._members.get(LOGPROBS)
        if not isinstance(known, dict):
            known = self._members[LOGPROBS] = {}
        for key, value in result.items():
            if isinstance(value, list) and isinstance(known.get(key), list):
                known[key] += value
            elif value is not None or key not in known:
                known[key] = list(value) if isinstance(value, list) else value

    def _join(self) -> None:
        if len(self._texts) > 1:
            self._parts[-1] = {**self._parts[-1], "text": "".join(self._texts)}
            self._texts = [self._parts[-1]["text"]]


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.keys() <= _TEXT and isinstance(part.get("text"), str)


def whole(events: Iterable[WireEvent]) -> Object:
    """The response object that events add up to."""
    assembly = Assembly()
    for event in events:
        assembly.add(event)
    return assembly.response()
