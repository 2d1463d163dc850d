"""``interlay demo``: what interlay shows of your calls, with no key and no network."""

from __future__ import annotations

import click
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from interlay.cli.story import tell
from interlay.entry.process import setup
from interlay.model.record import Record

_SHOWN = {
    "complete": ("green", "✓ complete"),
    "closed": ("yellow", "◦ reader closed it"),
    "lost": ("yellow", "◦ reader dropped it"),
    "cancelled": ("yellow", "◦ cancelled"),
}
_NEXT = """\
Three lines for your own program:

    import interlay
    interlay.setup()                    # a journal for `interlay calls`
    client = interlay.wrap(OpenAI())    # or Anthropic(), sync or async
"""


@click.command("demo")
def command() -> None:
    """Two real SDKs, wrapped, against a local provider: a story of eight calls.

    Takes about five seconds. Records go to the journal, so `interlay calls` shows them afterwards.
    """
    setup()
    console = Console(highlight=False)
    console.print("Two real SDKs, wrapped, against a local provider that plays recordings.\nNo key, no network.\n")
    told: list[Record] = []
    for title, records in tell():
        told += records
        console.print(_tree(title, records))
    console.print(_sums(told))
    console.print(_NEXT, end="", markup=False)


def _tree(title: str, records: list[Record]) -> Tree:
    """One call: a branch for each send, whoever repeated it."""
    last = records[-1]
    tree = Tree(Text.assemble((title, "bold"), f"  {last.served_model or last.model}"), guide_style="dim")
    for record in records:
        for number, attempt in enumerate(record.attempts):
            failed = attempt.error is not None
            end = number + 1 == len(record.attempts)
            style, word = _SHOWN.get(record.end, ("red", f"✗ {record.error.type if record.error else record.end}"))
            if failed and not end and attempt.error is not None:
                style, word = "red", f"✗ {attempt.status or ''} {attempt.error.type}"
            elif failed and attempt.status is not None and attempt.status >= 400:
                style, word = "red", f"✗ {attempt.status} {record.error.type if record.error else ''}"
            tree.add(Text.assemble((word, style), f"  {_seconds(attempt.seconds)}"))
            if number < len(record.verdicts):
                tree.add(Text(f"↻ waited {_seconds(record.verdicts[number].seconds)}, then sent again", style="dim"))
    tree.add(Text(_facts(last)))
    return tree


def _facts(record: Record) -> str:
    usage, cost = record.usage, record.cost
    tokens = f"{usage.input_tokens} > {usage.output_tokens} tok" if usage is not None else "tokens estimated"
    if cost is None or cost.amount is None:
        money = "cost unknown"
    else:
        money = f"{'~' if cost.estimated else ''}${cost.amount:f}"
    first = f"  first token {_seconds(record.time_to_first_event)}" if record.time_to_first_event is not None else ""
    return f"{tokens}  {money}{first}  interlay {record.overhead * 1e3:.1f} ms"


def _sums(records: list[Record]) -> Text:
    amounts = [record.cost.amount for record in records if record.cost is not None and record.cost.amount is not None]
    calls = len({record.call_id for record in records})
    sends = sum(len(record.attempts) for record in records)
    overhead = sorted(record.overhead for record in records)[len(records) // 2]
    return Text(
        f"\n{calls} calls, {sends} sends, spent ~${sum(amounts):f}; interlay added {overhead * 1e6:.0f} µs to the "
        "middle one\n"
    )


def _seconds(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"
