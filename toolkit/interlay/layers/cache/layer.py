"""Cache: equal requests get equal answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import ClassVar, Final, Literal, NamedTuple

from interlay.chain.aio import AsyncIO
from interlay.chain.call import Call, Response
from interlay.chain.io import IO, SyncIO, drive
from interlay.chain.key import VARIES, Question, Unfit, question
from interlay.chain.layer import Mode, Next, Role
from interlay.chain.receiving import receive
from interlay.chain.runner import Runner
from interlay.chain.shared import LIMIT
from interlay.chain.stream import Stream
from interlay.layers.cache.answers import BODY, Answer, Asked, asked_by, give
from interlay.layers.cache.flight import Flight
from interlay.layers.cache.settings import seal_of, secret_of, time_of, words_of
from interlay.layers.rehearsal import CacheRehearsal, bound_of
from interlay.model import caching
from interlay.model.arguments import is_number, shown
from interlay.model.caching import Directives
from interlay.model.errors import ConfigError, Refused, WireError, WireTimeout
from interlay.model.record import CacheOutcome, End, Failure, Link
from interlay.model.secrets import Secret
from interlay.stores import open_store
from interlay.stores.entry import Entry
from interlay.stores.guarded import GuardedStore
from interlay.stores.memory import MemoryStore
from interlay.stores.sealing import Seal
from interlay.stores.shelf import Shelf
from interlay.stores.store import Stats, Store
from interlay.stores.tiers import Tiers

logger = logging.getLogger("interlay.cache")

_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.25
_FAILURES: Final = frozenset({408, 429, 500, 502, 503, 504, 529})
"""Statuses that say that the provider cannot answer now: RFC 5861's, and what APIs of models say when they are busy."""
_SKEW: Final = 300.0
"""Seconds that clocks may differ by. An entry that is younger than that was made by a clock that cannot be trusted."""


class Visit(NamedTuple):
    """A call, and all that decides how it is answered."""

    call: Call
    next: Next
    question: Question
    asked: Asked
    said: Directives
    began: float
    """Seconds since the epoch."""
    clock: float
    """The same by ``io.monotonic()``."""


class Cache:
    """Give an answer that was given before to whoever asks the same, streams included, and ask once what many ask at
    the same time.

    What is the same: the whole request but for the few members that cannot change the answer, on behalf of the same
    tenant (``using(tenant=…)``), else with the same credentials. It holds at any temperature. Never kept are errors,
    refused and filtered answers, streams that did not come to their end, and requests whose answer depends on more than
    themselves: what the provider keeps, its own tools, uploaded files.

    Callers may say otherwise, call by call: by ``using(cache=…)`` or the header ``cache-control`` (RFC 9111), such as
    ``no-store``, ``no-cache``, ``max-age=60``, ``only-if-cached``. Responses have ``age`` and ``cache-status``
    (RFC 9211).

    Args:
        store: where answers are kept. ``"memory"`` (256 MB), ``"memory:1GB"``, ``"disk:PATH"``, ``"redis://…"``, a
            ``Store``, or a list of these, the nearest first. One that is down, slow or full is a miss.
        ttl: how long an answer is fresh: seconds, or words such as ``"10m"``, ``"1h"``, ``"7d"``.
        stale_while_revalidate: for how long after that it is still given, while it is asked for anew.
        stale_if_error: for how long after that it is given if the provider fails.
        max_temperature: requests with a higher temperature, or none, which is the API's own, are not answered.
        vary_by: what of ``using()`` keeps answers apart beside the tenant: ``user``, ``session``, ``key``, ``tags``.
        tags: words by which all that this cache keeps can be forgotten, beside those of ``using(tags=…)``.
        single_flight: whether calls that ask the same at the same time share one request.
        lease: for how long a process may keep others, who share its store, from sending the same request, while it
            waits for a plain answer; 0 for not at all.
        encrypt: 16, 24 or 32 bytes, also in base64, or a ``Seal``: what is kept can then be read with it only.
        secret: keys the digest of credentials by which answers are kept apart.
        mode: ``"shadow"`` looks, keeps and records what it would have given, and gives nothing.

    Raises ``ConfigError`` for arguments that are none of these.
    """

    role: ClassVar[Role] = Role.CACHE

    def __init__(  # noqa: PLR0913 - each is a setting
        self,
        store: str | Store | Sequence[str | Store] = "memory",
        *,
        ttl: float | str = "1h",
        stale_while_revalidate: float | str = 0,
        stale_if_error: float | str = 0,
        max_temperature: float | None = None,
        vary_by: Sequence[str] = (),
        tags: Sequence[str] = (),
        single_flight: bool = True,
        lease: float | str = "1m",
        encrypt: Seal | Secret | bytes | str | None = None,
        secret: Secret | bytes | str = b"",
        mode: Mode = "on",
    ) -> None:
        self.ttl = time_of("ttl", ttl)
        self.stale_while_revalidate = time_of("stale_while_revalidate", stale_while_revalidate)
        self.stale_if_error = time_of("stale_if_error", stale_if_error)
        self.lease = time_of("lease", lease)
        if max_temperature is not None and not (is_number(max_temperature) and max_temperature >= 0):
            raise ConfigError(f"Cache(max_temperature={shown(max_temperature)}): expected a number, 0 or more")
        self.max_temperature = max_temperature
        self.vary_by = words_of("vary_by", vary_by)
        if unknown := sorted(set(self.vary_by) - VARIES):
            raise ConfigError(f"Cache(vary_by={shown(unknown[0])}): expected some of {', '.join(sorted(VARIES))}")
        self.tags = words_of("tags", tags)
        if mode not in ("on", "shadow"):
            raise ConfigError(f"Cache(mode={shown(mode)}): expected 'on' or 'shadow'")
        self.mode = mode
        self.single_flight = single_flight
        self._secret = secret_of(secret)
        opened = open_store(store)
        # One of the caller's own may be slow, or raise anything.
        safe = isinstance(opened, MemoryStore | GuardedStore | Tiers)
        self.store = opened if safe else GuardedStore(opened)
        self._shelf = Shelf(self.store, seal_of(encrypt))
        self._leases = self.lease > 0 and not isinstance(self.store, MemoryStore)
        self._state = _State(None)
        self._states: dict[object, _State] = {}

    async def __call__(self, call: Call, next: Next) -> Response:
        began, clock = call.io.time(), call.io.monotonic()
        asking = question(call, vary_by=self.vary_by, secret=self._secret)
        if isinstance(asking, Unfit):
            return await self._bypass(call, next, asking.reason)
        call.run.key = asking.key
        said = call.notes.get(Directives, caching.NONE)
        if asking.control is not None:
            said = caching.joined(said, caching.of_header(asking.control.decode("latin-1")))
        if said.no_store:
            return await self._bypass(call, next, "no-store")
        if self.max_temperature is not None and _temperature(call) > self.max_temperature:
            return await self._bypass(call, next, "temperature")
        visit = Visit(call, next, asking, asked_by(call), said, began, clock)
        if self.mode == "shadow":
            return await self._shadow(visit)
        return await self._visit(visit)

    async def _bypass(self, call: Call, next: Next, reason: str) -> Response:
        call.run.cache = CacheOutcome(outcome="bypass", reason=reason, shadow=self.mode == "shadow")
        return await next(call)

    async def _visit(self, visit: Visit) -> Response:
        written = self._shelf.written
        entry = await self._shelf.find(visit.call.io, visit.question.key, visit.question.scope)
        outcome, reason = self._judge(visit, entry)
        if outcome != "miss" and entry is not None:
            if (response := self._give(visit, entry, outcome, reason)) is not None:
                if reason == "revalidating":
                    self._refresh(visit)
                return response
            reason = "form"
        if reason == "absent" and self._is_away():
            self._note(visit, "error", "store")
        else:
            self._note(visit, "miss", reason)
        if visit.said.only_if_cached:
            raise Refused("there is no stored answer, and none was to be asked for", status=504, type="only_if_cached")
        if self.single_flight and not visit.said.no_cache:
            return await self._together(visit, entry, written)
        return await self._send(visit, entry, self._flight(visit))

    async def _shadow(self, visit: Visit) -> Response:
        entry = await self._shelf.find(visit.call.io, visit.question.key, visit.question.scope)
        outcome, reason = self._judge(visit, entry)
        self._note(visit, outcome, reason, age=None if entry is None else max(visit.began - entry.created, 0.0))
        return await self._send(visit, None, self._flight(visit))

    def _is_away(self) -> bool:
        """Whether nobody can know what is stored: the store is down or slow. Of several the last one decides."""
        last = getattr(self.store, "stores", (self.store,))[-1]
        return bool(getattr(last, "is_away", False))

    def _judge(self, visit: Visit, entry: Entry | None) -> tuple[Literal["hit", "stale", "miss"], str]:
        """Whether an entry may be given now, and why or why not."""
        said = visit.said
        if said.no_cache:
            return "miss", "no-cache"
        if entry is None:
            return "miss", "absent"
        age = visit.began - entry.created
        overdue = visit.began + said.min_fresh - entry.fresh_until
        if age < -_SKEW or (said.max_age is not None and age > said.max_age):
            return "miss", "expired"
        if overdue < 0:
            return "hit", "fresh"
        if overdue <= said.max_stale:
            return "stale", "max-stale"
        if overdue <= self.stale_while_revalidate and not said.min_fresh:
            return "stale", "revalidating"
        return "miss", "expired"

    def _give(self, visit: Visit, entry: Entry, outcome: Literal["hit", "stale"], reason: str) -> Response | None:
        """The answer that is stored; None where it cannot be given in the form that is wanted."""
        age = max(visit.began - entry.created, 0.0)
        rest = int(entry.fresh_until - visit.began)
        headers = {"age": str(int(age)), "cache-status": f"interlay; hit; ttl={rest}"}
        response = give(visit.call, entry, visit.asked, headers)
        if response is not None:
            self._note(visit, outcome, reason, age=age)
            _link(visit.call, entry.record_id, entry.trace_id, entry.span_id)
        return response

    def _note(
        self,
        visit: Visit,
        outcome: Literal["hit", "miss", "stale", "bypass", "error"],
        reason: str,
        *,
        age: float | None = None,
    ) -> None:
        call = visit.call
        call.run.cache = CacheOutcome(
            outcome=outcome,
            reason=reason,
            age=age,
            entry=visit.question.key[:16],
            started_at=visit.began,
            seconds=call.io.monotonic() - visit.clock,
            shadow=self.mode == "shadow",
        )

    # What is stored.

    def _keep(self, visit: Visit, flight: Flight, *, leased: bool) -> None:
        """An answer is complete: have it written, and give it to who asks meanwhile."""
        call, shelf = visit.call, self._shelf
        now = call.io.time()
        payer = flight.shared.payer or call
        trace = payer.trace
        entry = Entry(
            key=visit.question.key,
            status=flight.status,
            headers=tuple((name, value) for name, value in flight.headers.items() if name != "content-encoding"),
            form=visit.asked.form,
            body=b"",
            created=now,
            fresh_until=now + (self.ttl if visit.said.ttl is None else visit.said.ttl),
            record_id=payer.id,
            scope=visit.question.scope,
            tags=tuple(dict.fromkeys((*self.tags, *call.identity.tags, *visit.said.tags))),
            trace_id=None if trace is None else trace.trace_id,
            span_id=None if trace is None else trace.span_id,
            shows_usage=flight.shows_usage,
            seconds=call.io.monotonic() - visit.clock,
        )
        answer = Answer(call, flight.shared, entry, flight.headers.get("content-encoding"))
        runner, owner = call.io.runner, call.id
        shelf.put(
            call.io,
            entry.key,
            answer,
            grace=max(self.stale_while_revalidate, self.stale_if_error),
            epoch=flight.epoch,
            then=(lambda: shelf.release(runner, entry.key, owner)) if leased else None,
        )

    def _release(self, visit: Visit) -> None:
        shelf, runner, key, owner = self._shelf, visit.call.io.runner, visit.question.key, visit.call.id
        visit.call.io.later(lambda: shelf.release(runner, key, owner))

    def _landing(
        self, visit: Visit, flight: Flight, name: Hashable, *, leased: bool
    ) -> Callable[[End, Failure | None], None]:
        """What is done at the end of each stream that reads what a flight brings, which ``visit`` has sent for."""

        def landed(end: End, _failure: Failure | None) -> None:
            if end == "complete" and flight.shared.was_read:
                if not flight.kept:
                    flight.kept = True
                    self._keep(visit, flight, leased=leased)
                flight.end("over")
            elif flight.shared.deserted or not flight.shared.intact:
                flight.end("left")
            if flight.state != "open":
                self._here(visit.call).landed(name, flight)
                if leased and not flight.kept:
                    self._release(visit)

        return landed

    def _flight(self, visit: Visit) -> Flight:
        return Flight(visit.call.io.signal(), self._shelf.epoch)

    # What is asked of the provider.

    async def _together(self, visit: Visit, stale: Entry | None, written: int) -> Response:
        """Send a request, or read along with a call that has sent the same."""
        call, io = visit.call, visit.call.io
        state = self._here(call)
        accepted = call.request.header("accept-encoding")
        # Who comes after something was forgotten does not join what began before.
        name = (io.domain, visit.question.key, visit.asked, accepted, self._shelf.epoch)
        while True:
            flight = self._flight(visit)
            other = state.flights.setdefault(name, flight)
            if other is flight:
                try:
                    found = await self._again(visit, "fresh") if self._shelf.written != written else None
                except BaseException:
                    state.left(name, flight)
                    raise
                if found is not None:
                    state.left(name, flight)
                    return found
                return await self._send(visit, stale, flight, name)
            waits = [seconds for seconds in (io.left(), call.request.patience()) if seconds is not None]
            await other.ready.wait(min(waits, default=None))
            if other.state in ("open", "over") and (response := await self._follow(visit, other)) is not None:
                return response
            if other.state in ("open", "failed"):
                return await self._send(visit, stale, self._flight(visit))
            written, over = self._shelf.written, other.state == "over"
            if (response := await self._again(visit, "shared")) is not None:
                return response
            if over:
                # What is not kept would be sent for by all that waited, one after the other.
                return await self._send(visit, stale, self._flight(visit))

    async def _again(self, visit: Visit, reason: str) -> Response | None:
        """Look once more: somebody has written."""
        entry = await self._shelf.find(visit.call.io, visit.question.key, visit.question.scope)
        if entry is None or self._judge(visit, entry)[0] != "hit":
            return None
        return self._give(visit, entry, "hit", reason)

    async def _follow(self, visit: Visit, flight: Flight) -> Response | None:
        """Read along. None where that is not to be had any more."""
        call, io = visit.call, visit.call.io
        reader = flight.shared.join(call.io)
        if reader is None:
            return None
        call.run.asked_usage = flight.shows_usage and not visit.asked.shows_usage
        headers = {**flight.headers, "cache-status": "interlay; fwd=uri-miss; collapsed"}
        kind, coding = headers.get("content-type", ""), headers.get("content-encoding")
        stream = receive(call, flight.status, kind, coding, reader)
        stream.strict = True
        flight.shared.admit(stream)
        self._note(visit, "hit", "shared", age=0.0)
        if flight.shared.payer is not None:
            call.run.links = (*call.run.links, flight.shared.payer.link("follower"))

        async def alone(_error: WireError) -> Stream | None:
            if call.deadline is not None and io.monotonic() >= call.deadline:
                return None
            self._note(visit, "miss", "unshared")
            try:
                if call.deadline is None:
                    fresh = await self._send(visit, None, self._flight(visit))
                else:
                    fresh = await io.until(call.deadline, lambda: self._send(visit, None, self._flight(visit)))
            except WireError:
                return None
            if fresh.status >= 400:
                await fresh.discard()
                return None
            return fresh.stream

        stream.on_end(flight.landed)
        stream.recover_with(alone)
        response = Response(call=call, status=flight.status, headers=headers, stream=stream)
        if visit.asked.form == BODY:
            await response.buffer(LIMIT)  # half of it is of no use to anybody
        return response

    async def _send(self, visit: Visit, stale: Entry | None, flight: Flight, name: Hashable = None) -> Response:
        """Ask the provider, and keep what it says."""
        call, state = visit.call, self._here(visit.call)
        leased = False
        try:
            if self._leases and visit.asked.form == BODY and not visit.said.no_cache:
                leased, response = await self._lease(visit)
                if response is not None:
                    state.left(name, flight)
                    return response
            response = await visit.next(call)
        except BaseException as error:
            self._failed(visit, flight, name, "failed" if _is_final(error) else "left", leased=leased)
            if isinstance(error, WireError) and (given := self._instead(visit, stale)) is not None:
                return given
            raise
        if response.status != 200 or response.stream.has_stages:
            self._failed(visit, flight, name, "failed", leased=leased)
            if response.status in _FAILURES and (given := self._instead(visit, stale)) is not None:
                await response.discard()
                return given
            return response
        response.set_header("cache-status", f"interlay; fwd={_forwarded(call)}")
        shows_usage = call.run.asked_usage or visit.asked.shows_usage
        flight.landed = self._landing(visit, flight, name, leased=leased)
        flight.answered(response, shows_usage=shows_usage)
        response.stream.on_end(flight.landed)
        return response if stale is None else await self._secured(visit, stale, response)

    def _failed(
        self, visit: Visit, flight: Flight, name: Hashable, state: Literal["left", "failed"], *, leased: bool
    ) -> None:
        """Nothing that can be kept or shared came of a flight."""
        flight.end(state)
        self._here(visit.call).landed(name, flight)
        if leased:
            self._release(visit)

    async def _secured(self, visit: Visit, stale: Entry, response: Response) -> Response:
        """An answer that may still break off, where there is an old one to be given instead."""
        if visit.asked.form != BODY:

            async def instead(_error: WireError) -> Stream | None:
                given = self._instead(visit, stale)
                return None if given is None else given.stream

            response.stream.recover_with(instead)
            return response
        try:
            await response.buffer()
        except WireError:
            if (given := self._instead(visit, stale)) is None:
                raise
            return given
        return response

    def _instead(self, visit: Visit, stale: Entry | None) -> Response | None:
        """What is stored, where the provider fails and it is not too old for that."""
        longest = self.stale_if_error if visit.said.stale_if_error is None else visit.said.stale_if_error
        if stale is None or visit.call.io.time() - stale.fresh_until > longest:
            return None
        return self._give(visit, stale, "stale", "error")

    def _refresh(self, visit: Visit) -> None:
        """Ask for a stale answer anew, beside the call that was given it."""
        call, key, state = visit.call, visit.question.key, self._here(visit.call)
        chain = call.chain
        if chain is None or key in state.refreshing:
            return
        state.refreshing.add(key)

        async def work(io: IO) -> None:
            async def send(child: Call) -> Response:
                again = visit._replace(call=child, began=io.time(), clock=io.monotonic())
                child.run.key = key
                self._note(again, "miss", "revalidating")
                return await self._send(again, None, self._flight(again))

            try:
                response = await chain.run(call.again(io), send)
                try:
                    while await response.stream.read():
                        pass
                finally:
                    await response.stream.close()
            except (WireError, Refused) as error:
                logger.debug("a stale answer was not asked for anew: %s", type(error).__name__)  # its record says why
            finally:
                state.refreshing.discard(key)

        if not call.io.background(work):
            state.refreshing.discard(key)

    async def _lease(self, visit: Visit) -> tuple[bool, Response | None]:
        """Whether this process is the one to send, among those that share the store; or the answer of another."""
        call, io, key = visit.call, visit.call.io, visit.question.key
        until, pause = io.monotonic() + self.lease, _FIRST_PAUSE
        while not await self.store.lease(io, key, call.id, lifetime=self.lease):
            if io.monotonic() >= until:
                return False, None
            await io.sleep(pause, deadline=call.deadline)
            pause = min(pause * 2, _LONGEST_PAUSE)
            if (response := await self._again(visit, "lease")) is not None:
                return False, response
        # Whoever had it may have written between our look and this.
        if (response := await self._again(visit, "lease")) is not None:
            self._release(visit)
            return False, response
        return True, None

    # What people do with it.

    def rehearse(self) -> CacheRehearsal:
        """What it would have done about recorded calls, as ``interlay backtest`` asks: no store is looked into."""
        return CacheRehearsal(
            ttl=self.ttl,
            stale_while_revalidate=self.stale_while_revalidate,
            stale_if_error=self.stale_if_error,
            max_temperature=self.max_temperature,
            vary_by=self.vary_by,
            single_flight=self.single_flight,
            shared=not isinstance(self.store, MemoryStore),
            max_bytes=bound_of(self.store),
            shadow=self.mode == "shadow",
        )

    def forget(
        self,
        *,
        key: str | None = None,
        tag: str | None = None,
        scope: str | None = None,
        older_than: float | str | None = None,
    ) -> int:
        """Forget what is stored: one ``key``, as records have it, or all that was kept with this ``tag``, in this
        ``scope`` (``tenant:<name>``), longer ago than ``older_than``; everything if nothing is said. How much it was.

        What is under way now is not kept either. Raises ``StoreError`` where the store fails, ``ConfigError`` for a
        time that is none.
        """
        return drive(self._forget(SyncIO(Runner()), key, tag, scope, older_than))

    async def aforget(
        self,
        *,
        key: str | None = None,
        tag: str | None = None,
        scope: str | None = None,
        older_than: float | str | None = None,
    ) -> int:
        """``forget`` for asynchronous programs."""
        return await self._forget(AsyncIO(Runner()), key, tag, scope, older_than)

    async def _forget(
        self, io: IO, key: str | None, tag: str | None, scope: str | None, older_than: float | str | None
    ) -> int:
        age = None if older_than is None else time_of("older_than", older_than, of="forget")
        return await self._shelf.forget(io, key=key, scope=scope, tag=tag, older_than=age)

    def stats(self) -> Stats:
        """How much is stored. Raises ``StoreError`` where the store fails."""
        return drive(self._shelf.stats(SyncIO(Runner())))

    async def astats(self) -> Stats:
        """``stats`` for asynchronous programs."""
        return await self._shelf.stats(AsyncIO(Runner()))

    def close(self) -> None:
        """Let go of the store's files and sockets."""
        self.store.close()

    def _here(self, call: Call) -> _State:
        state = self._state
        if state.process is not call.run.process:
            # In a child that was forked, flights are its parent's. Of threads that come at once, one makes it for all.
            process = call.run.process
            state = self._state = self._states.setdefault(process, _State(process))
        return state


class _State:
    """What is under way in one process."""

    __slots__ = ("flights", "process", "refreshing")

    def __init__(self, process: object) -> None:
        self.process = process
        self.flights: dict[Hashable, Flight] = {}
        self.refreshing: set[str] = set()

    def landed(self, name: Hashable, flight: Flight) -> None:
        """Nobody can join a flight any more."""
        if self.flights.get(name) is flight:
            self.flights.pop(name, None)

    def left(self, name: Hashable, flight: Flight) -> None:
        """Whoever was to send did not: somebody else may."""
        self.landed(name, flight)
        flight.end("left")


def _link(call: Call, record: str, trace: str | None, span: str | None) -> None:
    made = Link(id=record, kind="cache_producer", trace_id=trace, span_id=span)
    call.run.links = (*call.run.links, made)


def _temperature(call: Call) -> float:
    """What a call asks for; without asking it is the API's own, which is none that could be called low."""
    said = call.outline.parameters.get("temperature")
    return float(said) if is_number(said) else 1.0  # type: ignore[arg-type]


def _is_final(error: BaseException) -> bool:
    """Whether the provider would fail others too, and not this caller has gone, or run out of time."""
    return isinstance(error, Exception) and not (isinstance(error, WireTimeout) and error.phase == "deadline")


_FORWARDED: Final = {"absent": "uri-miss", "expired": "stale", "no-cache": "request"}


def _forwarded(call: Call) -> str:
    """Why a request was sent on, in a word of RFC 9211, section 2.2."""
    outcome = call.run.cache
    return _FORWARDED.get(outcome.reason, "miss") if outcome is not None else "miss"
