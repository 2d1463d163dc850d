"""``interlay demo``: what interlay shows of your calls, with no key and no network."""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from rich.text import Text

from interlay.cli import words
from interlay.cli.options import CONTEXT, Settings, common, with_examples
from interlay.cli.render import ID_DIGITS, call_tree
from interlay.cli.story import tell
from interlay.cli.table import ascii_only
from interlay.cli.terminal import Terminal
from interlay.entry.process import setup
from interlay.model.cost import total
from interlay.telemetry.calls import FoldedCall, fold

_HELLO: Final = "Two real SDKs and an HTTP client, wrapped, against a provider on this machine: no key, no network."
_PASTE: Final = """\
Three lines for your own program:

    import interlay
    interlay.setup()                    # a journal, for `interlay calls`
    client = interlay.wrap(OpenAI())    # or Anthropic(), sync or async
"""


@click.command(
    "demo",
    context_settings=CONTEXT,
    help=with_examples(
        "Make eighteen calls against a local provider, with two real SDKs and an HTTP client, and show what was "
        "recorded.\n\n"
        "Takes some five seconds; needs no key and no network. The records go to the usual journal.",
        ("interlay demo", "the story, call by call"),
        ("interlay calls", "the same calls afterwards, as a table"),
    ),
)
@common
def command(settings: Settings) -> None:
    """Tell the story, a tree for each call, and what it came to."""
    # Whatever the environment says of collectors and contents: the demo stays on this machine.
    setup(contents=False, export=False, prometheus=False, tracer_provider=False, meter_provider=False)
    terminal = Terminal(settings)
    told: list[FoldedCall] = []
    terminal.print([Text(_HELLO, style="dim"), Text()])
    for title, records in tell():
        calls = sorted(fold(records), key=lambda call: call.started_at)
        told += calls
        trees = [line for call in calls for line in call_tree(call, terminal.looks)]
        terminal.print([_plain(Text(title, style="bold"), terminal), *trees, Text()])
    terminal.print([_plain(line, terminal) for line in (*_sums(told), Text())])
    if not settings.quiet:
        terminal.print([*_onward(told), Text(), *map(Text, _PASTE.splitlines())])


def _plain(line: Text, terminal: Terminal) -> Text:
    return line if terminal.looks.unicode else ascii_only(line)


def _sums(calls: Sequence[FoldedCall]) -> list[Text]:
    """What the calls came to, and what interlay itself took of it."""
    costs = [call.cost for call in calls if call.cost is not None and call.cost.amount is not None]
    spent = words.dollars(total(cost.amount for cost in costs if cost.amount is not None))
    about = "~" if any(cost.estimated for cost in costs) else ""
    into = sum(call.input_tokens or 0 for call in calls)
    out = sum(call.output_tokens or 0 for call in calls)
    took = sum(call.duration for call in calls)
    own = [sum(record.overhead for record in call.records) for call in calls]
    return [
        Text.assemble(
            (f"{len(calls)} calls", "bold"), f", {sum(len(call.sends) for call in calls)} requests · ",
            f"{into:,} > {out:,} tokens reported · ", (f"{about}{spent}", "bold"),
        ),
        Text(f"{words.duration(took)}, of which {words.duration(sum(own))} were interlay's own "
             f"({words.duration(statistics.median(own))} at the median)"),
    ]  # fmt: skip


def _onward(calls: Sequence[FoldedCall]) -> list[Text]:
    """What to type next, as it can be typed here."""
    most = max(calls, key=lambda call: (call.retries, call.started_at))
    lines = ((f"show {most.id[:ID_DIGITS]}", f"where its {words.duration(most.duration)} and its money went"),
             ("calls", "all of them in a table"))  # fmt: skip
    width = max(len(arguments) for arguments, _ in lines)
    name = _name()
    return [Text.assemble("  ", (f"{name} {arguments:<{width}}", "cyan"), f"   {what}") for arguments, what in lines]


def _name() -> str:
    """What the command is to be called by, which need not be on the ``PATH``."""
    if shutil.which("interlay"):
        return "interlay"
    program = Path(sys.argv[0])
    if program.stem != "interlay":
        return f"{Path(sys.executable).name} -m interlay"
    return os.path.relpath(program) if program.is_relative_to(Path.cwd()) else str(program)
