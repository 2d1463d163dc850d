"""The player: answers requests from recordings, and goes wrong where it is told to. Sans-io: what it decides is
carried out by the transports of ``interlay.testing.transports`` and by ``interlay.testing.server``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from interlay.testing.bodies import Coder, Split, accepts, unasked
from interlay.testing.recordings import Exchange, Recording, events_of, exchanges_of

Fault = Literal["refuse", "reset", "cut", "truncate", "hang", "error"]
"""What goes wrong: no connection; the connection is reset; the body ends early and cleanly; the body ends in the
middle of a chunk; nothing more comes; an error event in the provider's own shape comes, inside a 200."""

StreamUsage = Literal["ask", "always", "refuse"]
"""How a host takes ``stream_options``: ``ask`` reports usage only when asked, ``always`` reports it anyway,
``refuse`` answers 400."""

_HOSTS: Final[dict[str, StreamUsage]] = {
    "api.openai.com": "ask",
    "api.perplexity.ai": "refuse",
    "api.mistral.ai": "refuse",
}
_ASKED_DOMAINS: Final = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one answer does differently from its recording.

    Args:
        status: answer this status with an error in the dialect's own shape; 200 is the recording itself.
        headers: added to the answer's.
        body: these bytes in place of the body; an error's, too.
        fault: what goes wrong; by itself before the headers, or with ``after`` or ``at`` within the body.
        after: the fault comes after this many events (of a plain body: 0 is before it, 1 after half of it).
        at: the fault comes after this many bytes of the body as it goes over the wire.
        drip: the body comes one byte at a time, this many seconds apart.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    fault: Fault | None = None
    after: int | None = None
    at: int | None = None
    drip: float | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that arrived."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """A header's value; of several the first."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self) -> Any:
        """The body, decoded; None where it is no JSON."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, RecursionError):
            return None

    @property
    def path(self) -> str:
        return urlsplit(self.url).path


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing comes for a while."""

    seconds: float


Break = Literal["reset", "truncate", "hang"]
Step = bytes | Pause | Break
"""What happens next to a body: bytes come, time passes, or it breaks."""


@dataclass(slots=True)
class Answer:
    """What to do with one request."""

    status: int
    headers: list[tuple[str, str]]
    steps: list[Step]
    before: Literal["refuse", "reset", "hang"] | None = None
    """What goes wrong before a single header is sent."""
    chunked: bool = True
    released: Callable[[], None] = lambda: None
    """To be called once, when the reader has let go of the response."""


class Player:
    """Answers requests from recordings.

    A request gets the exchange with its method and path whose body is the same (``stream_options`` apart), else the
    one played least. Hosts are not compared, so a client may be pointed at a local server; whether usage is reported
    unasked follows the recorded host. A request nothing is recorded for gets a 404 and is in ``unmatched``.

    Args:
        recordings: what to play.
        turns: what the first answers do: a ``Turn``, or a status. Later answers do ``otherwise``.
        otherwise: what all other answers do; as recorded, if it is not given.
        split: how bodies are cut; a stream comes event by event if it is not given.
        coding: compress bodies (``gzip``, ``deflate``, ``br``, ``zstd``) for clients that accept it.
        pace: seconds before each event of a stream.
        stream_usage: how the host takes ``stream_options``, where it is not to follow the recording's.
        complete_headers: give answers the content type that some recordings lack.
    """

    def __init__(
        self,
        recordings: Recording | Iterable[Recording] = (),
        *,
        turns: Iterable[Turn | int] = (),
        otherwise: Turn | int | None = None,
        split: Split | None = None,
        coding: str | None = None,
        pace: float = 0.0,
        stream_usage: StreamUsage | None = None,
        complete_headers: bool = True,
    ) -> None:
        self._exchanges = list(exchanges_of(recordings))
        self._played = [0] * len(self._exchanges)
        self._turns = [_turn(turn) for turn in turns]
        self._otherwise = _turn(otherwise) if otherwise is not None else Turn()
        self._lock = threading.Lock()
        self.split = split
        self.coding = coding
        self.pace = pace
        self.stream_usage = stream_usage
        self.complete_headers = complete_headers
        self.requests: list[Sent] = []
        """Every request that arrived, in order."""
        self.unmatched: list[Sent] = []
        """Those that nothing is recorded for."""
        self.open = 0
        """Responses that nobody has let go of yet."""

    def script(self, *turns: Turn | int) -> None:
        """Say what the next answers do, after those already said."""
        with self._lock:
            self._turns += map(_turn, turns)

    def answer(self, sent: Sent) -> Answer:
        """Decide what a request gets."""
        with self._lock:
            self.requests.append(sent)
            turn = self._turns.pop(0) if self._turns else self._otherwise
            failed = turn.status is not None and turn.status != 200
            found = None if failed or turn.body is not None else self._find(sent)
            self.open += 1
        answer = self._compose(sent, turn, found)
        answer.released = self._release_once()
        return answer

    def _release_once(self) -> Callable[[], None]:
        left = [1]

        def released() -> None:
            with self._lock:
                self.open -= left[0]
                left[0] = 0

        return released

    def _find(self, sent: Sent) -> tuple[Recording, Exchange] | None:
        body = _comparable(sent.json())
        best: tuple[int, int] | None = None
        chosen = -1
        for index, (_, exchange) in enumerate(self._exchanges):
            request = exchange.request
            if request.method != sent.method or request.path != sent.path:
                continue
            likeness = 2 * (_comparable(request.body) == body) + (_streamed(request.body) == _streamed(body))
            rank = (-likeness, self._played[index])
            if best is None or rank < best:
                best, chosen = rank, index
        if best is None:
            self.unmatched.append(sent)
            return None
        self._played[chosen] += 1
        return self._exchanges[chosen]

    def _compose(self, sent: Sent, turn: Turn, found: tuple[Recording, Exchange] | None) -> Answer:
        if found is None:
            return self._unrecorded(sent, turn)
        exchange = found[1]
        response = exchange.response
        policy = self.stream_usage or _policy(exchange)
        asked = _asks(sent.json())
        if policy == "refuse" and asked is not None:
            message = "stream_options: Extra inputs are not permitted"
            return self._send(sent, turn, 400, {}, [error_body(sent.path, 400, message)], events=False)
        if not response.is_events:
            return self._send(sent, turn, response.status, response.headers, [response.content], events=False)
        events = events_of(response.content)
        if policy == "ask" and not asked:
            events = unasked(events)
        return self._send(sent, turn, response.status, response.headers, events, events=True)

    def _unrecorded(self, sent: Sent, turn: Turn) -> Answer:
        status = turn.status or (404 if turn.body is None else 200)
        message = f"no recording for {sent.method} {sent.path}" if status == 404 else f"scripted {status}"
        body = turn.body if turn.body is not None else error_body(sent.path, status, message)
        headers = {"x-request-id": f"req_{len(self.requests)}", "request-id": f"req_{len(self.requests)}"}
        events = body.startswith((b"data:", b"event:"))
        return self._send(sent, turn, status, headers, events_of(body) if events else [body], events=events)

    def _send(
        self, sent: Sent, turn: Turn, status: int, headers: Mapping[str, str], pieces: list[bytes], *, events: bool
    ) -> Answer:
        merged = {name.lower(): value for name, value in {**headers, **turn.headers}.items()}
        if self.complete_headers:
            merged.setdefault("content-type", "text/event-stream; charset=utf-8" if events else "application/json")
        if turn.fault in ("refuse", "reset", "hang") and turn.after is None and turn.at is None:
            return Answer(status, [], [], before=turn.fault)
        if turn.fault is not None and turn.at is None:
            pieces = _shortened(pieces, turn.after or 0, events=events)
            if turn.fault == "error":
                pieces.append(error_event(sent.path))
        coding = self.coding
        if coding is not None and pieces and accepts(sent.header("accept-encoding") or "", coding):
            merged["content-encoding"] = coding
            merged["vary"] = "accept-encoding"
            # A fault leaves the coding unfinished too.
            pieces = _coded(pieces, coding, whole=turn.fault is None)
        wire = b"".join(pieces)
        steps: list[Step] = []
        if turn.fault is not None and turn.at is not None:
            pieces = [wire[: turn.at]]
        for piece in self._cut(pieces, turn):
            if self.pace and events:
                steps.append(Pause(self.pace))
            if turn.drip is not None:
                steps.append(Pause(turn.drip))
            steps.append(piece)
        if turn.fault in ("reset", "truncate", "hang"):
            steps.append(turn.fault)
        chunked = events or turn.fault is not None
        if not chunked:
            merged["content-length"] = str(len(wire))
        return Answer(status, list(merged.items()), steps, chunked=chunked)

    def _cut(self, pieces: list[bytes], turn: Turn) -> Iterator[bytes]:
        if turn.drip is not None:
            yield from (bytes([byte]) for byte in b"".join(pieces))
        elif self.split is not None:
            yield from self.split(b"".join(pieces))
        else:
            yield from (piece for piece in pieces if piece)


def _turn(turn: Turn | int) -> Turn:
    return turn if isinstance(turn, Turn) else Turn(status=turn)


def _shortened(pieces: list[bytes], after: int, *, events: bool) -> list[bytes]:
    if events:
        return pieces[:after]
    return [piece[: len(piece) // 2] for piece in pieces] if after else []


def _coded(pieces: list[bytes], coding: str, *, whole: bool) -> list[bytes]:
    coder = Coder(coding)
    coded = [coder.feed(piece) for piece in pieces]
    return [*coded, coder.finish()] if whole else coded


def _policy(exchange: Exchange) -> StreamUsage:
    request = exchange.request
    host = request.host.partition(":")[0]
    if host.endswith(_ASKED_DOMAINS):
        return "ask"
    policy = _HOSTS.get(host, "always")
    # What a recording shows to have worked is not refused.
    return "always" if policy == "refuse" and request.asked_usage else policy


def _asks(body: Any) -> bool | None:
    """Whether usage is asked for; None where nothing is said about it."""
    options = body.get("stream_options") if isinstance(body, dict) else None
    return None if options is None else isinstance(options, dict) and options.get("include_usage") is True


def _comparable(body: Any) -> Any:
    return {k: v for k, v in body.items() if k != "stream_options"} if isinstance(body, dict) else body


def _streamed(body: Any) -> bool:
    return isinstance(body, dict) and body.get("stream") is True


_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_OPENAI_TYPES: Final = {
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "not_found"),
    429: ("requests", "rate_limit_exceeded"),
}
_GEMINI_TYPES: Final = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_GEMINI_VERBS: Final = (":generateContent", ":streamGenerateContent")
_COHERE: Final = "/v2/chat"
_OLLAMA: Final = "/api/chat"


def error_body(path: str, status: int, message: str) -> bytes:
    """An error as the API at ``path`` writes it."""
    if path.endswith("/messages"):
        kind = _ANTHROPIC_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
        error: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": message}}
    elif path.endswith(_GEMINI_VERBS):
        word = _GEMINI_TYPES.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
        error = {"error": {"code": status, "message": message, "status": word}}
    elif path.endswith(_COHERE):
        error = {"id": "00000000-0000-0000-0000-000000000000", "message": message}
    elif path.endswith(_OLLAMA):
        error = {"error": message}
    else:
        kind, code = _OPENAI_TYPES.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
        error = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    return msgspec.json.encode(error)


def error_event(path: str) -> bytes:
    """An error inside a stream, as the API at ``path`` writes it."""
    if path.endswith("/messages"):
        return b"event: error\ndata: " + error_body(path, 529, "Overloaded") + b"\n\n"
    message = "The server had an error while processing your request."
    if path.endswith("/responses"):
        said = {"type": "error", "code": "server_error", "message": message, "param": None, "sequence_number": 0}
        return b"event: error\ndata: " + msgspec.json.encode(said) + b"\n\n"
    if path.endswith(_COHERE):
        end = {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": message}}
        return b"event: message-end\ndata: " + msgspec.json.encode(end) + b"\n\n"
    if path.endswith(_OLLAMA):
        return error_body(path, 500, message) + b"\n"
    return b"data: " + error_body(path, 500, message) + b"\n\n"
