"""Law 1 over real sockets: whatever happens to a call, it ends in exactly one record, and nothing is left behind.

Each ending is played to both SDKs in both colours, first to a bare client and then to a wrapped one: what the program
sees must be the same. The client has a single connection, so a call that follows shows that it was given back.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import anthropic
import openai
import pytest
from tests.recorded.replay import Colour
from tests.recorded.scenes import SHOWN, Scene, asoon, both_colours, both_sdks, released, soon

from interlay import Record, Timeout
from interlay.testing import Turn, capture, closed_port

# What an SDK says of a recorded model's age is no matter here.
pytestmark = pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a call ends, and what is expected of its record."""

    name: str
    end: tuple[str, ...]
    failure: tuple[str, ...] = ("",)
    cost: Literal["exact", "estimated", "unknown", "nothing"] = "estimated"
    turn: Turn = Turn()  # noqa: RUF009 - it is frozen
    reader: str = "reads all"
    read: float | None = None
    parts: tuple[Any, ...] = ()
    colours: tuple[str, ...] = ("sync", "async")


ENDINGS = [
    Ending(name="read to the end", end=("complete",), cost="exact"),
    Ending(name="closed early", end=("closed",), reader="closes"),
    Ending(name="dropped", end=("lost", "closed"), reader="drops"),
    Ending(name="never read", end=("lost", "closed"), reader="ignores"),
    Ending(name="exception in the loop", end=("closed",), reader="raises"),
    Ending(name="ctrl-c in the loop", end=("cancelled",), failure=("cancelled",), reader="interrupts"),
    Ending(
        name="cancelled",
        end=("cancelled",),
        failure=("cancelled",),
        reader="is cancelled",
        turn=Turn(fault="hang", after=3),
        colours=("async",),
    ),
    Ending(
        name="cancelled before the headers",
        end=("cancelled",),
        failure=("cancelled",),
        cost="unknown",
        reader="is cancelled",
        turn=Turn(fault="hang"),
        colours=("async",),
    ),
    Ending(name="reset by the peer", end=("error",), failure=("read",), turn=Turn(fault="reset", after=3)),
    Ending(
        name="reset before the headers", end=("error",), failure=("read",), cost="unknown", turn=Turn(fault="reset")
    ),
    Ending(name="cut", end=("error",), failure=("cut",), turn=Turn(fault="cut", after=3)),
    Ending(name="cut before the first event", end=("error",), failure=("cut",), turn=Turn(fault="cut", after=0)),
    Ending(name="cut in a chunk", end=("error",), failure=("read",), turn=Turn(fault="truncate", after=3)),
    Ending(name="timed out", end=("error",), failure=("timeout",), turn=Turn(fault="hang", after=3), read=1.0),
    Ending(
        name="timed out before the headers",
        end=("error",),
        failure=("timeout",),
        cost="unknown",
        turn=Turn(fault="hang"),
        read=0.2,
    ),
    Ending(
        name="error event",
        end=("error",),
        failure=("server_error", "overloaded_error"),
        turn=Turn(fault="error", after=3),
    ),
    Ending(name="dripping", end=("error",), failure=("timeout",), turn=Turn(drip=0.01), parts=(Timeout(attempt=0.5),)),
    Ending(
        name="hanging under a time-out of ours",
        end=("error",),
        failure=("timeout",),
        turn=Turn(fault="hang", after=3),
        parts=(Timeout(attempt=0.5),),
    ),
    Ending(
        name="a status",
        end=("error",),
        failure=("server_error", "api_error"),
        cost="nothing",
        turn=Turn(status=500),
    ),
    Ending(name="garbage", end=("error",), failure=("cut",), turn=Turn(body=b"\x00\xff{]" * 9)),
    # The SDK gives up on it, and closes what it reads.
    Ending(name="garbage in events", end=("closed",), turn=Turn(body=b"data: \x00\xff{]\n\n" * 9)),
]

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


async def aread(scene: Scene, held: Any, reader: str, events: list[str]) -> Seen:
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


async def acancelled(scene: Scene, held: Any, ending: Ending) -> Seen:
    events: list[str] = []
    expected = 0 if ending.turn.after is None else SHOWN[scene.sdk]
    sent = len(scene.player.requests)
    task = asyncio.create_task(aread(scene, held, "reads all", events))
    assert await asoon(lambda: len(scene.player.requests) > sent and len(events) == expected)
    task.cancel()
    return await task


@both_colours
@both_sdks
@pytest.mark.parametrize("ending", ENDINGS, ids=[ending.name for ending in ENDINGS])
def test_one_record_and_nothing_left(
    ending: Ending, sdk: Any, colour: Colour, scene: Callable[..., Scene], recwarn: pytest.WarningsRecorder
) -> None:
    if colour not in ending.colours:
        # There is no cancelling a blocking call: nothing to show.
        return
    stage = scene(sdk, colour)
    seen: list[Seen] = []
    warned: set[str] = set()
    # A part of ours changes what is seen: then there is nothing to compare with.
    for wrapped in (True,) if ending.parts else (False, True):
        stage.player.script(ending.turn)
        with capture() as records:
            if colour == "sync":
                seen.append(play(stage, ending, wrapped=wrapped))
            else:
                seen.append(asyncio.run(aplay(stage, ending, wrapped=wrapped)))
        given = {warning.category.__name__ for warning in recwarn} - {"DeprecationWarning"}
        recwarn.clear()
        if wrapped:
            check_all(records, ending, stage)
            assert given <= warned
        else:
            assert records == []
            warned = given
        assert soon(lambda: stage.player.open == 0 and stage.server.connections == 0)
    assert seen[0] == seen[-1]


def options(ending: Ending) -> dict[str, Any]:
    return {} if ending.read is None else {"read": ending.read}


def play(stage: Scene, ending: Ending, *, wrapped: bool) -> Seen:
    held = stage.wrapped(*ending.parts, **options(ending)) if wrapped else stage.client(**options(ending))
    with held:
        done = read(stage, held, ending.reader)
        if wrapped:
            # Not all that a bare SDK drops is ever given back.
            assert soon(lambda: released(held))
            assert list(stage.create(stage.wrap(held), timeout=20.0))
    return done


async def aplay(stage: Scene, ending: Ending, *, wrapped: bool) -> Seen:
    held = stage.wrapped(*ending.parts, **options(ending)) if wrapped else stage.client(**options(ending))
    async with held:
        if ending.reader == "is cancelled":
            done = await acancelled(stage, held, ending)
        else:
            done = await aread(stage, held, ending.reader, [])
        if wrapped:
            assert await asoon(lambda: released(held))
            assert [event async for event in await stage.create(stage.wrap(held), timeout=20.0)]
        gc.collect()
        await asyncio.sleep(0)
        assert await asoon(lambda: asyncio.all_tasks() == {asyncio.current_task()})
    return done


def check_all(records: list[Record], ending: Ending, stage: Scene) -> None:
    """The call's record, and that of the call that showed the connection to be free."""
    first, second = records
    check(first, ending)
    assert second.end == "complete"
    assert first.call_id != second.call_id
    if ending.cost == "exact":
        assert first.usage == second.usage
        assert first.cost == second.cost


def check(record: Record, ending: Ending) -> None:
    assert record.end in ending.end
    assert (record.error.type if record.error is not None else "") in ending.failure
    assert len(record.attempts) == 1
    cost = record.cost
    assert cost is not None
    if ending.cost == "unknown":
        assert (cost.source, cost.amount) == ("unknown", None)
    elif ending.cost == "nothing":
        assert cost.amount == 0
        assert not cost.estimated
    else:
        assert cost.amount
        assert cost.estimated is (ending.cost == "estimated")
        assert (cost.source == "computed") is (ending.cost == "exact")
    assert record.attempts[0].billed is (ending.cost in ("exact", "estimated"))


PLAIN_ENDINGS = [
    Ending(name="complete", end=("complete",), cost="exact"),
    Ending(name="reset by the peer", end=("error",), failure=("read",), turn=Turn(fault="reset", after=1)),
    Ending(name="cut in a chunk", end=("error",), failure=("read",), turn=Turn(fault="truncate", after=1)),
    Ending(name="timed out", end=("error",), failure=("timeout",), turn=Turn(fault="hang", after=1), read=0.5),
    Ending(name="dripping", end=("error",), failure=("timeout",), turn=Turn(drip=0.01), parts=(Timeout(attempt=0.5),)),
    Ending(
        name="a 401",
        end=("error",),
        failure=("invalid_request_error", "authentication_error"),
        cost="nothing",
        turn=Turn(status=401),
    ),
    Ending(name="garbage", end=("error",), failure=("cut",), turn=Turn(body=b"\x00\xff{]" * 9)),
    Ending(name="empty", end=("error",), failure=("cut",), turn=Turn(body=b"")),
]


@both_colours
@both_sdks
@pytest.mark.parametrize("ending", PLAIN_ENDINGS, ids=[ending.name for ending in PLAIN_ENDINGS])
def test_a_whole_answer_too(ending: Ending, sdk: Any, colour: Colour, scene: Callable[..., Scene]) -> None:
    stage = scene(sdk, colour, plain=True)
    seen: list[str] = []
    for wrapped in (True,) if ending.parts else (False, True):
        stage.player.script(ending.turn)
        held = stage.wrapped(*ending.parts, **options(ending)) if wrapped else stage.client(**options(ending))
        with capture() as records:
            seen.append(stage.call(held))
        if wrapped:
            (record,) = records
            check(record, ending)
    assert seen[0] == seen[-1]


@both_colours
@both_sdks
def test_a_closed_port(sdk: Any, colour: Colour, scene: Callable[..., Scene]) -> None:
    stage = scene(sdk, colour, plain=True)
    nowhere = closed_port()
    bare = stage.call(stage.client(url=nowhere))
    with capture() as records:
        assert stage.call(stage.wrapped(url=nowhere)) == bare
    (record,) = records
    assert record.error is not None
    assert (record.end, record.error.type) == ("error", "connect")
    assert record.usage is None
    assert record.cost is not None
    assert record.cost.amount == 0
    assert record.attempts[0].billed is False


# Says for each scene whether Ctrl-C came out as KeyboardInterrupt, and what the records tell. One process plays all,
# as most of its time goes into importing two SDKs.
CTRL_C = """
import asyncio, gc, json, os, signal, threading, time

import interlay
from interlay.testing import Turn, capture
from tests.recorded.scenes import SHOWN, Scene, anthropic, openai, soon

gc.freeze()

def interrupt(stage, events, expected):
    while len(stage.player.requests) == 0 or len(events) < expected:
        time.sleep(0.01)
    time.sleep(0.3)  # until the reader waits for more
    os.kill(os.getpid(), signal.SIGINT)

async def read(stage, held, events):
    async for event in await stage.create(held):
        events.append(event)

def play(sdk, colour, after):
    stage = Scene(sdk, colour, Turn(fault="hang", after=after))
    events = []
    held = stage.wrapped()
    expected = 0 if after is None else SHOWN[sdk]
    finger = threading.Thread(target=interrupt, args=(stage, events, expected), daemon=True)
    finger.start()
    interrupted = False
    with capture() as records:
        try:
            if colour == "sync":
                for event in stage.create(held):
                    events.append(event)
            else:
                asyncio.run(read(stage, held, events))
        except KeyboardInterrupt:
            interrupted = True
        assert soon(lambda: stage.player.open == 0)
    finger.join()
    stage.server.close()
    return [interrupted, len(events) == expected, [[r.end, r.cost.source] for r in records]]

print(json.dumps([
    play(sdk, colour, after) for sdk in (openai, anthropic) for colour in ("sync", "async") for after in (3, None)
]))
"""


@pytest.mark.timeout(300)
def test_ctrl_c_by_signal() -> None:
    done = subprocess.run([sys.executable, "-c", CTRL_C], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    mid_stream = {openai: "estimated", anthropic: "partial"}
    assert json.loads(done.stdout) == [
        [True, True, [["cancelled", source]]]
        for sdk in (openai, anthropic)
        for _ in ("sync", "async")
        for source in (mid_stream[sdk], "unknown")
    ]
