"""``interlay check``: what is wrong with a configuration."""

from __future__ import annotations

import os
from typing import Final

import click
import msgspec
from rich.text import Text

from interlay.cli.options import CONTEXT, Failed, Settings, common, with_examples
from interlay.cli.terminal import Terminal
from interlay.config import ConfigurationError, Problem, check, load
from interlay.config.loading import Configuration
from interlay.model.errors import ConfigError

USUAL: Final = "interlay.yaml"


@click.command(
    "check",
    context_settings=CONTEXT,
    help=with_examples(
        "Say everything that is wrong with a configuration, by line and column.\n\n"
        "FILE is $INTERLAY_CONFIG, else interlay.yaml, if none is given. Functions that it names are not imported.",
        ("interlay check", "the usual file"),
        ("interlay check deploy/*.yaml", "several"),
    ),
)
@click.argument("files", metavar="[FILE]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="The problems as JSON: one list.")
@common
def command(settings: Settings, *, files: tuple[str, ...], as_json: bool) -> int:
    """List the problems; the exit code is 1 if there are any."""
    terminal = Terminal(settings)
    found = [(file, problems_of(file)) for file in files or (os.environ.get("INTERLAY_CONFIG") or USUAL,)]
    problems = [problem for _, problems in found for problem in problems]
    if as_json:
        terminal.write(msgspec.json.encode([problem._asdict() for problem in problems]))
    else:
        terminal.print(
            Text(line) for file, problems in found for line in (map(str, problems) if problems else [f"{file}: fine"])
        )
    return 1 if problems else 0


def problems_of(file: str) -> list[Problem]:
    """What is wrong with one file. Raises ``Failed`` where that cannot be said."""
    try:
        return list(check(file))
    except ConfigError as error:
        what, _, how = str(error).partition(": ")
        raise Failed(what, help=how, exit_code=2) from error


def configured(file: str | None) -> tuple[str, Configuration]:
    """A configuration, or the usual one, and which file it is. Raises ``Failed`` with all that is wrong in it."""
    file = file or os.environ.get("INTERLAY_CONFIG") or USUAL
    try:
        return file, load(file)
    except ConfigurationError as error:
        told = "\n".join(map(str, error.problems))
        help_ = f"interlay check {file}"
        raise Failed(f"the configuration cannot be used:\n{told}", help=help_, exit_code=2) from error
    except ConfigError as error:
        what, _, how = str(error).partition(": ")
        raise Failed(what, help=how or f"interlay check {file}", exit_code=2) from error
