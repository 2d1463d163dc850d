"""``interlay run``: a program whose code is not touched, with a chain under its clients."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Final, NoReturn

import click

from interlay.cli.options import CONTEXT, Failed, Settings, common, with_examples

STARTUP: Final = Path(__file__).with_name("startup")
"""Holds the ``sitecustomize`` that Python imports at the start of the program."""


@click.command(
    "run",
    context_settings={**CONTEXT, "allow_interspersed_args": False},
    help=with_examples(
        "Run a program with interlay under its clients, journal on. Its code is not touched.\n\n"
        "Programs that it starts have it too. Input, output, signals and exit code are the program's own.",
        ("interlay run -- python prog.py --fast", "record what it asks of models"),
        ("interlay run --config interlay.yaml -- uvicorn app:app", "with a chain, and exporters"),
        ("interlay calls", "see what was called, then or meanwhile"),
    ),
)
@click.option("--config", metavar="FILE", help="The configuration; $INTERLAY_CONFIG if it is not given.")
@click.argument("program", metavar="-- PROGRAM [ARG]...", nargs=-1, required=True, type=click.UNPROCESSED)
@common
def command(settings: Settings, *, config: str | None, program: tuple[str, ...]) -> NoReturn:
    """Become the program."""
    environment = {**os.environ, **_environment(config or os.environ.get("INTERLAY_CONFIG"))}
    sys.stdout.flush()
    sys.stderr.flush()
    # What Python ignores for itself would be ignored for the program.
    for name in ("SIGPIPE", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execvpe(program[0], program, environment)  # noqa: S606 - a shell would read the words again
    except OSError as error:
        code = 127 if isinstance(error, FileNotFoundError) else 126
        script = program[0].endswith(".py")
        raise Failed(
            f"{program[0]}: {error.strerror}",
            help=f"interlay run -- python {program[0]}" if script else "programs are looked for on the PATH",
            exit_code=code,
        ) from error


def _environment(config: str | None) -> dict[str, str]:
    """The variables that the program is given besides its own. Raises ``Failed`` for a faulty configuration."""
    added = {"PYTHONPATH": os.pathsep.join(filter(None, (str(STARTUP), os.environ.get("PYTHONPATH"))))}
    if config:
        from interlay.cli.check import problems_of

        problems = problems_of(config)
        if problems:
            told = "\n".join(map(str, problems))
            raise Failed(f"the configuration cannot be used:\n{told}", help=f"interlay check {config}", exit_code=2)
        added["INTERLAY_CONFIG"] = os.path.abspath(config)  # noqa: PTH100 - a link stays one
    return added
