"""The command's frame: the table of subcommands, which are imported when used, and what errors look like."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import traceback
from typing import Final, NamedTuple

import click

from interlay.cli import without
from interlay.cli.options import CONTEXT, Failed, Settings, common, with_examples


class Place(NamedTuple):
    """Where a subcommand is: a module of this room whose ``command`` it is."""

    module: str
    help: str
    extra: str = "cli"


COMMANDS: Final = {
    "demo": Place("interlay.cli.demo", "See it work: two real SDKs, a local provider, no key, no network.", "demo"),
    "calls": Place("interlay.cli.calls", "List the calls that were made."),
    "show": Place("interlay.cli.show", "Show one call: attempts, timing, cost."),
    "run": Place("interlay.cli.run", "Run a program with interlay under its clients, its code untouched."),
    "cache": Place("interlay.cli.cache", "See what caches did, forget what they keep, fill them."),
    "backtest": Place("interlay.cli.backtest", "Say what another configuration would have done about recorded calls."),
    "check": Place("interlay.cli.check", "Say everything that is wrong with a configuration."),
}


class Lazy(click.Group):
    """A group that knows its commands by name and imports the one that is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        try:
            command: object = importlib.import_module(place.module).command
        except ModuleNotFoundError as error:
            raise SystemExit(without(error, place.extra)) from None
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS:
            near = difflib.get_close_matches(args[0], COMMANDS)
            help_ = f"did you mean {' or '.join(near)}?" if near else f"{ctx.command_path} -h lists the commands"
            raise Failed(f"there is no command {args[0]!r}", help=help_, exit_code=2)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.help) for name, place in COMMANDS.items()])


@click.group(
    cls=Lazy,
    invoke_without_command=True,
    context_settings=CONTEXT,
    help=with_examples(
        "See what your program asks of language models, and what it costs.",
        ("interlay demo", "see it work: no key, no network"),
        ("interlay calls --since 1h", "what was called in the last hour"),
        ("interlay show @last", "the latest call: attempts, time, money"),
    ),
)
@common
def root(settings: Settings) -> None:
    """Without a subcommand, say which there are."""
    context = click.get_current_context()
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def run(arguments: list[str]) -> int:
    """Run the command with these arguments; return the exit code."""
    settings = Settings()
    try:
        # Not `root.main`, which has words and exit codes of its own for Ctrl-C and closed pipes.
        with root.make_context("interlay", arguments, obj=settings) as context:
            code: object = root.invoke(context)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        of = getattr(error, "ctx", None)
        where = of.command_path if of is not None else "interlay"
        return _explain(
            error.format_message(),
            getattr(error, "help", None) or f"{where} -h",
            getattr(error, "code", error.exit_code),
        )
    except (KeyboardInterrupt, click.Abort):
        return 130
    except BrokenPipeError:
        # Whoever read us has seen enough. The interpreter's own flush at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if settings.verbose > 1:
            traceback.print_exc()
        what = f"{error.filename}: " if error.filename else ""
        return _explain(f"{what}{error.strerror or type(error).__name__}", None, 3)


def _explain(what: str, help_: str | None, code: int) -> int:
    click.echo(f"error: {what[:1].lower()}{what[1:]}", err=True)
    if help_ is not None:
        click.echo(f"help: {help_}", err=True)
    return code
