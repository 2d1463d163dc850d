"""Calls under what machines do to the journal: kill -9, a full disk, a place that cannot be written."""

from __future__ import annotations

import json
import logging
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

import interlay
from interlay.chain.journal import Journal
from interlay.entry import process
from interlay.telemetry.journal import JournalReader
from interlay.testing import Provider, transports
from interlay.testing.player import Player
from interlay.testing.recordings import Recording

CALLS = 1000
RECORDINGS = Path(__file__).parents[1] / "recorded" / "cassettes" / "openai-chat"
STREAM = Recording.load(RECORDINGS / "openai-chat-stream-usage-01.json")
PLAIN = Recording.load(RECORDINGS / "openai-chat-plain-03.json")
MESSAGES: Any = [{"role": "user", "content": "hi"}]
MODEL = "gpt-4o-mini"

# Makes 1,000 calls, half of them streamed, on four threads or in twenty tasks. Says which have returned.
CALLER = """
import asyncio, os, sys
from concurrent.futures import ThreadPoolExecutor
import httpx2, openai
import interlay

url, how = sys.argv[1:]
me = str(os.getpid())
interlay.setup()
usage = {"stream": True, "stream_options": {"include_usage": True}}
asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}

def returned(n):
    os.write(1, b"%d\\n" % n)

def call(n):
    with interlay.using(tenant=me, session=str(n)):
        if n % 2:
            client.chat.completions.create(**asked)
        else:
            for _ in client.chat.completions.create(**asked, **usage): pass
    returned(n)

async def acall(n, gate):
    async with gate:
        with interlay.using(tenant=me, session=str(n)):
            if n % 2:
                await client.chat.completions.create(**asked)
            else:
                async for _ in await client.chat.completions.create(**asked, **usage): pass
        returned(n)

async def main():
    gate = asyncio.Semaphore(20)
    await asyncio.gather(*(acall(n, gate) for n in range(1000)))

options = {"api_key": "none", "base_url": url, "max_retries": 0, "timeout": 60.0}
if how == "threads":
    client = interlay.wrap(openai.OpenAI(http_client=httpx2.Client(verify=False), **options))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(call, range(1000)))
else:
    client = interlay.wrap(openai.AsyncOpenAI(http_client=httpx2.AsyncClient(verify=False), **options))
    asyncio.run(main())
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider([STREAM, PLAIN]) as provider:
        yield provider


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["threads", "tasks"])
def test_every_call_that_returned_survives_kill_9(
    how: str, provider: Provider, tmp_path: Path, rng: random.Random
) -> None:
    """Killed at random moments; each process takes over the folder from the one killed before."""
    environment = {**os.environ, "INTERLAY_HOME": str(tmp_path)}
    returned: dict[int, set[str]] = {}
    for moment in (rng.randrange(1, 50), rng.randrange(50, CALLS)):
        command = [sys.executable, "-c", CALLER, provider.openai_url, how]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(moment)]
        child.kill()
        said += child.stdout.readlines()
        child.stdout.close()
        child.wait()
        assert all(said), "it died of something else"
        returned[child.pid] = {line.decode().strip() for line in said}
        assert moment <= len(returned[child.pid]) < CALLS

    reader = JournalReader(tmp_path / "journal")
    found: dict[int, list[str]] = {pid: [] for pid in returned}
    for entry in reader.entries():
        assert entry.record.end == "complete"
        assert entry.record.usage is not None
        who = entry.record.identity
        found[int(who.tenant or 0)].append(who.session or "")
    assert reader.counts.damaged == 0
    for pid, sessions in returned.items():
        assert len(set(found[pid])) == len(found[pid])
        assert sessions <= set(found[pid])
        # Written, and killed before it could say so: at most what was under way at once.
        assert len(found[pid]) - len(sessions) <= 20
    listed = subprocess.run(
        [sys.executable, "-m", "interlay", "calls", "--json", "-n", "5"],
        capture_output=True,
        env=environment,
        check=True,
    )
    assert len(json.loads(listed.stdout)) == 5


Trouble = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KB, where the tests may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting takes rights that this user has not")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The journal's clock, by which it looks once a second whether its place works again."""
    now = [100.0]
    monkeypatch.setattr("interlay.chain.journal.monotonic", lambda: now[0])
    return now


@pytest.fixture(autouse=True)
def _no_journal_afterwards() -> Iterator[None]:
    yield
    interlay.setup(journal=False)


class Calls:
    """A wrapped client, whose answers are compared with those of a bare one."""

    def __init__(self) -> None:
        self.client = interlay.wrap(self._client())
        bare = self._client()
        self.expected = (self.plain(bare), self.streamed(bare))
        self.made = 0

    @staticmethod
    def _client() -> openai.OpenAI:
        player = Player([STREAM, PLAIN])
        http = httpx2.Client(transport=transports(httpx2).sync(player))
        return openai.OpenAI(api_key="none", http_client=http, max_retries=0)

    @staticmethod
    def plain(client: openai.OpenAI) -> str:
        return client.chat.completions.create(model=MODEL, messages=MESSAGES).to_json()

    @staticmethod
    def streamed(client: openai.OpenAI) -> list[str]:
        return [c.to_json() for c in client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)]

    def make(self, number: int) -> None:
        for _ in range(number // 2):
            assert (self.plain(self.client), self.streamed(self.client)) == self.expected
        self.made += number


def suffer(place: Path, trouble: Trouble, clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """Calls before, during and after a trouble: all return, one line says what is wrong, another when it is over."""
    caplog.set_level(logging.INFO, "interlay")
    interlay.setup(journal=place)
    journal = process.recorder.journal
    assert isinstance(journal, Journal)
    calls = Calls()
    calls.make(4)
    written = calls.made - journal.dropped
    with trouble():
        for _ in range(6):
            clock[0] += 0.7  # long enough for it to look again several times
            calls.make(10)
        reason: str | None = journal.trouble
        assert reason is not None
    dropped = journal.dropped
    assert dropped > 0
    clock[0] += 1.5
    calls.make(4)
    assert journal.dropped == dropped
    reason = journal.trouble
    assert reason is None
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "cannot be written" in caplog.messages[0]
    assert f"{dropped} records were dropped" in caplog.messages[1]
    reader = JournalReader(place)
    found = list(reader.entries())
    assert len(found) == calls.made - dropped >= written
    assert reader.counts.missed == dropped
    assert reader.counts.damaged == 0
    assert all(entry.record.end == "complete" for entry in found)


def test_a_full_disk(disk: Path, clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    @contextmanager
    def full() -> Iterator[None]:
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            while shutil.disk_usage(disk).free:
                file.write(b"x" * 4096)
        yield
        ballast.unlink()

    suffer(disk / "j", full, clock, caplog)


def test_a_limit_on_files_that_leaves_no_room(
    tmp_path: Path, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """What a full disk looks like to somebody who may not mount one."""

    @contextmanager
    def limited() -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    suffer(tmp_path / "j", limited, clock, caplog)


def test_a_place_that_is_read_only(disk: Path, clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    @contextmanager
    def read_only() -> Iterator[None]:
        journal = process.recorder.journal
        assert isinstance(journal, Journal)
        journal._release()  # as long as a file is open for writing, its disk cannot be made read-only
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        yield
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)

    suffer(disk / "j", read_only, clock, caplog)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_ours(tmp_path: Path, clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    @contextmanager
    def locked() -> Iterator[None]:
        journal = process.recorder.journal
        assert isinstance(journal, Journal)
        journal._release()
        journal.path.chmod(0o500)
        yield
        journal.path.chmod(0o700)

    suffer(tmp_path / "j", locked, clock, caplog)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_segment_that_cannot_be_written(tmp_path: Path, clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    """One bad segment costs the record it met and what comes until the next look; another one is begun then."""
    caplog.set_level(logging.INFO, "interlay")
    interlay.setup(journal=tmp_path / "j")
    journal = process.recorder.journal
    assert isinstance(journal, Journal)
    calls = Calls()
    calls.make(4)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, journal._fd)
    os.close(full)
    calls.make(10)
    assert (journal.dropped, journal.trouble) == (10, "No space left on device")
    clock[0] += 1.5
    calls.make(4)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    reader = JournalReader(tmp_path / "j")
    assert len(list(reader.entries())) == 8
    assert reader.counts.missed == 10
