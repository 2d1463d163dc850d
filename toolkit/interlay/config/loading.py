"""A configuration, from its file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import msgspec

from interlay.chain.chain import Chain
from interlay.config.fitting import Fitter
from interlay.config.problems import Complaints, ConfigurationError, Problem
from interlay.config.reading import Mapping as Settings
from interlay.config.reading import read
from interlay.config.schema import Source, configuration
from interlay.cost import PriceBook
from interlay.entry import process
from interlay.telemetry.setup import Export


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says: a chain, and what ``setup()`` takes. What it does not say is None."""

    parts: tuple[object, ...] = ()
    as_given: bool = False
    journal: bool | Path | None = None
    contents: bool | None = None
    prices: PriceBook | None = None
    export: Export = None
    prometheus: bool | tuple[str, int] | None = None

    def chain(self) -> Chain:
        """The chain: the same that ``Chain(*parts)`` makes."""
        return Chain(*self.parts, as_given=self.as_given)

    @property
    def sets_up(self) -> bool:
        """Whether it says anything of the process."""
        said = (self.journal, self.contents, self.prices, self.export, self.prometheus)
        return any(each is not None for each in said)

    def set_up(self, *, journal: bool = False) -> None:
        """Set the process up so, as ``setup()`` does; ``journal`` is for a file that says nothing of it."""
        process.setup(
            journal=journal if self.journal is None else self.journal,
            contents=self.contents,
            prices=self.prices,
            export=self.export,
            prometheus=self.prometheus,
        )


def load(path: str | PathLike[str], *, variables: Mapping[str, str] = os.environ) -> Configuration:
    """Read a configuration and import the functions that it names. Nothing is set up yet.

    Raises:
        ConfigurationError: with everything that is wrong in it, if anything is.
        ConfigError: where PyYAML is not installed.
    """
    return _load(path, variables, imports=True)


def check(path: str | PathLike[str], *, variables: Mapping[str, str] = os.environ) -> Sequence[Problem]:
    """Everything that is wrong in a configuration, in the order of its lines. Functions that it names are not
    imported.

    Raises:
        ConfigError: where PyYAML is not installed.
    """
    try:
        _load(path, variables, imports=False)
    except ConfigurationError as error:
        return error.problems
    return ()


def load_chain(path: str | PathLike[str]) -> Chain:
    """See ``Chain.load``."""
    found = load(path)
    chain = found.chain()
    if found.sets_up:
        found.set_up()
    return chain


def _load(path: str | PathLike[str], variables: Mapping[str, str], *, imports: bool) -> Configuration:
    file = Path(path)
    complaints = Complaints(str(path))
    try:
        data = file.read_bytes()
    except OSError as error:
        complaints.add((0, 0), f"cannot be read: {error.strerror}")
        raise ConfigurationError(complaints.problems) from error
    node = read(data, complaints)
    if isinstance(node, Settings):
        source = Source(file.absolute().parent, variables, imports=imports)
        made = Fitter(complaints, variables).shape(node, configuration(source, Configuration), "")
        if isinstance(made, Configuration) and not complaints.problems:
            return made
    elif node is not None:
        complaints.add(node.place, "expected settings, such as chain:")
    raise ConfigurationError(complaints.problems)
