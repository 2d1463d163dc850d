"""Responses on their way to the reader: one source, some stages, exactly one end."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from interlay.chain.codings import Undone
from interlay.chain.current import current
from interlay.chain.io import IO
from interlay.chain.monitor import CUT, KEPT, Monitor
from interlay.chain.run import failure_of
from interlay.model.errors import ConfigError, ReadError, Refused, WireError, WireTimeout
from interlay.model.protocols import Codec, WireEvent
from interlay.model.record import End, Failure
from interlay.model.words import printable

if TYPE_CHECKING:
    from interlay.chain.call import Call
    from interlay.chain.run import Sending

logger = logging.getLogger("interlay.stream")


class Source(Protocol):
    """Where a response's bytes come from, in the caller's colour."""

    def plain(self) -> object:
        """An iterator, or asynchronous iterator, over the chunks: what ``direct`` streams are pulled by."""
        ...

    async def read(self) -> bytes:
        """The next network chunk; empty at the end. Raises ``WireError`` and what custom transports raise."""
        ...

    async def close(self) -> None:
        """Release the connection. Called exactly once, also after a natural end."""
        ...

    def abandon(self) -> None:
        """Release from the runner's thread, when the reader dropped the response."""
        ...


class Stage(Protocol):
    """Something that may hold, change, add or drop events. Awaits only ``call.io``."""

    holds: int
    """The most bytes this stage keeps back."""

    async def feed(self, event: WireEvent) -> list[WireEvent]: ...

    async def finish(self, end: End) -> list[WireEvent]:
        """What was held. Runs before the next stage sees the terminal event."""
        ...


Hook = Callable[[End, Failure | None], None]
Filter = Callable[[WireEvent], bytes]
"""An event's bytes as they are to be forwarded: its own, others, or none. Plain, quick, holds nothing."""
Recover = Callable[[WireError], Awaitable["Stream | None"]]
Leaving = Callable[["Stream", End], None]
Tap = Callable[["Call", Source, tuple[bytes, ...], bool], Source]


class Stream:
    """A response's body, pulled by its reader, that ends exactly once.

    Three facts are kept apart. *Told*: the end was reported to the hooks. *Released*: the connection was given
    back. *Finished*: the dialect's terminal event was seen, which alone makes an end ``complete``.
    """

    __slots__ = (
        "__weakref__",
        "_again",
        "_delivered",
        "_drained",
        "_filter",
        "_flushed",
        "_held",
        "_hooks",
        "_io",
        "_leaving",
        "_looking",
        "_recovers",
        "_released",
        "_sealing",
        "_stages",
        "_told",
        "ahead",
        "call",
        "deadline",
        "end",
        "failure",
        "monitor",
        "sending",
        "source",
        "spent",
        "status",
        "strict",
    )

    def __init__(self, source: Source, monitor: Monitor, call: Call, sending: Sending | None, status: int) -> None:
        self.source = source
        self.call = call
        """Whose response it is: a call that a stage makes is its child."""
        self.sending = sending
        """The attempt that ends with this stream."""
        self.status = status
        self._io: IO = call.io
        self._sealing: Call | None = None
        self._hooks: tuple[Hook, ...] = ()
        self._stages: tuple[Stage, ...] = ()
        self._filter: Filter | None = None
        self._leaving: Leaving | None = None
        self._recovers: tuple[tuple[Recover, int], ...] = ()
        self._told = self._released = self._delivered = self._flushed = self._drained = False
        self._looking = False
        """Whether it is read ahead: then nothing of it is delivered."""
        self._again: tuple[bytes, int] | None = None
        self.monitor = monitor
        self.deadline: float | None = None
        """A pull that is not done by this point of ``io.monotonic()`` ends the stream in a time-out."""
        self.end: End | None = None
        self.failure: Failure | None = None
        self._held: tuple[bytes, ...] = ()
        self.strict = False
        """Whether an end of bytes that is a cut is raised: what came from elsewhere than the API must not pass for what
        the API has sent."""
        self.spent = 0.0
        """Seconds that reading took beyond waiting for the source."""
        self.ahead = 0.0
        """Seconds that reading ahead took, waiting included."""

    @property
    def staged(self) -> bool:
        """Whether some stage may change what is forwarded."""
        return self._filter is not None or bool(self._stages)

    @property
    def undone(self) -> bool:
        """Whether what comes from the source has no coding any more."""
        return isinstance(self.source, Undone)

    @property
    def has_stages(self) -> bool:
        """Whether some layer may change what is forwarded."""
        return bool(self._stages)

    @property
    def direct(self) -> bool:
        """Whether nobody but the reader waits for the bytes. Then a body may pull ``source`` itself, pass each chunk
        through ``forward``, and tell how it came out: ``over``, ``broke`` and ``release``. It is what ``read`` does,
        without its awaits."""
        return self.deadline is None and not (
            self._recovers or self.strict or self._stages or self._held or self._told or self._drained
        )

    @property
    def released(self) -> bool:
        """Whether the connection was given back."""
        return self._released

    def on_end(self, hook: Hook) -> None:
        """Call ``hook(end, failure)`` at the one end, innermost layer first. A plain function without I/O; what
        it raises is logged. Called at once when the stream has ended already."""
        if self._told:
            _call(hook, self.end or "complete", self.failure)
        else:
            self._hooks = (*self._hooks, hook)

    def seals(self, call: Call) -> None:
        """Let the run of ``call`` end with this stream, after all hooks."""
        if self._told:
            call.run.seal(call, self.end or "complete", self.failure, self)
        else:
            self._sealing = call

    def add(self, stage: Stage) -> None:
        """Put a stage outside those that are there. Of an answer that is no stream it is fed one event, the whole body;
        of what cannot be read, and was read ahead, nothing.

        Raises ``ConfigError`` for an event stream that was read ahead.
        """
        if self._held or self._told:
            if self.monitor.streamed:
                raise ConfigError("a stage was put on a stream that was read ahead; put it there before buffer()")
            if self.monitor.opaque:
                return
            if self._again is None and (self._told or self._drained):
                self._again = (b"".join(self._held) if self._stages else self.monitor.body(), len(self._stages))
            self._held = ()
        self.opened()
        self._stages = (*self._stages, stage)

    def filter(self, filter: Filter) -> None:
        """Put a filter inside all stages."""
        self.opened()
        self._filter = filter

    def opened(self) -> None:
        """From now on plain bytes are forwarded: a coding is undone before anybody looks at them."""
        if not self.staged and (undo := self.monitor.spill()) is not None:
            self.source = Undone(self.source, undo, self.monitor.unpacked)

    def expire(self, deadline: float | None) -> None:
        """Let no pull go past ``deadline``; an earlier one stays."""
        if deadline is not None and (self.deadline is None or deadline < self.deadline):
            self.deadline = deadline

    def recover_with(self, recover: Recover) -> None:
        """Ask ``recover`` for another stream when the wire breaks before anything was delivered, and whoever was to be
        asked before has none. Hooks that are there already then hear of the break; later ones of how the other stream
        ends."""
        self._recovers = (*self._recovers, (recover, len(self._hooks)))

    def tap(self, tap: Tap) -> None:
        """Let what ``tap(call, source, begun, over)`` gives stand in for the source. ``begun`` is what was read ahead,
        as it came, and ``over`` whether that is all. Raises ``ConfigError`` where stages have changed it."""
        if self._stages:
            raise ConfigError("a stream that has stages is not as it came")
        self.source = tap(self.call, self.source, self._held, self._told)

    def on_leaving(self, leaving: Leaving) -> None:
        """Call ``leaving(stream, end)`` first of all at the one end: it may hand the attempt over to another stream."""
        self._leaving = leaving

    async def read(self) -> bytes:
        """The next bytes for the reader; empty at the end, and ever after. Raises what the source raises."""
        if self._held:
            self._deliver()
            chunk, *held = self._held
            self._held = tuple(held)
            return chunk
        if self._again is not None:
            # It was read ahead, past some stages or none, and has other ones now.
            (body, passed), self._again, self._flushed = self._again, None, False
            return await self._through(_one(body), self.monitor.verdict()[0], passed)
        if self._told:
            return b""
        try:
            while True:
                chunk, now = await self._pull() if not self._drained else (b"", perf_counter())
                out = await self._pass(chunk, now) if chunk else await self._finish(now)
                self.spent += perf_counter() - now
                if out or not chunk:
                    return out
        except Refused as refused:
            return await self._refused(refused)
        except BaseException as error:
            self.broke(error)
            await self.release()
            raise

    async def _refused(self, refused: Refused) -> bytes:
        """What the reader gets where a stage refuses what passes: the API's own error event, and nothing after it. Of
        an answer that is no stream nothing has left yet: there the refusal is raised, and becomes the answer."""
        failure = failure_of(refused)
        self._leave("error")
        if self.sending is not None:
            self.sending.ended(None)
        self._tell("error", failure)
        await self.release()
        dialect = self.call.dialect
        if not self.monitor.streamed or not isinstance(dialect, Codec):
            raise refused
        said = printable(str(refused))
        return dialect.encode_error_event(msgspec.structs.replace(failure, message=said))

    async def settle(self) -> None:
        """Let an answer that is no stream pass its stages before anybody has it, as far as it can be read."""
        if self._stages and not self.monitor.streamed and not self.monitor.opaque:
            await self.prefetch(KEPT)

    async def _pull(self) -> tuple[bytes, float]:
        """The source's next chunk, and when it came."""
        while True:
            try:
                if self.deadline is None:
                    return await self.source.read(), perf_counter()
                return await self._io.until(self.deadline, self.source.read), perf_counter()
            except WireError as error:
                if not await self._recovered(error):
                    raise

    async def _pass(self, chunk: bytes, now: float) -> bytes:
        """What the reader gets of a chunk that came; empty while stages hold it."""
        if not self._stages:
            out = self.forward(chunk, now)
        else:
            events = self.monitor.feed(chunk, now)
            out = await self._through(events) if events else b""
            if self.monitor.opaque:
                out += await self._unread()
        if out:
            self._deliver()
        return out

    @property
    def forward(self) -> Callable[[bytes, float], bytes]:
        """What looks at a chunk that came, and when; it gives what of it goes on where there is no stage."""
        return self.monitor.note if self._filter is None else self._pick

    def _pick(self, chunk: bytes, now: float) -> bytes:
        return self._filtered(self.monitor.cut(chunk, now))

    def _filtered(self, events: list[WireEvent]) -> bytes:
        change: Any = self._filter
        out: bytes = change(events[0]) if len(events) == 1 else b"".join([change(event) for event in events])
        return out + self._spilled(out) if self.monitor.opaque else out

    def _deliver(self) -> None:
        # What was delivered is never replayed.
        if not self._looking:
            self._delivered, self._recovers = True, ()

    async def prefetch(self, limit: int) -> bytes | None:
        """Read up to ``limit`` bytes as they came and hold them for the reader. The whole plain body, or None when
        it is longer. Raises what the source raises."""
        began = perf_counter()
        size = 0
        try:
            while (self._again is not None or not self._told) and self.monitor.bytes <= limit and size <= limit:
                held, monitor, self._held = self._held, self.monitor, ()
                self._looking = True
                chunk = await self.read()
                if self.monitor is not monitor:
                    held, size = (), 0  # it began anew, from another source
                self._held = (*held, chunk) if chunk else held
                size += len(chunk)
        finally:
            self._looking = False
            self.ahead += perf_counter() - began
        if not self._told:
            return None
        return b"".join(self._held) if self._stages else self.monitor.body()

    async def close(self) -> None:
        """The reader is done. Idempotent."""
        self._held = ()
        if not self._told:
            error = sys.exc_info()[1]
            if isinstance(error, BaseException) and not isinstance(error, Exception | GeneratorExit):
                # The reader closes because its task is being cancelled, or for Ctrl-C.
                self._tell("cancelled", Failure(type="cancelled"), outside=True)
            else:
                self._tell("closed", outside=True)
        await self.release()

    def over(self, now: float) -> bytes:
        """The source has no more bytes. Gives what is left of an event that was not ended, where there is a filter;
        once nothing is left it tells the end."""
        if not self._drained:
            self._drained = True
            rest = self.monitor.finish(now)
            if rest and self._filter is not None and (out := self._filtered(rest)):
                return out
        self.spent += perf_counter() - now
        if not self._told:
            if self.strict and self._is_cut():
                raise ReadError("the answer ends before its end")
            self._end_of_bytes()
        return b""

    def _is_cut(self) -> bool:
        """Whether bytes that end here are not all of it. Of a body trackers forgive much."""
        monitor = self.monitor
        if monitor.verdict()[1] is CUT:
            return True
        if monitor.streamed or monitor.opaque or monitor.tracker is None:
            return False
        try:
            msgspec.json.decode(monitor.body(), type=msgspec.Raw)
        except msgspec.DecodeError:
            return True
        return False

    def broke(self, error: BaseException) -> None:
        """The source, a stage or the reader's own program raised: tells the end."""
        if isinstance(error, Exception):
            kind = error.kind if isinstance(error, WireError) else type(error).__name__
            self._tell("error", Failure(type=kind), outside=True)
        else:
            self._tell("cancelled", Failure(type="cancelled"), outside=True)

    async def release(self) -> None:
        """Give the connection back, once, whatever is cancelled meanwhile."""
        if not self._released:
            self._released = True
            try:
                await self._io.shield(self.source.close)
            except WireTimeout:
                # The reader has its answer: that its connection hangs is no error of the call.
                logger.warning("a connection was not given back in time; it is left to itself")

    def release_now(self) -> None:
        """The same from code that cannot await, in the synchronous colour."""
        if not self._released:
            self._released = True
            self.source.abandon()

    def __del__(self) -> None:
        # A finaliser can run inside any other code, so it may take no lock: the runner does the rest.
        if not self._released:
            self._io.runner.put(self._lose)

    def _lose(self) -> None:
        try:
            self._tell("lost", outside=True)
        finally:
            if not self._released:
                # An SDK's own clean-up may be on its way in the reader's loop: whichever is first there releases.
                self.source.abandon()

    async def _through(self, events: list[WireEvent], end: End | None = None, passed: int = 0) -> bytes:
        """Send events through the stages, innermost first, less those that they have ``passed``."""
        token = current.set(self.call)
        try:
            return await self._run_stages(events, end, passed)
        finally:
            current.reset(token)

    async def _run_stages(self, events: list[WireEvent], end: End | None, passed: int) -> bytes:
        terminal = self.monitor.terminal
        if (change := self._filter) is not None:
            changed = [(event, change(event)) for event in events]
            events = [event if raw is event.raw else WireEvent(raw, event.name, None) for event, raw in changed if raw]
        last = end is not None and not self._flushed
        for stage in self._stages[passed:] if passed else self._stages:
            out: list[WireEvent] = []
            for event in events:
                if event is terminal and not self._flushed:
                    out += await stage.finish("complete")
                out += await stage.feed(event)
            if last and end is not None:
                out += await stage.finish(end)
            events = out
        if terminal is not None or last:
            self._flushed = True
        return b"".join([event.raw for event in events])

    async def _unread(self) -> bytes:
        """Events cannot be cut any more: what stages hold leaves, and the rest is forwarded as it comes."""
        held = b"" if self._flushed else await self._through([], "error")
        return held + self._spilled(held)

    def _spilled(self, before: bytes) -> bytes:
        """The plain bytes that could not be cut into events. Raises what damaged them when there is nothing to give."""
        spilled = self.monitor.spilled()
        if not spilled and not before and self.monitor.damaged is not None:
            raise self.monitor.damaged
        return spilled

    async def _finish(self, now: float) -> bytes:
        """The end of bytes. What stages held leaves first; the pull after that tells the end."""
        if self._stages and not self._drained:
            self._drained = True
            rest = self.monitor.finish(now)
            end = self.monitor.verdict()[0]
            if not (self.monitor.streamed or self.monitor.opaque):
                rest = _one(self.monitor.body())
            if out := await self._through(rest, end):
                self._deliver()
                return out
        try:
            out = self.over(now)
        except ReadError as error:
            if not await self._recovered(error):
                raise
            return await self.read()
        if out:
            return out
        await self.release()
        return b""

    def _end_of_bytes(self) -> None:
        call, monitor = self._sealing, self.monitor
        if call is None or self._hooks or self.status >= 400 or not monitor.can_wait or call.run.is_watched:
            self._tell(*monitor.verdict())
            return
        # Nobody asks what the body says before there is a record: then it is read, and the end told from it.
        self._told = True
        if self.sending is not None:
            self.sending.ended(None)
        call.run.seal(call, None, None, self)

    async def _recovered(self, error: WireError) -> bool:
        recovers, self._recovers = self._recovers, ()
        if not recovers or self._delivered or (self._stages and self.monitor.streamed and self.monitor.chunks):
            return False  # what stages were fed cannot be taken back either
        self._leave("error")
        if self.sending is not None:
            self.sending.ended(Failure(type=error.kind))
        told, rest, fresh = 0, list(recovers), None
        while rest and fresh is None:
            recover, inner = rest.pop(0)
            for hook in self._hooks[told:inner]:
                _call(hook, "error", Failure(type=error.kind))
            told = inner
            await self.release()
            fresh = await recover(error)
            if fresh is not None and not self.staged and self.monitor.coded and not fresh.monitor.coded:
                # The reader was told of a coding.
                await fresh.close()
                fresh = None
        self._hooks = self._hooks[told:]
        if fresh is None:
            self._released = True
            return False
        if self.staged or not self.monitor.coded:
            fresh.opened()
        self._take(fresh, [(recover, inner - told) for recover, inner in rest])
        return True

    def _take(self, fresh: Stream, recovers: list[tuple[Recover, int]]) -> None:
        """Go on with another stream's source, as if it had been ours."""
        known = len(fresh._hooks)
        for hook in self._hooks:
            fresh.on_end(hook)
        self.source, self.monitor, self.status, self.sending = fresh.source, fresh.monitor, fresh.status, fresh.sending
        self._hooks, self._leaving, self.strict = fresh._hooks, fresh._leaving, fresh.strict
        self._recovers = (*fresh._recovers, *((recover, known + inner) for recover, inner in recovers))
        self._stages = (*fresh._stages, *(stage for stage in self._stages if stage not in fresh._stages))
        self.expire(fresh.deadline)
        self._released = self._drained = False
        fresh._told = fresh._released = True

    def _leave(self, end: End) -> None:
        """Whoever shares the source goes on without this stream."""
        leaving, self._leaving = self._leaving, None
        if leaving is not None:
            leaving(self, end)

    def _tell(self, end: End, failure: Failure | None = None, *, outside: bool = False) -> None:
        """Report the end, once. One that came from ``outside``, as a reader's or the wire's does, says nothing against
        an answer that was over by its own word."""
        if self._told:
            return
        self._told = True
        self.monitor.catch_up()
        tracker = self.monitor.tracker
        if tracker is not None and outside:
            if self.monitor.streamed and not tracker.finished and end in ("closed", "lost"):
                # The framer may still wait for the second half of a line end. Where the wire broke, or nobody waited,
                # an event without its end never came.
                self.monitor.finish(perf_counter())
            if tracker.failure is not None:
                end, failure = "error", tracker.failure
            elif tracker.finished and (end in ("closed", "lost") or self._flushed or not self._stages):
                # In an error or a cancellation, what a stage still held has not reached the reader.
                end, failure = "complete", None
        if self.status >= 400 and end in ("closed", "lost", "complete"):
            end = "error"
        self.end, self.failure = end, failure
        self._leave(end)
        if self.sending is not None:
            try:
                self.sending.ended(failure)
            except Exception:
                logger.exception("the end of an attempt could not be recorded")
        if self._hooks:
            hooks, self._hooks = self._hooks, ()
            for hook in hooks:
                _call(hook, end, failure)
        if (call := self._sealing) is not None:
            call.run.seal(call, end, failure, self)


def _one(body: bytes) -> list[WireEvent]:
    """An answer that is no stream, as an event."""
    return [WireEvent(body, None, body)] if body else []


def _call(hook: Hook, end: End, failure: Failure | None) -> None:
    try:
        hook(end, failure)
    except Exception:
        logger.exception("an end hook failed")


def lose_open() -> None:
    """Tell every stream that nobody has read to its end that it is lost, for the process ends. Finalisers would do it
    later, but then modules are half gone. The collector is asked for them, so that no call pays for a list."""
    for found in gc.get_objects():
        if type(found) is Stream:
            found._tell("lost", outside=True)  # noqa: SLF001 - its own


class Bytes:
    """A body from memory, as a source."""

    __slots__ = ("_body",)

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self) -> bytes:
        body, self._body = self._body, b""
        return body

    def plain(self) -> Bytes:
        return self

    def __iter__(self) -> Bytes:
        return self

    def __next__(self) -> bytes:
        body, self._body = self._body, b""
        if not body:
            raise StopIteration
        return body

    def __aiter__(self) -> Bytes:
        return self

    async def __anext__(self) -> bytes:
        try:
            return next(self)
        except StopIteration:
            raise StopAsyncIteration from None

    async def close(self) -> None:
        self._body = b""

    def abandon(self) -> None:
        self._body = b""
