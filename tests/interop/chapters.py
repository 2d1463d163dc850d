"""What ``programs/story.py`` plays, the server it is played against, and what every telling has to show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlay.testing import Player, Recording, Server, Turn

ROOT = Path(__file__).parents[2]
CASSETTES = ROOT / "tests" / "recorded" / "cassettes"
GENERATORS = (
    r"async_generator object|Async generator '(openai|anthropic|http(x|core)2?)\."
    r"|async generator 'http(x|core)2?\.|asynchronous generator is already running"
)
# The SDKs warn of models that grow old.
STRICT = ("-X", "dev", "-W", "error", "-W", "ignore:The model:DeprecationWarning")
COLOURS = ("sync", "asyncio", "trio")
RECORDINGS = {
    ("openai", "plain"): "openai-chat/openai-chat-plain-03.json",
    ("openai", "stream"): "openai-chat/openai-chat-stream-usage-01.json",
    ("openai", "tools"): "openai-chat/openai-chat-tools-04.json",
    ("anthropic", "plain"): "anthropic-messages/anthropic-plain-01.json",
    ("anthropic", "stream"): "anthropic-messages/anthropic-stream-04.json",
    ("anthropic", "tools"): "anthropic-messages/anthropic-tools-01.json",
}


@dataclass(frozen=True)
class Chapter:
    """One call, and how each of its runs may end."""

    name: str
    recording: str
    ends: tuple[tuple[str, ...], ...]
    reader: str = "reads all"
    turns: tuple[Turn, ...] = (Turn(),)


CHAPTERS = [
    Chapter("plain", "plain", (("complete",),)),
    Chapter("streamed", "stream", (("complete",),)),
    Chapter("tool call", "tools", (("complete",),)),
    Chapter("abandoned", "stream", (("lost", "closed"),), reader="drops"),
    Chapter("closed", "stream", (("closed",),), reader="closes"),
    Chapter("cut", "stream", (("error",),), turns=(Turn(fault="cut", after=3),)),
    Chapter("failing", "plain", (("error",),), turns=(Turn(status=400),)),
    Chapter(
        "retried by the SDK",
        "plain",
        (("error",), ("complete",)),
        turns=(Turn(status=529, headers={"retry-after-ms": "1"}), Turn()),
    ),
]


def _exchange(sdk: str, name: str) -> Any:
    return Recording.load(CASSETTES / RECORDINGS[sdk, name]).exchanges[0]


def script(chapters: list[Chapter]) -> str:
    """What ``story.py`` reads: the chapters for both SDKs."""
    told = []
    for sdk in ("openai", "anthropic"):
        for chapter in chapters:
            body = _exchange(sdk, chapter.recording).request.body
            streamed = bool(body.get("stream"))
            told.append({"sdk": sdk, "arguments": body, "reader": chapter.reader, "streamed": streamed})
    return json.dumps(told)


@dataclass(frozen=True)
class Telling:
    """What one run of a program printed."""

    status: int
    told: dict[str, Any]
    errors: str

    def warned(self, colour: str) -> Counter[str]:
        """How often each warning was given, and each exception told of, on standard error."""
        _, _, errors = self.errors.partition(f"=== {colour}\n")
        found = [
            line
            for line in errors.partition("===")[0].splitlines()
            if re.match(r"\S*(Warning|Error|Exception)\b", line)
        ]
        return Counter(re.sub(r" at 0x[0-9a-f]+", "", line) for line in found)


def server(*turns: Turn) -> Server:
    """Plays what the stories ask for."""
    recordings = [Recording.load(CASSETTES / path) for path in RECORDINGS.values()]
    return Server(Player(recordings, turns=turns, coding="gzip"))


def program(
    name: str,
    *arguments: str | Path,
    python: str | Path = sys.executable,
    flags: tuple[str, ...] = STRICT,
    said: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run one of ``programs/`` in a process of its own, with every warning an error."""
    command = [python, *flags, Path(__file__).parent / "programs" / name, *arguments]
    environment = {**os.environ, "INTERLAY_HOME": os.devnull}
    done = subprocess.run(
        command, input=said, capture_output=True, text=True, check=False, timeout=180, cwd=ROOT, env=environment
    )
    # In its debug mode asyncio says which steps took a tenth of a second: on a busy machine, any of them.
    done.stderr = re.sub(r"(?m)^Executing <.* took [\d.]+ seconds\n", "", done.stderr)
    return done


def tell(
    python: str | Path = sys.executable,
    *,
    wrap: bool,
    colours: tuple[str, ...] = COLOURS,
    chapters: list[Chapter] = CHAPTERS,
) -> Telling:
    """Run the story, against a server in this process."""
    turns = [turn for chapter in chapters for turn in chapter.turns] * 2 * len(colours)
    with server(*turns) as playing:
        options = ["--wrap"] if wrap else []
        done = program("story.py", *options, playing.url, *colours, python=python, said=script(chapters))
    assert done.stdout, done.stderr
    return Telling(done.returncode, json.loads(done.stdout), done.stderr)


def _threads(story: Any) -> list[str]:
    """What is left of them, less our own runner and what trio keeps for ten seconds, in case it is wanted again."""
    return [name for name in story["left"]["threads"] if name != "interlay" and not name.startswith("Trio thread")]


def check(bare: Telling, wrapped: Telling, chapters: list[Chapter] = CHAPTERS) -> None:
    """The two runs are equal in all that a program can see, warnings too, and each run of the chain left its record."""
    assert (bare.status, wrapped.status) == (0, 0), wrapped.errors
    assert "interlay" not in wrapped.errors
    assert "interlay" not in bare.told["imported"]
    for colour, story in wrapped.told["stories"].items():
        was = bare.told["stories"][colour]
        assert story["told"] == was["told"]
        assert story["left"]["sockets"] == was["left"]["sockets"] == 0
        assert _threads(story) == _threads(was)
        if colour != "trio":
            assert wrapped.warned(colour) == bare.warned(colour), wrapped.errors
        else:
            # Under trio the SDKs and the HTTP libraries leave generators behind. Which of them is collected first,
            # and what is said of it, differs from run to run, bare too.
            assert [line for line in wrapped.warned(colour) if not re.search(GENERATORS, line)] == []
    each = [ends for chapter in chapters for ends in chapter.ends]
    expected = each * 2 * len(wrapped.told["stories"])
    records = sorted(wrapped.told["records"], key=lambda record: record["started_at"])
    assert len(records) == len(expected), [record["end"] for record in records]
    for record, ends in zip(records, expected, strict=True):
        assert record["end"] in ends, record
