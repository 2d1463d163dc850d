"""Law 1 for every wire API in both colours, with and without layers: how a stream ends, and what its record says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import httpx2
import pytest
from tests.unit.entry.apis import APIS, Api, Colour, Seen, Wire, play
from tests.unit.entry.wires import Body

import interlay
from interlay.chain.call import Call, Response
from interlay.chain.layer import Next
from interlay.model.protocols import WireEvent
from interlay.model.record import End


class Idle:
    """A stage that lets everything pass."""

    role: ClassVar[interlay.Role] = interlay.Role.GUARD
    holds = 0

    async def __call__(self, call: Call, next: Next) -> Response:
        response = await next(call)
        response.stream.add(Idle())
        return response

    async def feed(self, event: WireEvent) -> list[WireEvent]:
        return [event]

    async def finish(self, end: End) -> list[WireEvent]:
        return []


PARTS: list[tuple[object, ...]] = [(), (interlay.Timeout(total=600),), (interlay.Retry(attempts=1),), (Idle(),)]

each_api = pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
both_colours = pytest.mark.parametrize("colour", ["sync", "async"])
each_chain = pytest.mark.parametrize("parts", PARTS, ids=["bare", "deadline", "retry", "stage"])


def outcome(seen: Seen) -> tuple[bytes, BaseException | None]:
    return b"".join(seen.pieces), seen.error


def both_ways(api: Api, colour: Colour, answer: Callable[[], Body | BaseException], *parts: Any, **how: Any) -> Seen:
    """The call by a bare and by a wrapped client, which have to give the same; what came of the wrapped one."""
    bare = play(api, colour, Wire(answer()), wrapped=False, **how)
    wire = Wire(answer())
    seen = play(api, colour, wire, *parts, **how)
    assert outcome(seen) == outcome(bare)
    if isinstance(wire.body, Body):
        assert wire.body.closed == 1
    return seen


@each_chain
@both_colours
@each_api
class TestAStream:
    def test_read_to_its_end(self, api: Api, colour: Colour, parts: tuple[object, ...]) -> None:
        record = both_ways(api, colour, lambda: Body(api.events), *parts).record
        assert (record.end, record.error) == ("complete", None)

    @pytest.mark.parametrize(
        ("trouble", "kind"),
        [
            (httpx2.ReadError("reset by peer"), "read"),
            (httpx2.RemoteProtocolError("peer closed the connection"), "read"),
            (httpx2.ReadTimeout("late"), "timeout"),
            (OSError("a transport of one's own"), "OSError"),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
    )
    def test_that_the_wire_breaks(
        self, api: Api, colour: Colour, parts: tuple[object, ...], trouble: Exception, kind: str
    ) -> None:
        """After its terminal event it is over whatever becomes of the wire; the program is told all the same."""
        last = len(api.events)
        for count in (0, 1, last - 1, last):
            seen = both_ways(api, colour, partial(Body, api.events[:count], breaks=trouble), *parts)
            assert seen.error is trouble
            record = seen.record
            if count == last and api.ends:
                assert (record.end, record.error) == ("complete", None)
                assert record.attempts[0].error is None
                assert (record.usage is not None) is (api.name != "openai-chat-asked")
            else:
                assert (record.end, record.error and record.error.type) == ("error", kind)
                assert record.attempts[0].error == record.error
            assert record.attempts[0].billed

    def test_that_is_cut(self, api: Api, colour: Colour, parts: tuple[object, ...]) -> None:
        for count in (0, 1):
            record = both_ways(api, colour, partial(Body, api.events[:count]), *parts).record
            assert (record.end, record.error and record.error.type) == ("error", "cut"), count

    def test_with_an_error_event(self, api: Api, colour: Colour, parts: tuple[object, ...]) -> None:
        for trouble in (None, httpx2.ReadError("reset by peer")):
            chunks = [api.events[0], api.error]
            record = both_ways(api, colour, partial(Body, chunks, breaks=trouble), *parts).record
            assert (record.end, record.error and record.error.type) == ("error", api.error_type)

    @pytest.mark.parametrize("raised", [ZeroDivisionError(), KeyboardInterrupt(), asyncio.CancelledError()], ids=repr)
    def test_whose_reader_raises(
        self, api: Api, colour: Colour, parts: tuple[object, ...], raised: BaseException
    ) -> None:
        def fail(_: bytes) -> None:
            raise raised

        if colour == "sync" and isinstance(raised, asyncio.CancelledError):
            return
        record = both_ways(api, colour, lambda: Body(api.events), *parts, reader=fail).record
        if isinstance(raised, Exception):
            assert (record.end, record.error) == ("closed", None)
        else:
            assert (record.end, record.error and record.error.type) == ("cancelled", "cancelled")
        assert record.cost is not None

    @pytest.mark.parametrize("raised", [KeyboardInterrupt(), asyncio.CancelledError(), SystemExit(3)], ids=repr)
    def test_that_is_interrupted_while_it_waits(
        self, api: Api, colour: Colour, parts: tuple[object, ...], raised: BaseException
    ) -> None:
        if colour == "sync" and isinstance(raised, asyncio.CancelledError):
            return
        record = both_ways(api, colour, lambda: Body(api.events[:1], breaks=raised), *parts).record
        assert (record.end, record.error and record.error.type) == ("cancelled", "cancelled")


@each_chain
@both_colours
@each_api
@pytest.mark.parametrize(
    ("trouble", "end", "kind"),
    [
        (httpx2.ConnectError("refused"), "error", "connect"),
        (httpx2.PoolTimeout("none free"), "error", "timeout"),
        (httpx2.ReadTimeout("late"), "error", "timeout"),
        (httpx2.WriteError("half of it"), "error", "write"),
        (ZeroDivisionError("a transport of one's own"), "error", "ZeroDivisionError"),
        (KeyboardInterrupt(), "cancelled", "cancelled"),
        (asyncio.CancelledError(), "cancelled", "cancelled"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_a_send_without_an_answer(
    api: Api, colour: Colour, parts: tuple[object, ...], trouble: BaseException, end: End, kind: str
) -> None:
    if colour == "sync" and isinstance(trouble, asyncio.CancelledError):
        return
    record = both_ways(api, colour, lambda: trouble, *parts).record
    assert (record.end, record.error and record.error.type) == (end, kind)
    assert len(record.attempts) == 1
    assert record.attempts[0].error == record.error
