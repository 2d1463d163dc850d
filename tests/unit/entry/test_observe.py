"""observe(): a record for each run of a function, whatever kind it is and however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import inspect
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import trio
from tests.unit.entry.wires import MESSAGES, OPENAI_EVENTS, Body, Wire

import interlay
from interlay.chain.current import current
from interlay.entry import process
from interlay.testing import capture

QUESTION: dict[str, Any] = {"model": "gpt-4o-mini", "messages": MESSAGES}


class Oops(Exception):
    """What a program may raise."""


class Program:
    """Functions of each kind that do the same: ask a model once for each thing, and give it back."""

    def __init__(self) -> None:
        self.model = interlay.wrap(Wire(200).for_openai())
        self.async_model = interlay.wrap(Wire(200).for_async_openai())

    def ask(self) -> None:
        self.model.chat.completions.create(**QUESTION)

    async def ask_async(self) -> None:
        await self.async_model.chat.completions.create(**QUESTION)


@pytest.fixture
def program() -> Program:
    return Program()


@pytest.fixture(autouse=True)
def nothing_is_current() -> Iterator[None]:
    assert current.get() is None
    yield
    assert current.get() is None


@pytest.fixture
def contents() -> Iterator[None]:
    process.recorder.contents = True
    yield
    process.recorder.contents = False


def function(inside: Callable[[], object]) -> Callable[..., Any]:
    def work(question: str = "", *, times: int = 1) -> str:
        inside()
        return "done"

    return work


def coroutine(inside: Callable[[], object]) -> Callable[..., Any]:
    async def work(question: str = "", *, times: int = 1) -> str:
        await asyncio.sleep(0)
        inside()
        return "done"

    return work


def generator(inside: Callable[[], object]) -> Callable[..., Any]:
    def work(question: str = "", *, times: int = 1) -> Iterator[str]:
        inside()
        yield "do"
        inside()
        yield "ne"

    return work


def async_generator(inside: Callable[[], object]) -> Callable[..., Any]:
    async def work(question: str = "", *, times: int = 1) -> AsyncIterator[str]:
        await asyncio.sleep(0)
        inside()
        yield "do"
        await asyncio.sleep(0)
        inside()
        yield "ne"

    return work


SORTS = {"function": function, "coroutine": coroutine, "generator": generator, "async generator": async_generator}


def made(sort: str, inside: Callable[[], object] = lambda: None, **options: Any) -> Callable[..., Any]:
    """A program's function of a sort, observed. It calls ``inside``; generators do before each thing they give."""
    observed: Callable[..., Any] = interlay.observe(**options)(SORTS[sort](inside))
    return observed


def run(made_of: Any) -> Any:
    """Whatever a function of any kind gives, to its end."""
    if inspect.iscoroutine(made_of):
        return asyncio.run(made_of)
    if hasattr(made_of, "__anext__"):

        async def collect() -> str:
            return "".join([piece async for piece in made_of])

        return asyncio.run(collect())
    return "".join(made_of)


every_sort = pytest.mark.parametrize("sort", SORTS)


@every_sort
class TestARun:
    def test_has_a_record_without_usage(self, sort: str) -> None:
        with capture() as records, interlay.using(user="u-7", tags=["checkout"]):
            assert run(made(sort, kind="agent", name="planner")("why?", times=2)) == "done"
        (record,) = records
        assert (record.operation, record.target, record.end) == ("agent", "planner", "complete")
        assert (record.call_id, record.parent_id, record.dialect, record.provider) == (record.id, None, None, None)
        assert (record.usage, record.cost, record.attempts, record.contents) == (None, None, (), None)
        assert record.identity.user == "u-7"
        assert record.duration == pytest.approx(record.ended_at - record.started_at, abs=1e-3)
        assert interlay.Record.from_json(record.to_json()) == record

    def test_is_the_parent_of_the_calls_inside(self, sort: str, program: Program) -> None:
        with capture() as records:
            run(made(sort, program.ask)())
        *calls, own = records
        assert len(calls) == (2 if "generator" in sort else 1)
        assert {call.parent_id for call in calls} == {own.id}
        assert own.parent_id is None
        assert len({record.trace.trace_id for record in records if record.trace}) == 1
        assert {call.trace and call.trace.parent_span_id for call in calls} == {own.trace and own.trace.span_id}

    def test_passes_exceptions_through_as_they_are(self, sort: str) -> None:
        error = Oops("with a secret in it")

        def fail() -> None:
            raise error

        with capture() as records, pytest.raises(Oops) as raised:
            run(made(sort, fail)())
        assert raised.value is error
        assert raised.value.__context__ is None
        (record,) = records
        assert record.end == "error"
        assert record.error is not None
        assert (record.error.type, record.error.message) == ("Oops", None)

    def test_that_is_cancelled(self, sort: str) -> None:
        def stop() -> None:
            raise KeyboardInterrupt

        with capture() as records, pytest.raises(KeyboardInterrupt):
            run(made(sort, stop)())
        assert [record.end for record in records] == ["cancelled"]

    def test_keeps_arguments_and_results_only_with_contents_and_redacted(self, sort: str, contents: None) -> None:
        secret = interlay.Secret("hunter2-hunter2")
        with capture() as records:
            run(made(sort)("the word is hunter2-hunter2", times=3))
        kept = records[0].contents
        assert kept is not None
        (asked,), (said,) = kept.input, kept.output
        assert asked["content"][0]["arguments"] == {"question": "the word is [secret]", "times": 3}
        assert said["content"] == [{"type": "text", "text": "done"}]
        assert secret.reveal().encode() not in records[0].to_json()

    def test_keeps_its_name_its_signature_and_its_text(self, sort: str) -> None:
        work = made(sort)
        assert work.__name__ == "work"
        assert str(inspect.signature(work)).startswith("(question: 'str' = '', *, times: 'int' = 1)")


class TestNames:
    def test_are_the_functions_own_or_what_is_said(self) -> None:
        class Agent:
            @interlay.observe(kind="agent")
            def plan(self) -> None: ...

            @staticmethod
            @interlay.observe
            def look_up() -> None: ...

            @classmethod
            @interlay.observe(kind="workflow", name="all of it")
            def everything(cls) -> None: ...

        with capture() as records:
            Agent().plan()
            Agent.look_up()
            Agent.everything()
        assert [(record.operation, record.target) for record in records] == [
            ("agent", "Agent.plan"),
            ("tool", "Agent.look_up"),
            ("workflow", "all of it"),
        ]

    def test_of_what_is_no_plain_function(self) -> None:
        class Tool:
            def __call__(self) -> int:
                return 1

        class AsyncTool:
            async def __call__(self) -> int:
                return 2

        with capture() as records:
            assert interlay.observe(Tool())() == 1
            assert asyncio.run(interlay.observe(AsyncTool())()) == 2
            assert interlay.observe(name="largest")(functools.partial(max, 3))(2) == 3
        assert [record.target for record in records] == ["Tool", "AsyncTool", "largest"]

    @pytest.mark.parametrize("wrong", [{"kind": "task"}, {"name": ""}, {"name": 7}])
    def test_that_are_none_are_refused(self, wrong: Any) -> None:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            interlay.observe(**wrong)

    @pytest.mark.parametrize("wrong", [7, str, classmethod(print), None])
    def test_of_what_is_no_function_are_refused(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match="expected a function"):
            interlay.observe()(wrong)


class TestFamilies:
    def test_a_call_in_a_tool_in_an_agent_in_a_workflow(self, program: Program) -> None:
        @interlay.observe(kind="tool")
        def tool() -> None:
            program.ask()

        @interlay.observe(kind="agent")
        def agent() -> None:
            tool()
            program.ask()

        @interlay.observe(kind="workflow")
        def workflow() -> None:
            agent()

        with capture() as records:
            workflow()
        by_operation = {record.operation: record for record in records}
        inner, outer = (record for record in records if record.operation == "chat")
        assert inner.parent_id == by_operation["tool"].id
        assert outer.parent_id == by_operation["tool"].parent_id == by_operation["agent"].id
        assert by_operation["agent"].parent_id == by_operation["workflow"].id
        assert len({record.trace and record.trace.trace_id for record in records}) == 1
        spans = {record.trace.span_id: record for record in records if record.trace}
        for record in records:
            assert record.trace is not None
            above = spans.get(record.trace.parent_span_id)
            assert (above.id if above else None) == record.parent_id

    def test_have_no_more_time_than_their_eldest(self, program: Program) -> None:
        tool = made("function", program.ask)
        with interlay.using(deadline=60), capture() as records:
            tool()
        assert [record.end for record in records] == ["complete", "complete"]

    def test_tasks_and_threads_that_are_given_the_context(self, program: Program) -> None:
        @interlay.observe(kind="agent")
        async def agent() -> None:
            await asyncio.gather(program.ask_async(), asyncio.to_thread(program.ask))
            with ThreadPoolExecutor(1) as pool:
                interlay.carry(pool).submit(program.ask).result()

        with capture() as records:
            asyncio.run(agent())
        *calls, own = records
        assert [call.parent_id for call in calls] == [own.id] * 3

    def test_two_at_once_have_their_own_children(self, program: Program) -> None:
        @interlay.observe(kind="agent")
        async def agent(name: str) -> None:
            for _ in range(3):
                await asyncio.sleep(0)
                await program.ask_async()

        async def both() -> None:
            await asyncio.gather(agent("one"), agent("two"))

        with capture() as records:
            asyncio.run(both())
        agents = [record.id for record in records if record.operation == "agent"]
        parents = [record.parent_id for record in records if record.operation == "chat"]
        assert sorted(parents) == sorted(agents * 3)  # type: ignore[type-var]


class TestSuspendedGenerators:
    """Pain 11: what was current in a generator must not be current in its reader's loop."""

    def test_are_not_the_parents_of_what_their_reader_does(self, program: Program) -> None:
        with capture() as records:
            for _ in made("generator", program.ask)():
                assert current.get() is None
                program.ask()
        parents = [record.parent_id for record in records if record.operation == "chat"]
        own = next(record.id for record in records if record.operation == "tool")
        assert parents == [own, None, own, None]

    def test_nor_in_the_other_colour(self, program: Program) -> None:
        async def read() -> None:
            async for _ in made("async generator", program.ask)():
                assert current.get() is None
                await program.ask_async()

        with capture() as records:
            asyncio.run(read())
        parents = [record.parent_id for record in records if record.operation == "chat"]
        own = next(record.id for record in records if record.operation == "tool")
        assert parents == [own, None, own, None]

    def test_nor_of_their_readers_other_observed_functions(self) -> None:
        with capture() as records:
            inner, outer = made("generator", name="inner"), made("generator", name="outer")
            for _ in zip(inner(), outer(), strict=True):
                made("function", name="beside")()
        assert {record.parent_id for record in records} == {None}

    def test_may_be_stepped_in_one_context_and_ended_in_another(self, program: Program) -> None:
        work = made("generator", program.ask)()
        with capture() as records:
            contextvars.copy_context().run(next, work)
            thread = threading.Thread(target=lambda: next(work))
            thread.start()
            thread.join()
            contextvars.Context().run(work.close)
        *calls, own = records
        assert own.end == "closed"
        assert [call.parent_id for call in calls] == [own.id] * 2


class TestGeneratorsEnd:
    """Pain 12: each of the ways in which a reader leaves has its record."""

    @pytest.mark.parametrize("sort", ["generator", "async generator"])
    @pytest.mark.parametrize(
        ("way", "end"),
        [
            ("read to its end", "complete"),
            ("closed early", "closed"),
            ("left by break and closed", "closed"),
            ("dropped", "lost"),
            ("thrown into", "error"),
            ("never begun", None),
            ("closed after its end", "complete"),
            ("in a cycle", "lost"),
        ],
    )
    def test_however_they_are_left(self, sort: str, way: str, end: str | None) -> None:
        work = made(sort)

        async def read() -> None:
            source = work()
            step = source.__anext__ if sort == "async generator" else source.__next__
            close = source.aclose if sort == "async generator" else source.close
            throw = source.athrow if sort == "async generator" else source.throw

            async def do(function: Any, *arguments: Any) -> Any:
                result = function(*arguments)
                return await result if inspect.isawaitable(result) else result

            if way == "never begun":
                await do(close)
                return
            await do(step)
            if way in ("read to its end", "closed after its end"):
                rest = [piece async for piece in source] if sort == "async generator" else list(source)
                assert rest == ["ne"]
                if way == "closed after its end":
                    await do(close)
            elif way == "closed early":
                await do(close)
                await do(close)
            elif way == "left by break and closed":
                async with contextlib.AsyncExitStack() as stack:
                    stack.push_async_callback(do, close)
            elif way == "thrown into":
                with contextlib.suppress(Oops):
                    await do(throw, Oops())
            elif way == "in a cycle":
                holder: list[Any] = [source]
                holder.append(holder)

        with capture() as records:
            asyncio.run(read())
            gc.collect()
        assert [record.end for record in records] == ([end] if end else [])

    def test_a_lost_one_is_as_long_as_it_was_kept(self, program: Program) -> None:
        with capture() as records:
            next(made("generator", program.ask)())
        call, own = records
        assert (own.end, own.error) == ("lost", None)
        assert call.parent_id == own.id

    def test_one_that_fails_while_it_is_closed_has_failed(self) -> None:
        @interlay.observe
        def work() -> Iterator[int]:
            try:
                yield 1
            finally:
                raise Oops

        with capture() as records:
            source: Any = work()
            next(source)
            with pytest.raises(Oops):
                source.close()
        assert [(record.end, record.error and record.error.type) for record in records] == [("error", "Oops")]

    def test_one_that_is_asked_for_more_while_it_works_goes_on(self) -> None:
        @interlay.observe
        def work() -> Iterator[int]:
            with pytest.raises(ValueError, match="already executing"):
                next(source)
            yield 1

        with capture() as records:
            source = work()
            assert list(source) == [1]
        assert [record.end for record in records] == ["complete"]

    def test_is_a_generator_in_all_that_readers_use(self) -> None:
        @interlay.observe
        def echo() -> Iterator[Any]:
            got = yield "first"
            while got != "stop":
                try:
                    got = yield got
                except Oops:
                    got = "caught"
            return "result"  # type: ignore[return-value]

        with capture() as records:
            source: Any = echo()
            assert (next(source), source.send("a"), source.throw(Oops())) == ("first", "a", "caught")
            assert source.gi_frame is not None
            with pytest.raises(StopIteration) as stop:
                source.send("stop")
            assert stop.value.value == "result"
            assert list(source) == []
        assert [record.end for record in records] == ["complete"]

        @contextlib.contextmanager
        @interlay.observe(name="managed")
        def managed() -> Iterator[int]:
            yield 7

        with capture() as records:
            with managed() as value:
                assert value == 7
            with pytest.raises(Oops), managed():
                raise Oops
        assert [record.end for record in records] == ["complete", "error"]


class TestCoroutinesEnd:
    def test_cancelled_by_their_task(self) -> None:
        @interlay.observe
        async def work() -> None:
            await asyncio.sleep(60)

        async def cancel() -> None:
            task = asyncio.ensure_future(work())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        with capture() as records:
            asyncio.run(cancel())
        assert [(record.end, record.error and record.error.type) for record in records] == [("cancelled", "cancelled")]

    def test_cancelled_by_a_trio_scope(self) -> None:
        @interlay.observe
        async def work() -> None:
            await trio.sleep_forever()

        async def cancel() -> None:
            with trio.move_on_after(0):
                await work()

        with capture() as records:
            trio.run(cancel)
        assert [record.end for record in records] == ["cancelled"]

    def test_pain_11_dropped_while_they_wait_without_a_word(self) -> None:
        @interlay.observe
        async def work() -> None:
            await asyncio.get_running_loop().create_future()

        async def begin() -> Any:
            coroutine = work()
            coroutine.send(None)
            return coroutine

        with capture() as records:
            # Its end comes in another context than its beginning.
            coroutine = contextvars.copy_context().run(asyncio.run, begin())
            del coroutine
            gc.collect()
        assert [record.end for record in records] == ["lost"]

    def test_that_nobody_awaits_are_no_runs(self) -> None:
        with capture() as records:
            made("coroutine")().close()
        assert records == []


@dataclass
class Query:
    text: str
    limit: int = 3


class Opaque:
    def __repr__(self) -> str:
        raise AssertionError("nobody's repr is run")


class TestContents:
    @pytest.mark.parametrize(
        ("value", "told"),
        [
            (Query("why", 2), {"text": "why", "limit": 2}),
            ([1, 2.5, None, True], [1, 2.5, None, True]),
            ({"a": {"b": (1,)}}, {"a": {"b": [1]}}),
            (Opaque(), "<Opaque>"),
            (b"bytes", "<bytes>"),
            (interlay.Secret("another-secret-word"), "[secret]"),
            (2**70, hex(2**70)),
        ],
    )
    def test_are_data_and_never_what_an_object_says_of_itself(self, value: Any, told: Any, contents: None) -> None:
        with capture() as records:
            interlay.observe(lambda thing: thing)(value)
        kept = records[0].contents
        assert kept is not None
        assert kept.input[0]["content"][0]["arguments"] == {"thing": told}
        text = kept.output[0]["content"][0]["text"]
        assert text == told if isinstance(told, str) else json.loads(text) == told

    def test_are_bounded(self, contents: None) -> None:
        endless: list[Any] = []
        endless.append(endless)

        @interlay.observe
        def work(first: str, second: Any) -> Iterator[str]:
            for _ in range(1000):
                yield "x" * 1000

        with capture() as records:
            for _ in work("y" * 10_000_000, endless):
                pass
        kept = records[0].contents
        assert kept is not None
        assert kept.truncated
        assert len(records[0].to_json()) < 1_000_000

    def test_a_secret_in_two_pieces_is_none_in_the_record(self, contents: None) -> None:
        interlay.Secret("swordfish-swordfish")

        @interlay.observe
        def work() -> Iterator[str]:
            yield "it is sword"
            yield "fish-swordfish"

        with capture() as records:
            list(work())
        kept = records[0].contents
        assert kept is not None
        assert kept.output[0]["content"][0]["text"] == "it is [secret]"

    def test_have_an_exceptions_message_redacted(self, contents: None) -> None:
        interlay.Secret("third-secret-word")

        @interlay.observe
        def work() -> None:
            raise Oops("no third-secret-word here")

        with capture() as records, pytest.raises(Oops):
            work()
        assert records[0].error is not None
        assert records[0].error.message == "no [secret] here"

    def test_are_those_of_the_beginning(self, contents: None) -> None:
        @interlay.observe
        def work(items: list[int]) -> None:
            items.append(2)

        with capture() as records:
            work([1])
        kept = records[0].contents
        assert kept is not None
        assert kept.input[0]["content"][0]["arguments"] == {"items": [1]}


def test_a_stream_read_inside_is_a_child_and_its_reader_is_not_its_child(program: Program) -> None:
    @interlay.observe(kind="agent")
    def answer() -> Iterator[str]:
        client = interlay.wrap(Wire(Body(OPENAI_EVENTS)).for_openai())
        for chunk in client.chat.completions.create(**QUESTION, stream=True):
            yield chunk.choices[0].delta.content or ""

    with capture() as records:
        assert "".join(answer()) == "Hello"
    stream, own = records
    assert (stream.streamed, stream.parent_id, stream.end) == (True, own.id, "complete")


def test_they_wait_their_turn_in_memory_and_are_in_order() -> None:
    first = made("function", name="first")
    second = made("function", name="second")
    for _ in range(300):
        first()
        second()
    assert [record.target for record in interlay.last(4)] == ["second", "first"] * 2
