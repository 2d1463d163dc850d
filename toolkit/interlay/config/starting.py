"""What ``interlay run`` does inside of the program that it runs."""

from __future__ import annotations

import os

from interlay.config.loading import Configuration, load
from interlay.entry.instrument import instrument


def start() -> None:
    """Set the process up as the file says that ``INTERLAY_CONFIG`` names, with a journal unless that says otherwise,
    and put its chain under every client. Raises ``ConfigError``."""
    file = os.environ.get("INTERLAY_CONFIG")
    found = load(file) if file else Configuration()
    chain = found.chain()
    found.set_up(journal=True)
    instrument(chain)
