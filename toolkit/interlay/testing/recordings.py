"""Recorded exchanges: a request that was sent to a provider once, and what it answered."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

_EVENT: Final = re.compile(rb"(?>\r\n|\r|\n){2,}")
_LINE: Final = re.compile(rb"\n+")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a recording was taken from, and under which licence."""

    repo: str
    path: str
    commit: str
    licence: str


class RecordedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent."""

    method: str
    url: str
    headers: dict[str, str] = {}
    body_encoding: Literal["json", "text", "base64", "none"] = "none"
    body: Any = None

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def query(self) -> str:
        return urlsplit(self.url).query

    @property
    def streamed(self) -> bool:
        """Whether a stream was asked for."""
        return isinstance(self.body, dict) and self.body.get("stream") is True

    @property
    def asked_usage(self) -> bool:
        """Whether the stream was asked to report usage."""
        options = self.body.get("stream_options") if isinstance(self.body, dict) else None
        return isinstance(options, dict) and options.get("include_usage") is True


class RecordedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What came back, decompressed."""

    status: int
    headers: dict[str, str] = {}
    body_encoding: Literal["json", "text", "base64", "none"] = "none"
    body: Any = None
    exact: bool = True
    """False where the recorder kept a parsed body: its white space is not the provider's."""

    @property
    def content(self) -> bytes:
        """The body's bytes."""
        if self.body_encoding == "none" or self.body is None:
            return b""
        if self.body_encoding == "base64":
            return base64.b64decode(self.body)
        if self.body_encoding == "text":
            return str(self.body).encode()
        return msgspec.json.encode(self.body)

    @property
    def is_events(self) -> bool:
        """Whether the body is a stream: of server-sent events, or of JSON lines."""
        kind = self.headers.get("content-type")
        if kind is not None:
            return kind.startswith(("text/event-stream", "application/x-ndjson"))
        return self.content.startswith((b"data:", b"event:", b":"))


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its response."""

    request: RecordedRequest
    response: RecordedResponse


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """One or more exchanges of a conversation, with their source and licence.

    >>> recording = Recording.load("tests/recorded/cassettes/openai-chat/openai-chat-plain-01.json")
    >>> recording.exchanges[0].response.status
    200
    """

    id: str
    source: Source
    dialect: str
    scenario: str
    exchanges: list[Exchange]

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """Read one file. Raises ``OSError``, and ``msgspec.ValidationError`` where it is no recording."""
        return _DECODER.decode(Path(path).read_bytes())

    @classmethod
    def load_all(cls, folder: str | Path) -> list[Recording]:
        """Read every ``*.json`` below a folder that is a recording, in the order of their paths."""
        files = (path for path in sorted(Path(folder).rglob("*.json")) if path.name != "index.json")
        return [cls.load(path) for path in files]

    @classmethod
    def bundled(cls) -> dict[str, Recording]:
        """The few recordings that are shipped with the package, by id."""
        folder = resources.files("interlay.testing") / "recordings"
        entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
        found = [_DECODER.decode(entry.read_bytes()) for entry in entries if entry.name.endswith(".json")]
        return {recording.id: recording for recording in found}


_DECODER: Final = msgspec.json.Decoder(Recording)


def exchanges_of(recordings: Recording | Iterable[Recording]) -> Iterator[tuple[Recording, Exchange]]:
    """Every exchange of some recordings, in order."""
    for recording in (recordings,) if isinstance(recordings, Recording) else recordings:
        for exchange in recording.exchanges:
            yield recording, exchange


def events_of(body: bytes) -> list[bytes]:
    """A stream's events, each with the blank line that ends it, or its JSON lines: joined, they are the body."""
    ends = [match.end() for match in (_LINE if body.startswith(b"{") else _EVENT).finditer(body)]
    if not ends or ends[-1] != len(body):
        ends.append(len(body))
    starts = [0, *ends[:-1]]
    return [body[start:end] for start, end in zip(starts, ends, strict=True) if end > start]
