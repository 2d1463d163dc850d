"""Options that every command has, and the kinds of values they take."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import click

import interlay

CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")


class Settings:
    """What was said about output, by the group or by the subcommand; the later word holds."""

    def __init__(self) -> None:
        self.quiet = False
        self.verbose = 0
        self.color = "auto"


class Failed(click.ClickException):
    """An error of ours: what, and what to do about it."""

    def __init__(self, message: str, *, help: str, exit_code: int) -> None:
        super().__init__(message)
        self.help = help
        self.code = exit_code


_COMMON: Final[tuple[Callable[[Callable[..., Any]], Callable[..., Any]], ...]] = (
    click.version_option(interlay.__version__, message="interlay %(version)s"),
    click.option("--color", type=click.Choice(["auto", "always", "never"]), help="When to use colour."),
    click.option("-v", "--verbose", count=True, help="Say more; -vv shows tracebacks."),
    click.option("-q", "--quiet", is_flag=True, help="Results only, no hints."),
)


def common(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``-q``, ``-v``, ``--color`` and ``--version``; the function gets ``settings`` first."""

    def wrapped(context: click.Context, *, quiet: bool, verbose: int, color: str | None, **rest: object) -> object:
        settings = context.ensure_object(Settings)
        settings.quiet = settings.quiet or quiet
        settings.verbose = max(settings.verbose, verbose)
        settings.color = color or settings.color
        return function(settings, **rest)

    functools.update_wrapper(wrapped, function)
    for option in _COMMON:
        wrapped = option(wrapped)
    return click.pass_context(wrapped)


def with_examples(summary: str, *examples: tuple[str, str]) -> str:
    """Help that shows how a command is used before it says what its options are."""
    width = max(len(command) for command, _ in examples)
    lines = "\n".join(f"  {command:<{width}}   {what}" for command, what in examples)
    return f"{summary}\n\n\b\n{lines}"  # \b: leave the lines as they are


def since(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """Read ``--since``: a duration back from now, or a local date and time. Returns seconds since the epoch."""
    if value is None:
        return None
    text = value.strip()
    if _DURATION.fullmatch(text):
        return time.time() - _seconds(text)
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is no duration such as 90s, 1h30m or 2d, and no date such as 2026-11-25T14:00"
        ) from None


def age(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """Read a duration. Returns seconds."""
    if value is None:
        return None
    if not _DURATION.fullmatch(text := value.strip()):
        raise click.BadParameter(f"{text!r} is no duration such as 90s, 1h30m or 2d")
    return _seconds(text)


def _seconds(text: str) -> float:
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([\d.]+)([smhdw])", text))
