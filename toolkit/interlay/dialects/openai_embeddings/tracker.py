"""What the record needs of a response, read without its vectors."""

from __future__ import annotations

from typing import Final

import msgspec

from interlay.dialects._tails import ends_whole, last_object
from interlay.dialects.counts import text
from interlay.dialects.openai_chat import failures
from interlay.dialects.openai_embeddings import figures
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent
from interlay.model.record import Failure
from interlay.model.usage import Usage

_NOTHING: Final = msgspec.Raw()
_MAX_USAGE: Final = 64 * 1024


class _Answer(msgspec.Struct, gc=False):
    id: str | None = None
    model: str | None = None
    usage: msgspec.Raw = _NOTHING
    error: msgspec.Raw = _NOTHING


_answers: Final = json.Reader(_Answer, marks=None)


class Tracker:
    """Gathers from a body what the record needs. There are no streams of this API: events say nothing."""

    __slots__ = ("_usage_raw", "failure", "finish_reasons", "finished", "id", "model", "output_tokens_estimate",
                 "service_tier")  # fmt: skip

    def __init__(self) -> None:
        self.id: str | None = None
        self.model: str | None = None
        self.service_tier: str | None = None
        self.finished = False
        self.failure: Failure | None = None
        self.finish_reasons: list[str] = []
        self.output_tokens_estimate = 0.0
        self._usage_raw: bytes | None = None

    @property
    def ended_well(self) -> bool:
        return self.finished

    @property
    def usage(self) -> Usage | None:
        return figures.read(self._usage_raw) if self._usage_raw is not None else None

    def event(self, event: WireEvent) -> None:
        if event.data is not None:
            self._take(event.data)

    def body(self, data: bytes) -> None:
        self.finished = True
        if not self._take(data):
            self.finished = ends_whole(data)
            self.tail(data)

    def tail(self, data: bytes) -> None:
        """Usage stands behind the vectors in the bodies this API sends."""
        raw = last_object(data, "usage")
        if raw is not None and len(raw) <= _MAX_USAGE:
            self._usage_raw = raw

    def _take(self, data: bytes) -> bool:
        try:
            answer = _answers.lenient(data)
        except DecodeError:
            return False
        self.id, self.model = text(answer.id), text(answer.model, 256)
        usage, error = bytes(answer.usage), bytes(answer.error)
        if usage.startswith(b"{") and len(usage) <= _MAX_USAGE:
            self._usage_raw = usage
        if error and error not in (b"null", b"false", b"{}", b'""'):
            self.failure = self.failure or failures.decode(data)
        return True
