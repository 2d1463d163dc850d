"""What a call cost: checked usage times dated prices, line by line, exactly."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterable, Mapping
from decimal import Decimal
from os import PathLike
from typing import Any, Final

from interlay.cost.book import Price, PriceBook, default_book
from interlay.cost.leaves import Leaf, input_leaves, output_leaves
from interlay.cost.reading import MAKERS, dialect_name, read
from interlay.cost.rows import Row
from interlay.model.arguments import shown
from interlay.model.cost import EXACT, Cost, CostLine, CostSource, Estimate, Priced, plain
from interlay.model.errors import ConfigError
from interlay.model.usage import Usage

logger = logging.getLogger("interlay.cost")

_DRIFT: Final = Decimal("0.02")
_ZERO: Final = Decimal(0)
_NOTHING: Final = Usage()


def price(
    usage: object,
    *,
    api: str,
    model: str,
    at: dt.datetime | str,
    prices: PriceBook | Iterable[Mapping[str, Any] | Row] | str | PathLike[str] | None = None,
    provider: str | None = None,
    tier: str | None = None,
    region: str | None = None,
) -> Cost:
    """What one response cost, in US dollars.

    Args:
        usage: The provider's usage object, its JSON text (fractions are then read as decimals), a ``Usage``,
            the events of a stream as JSON objects in order, or None where nothing was reported.
        api: The API's name, such as ``chat.completions``, ``messages``, ``responses``, or a dialect's.
        model: The model that served the call.
        at: When the request was sent, as an aware datetime or ISO 8601 text with a time zone. The price in
            force at that time is the one that counts.
        prices: Rows, a book, or a path to a file of rows; they are then all there is. None is the vendored
            book.
        provider: Who served the call, by the catalogue's id. None is the API's own maker.
        tier: The tier that served the call, where the usage object does not say.
        region: The region that served the call, for prices that differ by it.

    Raises:
        ConfigError: An argument is wrong. What is wrong with the provider's figures never raises: see
            ``Cost.flags`` and ``Cost.reason``.
    """
    name = dialect_name(api)
    if not isinstance(model, str) or not model:
        raise ConfigError(f"model: {model!r}; expected the name of a model")
    for field, value in (("provider", provider), ("tier", tier), ("region", region)):
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{field}: {shown(value)}; expected a name or None")
    when = _moment(at)
    book = _book(prices)
    reported, counted = read(usage, name)
    if tier is None and api == "messages.batches":
        tier = "batch"
    what = Priced(
        provider=provider if provider is not None else MAKERS.get(name),
        api=name,
        model=model,
        service_tier=tier,
        region=region,
    )
    return Pricer(book).compute(reported, what, when, counted)


def pricer(book: PriceBook | None = None) -> Pricer:
    """What the chain is given to turn usage into money; it never raises. None is the vendored book."""
    return Pricer(book)


class Pricer:
    """Prices calls by one book. Calling it never raises: a fault of ours is logged once, its cost unknown."""

    __slots__ = ("_alarmed", "_book", "_failed")

    def __init__(self, book: PriceBook | None = None) -> None:
        self._book = book
        self._failed = False
        self._alarmed: set[str] = set()

    def use(self, book: PriceBook | None) -> None:
        """Price by another book from now on; None is the vendored one."""
        self._book = book

    def __call__(self, usage: Usage | None, what: Priced, when: dt.datetime, estimate: Estimate | None) -> Cost:
        """The cost of one response; see ``interlay.model.cost.PriceFn``."""
        try:
            return self.compute(usage, what, when, estimate)
        except Exception:
            if not self._failed:
                self._failed = True
                logger.exception("a call could not be priced; it is not reported again")
            return Cost(amount=None, source="unknown", reason="price_failed")

    def compute(self, usage: Usage | None, what: Priced, when: dt.datetime, estimate: Estimate | None) -> Cost:
        """The same, and a fault of ours raises."""
        cost = self._computed(usage, what, when, estimate)
        if usage is not None and usage.cost is not None:
            return self._reported(usage.cost, cost, what.model)
        return cost

    def _computed(self, usage: Usage | None, what: Priced, when: dt.datetime, estimate: Estimate | None) -> Cost:
        bill: _Bill | None = None
        if usage is None or not _is_plain(usage):
            bill = _Bill(usage, estimate)
            if not bill.has_quantities:
                return Cost(amount=None, source="unknown", reason="no_usage")
        book = self._book
        if book is None:
            book = self._book = default_book()
        tier = (usage.service_tier if usage is not None else None) or what.service_tier
        tariff = book.tariff(
            what.provider,
            what.model,
            when.date() if when.tzinfo is dt.UTC else when.astimezone(dt.UTC).date(),
            requested=what.requested_model,
            tier=tier,
            region=what.region,
        )
        if tariff is None:
            return Cost(amount=None, source="unknown", reason="no_price" if what.provider else "no_provider")
        flags = ("tier_unpriced",) if tariff.tier_unpriced else ()
        if bill is None:
            assert usage is not None
            if tariff.plain is not None:
                return _plain_cost(usage, *tariff.plain, flags)
            bill = _Bill(usage, estimate)
        if not bill.add_all(tariff.at(when)):
            return Cost(amount=None, source="unknown", reason="no_price")
        return bill.cost(flags)

    def _reported(self, amount: Decimal, computed: Cost, model: str | None) -> Cost:
        """The provider's own figure, with ours beside it."""
        amount, own = plain(amount), computed.amount
        flags = computed.flags
        if own is not None and abs(EXACT.subtract(amount, own)) > EXACT.multiply(_DRIFT, amount):
            flags = (*flags, "price_drift")
            name = (model or "")[:100]
            if name not in self._alarmed and len(self._alarmed) < 1000:
                self._alarmed.add(name)
                logger.warning(
                    "the provider reports %s US dollars for a call to %r, the price book says %s",
                    amount,
                    name,
                    own,
                )
        line = CostLine(unit="provider_reported", quantity=1, price=amount, per=1, amount=amount)
        return Cost(amount=amount, source="provider_reported", lines=(line,), computed=own, flags=flags)


def _is_plain(usage: Usage) -> bool:
    """Whether a prompt and a completion are all there is to pay for: then no bill has to be drawn up."""
    return bool(usage.input_tokens and usage.output_tokens) and not (
        usage.cache_read_tokens
        or usage.cache_write_tokens
        or usage.input_audio_tokens
        or usage.input_image_tokens
        or usage.reasoning_tokens
        or usage.output_audio_tokens
        or usage.output_image_tokens
        or usage.citation_tokens
        or usage.tools
        or usage.flags
    )


def _plain_cost(usage: Usage, input: Price, output: Price, flags: tuple[str, ...]) -> Cost:
    """What a bill of two lines comes to."""
    prompt, completion = usage.input_tokens or 0, usage.output_tokens or 0
    first, second = EXACT.multiply(input.rate, prompt), EXACT.multiply(output.rate, completion)
    lines = _line(input, prompt, first), _line(output, completion, second)
    return Cost(amount=plain(EXACT.add(first, second)), source="computed", lines=lines, flags=flags)


def _line(cell: Price, quantity: int, amount: Decimal, estimated: bool = False) -> CostLine:  # noqa: FBT001, FBT002
    return CostLine(
        unit=cell.unit,
        quantity=quantity,
        price=cell.price,
        per=cell.per,
        multiplier=cell.multiplier,
        amount=plain(amount),
        price_from=cell.price_from,
        estimated=estimated,
    )


class _Bill:
    """The quantities of one response, and the lines they come to."""

    __slots__ = ("_completion", "_estimate", "_fits", "_lines", "_prompt", "has_quantities", "usage")

    def __init__(self, usage: Usage | None, estimate: Estimate | None) -> None:
        self.usage = usage if usage is not None else _NOTHING
        self._estimate = estimate
        self._fits = True
        self._lines: list[CostLine] = []
        self._prompt = self.usage.input_tokens
        self._completion = self.usage.output_tokens
        if estimate is not None:
            if self._prompt is None:
                self._prompt = estimate.input_tokens
            if self._completion is None:
                self._completion = estimate.output_tokens
        # A completion that we counted ourselves says nothing without the prompt it answered.
        self.has_quantities = self._prompt is not None or self.usage.output_tokens is not None or bool(self.usage.tools)

    def add_all(self, prices: Mapping[str, tuple[Price, ...]]) -> bool:
        """Make the lines. False where something that was used has no price."""
        usage, prompt, completion = self.usage, self._prompt, self._completion
        size = prompt or 0
        if prompt is not None:
            if usage.input_tokens is None:
                leaves = [("input", prompt)]
            else:
                leaves, fits = input_leaves(usage, prompt)
                self._fits = fits
            if not self._add(leaves, prices, size, usage.input_tokens is None):
                return False
        if completion is not None:
            if usage.output_tokens is None:
                leaves = [("output", completion)]
            else:
                leaves, fits = output_leaves(usage, completion)
                self._fits = self._fits and fits
            if not self._add(leaves, prices, size, usage.output_tokens is None):
                return False
        fee = "request"
        if usage.tools:
            sized = next((unit for unit in usage.tools if unit.startswith("request_")), fee)
            fee = sized if sized in prices else fee
            tools = [(unit, quantity) for unit, quantity in usage.tools.items() if unit != sized]
            if not self._add(tools, prices, size):
                return False
        return fee not in prices or self._add([(fee, 1)], prices, size)

    def _add(
        self,
        leaves: list[Leaf],
        prices: Mapping[str, tuple[Price, ...]],
        size: int,
        estimated: bool = False,  # noqa: FBT001, FBT002 - on the path of every call
    ) -> bool:
        merged: dict[Price, int] = {}
        for unit, quantity in leaves:
            if quantity:
                for cell in prices.get(unit, ()):
                    if size > cell.over or not cell.over:
                        merged[cell] = merged.get(cell, 0) + quantity
                        break
                else:
                    return False
        for cell, quantity in merged.items():
            self._lines.append(_line(cell, quantity, EXACT.multiply(cell.rate, quantity), estimated))
        return True

    def cost(self, flags: tuple[str, ...]) -> Cost:
        usage, estimate = self.usage, self._estimate
        amount = _ZERO
        for line in self._lines:
            amount = EXACT.add(amount, line.amount)
        if usage.flags:
            flags = (*usage.flags, *flags)
        if not self._fits and "usage_inconsistent" not in flags:
            flags = ("usage_inconsistent", *flags)
        if usage.input_tokens is not None and usage.output_tokens is not None:
            return Cost(amount=plain(amount), source="computed", lines=tuple(self._lines), flags=flags)
        is_counted = estimate is not None and any(line.estimated for line in self._lines)
        nothing = usage.input_tokens is None and usage.output_tokens is None and not usage.tools
        source: CostSource = "estimated" if nothing else "partial"
        return Cost(
            amount=plain(amount),
            source=source,
            lines=tuple(self._lines),
            estimated=True,
            tokenizer=estimate.tokenizer if is_counted and estimate is not None else None,
            flags=flags,
        )


def _moment(at: dt.datetime | str) -> dt.datetime:
    when: object = at
    if isinstance(at, str):
        try:
            when = dt.datetime.fromisoformat(at)
        except ValueError:
            when = None
    if not isinstance(when, dt.datetime) or when.tzinfo is None:
        raise ConfigError(f"at: {at!r}; expected a time with its zone, such as 2026-11-01T12:00:00Z")
    return when


def _book(
    prices: PriceBook | Iterable[Mapping[str, Any] | Row] | str | PathLike[str] | None,
) -> PriceBook | None:
    if prices is None or isinstance(prices, PriceBook):
        return prices
    if isinstance(prices, str | PathLike):
        return PriceBook.load(prices)
    return PriceBook.of(prices)
