"""A player under an HTTP client, in memory: no socket, no thread.

import httpx
from interlay.testing import Player, Recording, transports

client = httpx.Client(transport=transports(httpx).sync(Player(Recording.load(path))))
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import lru_cache
from types import ModuleType
from typing import Any, Final, NamedTuple

import anyio
import anyio.lowlevel

from interlay.testing.player import Answer, Break, Pause, Player, Sent

_FOREVER: Final = 3600.0
"""What a hanging server means to a client that set no time-out."""


class Transports(NamedTuple):
    """The two transport classes for one HTTP library. Each is made with a ``Player``."""

    sync: Callable[[Player], Any]
    asynchronous: Callable[[Player], Any]


@lru_cache(maxsize=8)
def transports(module: ModuleType) -> Transports:
    """In-memory transports for ``module``, which is httpx or httpx2.

    Faults are raised as that library raises them when they happen on a socket. A transport's ``player`` may be
    replaced at any time.
    """
    return Transports(_sync(module), _asynchronous(module))


def _sync(module: ModuleType) -> type[Any]:
    class SyncBody(module.SyncByteStream):  # type: ignore[misc,name-defined]
        def __init__(self, answer: Answer, limit: float) -> None:
            self._answer = answer
            self._limit = limit
            self._steps = iter(answer.steps)

        def __iter__(self) -> Iterator[bytes]:
            for step in self._steps:
                if isinstance(step, bytes):
                    yield step
                elif isinstance(step, Pause):
                    time.sleep(min(step.seconds, self._limit))
                    if step.seconds > self._limit:
                        raise module.ReadTimeout("timed out")
                else:
                    if step == "hang":
                        time.sleep(self._limit)
                    raise _broken(module, step)

        def close(self) -> None:
            self._answer.released()

    class SyncTransport(module.BaseTransport):  # type: ignore[misc,name-defined]
        def __init__(self, player: Player) -> None:
            self.player = player

        def handle_request(self, request: Any) -> Any:
            answer = self.player.answer(_sent(request, request.read()))
            limit = _limit(request)
            if answer.before is not None:
                answer.released()
                if answer.before == "hang":
                    time.sleep(limit)
                raise _failed(module, answer.before)
            return _response(module, answer, SyncBody(answer, limit))

    return SyncTransport


def _asynchronous(module: ModuleType) -> type[Any]:
    class AsyncBody(module.AsyncByteStream):  # type: ignore[misc,name-defined]
        def __init__(self, answer: Answer, limit: float) -> None:
            self._answer = answer
            self._limit = limit
            self._steps = iter(answer.steps)

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for step in self._steps:
                if isinstance(step, bytes):
                    yield step
                elif isinstance(step, Pause):
                    await anyio.sleep(min(step.seconds, self._limit))
                    if step.seconds > self._limit:
                        raise module.ReadTimeout("timed out")
                else:
                    if step == "hang":
                        await anyio.sleep(self._limit)
                    raise _broken(module, step)

        async def aclose(self) -> None:
            self._answer.released()

    class AsyncTransport(module.AsyncBaseTransport):  # type: ignore[misc,name-defined]
        def __init__(self, player: Player) -> None:
            self.player = player

        async def handle_async_request(self, request: Any) -> Any:
            answer = self.player.answer(_sent(request, await request.aread()))
            limit = _limit(request)
            if answer.before is not None:
                answer.released()
                if answer.before == "hang":
                    await anyio.sleep(limit)
                raise _failed(module, answer.before)
            # As a socket would: other tasks may run, and a cancelled one notices.
            await anyio.lowlevel.checkpoint()
            return _response(module, answer, AsyncBody(answer, limit))

    return AsyncTransport


def _sent(request: Any, body: bytes) -> Sent:
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw)
    return Sent(request.method, str(request.url), headers, body)


def _limit(request: Any) -> float:
    """The request's read time-out."""
    seconds = request.extensions.get("timeout", {}).get("read")
    return _FOREVER if seconds is None else float(seconds)


def _response(module: ModuleType, answer: Answer, body: Any) -> Any:
    headers = [*answer.headers, *([("transfer-encoding", "chunked")] if answer.chunked else [])]
    return module.Response(answer.status, headers=headers, stream=body, extensions={"http_version": b"HTTP/1.1"})


def _failed(module: ModuleType, kind: str) -> Exception:
    """What the library raises before it has a response."""
    if kind == "refuse":
        return module.ConnectError("[Errno 111] Connection refused")  # type: ignore[no-any-return]
    if kind == "hang":
        return module.ReadTimeout("timed out")  # type: ignore[no-any-return]
    return module.ReadError("[Errno 104] Connection reset by peer")  # type: ignore[no-any-return]


def _broken(module: ModuleType, kind: Break) -> Exception:
    """What the library raises in the middle of a body."""
    if kind == "truncate":
        return module.RemoteProtocolError(  # type: ignore[no-any-return]
            "peer closed connection without sending complete message body (incomplete chunked read)"
        )
    return _failed(module, kind)
