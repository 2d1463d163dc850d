"""Who retries how often, over real sockets: an SDK by itself, ``Retry`` in its place, and a ``Timeout`` over both."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.recorded.replay import Colour
from tests.recorded.scenes import Scene, both_colours, both_sdks, soon

import interlay
from interlay import Retry, Timeout
from interlay.testing import Turn, capture, closed_port

pytestmark = pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")

AT_ONCE = {"retry-after-ms": "1"}


@both_colours
@both_sdks
class TestRetriesOfTheSDK:
    @pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
    def test_two_529s_and_a_200_are_three_records_of_one_call(
        self, sdk: Any, colour: Colour, *, streamed: bool, scene: Callable[..., Scene]
    ) -> None:
        busy = Turn(status=529, headers=AT_ONCE)
        stage = scene(sdk, colour, busy, busy, plain=not streamed)
        with capture() as records:
            assert stage.call(stage.wrapped(max_retries=2)).startswith("{")
        assert [record.end for record in records] == ["error", "error", "complete"]
        assert len({record.id for record in records}) == 3
        assert len({record.call_id for record in records}) == 1
        billed = [attempt.billed for record in records for attempt in record.attempts]
        assert billed == [False, False, True]
        assert [bool(record.cost and record.cost.amount) for record in records] == [False, False, True]
        assert [record.usage is not None for record in records] == [False, False, True]

    def test_the_next_call_is_another_call(self, sdk: Any, colour: Colour, scene: Callable[..., Scene]) -> None:
        stage = scene(sdk, colour, Turn(status=529, headers=AT_ONCE), plain=True)
        with capture() as records:
            stage.call(stage.wrapped(max_retries=2))
            stage.call(stage.wrapped(max_retries=2))
        assert len(records) == 3
        assert records[0].call_id == records[1].call_id != records[2].call_id


NO_ANSWER = {"reset": Turn(fault="reset"), "timeout": Turn(fault="hang")}
REFUSALS = {
    "529": Turn(status=529, headers=AT_ONCE),
    "500": Turn(status=500),
    "429": Turn(status=429, headers=AT_ONCE),
}


@both_colours
@both_sdks
class TestRetriesOfOurs:
    @pytest.mark.parametrize("trouble", [*NO_ANSWER, *REFUSALS])
    def test_three_requests_and_not_nine(
        self, trouble: str, sdk: Any, colour: Colour, scene: Callable[..., Scene]
    ) -> None:
        turn = {**NO_ANSWER, **REFUSALS}[trouble]
        stage = scene(sdk, colour, *[turn] * 20, plain=True)
        read = {"read": 0.2} if turn.fault == "hang" else {}
        with capture() as records:
            stage.call(stage.wrapped(Retry(attempts=3, backoff=0.01), max_retries=2, **read))
        # A busy machine may read what was sent after the sender has given up.
        assert soon(lambda: len(stage.player.requests) == 3)
        (record,) = records
        assert [attempt.status for attempt in record.attempts] == [turn.status] * 3
        assert record.end == "error"

    def test_refused_connections_too(self, sdk: Any, colour: Colour, scene: Callable[..., Scene]) -> None:
        stage = scene(sdk, colour, plain=True)
        held = stage.wrapped(Retry(attempts=3, backoff=0.01), max_retries=2, url=closed_port())
        with capture() as records:
            stage.call(held)
        (record,) = records
        assert [attempt.error and attempt.error.type for attempt in record.attempts] == ["connect"] * 3

    @pytest.mark.parametrize("trouble", ["refused", *NO_ANSWER, *REFUSALS])
    def test_nor_nine_where_one_call_asks_the_sdk_to_retry(
        self, trouble: str, sdk: Any, colour: Colour, scene: Callable[..., Scene]
    ) -> None:
        turn = {**NO_ANSWER, **REFUSALS}.get(trouble, Turn())
        stage = scene(sdk, colour, *[turn] * 20, plain=True)
        read = {"read": 0.2} if turn.fault == "hang" else {}
        url = closed_port() if trouble == "refused" else None
        # One retry: the SDK waits before it, also for what is then not sent.
        held = stage.wrapped(Retry(attempts=3, backoff=0.01), url=url, **read).with_options(max_retries=1)
        with capture() as records:
            stage.call(held)
        assert sum(len(record.attempts) for record in records) == 3
        assert len(stage.player.requests) == (0 if trouble == "refused" else 3)
        assert len({record.call_id for record in records}) == 1

    def test_what_was_delivered_is_not_replayed(self, sdk: Any, colour: Colour, scene: Callable[..., Scene]) -> None:
        stage = scene(sdk, colour, Turn(fault="reset", after=2))
        with capture() as records:
            assert "Error" in stage.call(stage.wrapped(Retry(attempts=3, backoff=0.01)))
        assert len(stage.player.requests) == 1
        assert [record.end for record in records] == ["error"]

    def test_what_broke_before_its_first_byte_is(self, sdk: Any, colour: Colour, scene: Callable[..., Scene]) -> None:
        stage = scene(sdk, colour, Turn(fault="reset", after=0))
        with capture() as records:
            assert stage.call(stage.wrapped(Retry(attempts=3, backoff=0.01))).startswith("{")
        assert len(stage.player.requests) == 2
        assert [record.end for record in records] == ["complete"]


@both_colours
@both_sdks
class TestATotalOverTheRetriesOfTheSDK:
    """Ten retries of an SDK's own take more than 40 seconds of waiting alone."""

    RETRIES = 10
    TOTAL = 1.0
    BAR = 15.0

    @pytest.mark.parametrize("options", [{}, {"max_retries": RETRIES}], ids=["client", "sibling"])
    @pytest.mark.parametrize("trouble", ["529", "hang", "refused"])
    def test_is_that_and_nothing_is_sent_after_it(
        self, trouble: str, options: dict[str, int], sdk: Any, colour: Colour, scene: Callable[..., Scene]
    ) -> None:
        turn = {"529": Turn(status=529), "hang": Turn(fault="hang")}.get(trouble, Turn())
        stage = scene(sdk, colour, *[turn] * 50, plain=True)
        url = closed_port() if trouble == "refused" else None
        held = stage.wrapped(Timeout(total=self.TOTAL), max_retries=self.RETRIES, url=url, read=0.3)
        if options:
            held = held.with_options(timeout=0.3).with_options(**options)
        began = time.monotonic()
        with capture() as records:
            assert "Error" in stage.call(held)
        assert time.monotonic() - began < self.BAR
        assert len({record.call_id for record in records}) == 1
        sends = [attempt.started_at for record in records for attempt in record.attempts]
        assert sends
        assert records[-1].attempts == ()
        assert max(sends) - records[0].started_at < self.BAR
        assert (records[-1].end, records[-1].error and records[-1].error.type) == ("error", "timeout")

    def test_a_wait_that_ends_after_it_is_not_begun(
        self, sdk: Any, colour: Colour, scene: Callable[..., Scene]
    ) -> None:
        stage = scene(sdk, colour, *[Turn(status=429, headers={"retry-after": "100"})] * 5, plain=True)
        began = time.monotonic()
        with capture() as records:
            assert stage.call(stage.wrapped(Timeout(total=90), max_retries=3)).startswith("RateLimitError")
        assert time.monotonic() - began < self.BAR
        assert len(records) == 1

    def test_one_of_using_too(self, sdk: Any, colour: Colour, scene: Callable[..., Scene]) -> None:
        stage = scene(sdk, colour, *[Turn(status=529)] * 50, plain=True)
        began = time.monotonic()
        with interlay.using(deadline=self.TOTAL):
            assert "Error" in stage.call(stage.wrapped(max_retries=self.RETRIES))
        assert time.monotonic() - began < self.BAR
