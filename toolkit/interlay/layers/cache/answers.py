"""Answers on their way into a store and out of it."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from interlay import dialects
from interlay.chain.call import Call, Response
from interlay.chain.codings import inflate
from interlay.chain.keepable import reason_not_to_keep
from interlay.chain.receiving import receive
from interlay.chain.shared import Shared
from interlay.chain.stream import Bytes
from interlay.model.errors import DecodeError
from interlay.model.protocols import Codec, Dialect, WireEvent
from interlay.providers.hosts import stream_usage
from interlay.stores.entry import Entry

BODY: Final = "body"
"""The form of an answer that is no stream."""

KEPT_HEADERS: Final = ("content-type", "x-request-id", "request-id", "openai-version")
"""Of an answer's headers those that say something of the answer itself, and nothing of a connection, a quota or a
session."""


class Asked(NamedTuple):
    """In what form a caller wants an answer."""

    form: str
    """``body``, or the media type of the stream that the API sends."""
    shows_usage: bool
    """False for a stream without usage, where the API has to be asked for it."""


def asked_by(call: Call) -> Asked:
    """In what form ``call`` wants its answer."""
    dialect = call.dialect
    if not call.streamed or dialect is None:
        return Asked(BODY, shows_usage=True)
    shows_usage = call.glance.wants_usage or stream_usage(call.route.server.address) == "always"
    return Asked(_stream_type(dialect.name, call.request.query()) or "stream", shows_usage)


class Answer:
    """What came of a call, before anybody has looked whether it may be kept."""

    __slots__ = ("_chunks", "_coding", "_dialect", "_entry", "_seen", "size")

    def __init__(self, call: Call, shared: Shared, entry: Entry, coding: str | None) -> None:
        self._chunks = shared.kept()
        self._coding = coding
        self._dialect = call.dialect
        self._entry: Entry | None = entry
        self._seen = False
        self.size = 0 if self._chunks is None else sum(map(len, self._chunks))
        """Bytes, as they came."""

    def entry(self) -> Entry | None:
        """What is kept of it; None for what is not. Looked at once, by whoever is first."""
        if not self._seen:
            entry = self._entry
            # Two threads may do the same work, and come to the same.
            self._entry = None if entry is None else self._made(entry)
            self._seen, self._chunks = True, None
        return self._entry

    def _made(self, entry: Entry) -> Entry | None:
        chunks, dialect = self._chunks, self._dialect
        if chunks is None or dialect is None:
            return None
        try:
            body = _plain(chunks, self._coding)
            if entry.form == BODY:
                reason = reason_not_to_keep(dialect, False, body, None)
            else:
                reason = reason_not_to_keep(dialect, True, None, events_of(dialect, body))
        except DecodeError:
            return None
        return None if reason is not None else msgspec.structs.replace(entry, body=body)


def events_of(dialect: Dialect, body: bytes) -> list[WireEvent]:
    """The events of a whole stream. Raises ``DecodeError``."""
    framer = dialect.framer()
    return [*framer.feed(body), *framer.finish()]


def give(call: Call, entry: Entry, asked: Asked, headers: dict[str, str]) -> Response | None:
    """The response that says what ``entry`` does, in the form that is asked for. None where it cannot be given so."""
    body = _in_form(call, entry, asked)
    if body is None:
        return None
    said = dict(entry.headers)
    if entry.form != asked.form:
        said["content-type"] = "application/json" if asked.form == BODY else asked.form
    if asked.form == BODY:
        said["content-length"] = str(len(body))
    elif entry.shows_usage and not asked.shows_usage:
        call.run.asked_usage = True
    said.update(headers)
    stream = receive(call, entry.status, said.get("content-type", ""), None, Bytes(body))
    return Response(call=call, status=entry.status, headers=said, stream=stream)


def _in_form(call: Call, entry: Entry, asked: Asked) -> bytes | None:
    if asked.form != BODY and asked.shows_usage and not entry.shows_usage:
        return None
    if entry.form == asked.form:
        return entry.body
    dialect = _codec(call.dialect.name) if call.dialect is not None else None
    if dialect is None:
        return None
    body: bytes | None = entry.body
    if entry.form != BODY:
        try:
            body = dialect.as_body(events_of(dialect, entry.body))
        except DecodeError:
            return None
    if asked.form == BODY or body is None:
        return body
    events = dialect.as_stream(body, call.request.query().decode("latin-1"))
    return None if events is None else b"".join(events)


def _plain(chunks: list[bytes], coding: str | None) -> bytes:
    """Bytes without their coding. Raises ``DecodeError``."""
    if not coding:
        return b"".join(chunks)
    undo = inflate(coding)
    if undo is None:
        raise DecodeError("a coding that is not known")
    return b"".join([piece for chunk in chunks for piece in undo.feed(chunk)])


@lru_cache(256)
def _stream_type(name: str, query: bytes) -> str | None:
    dialect = _codec(name)
    return None if dialect is None else dialect.stream_type(query.decode("latin-1"))


@lru_cache(64)
def _codec(name: str) -> Codec | None:
    dialect = dialects.named(name)
    return dialect if isinstance(dialect, Codec) else None
