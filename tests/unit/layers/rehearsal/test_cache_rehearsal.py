"""What a cache would have done, on records made by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlay.layers.rehearsal import Backtest, CacheRehearsal
from interlay.model.cost import Cost
from interlay.model.record import Answered, Attempt, CacheOutcome, Contents, Failure, Identity, Link, Record

T0 = 1_790_000_000.0
PRICE = Decimal("0.01")
SENT = Attempt(target="https://api.openai.com/v1/chat/completions", started_at=T0, seconds=1.0, billed=True)


class Rehearsed:
    """Stands for a cache: it can be rehearsed."""

    def __init__(self, **settings: Any) -> None:
        self.settings = {"ttl": 60.0, **settings}

    def rehearse(self) -> CacheRehearsal:
        return CacheRehearsal(**self.settings)


def fields(**given: Any) -> dict[str, Any]:
    """Of a record."""
    return given


def record(at: float, key: str | None = "k", *, took: float = 1.0, id: str = "", **changes: Any) -> Record:
    """A call that was sent and answered."""
    made = Record(
        id=id or f"{at:020.6f}", call_id=id or f"{at:020.6f}", operation="chat", dialect="openai-chat",
        provider="openai", model="m", target="https://api.openai.com/v1/chat/completions", started_at=T0 + at,
        ended_at=T0 + at + took, duration=took, end="complete", key=key,
        response=Answered(status=200, finish_reasons=("stop",), bytes=1_000), attempts=(SENT,),
        cost=Cost(amount=PRICE, source="computed"),
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def was_hit(at: float, key: str = "k", **changes: Any) -> Record:
    """A call that a cache answered."""
    did = CacheOutcome(outcome="hit", reason="fresh", age=1.0)
    saved = Cost(amount=Decimal(0), source="cache_hit", avoided=PRICE)
    return record(at, key, took=0.001, **{"cache": did, "cost": saved, "attempts": (), **changes})


def run(*records: Record, **settings: Any) -> Backtest:
    test = Backtest([Rehearsed(**settings)])
    for each in sorted(records, key=lambda each: each.ended_at):
        test.feed(each)
    test.finish()
    return test


def outcomes(*records: Record, **settings: Any) -> dict[str, int]:
    return {" ".join(outcome): count for outcome, count in run(*records, **settings).would.outcomes.items()}


class TestFreshness:
    def test_an_answer_is_there_once_it_is_complete(self) -> None:
        assert outcomes(record(0), record(2), single_flight=False) == {"miss absent": 1, "hit fresh": 1}
        assert outcomes(record(0, took=3.0), record(2), single_flight=False) == {"miss absent": 2}

    def test_it_is_fresh_for_so_long_from_its_end_on(self) -> None:
        assert outcomes(record(0), record(60.5)) == {"miss absent": 1, "hit fresh": 1}
        assert outcomes(record(0), record(61.5)) == {"miss absent": 2}
        # A hit does not make it younger.
        assert outcomes(record(0), record(50), record(70)) == {"miss absent": 2, "hit fresh": 1}

    def test_other_questions_have_other_answers(self) -> None:
        assert outcomes(record(0, "a"), record(2, "b")) == {"miss absent": 2}

    def test_a_stale_answer_is_given_while_a_new_one_is_made(self) -> None:
        calls = [record(0), record(70), record(70.5), record(72), record(200)]
        found = run(*calls, stale_while_revalidate=30.0)
        assert found.would.outcomes == {
            ("miss", "absent"): 2, ("stale", "revalidating"): 2, ("hit", "fresh"): 1,
        }  # fmt: skip
        # The two that were sent and one refresh, though two callers had the stale answer.
        assert (found.would.sent, found.would.spent, found.would.saved) == (2, 3 * PRICE, 3 * PRICE)

    def test_where_the_provider_fails_an_old_answer_will_do(self) -> None:
        busy = Failure(type="http_503", status=503)
        refused = msgspec.structs.replace(SENT, error=busy, status=503, billed=False)
        nothing = Cost(amount=Decimal(0), source="computed")
        failed = record(70, end="error", error=busy, attempts=(refused,), cost=nothing)
        assert outcomes(record(0), failed, stale_if_error=30.0) == {"miss absent": 1, "stale error": 1}
        assert outcomes(record(0), failed) == {"miss absent": 2}
        # One that would have been answered well is asked for.
        assert outcomes(record(0), record(70), stale_if_error=30.0) == {"miss absent": 1, "miss expired": 1}

    def test_who_wants_a_fresh_one_gets_one(self) -> None:
        fresh = record(5, cache=CacheOutcome(outcome="miss", reason="no-cache"))
        assert outcomes(record(0), fresh, record(63)) == {"miss absent": 1, "miss no-cache": 1, "hit fresh": 1}


class TestFlight:
    def test_calls_follow_one_that_is_under_way(self) -> None:
        found = run(record(0, took=5.0), record(1), record(2))
        assert found.would.outcomes == {("miss", "absent"): 1, ("hit", "shared"): 2}
        assert found.would.spent == PRICE

    def test_nobody_follows_one_that_fails(self) -> None:
        failing = record(0, took=5.0, end="error", error=Failure(type="cut"))
        assert outcomes(failing, record(1), record(7)) == {"miss absent": 2, "hit fresh": 1}


class TestWhatIsKept:
    @pytest.mark.parametrize(
        "changes",
        [
            {"end": "error", "error": Failure(type="cut")},
            {"end": "closed"},
            {"end": "lost"},
            {"end": "cancelled"},
            {"response": Answered(status=200, finish_reasons=("content_filter",))},
            {"response": Answered(status=429)},
            {"response": None},
            {"body": "opaque"},
        ],
        ids=str,
    )
    def test_nothing_but_whole_answers(self, changes: dict[str, Any]) -> None:
        found = run(record(0, **changes), record(2))
        assert found.would.answered == 0

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"cache": CacheOutcome(outcome="bypass", reason="server_tools")}, "server_tools"),
            ({"cache": CacheOutcome(outcome="bypass", reason="no-store")}, "no-store"),
            ({"dialect": None, "operation": "http"}, "no_dialect"),
            ({"method": "GET"}, "method"),
            ({"body": "opaque"}, "opaque"),
        ],
    )
    def test_what_no_cache_may_answer(self, changes: dict[str, Any], reason: str) -> None:
        assert outcomes(record(0, **changes), record(2, **changes)) == {f"bypass {reason}": 2}

    def test_temperature(self) -> None:
        warm, cool, unsaid = (fields(parameters=p) for p in ({"temperature": 0.7}, {"temperature": 0}, {}))
        calls = [record(n, str(given), **given) for n, given in enumerate((warm, cool, unsaid) * 2)]
        assert outcomes(*calls, max_temperature=0.5) == {"bypass temperature": 4, "miss absent": 1, "hit fresh": 1}
        # That a narrower configuration passed it by does not bind another one.
        narrow = fields(cache=CacheOutcome(outcome="bypass", reason="temperature"))
        assert outcomes(record(0, **narrow), record(2, **narrow)) == {"miss absent": 1, "hit fresh": 1}

    def test_callers_can_be_told_apart_further(self) -> None:
        ada, grace = fields(identity=Identity(user="ada")), fields(identity=Identity(user="grace"))
        calls = [record(0, **ada), record(2, **grace), record(4, **ada)]
        assert outcomes(*calls) == {"miss absent": 1, "hit fresh": 2}
        assert outcomes(*calls, vary_by=["user"]) == {"miss absent": 2, "hit fresh": 1}

    def test_what_was_used_the_longest_ago_goes_first(self) -> None:
        calls = [record(0, "a"), record(2, "b"), record(4, "a"), record(6, "c"), record(8, "a"), record(10, "b")]
        assert outcomes(*calls) == {"miss absent": 3, "hit fresh": 3}
        two = {"miss absent": 4, "hit fresh": 2}
        assert outcomes(*calls, max_entries=2) == two
        assert outcomes(*calls, max_bytes=2 * 1_700) == two
        assert outcomes(*calls, max_bytes=1_000) == {"miss absent": 6}

    def test_processes_do_not_see_each_others_memory(self) -> None:
        one, two = fields(resource={"process.pid": 1}), fields(resource={"process.pid": 2})
        calls = [record(0, **one), record(2, **two), record(4, **one)]
        assert outcomes(*calls) == {"miss absent": 2, "hit fresh": 1}
        assert outcomes(*calls, shared=True) == {"miss absent": 1, "hit fresh": 2}


class TestSides:
    def test_money_and_calls_then_and_now(self) -> None:
        found = run(record(0), was_hit(2), was_hit(4), record(6, "b"), ttl=1.5)
        assert (found.then.calls, found.then.sent, found.then.answered) == (4, 2, 2)
        assert (found.then.spent, found.then.saved) == (2 * PRICE, 2 * PRICE)
        assert (found.would.calls, found.would.sent, found.would.answered) == (4, 3, 1)
        # What was a hit would have cost what its answer cost.
        assert (found.would.spent, found.would.saved) == (3 * PRICE, PRICE)
        assert (found.then.unpriced, found.would.unpriced) == (0, 0)

    def test_what_nobody_knows_is_said(self) -> None:
        unknown = fields(cost=Cost(amount=None, source="unknown", reason="no_price"))
        found = run(record(0, **unknown), record(2, **unknown), record(4, "b"))
        assert (found.would.unpriced, found.would.spent, found.would.saved) == (2, PRICE, Decimal(0))

    def test_a_hit_takes_the_time_of_the_call_that_made_it(self) -> None:
        found = run(record(0, took=3.0), was_hit(5), was_hit(6))
        assert found.then.seconds_saved == found.would.seconds_saved == 6.0
        assert run(was_hit(5)).would.seconds_saved == 0.0

    def test_a_shadow_changes_nothing(self) -> None:
        found = run(record(0), record(2), shadow=True)
        assert (found.would.answered, found.would.sent, found.would.outcomes) == (0, 2, {})
        assert found.shadows == {("miss", "absent"): 1, ("hit", "fresh"): 1}

    def test_what_an_sdk_would_not_have_tried_again(self) -> None:
        failed = record(2, id="x", end="error", error=Failure(type="http_500"))
        again = record(4, id="y", call_id="x")
        found = run(record(0), failed, again)
        assert (found.then.calls, found.would.calls, found.would.answered) == (3, 2, 1)

    def test_what_a_layer_sent_by_itself_is_no_call(self) -> None:
        refresh = record(70.1, id="r", parent_id="p", links=(Link(id="p", kind="refresh"),))
        stale = was_hit(70, id="p", cache=CacheOutcome(outcome="stale", reason="revalidating"))
        found = run(record(0), stale, refresh, stale_while_revalidate=30.0)
        assert (found.then.calls, found.would.calls) == (2, 2)
        assert found.then.spent == found.would.spent == 2 * PRICE
        # A judge, of which nobody knows better than that it will be asked again.
        judged = run(record(0, id="p"), record(0.1, "other", id="j", parent_id="p", took=0.2))
        assert judged.would.spent == 2 * PRICE

    def test_a_call_in_a_function_is_one(self) -> None:
        inside = [record(n, parent_id="f") for n in (0, 2)]
        function = record(0, None, id="f", took=4.0, operation="agent", dialect=None)
        assert outcomes(*inside, function) == {"miss absent": 1, "hit fresh": 1}

    def test_without_a_layer_all_is_sent(self) -> None:
        test = Backtest([object()])
        test.feed(record(0))
        test.finish()
        assert (test.would.sent, test.unrehearsed, test.rehearsed) == (1, ["object"], [])


class TestKeys:
    def asked(self, at: float, text: str = "hi", **changes: Any) -> Record:
        contents = Contents(input=[{"role": "user", "content": text}], output=[])
        return record(at, None, **{"contents": contents, **changes})

    def test_are_made_of_messages_where_there_are_none(self) -> None:
        found = run(self.asked(0), self.asked(2), self.asked(4, "ho"), record(6), record(8, None))
        assert found.keys == {"contents": 3, "record": 1, "none": 1}
        assert found.would.outcomes == {("miss", "absent"): 3, ("hit", "fresh"): 1}
        assert found.would.sent == 4

    @pytest.mark.parametrize(
        "changes",
        [
            {"model": "other"},
            {"provider": "groq"},
            {"parameters": {"temperature": 1}},
            {"identity": Identity(tenant="acme")},
            {"contents": Contents(input=[{"role": "user", "content": "hi"}], tools=[{"type": "function"}])},
            {"contents": Contents(input=[{"content": "hi", "role": "system"}])},
        ],
        ids=str,
    )
    def test_tell_apart_what_is_known_to_differ(self, changes: dict[str, Any]) -> None:
        assert run(self.asked(0), self.asked(2, **changes)).would.answered == 0

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"tools": [{"type": "web_search_preview"}]}, "server_tools"),
            ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]}, "files"),
        ],
    )
    def test_are_of_no_use_where_messages_show_that_no_cache_may_answer(
        self, changes: dict[str, Any], reason: str
    ) -> None:
        said = Contents(**{"input": [{"role": "user", "content": "hi"}], **changes})
        api = fields(dialect="openai-responses", target="https://api.openai.com/v1/responses", contents=said)
        assert outcomes(record(0, None, **api), record(2, None, **api)) == {f"bypass {reason}": 2}

    def test_are_none_where_messages_were_too_long_to_keep(self) -> None:
        cut = fields(contents=Contents(input=[{"role": "user", "content": "hi"}], truncated=True))
        assert run(self.asked(0, **cut), self.asked(2, **cut)).keys == {"none": 2}


class TestOrder:
    def test_is_that_in_which_calls_were_made(self) -> None:
        # The long one is written last and was asked first.
        assert outcomes(record(0, took=30.0), record(5, took=1.0), single_flight=False) == {"miss absent": 2}
        found = run(record(0, took=30.0), record(5, took=1.0))
        assert found.would.outcomes == {("miss", "absent"): 1, ("hit", "shared"): 1}

    @given(st.lists(st.tuples(st.integers(0, 300), st.sampled_from("abc"), st.integers(0, 40)), max_size=30))
    def test_everything_is_counted_once(self, asked: list[tuple[int, str, int]]) -> None:
        records = [record(at, key, took=took / 10, id=f"{n}") for n, (at, key, took) in enumerate(asked)]
        found = run(*records, ttl=30.0)
        assert found.would.calls == found.then.calls == len(records)
        assert found.would.answered + found.would.sent == len(records)
        assert found.would.outcomes.total() == len(records)
        assert found.would.spent + found.would.saved == len(records) * PRICE
        steps = found.timeline.steps()
        assert sum(step.calls for step in steps) == len(records)
        assert sum(step.would_answered for step in steps) == found.would.answered
        assert sum((step.would_spent for step in steps), Decimal(0)) == found.would.spent
        # The same once more: nothing depends on a clock or on chance.
        again = run(*records, ttl=30.0)
        assert (again.would, again.then) == (found.would, found.then)

    @given(st.lists(st.integers(0, 300), max_size=20), st.integers(1, 100), st.integers(0, 100))
    def test_a_longer_life_never_answers_less(self, asked: list[int], ttl: int, more: int) -> None:
        records = [record(at, id=f"{n}") for n, at in enumerate(asked)]
        assert run(*records, ttl=float(ttl)).would.answered <= run(*records, ttl=float(ttl + more)).would.answered


def test_time_is_told_in_so_many_steps_however_long_it_is() -> None:
    found = run(*(record(n * 600.0, str(n)) for n in range(2_000)))
    steps = found.timeline.steps()
    assert 100 < len(steps) <= 400
    assert sum(step.calls for step in steps) == 2_000
    assert {step.at % found.timeline.width for step in steps} == {0.0}
