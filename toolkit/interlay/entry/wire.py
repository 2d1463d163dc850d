"""The seam: a transport under an SDK's HTTP client, for httpx and for httpx2, in both colours.

Both libraries have the same shape and cannot take each other's objects, so the classes are made by one factory
that is given the module. Neither is imported here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Generator, Iterator
from functools import lru_cache
from time import perf_counter
from types import ModuleType
from typing import Any, Final, NamedTuple, TypeVar

from interlay.chain.aio import AsyncIO, Loop
from interlay.chain.call import Call, Response
from interlay.chain.codings import narrowed
from interlay.chain.current import sending as under_way
from interlay.chain.io import SyncIO, drive
from interlay.chain.receiving import receive
from interlay.chain.run import Sending
from interlay.chain.stream import Source, Stream
from interlay.entry.request import HTTPRequest
from interlay.entry.seat import Seat
from interlay.model.errors import ConnectError, DecodeError, ReadError, WireError, WireTimeout, WriteError
from interlay.model.words import word

T = TypeVar("T", bound=BaseException)


class Transports(NamedTuple):
    """Our transport classes for one HTTP library."""

    sync: type[Any]
    asynchronous: type[Any]


def libraries() -> list[ModuleType]:
    """The HTTP libraries of this shape that the program has imported. One may pose under the other's name."""
    found: dict[int, ModuleType] = {}
    for name in ("httpx", "httpx2"):
        module = sys.modules.get(name)
        if module is not None and hasattr(module, "BaseTransport"):
            found.setdefault(id(module.BaseTransport), module)
    return list(found.values())


def library_of(client: object) -> ModuleType | None:
    """The library whose client this is, by class."""
    for module in libraries():
        if isinstance(client, module.Client | module.AsyncClient):
            return module
    return None


@lru_cache(maxsize=8)
def transports(module: ModuleType) -> Transports:  # noqa: C901 - six small classes
    """Our transport classes for ``module``, made once."""
    errors = _Errors(module)

    class SyncBody(module.SyncByteStream):  # type: ignore[misc,name-defined]
        """The body the SDK reads. Where a layer waits for bytes too, every pull steps the stream's coroutine; where
        none does, the source is pulled as it would be without us."""

        def __init__(self, stream: Stream) -> None:
            self._stream = stream

        def __iter__(self) -> Iterator[bytes]:
            stream = self._stream
            while not stream.direct:
                if not (chunk := errors.drive(stream.read())):
                    return
                yield chunk
            source: Any = stream.source.plain()
            forward, clock = stream.forward, perf_counter
            try:
                while True:
                    try:
                        chunk = next(source, None)
                        now = clock()
                        if chunk is None:
                            break
                        chunk = forward(chunk, now)
                    except DecodeError as error:
                        stream.broke(error)
                        stream.release_now()
                        raise errors.original(error) from None
                    except BaseException as error:
                        stream.broke(errors.kind(error))
                        stream.release_now()
                        raise
                    stream.spent += clock() - now
                    if chunk:
                        yield chunk
            except GeneratorExit:
                # As the libraries do with each other's: at exit nobody else gives the connection back.
                if isinstance(source, Generator):
                    source.close()
                raise
            if rest := stream.over(now):
                yield rest
                stream.over(clock())
            stream.release_now()

        def close(self) -> None:
            if not self._stream.released:
                drive(self._stream.close())

    class AsyncBody(module.AsyncByteStream):  # type: ignore[misc,name-defined]
        def __init__(self, stream: Stream) -> None:
            self._stream = stream

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self

        async def __anext__(self) -> bytes:
            stream = self._stream
            if stream.direct:
                return await self._pass(stream)
            try:
                chunk = await stream.read()
            except (WireError, DecodeError) as error:
                original = errors.original(error)
            else:
                if chunk:
                    return chunk
                raise StopAsyncIteration
            try:
                raise original
            finally:
                del original

        async def _pass(self, stream: Stream) -> bytes:
            source: Any = stream.source.plain()
            while True:
                try:
                    chunk = await anext(source)
                    now = perf_counter()
                    out = stream.forward(chunk, now)
                except StopAsyncIteration:
                    if rest := stream.over(perf_counter()):
                        return rest
                    await stream.release()
                    raise
                except DecodeError as error:
                    stream.broke(error)
                    await stream.release()
                    raise errors.original(error) from None
                except BaseException as error:
                    stream.broke(errors.kind(error))
                    await stream.release()
                    raise
                stream.spent += perf_counter() - now
                if out:
                    return out

        async def aclose(self) -> None:
            if not self._stream.released:
                await self._stream.close()

    class SyncTransport(module.BaseTransport):  # type: ignore[misc,name-defined]
        """Runs every request through the seat's chain, then through the transport that was there."""

        interlay_seat = True

        def __init__(self, inner: Any, seat: Seat) -> None:
            self.inner = inner
            self.seat = seat

        def handle_request(self, request: Any) -> Any:
            seat = self.seat
            call = seat.call(HTTPRequest(request, module), SyncIO(seat.recorder.runner))
            if not seat.is_straight or call.deadline is not None:
                return _answer(module, errors.drive(seat.run(call, self._send)), request, SyncBody)
            # No layer, no deadline: nothing to step through.
            seat.chain.begin(call)
            try:
                stream, answer = self._exchange(call)
            except BaseException as error:
                seat.failed(call, error)
                if not isinstance(error, WireError):
                    raise
                original = errors.original(error)
            else:
                seat.answered(call, stream)
                return _straight_answer(module, call, stream, answer, request, SyncBody)
            try:
                raise original
            finally:
                del original

        async def _send(self, call: Call) -> Response:
            return _response(call, *self._exchange(call))

        def _exchange(self, call: Call) -> tuple[Stream, Any]:
            native = _outgoing(call)
            io = call.io
            assert isinstance(io, SyncIO)
            sending, around = Sending(call), call.run.around
            token = under_way.set(True) if self.seat.recorder.instrumented else None
            entered = around.enter() if around is not None else None
            try:
                if io.deadline is None:
                    answer = self.inner.handle_request(native)
                else:
                    with _narrowed_timeouts(native, io.deadline):
                        answer = self.inner.handle_request(native)
            except Exception as error:
                raise errors.model(error, sending) from error
            except BaseException as error:
                sending.failed(error)
                raise
            finally:
                if around is not None:
                    around.leave(entered)
                if token is not None:
                    under_way.set(token.old_value is True)  # a send that is dropped may end in another context
            return _received(call, sending, answer, _SyncSource(answer.stream, errors)), answer

        def __enter__(self) -> Any:
            self.inner.__enter__()
            return self

        def __exit__(self, *exc_info: object) -> None:
            self.inner.__exit__(*exc_info)

        def close(self) -> None:
            self.inner.close()

        def __getattr__(self, name: str) -> Any:
            return _passed_on(self, name)

    class AsyncTransport(module.AsyncBaseTransport):  # type: ignore[misc,name-defined]
        interlay_seat = True

        def __init__(self, inner: Any, seat: Seat) -> None:
            self.inner = inner
            self.seat = seat

        async def handle_async_request(self, request: Any) -> Any:
            seat = self.seat
            call = seat.call(HTTPRequest(request, module), AsyncIO(seat.recorder.runner))
            try:
                if not seat.is_straight or call.deadline is not None:
                    return _answer(module, await seat.run(call, self._send), request, AsyncBody)
                stream, answer = await self._straight(seat, call)
            except (WireError, DecodeError) as error:
                original = errors.original(error)
            else:
                return _straight_answer(module, call, stream, answer, request, AsyncBody)
            try:
                raise original
            finally:
                del original

        async def _straight(self, seat: Seat, call: Call) -> tuple[Stream, Any]:
            seat.chain.begin(call)
            try:
                stream, answer = await self._exchange(call)
            except BaseException as error:
                seat.failed(call, error)
                raise
            seat.answered(call, stream)
            return stream, answer

        async def _send(self, call: Call) -> Response:
            return _response(call, *await self._exchange(call))

        async def _exchange(self, call: Call) -> tuple[Stream, Any]:
            native = _outgoing(call)
            sending, around = Sending(call), call.run.around
            token = under_way.set(True) if self.seat.recorder.instrumented else None
            entered = around.enter() if around is not None else None
            try:
                answer = await self.inner.handle_async_request(native)
            except Exception as error:
                raise errors.model(error, sending) from error
            except BaseException as error:
                sending.failed(error)
                raise
            finally:
                if around is not None:
                    around.leave(entered)
                if token is not None:
                    under_way.set(token.old_value is True)  # a send that is dropped may end in another context
            return _received(call, sending, answer, _AsyncSource(answer.stream, errors)), answer

        async def __aenter__(self) -> Any:
            await self.inner.__aenter__()
            return self

        async def __aexit__(self, *exc_info: object) -> None:
            await self.inner.__aexit__(*exc_info)

        async def aclose(self) -> None:
            await self.inner.aclose()

        def __getattr__(self, name: str) -> Any:
            return _passed_on(self, name)

    return Transports(SyncTransport, AsyncTransport)


def _passed_on(transport: Any, name: str) -> Any:
    """What a custom transport has beyond the protocol stays reachable."""
    if name in ("inner", "seat"):
        raise AttributeError(name)
    return getattr(transport.inner, name)


class _Errors:
    """One library's exceptions, there and back."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        # The first class that fits decides.
        self._kinds: tuple[tuple[Any, Any], ...] = (
            (
                module.ConnectTimeout,
                lambda: WireTimeout("no connection in time", phase="connect", connected=False),
            ),
            (
                module.PoolTimeout,
                lambda: WireTimeout("no free connection in time", phase="pool", connected=False),
            ),
            (module.WriteTimeout, lambda: WireTimeout("not sent in time", phase="write")),
            (module.TimeoutException, lambda: WireTimeout("no answer in time", phase="read")),
            (module.ConnectError, lambda: ConnectError("no connection")),
            (module.ProxyError, lambda: ConnectError("no connection through the proxy")),
            (module.UnsupportedProtocol, lambda: ConnectError("unsupported protocol")),
            (module.WriteError, lambda: WriteError("the request was not sent")),
            (module.TransportError, lambda: ReadError("the connection broke")),
        )

    def model(self, error: Exception, sending: Sending | None = None) -> Exception:
        """The model's error for one of the library's; others are raised as they are."""
        made = self.kind(error)
        if sending is not None:
            sending.failed(made)
        if made is error:
            raise error
        return made

    def kind(self, error: T) -> T | WireError:
        """The model's error for one of the library's; others are given back."""
        for kind, make in self._kinds:
            if isinstance(error, kind):
                return make()  # type: ignore[no-any-return]
        return error

    def original(self, error: Exception) -> Exception:
        """What the SDK is to see: the library's own exception; for a time-out of ours, its ``ReadTimeout``."""
        if isinstance(error, DecodeError):
            return self._module.DecodingError(str(error))  # type: ignore[no-any-return]
        cause = error.__cause__
        if isinstance(cause, Exception):
            return cause
        if isinstance(error, WireTimeout):
            return self._module.ReadTimeout(str(error))  # type: ignore[no-any-return]
        if isinstance(error, ConnectError):
            return self._module.ConnectError(str(error))  # type: ignore[no-any-return]
        return self._module.ReadError(str(error))  # type: ignore[no-any-return]

    def drive(self, coroutine: Any) -> Any:
        """Step a coroutine; what the wire raised comes out as it was."""
        try:
            return drive(coroutine)
        except (WireError, DecodeError) as error:
            original = self.original(error)
        try:
            raise original
        finally:
            del original


class _SyncSource:
    """A response's byte stream, pulled by blocking."""

    __slots__ = ("_errors", "_iterator", "_stream")

    def __init__(self, stream: Any, errors: _Errors) -> None:
        self._stream = stream
        self._errors = errors
        self._iterator: Iterator[bytes] | None = None

    def plain(self) -> Iterator[bytes]:
        """The library's own iterator, whose exceptions are its own and which may give empty chunks."""
        if self._iterator is None:
            self._iterator = iter(self._stream)
        return self._iterator

    async def read(self) -> bytes:
        try:
            for chunk in self.plain():
                if chunk:
                    return chunk
        except Exception as error:
            raise self._errors.model(error) from error
        return b""

    async def close(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


class _AsyncSource:
    """A response's byte stream, awaited. Belongs to the event loop it was made in."""

    __slots__ = ("_closed", "_errors", "_iterator", "_loop", "_stream")

    def __init__(self, stream: Any, errors: _Errors) -> None:
        self._stream = stream
        self._closed = False
        self._errors = errors
        self._iterator: AsyncIterator[bytes] | None = None
        self._loop = Loop()

    def plain(self) -> AsyncIterator[bytes]:
        """The library's own iterator, whose exceptions are its own and which may give empty chunks."""
        if self._iterator is None:
            self._iterator = aiter(self._stream)
        return self._iterator

    async def read(self) -> bytes:
        try:
            async for chunk in self.plain():
                if chunk:
                    return chunk
        except Exception as error:
            raise self._errors.model(error) from error
        return b""

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._stream.aclose()

    def abandon(self) -> None:
        self._loop.spawn(self.close)


class _narrowed_timeouts:  # noqa: N801 - reads as a statement
    """For the time of one send, no time-out of the request is longer than what is left."""

    __slots__ = ("_before", "_left", "_request")

    def __init__(self, request: Any, deadline: float | None) -> None:
        self._request = request
        self._left = None if deadline is None else max(deadline - time.monotonic(), 0.001)

    def __enter__(self) -> None:
        if self._left is None:
            return
        left = self._left
        self._before = self._request.extensions
        given = self._before.get("timeout") or {}
        timeouts = {
            phase: left if given.get(phase) is None else min(given[phase], left)
            for phase in ("connect", "read", "write", "pool")
        }
        self._request.extensions = {**self._before, "timeout": timeouts}

    def __exit__(self, *exc_info: object) -> None:
        if self._left is not None:
            self._request.extensions = self._before


def _outgoing(call: Call) -> Any:
    """The library's request to send: the SDK's own object where nothing has to change."""
    request, route = call.request, call.route
    assert isinstance(request, HTTPRequest)
    body = call.outgoing() if call.judged else request.body
    asked = None
    may_ask = route.asks_usage and route.dialect is not None and call.body_kind == "open"
    # The outline is read when it is wanted: for most requests, with the record.
    if may_ask and body is not None and b'"stream"' in body and route.dialect is not None:
        outline = call.glance
        if outline.streamed and not outline.wants_usage:
            asked = route.dialect.ask_usage(body)
            call.run.asked_usage = asked is not None
    accepted = request.header("accept-encoding")
    encodings = narrowed(accepted) if accepted else None
    if asked is None and encodings is None and not call.changed:
        return request.native
    return request.rebuilt(asked if asked is not None else body, encodings)


def _straight_answer(module: ModuleType, call: Call, stream: Stream, answer: Any, request: Any, body: type[Any]) -> Any:
    """What ``_answer`` gives, by the short way where nothing but the body has to be put in."""
    if stream.staged or answer.is_stream_consumed:
        return _answer(module, _response(call, stream, answer), request, body)
    answer.stream = body(stream)
    return answer


def _response(call: Call, stream: Stream, answer: Any) -> Response:
    """A response as layers know it."""
    return Response(call=call, status=stream.status, headers=answer.headers, stream=stream, native=answer)


def _received(call: Call, sending: Sending, answer: Any, source: Source) -> Stream:
    """A response's body, with its monitor."""
    facts = _facts(answer.headers)
    sending.request_id = word(facts.get(b"x-request-id") or facts.get(b"request-id"))
    kind, coding = facts.get(b"content-type", ""), facts.get(b"content-encoding")
    stream = receive(call, answer.status_code, kind, coding, source, sending)
    sending.answered(stream.status, answer.headers, stream.monitor)
    return stream


_FACTS: Final = frozenset((b"content-type", b"content-encoding", b"x-request-id", b"request-id"))
_LENGTHS: Final = frozenset(map(len, _FACTS))


def _facts(headers: Any) -> dict[bytes, str]:
    """What we read of a response's headers, in one pass over them as they came."""
    found: dict[bytes, str] = {}
    for given, value in headers.raw:
        if len(given) in _LENGTHS and (name := given.lower()) in _FACTS:
            text = value.decode("latin-1")
            found[name] = f"{found[name]}, {text}" if name in found else text
    return found


def _answer(module: ModuleType, response: Response, request: Any, body: type[Any]) -> Any:
    """The library's response for the SDK: the one that came, with our body in it."""
    stream, native = response.stream, response.native
    if stream.staged:
        # Changed bodies leave without a coding, and longer or shorter than announced.
        if stream.monitor.coded:
            response.set_header("content-encoding", None)
        response.set_header("content-length", None)
    if native is None:
        return module.Response(response.status, headers=_own_headers(response), stream=body(stream), request=request)
    headers: Any = native.headers  # type: ignore[attr-defined]
    for name, value in response.header_changes.items():
        if value is not None:
            headers[name] = value
        elif name in headers:
            del headers[name]
    if not native.is_stream_consumed:  # type: ignore[attr-defined]
        native.stream = body(stream)  # type: ignore[attr-defined]
        return native
    # A transport that answers from memory made its response with the body read already.
    return module.Response(
        response.status,
        headers=headers,
        stream=body(stream),
        extensions=native.extensions,  # type: ignore[attr-defined]
        request=request,
    )


def _own_headers(response: Response) -> dict[str, str]:
    headers = {**response.headers, **{k: v for k, v in response.header_changes.items() if v is not None}}
    return {name: value for name, value in headers.items() if response.header(name) is not None}
