"""Who answers at a host: the catalogue's rows, looked up by the name in a URL.

``catalogue.json`` holds one row a provider, on a line of its own, kept by hand. Hosts are literal names
(``api.openai.com``), names with a port where the port tells (``127.0.0.1:11434``), or patterns with one star
(``*.openai.azure.com``). Changing a provider's facts means changing its row; no code knows a provider's name.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import Final, Literal

import msgspec

StreamUsage = Literal["ask", "always", "unknown"]
"""Whether a host's streams report usage: ``ask`` (only when the request's ``stream_options`` say so, which
the host takes), ``always`` (unasked), ``unknown`` (never ask: the host may refuse the option)."""


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the catalogue."""

    id: str
    name: str
    dialects: tuple[str, ...]
    """Names of the dialects it speaks, its main one first."""
    base_url: str | None = None
    """May hold ``{placeholders}``."""
    hosts: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    """Request headers that carry its credentials, in lower case."""
    signed: bool = False
    """Whether its clients sign requests, body included, above the seam."""
    stream_usage: StreamUsage = "unknown"
    ask_from: str | None = None
    """Where the URL names an ``api-version``: the first, by date, that takes the option."""
    prices: tuple[str, ...] = ()
    """Ids under which the price book has its prices; its own id where this is empty."""
    variables: tuple[str, ...] = ()
    """Environment variables that hold its key, the first of them that is set; ``<ID>_API_KEY`` where this is empty."""
    headers: dict[str, str] = {}
    """Request headers without which it takes no request, such as the version of its API."""

    @property
    def key_variables(self) -> tuple[str, ...]:
        """Where its key is looked for."""
        return self.variables or (f"{self.id.upper()}_API_KEY",)


class _Catalogue:
    """The rows, by id and by host."""

    def __init__(self, rows: list[Provider]) -> None:
        self.by_id = {row.id: row for row in rows}
        self.by_host: dict[str, Provider] = {}
        self.patterns: list[tuple[str, str, Provider]] = []
        for row in rows:
            for host in row.hosts:
                before, star, after = host.partition("*")
                if star:
                    self.patterns.append((before, after, row))
                else:
                    self.by_host[host] = row

    def at(self, host: str) -> Provider | None:
        row = self.by_host.get(host)
        if row is None:
            name = host.partition(":")[0].removesuffix(".")
            row = self.by_host.get(name) or self._matching(name)
        return row

    def _matching(self, name: str) -> Provider | None:
        for before, after, row in self.patterns:
            if name.startswith(before) and name.endswith(after) and len(name) > len(before) + len(after):
                return row
        return None


@cache
def _catalogue() -> _Catalogue:
    data = Path(__file__).with_name("catalogue.json").read_bytes()
    return _Catalogue(msgspec.json.decode(data, type=list[Provider]))


_REMEMBERED: Final = 1024


@lru_cache(_REMEMBERED)
def provider_at(host: str) -> Provider | None:
    """The catalogue's row for a host, as a URL has it (``api.openai.com``, ``127.0.0.1:11434``), or None."""
    return _catalogue().at(host.lower())


def provider(id: str) -> Provider | None:
    """The catalogue's row with an id, or None."""
    return _catalogue().by_id.get(id)


def provider_of(host: str) -> str | None:
    """The id of the provider at a host, or None for a host the catalogue does not have."""
    row = provider_at(host)
    return row.id if row is not None else None


def may_be_signed(host: str) -> bool:
    """Whether requests to a host may carry a signature over their body: those to hosts nobody knows may."""
    row = provider_at(host)
    return row is None or row.signed


def stream_usage(host: str) -> StreamUsage:
    """Whether streams from a host report usage: see ``StreamUsage``."""
    row = provider_at(host)
    return row.stream_usage if row is not None else "unknown"


def asks_usage(host: str, api_version: str | None = None) -> bool:
    """Whether a stream from a host reports usage only when asked, and the host takes the question.

    ``api_version`` is the value of that name in the URL's query, where there is one. Versions are dates, so
    they compare as text.
    """
    row = provider_at(host)
    if row is None or row.stream_usage != "ask":
        return False
    return row.ask_from is None or api_version is None or api_version[:10] >= row.ask_from
