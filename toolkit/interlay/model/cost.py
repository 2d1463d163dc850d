"""What a call cost, line by line."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from typing import Final, Literal

import msgspec

from interlay.model.usage import Usage

CostSource = Literal["computed", "provider_reported", "estimated", "partial", "cache_hit", "unknown"]


class CostLine(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """One priced quantity.

    ``amount`` is exactly ``quantity * price / per`` (times ``multiplier``), in US dollars.
    """

    unit: str
    quantity: int
    price: Decimal
    """US dollars for ``per`` units."""
    per: int
    multiplier: Decimal | None = None
    amount: Decimal
    price_from: str | None = None
    """ISO date from which the price holds, or of the snapshot that carries it."""
    estimated: bool = False
    """True when no provider reported the quantity."""


class Cost(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """What one attempt, or one record, cost.

    ``source`` says how sure the figure is: ``computed`` (reported usage times dated prices),
    ``provider_reported`` (the provider stated it), ``estimated`` (no quantity was reported), ``partial``
    (some were), ``cache_hit`` (nothing was sent), ``unknown`` (``reason`` says why; ``amount`` is None).
    """

    amount: Decimal | None
    """US dollars."""
    source: CostSource
    lines: tuple[CostLine, ...] = ()
    estimated: bool = False
    """True when any quantity was not reported by the provider."""
    tokenizer: str | None = None
    """Name of the count behind estimated quantities."""
    computed: Decimal | None = None
    """Our own figure, beside one the provider reported."""
    avoided: Decimal | None = None
    """US dollars a cache hit did not spend."""
    reason: str | None = None
    """Why the amount is unknown, in a word: ``no_provider`` (the host is in no catalogue), ``no_price`` (a
    quantity that was used has no price row), ``no_usage`` (nothing was reported, nothing could be counted),
    ``price_failed`` (a fault of ours; the log has it)."""
    flags: tuple[str, ...] = ()
    """What to doubt about a known amount: ``usage_inconsistent`` and ``usage_invalid`` as in ``Usage.flags``,
    ``tier_unpriced`` (the tier that served the call has no price of its own, so the standard one was taken),
    ``price_drift`` (what the provider reported is more than 2% away from ``computed``)."""


class Estimate(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Token counts we made ourselves because the provider gave none; None where it did."""

    input_tokens: int | None
    output_tokens: int | None
    tokenizer: str


class Priced(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Who served what, as far as it decides the price."""

    provider: str | None
    api: str
    """The dialect's name, such as ``openai-chat``."""
    model: str | None
    """The served model where the response names it, else the one asked for."""
    requested_model: str | None = None
    """Tried where the served name has no price."""
    service_tier: str | None = None
    """The tier that served the call, never the one asked for."""
    region: str | None = None
    """The provider's own name of the region, where prices differ by it."""


EXACT: Final = Context(prec=400, Emin=-200, Emax=200, traps=[InvalidOperation, DivisionByZero, Overflow, Inexact])
"""Money is computed in this context, by its methods: it raises where it would have to round. Figures that are
checked (counts up to 2**53, decimals with exponents up to 30 either way) never bring it to that."""


def plain(amount: Decimal) -> Decimal:
    """The same amount without trailing zeros and, where it is whole, without an exponent."""
    amount = EXACT.normalize(amount)
    return EXACT.quantize(amount, _ONE) if amount >= _TEN and amount == EXACT.to_integral_value(amount) else amount


_ONE: Final = Decimal(1)
_TEN: Final = Decimal(10)
_ZERO: Final = Decimal(0)


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    amount = _ZERO
    for each in amounts:
        amount = EXACT.add(amount, each)
    return plain(amount)


PriceFn = Callable[[Usage | None, Priced, dt.datetime, Estimate | None], Cost]
"""``price(usage, what, when, estimate)``: what the chain is given to turn usage into money. Never raises."""
