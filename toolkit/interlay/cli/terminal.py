"""Where output goes, and what that place can show."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from io import StringIO
from typing import Final, TextIO

from rich.console import Console
from rich.style import Style
from rich.text import Text

from interlay.cli.options import Settings

_SIGNS: Final = "✓✗↻⊘█▏├└│─·…×"


@dataclass(frozen=True, slots=True)
class Looks:
    """What may be drawn."""

    width: int = 80
    """Columns; lines for a pipe may be of any length."""
    unicode: bool = True
    """Whether the encoding has our signs. Their ASCII stand-ins are used else."""
    fancy: bool = True
    """Whether a person looks at it: bars, tree lines and ellipses, else none of them."""


class Terminal:
    """Standard output as ``--color``, the environment and the file itself would have it."""

    def __init__(self, settings: Settings, file: TextIO | None = None) -> None:
        file = sys.stdout if file is None else file
        shown = file.isatty()
        color = _color(settings.color, shown=shown)
        fancy = shown or color
        self.settings = settings
        self.looks = Looks(
            width=shutil.get_terminal_size().columns if fancy else 100_000,
            unicode=_can_encode(file.encoding),
            fancy=fancy,
        )
        self._file = file
        self._console = _Console(
            file=file,
            width=self.looks.width,
            force_terminal=color,
            color_system="standard" if color else None,
            no_color=not color,
            highlight=False,
        )

    def print(self, lines: Iterable[Text]) -> None:
        """Print lines as they are: nothing is wrapped."""
        for line in lines:
            line.rstrip()
            self._console.print(line, no_wrap=True, overflow="ignore", crop=False, soft_wrap=True)
        self._file.flush()

    def say(self, text: str) -> None:
        """Print a line of plain text."""
        self.print([Text(text)])

    def write(self, data: bytes) -> None:
        """Print JSON: as it is, and a line's end."""
        self._file.write(data.decode() + "\n")
        self._file.flush()

    def hint(self, text: str) -> None:
        """Say something that is no result, on standard error, unless ``-q``."""
        if not self.settings.quiet:
            print(text, file=sys.stderr)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704, rich calls this where it has caught one, and would else exit by itself


def svg(lines: Iterable[Text], *, title: str, width: int = 80) -> str:
    """A picture of lines in a terminal window. It needs no font but a monospaced one of the viewer's."""
    console = Console(
        file=StringIO(), record=True, width=width, force_terminal=True, color_system="truecolor", no_color=False
    )
    for line in lines:
        console.print(_filled(line, console), no_wrap=True, overflow="crop", highlight=False)
    return console.export_svg(title=title, code_format=_SVG, unique_id="interlay")


def _filled(line: Text, console: Console) -> Text:
    """The same with bars as coloured backgrounds: drawn as letters, they would show seams."""
    filled = line.copy()
    filled.plain = line.plain.replace("█", " ")
    for bar in re.finditer("█+", line.plain):
        style = line.get_style_at_offset(console, bar.start())
        filled.stylize(Style(bgcolor=style.color), *bar.span())
    return filled


def _color(wanted: str, *, shown: bool) -> bool:
    if wanted != "auto":
        return wanted == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return shown and os.environ.get("TERM") != "dumb"


def _can_encode(encoding: str | None) -> bool:
    try:
        _SIGNS.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


_SVG: Final = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<style>
.{unique_id}-matrix {{
  font: {char_height}px ui-monospace, "DejaVu Sans Mono", "Liberation Mono", Menlo, Consolas, monospace;
  line-height: {line_height}px;
}}
.{unique_id}-title {{ font: bold 16px sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix" xml:space="preserve">
{matrix}
</g>
</g>
</svg>
"""
