"""A model call that a layer makes is a child: a record of its own, under the same identity and deadline."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from tests.unit.entry.wires import MESSAGES, OPENAI_EVENTS, Body, Wire

import interlay
from interlay.chain.call import Call, Response
from interlay.chain.layer import Next
from interlay.model.protocols import WireEvent
from interlay.model.record import End

QUESTION: dict[str, Any] = {"model": "gpt-4o-mini", "messages": MESSAGES}
VERDICT: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "is that allowed?"}]}


class Judge:
    """Asks a model before it lets a call pass."""

    role: ClassVar[interlay.Role] = interlay.Role.GUARD

    def __init__(self) -> None:
        self.client: Any = None
        self.judged: list[Call] = []

    async def __call__(self, call: Call, next: Next) -> Response:
        self.judged.append(call)
        await call.io.run(lambda: self.client.chat.completions.create(**VERDICT))
        return await next(call)


class Careful:
    """Asks a model while a stream passes."""

    role: ClassVar[interlay.Role] = interlay.Role.GUARD
    holds = 0

    def __init__(self, client: Any) -> None:
        self.client = client
        self._io: Any = None

    async def __call__(self, call: Call, next: Next) -> Response:
        response = await next(call)
        self._io = call.io
        response.stream.add(self)
        return response

    async def feed(self, event: WireEvent) -> list[WireEvent]:
        if event.data == b"[DONE]":
            await self._io.run(lambda: self.client.chat.completions.create(**VERDICT))
        return [event]

    async def finish(self, end: End) -> list[WireEvent]:
        return []


class Counting:
    """Counts the calls that come by."""

    def __init__(self, role: interlay.Role) -> None:
        self.role = role
        self.seen = 0

    async def __call__(self, call: Call, next: Next) -> Response:
        self.seen += 1
        return await next(call)


@pytest.fixture
def since() -> set[str]:
    return {record.id for record in interlay.last()}


def ask(colour: str, judge: Judge, *parts: Any) -> list[interlay.Record]:
    """One call through the judge, which asks by the very client that it guards, or by one that shares its chain."""
    before = {record.id for record in interlay.last()}
    sync = interlay.wrap(Wire(200).for_openai(max_retries=0), judge, *parts)
    judge.client = sync
    if colour == "sync":
        sync.chat.completions.create(**QUESTION)
    else:
        client = interlay.wrap(Wire(200).for_async_openai(max_retries=0), judge, *parts)
        judge.client = interlay.wrap(Wire(200).for_openai(max_retries=0))
        asyncio.run(client.chat.completions.create(**QUESTION))
    return [record for record in interlay.last() if record.id not in before]


@pytest.mark.parametrize("colour", ["sync", "async"])
class TestACallThatALayerMakes:
    def test_has_a_record_of_its_own_that_names_its_parent(self, colour: str) -> None:
        parent, child = ask(colour, Judge())
        assert (parent.parent_id, child.parent_id) == (None, parent.id)
        assert child.call_id != parent.call_id
        assert (parent.end, child.end) == ("complete", "complete")

    def test_is_made_on_the_same_behalf(self, colour: str) -> None:
        with interlay.using(user="u-7", tags=["checkout"]):
            parent, child = ask(colour, Judge())
        assert child.identity == parent.identity
        assert child.identity.user == "u-7"

    def test_costs_what_it_costs_and_is_not_counted_twice(self, colour: str) -> None:
        parent, child = ask(colour, Judge())
        each = Decimal("2.55E-6")  # nine tokens in, two out, at 0.15 and 0.60 US dollars a million
        assert [record.cost and record.cost.amount for record in (parent, child)] == [each, each]

    def test_has_no_more_time_than_its_parent(self, colour: str) -> None:
        class Watch(Judge):
            async def __call__(self, call: Call, next: Next) -> Response:
                self.judged.append(call)
                return await next(call)

        judge, watch = Judge(), Watch()
        before = {record.id for record in interlay.last()}
        with interlay.using(deadline=5):
            judge.client = interlay.wrap(Wire(200).for_openai(max_retries=0), watch, interlay.Timeout(total=60))
            if colour == "sync":
                interlay.wrap(Wire(200).for_openai(), judge).chat.completions.create(**QUESTION)
            else:
                client = interlay.wrap(Wire(200).for_async_openai(), judge)
                asyncio.run(client.chat.completions.create(**QUESTION))
        assert len({record.id for record in interlay.last()} - before) == 2
        (parent,), (child,) = judge.judged, watch.judged
        assert child.deadline == parent.deadline
        assert child.deadline is not None
        assert child.deadline < time.monotonic() + 6


def test_meets_none_of_its_parents_guards_and_caches_but_the_rest() -> None:
    layers = [Counting(role) for role in interlay.Role]
    judge = Judge()
    records = ask("sync", judge, *layers)
    assert len(records) == 2
    assert len(judge.judged) == 1
    once = {interlay.Role.GUARD, interlay.Role.CACHE}
    assert {layer.role: layer.seen for layer in layers} == {role: 1 if role in once else 2 for role in interlay.Role}


def test_a_judge_that_asks_through_another_guarded_client_comes_to_an_end() -> None:
    first, second = Judge(), Judge()
    one = interlay.wrap(Wire(200).for_openai(max_retries=0), first)
    other = interlay.wrap(Wire(200).for_openai(max_retries=0), second)
    first.client, second.client = other, one
    before = {record.id for record in interlay.last()}
    one.chat.completions.create(**QUESTION)
    records = [record for record in interlay.last() if record.id not in before]
    # The question, its judge's, and the question of the judge's judge, which its own chain does not judge again.
    assert [record.parent_id for record in records] == [None, records[0].id, records[1].id]
    assert (len(first.judged), len(second.judged)) == (1, 1)


def test_a_call_that_a_stage_makes_while_a_stream_is_read_is_a_child_too(since: set[str]) -> None:
    judge = interlay.wrap(Wire(200).for_openai(max_retries=0))
    client = interlay.wrap(Wire(Body(OPENAI_EVENTS)).for_openai(max_retries=0), Careful(judge))
    for _ in client.chat.completions.create(**QUESTION, stream=True):
        # The reader's own calls are nobody's children.
        judge.chat.completions.create(**VERDICT)
    records = {record.id: record for record in interlay.last() if record.id not in since}
    (stream,) = [record for record in records.values() if record.streamed]
    assert [record.parent_id for record in records.values() if not record.streamed].count(stream.id) == 1


def test_a_call_after_another_is_no_child(since: set[str]) -> None:
    client = interlay.wrap(Wire(200).for_openai(max_retries=0), Counting(interlay.Role.ADMIT))
    client.chat.completions.create(**QUESTION)
    client.chat.completions.create(**QUESTION)
    assert [record.parent_id for record in interlay.last() if record.id not in since] == [None, None]
