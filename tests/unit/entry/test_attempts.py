"""Every request on the wire is an attempt of exactly one record, told of once, whatever layers do with its answer."""

from __future__ import annotations

from typing import Any, ClassVar

import httpx2
import pytest
from tests.unit.entry.apis import APIS, Api, Colour, Seen, Wire, play
from tests.unit.entry.wires import Body

import interlay
from interlay.chain.call import Call, Response
from interlay.chain.layer import Next
from interlay.model.record import Attempt

each_api = pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
both_colours = pytest.mark.parametrize("colour", ["sync", "async"])


class Twice:
    """Sends twice, and lets go of the first answer unread; may then fail."""

    role: ClassVar[interlay.Role] = interlay.Role.ROUTE

    def __init__(self, raises: Exception | None = None) -> None:
        self.raises = raises
        self.kept: list[Response] = []

    async def __call__(self, call: Call, next: Next) -> Response:
        # Kept, as what is dropped is told of by another thread.
        self.kept.append(await next(call))
        response = await next(call)
        self.kept.append(response)
        if self.raises is not None:
            raise self.raises
        return response


class Told(interlay.Observer):
    def __init__(self) -> None:
        self.attempts: list[Attempt] = []

    def on_attempt(self, call: Call, attempt: Attempt) -> None:
        self.attempts.append(attempt)


class Fresh(Wire):
    """A body of its own for each request."""

    def __init__(self, *bodies: Body) -> None:
        super().__init__(bodies[0])
        self.bodies = bodies

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.body = self.bodies[min(len(self.requests), len(self.bodies) - 1)]
        return super().handle_request(request)


@both_colours
@each_api
class TestAnAttempt:
    def played(self, api: Api, colour: Colour, *parts: Any, bodies: tuple[Body, ...]) -> tuple[Seen, list[Attempt]]:
        told = Told()
        wire = Fresh(*bodies)
        seen = play(api, colour, wire, *parts, interlay.Observe(told, inline=True))
        assert len(wire.requests) == len(seen.record.attempts) == len(told.attempts)
        told.attempts.sort(key=lambda attempt: attempt.started_at)
        assert tuple(told.attempts) == seen.record.attempts
        return seen, told.attempts

    def test_whose_answer_nobody_read(self, api: Api, colour: Colour) -> None:
        seen, attempts = self.played(api, colour, Twice(), bodies=(Body(api.events), Body(api.events)))
        assert (seen.error, seen.record.end) == (None, "complete")
        assert [(attempt.status, attempt.billed, attempt.error) for attempt in attempts] == [(200, True, None)] * 2

    @pytest.mark.parametrize("raises", [LookupError("a layer's own"), KeyError("x")], ids=repr)
    def test_before_a_layer_fails(self, api: Api, colour: Colour, raises: Exception) -> None:
        seen, attempts = self.played(api, colour, Twice(raises), bodies=(Body(api.events), Body(api.events)))
        assert seen.error is raises
        assert seen.record.error is not None
        assert (seen.record.end, seen.record.error.type) == ("error", type(raises).__name__)
        assert [(attempt.status, attempt.billed) for attempt in attempts] == [(200, True)] * 2

    def test_before_a_refusal(self, api: Api, colour: Colour) -> None:
        refusal = interlay.Refused("no", status=403, type="closed")
        seen, attempts = self.played(api, colour, Twice(refusal), bodies=(Body(api.events), Body(api.events)))
        assert seen.error is None
        assert seen.record.error is not None
        assert (seen.record.end, seen.record.error.type) == ("error", "closed")
        assert [(attempt.status, attempt.billed) for attempt in attempts] == [(200, True)] * 2

    def test_that_broke_where_sending_again_did_not_help(self, api: Api, colour: Colour) -> None:
        """The stream breaks before anything of it was delivered, and what is sent instead is an error."""
        broken = httpx2.ReadError("reset by peer")

        class Refusing(Fresh):
            def handle_request(self, request: httpx2.Request) -> httpx2.Response:
                if self.requests:
                    self.requests.append(request)
                    return httpx2.Response(400, stream=Body([b"{}"]))
                return super().handle_request(request)

        told = Told()
        wire = Refusing(Body([], breaks=broken))
        retry = interlay.Retry(attempts=2, backoff=0)
        seen = play(api, colour, wire, retry, interlay.Observe(told, inline=True))
        assert seen.error is broken
        assert len(wire.requests) == len(seen.record.attempts) == len(told.attempts) == 2
        assert [attempt.status for attempt in told.attempts] == [200, 400]
        assert seen.record.attempts == tuple(told.attempts)
