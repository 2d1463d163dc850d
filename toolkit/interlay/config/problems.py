"""What is wrong with a configuration, said all at once and with the place."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from interlay.model.errors import ConfigError


class Problem(NamedTuple):
    """One thing that is wrong. Lines and columns count from 1; a line of 0 means the file as a whole."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}"


class ConfigurationError(ConfigError):
    """A configuration that cannot be used. Its text is a line for each of its ``problems``."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: Sequence[Problem] = tuple(sorted(problems, key=lambda each: (each.line, each.column)))
        super().__init__("\n".join(map(str, self.problems)))


class Complaints:
    """Gathers the problems of one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def add(self, place: tuple[int, int], message: str) -> None:
        """Note what is wrong at a line and column."""
        self.problems.append(Problem(self.file, *place, message))

    def check(self) -> None:
        """Raise ``ConfigurationError`` if there are problems."""
        if self.problems:
            raise ConfigurationError(self.problems)


def instead_of(name: str, known: Iterable[str]) -> str:
    """What may have been meant: the nearest of the ``known`` names, or else all of them."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"expected {' or '.join(filter(None, (', '.join(names[:-1]), names[-1])))}"
