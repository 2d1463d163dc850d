"""``interlay show``: one call in full."""

from __future__ import annotations

import time
from typing import Final

import click
import msgspec

from interlay.cli.options import CONTEXT, Failed, Settings, common, with_examples
from interlay.cli.render import call_lines, calls_table
from interlay.cli.source import Source
from interlay.cli.terminal import Terminal

_CANDIDATES: Final = 10


@click.command(
    context_settings=CONTEXT,
    help=with_examples(
        "Show one call: its attempts, its timing, its cost. ID is an id, the beginning of one, or @last.",
        ("interlay show @last", "the latest call"),
        ("interlay show 3f9a", "the call whose id begins so"),
        ("interlay show @last --messages", "with what was said"),
    ),
)
@click.argument("call", metavar="ID")
@click.option("--messages", is_flag=True, help="What was said, where the program kept it.")
@click.option("--json", "as_json", is_flag=True, help="The call's records as JSON: one list.")
@click.option("--journal", metavar="PATH", help="Another journal than the usual one.")
@common
def command(settings: Settings, *, call: str, messages: bool, as_json: bool, journal: str | None) -> int:
    """Show one call."""
    terminal, source = Terminal(settings), Source(journal)
    if not call:
        raise click.BadParameter("an id, the beginning of one, or @last")
    found = source.find(call)
    source.tell(terminal)
    if not found:
        what = "there is no call" if call == "@last" else f"no call begins with {call!r}"
        raise Failed(f"{what} in {source.reader.path}", help=source.near(call), exit_code=1)
    if len(found) > 1:
        newest = sorted(found, key=lambda each: each.started_at)[-_CANDIDATES:]
        for line in calls_table(newest, terminal.looks, time.time()).lines():
            click.echo(line.plain, err=True)
        raise Failed(f"{len(found)} calls begin with {call!r}", help="give more of the id", exit_code=2)
    if as_json:
        listed = [source.json(record, messages=messages) for record in found[0].records]
        terminal.write(msgspec.json.encode(listed))
    else:
        terminal.print(call_lines(source.family(found[0]), terminal.looks, messages=messages))
    return 0
