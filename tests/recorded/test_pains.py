"""What hurts in other tools, by the reproductions of the threads that reported it, through the real SDKs.

Pains 11 to 15 are also tested beside telemetry and ``using()``, 26 beside the codec.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gc
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

import interlay
from interlay.chain.call import Call
from interlay.chain.monitor import Monitor
from interlay.chain.run import Run
from interlay.chain.stream import Stream
from interlay.telemetry.journal import JournalReader
from interlay.testing import Player, Turn, capture, every, no_network, transports

MESSAGES: Any = [{"role": "user", "content": "hi"}]


def sse(*events: dict[str, Any] | str) -> bytes:
    """Events of OpenAI's, which have no name, and of Anthropic's, which have their type's."""
    lines = []
    for event in events:
        if isinstance(event, str):
            lines.append(f"data: {event}\n\n")
        else:
            name = f"event: {event['type']}\n" if "type" in event else ""
            lines.append(f"{name}data: {json.dumps(event)}\n\n")
    return "".join(lines).encode()


def openai_answer(model: str, usage: Any) -> bytes:
    message = {"role": "assistant", "content": "Hello"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}
    return json.dumps(whole).encode()


def openai_chunk(model: str, *choices: Any, **more: Any) -> dict[str, Any]:
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": choices, **more}


def delta(finish: str | None = None, **members: Any) -> dict[str, Any]:
    return {"index": 0, "delta": members, "finish_reason": finish}


def openai_stream(model: str, usage: Any) -> bytes:
    said = openai_chunk(model, delta("stop", content="Hello"))
    return sse(said, openai_chunk(model, usage=usage), "[DONE]")


def anthropic_answer(model: str, usage: Any) -> bytes:
    content = [{"type": "text", "text": "Hello"}]
    head = {"id": "m", "type": "message", "role": "assistant", "model": model, "stop_sequence": None}
    return json.dumps({**head, "content": content, "stop_reason": "end_turn", "usage": usage}).encode()


def anthropic_stream(model: str, usage: Any, *blocks: dict[str, Any]) -> bytes:
    head: Any = {"id": "m", "type": "message", "role": "assistant", "model": model, "content": []}
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}
    opened = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    return sse(
        {"type": "message_start", "message": {**head, "stop_reason": None, "usage": {**usage, "output_tokens": 1}}},
        *(blocks or (opened, text, {"type": "content_block_stop", "index": 0})),
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": usage["output_tokens"]},
        },
        {"type": "message_stop"},
    )


def clients(*bodies: bytes, **options: Any) -> tuple[openai.OpenAI, anthropic.Anthropic]:
    """A wrapped client of each SDK, on one provider that answers with these bodies in turn."""
    player = Player(turns=[Turn(body=body) for body in bodies], **options)
    made = (
        openai.OpenAI(api_key="none", http_client=http(player), max_retries=0),
        anthropic.Anthropic(api_key="none", http_client=http(player), max_retries=0),
    )
    return interlay.wrap(made[0]), interlay.wrap(made[1])


def http(player: Player) -> httpx2.Client:
    return httpx2.Client(transport=transports(httpx2).sync(player))


def ask(client: openai.OpenAI | anthropic.Anthropic, model: str, *, stream: bool, **more: Any) -> interlay.Record:
    """One call, read to its end; its record."""
    with capture() as records:
        if isinstance(client, anthropic.Anthropic):
            answer: Any = client.messages.create(model=model, messages=MESSAGES, max_tokens=9, stream=stream, **more)
        else:
            answer = client.chat.completions.create(model=model, messages=MESSAGES, stream=stream, **more)
        if stream:
            list(answer)
    (record,) = records
    return record


def cost(record: interlay.Record) -> Decimal:
    assert record.cost is not None
    assert record.cost.amount is not None
    assert not record.cost.estimated
    return record.cost.amount


def million(*parts: tuple[int, str]) -> Decimal:
    """Tokens, each with a price in dollars a million."""
    return sum((tokens * Decimal(price) for tokens, price in parts), Decimal(0)) / 1_000_000


@pytest.fixture
def contents() -> Iterator[None]:
    interlay.setup(contents=True, journal=False)
    yield
    interlay.setup(contents=False, journal=False)


class TestPain01MemoryGrows:
    """BerriAI/litellm#12685 (OOM kills), #6404 (a thread for each chunk), #17784 (tasks that hold on to requests)."""

    BODY = openai_answer("gpt-4o-mini", {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11})

    def test_pain_01_calls_leave_nothing_but_a_bounded_number_of_records(self) -> None:
        player = Player(otherwise=Turn(body=self.BODY))
        client = interlay.wrap(http(player))

        def calls(number: int) -> int:
            for _ in range(number):
                client.post("https://api.openai.com/v1/chat/completions", json={"model": "m", "messages": MESSAGES})
                player.requests.clear()
            assert len(interlay.last()) <= 1000
            gc.collect()
            return sys.getallocatedblocks()

        def alive() -> Counter[type]:
            return Counter(type(each) for each in gc.get_objects() if type(each) in (Call, Run, Stream, Monitor))

        calls(1010)
        before, others = calls(150), alive()  # an exception of another test may hold what it came through
        assert calls(450) - before < 450  # one record is made of a dozen
        assert all(number < 5 for number in (alive() - others).values()), alive()

    def test_pain_01_no_thread_or_task_for_a_chunk(self) -> None:
        chunks = [openai_chunk("gpt-4o-mini", delta(content=str(n))) for n in range(3000)]
        body = sse(*chunks, openai_chunk("gpt-4o-mini", delta("stop")), "[DONE]")
        before = threading.active_count()
        threads, tasks = set[int](), set[int]()

        async def read() -> None:
            player = Player(turns=[Turn(body=body)])
            transport = transports(httpx2).asynchronous(player)
            client = openai.AsyncOpenAI(api_key="none", http_client=httpx2.AsyncClient(transport=transport))
            stream = await interlay.wrap(client).chat.completions.create(
                model="gpt-4o-mini", messages=MESSAGES, stream=True
            )
            async for _ in stream:
                tasks.add(len(asyncio.all_tasks()))
                threads.add(threading.active_count())
            await client.close()

        asyncio.run(read())
        assert max(tasks) == 1
        assert max(threads) <= before + 1  # the one runner


class TestPain02StreamedCostIsNotBufferedCost:
    """One usage, read from a stream and from a whole answer, costs the same to the last digit."""

    def test_pain_02_anthropic_cache_reads(self) -> None:
        """BerriAI/litellm#11789: 0.002059 was billed for a stream that cost 0.000292."""
        usage = {"input_tokens": 4, "cache_read_input_tokens": 2455, "cache_creation_input_tokens": 0}
        usage["output_tokens"] = 23
        model = "claude-3-5-haiku-20241022"
        client = clients(anthropic_stream(model, usage), anthropic_answer(model, usage))[1]
        streamed, buffered = ask(client, model, stream=True), ask(client, model, stream=False)
        assert cost(streamed) == cost(buffered) == million((4, "0.8"), (2455, "0.08"), (23, "4"))
        assert round(cost(streamed), 6) == Decimal("0.000292")
        assert streamed.usage is not None
        assert buffered.usage is not None
        assert (streamed.usage.input_tokens, streamed.usage.cache_read_tokens) == (2459, 2455)

    @pytest.mark.parametrize(
        ("prompt", "cached", "completion"), [(16111, 15872, 2), (1000, 600, 100), (2009, 1920, 20)]
    )
    @pytest.mark.parametrize("choices", [[], [{"index": 0, "delta": {}}], [delta("stop", content="")]])
    def test_pain_02_usage_on_whatever_last_chunk(
        self, prompt: int, cached: int, completion: int, choices: list[Any]
    ) -> None:
        """BerriAI/litellm#36168, #36083: usage on a chunk that has choices was dropped, at four times the cost."""
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        usage["prompt_tokens_details"] = {"cached_tokens": cached}  # type: ignore[assignment]
        model = "gpt-4o-mini"
        last = openai_chunk(model, *choices, usage=usage)
        stream = sse(openai_chunk(model, delta("stop", content="Hello")), last, "[DONE]")
        for split in (None, every(1), every(7)):
            client = clients(stream, openai_answer(model, usage), split=split)[0]
            asked = {"stream_options": {"include_usage": True}}
            streamed, buffered = ask(client, model, stream=True, **asked), ask(client, model, stream=False)
            uncached = prompt - cached
            assert cost(streamed) == cost(buffered) == million((uncached, ".15"), (cached, ".075"), (completion, ".6"))


class TestPain03TokensCountedTwice:
    @pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])
    def test_pain_03_openai_cached_tokens_are_part_of_the_prompt(self, *, stream: bool) -> None:
        """BerriAI/litellm#6215."""
        usage = {"prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306}
        details: Any = {"prompt_tokens_details": {"cached_tokens": 1920}, "completion_tokens_details": {}}
        body = (openai_stream if stream else openai_answer)("gpt-4o-2024-08-06", usage | details)
        record = ask(clients(body)[0], "gpt-4o-2024-08-06", stream=stream)
        assert cost(record) == million((86, "2.5"), (1920, "1.25"), (300, "10"))

    @pytest.mark.parametrize("stream", [False, True], ids=["buffered", "streamed"])
    def test_pain_03_anthropic_cache_writes_are_not(self, *, stream: bool) -> None:
        """BerriAI/litellm#9812: 0.0913 where Anthropic's console says 0.0544."""
        usage = {"input_tokens": 3, "cache_creation_input_tokens": 12304, "cache_read_input_tokens": 0}
        usage["output_tokens"] = 550
        model = "claude-3-7-sonnet-20250219"
        body = (anthropic_stream if stream else anthropic_answer)(model, usage)
        record = ask(clients(body)[1], model, stream=stream)
        assert cost(record) == million((3, "3"), (12304, "3.75"), (550, "15"))
        assert round(cost(record), 4) == Decimal("0.0544")
        assert record.usage is not None
        assert (record.usage.input_tokens, record.usage.cache_write_tokens) == (12307, 12304)

    def test_pain_03_gemini_cached_tokens_are_part_of_the_prompt(self) -> None:
        """BerriAI/litellm#14849."""
        usage = {"promptTokenCount": 262960, "cachedContentTokenCount": 257955, "candidatesTokenCount": 1744}
        at = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
        found = interlay.cost.price(usage, api="gemini", model="gemini-2.5-pro", at=at)
        quantities = {line.unit: line.quantity for line in found.lines}
        assert quantities == {"input": 262960 - 257955, "cache_read": 257955, "output": 1744}


WAYS = {"closed": ("closed",), "dropped": ("lost", "closed"), "cancelled": ("cancelled",), "broken": ("closed",)}
"""How a reader leaves, and the ends that this may be."""


class TestPain04StoppedStreamsAreNotBilled:
    """BerriAI/litellm#13245, #37558 and others: no row at all for a stream that is abandoned, closed or cancelled."""

    BODY = sse(
        *[openai_chunk("gpt-4o-mini", delta(content="some words of an answer ")) for _ in range(50)],
        openai_chunk("gpt-4o-mini", delta("stop")),
        "[DONE]",
    )

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("colour", ["sync", "async"])
    def test_pain_04_one_record_with_an_estimate(self, way: str, colour: str) -> None:
        if colour == "sync" and way == "cancelled":
            return  # a blocking call cannot be
        with capture() as records:
            if colour == "sync":
                self.read(way)
            else:
                asyncio.run(self.aread(way))
            gc.collect()
        (record,) = records
        assert record.end in WAYS[way]
        assert record.cost is not None
        assert record.cost.estimated
        assert record.cost.amount
        assert [attempt.billed for attempt in record.attempts] == [True]

    def read(self, way: str) -> None:
        stream = clients(self.BODY)[0].chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
        chunks = iter(stream)
        for _ in range(5):
            next(chunks)
        if way == "closed":
            stream.close()
        elif way == "broken":
            with pytest.raises(LookupError), stream:
                raise LookupError

    async def aread(self, way: str) -> None:
        player = Player(turns=[Turn(body=self.BODY, fault="hang", after=5)])
        client = openai.AsyncOpenAI(
            api_key="none", http_client=httpx2.AsyncClient(transport=transports(httpx2).asynchronous(player))
        )
        interlay.wrap(client)
        stream = await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
        chunks = aiter(stream)
        for _ in range(5):
            await anext(chunks)
        if way == "closed":
            await stream.close()
        elif way == "broken":
            with pytest.raises(LookupError):
                async with stream:
                    raise LookupError
        elif way == "cancelled":
            reading = asyncio.ensure_future(anext(chunks))
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        del stream, chunks
        gc.collect()
        await asyncio.sleep(0)


def left(stream: Any) -> None:
    with stream:
        next(iter(stream))
        raise LookupError


LEAVES: dict[str, Callable[[Any], object]] = {
    "reads all": list,
    "reads all, then closes": lambda stream: (list(stream), stream.close()),
    "never begins": lambda _: None,
    "breaks off": lambda stream: next(iter(stream)),
    "closes": lambda stream: (next(iter(stream)), stream.close()),
    "closes at once": lambda stream: stream.close(),
    "closes twice": lambda stream: (stream.close(), stream.close()),
    "goes on after closing": lambda stream: (stream.close(), list(stream)),
    "raises": left,
    "reads twice": lambda stream: (list(stream), list(stream)),
}


@pytest.mark.parametrize("way", LEAVES)
def test_pain_12_a_stream_leaves_one_record_however_it_is_left(way: str) -> None:
    """traceloop/openllmetry#3151, Arize-ai/openinference#3790: what was not read to its end vanished."""
    body = openai_stream("gpt-4o-mini", {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11})
    client = clients(body)[0]
    with capture() as records:
        stream = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
        with contextlib.suppress(LookupError, httpx2.StreamError):
            LEAVES[way](stream)
        del stream
        gc.collect()
    (record,) = records
    assert record.end in (("complete",) if way.startswith("reads") else ("closed", "lost"))


CALLS = [("call_a", "weather", '{"city":"Oslo"}'), ("call_b", "time", '{"zone":"CET"}'), ("call_c", "news", "{}")]


def pieces(call: tuple[str, str, str], **index: int) -> list[dict[str, Any]]:
    """A tool call's deltas: its head, then its arguments in two."""
    name, arguments = call[1], call[2]
    head = {**index, "id": call[0], "type": "function", "function": {"name": name, "arguments": ""}}
    half = len(arguments) // 2
    return [head, *({**index, "function": {"arguments": part}} for part in (arguments[:half], arguments[half:]))]


BY_CALL = [pieces(call, index=n) for n, call in enumerate(CALLS)]
SHAPES = {
    "one after the other": [[piece] for call in BY_CALL for piece in call],
    "interleaved": [[piece] for row in zip(*BY_CALL, strict=True) for piece in row],
    "side by side": [list(row) for row in zip(*BY_CALL, strict=True)],
    # BerriAI/litellm#21331
    "all on index 0": [[piece] for call in CALLS for piece in pieces(call, index=0)],
    # openai/openai-python#3246, of Gemini's compatible endpoint
    "without an index": [[piece] for call in CALLS for piece in pieces(call)],
    # openai/openai-python#3201, of vLLM with speculative decoding
    "an index twice in a chunk": [BY_CALL[0][:2], BY_CALL[0][2:], *BY_CALL[1:]],
    # pipecat-ai/pipecat#4987
    "not from 0": [[piece] for n, call in enumerate(CALLS, 3) for piece in pieces(call, index=n)],
}
"""Chunks, each with what it says of tool calls."""


class TestPain16ToolCallsMixedUp:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_pain_16_each_has_its_own_arguments(self, shape: str, contents: None) -> None:
        chunks = [openai_chunk("gpt-4o-mini", delta(tool_calls=calls)) for calls in SHAPES[shape]]
        body = sse(*chunks, openai_chunk("gpt-4o-mini", delta("tool_calls")), "[DONE]")
        record = ask(clients(body)[0], "gpt-4o-mini", stream=True)
        assert record.contents is not None
        (message,) = record.contents.output
        found = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in message["tool_calls"]]
        assert found == CALLS
        assert record.response is not None
        assert record.response.finish_reasons == ("tool_calls",)

    def test_pain_16_of_anthropic_too(self, contents: None) -> None:
        opened = [
            {
                "type": "content_block_start",
                "index": n,
                "content_block": {"type": "tool_use", "id": call[0], "name": call[1], "input": {}},
            }
            for n, call in enumerate(CALLS)
        ]
        said = [
            {
                "type": "content_block_delta",
                "index": n,
                "delta": {"type": "input_json_delta", "partial_json": call[2][at : at + 5]},
            }
            for at in range(0, 20, 5)
            for n, call in enumerate(CALLS)
        ]
        closed = [{"type": "content_block_stop", "index": n} for n in range(3)]
        usage = {"input_tokens": 9, "output_tokens": 5}
        body = anthropic_stream("claude-sonnet-4-6", usage, *opened, *said, *closed)
        record = ask(clients(body)[1], "claude-sonnet-4-6", stream=True)
        assert record.contents is not None
        (message,) = record.contents.output
        assert [(c["id"], c["name"], c["input"]) for c in message["content"]] == [
            (identifier, name, json.loads(arguments)) for identifier, name, arguments in CALLS
        ]


class TestPain18SlowImport:
    def test_pain_18_importing_takes_a_fraction_of_what_an_sdk_takes(self) -> None:
        """BerriAI/litellm#2677 (4.3 s). Both in one fresh process, so that a busy machine slows both."""
        program = (
            "import time; a = time.perf_counter(); import interlay; b = time.perf_counter(); "
            "import openai; print(b - a, time.perf_counter() - b)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        ours, theirs = map(float, done.stdout.split())
        assert ours < theirs / 3

    def test_pain_18_nothing_is_fetched_at_import_or_at_the_first_price(self) -> None:
        """Aider-AI/aider#3111: the start waited for a list of prices."""
        usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
        program = (
            "from interlay.testing import no_network\n"
            "with no_network() as refused:\n"
            "    import datetime, interlay\n"
            "    at = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)\n"
            f"    priced = interlay.cost.price({usage!r}, api='chat', model='gpt-4o-mini', at=at)\n"
            "    assert priced.amount, priced\n"
            "assert refused == [], refused\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        with no_network() as refused:
            ask(clients(openai_answer("gpt-4o-mini", usage))[0], "gpt-4o-mini", stream=False)
        assert refused == []


USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
ASKED: Any = {"model": "gpt-4o-mini", "messages": MESSAGES}
STREAMED: Any = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}


class TestPain25LoggedTwice:
    """BerriAI/litellm#5118 (streams that ask for usage), #14340 (sync and async call-backs both), #15740 (twice the
    spend). As many rows as requests, whichever door the program takes."""

    def test_pain_25_as_many_rows_as_requests(self, tmp_path: Path) -> None:
        observed: list[str] = []
        observer = interlay.Observe(lambda record: observed.append(record.id), inline=True)
        plain = Turn(body=openai_answer("gpt-4o-mini", USAGE))
        stream = Turn(body=openai_stream("gpt-4o-mini", USAGE))
        player = Player(turns=[plain, stream, plain, plain, plain, stream, 529, plain])
        client = openai.OpenAI(api_key="none", http_client=http(player), max_retries=1)
        interlay.wrap(interlay.wrap(client, observer), observer)
        aplayer = Player(turns=[plain, stream])
        interlay.setup(journal=tmp_path)
        try:
            with capture() as records:
                self.through_every_door(client)
                asyncio.run(self.awaited(aplayer, observer))
        finally:
            interlay.setup(journal=False)
        requests = len(player.requests) + len(aplayer.requests)
        assert requests == 10
        rows = [entry.record.id for entry in JournalReader(tmp_path).entries()]
        assert rows == observed == [record.id for record in records]
        assert len(set(rows)) == requests
        # The one that was sent again is one call, and billed once.
        assert len({record.call_id for record in records}) == requests - 1
        assert sum(cost(record) for record in records) == 9 * million((9, ".15"), (2, ".6"))

    def through_every_door(self, client: openai.OpenAI) -> None:
        client.chat.completions.create(**ASKED)
        list(client.chat.completions.create(**STREAMED))
        client.chat.completions.with_raw_response.create(**ASKED).parse()
        with client.chat.completions.with_streaming_response.create(**ASKED) as response:
            response.read()
        client.with_options(timeout=9).chat.completions.parse(**ASKED)
        with client.chat.completions.stream(**ASKED, stream_options={"include_usage": True}) as events:
            list(events)
        client.chat.completions.create(**ASKED)

    async def awaited(self, player: Player, observer: object) -> None:
        transport = transports(httpx2).asynchronous(player)
        async with openai.AsyncOpenAI(api_key="none", http_client=httpx2.AsyncClient(transport=transport)) as client:
            interlay.wrap(client, observer)
            await client.chat.completions.create(**ASKED)
            assert [chunk async for chunk in await client.chat.completions.create(**STREAMED)]
