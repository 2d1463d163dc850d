"""Run the examples of pages, each from top to bottom, as somebody would who types them: ``run_page.py PAGE...``.

Python blocks share one namespace, lines of shell that call ``interlay`` are run too, and YAML with a title is a file
of that name. A block of text titled
"Output" is what the block before it prints, but for what differs from run to run: times, ids, the lengths of bars,
and with them white space. Nothing leaves the machine: what goes to a provider is answered from recordings under the
SDK's own transport, the loopback is there, and everything else is refused.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
import textwrap
import traceback
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import anthropic  # noqa: F401 - once, for the children
import httpx2
import openai  # noqa: F401

import interlay.cli.root
from interlay.testing import Player, Recording, no_network, transports

ROOT = Path(__file__).parents[3]
CASSETTES = ROOT / "tests" / "recorded" / "cassettes"
PLAYED = (
    "openai-chat/openai-chat-plain-03",
    "openai-chat/openai-chat-stream-usage-01",
    "anthropic-messages/anthropic-plain-04",
    "anthropic-messages/anthropic-stream-04",
)
NOT_RUN = {"demo", "run", "--follow", "-f", "ID"}
VARYING = re.compile(
    r"\b\d{4}-\d\d-\d\d \d\d:\d\d\b|"
    r"\b\d\d:\d\d:\d\d\b|\b[\d.]+ m?s\b|\b[0-9a-f]{8,32}\b|\breq_\w+|\bbook [\d-]+|(?<= chunks, ).*|[█▏·]"
)
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<kind>\w+)(?P<info>[^\n]*)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)


class Screen(io.TextIOWrapper):
    """A terminal, as far as programs ask, that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        """What was written."""
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode()


class Block(NamedTuple):
    """One fenced block."""

    kind: str
    body: str
    line: int
    output: str | None
    """What the page says it prints."""
    title: str | None


def title(info: str) -> str | None:
    """What the page calls a block."""
    found = re.search(r'title="(.*?)"', info)
    return found[1] if found else None


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page that can be run."""
    text = page.read_text(encoding="utf-8")
    found = list(FENCE.finditer(text))
    for fence, following in zip_longest(found, found[1:]):
        if fence["kind"] not in ("python", "sh", "yaml"):
            continue
        output = None
        if following is not None and title(following["info"]) == "Output":
            output = textwrap.dedent(following["body"])
        line = text.count("\n", 0, fence.start()) + 1
        yield Block(fence["kind"], textwrap.dedent(fence["body"]), line, output, title(fence["info"]))


def answer_from_recordings() -> None:
    """Let httpx2, on which both SDKs stand, find the two providers in recordings."""
    player = Player([Recording.load(CASSETTES / f"{name}.json") for name in PLAYED])
    recorded = transports(httpx2)
    sync, asynchronous = recorded.sync(player), recorded.asynchronous(player)
    real_sync, real_asynchronous = httpx2.HTTPTransport, httpx2.AsyncHTTPTransport
    handle_sync, handle_asynchronous = real_sync.handle_request, real_asynchronous.handle_async_request

    def handle_request(self: Any, request: Any) -> Any:
        return sync.handle_request(request) if recorded_host(request) else handle_sync(self, request)

    async def handle_async_request(self: Any, request: Any) -> Any:
        if recorded_host(request):
            return await asynchronous.handle_async_request(request)
        return await handle_asynchronous(self, request)

    real_sync.handle_request = handle_request  # type: ignore[method-assign]
    real_asynchronous.handle_async_request = handle_async_request  # type: ignore[method-assign]


def recorded_host(request: Any) -> bool:
    """Whether a request goes to a provider."""
    return request.url.host in ("api.openai.com", "api.anthropic.com")


def lasting(text: str) -> str:
    """What is the same each time of what the command or a program prints."""
    return " ".join(VARYING.sub(" ", text).split())


def run(block: Block, page: Path, names: dict[str, Any]) -> None:
    """Run one block and compare what it prints. Raises ``AssertionError`` where it prints something else."""
    printed = Screen()
    with contextlib.redirect_stdout(printed):
        if block.kind == "python":
            code = "\n" * block.line + block.body  # so that a traceback names the page's own lines
            exec(compile(code, str(page), "exec"), names)
        elif block.kind == "sh":
            shell(block)
        elif block.title:
            Path(block.title).write_text(block.body, encoding="utf-8")
    if block.output is not None and lasting(block.output) != lasting(printed.text()):
        raise AssertionError(f"line {block.line} prints\n{printed.text()}and not\n{block.output}")


def shell(block: Block) -> None:
    """Run the lines of a block that call our command."""
    for line in block.body.splitlines():
        words = shlex.split(line, comments=True)
        if not words or words[0] != "interlay" or ("-h" not in words and not NOT_RUN.isdisjoint(words)):
            continue
        if "|" in words:
            words = words[: words.index("|")]
        code = interlay.cli.root.run(words[1:])
        if code:
            raise AssertionError(f"line {block.line}: {line!r} ends with {code}")


def main(page: Path) -> None:
    """Run a page."""
    answer_from_recordings()
    os.environ |= {"COLUMNS": "80", "NO_COLOR": "1"}
    os.environ |= {"OPENAI_API_KEY": "sk-made-up-for-the-docs", "ANTHROPIC_API_KEY": "sk-ant-made-up-for-the-docs"}
    names: dict[str, Any] = {"__name__": "__main__"}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), no_network():
        os.environ["INTERLAY_HOME"] = f"{folder}/home"
        for block in blocks(page):
            run(block, page, names)


def in_a_child(page: Path) -> bool:
    """Run a page in a process of its own, which need not import the SDKs again. Whether all went well."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    code = 1
    try:
        main(page)
        code = 0
    except BaseException:  # noqa: BLE001 - the parent's stack is not to be unwound here
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    went_well = [in_a_child(Path(page).resolve()) for page in sys.argv[1:]]
    sys.exit(not all(went_well))
