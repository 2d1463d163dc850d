"""One response that several calls read, each at its own pace.

Its network chunks are kept from the first one on, so that whoever comes later gets them all, and the source is pulled
by whoever needs the next one: nobody waits for another's reader. Readers are of one colour: threads, or the tasks of
one event loop.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import anyio

from interlay.chain.aio import AsyncIO, Loop
from interlay.chain.io import IO, Signal, drive
from interlay.chain.monitor import KEPT, Monitor
from interlay.chain.stream import Bytes, Source, Stream
from interlay.model.errors import ReadError, WireError
from interlay.model.record import End

if TYPE_CHECKING:
    from interlay.chain.call import Call

LIMIT: Final = KEPT
"""Bytes that are kept. A longer response is joined no more; whoever is further than this behind its owner has lost it,
and so has whoever is further ahead of its owner."""


def share(stream: Stream) -> Shared:
    """Let other calls read along with ``stream``, whose stages, if it is given any, are its own.

    Whoever joins gets the bytes as they came. The attempt belongs to whoever reads them to their end: when its stream
    ends early, and there is another that goes on, it is that one's.
    """
    shared = _Tasks() if isinstance(stream.call.io, AsyncIO) else _Threads()
    stream.tap(shared.begin)
    shared.admit(stream)
    return shared


class Reader:
    """One call's way through a shared response: a source like any other."""

    __slots__ = ("__weakref__", "_left", "at", "io", "owns", "shared")

    def __init__(self, shared: Shared, io: IO, *, owns: bool) -> None:
        self.shared = shared
        self.io = io
        self.owns = owns
        """Whether the response came for this reader: what breaks it is raised here as it is."""
        self.at = 0
        """The next chunk's number."""
        self._left = False
        shared._enter(self)  # noqa: SLF001 - of this module

    def plain(self) -> Reader:
        return self

    def __iter__(self) -> Reader:
        return self

    def __next__(self) -> bytes:
        shared = self.shared
        assert isinstance(shared, _Threads)
        try:
            chunk = shared.take(self, shared.pull_plain)
        except WireError as error:
            raise _original(error) from None
        if chunk:
            return chunk
        raise StopIteration

    def __aiter__(self) -> Reader:
        return self

    async def __anext__(self) -> bytes:
        shared = self.shared
        assert isinstance(shared, _Tasks)
        try:
            chunk = await shared.take(self, shared.pull_plain)
        except WireError as error:
            raise _original(error) from None
        if chunk:
            return chunk
        raise StopAsyncIteration

    async def read(self) -> bytes:
        shared = self.shared
        if isinstance(shared, _Tasks):
            return await shared.take(self, shared.pull)
        assert isinstance(shared, _Threads)
        return shared.take(self, shared.pull)

    async def close(self) -> None:
        if not self._left:
            self._left = True
            await self.shared.leave(self)

    def abandon(self) -> None:
        if not self._left:
            self._left = True
            self.shared.drop(self)


class Shared:
    """What its readers have in common."""

    def __init__(self) -> None:
        self._source: Source = Bytes(b"")
        self._streams: list[weakref.ref[Stream]] = []
        self.payer: Call | None = None
        """The call that the attempt belongs to."""
        self._chunks: list[bytes] = []
        self._read: Monitor | None = None
        """That of a stream that was complete: it has seen what the answer used, if the owner has not."""
        self._gone = 0
        """How many of the first chunks are not kept any more."""
        self._size = 0
        """Bytes that are kept."""
        self._count = 0
        self._readers: weakref.WeakSet[Reader] = weakref.WeakSet()
        self._owner: weakref.ref[Reader] | None = None
        self._pulling = False
        self._over = False
        self._error: BaseException | None = None
        self._woken: Signal | None = None
        self._lock = threading.Lock()

    def begin(self, call: Call, source: Source, begun: tuple[bytes, ...], over: bool) -> Reader:  # noqa: FBT001
        """The first reader: ``begun`` is what was read ahead of ``source``, and ``over`` whether that is all."""
        self._source, self.payer = source, call
        for chunk in begun:
            self._append(chunk)
        self._over = over
        reader = Reader(self, call.io, owns=True)
        reader.at = len(begun)
        return reader

    def admit(self, stream: Stream) -> None:
        """``stream`` reads this response. Raises nothing, and may be called before its end alone."""
        if stream.end == "complete":
            self._read = stream.monitor  # all of it was read ahead
        with self._lock:
            self._streams.append(weakref.ref(stream))
        stream.on_leaving(self._part)

    @property
    def was_read(self) -> bool:
        """Whether some stream has come to its end by it, and not by another source that took its place."""
        return self._read is not None

    @property
    def deserted(self) -> bool:
        """Whether no stream reads it any more."""
        return all(ref() is None for ref in self._streams)

    def _part(self, stream: Stream, end: End) -> None:
        """A stream ends."""
        with self._lock:
            self._streams = [ref for ref in self._streams if (each := ref()) is not None and each is not stream]
            sending = stream.sending
            if end == "complete":
                self._read = stream.monitor
            if sending is None or end == "complete" or not self.intact:
                return
            heir = next((each for ref in self._streams if (each := ref()) is not None), None)
            if heir is None:
                if self._read is not None:
                    sending.monitor = self._read
                return
            was, now = stream.call, heir.call
            stream.sending, heir.sending = None, sending
            was.run.sendings.remove(sending)
            now.run.sendings.append(sending)
            sending.call, sending.monitor, self.payer = now, heir.monitor, now
        was.run.links = (*was.run.links, now.link("heir"))

    def join(self, io: IO) -> Reader | None:
        """Another reader, from the first byte on. None when that is not to be had any more."""
        with self._lock:
            if self._gone or self._error is not None or not (self._count or self._over):
                return None
            return Reader(self, io, owns=False)

    def kept(self) -> list[bytes] | None:
        """All chunks that came so far; None when some are not kept any more."""
        with self._lock:
            return None if self._gone else list(self._chunks)

    @property
    def intact(self) -> bool:
        """Whether the source can still be read, or was read to its end."""
        return self._error is None

    async def leave(self, reader: Reader) -> None:
        """A reader is done. The last one closes the source."""
        raise NotImplementedError

    def drop(self, reader: Reader) -> None:
        """The same from the runner's thread."""
        raise NotImplementedError

    def _enter(self, reader: Reader) -> None:
        self._count += 1
        self._readers.add(reader)
        if reader.owns:
            self._owner = weakref.ref(reader)

    def _exit(self, reader: Reader) -> bool:
        """Whether it was the last."""
        with self._lock:
            self._count -= 1
            self._readers.discard(reader)
            if reader.owns:
                self._owner = None
            return not self._count

    # What follows is called with the lock held, where there are threads.

    def _ready(self, reader: Reader) -> bytes | None:
        """The reader's next chunk, empty at the end; None when it has to be pulled. Raises what broke the source."""
        place = reader.at - self._gone
        if place < 0:
            raise ReadError("this reader of a shared answer fell behind")
        if self._error is not None and not (reader.at or reader.owns):
            # Who has nothing yet can still turn to another source.
            raise ReadError("the shared answer broke off")
        if place < len(self._chunks):
            reader.at += 1
            return self._chunks[place]
        if (error := self._error) is not None:
            raise error if reader.owns else ReadError("the shared answer broke off")
        if self._over:
            return b""
        if self._size > LIMIT and not self._make_room(reader):
            raise ReadError("this reader of a shared answer is too far ahead of another")
        return None

    def _make_room(self, reader: Reader) -> bool:
        """Let go of what all have had; if that is not enough, of what the owner has had."""
        self._let_go(min((each.at for each in self._readers), default=reader.at))
        if self._size > LIMIT:
            owner = self._owner() if self._owner is not None else None
            self._let_go(reader.at if owner is None else owner.at)
        return self._size <= LIMIT

    def _let_go(self, number: int) -> None:
        if (passed := number - self._gone) > 0:
            self._size -= sum(map(len, self._chunks[:passed]))
            del self._chunks[:passed]
            self._gone = number

    def _append(self, chunk: bytes) -> None:
        if chunk:
            self._chunks.append(chunk)
            self._size += len(chunk)
        else:
            self._over = True

    def _wake(self) -> None:
        signal, self._woken = self._woken, None
        if signal is not None:
            signal.set()


class _Threads(Shared):
    """Read by threads, each of which may pull."""

    def take(self, reader: Reader, pull: Callable[[], bytes]) -> bytes:
        """The reader's next chunk, by ``pull`` where it has to be pulled; empty at the end."""
        while True:
            with self._lock:
                if (chunk := self._ready(reader)) is not None:
                    return chunk
                if not self._pulling:
                    self._pulling = True
                    break
                if self._woken is None:
                    self._woken = reader.io.signal()
                signal = self._woken
            drive(signal.wait(reader.io.left()))
        try:
            chunk = pull()
        except BaseException as error:
            with self._lock:
                self._error, self._pulling = error, False
                self._wake()
            raise
        with self._lock:
            self._append(chunk)
            reader.at += 1 if chunk else 0
            self._pulling = False
            self._wake()
        return chunk

    def pull(self) -> bytes:
        return drive(self._source.read())

    def pull_plain(self) -> bytes:
        chunks: Any = self._source.plain()
        for chunk in chunks:
            if chunk:
                return chunk  # type: ignore[no-any-return]
        return b""

    async def leave(self, reader: Reader) -> None:
        if self._exit(reader):
            await self._source.close()

    def drop(self, reader: Reader) -> None:
        if self._exit(reader):
            self._source.abandon()


class _Tasks(Shared):
    """Read by tasks of one event loop. As long as there is one reader it pulls in its own task. Where there are more,
    whoever is cancelled must not break the pull that others wait for: then each has a task of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = Loop()
        self._alone = False
        """Whether the pull that is under way can be cancelled with its reader's task. Until it is over nobody else is
        given anything, as those who have nothing yet can still turn to another source."""
        self._scope: anyio.CancelScope | None = None

    async def take(self, reader: Reader, pull: Callable[[], Awaitable[bytes]]) -> bytes:
        """The reader's next chunk, by ``pull`` where it has to be pulled; empty at the end."""
        while True:
            if not self._alone and (chunk := self._ready(reader)) is not None:
                return chunk
            if not self._pulling:
                self._pulling = True
                if self._count == 1:
                    return await self._pull_alone(reader, pull)
                self._loop.spawn(self._pull_beside)
            if self._woken is None:
                self._woken = reader.io.signal()
            await self._woken.wait()

    async def _pull_alone(self, reader: Reader, pull: Callable[[], Awaitable[bytes]]) -> bytes:
        self._alone = True
        try:
            chunk = await pull()
        except BaseException as error:
            self._error = error
            raise
        else:
            self._append(chunk)
            reader.at += 1 if chunk else 0
        finally:
            self._pulling = self._alone = False
            self._wake()
        return chunk

    async def _pull_beside(self) -> None:
        try:
            with anyio.CancelScope() as scope:
                self._scope = scope
                if self._count:
                    self._append(await self._source.read())
        except Exception as error:  # noqa: BLE001 - raised by whoever reads next
            self._error = error
        except BaseException:
            self._error = ReadError("the event loop ended")
            raise
        finally:
            self._scope, self._pulling = None, False
            self._wake()
            if not self._count:
                with anyio.CancelScope(shield=True):
                    await self._source.close()

    async def pull(self) -> bytes:
        return await self._source.read()

    async def pull_plain(self) -> bytes:
        chunks: Any = self._source.plain()
        async for chunk in chunks:
            if chunk:
                return chunk  # type: ignore[no-any-return]
        return b""

    async def leave(self, reader: Reader) -> None:
        if not self._exit(reader):
            return
        if self._pulling and not self._alone:
            # A source cannot be closed while it is read: whoever reads it closes it.
            if self._scope is not None:
                self._scope.cancel()
        else:
            await self._source.close()

    def drop(self, reader: Reader) -> None:
        async def leave() -> None:
            await self.leave(reader)

        self._loop.spawn(leave)


def _original(error: WireError) -> BaseException:
    """The HTTP library's own exception, for who reads by ``plain``."""
    return error if error.__cause__ is None else error.__cause__
