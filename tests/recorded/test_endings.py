"""Law 1 over real sockets: whatever happens to a call, it ends in exactly one record, and nothing is left behind.

Each ending is played to both SDKs in both colours, first to a bare client and then to a wrapped one: what the program
sees must be the same. The client has a single connection, so a call that follows shows that it was given back.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from tests.recorded.replay import CASSETTES, Colour, client, invocation, library

import interlay
from interlay import Record, Retry, Timeout
from interlay.testing import Player, Recording, Server, Turn, capture, closed_port

STREAMS = {
    openai: Recording.load(CASSETTES / "openai-chat" / "openai-chat-stream-usage-01.json"),
    anthropic: Recording.load(CASSETTES / "anthropic-messages" / "anthropic-stream-01.json"),
}
PLAIN = {
    openai: Recording.load(CASSETTES / "openai-chat" / "openai-chat-plain-03.json"),
    anthropic: Recording.load(CASSETTES / "anthropic-messages" / "anthropic-plain-01.json"),
}
SDKS = [pytest.param(openai, id="openai"), pytest.param(anthropic, id="anthropic")]
COLOURS = ["sync", "async"]
PATIENCE = 1.0
"""Seconds in which everything has to be given back."""


@dataclass(frozen=True)
class Ending:
    """How a streamed call ends, and what is expected of its record."""

    name: str
    end: tuple[str, ...]
    reader: str = "reads all"
    turn: Turn = Turn()  # noqa: RUF009 - it is frozen
    failure: tuple[str, ...] = ()
    parts: tuple[Any, ...] = ()
    colours: tuple[str, ...] = ("sync", "async")


ENDINGS = [
    Ending("read to the end", ("complete",)),
    Ending("closed early", ("closed",), reader="closes"),
    Ending("dropped", ("lost", "closed"), reader="drops"),
    Ending("never read", ("lost", "closed"), reader="ignores"),
    Ending("exception in the loop", ("closed",), reader="raises"),
    Ending("ctrl-c in the loop", ("cancelled",), reader="interrupts"),
    Ending("cancelled", ("cancelled",), reader="is cancelled", turn=Turn(fault="hang", after=3), colours=("async",)),
    Ending("reset by the peer", ("error",), turn=Turn(fault="reset", after=3), failure=("read",)),
    Ending("reset before the headers", ("error",), turn=Turn(fault="reset"), failure=("read",)),
    Ending("cut", ("error",), turn=Turn(fault="cut", after=3), failure=("cut",)),
    Ending("cut before the first event", ("error",), turn=Turn(fault="cut", after=0), failure=("cut",)),
    Ending("cut in a chunk", ("error",), turn=Turn(fault="truncate", after=3), failure=("read",)),
    Ending("timed out", ("error",), turn=Turn(fault="hang", after=3), failure=("timeout",)),
    Ending("timed out before the headers", ("error",), turn=Turn(fault="hang"), failure=("timeout",)),
    Ending("error event", ("error",), turn=Turn(fault="error", after=3), failure=("server_error", "overloaded_error")),
    Ending("dripping", ("error",), turn=Turn(drip=0.01), parts=(Timeout(attempt=0.4),), failure=("timeout",)),
    Ending(
        "hanging under a time-out of ours",
        ("error",),
        turn=Turn(fault="hang", after=3),
        parts=(Timeout(attempt=0.2),),
        failure=("timeout",),
    ),
    Ending("a status", ("error",), turn=Turn(status=500), failure=("server_error", "api_error")),
    Ending("garbage", ("complete", "error"), turn=Turn(body=b"\x00\xff{]" * 9), failure=("cut", "")),
]


class Scene:
    """One SDK in one colour against a server of its own."""

    def __init__(self, sdk: Any, colour: Colour, *turns: Turn | int, plain: bool = False) -> None:
        self.sdk, self.colour = sdk, colour
        self.recording = (PLAIN if plain else STREAMS)[sdk]
        self.player = Player([STREAMS[sdk], PLAIN[sdk]], turns=turns)
        self.server = Server(self.player)

    def client(self, *, read: float = 0.5, url: str | None = None, **options: Any) -> Any:
        """A client with one connection, and half a second of patience."""
        module = library(self.sdk)
        limits = module.Limits(max_connections=1)
        seconds = module.Timeout(2.0, read=read)
        kind = module.Client if self.colour == "sync" else module.AsyncClient
        path = "/v1" if self.sdk is openai else ""
        url = (url or self.server.url) + path
        http = kind(limits=limits, timeout=seconds)
        return client(self.sdk, self.colour, base_url=url, timeout=seconds, http_client=http, **options)

    def wrapped(self, *parts: Any, **options: Any) -> Any:
        return interlay.wrap(self.client(**options), *parts, provider=self.sdk.__name__)

    def create(self, held: Any) -> Any:
        resource, arguments = invocation(held, self.recording.exchanges[0])
        return resource.create(**arguments)


@pytest.fixture(scope="module", autouse=True)
def quick_collections() -> Iterator[None]:
    """What is there already need not be looked through each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def scene() -> Iterator[Callable[..., Scene]]:
    opened: list[Scene] = []
    gc.collect()
    before = set(threading.enumerate())
    sockets = open_sockets()

    def make(*arguments: Any, **named: Any) -> Scene:
        opened.append(Scene(*arguments, **named))
        return opened[-1]

    yield make
    for made in opened:
        made.server.close()
    assert soon(lambda: not strangers(before)), strangers(before)
    assert soon(lambda: open_sockets() <= sockets), "a socket was left open"


def strangers(before: set[threading.Thread]) -> set[threading.Thread]:
    """Threads that were not there before; the one runner may be, and what asyncio keeps for name look-ups."""
    now = set(threading.enumerate()) - before
    return {thread for thread in now if thread.name != "interlay" and not thread.name.startswith("asyncio")}


def open_sockets() -> int:
    """How many sockets this process has; none are seen where there is no /proc."""
    folder = Path("/proc/self/fd")
    links = []
    for entry in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            links.append(str(entry.readlink()))
    return sum(link.startswith("socket:") for link in links)


def soon(condition: Callable[[], bool]) -> bool:
    """Whether something comes true in time."""
    until = time.monotonic() + PATIENCE
    gc.collect()
    while not condition():
        if time.monotonic() > until:
            return False
        gc.collect()
        time.sleep(0.005)
    return True


async def asoon(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + PATIENCE
    gc.collect()
    while not condition():
        if time.monotonic() > until:
            return False
        gc.collect()
        await asyncio.sleep(0.005)
    return True


def released(held: Any) -> bool:
    """Whether a client's pool has every connection back."""
    pool = held._client._transport.inner._pool
    return all(connection.is_idle() or connection.is_closed() for connection in pool.connections)


Seen = tuple[list[str], str | None]
"""The events that a program got, and the exception."""


def read(scene: Scene, held: Any, reader: str) -> Seen:
    events: list[str] = []
    try:
        stream = scene.create(held)
        if reader == "ignores":
            return events, None
        if reader in ("raises", "interrupts"):
            with stream:
                for event in stream:
                    events.append(event.to_json())
                    raise ZeroDivisionError if reader == "raises" else KeyboardInterrupt
        for event in stream:
            events.append(event.to_json())
            if reader == "drops":
                break
            if reader == "closes":
                stream.close()
                break
    except BaseException as error:  # noqa: BLE001 - what it is, is the result
        return events, f"{type(error).__name__}: {error}"
    return events, None


async def aread(scene: Scene, held: Any, reader: str) -> Seen:
    events: list[str] = []
    try:
        stream = await scene.create(held)
        if reader == "ignores":
            return events, None
        if reader in ("raises", "interrupts"):
            async with stream:
                async for event in stream:
                    events.append(event.to_json())
                    raise ZeroDivisionError if reader == "raises" else KeyboardInterrupt
        async for event in stream:
            events.append(event.to_json())
            if reader == "drops":
                break
            if reader == "closes":
                await stream.close()
                break
    except asyncio.CancelledError:
        return events, "CancelledError"
    except BaseException as error:  # noqa: BLE001 - what it is, is the result
        return events, f"{type(error).__name__}: {error}"
    return events, None


async def acancelled(scene: Scene, held: Any) -> Seen:
    task = asyncio.create_task(aread(scene, held, "reads all"))
    await asoon(lambda: len(scene.player.requests) > 0)
    await asyncio.sleep(0.05)
    task.cancel()
    return await task


def check(record: Record, ending: Ending, events: int) -> None:
    assert record.end in ending.end
    expected = ("cancelled",) if record.end == "cancelled" else ending.failure
    assert (record.error.type if record.error is not None else "") in (expected or ("",))
    assert len(record.attempts) == 1
    cost = record.cost
    if record.end == "complete" and events:
        assert cost is not None
        assert cost.source == "computed"
        assert not cost.estimated
    elif events:
        assert cost is not None
        assert cost.estimated
        assert cost.amount


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize("ending", ENDINGS, ids=[ending.name for ending in ENDINGS])
def test_one_record_and_nothing_left(
    ending: Ending, sdk: Any, colour: Colour, scene: Callable[..., Scene], recwarn: pytest.WarningsRecorder
) -> None:
    if colour not in ending.colours:
        # There is no cancelling a blocking call: nothing to show.
        return
    stage = scene(sdk, colour)
    seen: list[Seen] = []
    # A part of ours changes what is seen: then there is nothing to compare with.
    for wrapped in (True,) if ending.parts else (False, True):
        stage.player.script(ending.turn)
        with capture() as records:
            if colour == "sync":
                seen.append(play(stage, ending, wrapped=wrapped))
            else:
                seen.append(asyncio.run(aplay(stage, ending, wrapped=wrapped)))
        if wrapped:
            check_all(records, ending, seen[-1])
        else:
            assert records == []
        assert soon(lambda: stage.player.open == 0 and stage.server.connections == 0)
    assert seen[0] == seen[-1]


def check_all(records: list[Record], ending: Ending, seen: Seen) -> None:
    """The call's record, and that of the call that showed the connection to be free."""
    assert len(records) == 2
    check(records[0], ending, len(seen[0]))
    assert records[1].end == "complete"
    assert records[0].call_id != records[1].call_id


def play(stage: Scene, ending: Ending, *, wrapped: bool) -> Seen:
    held = stage.wrapped(*ending.parts) if wrapped else stage.client()
    with held:
        done = read(stage, held, ending.reader)
        if wrapped:
            # Not all that a bare SDK drops is ever given back.
            assert soon(lambda: released(held))
            assert list(stage.create(held))
    return done


async def aplay(stage: Scene, ending: Ending, *, wrapped: bool) -> Seen:
    held = stage.wrapped(*ending.parts) if wrapped else stage.client()
    async with held:
        if ending.reader == "is cancelled":
            done = await acancelled(stage, held)
        else:
            done = await aread(stage, held, ending.reader)
        if wrapped:
            assert await asoon(lambda: released(held))
            assert [event async for event in await stage.create(held)]
        gc.collect()
        await asyncio.sleep(0)
        assert await asoon(lambda: asyncio.all_tasks() == {asyncio.current_task()})
    return done


PLAIN_ENDINGS = [
    Ending("complete", ("complete",)),
    Ending("reset by the peer", ("error",), turn=Turn(fault="reset", after=1), failure=("read",)),
    Ending("cut in a chunk", ("error",), turn=Turn(fault="truncate", after=1), failure=("read",)),
    Ending("timed out", ("error",), turn=Turn(fault="hang", after=1), failure=("timeout",)),
    Ending("dripping", ("error",), turn=Turn(drip=0.01), parts=(Timeout(attempt=0.3),), failure=("timeout",)),
    Ending("a 401", ("error",), turn=Turn(status=401), failure=("invalid_request_error", "authentication_error")),
    Ending("empty", ("complete", "error"), turn=Turn(body=b""), failure=("cut", "")),
]


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize("ending", PLAIN_ENDINGS, ids=[ending.name for ending in PLAIN_ENDINGS])
def test_a_whole_answer_too(ending: Ending, sdk: Any, colour: Colour, scene: Callable[..., Scene]) -> None:
    stage = scene(sdk, colour, plain=True)
    seen: list[Any] = []
    for wrapped in (True,) if ending.parts else (False, True):
        stage.player.script(ending.turn)
        with capture() as records:
            seen.append(asyncio.run(called(stage, stage.wrapped(*ending.parts) if wrapped else stage.client())))
        if wrapped:
            (record,) = records
            assert record.end in ending.end
            assert (record.error.type if record.error is not None else "") in (ending.failure or ("",))
            if ending.name == "complete":
                assert record.cost is not None
                assert record.cost.source == "computed"
    assert seen[0] == seen[-1]


async def called(stage: Scene, held: Any) -> str:
    """Make one plain call and close the client."""
    try:
        answer = stage.create(held)
        if stage.colour == "async":
            answer = await answer
        return answer.to_json() if hasattr(answer, "to_json") else repr(answer)
    except Exception as error:  # noqa: BLE001 - what it is, is the result
        return f"{type(error).__name__}: {error}"
    finally:
        if stage.colour == "async":
            await held.close()
        else:
            held.close()


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
def test_a_closed_port(sdk: Any, colour: Colour, scene: Callable[..., Scene]) -> None:
    stage = scene(sdk, colour, plain=True)
    nowhere = closed_port()
    bare = asyncio.run(called(stage, stage.client(url=nowhere)))
    with capture() as records:
        assert asyncio.run(called(stage, stage.wrapped(url=nowhere))) == bare
    (record,) = records
    assert record.error is not None
    assert (record.end, record.error.type) == ("error", "connect")
    assert record.usage is None


CTRL_C = """
import asyncio, json, os, signal, sys, threading, time

import interlay
from interlay.testing import Player, Turn
from tests.recorded.test_endings import Scene, anthropic, openai

sdk = {"openai": openai, "anthropic": anthropic}[sys.argv[1]]
stage = Scene(sdk, sys.argv[2], Turn(fault="hang", after=3))
events = []

def interrupt():
    while len(events) < 2:
        time.sleep(0.01)
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()

async def read(held):
    async for event in await stage.create(held):
        events.append(event)

held = stage.wrapped(read=20.0)
interrupted = False
try:
    if sys.argv[2] == "sync":
        for event in stage.create(held):
            events.append(event)
    else:
        asyncio.run(read(held))
except KeyboardInterrupt:
    interrupted = True
    time.sleep(0.05)
records = interlay.last()
print(json.dumps([interrupted, [[r.end, r.cost.estimated, r.response.status] for r in records]]))
os._exit(0)
"""


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_ctrl_c_by_signal(sdk: str, colour: Colour) -> None:
    command = [sys.executable, "-c", CTRL_C, sdk, colour]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=40)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [True, [["cancelled", True, 200]]]


class TestRetriesOfTheSDK:
    @pytest.mark.parametrize("colour", COLOURS)
    @pytest.mark.parametrize("sdk", SDKS)
    @pytest.mark.parametrize("streamed", [False, True])
    def test_two_529s_and_a_200_are_three_records_of_one_call(
        self, sdk: Any, colour: Colour, *, streamed: bool, scene: Callable[..., Scene]
    ) -> None:
        busy = Turn(status=529, headers={"retry-after-ms": "1"})
        stage = scene(sdk, colour, busy, busy, plain=not streamed)
        held = stage.wrapped(max_retries=2)
        with capture() as records:
            if not streamed:
                asyncio.run(called(stage, held))
            elif colour == "sync":
                with held:
                    assert read(stage, held, "reads all")[1] is None
            else:

                async def run() -> None:
                    async with held:
                        assert (await aread(stage, held, "reads all"))[1] is None

                asyncio.run(run())
        assert [record.end for record in records] == ["error", "error", "complete"]
        assert len({record.id for record in records}) == 3
        assert len({record.call_id for record in records}) == 1
        billed = [attempt.billed for record in records for attempt in record.attempts]
        assert billed == [False, False, True]
        assert [bool(record.cost and record.cost.amount) for record in records] == [False, False, True]
        assert [record.usage is not None for record in records] == [False, False, True]

    @pytest.mark.parametrize("colour", COLOURS)
    @pytest.mark.parametrize("sdk", SDKS)
    def test_the_next_call_is_another_call(self, sdk: Any, colour: Colour, scene: Callable[..., Scene]) -> None:
        stage = scene(sdk, colour, Turn(status=529, headers={"retry-after-ms": "1"}), plain=True)
        with capture() as records:
            asyncio.run(called(stage, stage.wrapped(max_retries=2)))
            asyncio.run(called(stage, stage.wrapped(max_retries=2)))
        assert len(records) == 3
        assert records[0].call_id == records[1].call_id != records[2].call_id


class TestRetriesOfOurs:
    @pytest.mark.parametrize("colour", COLOURS)
    @pytest.mark.parametrize("sdk", SDKS)
    @pytest.mark.parametrize(
        "turn",
        [
            Turn(fault="reset"),
            Turn(fault="hang"),
            Turn(status=529, headers={"retry-after-ms": "1"}),
            Turn(status=500),
            Turn(status=429, headers={"retry-after-ms": "1"}),
        ],
        ids=["reset", "timeout", "529", "500", "429"],
    )
    @pytest.mark.parametrize("asked", [None, 2], ids=["default", "with_options"])
    def test_three_requests_and_not_nine(
        self, asked: int | None, turn: Turn, sdk: Any, colour: Colour, scene: Callable[..., Scene]
    ) -> None:
        if asked is not None and turn.fault is not None:
            # No header reaches an SDK that was told, for this one call, to retry what has no answer.
            return
        stage = scene(sdk, colour, *[turn] * 20, plain=True)
        held = stage.wrapped(Retry(attempts=3, backoff=0.01), max_retries=2, read=0.15)
        if asked is not None:
            held = held.with_options(max_retries=asked)
        with capture() as records:
            asyncio.run(called(stage, held))
        assert len(stage.player.requests) == 3
        (record,) = records
        assert [attempt.status for attempt in record.attempts] == [turn.status] * 3
        assert record.end == "error"

    @pytest.mark.parametrize("colour", COLOURS)
    @pytest.mark.parametrize("sdk", SDKS)
    def test_refused_connections_too(self, sdk: Any, colour: Colour, scene: Callable[..., Scene]) -> None:
        stage = scene(sdk, colour, plain=True)
        held = stage.wrapped(Retry(attempts=3, backoff=0.01), max_retries=2, url=closed_port())
        with capture() as records:
            asyncio.run(called(stage, held))
        (record,) = records
        assert [attempt.error and attempt.error.type for attempt in record.attempts] == ["connect"] * 3

    @pytest.mark.parametrize("colour", COLOURS)
    @pytest.mark.parametrize("sdk", SDKS)
    def test_what_was_delivered_is_not_replayed(self, sdk: Any, colour: Colour, scene: Callable[..., Scene]) -> None:
        stage = scene(sdk, colour, Turn(fault="reset", after=2))
        held = stage.wrapped(Retry(attempts=3, backoff=0.01))
        with capture() as records:
            if colour == "sync":
                with held:
                    events, error = read(stage, held, "reads all")
            else:

                async def run() -> tuple[list[str], str | None]:
                    async with held:
                        return await aread(stage, held, "reads all")

                events, error = asyncio.run(run())
        assert events
        assert error is not None
        assert len(stage.player.requests) == 1
        assert [record.end for record in records] == ["error"]


def arrivals(stage: Scene) -> list[float]:
    """The times at which requests arrive from now on."""
    times: list[float] = []
    answer = stage.player.answer

    def timed(sent: Any) -> Any:
        times.append(time.monotonic())
        return answer(sent)

    stage.player.answer = timed  # type: ignore[method-assign]
    return times


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("sdk", SDKS)
@pytest.mark.parametrize(
    "turn", [Turn(status=529, headers={"retry-after-ms": "250"}), Turn(fault="hang")], ids=["529", "hang"]
)
class TestATotalOverTheRetriesOfTheSDK:
    def test_nothing_is_sent_after_it(self, turn: Turn, sdk: Any, colour: Colour, scene: Callable[..., Scene]) -> None:
        stage = scene(sdk, colour, *[turn] * 50, plain=True)
        held = stage.wrapped(Timeout(total=0.6), max_retries=3 if turn.status else 1, read=0.25)
        times = arrivals(stage)
        began = time.monotonic()
        with capture() as records:
            asyncio.run(called(stage, held))
        assert times
        assert max(times) - began < 0.6
        assert len({record.call_id for record in records}) == 1

    @pytest.mark.xfail(strict=True, reason="the SDK sleeps through its own back-off before each further run")
    def test_nor_does_the_call_last_longer(
        self, turn: Turn, sdk: Any, colour: Colour, scene: Callable[..., Scene]
    ) -> None:
        stage = scene(sdk, colour, *[turn] * 50, plain=True)
        held = stage.wrapped(Timeout(total=0.6), max_retries=4, read=0.25)
        began = time.monotonic()
        asyncio.run(called(stage, held))
        assert time.monotonic() - began < 1.0
