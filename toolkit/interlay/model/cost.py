"""What a call cost, line by line."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Literal

import msgspec

from interlay.model.usage import Usage

CostSource = Literal["computed", "provider_reported", "estimated", "partial", "cache_hit", "unknown"]


class CostLine(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One priced quantity. ``amount`` is exactly ``quantity * price / per`` (times ``multiplier``), in US dollars."""

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


class Cost(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What one attempt, or one record, cost.

    ``source`` says how sure the figure is: ``computed`` (reported usage times dated prices),
    ``provider_reported`` (the provider stated it), ``estimated`` (no quantity was reported), ``partial`` (some
    were), ``cache_hit`` (nothing was sent), ``unknown`` (no price, or no usage; ``amount`` is then None).
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
    """Why the amount is unknown, in a word: ``no_provider``, ``no_price``, ``no_usage``."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """Token counts we made ourselves because the provider gave none; None where it did."""

    input_tokens: int | None
    output_tokens: int | None
    tokenizer: str


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """Who served what, as far as it decides the price."""

    provider: str | None
    api: str
    """The dialect's name, such as ``openai-chat``."""
    model: str | None
    """The served model where the response names it, else the one asked for."""
    requested_model: str | None = None
    """Tried where the served name has no price."""
    service_tier: str | None = None


PriceFn = Callable[[Usage | None, Priced, dt.datetime, Estimate | None], Cost]
"""``price(usage, what, when, estimate)``: what the chain is given to turn usage into money. Never raises."""
