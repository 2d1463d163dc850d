"""``call.io`` in its asynchronous colour, under both event loops; and synchronous calls from inside a running one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from tests.unit.entry.wires import MESSAGES, OPENAI_EVENTS, Body, Wire

import interlay
from interlay.chain import aio
from interlay.chain.aio import AsyncIO, Loop
from interlay.chain.io import SyncIO, drive
from interlay.chain.runner import Runner
from interlay.model.errors import WireTimeout
from interlay.testing import capture

WORD: ContextVar[str] = ContextVar("WORD", default="none")

Body_ = Callable[[Any], Awaitable[Any]]


@pytest.fixture(params=["asyncio", "trio", "sync"])
def colour(request: pytest.FixtureRequest) -> Callable[[Body_], Any]:
    """Runs a coroutine function that takes ``call.io``, in each colour."""

    def run(body: Body_) -> Any:
        if request.param == "sync":
            return drive(body(SyncIO(Runner())))  # type: ignore[arg-type]
        return anyio.run(body, AsyncIO(Runner()), backend=request.param)

    run.name = request.param  # type: ignore[attr-defined]
    return run


class TestDoors:
    def test_sleep_counts_itself_and_refuses_to_pass_a_deadline(self, colour: Any) -> None:
        async def body(io: Any) -> float:
            await io.sleep(0.01)
            with pytest.raises(WireTimeout):
                await io.sleep(30, deadline=io.monotonic() + 1)
            return float(io.slept)

        assert colour(body) == 0.01

    def test_run_takes_the_context_along(self, colour: Any) -> None:
        async def body(io: Any) -> str:
            WORD.set("here")
            return str(await io.run(WORD.get))

        assert colour(body) == "here"

    def test_until_gives_what_work_gives_and_its_exceptions(self, colour: Any) -> None:
        async def fails() -> None:
            raise LookupError

        async def seven() -> int:
            return 7

        async def body(io: Any) -> int:
            with pytest.raises(LookupError):
                await io.until(io.monotonic() + 30, fails)
            with pytest.raises(WireTimeout):
                await io.until(io.monotonic() - 1, seven)
            return int(await io.until(io.monotonic() + 30, seven))

        assert colour(body) == 7

    def test_both_gives_the_result_of_what_runs_beside(self, colour: Any) -> None:
        async def beside() -> str:
            return WORD.get()

        async def body(io: Any) -> str:
            WORD.set("beside")
            async with io.both(beside) as handle:
                return str(await handle.result())

        assert colour(body) == "beside"

    def test_both_hands_on_what_went_wrong_beside(self, colour: Any) -> None:
        async def beside() -> None:
            raise LookupError("beside")

        async def body(io: Any) -> None:
            async with io.both(beside) as handle:
                with pytest.raises(LookupError, match="beside"):
                    await handle.result()

        colour(body)

    def test_an_exception_in_the_block_comes_out_as_it_is(self, colour: Any) -> None:
        async def beside() -> None:
            return

        async def body(io: Any) -> None:
            async with io.both(beside):
                raise LookupError("in the block")

        with pytest.raises(LookupError, match="in the block"):
            colour(body)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
class TestCancelling:
    def test_until_cancels_what_is_late(self, backend: str) -> None:
        async def main() -> str:
            io = AsyncIO(Runner())
            with pytest.raises(WireTimeout):
                await io.until(io.monotonic() + 0.02, anyio.sleep_forever)
            return "done"

        assert anyio.run(main, backend=backend) == "done"

    def test_leaving_both_cancels_what_is_under_way(self, backend: str) -> None:
        ended = []

        async def beside() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append(True)

        async def main() -> None:
            async with AsyncIO(Runner()).both(beside):
                await anyio.lowlevel.checkpoint()

        anyio.run(main, backend=backend)
        assert ended == [True]

    def test_a_shield_lets_work_end_and_then_cancels(self, backend: str) -> None:
        ended = []

        async def work() -> None:
            await anyio.sleep(0.05)
            ended.append(True)

        async def main() -> None:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await AsyncIO(Runner()).shield(work)
                await anyio.lowlevel.checkpoint()
                ended.append(False)

        anyio.run(main, backend=backend)
        assert ended == [True]

    def test_a_shield_is_not_for_ever(self, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(aio, "_SHIELD_SECONDS", 0.02)

        async def main() -> None:
            io = AsyncIO(Runner())
            with anyio.CancelScope() as scope:
                scope.cancel()
                await io.shield(anyio.sleep_forever)
            assert scope.cancelled_caught
            with pytest.raises(WireTimeout):
                await io.shield(anyio.sleep_forever)

        anyio.run(main, backend=backend)

    def test_another_thread_hands_a_loop_work(self, backend: str) -> None:
        done = []

        async def main() -> tuple[Loop, Callable[[], Awaitable[None]]]:
            ended = anyio.Event()

            async def work() -> None:
                await anyio.lowlevel.checkpoint()
                done.append(threading.current_thread())
                ended.set()
                raise OSError("of which nobody hears")

            loop = Loop()
            await anyio.to_thread.run_sync(loop.spawn, work)
            with anyio.fail_after(30):
                await ended.wait()
            return loop, work

        loop, work = anyio.run(main, backend=backend)
        assert done == [threading.current_thread()]
        loop.spawn(work)  # it is gone: so is what it would have released
        assert len(done) == 1


class TestInsideARunningLoop:
    """As in a notebook, where a loop runs all the time and people call the synchronous client."""

    def test_a_synchronous_call_and_stream(self) -> None:
        async def main() -> None:
            with interlay.using(user="notebook"):
                client = interlay.wrap(
                    Wire(200, Body(OPENAI_EVENTS)).for_openai(), interlay.Retry(), interlay.Timeout(total=60)
                )
                client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
                for _ in client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True):
                    await asyncio.sleep(0)

        with capture() as records:
            asyncio.run(main())
        assert [(record.end, record.identity.user) for record in records] == [("complete", "notebook")] * 2

    def test_in_a_worker_thread_of_the_loop(self) -> None:
        client = interlay.wrap(Wire(200).for_openai())

        def call() -> None:
            client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)

        async def main() -> None:
            with interlay.using(user="u-7"):
                await asyncio.to_thread(call)
                await asyncio.get_running_loop().run_in_executor(None, interlay.carry(call))
                await asyncio.get_running_loop().run_in_executor(None, call)

        with capture() as records:
            asyncio.run(main())
        assert [record.identity.user for record in records] == ["u-7", "u-7", None]

    # Trio warns of the SDK's own generators.
    @pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
    def test_one_client_in_one_loop_after_the_other(self) -> None:
        async def main() -> None:
            client = interlay.wrap(Wire(Body(OPENAI_EVENTS)).for_async_openai())
            async for _ in await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True):
                pass

        with capture() as records:
            for backend in ("asyncio", "trio", "asyncio"):
                anyio.run(main, backend=backend)
            threads = [threading.Thread(target=anyio.run, args=(main,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert [record.end for record in records] == ["complete"] * 7
