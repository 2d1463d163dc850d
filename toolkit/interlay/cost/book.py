"""The price book: which row prices what, for one model, on one day, served in one way."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any, Final

from interlay.cost.rows import PARENTS, Row, rate, read_row_file, read_rows
from interlay.cost.snapshot import additions, snapshot
from interlay.model.cost import EXACT, plain
from interlay.providers import provider as catalogue_row

_REMEMBERED: Final = 1024
_MAX_NAME: Final = 256
_VENDORED: Final = 0  # the snapshot's layer: our additions only fill its gaps, a user's rows go before it
_STANDARD: Final = frozenset(("", "default", "standard", "auto", "on_demand"))


class Tariff:
    """The prices of one model on one day, for one way of being served."""

    __slots__ = ("_spans", "plain", "prices", "tier_unpriced")

    def __init__(self, spans: list[tuple[int, dict[str, tuple[Price, ...]]]], *, tier_unpriced: bool) -> None:
        self._spans = spans
        self.prices = spans[0][1]
        """For a unit, its prices by the size of the prompt, the highest threshold first. Units of tokens that
        have no row of their own have their parent's."""
        self.plain = _plain_cells(self.prices) if len(spans) == 1 else None
        """The price of a prompt and that of a completion, where nothing but their size decides what they cost."""
        self.tier_unpriced = tier_unpriced
        """Whether the tier that served the call has no price of its own."""

    def at(self, when: dt.datetime) -> dict[str, tuple[Price, ...]]:
        """The prices at a time of the day."""
        if len(self._spans) > 1:
            moment = when.astimezone(dt.UTC)
            minute = moment.hour * 60 + moment.minute
            for start, prices in reversed(self._spans):
                if minute >= start:
                    return prices
        return self.prices


class Price:
    """What a unit costs above a size of the prompt."""

    __slots__ = ("multiplier", "over", "per", "price", "price_from", "rate", "unit")

    def __init__(self, row: Row, multiplier: Decimal | None) -> None:
        self.unit = row.unit
        self.price = row.price
        self.per = row.per
        self.multiplier = multiplier
        self.rate = rate(row.price, row.per, multiplier)
        self.over = row.tier_over
        day = row.from_ or row.checked
        self.price_from = day.isoformat() if day is not None else None


def _plain_cells(prices: Mapping[str, tuple[Price, ...]]) -> tuple[Price, Price] | None:
    inputs, outputs = prices.get("input", ()), prices.get("output", ())
    if "request" in prices or len(inputs) != 1 or len(outputs) != 1 or inputs[0].over or outputs[0].over:
        return None
    return inputs[0], outputs[0]


class PriceBook:
    """Prices to look up. The book without arguments is the vendored snapshot with our additions.

    ``with_rows`` gives a book where a user's own rows go before the others: a contract, a discount, a model
    that the snapshot does not have. ``PriceBook.of`` gives one that has nothing but its rows.
    """

    def __init__(self) -> None:
        self._layers: tuple[tuple[Row, ...], ...] = ()
        self._vendored = True
        self._tariff = lru_cache(_REMEMBERED)(self._make_tariff)

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any] | Row]) -> PriceBook:
        """A book of these rows alone. Raises ``ConfigError``."""
        book = cls()
        book._vendored = False
        book._layers = (tuple(read_rows(rows)),)
        return book

    @classmethod
    def load(cls, path: str | PathLike[str]) -> PriceBook:
        """A book of the rows in a file alone. Raises ``ConfigError``."""
        return cls.of(read_row_file(Path(path)))

    def with_rows(self, rows: Iterable[Mapping[str, Any] | Row]) -> PriceBook:
        """This book with rows that go before its own. Raises ``ConfigError``."""
        book = PriceBook()
        book._vendored = self._vendored
        book._layers = (*self._layers, tuple(read_rows(rows)))
        return book

    def tariff(
        self,
        provider: str | None,
        model: str | None,
        day: dt.date,
        *,
        requested: str | None = None,
        tier: str | None = None,
        region: str | None = None,
    ) -> Tariff | None:
        """The prices of a model, or None where none is known.

        ``requested`` is tried where ``model`` has none; ``tier`` and ``region`` are those that served it.
        """
        if tier is not None and tier in _STANDARD:
            tier = None
        # What is remembered is bounded in number, so it must be in size: names come from foreign responses.
        if model is not None and len(model) > _MAX_NAME:
            model = None
        if (tier is not None and len(tier) > _MAX_NAME) or (requested is not None and len(requested) > _MAX_NAME):
            return None
        return self._tariff(provider, model, requested, day, tier, region)

    def _make_tariff(
        self,
        provider: str | None,
        model: str | None,
        requested: str | None,
        day: dt.date,
        tier: str | None,
        region: str | None,
    ) -> Tariff | None:
        context = {"service_tier": tier, "region": region}
        for name in dict.fromkeys((model, requested)):
            rows = self.rows(provider, name) if name else []
            holding = [(rank, row) for rank, row in rows if row.holds(day, context)]
            if any(row.kind == "price" and (rank[1] or row.unit in PARENTS) for rank, row in holding):
                return _tariff(holding, tier)
        return None

    def rows(self, provider: str | None, model: str) -> list[tuple[tuple[int, bool], Row]]:
        """Every row about a model, at any time, each with its layer and whether it names the model."""
        row = catalogue_row(provider) if provider is not None else None
        ids = (row.prices or (row.id,)) if row is not None else (provider,) if provider is not None else ()
        found: list[tuple[tuple[int, bool], Row]] = []
        names = {model.lower()}
        layers = self._layers
        if self._vendored:
            listed, rows = _vendored(ids, model)
            if listed is not None:
                names.add(listed.lower())
                found += [((_VENDORED, True), each) for each in rows]
            layers = (tuple(additions()), *layers)
        servers = {provider, *ids}
        for place, layer in enumerate(layers, _VENDORED - 1 if self._vendored else _VENDORED + 1):
            for each in layer:
                if (each.provider is None or each.provider in servers) and _is_about(each.model, names):
                    found.append(((place, each.model != "*"), each))
        return found


def _vendored(ids: tuple[str, ...], model: str) -> tuple[str | None, list[Row]]:
    """The snapshot's model and its rows: the provider's own, else of those whose prices hold there too."""
    books = [book for name in ids if (book := snapshot(name)) is not None]
    others = [book for own in books for name in own.others if (book := snapshot(name)) is not None]
    for book in (*books, *others):
        found = book.find(model)
        if found is not None:
            return found, book.rows(found)
    return None, []


def _is_about(pattern: str, names: set[str]) -> bool:
    if pattern.endswith("*"):
        prefix = pattern[:-1].lower()
        return any(name.startswith(prefix) for name in names)
    return pattern.lower() in names


Ranked = tuple[tuple[int, bool], Row]


def _tariff(holding: list[Ranked], tier: str | None) -> Tariff:
    starts = {0}
    for _, row in holding:
        for start, end in row.minutes():
            starts |= {start, end % 1440}
    spans = [(start, _prices(holding, start)) for start in sorted(starts)]
    priced = tier is None or any("service_tier" in row.when for _, row in holding)
    return Tariff(spans, tier_unpriced=not priced)


def _prices(holding: list[Ranked], minute: int) -> dict[str, tuple[Price, ...]]:
    """The prices of every unit at a minute of the day."""
    now = [each for each in holding if _is_on(each[1], minute)]
    multipliers = [each for each in now if each[1].kind == "multiplier"]
    own: dict[str, list[Ranked]] = {}
    for rank, row in now:
        if row.kind == "price":
            own.setdefault(row.unit, []).append((rank, row))
    prices = {unit: _cells(rows, multipliers) for unit, rows in own.items()}
    for unit, parents in PARENTS.items():
        if unit not in own:
            parent = next((name for name in parents if name in own), None)
            if parent is not None:
                prices[unit] = prices[parent]
    return prices


def _is_on(row: Row, minute: int) -> bool:
    return not row.hours_utc or any(start <= minute < end for start, end in row.minutes())


def _cells(rows: list[Ranked], multipliers: list[Ranked]) -> tuple[Price, ...]:
    """The prices of a unit by the size of the prompt: of the rows that rank highest, the newest of each."""
    best = max(_rank(each) for each in rows)
    cells: dict[int, Row] = {}
    for each in rows:
        row = each[1]
        if _rank(each) == best:
            other = cells.get(row.tier_over)
            if other is None or (row.from_ or dt.date.min) >= (other.from_ or dt.date.min):
                cells[row.tier_over] = row
    return tuple(Price(cells[over], _multiplier(cells[over], multipliers)) for over in sorted(cells, reverse=True))


def _rank(ranked: Ranked) -> tuple[int, bool, int, bool, bool]:
    """Later layers go first, then rows that name the model, then those that say more about when they hold."""
    (layer, named), row = ranked
    return layer, named, len(row.when), bool(row.hours_utc), bool(row.weekdays)


def _multiplier(row: Row, multipliers: list[Ranked]) -> Decimal | None:
    """The product of a price's multipliers. A price that is for the tier itself is not multiplied for it."""
    chosen: dict[tuple[str, ...], Ranked] = {}
    for each in multipliers:
        other = each[1]
        is_meant = other.unit == row.unit or (other.unit == "*" and row.unit in PARENTS)
        if not is_meant or (other.when.keys() & row.when.keys()):
            continue
        key = tuple(sorted(other.when))
        if key not in chosen or _rank(each) >= _rank(chosen[key]):
            chosen[key] = each
    product: Decimal | None = None
    for _, other in chosen.values():
        product = other.price if product is None else EXACT.multiply(product, other.price)
    return plain(product) if product is not None else None


@lru_cache(maxsize=1)
def default_book() -> PriceBook:
    """The vendored snapshot with our additions, one for the process."""
    return PriceBook()
