"""The same exchange through a bare and a wrapped client, in memory, and all that came of it.

What is sync and what is async goes through the same functions: ``settle`` awaits what has to be, and a synchronous
exchange is stepped through them without an event loop.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

import anthropic
import openai
from tests.hostile.inputs import MARK, DialectName, Ordinary
from tests.recorded.replay import client

import interlay
from interlay.entry import process
from interlay.model.record import Record
from interlay.testing import Player, Sent, Turn, capture

Colour = Literal["sync", "async"]
T = TypeVar("T")
Outcome = list[tuple[str, Any]]

COLOURS: Final[tuple[Colour, ...]] = ("sync", "async")
SETTINGS: Final[tuple[tuple[Colour, bool], ...]] = (("sync", False), ("async", False), ("sync", True))
"""In which colour, and whether contents are kept."""
JSON: Final = {"content-type": "application/json", "x-request-id": "req_1", "request-id": "req_1"}
EVENTS: Final = {**JSON, "content-type": "text/event-stream; charset=utf-8"}
QUIET_HOST: Final = "https://llm.test"
"""A host of no catalogue: its streams are not asked for usage, so nothing at all may change."""


@dataclass(frozen=True)
class Exchange:
    """What is sent, and what the other side answers.

    Args:
        ordinary: the dialect, and a request that is sent if no other is given.
        turn: the answer.
        stream: whether the SDK is told that a stream comes.
        request: the body to send.
        raw: read the bytes as they come over the wire, instead of the SDK's objects.
        headers: of the request, beside the SDK's own.
        host: where the client points.
    """

    ordinary: Ordinary
    turn: Turn
    stream: bool = False
    request: bytes | None = None
    raw: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    host: str = QUIET_HOST
    split: Callable[[bytes], Any] | None = None

    @property
    def body(self) -> bytes:
        return self.ordinary.request(stream=self.stream) if self.request is None else self.request

    def player(self) -> Player:
        return Player(otherwise=self.turn, split=self.split, complete_headers=False)


@dataclass
class Seen:
    """What an exchange came to."""

    outcome: Outcome
    sent: list[Sent]
    open: int
    records: list[Record]

    @property
    def record(self) -> Record | None:
        """The one record; None where the SDK sent nothing."""
        assert len(self.records) == len(self.sent)
        return self.records[-1] if self.records else None


class Seam:
    """Clients of one SDK in one colour, a bare one and a wrapped one, made once."""

    def __init__(self, dialect: DialectName, colour: Colour, *parts: object) -> None:
        self.colour = colour
        self._sdk: Any = openai if dialect == "openai" else anthropic
        self._bare = client(self._sdk, colour, Player())
        self._wrapped = interlay.wrap(client(self._sdk, colour, Player()), *parts)
        self._wires = (self._bare._client._transport, self._wrapped._client._transport.inner)
        self._pointed: dict[tuple[int, str], Any] = {}
        self._loop = asyncio.Runner(debug=False) if colour == "async" else None

    def compare(self, exchange: Exchange, name: str) -> Seen:
        """Both ways, which have to be equal; gives what the wrapped client came to."""
        return self._step(self._compare(exchange, name))

    def bare(self, exchange: Exchange) -> Seen:
        return self._step(self._play(0, exchange))

    def wrapped(self, exchange: Exchange) -> Seen:
        return self._step(self._play(1, exchange))

    def close(self) -> None:
        async def close() -> None:
            for held in (self._bare, self._wrapped):
                await settle(held.close())

        self._step(close())
        if self._loop is not None:
            self._loop.close()

    def _step(self, work: Coroutine[Any, Any, T]) -> T:
        return stepped(work) if self._loop is None else self._loop.run(work)

    async def _compare(self, exchange: Exchange, name: str) -> Seen:
        bare, wrapped = await self._play(0, exchange), await self._play(1, exchange)
        assert wrapped.outcome == bare.outcome, name
        assert upstream(wrapped.sent) == upstream(bare.sent), name
        assert wrapped.open == bare.open, name
        assert bare.records == [], name
        assert len(wrapped.records) == len(wrapped.sent), name
        return wrapped

    async def _play(self, index: int, exchange: Exchange) -> Seen:
        player = exchange.player()
        self._wires[index].player = player
        host = f"{exchange.host}/v1" if exchange.ordinary.dialect == "openai" else exchange.host
        if (index, host) not in self._pointed:
            self._pointed[index, host] = (self._bare, self._wrapped)[index].with_options(base_url=host)
        with capture() as records:
            outcome = await ask(self._pointed[index, host], exchange)
        return Seen(outcome, player.requests, player.open, records)


def upstream(requests: list[Sent]) -> list[Sent]:
    """What went up, less what we ask for of hosts that have to be asked for usage: the very bytes that we add."""
    return [
        Sent(sent.method, sent.url, _uncounted(sent.headers), sent.body.replace(ASKED, b"")) if ASKED in sent.body else
        Sent(sent.method, sent.url, _uncounted(sent.headers), sent.body)
        for sent in requests
    ]  # fmt: skip


ASKED: Final = b',"stream_options":{"include_usage":true}'


def _uncounted(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((name.lower(), value) for name, value in headers if name.lower() != "content-length")


async def ask(held: Any, exchange: Exchange) -> Outcome:
    """One call through an SDK: what comes of it, part by part."""
    seen: Outcome = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            if exchange.raw:
                await _raw(held, exchange, seen)
            else:
                await _take(await settle(post(held, exchange)), seen)
        except Exception as error:  # noqa: BLE001 - what it is, is the outcome
            seen += told(error)
    seen.append(("warnings", [str(warning.message) for warning in warned]))
    return seen


def post(held: Any, exchange: Exchange, **options: Any) -> Any:
    """The request, its body byte for byte, and the answer as the SDK's objects."""
    kinds: tuple[Any, Any]
    if exchange.ordinary.dialect == "openai":
        from openai.types.chat import ChatCompletion, ChatCompletionChunk  # noqa: PLC0415 - a tenth of a second

        kinds = ChatCompletion, ChatCompletionChunk
        streams: Any = openai.Stream if isinstance(held, openai.OpenAI) else openai.AsyncStream
    else:
        kinds = anthropic.types.Message, anthropic.types.RawMessageStreamEvent
        streams = anthropic.Stream if isinstance(held, anthropic.Anthropic) else anthropic.AsyncStream
    if exchange.stream:
        options |= {"stream": True, "stream_cls": streams[kinds[1]]}
    return held.post(
        exchange.ordinary.path,
        cast_to=kinds[0],
        content=exchange.body,
        options={"headers": {"content-type": "application/json", **exchange.headers}},
        **options,
    )


async def _raw(held: Any, exchange: Exchange, seen: Outcome) -> None:
    """The bytes as they came, under the SDK's own HTTP client."""
    http = held._client
    headers = {**held.default_headers, **exchange.headers, "content-type": "application/json"}
    headers = {name: value for name, value in headers.items() if isinstance(value, str)}
    url = str(held.base_url).rstrip("/") + exchange.ordinary.path
    request = http.build_request("POST", url, content=exchange.body, headers=headers)
    response = await settle(http.send(request, stream=True))
    seen.append(("status", response.status_code))
    seen.append(("headers", _comparable(response.headers)))
    try:
        if hasattr(http, "aclose"):
            seen.append(("bytes", b"".join([piece async for piece in response.aiter_raw()])))
        else:
            seen.append(("bytes", b"".join(response.iter_raw())))
    finally:
        await settle(response.aclose() if hasattr(http, "aclose") else response.close())


async def _take(result: Any, seen: Outcome) -> None:
    if hasattr(result, "__aiter__"):
        async for event in result:
            seen.append(("event", dumped(event)))
    elif isinstance(result, Iterator):
        seen += [("event", dumped(event)) for event in result]
    else:
        seen.append(("object", _comparable(dumped(result))))


def dumped(value: Any) -> Any:
    """An SDK's object: its class and all that is in it. Some cannot be shown as JSON: then why."""
    if not hasattr(value, "model_dump"):
        return repr(value)
    try:
        text = value.to_json()
    except Exception as error:  # noqa: BLE001 - as above
        text = f"{error!r} {value!r}"
    return type(value).__name__, text, getattr(value, "_request_id", None)


def told(error: Exception) -> Outcome:
    """All that an exception says, and what it holds of its response."""
    response: Any = getattr(error, "response", None)
    cause = error.__cause__
    return [
        ("error", f"{type(error).__module__}.{type(error).__name__}"),
        ("message", str(error)),
        *((name, getattr(error, name, None)) for name in ("status_code", "body", "request_id", "code", "type")),
        ("headers", None if response is None else _comparable(response.headers)),
        ("content", getattr(response, "_content", None)),
        ("cause", None if cause is None else [type(cause).__name__, str(cause)]),
    ]


def _comparable(value: Any) -> Any:
    return sorted(value.multi_items()) if hasattr(value, "multi_items") else value


async def settle(value: Any) -> Any:
    """The value, awaited if it has to be."""
    return await value if inspect.isawaitable(value) else value


def stepped(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("a synchronous exchange waited for something")


class Log(logging.Handler):
    """All that interlay logs, formatted, tracebacks included."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[tuple[int, str]] = []
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.levelno, self.format(record)))

    def complaints(self) -> list[str]:
        return [line for level, line in self.lines if level >= logging.WARNING]

    def mentions(self, word: str) -> list[str]:
        return [line for _, line in self.lines if word in line]


@contextmanager
def logged() -> Iterator[Log]:
    """Collect what interlay logs inside the block, from DEBUG on."""
    logger, log = logging.getLogger("interlay"), Log()
    before = logger.level
    logger.addHandler(log)
    logger.setLevel(logging.DEBUG)
    try:
        yield log
    finally:
        logger.removeHandler(log)
        logger.setLevel(before)


@contextmanager
def keeping(contents: bool) -> Iterator[None]:  # noqa: FBT001
    """Keep the contents of calls inside the block, or not."""
    before = process.recorder.contents
    process.recorder.contents = contents
    try:
        yield
    finally:
        process.recorder.contents = before


@contextmanager
def decent(name: str, *, complains: bool = False) -> Iterator[None]:
    """Inside the block interlay logs nothing of what is said, and has nothing to complain of."""
    with logged() as log:
        yield
    assert log.mentions(MARK) == [], name
    if not complains:
        assert log.complaints() == [], name
