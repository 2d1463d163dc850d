"""How long an answer is given, what is given after that, and what callers may say about it."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from tests.unit.layers.cache.bench import Bench, Got, answer, events, question

import interlay
from interlay.model import caching
from interlay.model.caching import Directives
from interlay.testing import Turn

Ask = Callable[[str], Got]


class TestFresh:
    def test_for_as_long_as_the_cache_says(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache(ttl="10m"))
        bench.ask()
        bench.clock.pass_(590)
        bench.ask()
        assert bench.found == ("hit", "fresh")
        bench.clock.pass_(20)
        bench.ask()
        assert bench.found == ("miss", "expired")
        bench.ask()
        assert bench.found == ("hit", "fresh")
        assert bench.sent == 2

    def test_a_hit_makes_nothing_younger(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache(ttl=100))
        for _ in range(5):
            bench.ask()
            bench.clock.pass_(30)
        assert bench.sent == 2

    def test_a_clock_that_was_set_back_a_day_is_not_believed(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache(ttl="1h"))
        bench.ask()
        bench.clock.pass_(-86_400)
        bench.ask()
        assert bench.found == ("miss", "expired")

    def test_a_clock_that_was_set_forward_ends_it(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache(ttl="1h"))
        bench.ask()
        bench.clock.pass_(86_400)
        bench.ask()
        assert bench.found == ("miss", "expired")


class TestStaleWhileRevalidate:
    def test_gives_the_old_answer_and_asks_for_a_new_one_beside_it(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache(ttl=60, stale_while_revalidate=600))
        bench.serves(answer("old"), answer("new"))
        bench.ask()
        bench.clock.pass_(100)
        stale = bench.ask()
        (caller,) = [r for r in bench.records if r.cache is not None and r.cache.outcome == "stale"]
        assert stale.text == "old"
        assert caller.cache is not None
        assert caller.cache.reason == "revalidating"
        assert int(stale.headers["cache-status"].rpartition("=")[2]) < 0
        bench.settle()
        assert bench.ask().text == "new"
        assert bench.sent == 2

    def test_the_new_one_is_a_call_of_its_own_with_its_own_cost(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache(ttl=60, stale_while_revalidate=600))
        bench.ask()
        bench.clock.pass_(100)
        bench.ask()
        bench.settle()
        (stale,) = [r for r in bench.records if r.cache is not None and r.cache.outcome == "stale"]
        (fresh,) = [r for r in bench.records if r.parent_id is not None]
        assert fresh.parent_id == stale.id
        assert [(link.kind, link.id) for link in fresh.links] == [("refresh", stale.id)]
        assert fresh.trace is not None
        assert stale.trace is None or stale.trace.trace_id != fresh.trace.trace_id
        assert fresh.cache is not None
        assert (fresh.cache.outcome, fresh.cache.reason) == ("miss", "revalidating")
        assert fresh.cost is not None
        assert stale.cost is not None
        assert (fresh.cost.source, stale.cost.source) == ("computed", "cache_hit")
        assert len(bench.records) == 3

    def test_it_is_asked_for_once(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache(ttl=60, stale_while_revalidate=600))
        bench.ask()
        bench.clock.pass_(100)
        bench.serves(Turn(body=answer("new"), drip=0.0005))
        assert [bench.ask().text for _ in range(5)] == ["Hello"] * 5
        bench.settle()
        assert bench.sent == 2

    def test_a_failure_leaves_the_old_one(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache(ttl=60, stale_while_revalidate=600))
        bench.ask()
        bench.clock.pass_(100)
        bench.serves(500, Turn(fault="reset"))
        for _ in range(2):
            assert bench.ask().text == "Hello"
            bench.settle()
        assert bench.ask().text == "Hello"

    def test_streams_too(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache(ttl=60, stale_while_revalidate=600))
        bench.serves(events("old"), events("new"))
        bench.ask(question(streamed=True))
        bench.clock.pass_(100)
        assert bench.ask(question(streamed=True)).text == "old"
        bench.settle()
        assert bench.ask(question(streamed=True)).text == "new"

    def test_not_for_longer_than_stated(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache(ttl=60, stale_while_revalidate=600))
        bench.ask()
        bench.clock.pass_(700)
        bench.ask()
        assert bench.found == ("miss", "expired")


class TestStaleIfError:
    @pytest.mark.parametrize(
        ("failure", "cost"),
        [
            (500, "cache_hit"),
            (529, "cache_hit"),
            (429, "cache_hit"),
            (Turn(fault="refuse"), "cache_hit"),
            # What was sent and not, or not wholly, answered may have been charged for.
            (Turn(fault="reset"), "unknown"),
            (Turn(fault="reset", at=40, body=answer()), "estimated"),
        ],
    )
    def test_gives_the_old_answer_if_the_provider_fails(self, bench: Bench, failure: Turn | int, cost: str) -> None:
        bench.wrap(interlay.Cache(ttl=60, stale_if_error=600))
        bench.ask()
        bench.clock.pass_(100)
        bench.serves(failure)
        got = bench.ask()
        assert (got.status, got.text) == (200, "Hello")
        assert bench.found == ("stale", "error")
        assert bench.last.end == "complete"
        assert len(bench.last.attempts) == 1
        assert bench.last.response is not None
        assert bench.last.response.request_id is None, "it has not answered"
        assert bench.last.cost is not None
        assert bench.last.cost.source == cost

    def test_a_stream_that_breaks_before_its_first_event_too(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache(ttl=60, stale_if_error=600))
        bench.serves(events("old"))
        bench.ask(question(streamed=True))
        bench.clock.pass_(100)
        bench.serves(Turn(body=events("new"), fault="reset", after=0))
        assert bench.ask(question(streamed=True)).text == "old"
        assert bench.found == ("stale", "error")

    @pytest.mark.parametrize("status", [400, 401, 404])
    def test_not_if_the_request_is_what_is_wrong(self, bench: Bench, status: int) -> None:
        bench.wrap(interlay.Cache(ttl=60, stale_if_error=600))
        bench.ask()
        bench.clock.pass_(100)
        bench.serves(status)
        assert bench.ask().status == status

    def test_not_for_longer_than_stated(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache(ttl=60, stale_if_error=600))
        bench.ask()
        bench.clock.pass_(700)
        bench.serves(500)
        assert bench.ask().status == 500

    def test_after_what_retries_may_do(self, bench: Bench) -> None:
        bench.wrap(interlay.Retry(3, backoff=0.0), interlay.Cache(ttl=60, stale_if_error=600))
        bench.ask()
        bench.clock.pass_(100)
        bench.serves(500, 500, 500)
        assert bench.ask().text == "Hello"
        assert len(bench.last.attempts) == 3


class TestOneCallSays:
    """By a header, or by ``using(cache=…)``."""

    @pytest.fixture(params=["header", "using"])
    def ask(self, request: pytest.FixtureRequest, bench: Bench) -> Ask:
        def by(said: str) -> Got:
            if request.param == "header":
                return bench.ask(headers={"cache-control": said})
            with interlay.using(cache=said):
                return bench.ask()

        return by

    def test_no_store(self, bench: Bench, ask: Ask) -> None:
        bench.wrap(interlay.Cache())
        for _ in range(2):
            ask("no-store")
            assert bench.found == ("bypass", "no-store")
        bench.ask()
        assert bench.found == ("miss", "absent")

    def test_no_cache(self, bench: Bench, ask: Ask) -> None:
        bench.wrap(interlay.Cache())
        bench.serves(answer("old"), answer("new"))
        bench.ask()
        assert ask("no-cache").text == "new"
        assert bench.found == ("miss", "no-cache")
        assert bench.ask().text == "new"

    def test_max_age(self, bench: Bench, ask: Ask) -> None:
        bench.wrap(interlay.Cache())
        bench.ask()
        bench.clock.pass_(100)
        ask("max-age=200")
        assert bench.found == ("hit", "fresh")
        ask("max-age=50")
        assert bench.found == ("miss", "expired")

    def test_min_fresh(self, bench: Bench, ask: Ask) -> None:
        bench.wrap(interlay.Cache(ttl=100))
        bench.ask()
        ask("min-fresh=50")
        assert bench.found == ("hit", "fresh")
        bench.clock.pass_(60)
        ask("min-fresh=50")
        assert bench.found == ("miss", "expired")

    def test_max_stale(self, bench: Bench, ask: Ask) -> None:
        bench.wrap(interlay.Cache(ttl=100, stale_if_error="1h"))
        bench.ask()
        bench.clock.pass_(150)
        ask("max-stale=60")
        assert bench.found == ("stale", "max-stale")
        ask("max-stale")
        assert bench.found == ("stale", "max-stale")
        ask("max-stale=10")
        assert bench.found == ("miss", "expired")

    def test_only_if_cached(self, bench: Bench, ask: Ask) -> None:
        bench.wrap(interlay.Cache())
        refused = ask("only-if-cached")
        assert refused.status == 504
        assert refused.headers["x-should-retry"] == "false"
        assert bench.sent == 0
        bench.ask()
        assert ask("only-if-cached").text == "Hello"

    def test_stale_if_error(self, bench: Bench, ask: Ask) -> None:
        bench.wrap(interlay.Cache(ttl=60, stale_if_error=60))
        bench.ask()
        bench.clock.pass_(90)
        bench.serves(500, 500)
        assert ask("stale-if-error=0").status == 500
        assert ask("stale-if-error=60").status == 200


class TestUsing:
    def test_false_is_no_store(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache())
        with interlay.using(cache=False):
            bench.ask()
        assert bench.found == ("bypass", "no-store")

    def test_a_mapping_says_how_long_and_under_which_words_an_answer_is_kept(self, bench: Bench) -> None:
        cache = interlay.Cache(ttl="1h")
        bench.wrap(cache)
        with interlay.using(cache={"ttl": "1m", "tags": ["short"]}):
            bench.ask()
        bench.clock.pass_(90)
        bench.ask()
        assert bench.found == ("miss", "expired")
        with interlay.using(cache={"ttl": "1d", "tags": ["long"], "no-cache": True}):
            bench.ask()
        bench.clock.pass_(7_200)
        bench.ask()
        assert bench.found == ("hit", "fresh")
        bench.settle()
        assert cache.forget(tag="long") == 1

    def test_nested_blocks_add_up(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache())
        with interlay.using(cache="max-age=10"), interlay.using(cache={"tags": ["a"]}):
            bench.ask()
            bench.clock.pass_(20)
            bench.ask()
        assert bench.found == ("miss", "expired")

    @pytest.mark.parametrize(
        ("wrong", "error", "told"),
        [
            (True, TypeError, "cache=True"),
            (60, TypeError, "cache=60"),
            ("max-age=soon", ValueError, "max-age='soon'.*seconds"),
            ("no-cache=1", ValueError, "no-cache.*expected one of"),
            ("forever", ValueError, "forever.*expected one of.*max-stale"),
            ({"namespace": "x"}, ValueError, "namespace.*expected one of.*tags"),
            ({"tags": "one"}, TypeError, "tags='one'"),
            ({"ttl": -1}, ValueError, "ttl=-1"),
        ],
    )
    def test_what_is_wrong_is_said_by_name(
        self, bench: Bench, wrong: object, error: type[Exception], told: str
    ) -> None:
        bench.wrap(interlay.Cache())
        with pytest.raises(error, match=told), interlay.using(cache=wrong):  # type: ignore[arg-type]
            pass


class TestTheHeader:
    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            ("", caching.NONE),
            ("no-store", Directives(no_store=True)),
            (" No-Cache , max-age=5,", Directives(no_cache=True, max_age=5)),
            ('max-age="7"', Directives(max_age=7)),
            ("max-stale", Directives(max_stale=math.inf)),
            ("max-stale=9, min-fresh=1", Directives(max_stale=9, min_fresh=1)),
            ("max-age=-1, max-age=soon, private, ttl=5, =, \x00, only-if-cached", Directives(only_if_cached=True)),
            ("no-transform, stale-if-error=60", Directives(stale_if_error=60)),
        ],
    )
    def test_is_read_as_http_has_it(self, text: str, meant: Directives) -> None:
        assert caching.of_header(text) == meant
