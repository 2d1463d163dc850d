"""Many who ask the same at once: one request, and nobody waits for another's reader."""

from __future__ import annotations

import contextlib
import gzip
import os
import threading
from decimal import Decimal
from typing import Any, ClassVar

import anyio
import httpx2
import pytest
from tests.unit.layers.cache.bench import answer, events, question
from tests.unit.layers.cache.flights_bench import (
    END,
    PIECES,
    PLAIN,
    STREAM,
    Arrivals,
    Caller,
    Colour,
    Feed,
    World,
    play,
)

import interlay
from interlay.chain.call import Call, Response
from interlay.chain.layer import Next
from interlay.chain.shared import LIMIT
from interlay.layers.cache import layer
from interlay.model.protocols import WireEvent
from interlay.model.record import End
from interlay.stores.memory import MemoryStore

CROWD = 64

each_colour = pytest.mark.parametrize("colour", ["threads", "asyncio", "trio"])
two_colours = pytest.mark.parametrize("colour", ["threads", "asyncio"])
each_form = pytest.mark.parametrize("streamed", [True, False], ids=["stream", "plain"])


def wire(*, streamed: bool) -> bytes:
    return STREAM if streamed else PLAIN


def shown(*, streamed: bool) -> bytes:
    """What callers get who have not asked for usage: nobody who compares bytes is to see less for that."""
    return events("Hel", "lo", ", you", usage=False) if streamed else PLAIN


ASKED: Any = {"stream_options": {"include_usage": True}}


@each_colour
class TestACrowd:
    @each_form
    def test_sends_one_request_and_all_get_its_answer(self, colour: Colour, streamed: bool) -> None:  # noqa: FBT001
        more = ASKED if streamed else {}

        async def scenario(world: World) -> None:
            arrivals = Arrivals()
            world.wrap(arrivals)
            feed = Feed(*(PIECES if streamed else [PLAIN]), END, held=True)
            world.script(feed)
            callers = [world.caller(f"n{n}", question(streamed=streamed, **more)) for n in range(CROWD)]
            asking = [world.start(caller.ask) for caller in callers]
            await world.until(lambda: arrivals.count == CROWD)
            feed.let()
            got = [await each.result() for each in asking]
            assert got == [wire(streamed=streamed)] * CROWD
            assert world.sent == 1
            await world.settle()
            told_one_story(callers)

        play(colour, scenario)

    def test_that_comes_while_the_first_reads_gets_it_too(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            feed = Feed(PIECES[0])
            world.script(feed)
            leader = await world.opened("leader", question(streamed=True, **ASKED))
            await leader.read()
            callers = [world.caller(f"n{n}", question(streamed=True, **ASKED)) for n in range(9)]
            asking = [world.start(caller.ask) for caller in callers]
            await world.until(lambda: feed.waiting or world.colour != "threads")
            feed.give(*PIECES[1:], END)
            assert {await each.result() for each in asking} == {STREAM}
            assert await leader.read_all() == STREAM
            await leader.close()
            assert world.sent == 1
            await world.settle()
            told_one_story([leader, *callers])

        play(colour, scenario)


def told_one_story(callers: list[Caller]) -> None:
    """One record paid; the others cost nothing, and say whom they followed or whose entry they got."""
    records = [caller.record for caller in callers]
    payers = [record for record in records if record.attempts]
    (payer,) = payers
    assert payer.cache is not None
    assert (payer.cache.outcome, payer.cache.reason) == ("miss", "absent")
    assert payer.cost is not None
    assert payer.cost.amount == Decimal("0.0000045")
    for record in records:
        assert record.end == "complete"
        if record is payer:
            continue
        assert record.cache is not None
        assert record.cache.outcome == "hit"
        assert record.cost is not None
        assert (record.cost.amount, record.cost.source) == (Decimal(0), "cache_hit")
        assert record.cost.avoided == payer.cost.amount
        assert record.usage is None
        (link,) = record.links
        assert link.id == payer.id
        kinds = {"shared": ("follower", "cache_producer"), "fresh": ("cache_producer",)}
        assert link.kind in kinds[record.cache.reason]
    assert sum(record.cost.amount or 0 for record in records if record.cost) == payer.cost.amount


@two_colours
class TestOneRequest:
    def test_even_where_the_first_two_threads_meet_in_a_new_process(
        self, colour: Colour, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if colour != "threads":
            return
        meeting = threading.Barrier(2)

        class State(layer._State):
            def __init__(self, process: object) -> None:
                super().__init__(process)
                if process is not None:
                    with contextlib.suppress(threading.BrokenBarrierError):
                        meeting.wait(2)  # unless the other one found what this one is making

        monkeypatch.setattr(layer, "_State", State)

        async def scenario(world: World) -> None:
            arrivals = Arrivals()
            world.wrap(arrivals)
            feed = Feed(PLAIN, END, held=True)
            world.script(feed)
            asking = [world.start(world.caller(streamed=False).ask) for _ in range(2)]
            await world.until(lambda: arrivals.count == 2 and (meeting.broken or feed.waiting))
            # Whichever came second is on its way to the flight, or to the entry.
            feed.let()
            for each in asking:
                await each.result()
            assert world.sent == 1

        play(colour, scenario)

    def test_even_for_one_who_looked_before_the_answer_and_came_after_it(self, colour: Colour) -> None:
        """The answer waits to be written, and its flight is over."""

        class Slow(MemoryStore):
            def __init__(self) -> None:
                super().__init__()
                self.looks = 0
                self.may_look = threading.Event()
                self.may_write = threading.Event()

            async def get(self, io: Any, key: str) -> bytes | None:
                self.looks += 1
                looks, found = self.looks, await super().get(io, key)
                if looks == 2:
                    await io.run(lambda: self.may_look.wait(30))
                return found

            async def set(self, io: Any, key: str, value: bytes, **said: Any) -> bool:
                self.may_write.wait(30)
                return await super().set(io, key, value, **said)

        async def scenario(world: World) -> None:
            store = Slow()
            world.wrap(cache=interlay.Cache(store))
            feed = Feed(PLAIN, held=True)
            world.script(feed)
            first, second = world.caller("first", streamed=False), world.caller("second", streamed=False)
            asking = world.start(first.ask)
            await world.until(lambda: feed.waiting)
            late = world.start(second.ask)
            await world.until(lambda: store.looks == 2)
            feed.let()
            feed.give(END)
            assert await asking.result() == PLAIN
            assert not world.flights
            store.may_look.set()
            assert await late.result() == PLAIN
            store.may_write.set()
            assert world.sent == 1
            assert second.found[0] == "hit"

        play(colour, scenario)

    def test_gives_all_an_answer_that_is_not_kept(self, colour: Colour) -> None:
        """Else those who waited would send theirs one after the other."""

        async def scenario(world: World) -> None:
            filtered = answer(finish="content_filter")
            feed = Feed(filtered, END, held=True)
            world.script(feed)
            asking = [world.start(world.caller(streamed=False).ask) for _ in range(CROWD)]
            await world.until(lambda: world.waiting == CROWD - 1)
            feed.let()
            assert [await each.result() for each in asking] == [filtered] * CROWD
            assert world.sent == 1
            assert await world.caller(streamed=False).ask() == PLAIN

        play(colour, scenario)

    def test_is_not_shared_with_who_comes_after_something_was_forgotten(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            feed = Feed(answer("old"), END, held=True)
            world.script(feed)
            old = world.start(world.caller(streamed=False).ask)
            await world.until(lambda: feed.waiting)
            await world.cache.aforget()
            assert await world.caller(streamed=False).ask() == PLAIN
            feed.let()
            assert await old.result() == answer("old")
            await world.settle()
            assert await world.caller(streamed=False).ask() == PLAIN
            assert world.sent == 2

        play(colour, scenario)


@each_colour
class TestAReader:
    def test_that_sleeps_keeps_nobody_waiting(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            feed = Feed(PIECES[0])
            world.script(feed)
            leader = await world.opened("leader")
            await leader.read()  # and falls asleep
            followers = [world.caller(f"f{n}") for n in range(3)]
            asking = [world.start(follower.ask) for follower in followers]
            feed.give(*PIECES[1:], END)
            got = [await each.result() for each in asking]
            assert len(set(got)) == 1
            assert got[0].endswith(b"data: [DONE]\n\n")
            assert world.sent == 1
            assert await leader.read_all() == got[0]
            await leader.close()

        play(colour, scenario)

    def test_that_is_slow_keeps_nobody_waiting_either(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            world.script(Feed(*PIECES, END))
            leader = await world.opened("leader")
            slow = await world.opened("slow")
            await slow.read()
            whole = await leader.read_all()
            await leader.close()
            assert leader.end == "complete"
            assert await slow.read_all() == whole
            await slow.close()
            assert (slow.end, slow.found) == ("complete", ("hit", "shared"))

        play(colour, scenario)

    def test_that_leaves_is_not_missed(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            feed = Feed(*PIECES[:2])
            world.script(feed)
            leader, follower = await world.opened("leader"), await world.opened("follower")
            await follower.read()
            await follower.close()
            feed.give(*PIECES[2:], END)
            whole = await leader.read_all()
            await leader.close()
            assert whole.endswith(b"data: [DONE]\n\n")
            assert (leader.end, follower.end) == ("complete", "closed")
            assert follower.record.attempts == ()
            assert leader.record.usage is not None

        play(colour, scenario)

    def test_of_two_streams_in_one_thread_reads_whichever_first(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            for second_first in (False, True):
                asked = question(f"in this order: {second_first}", streamed=True)
                one, other = await world.opened("", asked), await world.opened("", asked)
                order = [other, one] if second_first else [one, other]
                got = [await each.read_all() for each in order]
                for each in order:
                    await each.close()
                assert got[0] == got[1]
            assert world.sent == 2

        play(colour, scenario)

    def test_of_two_streams_in_one_thread_reads_them_in_turns(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            one, other = await world.opened(), await world.opened()
            while True:
                pieces = [await one.read(), await other.read()]
                assert pieces[0] == pieces[1]
                if not pieces[0]:
                    break
            await one.close()
            await other.close()
            assert world.sent == 1

        play(colour, scenario)


@two_colours
class TestALongAnswer:
    """Beyond what is kept, only the owner is sure of all of it."""

    CHUNK: ClassVar = b"data: " + b"x" * (64 * 1024) + b"\n\n"
    COUNT = LIMIT // len(CHUNK) + 8

    def test_with_a_sleeping_owner_breaks_off_for_who_is_too_far_ahead(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            feed = Feed(*([self.CHUNK] * self.COUNT), *PIECES, END)
            world.script(feed)
            leader = await world.opened("leader")
            await leader.read()
            follower = await world.opened("follower")
            with pytest.raises(httpx2.ReadError):
                await follower.read_all()
            shared = world.flights[0].shared
            assert shared._size <= LIMIT + len(self.CHUNK)
            assert (await leader.read_all()).count(self.CHUNK) == self.COUNT
            await leader.close()
            assert leader.whole.endswith(b"data: [DONE]\n\n")
            assert follower.end == "error"

        play(colour, scenario)

    def test_leaves_a_sleeping_follower_behind(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            feed = Feed(*([self.CHUNK] * self.COUNT), *PIECES, END)
            world.script(feed, Feed(*PIECES, END))
            leader, follower, silent = [await world.opened(name) for name in ("leader", "follower", "silent")]
            await follower.read()
            shared = world.flights[0].shared
            most = 0
            while await leader.read():
                most = max(most, shared._size)
            await leader.close()
            assert leader.whole.endswith(b"data: [DONE]\n\n")
            assert most <= LIMIT + len(self.CHUNK)
            with pytest.raises(httpx2.ReadError):
                await follower.read_all()
            # Who has got nothing yet asks by itself.
            assert (await silent.read_all()).endswith(b"data: [DONE]\n\n")
            assert silent.found == ("miss", "unshared")
            await follower.close()
            await silent.close()
            assert world.sent == 2

        play(colour, scenario)

    def test_is_joined_no_more(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            world.script(Feed(*([self.CHUNK] * self.COUNT), *PIECES, END))
            leader = await world.opened("leader")
            for _ in range(self.COUNT):
                await leader.read()
            late = world.caller("late")
            assert (await late.ask()).endswith(b"data: [DONE]\n\n")
            assert world.sent == 2
            assert late.found == ("miss", "absent")
            await leader.read_all()
            await leader.close()

        play(colour, scenario)


class Guard:
    """A stage for some callers' streams alone."""

    role: ClassVar[interlay.Role] = interlay.Role.GUARD
    holds = 0

    def __init__(self, *sessions: str, refuses: bytes | None = None) -> None:
        self.sessions = sessions
        self.refuses = refuses

    async def __call__(self, call: Call, next: Next) -> Response:
        response = await next(call)
        if call.identity.session in self.sessions:
            response.stream.add(self)
        return response

    async def feed(self, event: WireEvent) -> list[WireEvent]:
        if self.refuses is not None and self.refuses in event.raw:
            raise interlay.Refused("not that", status=400, type="blocked")
        return [WireEvent(event.raw.replace(b"Hel", b"HEL"), event.name, None)]

    async def finish(self, end: End) -> list[WireEvent]:
        return []


@each_colour
class TestAStageOutside:
    @pytest.mark.parametrize("whose", ["leader", "follower"])
    @each_form
    def test_changes_its_own_callers_answer_alone(self, colour: Colour, streamed: bool, whose: str) -> None:  # noqa: FBT001
        plain = answer("Hello")

        async def scenario(world: World) -> None:
            world.wrap(Guard(whose))
            feed = Feed(*(PIECES if streamed else [plain]), END, held=True)
            world.script(feed)
            asked = question(streamed=streamed)
            callers = {"leader": world.caller("leader", asked), "follower": world.caller("follower", asked)}
            asking = {"leader": world.start(callers["leader"].ask)}
            await world.until(lambda: feed.waiting)
            asking["follower"] = world.start(callers["follower"].ask)
            await world.until(lambda: world.waiting == 1)
            feed.let()
            got = {name: await each.result() for name, each in asking.items()}
            for name, body in got.items():
                assert (b"HEL" in body) is (name == whose)
                assert (b'"Hel' in body) is (name != whose)
            # And what is kept is as the model gave it.
            assert b'"Hel' in await world.caller("third", asked).ask()
            assert world.sent == 1

        play(colour, scenario)

    def test_that_refuses_the_leaders_answer_leaves_the_followers_whole(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            world.wrap(Guard("leader", refuses=b'"lo"'))
            feed = Feed(PIECES[0])
            world.script(feed)
            leader, follower = await world.opened("leader"), await world.opened("follower")
            feed.give(*PIECES[1:], END)
            refused = await leader.read_all()
            assert b"not that" in refused
            assert b'"lo"' not in refused
            whole = await follower.read_all()
            assert whole.endswith(b"data: [DONE]\n\n")
            await leader.close()
            await follower.close()
            assert world.sent == 1
            assert leader.record.error is not None
            assert (leader.end, leader.record.error.type) == ("error", "blocked")
            assert follower.end == "complete"
            # Whoever reads to the end has the request.
            assert leader.record.attempts == ()
            assert follower.record.usage is not None
            assert [link.kind for link in leader.record.links] == ["heir"]

        play(colour, scenario)


@each_colour
def test_usage_is_hidden_from_who_did_not_ask_and_shown_to_who_did(colour: Colour) -> None:
    async def scenario(world: World) -> None:
        feeds = [Feed(*PIECES, END, held=True), Feed(*PIECES, END, held=True)]
        world.script(*feeds)
        quiet = [world.caller(f"quiet{n}", question(streamed=True)) for n in range(2)]
        told = [world.caller(f"told{n}", question(streamed=True, **ASKED)) for n in range(2)]
        asking = [world.start(caller.ask) for caller in (quiet[0], told[0])]
        await world.until(lambda: world.sent == 2)
        asking += [world.start(caller.ask) for caller in (quiet[1], told[1])]
        for feed in feeds:
            feed.let()
        first, second, third, fourth = [await each.result() for each in asking]
        assert first == third
        assert b"usage" not in first
        assert second == fourth == STREAM
        assert world.sent == 2
        for caller in (*quiet, *told):
            assert caller.record.cost is not None

    play(colour, scenario)


@each_colour
@each_form
@pytest.mark.parametrize("asks_usage", [False, True])
def test_a_coding_is_every_readers_to_undo(colour: Colour, streamed: bool, asks_usage: bool) -> None:  # noqa: FBT001
    """Whoever would not have understood it does not join."""
    packed = gzip.compress(wire(streamed=streamed))
    more = ASKED if streamed and asks_usage else {}
    expected = wire(streamed=streamed) if asks_usage else shown(streamed=streamed)

    async def scenario(world: World) -> None:
        headers = {"content-encoding": "gzip", "content-type": "text/event-stream" if streamed else "application/json"}
        feed = Feed(*(bytes([byte]) for byte in packed), END, held=True, headers=headers)
        world.script(feed)
        asked = question(streamed=streamed, **more)
        gzips = {"accept-encoding": "gzip"}
        first, second = [world.caller(name, asked, headers=gzips) for name in ("first", "second")]
        asking = [world.start(first.ask)]
        await world.until(lambda: feed.waiting)
        asking.append(world.start(second.ask))
        other = world.caller("other", asked, headers={"accept-encoding": "identity"})
        assert unpacked(other, await other.ask()) in (expected, wire(streamed=streamed))
        feed.let()
        for each, caller in zip(asking, (first, second), strict=True):
            assert comparable(unpacked(caller, await each.result())) == comparable(expected)
        assert world.sent == 2

    play(colour, scenario)


def comparable(body: bytes) -> bytes:
    """Without the members that only say that usage comes later."""
    return body.replace(b',"usage":null', b"")


def unpacked(caller: Caller, body: bytes) -> bytes:
    assert caller.response is not None
    return gzip.decompress(body) if caller.response.headers.get("content-encoding") == "gzip" else body


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_that_is_forked_while_a_flight_is_open_does_not_wait_for_it() -> None:
    async def scenario(world: World) -> None:
        feed = Feed(PIECES[0], held=True)
        world.script(feed)
        leader = world.caller("leader")
        opening = world.start(leader.open)
        await world.until(lambda: feed.waiting)
        reading, writing = os.pipe()
        if not (child := os.fork()):
            code = 1
            try:
                client = world.sync
                client._transport.inner._lock = threading.Lock()  # type: ignore[attr-defined]
                said = client.post(str(httpx2.URL("https://api.openai.com/v1/chat/completions")), json=leader.body)
                os.write(writing, b"got " + said.content[-14:])
                code = 0
            finally:
                os._exit(code)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            assert await anyio.to_thread.run_sync(pipe.read) == b"got data: [DONE]\n\n"
        assert (await world.thread(lambda: os.waitpid(child, 0)))[1] == 0
        feed.let()
        await opening.result()
        feed.give(*PIECES[1:], END)
        await leader.read_all()
        await leader.close()

    play("threads", scenario)
