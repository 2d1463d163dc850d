"""One wrapped client, many callers: as many records as calls, and none of them mixed up. And two processes of one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import openai
import pytest

import interlay
from interlay.telemetry.journal import JournalReader
from interlay.testing import capture

CALLERS = 64
CALLS = 6
"""Of each caller."""


class Echo(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Answers with what it is asked: the number in the prompt is the answer's id and its input tokens. Every fifth is
    told to come again, once."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._lock = threading.Lock()

    def answer(self, request: httpx2.Request, body: bytes) -> httpx2.Response:
        asked = json.loads(body)
        number = int(asked["messages"][0]["content"])
        with self._lock:
            again = number % 5 == 0 and number not in self._seen
            self._seen.add(number)
        if again:
            return httpx2.Response(529, headers={"retry-after-ms": "1"}, json={"error": {"message": "busy"}})
        usage = {"prompt_tokens": number, "completion_tokens": 2, "total_tokens": number + 2}
        head = {"id": f"c{number}", "created": 1, "model": "gpt-4o-mini"}
        if not asked.get("stream"):
            message = {"role": "assistant", "content": str(number)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            return httpx2.Response(200, json={**head, "object": "chat.completion", "choices": [choice], "usage": usage})
        head["object"] = "chat.completion.chunk"
        delta = {"index": 0, "delta": {"content": str(number)}, "finish_reason": "stop"}
        chunks = [json.dumps({**head, "choices": [delta]}), json.dumps({**head, "choices": [], "usage": usage})]
        events = [f"data: {chunk}\n\n".encode() for chunk in (*chunks, "[DONE]")]
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces(events))

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return self.answer(request, request.read())

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        await anyio.lowlevel.checkpoint()
        return self.answer(request, body)


class Pieces(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """Events cut in two, with room for others in between."""

    def __init__(self, events: list[bytes]) -> None:
        self._pieces = [piece for event in events for piece in (event[:20], event[20:]) if piece]

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await anyio.lowlevel.checkpoint()
            yield piece


def arguments(number: int) -> dict[str, Any]:
    asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": str(number)}]}
    return {**asked, "stream": True} if number % 2 else asked


def check(records: list[interlay.Record]) -> None:
    numbers = [caller * CALLS + call for caller in range(CALLERS) for call in range(CALLS)]
    done = {record.response.id: record for record in records if record.end == "complete" and record.response}
    assert len({record.id for record in records}) == len(records)
    again = [number for number in numbers if number % 5 == 0]
    assert Counter(record.end for record in records) == {"complete": len(numbers), "error": len(again)}
    assert len({record.call_id for record in records}) == len(numbers)
    by_call: dict[str, list[interlay.Record]] = {}
    for record in records:
        by_call.setdefault(record.call_id, []).append(record)
    for number in numbers:
        record = done[f"c{number}"]
        assert record.usage is not None
        assert (record.usage.input_tokens, record.usage.output_tokens) == (number, 2)
        assert record.streamed is bool(number % 2)
        runs = by_call[record.call_id]
        assert len(runs) == (2 if number % 5 == 0 else 1)
        for run in runs:
            assert (run.identity.user, run.identity.session) == (f"u{number // CALLS}", f"s{number}")


def test_64_threads() -> None:
    client = interlay.wrap(openai.OpenAI(api_key="none", http_client=httpx2.Client(transport=Echo()), max_retries=1))
    begin = threading.Barrier(CALLERS)
    failed: list[BaseException] = []

    def caller(who: int) -> None:
        try:
            begin.wait()
            with interlay.using(user=f"u{who}"):
                for number in range(who * CALLS, (who + 1) * CALLS):
                    with interlay.using(session=f"s{number}"):
                        answer = client.chat.completions.create(**arguments(number))
                        if number % 2:
                            assert [chunk.id for chunk in answer] == [f"c{number}"] * 1
                        else:
                            assert answer.id == f"c{number}"
        except BaseException as error:  # noqa: BLE001 - raised below, where the test sees it
            failed.append(error)

    threads = [threading.Thread(target=caller, args=(who,)) for who in range(CALLERS)]
    with capture() as records:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failed == []
    check(records)


def test_64_tasks() -> None:
    async def main() -> None:
        http = httpx2.AsyncClient(transport=Echo())
        client = interlay.wrap(openai.AsyncOpenAI(api_key="none", http_client=http, max_retries=1))

        async def caller(who: int) -> None:
            with interlay.using(user=f"u{who}"):
                for number in range(who * CALLS, (who + 1) * CALLS):
                    with interlay.using(session=f"s{number}"):
                        answer: Any = await client.chat.completions.create(**arguments(number))
                        if number % 2:
                            assert [chunk.id async for chunk in answer] == [f"c{number}"]
                        else:
                            assert answer.id == f"c{number}"

        await asyncio.gather(*map(caller, range(CALLERS)))
        await client.close()

    with capture() as records:
        asyncio.run(main())
    check(records)


# A process that forks in the middle of a stream, after its first calls. The child lets go of the stream.
FORK = """
import gc, json, os, sys, threading
import httpx2, openai
import interlay
from tests.unit.entry.test_concurrency import Echo, arguments

folder = sys.argv[1]
interlay.setup(journal=folder)
http = httpx2.Client(transport=Echo())
client = interlay.wrap(openai.OpenAI(api_key="none", http_client=http, max_retries=0))

def runners():
    return [thread.ident for thread in threading.enumerate() if thread.name == "interlay"]

def call(n):
    with interlay.using(session=f"s{n}", tenant=str(os.getpid())):
        client.chat.completions.create(**arguments(n))

for n in range(2, 22, 2):
    if n % 5: call(n)
stream = client.chat.completions.create(**arguments(1))
before = len(interlay.last())
pid = os.fork()
if not pid:
    stream = None
    gc.collect()
    inherited = len(interlay.last())
    for n in range(102, 122, 2):
        if n % 5: call(n)
    flushed = interlay.flush()
    told = {"inherited": inherited, "mine": len(interlay.last()), "runners": len(runners()), "done": flushed.done}
    sys.stdout.write(json.dumps(told))
    sys.stdout.flush()
    sys.exit(0)
os.waitpid(pid, 0)
print()
chunks = [chunk.id for chunk in stream]
call(22)
interlay.flush()
records = interlay.last()
print(json.dumps({"chunks": chunks, "ends": [r.end for r in records[:2]], "before": before, "mine": len(records),
                  "runners": len(runners()), "me": os.getpid(), "child": pid}))
"""


@pytest.mark.timeout(300)
def test_fork_after_first_use(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "dev", "-W", "ignore:This process:DeprecationWarning", "-c", FORK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    child, parent = map(json.loads, done.stdout.splitlines())
    assert child == {"inherited": 0, "mine": 8, "runners": 1, "done": True}
    assert parent["chunks"] == ["c1"]
    assert parent["ends"] == ["complete", "complete"]
    assert (parent["before"], parent["mine"], parent["runners"]) == (8, 10, 1)
    # Each has written a segment of its own, and the stream was recorded by the one that read it.
    written: dict[str, list[str | None]] = {}
    for entry in JournalReader(tmp_path).entries():
        written.setdefault(entry.segment, []).append(entry.record.identity.tenant)
    tenants = [set(each) - {None} for each in written.values()]
    assert sorted(map(len, written.values())) == [8, 10]
    assert tenants in ([{str(parent["me"])}, {str(parent["child"])}], [{str(parent["child"])}, {str(parent["me"])}])
