"""``interlay cache``: what caches did, and what their stores hold."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from interlay.cli.options import CONTEXT, Failed, Settings, age, common, since, with_examples

if TYPE_CHECKING:
    from interlay.cli.stored import Held
    from interlay.cli.terminal import Terminal

_KEY: Final = re.compile(r"[0-9a-f]{4,64}")
_WHOLE_KEY: Final = 64
_STORE: Final = "memory:64MB is a process's own; disk:PATH and redis://HOST are shared"


@click.group(
    "cache",
    context_settings=CONTEXT,
    invoke_without_command=True,
    help=with_examples(
        "See what caches did, forget what they keep, or fill them beforehand.",
        ("interlay cache stats --since 1d", "hits and misses, why, and what was saved"),
        ("interlay cache forget --tag t --store disk:answers", "forget what has a tag"),
        ("interlay cache warm questions.jsonl", "ask beforehand"),
    ),
)
@common
def command(settings: Settings) -> None:
    """Without a subcommand, say which there are."""
    context = click.get_current_context()
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _where(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say which store."""
    function = click.option("--config", metavar="FILE", help="The store of this configuration's cache.")(function)
    return click.option("--store", metavar="SPEC", help="A store: disk:PATH, redis://HOST/0, …")(function)


@command.command(
    "stats",
    context_settings=CONTEXT,
    short_help="Say what caches did, and what a store holds.",
    help=with_examples(
        "Say what caches did, by the journal; and what a store holds, if one is named.",
        ("interlay cache stats --since 1d", "the last day"),
        ("interlay cache stats --store disk:answers", "and what is kept there"),
    ),
)
@click.option("--journal", metavar="PATH", help="Another journal than the usual one.")
@click.option("--since", metavar="WHEN", callback=since, help="Not older than 90s, 1h30m, 2d, or a date.")
@click.option("--model", metavar="M", help="Of this model: a beginning, or a pattern with *.")
@_where
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON: one document.")
@common
def stats(
    settings: Settings,
    *,
    journal: str | None,
    since: float | None,
    model: str | None,
    store: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """Sum look-ups up."""
    import msgspec

    from interlay.cli.lookups import Lookups, lines
    from interlay.cli.source import Source, is_like
    from interlay.cli.terminal import Terminal

    terminal, source, found = Terminal(settings), Source(journal), Lookups()
    for record in source.records(source.reader.entries(since=since)):
        source.raw.clear()
        if model is None or is_like(record.model, model) or is_like(record.served_model, model):
            found.add(record)
    some = bool(found.all.lookups or found.shadows)
    if some and not as_json:
        terminal.print(lines(found, terminal.looks))
    held: list[Held] = []
    if store or config:
        from interlay.cli.stored import held_lines, holdings

        held = holdings(store, config)
        if not as_json:
            terminal.print(held_lines(held, terminal.looks, after=some))
    elif not some and not as_json:
        _nothing(terminal, found.calls)
    if as_json:
        document = {"journal": str(source.reader.path), **found.told(), "stores": [each.told() for each in held]}
        terminal.write(msgspec.json.encode(document))
    source.tell(terminal)


def _nothing(terminal: Terminal, calls: int) -> None:
    if calls:
        terminal.hint(f"none of {calls:,} calls had a cache")
        terminal.hint("help: interlay.wrap(client, interlay.Cache()) puts one under a client")
    else:
        terminal.hint("no calls")


@command.command(
    "forget",
    context_settings=CONTEXT,
    short_help="Forget stored answers.",
    help=with_examples(
        "Forget stored answers: those that meet every condition given.",
        ("interlay cache forget --tag prices --store disk:answers", "what has a tag"),
        ("interlay cache forget --older-than 7d --config interlay.yaml", "what is a week old"),
        ("interlay cache forget --all --yes --store redis://cache", "everything"),
    ),
)
@click.option("--key", metavar="K", help="One answer: a record's key, or its beginning where the journal has it.")
@click.option("--tag", metavar="T", help="Kept with this tag.")
@click.option("--scope", metavar="S", help="Of this caller: tenant:NAME, or as a record says it.")
@click.option("--older-than", metavar="AGE", callback=age, help="Kept longer ago than 90s, 1h30m, 2d.")
@click.option("--all", "everything", is_flag=True, help="Everything that the store holds.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@_where
@click.option("--journal", metavar="PATH", help="Where the beginning of a key is looked for.")
@common
def forget(  # noqa: PLR0913 - a command's options
    settings: Settings,
    *,
    key: str | None,
    tag: str | None,
    scope: str | None,
    older_than: float | None,
    everything: bool,
    yes: bool,
    store: str | None,
    config: str | None,
    journal: str | None,
) -> None:
    """Forget, and say how many."""
    from interlay.cli.stored import forget as forget_in
    from interlay.cli.stored import stores
    from interlay.cli.terminal import Terminal

    conditions = {"tag": tag, "scope": scope, "older_than": older_than}
    if not everything and key is None and all(value is None for value in conditions.values()):
        raise Failed("nothing to forget was named", help="--key, --tag, --scope, --older-than, or --all", exit_code=2)
    if everything and (key is not None or any(value is not None for value in conditions.values())):
        raise Failed("--all goes with no condition", help="give either", exit_code=2)
    if key is not None and any(value is not None for value in conditions.values()):
        raise Failed("--key goes with no other condition: it names one answer", help="give either", exit_code=2)
    key = _whole(key, journal) if key is not None else None
    opened = stores(store, config)
    if everything and not yes:
        _ask(", ".join(each.name for each in opened))
    count = forget_in(opened, key, conditions)
    Terminal(settings).say("1 answer forgotten" if count == 1 else f"{count:,} answers forgotten")


def _whole(key: str, journal: str | None) -> str:
    """A key as stores have it. Raises ``Failed`` for what is none, or not one."""
    from interlay.cli.source import Source

    key = key.lower()
    if not _KEY.fullmatch(key):
        raise Failed(
            f"--key {key}: expected hexadecimal digits", help="interlay show ID tells a call's key", exit_code=2
        )
    if len(key) == _WHOLE_KEY:
        return key
    source = Source(journal)
    needle = f'"key":"{key}'.encode()
    near = (entry for entry in source.reader.entries() if needle in entry.raw)
    found = {record.key for record in source.records(near) if record.key is not None and record.key.startswith(key)}
    if len(found) != 1:
        what = "no key begins" if not found else f"{len(found)} keys begin"
        raise Failed(f"{what} with {key} in {source.reader.path}", help="give all 64 digits", exit_code=2)
    return found.pop()


def _ask(names: str) -> None:
    """Have the user say yes. Raises ``Failed`` where nobody can be asked."""
    if not sys.stdin.isatty():
        raise Failed(f"this forgets everything in {names}", help="--yes says that it is meant", exit_code=2)
    click.confirm(f"Forget everything in {names}?", abort=True, err=True)


@command.command(
    "warm",
    context_settings=CONTEXT,
    short_help="Ask beforehand, so that a cache has the answers.",
    help=with_examples(
        "Send requests through a configuration's chain, so that its cache has the answers.\n\n"
        'FILE has a JSON object a line: {"url": …, "body": {…}} and "headers" if need be; - is standard input. A '
        "known provider's key is taken from the environment.",
        ("interlay cache warm questions.jsonl", "by the usual configuration"),
        ("interlay cache warm q.jsonl --tenant acme --concurrency 8", "on behalf of a tenant"),
    ),
)
@click.argument("file", metavar="FILE")
@click.option("--config", metavar="FILE", help="The configuration; $INTERLAY_CONFIG, else interlay.yaml, if not given.")
@click.option("--concurrency", metavar="N", default=4, show_default=True, type=click.IntRange(1, 256), help="At once.")
@click.option("--tenant", metavar="T", help="On behalf of this tenant.")
@click.option("--user", metavar="U", help="And of this user.")
@click.option("--tag", "tags", metavar="T", multiple=True, help="Carrying this tag; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON: one document.")
@common
def warm(
    settings: Settings,
    *,
    file: str,
    config: str | None,
    concurrency: int,
    tenant: str | None,
    user: str | None,
    tags: tuple[str, ...],
    as_json: bool,
) -> int:
    """Ask beforehand; 1 if something was refused or failed."""
    from interlay.cli.terminal import Terminal
    from interlay.cli.warming import warm_from

    identity = {"tenant": tenant, "user": user, "tags": tags}
    return warm_from(Terminal(settings), file, config, concurrency, identity, as_json=as_json)
