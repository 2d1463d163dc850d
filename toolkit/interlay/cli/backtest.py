"""``interlay backtest``: what another configuration would have done about the calls that were made."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click
import msgspec

from interlay.cli import plot as plots
from interlay.cli.check import configured
from interlay.cli.comparison import comparison, lines
from interlay.cli.options import CONTEXT, Settings, common, since, with_examples
from interlay.cli.source import Source
from interlay.cli.terminal import Terminal
from interlay.layers.rehearsal import Backtest

_ROW: Final = 4_096
"""Records that are read before what was kept of them is let go."""


@click.command(
    "backtest",
    context_settings=CONTEXT,
    help=with_examples(
        "Lead recorded calls through the decisions of another configuration. Nothing is sent.\n\n"
        "CONFIG is a file as `interlay check` takes it. Of its layers those that can be rehearsed decide; the others "
        "let all pass.",
        ("interlay backtest interlay.yaml", "what it would have answered, and saved"),
        ("interlay backtest new.yaml --since 7d --plot week.svg", "the last week, and a picture of it"),
    ),
)
@click.argument("config", metavar="CONFIG")
@click.option("--journal", metavar="PATH", help="Another journal than the usual one.")
@click.option("--since", metavar="WHEN", callback=since, help="Not older than 90s, 1h30m, 2d, or a date.")
@click.option("--plot", metavar="FILE", help="Draw hits and money over time, as .svg or .png.")
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON: one document.")
@common
def command(
    settings: Settings, *, config: str, journal: str | None, since: float | None, plot: str | None, as_json: bool
) -> None:
    """Compare what was done with what would have been."""
    terminal, source = Terminal(settings), Source(journal)
    if plot is not None:
        plots.check(plot)
    test = Backtest(configured(config)[1].chain().layers)
    run(test, source, since)
    if as_json:
        document: dict[str, Any] = {"config": config, "journal": str(source.reader.path), **comparison(test)}
        terminal.write(msgspec.json.encode(document))
    elif test.then.calls:
        terminal.print(lines(test, config, terminal.looks))
    else:
        terminal.hint(f"no calls in {source.reader.path}" if since is None else "no calls since then")
    if plot is not None and test.then.calls:
        Path(plot).write_bytes(plots.draw(test.timeline, plots.kind(plot)))
        terminal.hint(f"drawn: {plot}")
    source.tell(terminal)


def run(test: Backtest, source: Source, since: float | None) -> None:
    """Feed a journal's records to a backtest."""
    for number, record in enumerate(source.records(source.reader.entries(since=since))):
        test.feed(record)
        if number % _ROW == 0:
            source.raw.clear()
    test.finish()
