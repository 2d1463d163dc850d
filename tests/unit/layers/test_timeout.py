"""Timeout: no send, and no call, takes longer than stated."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.layers.bench import ANSWER, EVENTS, Bench

import interlay
from interlay import Retry, Timeout
from interlay.model.errors import ConfigError
from interlay.testing import Turn

HANGS = Turn(fault="hang")
LIMIT = 0.1
BAR = 20.0
"""Seconds that tell a limit that was kept from none at all."""


class TestAttempt:
    @pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
    @pytest.mark.parametrize(
        "turn",
        [
            HANGS,
            Turn(body=EVENTS, fault="hang", after=0),
            Turn(body=EVENTS, fault="hang", after=1),
            Turn(body=EVENTS * 100, drip=0.01),
        ],
        ids=["before the headers", "before the first byte", "later", "dripping"],
    )
    def test_ends_in_the_librarys_own_time_out(self, bench: Bench, turn: Turn, *, streamed: bool) -> None:
        played = bench.play(turn, parts=(Timeout(attempt=LIMIT),), streamed=streamed)
        assert (played.kind, played.requests) == ("ReadTimeout", 1)
        assert LIMIT <= played.seconds < BAR
        assert (played.record.end, played.record.error and played.record.error.type) == ("error", "timeout")

    def test_lets_pass_what_is_in_time(self, bench: Bench) -> None:
        played = bench.play(parts=(Timeout(attempt=60.0),))
        assert (played.body, played.error, played.record.end) == (ANSWER, None, "complete")

    def test_counts_anew_for_each(self, bench: Bench) -> None:
        played = bench.play(HANGS, HANGS, parts=(Retry(3), Timeout(attempt=LIMIT)))
        assert (played.status, played.requests) == (200, 3)
        assert all(attempt.seconds < BAR for attempt in played.record.attempts)

    def test_never_lengthens_what_the_caller_set(self, bench: Bench) -> None:
        played = bench.play(HANGS, parts=(Timeout(attempt=60.0),), timeout={"read": LIMIT})
        assert played.kind == "ReadTimeout"
        assert played.seconds < BAR


class TestTotal:
    def test_is_over_all_attempts_and_the_waits_between_them(self, bench: Bench) -> None:
        played = bench.play(*[503] * 99, parts=(Retry(99, backoff=1.0, random=lambda: 0.0), Timeout(total=60.0)))
        assert played.status == 503
        # There is no room for another eight seconds.
        assert played.sleeps == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0]

    def test_stops_the_attempt_that_is_under_way(self, bench: Bench) -> None:
        played = bench.play(*[HANGS] * 99, parts=(Retry(99, backoff=0.0), Timeout(total=LIMIT)))
        assert (played.kind, played.requests) == ("ReadTimeout", 1)
        assert LIMIT <= played.seconds < BAR
        assert played.record.error is not None
        assert played.record.error.type == "timeout"

    def test_and_a_stream_that_is_being_read(self, bench: Bench) -> None:
        played = bench.play(Turn(body=EVENTS * 100, drip=0.01), parts=(Timeout(total=LIMIT),), streamed=True)
        assert played.kind == "ReadTimeout"
        assert LIMIT <= played.seconds < BAR

    def test_the_earlier_deadline_holds(self, bench: Bench) -> None:
        with interlay.using(deadline=LIMIT):
            assert bench.play(HANGS, parts=(Timeout(total=60.0),)).seconds < BAR
        with interlay.using(deadline=60.0):
            assert bench.play(HANGS, parts=(Timeout(total=LIMIT),)).seconds < BAR

    def test_with_nothing_left_nothing_is_sent(self, bench: Bench) -> None:
        with interlay.using(deadline=1.0):
            bench.clock.ahead += 2.0
            played = bench.play(parts=(Timeout(total=60.0),))
        assert (played.kind, played.requests) == ("ReadTimeout", 0)
        assert played.record.attempts == ()

    @pytest.mark.parametrize(("asked", "told"), [("100", "false"), ("1", None)])
    def test_tells_an_sdk_not_to_wait_for_nothing(self, bench: Bench, asked: str, told: str | None) -> None:
        played = bench.play(Turn(status=429, headers={"retry-after": asked}), parts=(Timeout(total=60.0),))
        assert (played.status, played.headers.get("x-should-retry")) == (429, told)


class TestShadow:
    @pytest.mark.parametrize("limit", ["attempt", "total"])
    @pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
    def test_says_what_took_too_long_and_stops_nothing(self, bench: Bench, limit: Any, *, streamed: bool) -> None:
        turn = Turn(body=EVENTS if streamed else ANSWER, drip=0.001)
        parts = (Timeout(**{limit: 0.01}, mode="shadow"),)
        played = bench.play(turn, parts=parts, streamed=streamed)
        assert (played.error, played.record.end) == (None, "complete")
        (verdict,) = played.record.verdicts
        assert (verdict.layer, verdict.reason, verdict.shadow) == ("timeout", limit, True)

    def test_also_of_what_failed(self, bench: Bench) -> None:
        parts = (Timeout(total=LIMIT / 10, mode="shadow"),)
        played = bench.play(HANGS, parts=parts, timeout={"read": LIMIT})
        assert played.kind == "ReadTimeout"
        assert [verdict.reason for verdict in played.record.verdicts] == ["total"]

    def test_says_nothing_of_what_is_in_time(self, bench: Bench) -> None:
        played = bench.play(parts=(Timeout(attempt=60.0, total=60.0, mode="shadow"),))
        assert played.record.verdicts == ()


@pytest.mark.parametrize("wrong", [{"attempt": 0}, {"total": -1}, {"total": "60"}, {"mode": "maybe", "total": 1}])
def test_names_what_is_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"Timeout\({next(iter(wrong))}="):
        Timeout(**wrong)


def test_wants_a_limit() -> None:
    with pytest.raises(ConfigError, match="expected attempt=, total= or both"):
        Timeout()
