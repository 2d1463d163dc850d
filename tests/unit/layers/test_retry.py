"""Retry: sends again what may succeed, waits as it is asked to, and never replays what was delivered."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from email.utils import format_datetime
from typing import Any

import pytest
from tests.unit.layers.bench import ANSWER, EVENTS, Bench

import interlay
from interlay import Retry
from interlay.model.errors import ConfigError
from interlay.testing import Turn


def steady(attempts: int = 3, **options: Any) -> Retry:
    """A retry without chance."""
    return Retry(attempts, random=lambda: 0.0, **options)


class TestWhatIsSentAgain:
    @pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
    def test_a_status_that_may_pass(self, bench: Bench, status: int) -> None:
        played = bench.play(status, status, parts=(steady(),))
        assert (played.status, played.body, played.requests) == (200, ANSWER, 3)
        assert [attempt.status for attempt in played.record.attempts] == [status, status, 200]
        assert played.record.end == "complete"

    @pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422, 501])
    def test_not_one_that_stays(self, bench: Bench, status: int) -> None:
        played = bench.play(status, parts=(steady(),))
        assert (played.status, played.requests, played.sleeps) == (status, 1, [])

    @pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
    def test_not_a_quota_that_is_spent(self, bench: Bench, code: str) -> None:
        body = b'{"error":{"message":"no","type":"%b","param":null,"code":"%b"}}' % (code.encode(), code.encode())
        played = bench.play(Turn(status=429, body=body), parts=(steady(),))
        assert (played.status, played.requests) == (429, 1)

    @pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
    @pytest.mark.parametrize("fault", ["refuse", "reset"])
    def test_what_has_no_answer(self, bench: Bench, fault: Any, *, streamed: bool) -> None:
        played = bench.play(Turn(fault=fault), Turn(fault=fault), parts=(steady(),), streamed=streamed)
        assert (played.status, played.requests) == (200, 3)

    def test_a_time_out(self, bench: Bench) -> None:
        played = bench.play(Turn(fault="hang"), parts=(steady(),), timeout={"read": 0.01})
        assert (played.status, played.requests) == (200, 2)
        assert [attempt.error and attempt.error.type for attempt in played.record.attempts] == ["timeout", None]

    def test_as_the_server_says_whatever_the_status(self, bench: Bench) -> None:
        yes = Turn(status=400, headers={"x-should-retry": "true"})
        no = Turn(status=529, headers={"x-should-retry": "false"})
        played = bench.play(yes, no, parts=(steady(9),))
        assert (played.status, played.requests) == (529, 2)

    def test_at_most_so_often(self, bench: Bench) -> None:
        played = bench.play(*[503] * 9, parts=(steady(4),))
        assert (played.status, played.requests) == (503, 4)
        assert (played.record.end, len(played.record.attempts)) == ("error", 4)
        assert [verdict.reason for verdict in played.record.verdicts] == ["http_503"] * 3
        # Who stands above is told that this was tried.
        assert played.headers["x-should-retry"] == "false"

    def test_one_attempt_is_no_retry(self, bench: Bench) -> None:
        assert bench.play(503, parts=(steady(1),)).requests == 1

    def test_the_last_error_is_the_librarys_own(self, bench: Bench) -> None:
        played = bench.play(*[Turn(fault="refuse")] * 9, parts=(steady(),))
        assert (played.kind, played.requests) == ("ConnectError", 3)
        assert (played.record.end, played.record.error and played.record.error.type) == ("error", "connect")


class TestTheWait:
    def test_doubles_up_to_a_limit(self, bench: Bench) -> None:
        assert bench.play(*[503] * 9, parts=(steady(8),)).sleeps == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]

    def test_is_up_to_a_quarter_shorter_by_chance(self, bench: Bench) -> None:
        retry = Retry(4, backoff=1.0, max_wait=3.0, random=lambda: 1.0)
        assert bench.play(*[503] * 9, parts=(retry,)).sleeps == [0.75, 1.5, 2.25]

    def test_stays_a_number_after_thousands(self, bench: Bench) -> None:
        played = bench.play(*[503] * 1200, parts=(steady(1100, max_wait=1.0),))
        assert (played.requests, played.sleeps[-1]) == (1100, 1.0)

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({"retry-after-ms": "1500"}, 1.5),
            ({"retry-after": "7"}, 7.0),
            ({"retry-after": "0.25"}, 0.25),
            ({"retry-after": "0"}, 0.0),
            ({"retry-after-ms": "20", "retry-after": "9"}, 0.02),
            ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ],
    )
    def test_is_what_the_server_asks_for(self, bench: Bench, headers: dict[str, str], seconds: float) -> None:
        played = bench.play(Turn(status=429, headers=headers), parts=(steady(),))
        assert (played.status, played.sleeps) == (200, [seconds])
        assert [verdict.seconds for verdict in played.record.verdicts] == [seconds]

    @pytest.mark.parametrize(
        "form", [lambda at: format_datetime(at, usegmt=True), lambda at: at.strftime("%c")], ids=["http", "c"]
    )
    def test_or_until_the_date_it_names(self, bench: Bench, form: Callable[[dt.datetime], str]) -> None:
        until = dt.datetime.now(dt.UTC) + dt.timedelta(minutes=30)
        played = bench.play(
            Turn(status=503, headers={"retry-after": form(until)}), parts=(steady(max_retry_after=3600),)
        )
        assert played.requests == 2
        assert 29 * 60 < played.sleeps[0] <= 30 * 60

    @pytest.mark.parametrize(
        "asked", ["", "soon", "-1", "nan", "inf", "Wed, 21 Oct 2015 07:28:00 GMT", "99 Foo 99999 99:99:99"]
    )
    def test_is_its_own_where_the_server_asks_for_none(self, bench: Bench, asked: str) -> None:
        played = bench.play(Turn(status=503, headers={"retry-after": asked}), parts=(steady(),))
        assert (played.requests, played.sleeps) == (2, [0.5])

    @pytest.mark.parametrize("asked", ["61", "1e300", "Fri, 01 Jan 2100 00:00:00 GMT"])
    def test_is_not_begun_where_it_is_too_long(self, bench: Bench, asked: str) -> None:
        played = bench.play(Turn(status=429, headers={"retry-after": asked}), parts=(steady(),))
        assert (played.status, played.requests, played.sleeps) == (429, 1, [])
        assert played.headers["retry-after"] == asked

    def test_nor_where_the_deadline_has_no_room_for_it(self, bench: Bench) -> None:
        with interlay.using(deadline=100):
            played = bench.play(*[503] * 20, parts=(steady(20, backoff=40.0, max_wait=40.0),))
        assert (played.status, played.sleeps) == (503, [40.0, 40.0])
        assert played.requests == 3


class TestWhatWasDelivered:
    def test_a_stream_that_broke_before_its_first_byte_was_not(self, bench: Bench) -> None:
        broken = Turn(body=EVENTS, fault="reset", after=0)
        played = bench.play(broken, broken, parts=(steady(),), streamed=True)
        assert (played.body, played.error, played.requests) == (EVENTS, None, 3)
        assert played.record.end == "complete"
        attempts = played.record.attempts
        assert [attempt.error and attempt.error.type for attempt in attempts] == ["read", "read", None]

    def test_what_came_instead_of_it_is_judged_alike(self, bench: Bench) -> None:
        broken = Turn(body=EVENTS, fault="reset", after=0)
        played = bench.play(broken, 529, Turn(fault="refuse"), parts=(steady(9),), streamed=True)
        assert (played.body, played.requests) == (EVENTS, 4)
        played = bench.play(broken, 529, 529, parts=(steady(3),), streamed=True)
        assert (played.kind, played.body, played.requests) == ("ReadError", b"", 3)
        assert [attempt.status for attempt in played.record.attempts] == [200, 529, 529]
        assert played.record.end == "error"

    @pytest.mark.parametrize("fault", ["reset", "truncate"])
    def test_one_that_broke_later_is_never_sent_again(self, bench: Bench, fault: Any) -> None:
        played = bench.play(Turn(body=EVENTS, fault=fault, after=1), parts=(steady(),), streamed=True)
        assert played.requests == 1
        assert played.kind in ("ReadError", "RemoteProtocolError")
        assert played.body == EVENTS.partition(b"\n\n")[0] + b"\n\n"

    def test_nor_one_that_ended_early(self, bench: Bench) -> None:
        played = bench.play(Turn(body=EVENTS, fault="cut", after=1), parts=(steady(),), streamed=True)
        assert (played.requests, played.record.end) == (1, "error")

    def test_nobody_has_read_half_an_answer(self, bench: Bench) -> None:
        played = bench.play(Turn(body=ANSWER, fault="reset", after=1), parts=(steady(),))
        assert (played.body, played.requests) == (ANSWER, 2)

    def test_of_a_long_one_they_have(self, bench: Bench) -> None:
        long = ANSWER.replace(b"Hello", b"Hello" * 600_000)
        played = bench.play(Turn(body=long, fault="reset", after=1), parts=(steady(),))
        assert (played.kind, played.requests) == ("ReadError", 1)
        assert long.startswith(played.body)


class TestShadow:
    def test_says_what_it_would_do_and_does_not(self, bench: Bench) -> None:
        played = bench.play(529, parts=(steady(mode="shadow"),))
        assert (played.status, played.requests, played.sleeps) == (529, 1, [])
        (verdict,) = played.record.verdicts
        assert (verdict.layer, verdict.action, verdict.reason, verdict.shadow) == ("retry", "retry", "http_529", True)

    def test_nor_reads_ahead(self, bench: Bench) -> None:
        played = bench.play(Turn(body=ANSWER, fault="reset", after=1), parts=(steady(mode="shadow"),))
        assert (played.kind, played.requests) == ("ReadError", 1)
        assert played.body == ANSWER[: len(ANSWER) // 2]


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": 2.5},
        {"backoff": -1},
        {"max_wait": "8"},
        {"max_retry_after": float("nan")},
        {"mode": "maybe"},
    ],
)
def test_names_what_is_out_of_range(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigError, match=rf"Retry\({name}="):
        Retry(**wrong)


def test_reading_a_slow_refusal_is_no_work_of_ours(bench: Bench) -> None:
    played = bench.play(Turn(status=503, drip=0.01), parts=(steady(),))
    refused = played.record.attempts[0].seconds
    assert refused > 0.5
    assert played.record.overhead < refused / 2
