"""Under trio, the asynchronous colour behaves as under asyncio: endings, deadlines, identity, clean-up."""

from __future__ import annotations

import gc
import importlib.util
import subprocess
import sys
from typing import Any

import httpx2
import openai
import pytest
import trio
import trio.testing
from tests.unit.entry.wires import MESSAGES, OPENAI_EVENTS, Body, Wire

import interlay
from interlay.testing import capture

PATIENCE = 30.0
"""Seconds that nothing here comes near to."""

# The SDK leaves its generators to the collector, of which trio warns, wrapped or not (test_story_dev_mode compares).
pytestmark = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")


def client(wire: Wire, *parts: object) -> openai.AsyncOpenAI:
    return interlay.wrap(wire.for_async_openai(max_retries=0), *parts)


async def opened(body: Body, *parts: object) -> Any:
    return await client(Wire(body), *parts).chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)


class Watched(Body):
    """A body whose release can be waited for."""

    def __init__(self, chunks: list[bytes]) -> None:
        super().__init__(chunks)
        self.released = trio.Event()

    async def aclose(self) -> None:
        await super().aclose()
        self.released.set()


class Stuck(Watched):
    """A body whose release fails."""

    async def aclose(self) -> None:
        await super().aclose()
        raise OSError("broken pipe")


class Hanging(Wire):
    """Never answers."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await trio.sleep_forever()
        raise AssertionError


class TestEndings:
    def test_read_to_the_end(self) -> None:
        body = Body(OPENAI_EVENTS)

        async def main() -> None:
            async for _ in await opened(body):
                pass

        with capture() as records:
            trio.run(main)
        assert [record.end for record in records] == ["complete"]
        assert body.closed == 1

    def test_a_cancel_scope_round_a_stream(self) -> None:
        body = Body(OPENAI_EVENTS[:1], hangs=True)

        async def main() -> None:
            with trio.CancelScope() as scope:
                async for _ in await opened(body):
                    scope.cancel()
            assert scope.cancelled_caught

        with capture() as records:
            trio.run(main)
        assert [record.end for record in records] == ["cancelled"]
        assert body.closed == 1

    def test_a_cancel_scope_before_the_headers(self) -> None:
        async def main() -> None:
            with trio.move_on_after(0.05) as scope:
                await client(Hanging()).chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
            assert scope.cancelled_caught

        with capture() as records:
            trio.run(main)
        assert [record.end for record in records] == ["cancelled"]
        cost = records[0].cost
        assert cost is not None
        assert cost.amount is None

    def test_a_cancel_scope_round_a_wait_between_attempts(self) -> None:
        wire = Wire(httpx2.ConnectError("refused"))

        async def main() -> None:
            held = client(wire, interlay.Retry(attempts=9, backoff=PATIENCE))
            with trio.move_on_after(0.2) as scope:
                await held.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
            assert scope.cancelled_caught

        with capture() as records:
            trio.run(main)
        assert [record.end for record in records] == ["cancelled"]

    @pytest.mark.parametrize("part", [interlay.Timeout(attempt=0.05), interlay.Timeout(total=0.05)])
    def test_a_timeout_of_ours_is_the_librarys_own(self, part: interlay.Timeout) -> None:
        body = Body(OPENAI_EVENTS[:1], hangs=True)

        async def main() -> None:
            with pytest.raises(openai.APITimeoutError) as raised:
                async for _ in await opened(body, part):
                    pass
            assert isinstance(raised.value.__cause__, httpx2.ReadTimeout)

        with capture() as records:
            trio.run(main)
        assert [(record.end, record.error and record.error.type) for record in records] == [("error", "timeout")]
        assert body.closed == 1

    def test_the_programs_own_exception(self) -> None:
        body = Body(OPENAI_EVENTS)

        async def main() -> None:
            async with await opened(body) as stream:
                async for _ in stream:
                    raise LookupError

        with capture() as records, pytest.raises(LookupError):
            trio.run(main)
        assert [record.end for record in records] == ["closed"]
        assert body.closed == 1


@pytest.mark.parametrize("kind", [Watched, Stuck])
def test_an_abandoned_stream_is_given_back_and_never_ends_the_run(kind: type[Watched]) -> None:
    body = kind(OPENAI_EVENTS[:1])

    async def main() -> None:
        stream = await opened(body)
        del stream
        gc.collect()
        with trio.fail_after(PATIENCE):
            await body.released.wait()

    with capture() as records:
        trio.run(main)
    assert [record.end for record in records] in (["lost"], ["closed"])
    assert body.closed == 1


def test_identity_stays_with_its_task() -> None:
    wire = Wire(200)

    async def main() -> None:
        held = client(wire)

        async def call(number: int) -> None:
            with interlay.using(user=f"u{number}"):
                await trio.lowlevel.checkpoint()
                await held.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)

        with interlay.using(session="s"):
            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(call, number)

    with capture() as records:
        trio.run(main)
    seen = sorted(record.identity.user or "" for record in records)
    assert seen == sorted(f"u{number}" for number in range(20))
    assert {record.identity.session for record in records} == {"s"}


def test_as_a_guest_of_asyncio() -> None:
    """Both loops run then, in one thread."""
    import asyncio  # noqa: PLC0415

    body = Body(OPENAI_EVENTS[:1], hangs=True)

    async def main() -> None:
        async for _ in await opened(body, interlay.Timeout(attempt=0.05)):
            pass

    async def host() -> Any:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        trio.lowlevel.start_guest_run(
            main,
            run_sync_soon_threadsafe=asyncio.get_running_loop().call_soon_threadsafe,
            done_callback=done.set_result,
        )
        return await done

    with capture() as records:
        outcome = asyncio.run(host())
    with pytest.raises(openai.APITimeoutError):
        outcome.unwrap()
    assert [record.end for record in records] == ["error"]
    assert body.closed == 1


def test_interlay_imports_neither_loop() -> None:
    assert importlib.util.find_spec("trio")
    code = "import interlay, sys; interlay.wrap, interlay.setup; print({'asyncio', 'trio'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=250)
    assert done.stdout == "set()\n"
