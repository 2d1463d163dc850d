"""Calls that share one answer, and how each of them ends: nobody gets half of one for a whole one, and each request is
in exactly one record (``play`` sees to that)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

import anyio
import httpx2
import pytest
from tests.unit.layers.cache.bench import answer, events
from tests.unit.layers.cache.flights_bench import END, PIECES, PLAIN, Caller, Cancelled, Colour, Feed, World, play

import interlay
from interlay.chain.call import Call, Response
from interlay.chain.layer import Next
from interlay.chain.shared import LIMIT
from interlay.stores.memory import MemoryStore

QUIET = events("Hel", "lo", ", you", usage=False)
"""What callers get who have not asked for usage."""
WITHOUT_USAGE = 4
"""How many events the answer has before the one that tells of usage, which they do not get to see."""
PRICE = Decimal("0.0000045")

each_colour = pytest.mark.parametrize("colour", ["threads", "asyncio", "trio"])
two_colours = pytest.mark.parametrize("colour", ["threads", "asyncio"])
asynchronous = pytest.mark.parametrize("colour", ["asyncio", "trio"])


def said(body: bytes) -> bytes:
    """An event stream without the members that only say that usage comes later."""
    return body.replace(b',"usage":null', b"")


def paid(world: World) -> Decimal:
    """A plain sum over all records."""
    amounts = [record.cost.amount for record in world.records if record.cost is not None]
    return sum((amount for amount in amounts if amount is not None), Decimal(0))


def is_heir(leader: Caller, heir: Caller) -> bool:
    """Whether all that there is of the request went over from one to the other."""
    (link,) = [link for link in leader.record.links if link.kind == "heir"]
    assert link.id == heir.record.id
    assert leader.record.attempts == ()
    assert leader.record.usage is None
    (attempt,) = heir.record.attempts
    assert attempt.billed
    return True


@asynchronous
class TestALeaderThatIsCancelled:
    def test_before_the_headers_leaves_the_question_to_the_next(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            feeds = [Feed(*PIECES, END, held=True), Feed(*PIECES, END)]
            world.script(*feeds)
            leader = world.caller("leader")
            opening = world.start(leader.open)
            await world.until(lambda: feeds[0].waiting)
            followers = [world.caller() for _ in range(3)]
            asking = [world.start(follower.ask) for follower in followers]
            await world.until(lambda: world.waiting == 3)
            opening.cancel()
            assert {said(await each.result()) for each in asking} == {QUIET}
            with pytest.raises(Cancelled):
                await opening.result()
            assert world.sent == 2
            assert leader.end == "cancelled"
            feeds[0].closed = 1  # there was no response yet

        play(colour, scenario)

    def test_between_chunks_leaves_its_request_to_an_heir(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            feed = Feed(PIECES[0])
            world.script(feed)
            leader, follower = await world.opened("leader"), await world.opened("follower")
            await leader.read()

            async def sleep() -> None:
                try:
                    await anyio.sleep_forever()
                finally:
                    with anyio.CancelScope(shield=True):
                        await leader.close()

            sleeping = world.start(sleep)
            await anyio.wait_all_tasks_blocked()
            sleeping.cancel()
            await world.until(lambda: sleeping.is_done)
            assert feed.closed == 0
            feed.give(*PIECES[1:], END)
            assert said(await follower.read_all()) == QUIET
            await follower.close()
            assert leader.end == "cancelled"
            assert is_heir(leader, follower)
            assert paid(world) == PRICE

        play(colour, scenario)

    @pytest.mark.parametrize("has_read", [False, True], ids=["has-nothing", "has-some"])
    def test_while_it_pulls_breaks_nobody_elses_pull(self, colour: Colour, has_read: bool) -> None:  # noqa: FBT001
        async def scenario(world: World) -> None:
            feed = Feed(*PIECES[: int(has_read)])
            world.script(feed)
            leader, follower = await world.opened("leader"), await world.opened("follower")
            for caller in (leader, follower) if has_read else ():
                await caller.read()
            pulling = world.start(leader.read)
            waiting = world.start(follower.read_all)
            await world.wait_for_more(2)
            pulling.cancel()
            await world.until(lambda: pulling.is_done)
            feed.give(*PIECES[has_read:], END)
            assert said(await waiting.result()) == QUIET
            assert world.sent == 1
            await follower.close()
            await leader.close()
            assert leader.end == "cancelled"
            assert is_heir(leader, follower)
            assert paid(world) == PRICE

        play(colour, scenario)

    def test_while_it_pulls_alone_sends_those_who_came_meanwhile_their_own_way(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            feed = Feed(PIECES[0])
            world.script(feed)
            leader = await world.opened("leader")
            await leader.read()
            pulling = world.start(leader.read)
            await world.until(lambda: feed.waiting)
            follower = await world.opened("follower")
            asking = world.start(follower.read_all)
            await world.wait_for_more(1)
            pulling.cancel()
            assert said(await asking.result()) == QUIET
            assert world.sent == 2
            assert follower.found == ("miss", "unshared")
            await follower.close()
            await leader.close()
            assert (leader.end, follower.end) == ("cancelled", "complete")

        play(colour, scenario)

    def test_while_it_looks_once_more_leaves_no_flight_behind(self, colour: Colour) -> None:
        """It had looked before another's answer was there, came after its flight, and so looks again."""

        class Slow(MemoryStore):
            looks = 0

            async def get(self, io: Any, key: str) -> bytes | None:
                self.looks += 1
                looks, found = self.looks, await super().get(io, key)
                if looks == 2:
                    await gate.wait()
                elif looks == 3:
                    await anyio.sleep_forever()
                return found

        gate = anyio.Event()

        async def scenario(world: World) -> None:
            store = Slow()
            world.wrap(cache=interlay.Cache(store))
            feed = Feed(answer(finish="content_filter"), held=True)
            world.script(feed)
            first = world.start(world.caller(streamed=False).ask)
            await world.until(lambda: feed.waiting)
            late = world.start(world.caller("late", streamed=False).ask)
            await world.until(lambda: store.looks == 2)
            feed.let()
            feed.give(END)
            await first.result()
            await world.settle()
            gate.set()
            await world.until(lambda: store.looks == 3)
            late.cancel()
            await world.until(lambda: late.is_done)
            assert not world.flights
            assert await world.caller(streamed=False).ask() == PLAIN

        play(colour, scenario)


@asynchronous
class TestAFollowerThatIsCancelled:
    def test_changes_nothing_for_the_others(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            feed = Feed(PIECES[0])
            world.script(feed)
            leader, gone, other = [await world.opened(name) for name in ("leader", "gone", "other")]
            for caller in (leader, gone, other):
                await caller.read()
            asking = [world.start(caller.read_all) for caller in (gone, leader, other)]
            await world.wait_for_more(3)
            asking[0].cancel()
            await world.until(lambda: asking[0].is_done)
            feed.give(*PIECES[1:], END)
            assert {said(await each.result()) for each in asking[1:]} == {QUIET}
            for caller in (leader, gone, other):
                await caller.close()
            assert (leader.end, gone.end, other.end) == ("complete", "cancelled", "complete")
            assert world.sent == 1
            assert paid(world) == PRICE

        play(colour, scenario)

    def test_while_it_waits_for_the_headers_too(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            feed = Feed(PLAIN, END, held=True)
            world.script(feed)
            asking = [world.start(world.caller("leader", streamed=False).ask)]
            await world.until(lambda: feed.waiting)
            asking += [world.start(world.caller(name, streamed=False).ask) for name in ("gone", "other")]
            await world.until(lambda: world.waiting == 2)
            asking[1].cancel()
            await world.until(lambda: asking[1].is_done)
            feed.let()
            assert [await asking[0].result(), await asking[2].result()] == [PLAIN, PLAIN]
            assert world.sent == 1

        play(colour, scenario)


@each_colour
class TestALeaderThatClosesEarly:
    def test_leaves_its_request_to_an_heir(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            feed = Feed(*PIECES[:2])
            world.script(feed)
            leader, first, second = [await world.opened(name) for name in ("leader", "first", "second")]
            await leader.read()
            await leader.close()
            assert feed.closed == 0
            feed.give(*PIECES[2:], END)
            for follower in (first, second):
                assert said(await follower.read_all()) == QUIET
                await follower.close()
            assert leader.end == "closed"
            assert is_heir(leader, first)
            assert first.record.usage is not None
            assert first.record.usage.output_tokens == 5
            assert second.record.attempts == ()
            assert paid(world) == PRICE
            # And who comes later finds what was kept, made by the heir.
            third = world.caller("third")
            assert said(await third.ask()) == QUIET
            (link,) = third.record.links
            assert link.id == first.record.id
            assert world.sent == 1

        play(colour, scenario)

    def test_leaves_it_to_the_next_heir_when_that_one_closes_too(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            feed = Feed(PIECES[0])
            world.script(feed)
            callers = [await world.opened(f"n{n}") for n in range(4)]
            for caller in callers[:3]:
                await caller.read()
                await caller.close()
            feed.give(*PIECES[1:], END)
            assert said(await callers[3].read_all()) == QUIET
            await callers[3].close()
            assert [caller.end for caller in callers] == ["closed"] * 3 + ["complete"]
            for caller in callers[:3]:
                assert caller.record.attempts == ()
            assert len(callers[3].record.attempts) == 1
            assert paid(world) == PRICE

        play(colour, scenario)

    def test_with_nobody_else_closes_the_answer(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            feed = Feed(*PIECES[:2])
            world.script(feed)
            leader = await world.opened("leader")
            await leader.read()
            await leader.close()
            assert feed.closed == 1
            assert (leader.end, len(leader.record.attempts)) == ("closed", 1)
            assert leader.record.links == ()
            assert said(await world.caller().ask()) == QUIET
            assert world.sent == 2

        play(colour, scenario)

    def test_after_another_has_read_all_has_its_exact_usage(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            world.script(Feed(*PIECES, END))
            leader, follower = await world.opened("leader"), await world.opened("follower")
            await leader.read()
            assert said(await follower.read_all()) == QUIET
            await follower.close()
            await leader.close()
            assert (leader.end, follower.end) == ("closed", "complete")
            (attempt,) = leader.record.attempts
            assert attempt.usage is not None
            assert attempt.usage.output_tokens == 5
            assert attempt.cost is not None
            assert not attempt.cost.estimated
            assert paid(world) == PRICE

        play(colour, scenario)

    def test_leaves_nothing_to_who_has_gone_its_own_way(self, colour: Colour) -> None:
        """A follower that fell behind before it had anything has a request of its own."""
        chunk = b"data: " + b"x" * (64 * 1024) + b"\n\n"
        count = LIMIT // len(chunk) + 8

        async def scenario(world: World) -> None:
            world.script(Feed(*([chunk] * count)), Feed(*PIECES, END))
            leader, silent = await world.opened("leader"), await world.opened("silent")
            for _ in range(count):
                await leader.read()
            await silent.read()
            assert world.sent == 2
            await leader.close()
            assert said(await silent.read_all()) == QUIET
            await silent.close()
            assert (len(leader.record.attempts), len(silent.record.attempts)) == (1, 1)
            assert [link.kind for link in leader.record.links] == []
            assert silent.end == "complete"
            assert silent.record.attempts[0].usage is not None

        play(colour, scenario)


@two_colours
class TestALeaderThatIsLost:
    def test_with_its_reader_leaves_its_request_to_an_heir(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            feed = Feed(*PIECES[:2])
            world.script(feed)
            leader, follower = await world.opened("leader"), await world.opened("follower")
            await leader.read()
            leader.drop()
            await world.lost(leader)
            feed.give(*PIECES[2:], END)
            assert said(await follower.read_all()) == QUIET
            await follower.close()
            assert leader.end in ("lost", "closed")
            assert is_heir(leader, follower)
            assert paid(world) == PRICE

        play(colour, scenario)

    def test_before_it_has_read_anything_leaves_no_flight_behind(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            world.script(Feed(*PIECES))
            leader = await world.opened("leader")
            leader.drop()
            await world.lost(leader)
            await world.until(lambda: not world.flights)
            assert said(await world.caller().ask()) == QUIET
            assert world.sent == 2

        play(colour, scenario)


@each_colour
class TestAnAnswerThatIsCut:
    @pytest.mark.parametrize("breaks", [True, False], ids=["reset", "clean"])
    @pytest.mark.parametrize("count", range(len(PIECES)))
    def test_after_any_event_ends_well_for_nobody(self, colour: Colour, count: int, breaks: bool) -> None:  # noqa: FBT001
        """Who has something of it is told by the HTTP library's error; who has nothing asks by itself."""
        trouble = httpx2.ReadError("reset by peer") if breaks else END
        is_over = not breaks and count >= WITHOUT_USAGE

        async def scenario(world: World) -> None:
            feed = Feed(*PIECES[:count])
            world.script(feed)
            leader, follower, silent = [await world.opened(name) for name in ("leader", "follower", "silent")]
            for _ in range(min(count, WITHOUT_USAGE)):
                await follower.read()
            feed.give(trouble)
            if is_over:
                # By the API's own word: each choice has its end.
                assert b"usage" not in await follower.read_all()
                assert follower.end == "complete"
            elif count:
                with pytest.raises(httpx2.ReadError):
                    await follower.read_all()
                assert follower.end == "error"
                assert b"[DONE]" not in follower.whole
            else:
                assert said(await follower.read_all()) == QUIET
                assert follower.found == ("miss", "unshared")
            if breaks:
                with pytest.raises(httpx2.ReadError, match="reset by peer"):
                    await leader.read_all()
            else:
                await leader.read_all()  # as it would be without us
            if is_over:
                assert await silent.read_all() == follower.whole
            elif count and not breaks:
                # That it is cut is not known before all of it was read.
                with pytest.raises(httpx2.ReadError):
                    await silent.read_all()
            else:
                assert said(await silent.read_all()) == QUIET
            for caller in (leader, follower, silent):
                await caller.close()
            assert leader.end == ("complete" if is_over else "error")
            assert b"[DONE]" not in leader.whole
            await world.settle()
            sent = world.sent
            got = said(await world.caller().ask())
            assert got == (said(leader.whole) if is_over else QUIET)
            # Whoever asked by itself had it kept.
            assert world.sent == sent + int(count > 0 and not breaks and not is_over)

        play(colour, scenario)

    @pytest.mark.parametrize("breaks", [True, False], ids=["reset", "clean"])
    @pytest.mark.parametrize("count", [0, 1, len(PLAIN) // 2, len(PLAIN) - 1])
    def test_and_is_no_stream_is_given_to_nobody(self, colour: Colour, count: int, breaks: bool) -> None:  # noqa: FBT001
        async def scenario(world: World) -> None:
            feed = Feed(*([PLAIN[:count]] if count else []), headers={"content-type": "application/json"})
            world.script(feed)
            leader = await world.opened("leader", streamed=False)
            followers = [world.caller(f"f{n}", streamed=False) for n in range(2)]
            asking = [world.start(follower.ask) for follower in followers]
            await world.until(lambda: not world.flights or world.flights[0].shared._count == 3)
            feed.give(httpx2.ReadError("reset by peer") if breaks else END)
            assert [await each.result() for each in asking] == [PLAIN] * 2
            if breaks:
                with pytest.raises(httpx2.ReadError, match="reset by peer"):
                    await leader.read_all()
            else:
                assert await leader.read_all() == PLAIN[:count]
            await leader.close()
            assert leader.end != "complete" or count == len(PLAIN) - 1  # it is what the API sent, whatever it is worth
            assert await world.caller(streamed=False).ask() == PLAIN

        play(colour, scenario)


@each_colour
class TestAProviderThatWillNot:
    @pytest.mark.parametrize("status", [400, 429, 500])
    def test_is_tried_by_each_alone(self, colour: Colour, status: int) -> None:
        async def scenario(world: World) -> None:
            feed = Feed(b'{"error":{"message":"no"}}', END, status=status, held=True)
            world.script(feed)
            leader = world.start(world.caller("leader", streamed=False).ask)
            await world.until(lambda: feed.waiting)
            followers = [world.caller(f"f{n}", streamed=False) for n in range(3)]
            asking = [world.start(follower.ask) for follower in followers]
            await world.until(lambda: world.waiting == 3)
            feed.let()
            assert b"error" in await leader.result()
            assert [await each.result() for each in asking] == [PLAIN] * 3
            assert world.sent == 4
            for follower in followers:
                assert (follower.status, follower.found[0]) == (200, "miss")

        play(colour, scenario)

    def test_even_connect_is_tried_by_each_alone(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            feed = Feed(fails=httpx2.ConnectError("refused"), held=True)
            world.script(feed)
            leader = world.start(world.caller("leader", streamed=False).ask)
            await world.until(lambda: feed.waiting)
            asking = [world.start(world.caller(streamed=False).ask) for _ in range(3)]
            await world.until(lambda: world.waiting == 3)
            feed.let()
            with pytest.raises(httpx2.ConnectError, match="refused"):
                await leader.result()
            assert [await each.result() for each in asking] == [PLAIN] * 3
            assert world.sent == 4

        play(colour, scenario)


class Bouncer:
    """Refuses one session's calls, inside of the cache, when it is told to."""

    role: ClassVar[interlay.Role] = interlay.Role.SPEND

    def __init__(self, session: str, feed: Feed) -> None:
        self.session = session
        self.feed = feed

    async def __call__(self, call: Call, next: Next) -> Response:
        if call.identity.session != self.session:
            return await next(call)
        response = await next(call)
        await response.discard()
        raise interlay.Refused("not you", status=402, type="budget")


@each_colour
def test_a_leader_that_an_inner_layer_refuses_holds_nobody_back(colour: Colour) -> None:
    async def scenario(world: World) -> None:
        feed = Feed(PLAIN, END, held=True)
        world.wrap(Bouncer("leader", feed))
        world.script(feed)
        leader = world.caller("leader", streamed=False)
        asked = world.start(leader.ask)
        await world.until(lambda: feed.waiting)
        asking = [world.start(world.caller(streamed=False).ask) for _ in range(3)]
        await world.until(lambda: world.waiting == 3)
        feed.let()
        assert b"not you" in await asked.result()
        assert leader.status == 402
        assert [await each.result() for each in asking] == [PLAIN] * 3

    play(colour, scenario)


class Hurry:
    """Gives one session's calls a deadline."""

    role: ClassVar[interlay.Role] = interlay.Role.ADMIT

    def __init__(self, session: str, seconds: float) -> None:
        self.session = session
        self.seconds = seconds

    def begin(self, call: Call) -> None:
        if call.identity.session == self.session:
            call.expire(call.io.monotonic() + self.seconds)

    async def __call__(self, call: Call, next: Next) -> Response:
        return await next(call)


class TestDeadlines:
    @asynchronous
    def test_a_leader_that_is_late_leaves_the_question_to_the_next(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            world.wrap(Hurry("leader", 1.0))
            feed = Feed(PLAIN, END, held=True)
            world.script(feed)
            leader = world.start(world.caller("leader", streamed=False).ask)
            await world.until(lambda: feed.waiting)
            asking = [world.start(world.caller(streamed=False).ask) for _ in range(3)]
            with pytest.raises(httpx2.ReadTimeout):
                await leader.result()
            assert [await each.result() for each in asking] == [PLAIN] * 3
            assert world.sent == 2
            feed.closed = 1  # there was no response yet

        play(colour, scenario)

    @asynchronous
    def test_a_leader_that_is_late_in_its_stream_leaves_it_to_an_heir(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            world.wrap(Hurry("leader", 1.0))
            feed = Feed(PIECES[0])
            world.script(feed)
            leader, follower = await world.opened("leader"), await world.opened("follower")
            await leader.read()
            await follower.read()
            waiting = world.start(follower.read_all)
            with pytest.raises(httpx2.ReadTimeout):
                await leader.read_all()
            feed.give(*PIECES[1:], END)
            assert said(await waiting.result()) == QUIET
            await follower.close()
            await leader.close()
            assert world.sent == 1
            assert is_heir(leader, follower)
            assert leader.record.error is not None
            assert (leader.end, leader.record.error.type) == ("error", "timeout")

        play(colour, scenario)

    @each_colour
    def test_a_follower_that_is_late_ends_in_time(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            world.wrap(Hurry("follower", 0.2))
            feed = Feed(*PIECES, END, held=True)
            world.script(feed)
            leader = world.caller("leader")
            opening = world.start(leader.open)
            await world.until(lambda: feed.waiting)
            follower = world.caller("follower")
            with pytest.raises(httpx2.ReadTimeout):
                await follower.open()
            assert follower.record.error is not None
            assert (follower.end, follower.record.error.type) == ("error", "timeout")
            feed.let()
            await opening.result()
            assert said(await leader.read_all()) == QUIET
            await leader.close()
            assert world.sent == 1

        play(colour, scenario)

    @each_colour
    def test_a_follower_waits_no_longer_than_it_would_for_the_provider(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            world.wrap()
            feed = Feed(*PIECES, END, held=True)
            world.script(feed)
            leader, follower = world.caller("leader"), world.caller("follower")
            opening = world.start(leader.open)
            await world.until(lambda: feed.waiting)
            follower.read_timeout = 0.2
            with pytest.raises(httpx2.ReadTimeout):
                await follower.open()
            assert follower.end == "error"
            feed.let()
            await opening.result()
            assert said(await leader.read_all()) == QUIET
            await leader.close()
            assert world.sent == 1

        play(colour, scenario)

    @each_colour
    @pytest.mark.parametrize("count", [0, 1])
    def test_a_follower_that_is_late_in_its_stream_ends_in_time(self, colour: Colour, count: int) -> None:
        """And sends nothing by itself then, though it has nothing yet."""

        async def scenario(world: World) -> None:
            world.wrap(Hurry("follower", 1.0))
            feed = Feed(*PIECES[:count])
            world.script(feed)
            leader, follower = await world.opened("leader"), await world.opened("follower")
            for caller in (leader, follower) if count else ():
                await caller.read()
            # A thread that pulls cannot be interrupted, one that waits for another's pull can.
            pulling = world.start(leader.read)
            await world.until(lambda: feed.waiting)
            with pytest.raises(httpx2.ReadTimeout):
                await follower.read()
            feed.give(*PIECES[count:], END)
            await pulling.result()
            assert said(await leader.read_all()) == QUIET
            await leader.close()
            await follower.close()
            assert world.sent == 1
            assert (follower.end, follower.found) == ("error", ("hit", "shared"))

        play(colour, scenario)


class Ahead:
    """Reads all of an answer before anybody else does."""

    role: ClassVar[interlay.Role] = interlay.Role.GUARD

    async def __call__(self, call: Call, next: Next) -> Response:
        response = await next(call)
        await response.buffer()
        return response


class Watcher:
    """An observer that counts ends."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    def on_end(self, record: interlay.Record) -> None:
        self.ends.append(record.id)


@each_colour
class TestBesideOtherLayers:
    def test_a_retry_inside_sends_again_for_all(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            watcher = Watcher()
            world.wrap(interlay.Retry(3, backoff=0.001), interlay.Observe(watcher, inline=True))
            first = Feed(b'{"error":{"message":"later"}}', END, status=503, held=True)
            world.script(
                first, Feed(PLAIN[:9], httpx2.ReadError("reset"), headers={"content-type": "application/json"})
            )
            callers = [world.caller(f"n{n}", streamed=False) for n in range(5)]
            asking = [world.start(caller.ask) for caller in callers]
            await world.until(lambda: world.waiting == 4)
            first.let()
            assert [await each.result() for each in asking] == [PLAIN] * 5
            assert world.sent == 3
            assert sorted(len(caller.record.attempts) for caller in callers) == [0, 0, 0, 0, 3]
            assert sorted(watcher.ends) == sorted(record.id for record in world.records)
            assert paid(world) >= PRICE

        play(colour, scenario)

    def test_a_retry_inside_mends_a_stream_before_its_first_byte(self, colour: Colour) -> None:
        async def scenario(world: World) -> None:
            world.wrap(interlay.Retry(3, backoff=0.001))
            first, second = Feed(), Feed(*PIECES, END)
            world.script(first, second)
            leader, follower = await world.opened("leader"), await world.opened("follower")
            first.give(httpx2.ReadError("reset"))
            asking = [world.start(caller.read_all) for caller in (leader, follower)]
            assert [said(await each.result()) for each in asking] == [QUIET] * 2
            await leader.close()
            await follower.close()
            assert leader.end == follower.end == "complete"

        play(colour, scenario)

    def test_what_a_retry_has_mended_is_not_mixed_up_with_what_broke(self, colour: Colour) -> None:
        """The first answer broke off after all that it had to say, but before its end."""

        async def scenario(world: World) -> None:
            world.wrap_as_given(Ahead(), world.cache, interlay.Retry(3, backoff=0.001))
            other = [piece.replace(b"Hel", b"Bye") for piece in PIECES]
            world.script(Feed(*other[:5], httpx2.ReadError("reset")), Feed(*PIECES, END))
            leader = world.caller("leader")
            assert said(await leader.ask()) == QUIET
            assert world.sent == 2
            await world.settle()
            assert said(await world.caller().ask()) == QUIET

        play(colour, scenario)

    @pytest.mark.parametrize("trouble", [END, httpx2.ReadError("reset by peer")], ids=["clean", "reset"])
    def test_what_comes_after_the_end_spoils_nothing(self, colour: Colour, trouble: Any) -> None:
        async def scenario(world: World) -> None:
            world.script(Feed(*PIECES, trouble))
            leader = await world.opened("leader")
            while b"[DONE]" not in leader.whole:
                await leader.read()
            await leader.close()
            assert leader.end == "complete"
            assert said(await world.caller().ask()) == QUIET
            assert world.sent == 1

        play(colour, scenario)

    def test_a_time_out_inside_ends_the_leaders_attempt_alone(self, colour: Colour) -> None:
        if colour == "threads":
            return  # a blocking read is as late as the library's own time-out

        async def scenario(world: World) -> None:
            world.wrap(interlay.Timeout(attempt=1.0))
            feed = Feed(PIECES[0])
            world.script(feed)
            leader, follower = await world.opened("leader"), await world.opened("follower")
            await leader.read()
            await follower.read()
            waiting = world.start(follower.read_all)
            with pytest.raises(httpx2.ReadTimeout):
                await leader.read_all()
            feed.give(*PIECES[1:], END)
            assert said(await waiting.result()) == QUIET
            await leader.close()
            await follower.close()
            assert is_heir(leader, follower)

        play(colour, scenario)

    def test_live_spans_are_one_for_each_call(self, colour: Colour) -> None:
        sdk = pytest.importorskip("opentelemetry.sdk.trace")
        memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
        export = pytest.importorskip("opentelemetry.sdk.trace.export")
        provider = sdk.TracerProvider()
        provider.add_span_processor(export.SimpleSpanProcessor(memory))

        async def scenario(world: World) -> None:
            world.wrap(interlay.Trace(provider))
            feed = Feed(PIECES[0])
            world.script(feed)
            leader, follower = await world.opened("leader"), await world.opened("follower")
            await leader.read()
            await leader.close()
            feed.give(*PIECES[1:], END)
            assert said(await follower.read_all()) == QUIET
            await follower.close()
            await world.settle()
            spans = memory.get_finished_spans()
            assert len([span for span in spans if span.parent is None]) == 2
            ids = {f"{span.context.span_id:016x}" for span in spans}
            for caller in (leader, follower):
                assert caller.record.trace is not None
                assert caller.record.trace.span_id in ids
            assert is_heir(leader, follower)
            place = follower.record.trace
            assert place is not None
            assert leader.record.links[-1].span_id == place.span_id

        play(colour, scenario)
