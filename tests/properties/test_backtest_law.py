"""The law of backtests: the configuration that wrote a journal, rehearsed on it, tells the hits that happened."""

from __future__ import annotations

import gc
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import interlay
from interlay import Cache
from interlay.layers.rehearsal import Backtest, Side
from interlay.telemetry.journal import JournalReader
from interlay.testing import Player, Recording, Turn, transports

Work = Callable[[openai.OpenAI], None]
PLAYED = ("openai-chat-plain-03", "openai-chat-stream-usage-01")


class Program:
    """Asks what it is told to, with a cache and a journal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = itertools.count()
        recordings = Recording.bundled()
        self.player = Player([recordings[name] for name in PLAYED])

    def client(self, *parts: object) -> openai.OpenAI:
        http = httpx2.Client(transport=transports(httpx2).sync(self.player))
        client = openai.OpenAI(api_key="sk-made-up", http_client=http, max_retries=0)
        return interlay.wrap(client, *parts)

    def run(self, parts: tuple[object, ...], work: Work) -> Backtest:
        """Do the work, then rehearse the same parts on what was written."""
        return rehearsed(self.journal(parts, work), *parts)

    def journal(self, parts: tuple[object, ...], work: Work, *, contents: bool = False) -> Path:
        """Do the work; return what was written."""
        journal = self.folder / f"{next(self.number)}"
        process: dict[str, Any] = {"export": False, "tracer_provider": False, "meter_provider": False}
        interlay.setup(journal=journal, contents=contents, **process)
        try:
            work(self.client(*parts))
            settle()
        finally:
            interlay.setup(journal=False, contents=False, **process)
        return journal


def settle() -> None:
    """Until all is done that was begun."""
    while not interlay.flush(5).done:
        pass


def rehearsed(journal: Path, *parts: object) -> Backtest:
    test = Backtest(interlay.Chain(*parts).layers)
    for entry in JournalReader(journal).entries():
        test.feed(entry.record)
    test.finish()
    return test


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    # Streams that earlier tests have dropped in cycles end when they are found, and would do so in this one's journal.
    gc.collect()
    settle()
    yield Program(tmp_path)
    assert interlay.flush(30).pending == 0


def ask(client: openai.OpenAI, text: str, *, stream: bool = False, **options: Any) -> None:
    with suppress(openai.APIError, ValueError):
        answer: Any = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": text}], stream=stream, **options
        )
        for _ in answer if stream else ():
            pass


def alike(side: Side) -> Counter[tuple[str, str]]:
    """Outcomes, of which a moment does not decide: what is expired is found while it waits to be written, and not
    after that."""
    found = Counter(side.outcomes)
    found["miss", "absent"] += found.pop(("miss", "expired"), 0)
    return +found


asked = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from([None, None, None, "acme"]),
        st.booleans(),
        st.sampled_from([200, 200, 200, 500, 429, "cut", "no-store", "no-cache"]),
        st.sampled_from([0.0, 0.7, None]),
    ),
    max_size=12,
)
configured = st.fixed_dictionaries(
    {"ttl": st.sampled_from(["1h", 0])},
    optional={
        "max_temperature": st.just(0.5),
        "single_flight": st.booleans(),
        "vary_by": st.just(["user"]),
        "mode": st.just("shadow"),
    },
)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=asked, configured=configured)
def test_one_after_another_each_outcome_is_the_one_that_was(
    program: Program, asked: list[Any], configured: dict[str, Any]
) -> None:
    def work(client: openai.OpenAI) -> None:
        for text, tenant, stream, end, temperature in asked:
            options: dict[str, Any] = {} if temperature is None else {"temperature": temperature}
            if isinstance(end, str) and end != "cut":
                options["extra_headers"] = {"cache-control": end}
            elif end != 200:
                program.player.script(Turn(fault="cut", after=1) if end == "cut" else end)
            with interlay.using(tenant=tenant):
                ask(client, text, stream=stream, **options)
            program.player._turns.clear()  # what a hit did not need

    test = program.run((Cache(**configured),), work)
    assert alike(test.would) == alike(test.then)
    assert test.would.answered == test.then.answered
    assert test.would.spent == test.then.spent
    assert test.would.saved == test.then.saved
    assert test.keys["none"] == 0


def test_what_was_asked_again_is_a_hit_and_nothing_else(program: Program) -> None:
    def work(client: openai.OpenAI) -> None:
        for text in "aabcab":
            ask(client, text)
            ask(client, text, stream=True)

    test = program.run((Cache(),), work)
    assert test.then.outcomes == test.would.outcomes == {("miss", "absent"): 3, ("hit", "fresh"): 9}
    assert test.would.seconds_saved == test.then.seconds_saved > 0
    assert test.would.saved > 0
    assert test.rehearsed == ["Cache"]


def test_many_at_once_are_answered_as_they_were(program: Program) -> None:
    def work(client: openai.OpenAI) -> None:
        with ThreadPoolExecutor(8) as pool:
            for _ in pool.map(lambda number: ask(client, f"{number % 4}", stream=number % 3 == 0), range(64)):
                pass

    test = program.run((Cache(),), work)
    # Threads decide who follows whom, and whether one comes between two steps of another and asks for itself.
    assert test.would.calls == test.then.calls == 64
    assert test.would.answered == 60 >= test.then.answered
    assert test.would.sent == 4


def test_stale_answers_and_their_refreshes(program: Program) -> None:
    def work(client: openai.OpenAI) -> None:
        for _ in range(5):
            ask(client, "a")
            settle()

    test = program.run((Cache(ttl=0, stale_while_revalidate="1h"),), work)
    assert test.then.outcomes == test.would.outcomes == {("miss", "absent"): 1, ("stale", "revalidating"): 4}
    assert (test.then.calls, test.would.calls) == (5, 5)
    assert test.then.spent == test.would.spent > 0


def test_what_failed_and_was_stale(program: Program) -> None:
    def work(client: openai.OpenAI) -> None:
        ask(client, "a")
        for end in (500, 429, 400, 200):
            program.player.script(end)
            ask(client, "a")

    test = program.run((Cache(ttl=0, stale_if_error="1h"),), work)
    assert test.would.outcomes == test.then.outcomes == {
        ("miss", "absent"): 1, ("stale", "error"): 2, ("miss", "expired"): 2,
    }  # fmt: skip
    assert test.would.answered == test.then.answered == 2


def test_repeats_of_an_sdk_are_records_of_their_own(program: Program) -> None:
    def work(client: openai.OpenAI) -> None:
        ask(client, "a")
        program.player.script(500, 200)
        ask(client.with_options(max_retries=2), "b")
        ask(client.with_options(max_retries=2), "b")

    test = program.run((Cache(),), work)
    assert test.would.outcomes == test.then.outcomes == {("miss", "absent"): 3, ("hit", "fresh"): 1}


questions = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([None, "acme"]), st.booleans()), max_size=12)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=questions)
def test_a_journal_without_a_cache_foretells_one_by_its_messages(program: Program, asked: list[Any]) -> None:
    def work(client: openai.OpenAI) -> None:
        for text, tenant, stream in asked:
            with interlay.using(tenant=tenant):
                ask(client, text, stream=stream)

    foretold = rehearsed(program.journal((), work, contents=True), Cache())
    happened = program.run((Cache(),), work)
    assert foretold.would.outcomes == happened.then.outcomes
    assert foretold.then.outcomes == {}
    assert foretold.keys == ({"contents": len(asked)} if asked else {})
