"""``interlay calls``: what was called."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Final

import click
import msgspec

from interlay.cli.options import CONTEXT, Settings, common, since, with_examples
from interlay.cli.render import call_row, calls_table
from interlay.cli.source import Filter, Source, nothing
from interlay.cli.terminal import Terminal
from interlay.model.record import Record
from interlay.telemetry.calls import FoldedCall

_REMEMBERED: Final = 1_000
"""Calls of which ``--follow`` keeps the records, to fold a late one in."""


@click.command(
    context_settings=CONTEXT,
    help=with_examples(
        "List the calls that were made, the newest last.",
        ("interlay calls --since 1h --failed", "what went wrong in the last hour"),
        ("interlay calls --follow", "each call as it ends"),
        ("interlay calls --json | jq '.[].cost.amount'", "for programs"),
    ),
)
@click.option("-f", "--follow", is_flag=True, help="Go on with each call as it ends.")
@click.option("--since", metavar="WHEN", callback=since, help="Not older than 90s, 1h30m, 2d, or a date.")
@click.option("--model", metavar="M", help="Asked for or served: a beginning, or a pattern with *.")
@click.option("--user", metavar="U", help="Made for this user.")
@click.option("--session", metavar="S", help="Belonging to this conversation.")
@click.option("--tag", metavar="T", help="Carrying this tag.")
@click.option("--failed", is_flag=True, help="Ended in an error.")
@click.option("-n", "--limit", default=50, show_default=True, type=click.IntRange(0), help="At most; 0 for all.")
@click.option("--records", is_flag=True, help="A row for each record: an SDK's retries on their own.")
@click.option("--json", "as_json", is_flag=True, help="The records as JSON: one list, or with --follow one a line.")
@click.option("--journal", metavar="PATH", help="Another journal than the usual one.")
@common
def command(
    settings: Settings,
    *,
    follow: bool,
    limit: int,
    records: bool,
    as_json: bool,
    journal: str | None,
    **wanted: object,
) -> None:
    """List the calls that were made, the newest last."""
    terminal, source = Terminal(settings), Source(journal, to_come=follow)
    chosen = msgspec.convert(wanted, Filter)
    # The tail is taken first, so that nothing falls between what stands and what comes.
    tail = source.reader.tail() if follow else None
    calls, more = source.newest(chosen, limit)
    seen = {record.id for call in calls for record in call.records}
    rows = [FoldedCall([record]) for call in calls for record in call.records] if records else calls
    if as_json:
        listed = [source.json(record) for call in calls for record in call.records]
        for each in listed if follow else [listed]:
            terminal.write(msgspec.json.encode(each))
    else:
        table = calls_table(rows, terminal.looks, time.time(), growing=follow)
        if rows or follow:
            terminal.print(table.lines())
        if follow:
            terminal.hint("each call as it ends; Ctrl-C ends this")
        elif not rows:
            nothing(terminal, source, chosen)
    if more:
        terminal.hint(f"the last {limit}; --limit 0 lists all")
    source.tell(terminal)
    if tail is None:
        return
    known = OrderedDict((call.id, call) for call in calls)
    while True:
        for record in source.records(tail.read()):
            if record.id in seen:
                continue
            call = _joined(known, record)
            if not chosen(call):
                pass
            elif as_json:
                terminal.write(msgspec.json.encode(source.json(record)))
            else:
                row = FoldedCall([record]) if records else call
                terminal.print([table.line(call_row(row, terminal.looks, time.time()))])
            source.raw.clear()
        time.sleep(0.25)


def _joined(known: OrderedDict[str, FoldedCall], record: Record) -> FoldedCall:
    """The call as far as it is known with this record, which may continue an earlier one."""
    before = known.pop(record.call_id, None)
    call = known[record.call_id] = FoldedCall([*(before.records if before else ()), record])
    if len(known) > _REMEMBERED:
        known.popitem(last=False)
    return call
