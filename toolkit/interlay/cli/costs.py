"""What a call cost, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from rich.text import Text

from interlay.cli import words
from interlay.cli.family import Family
from interlay.cli.table import Column, Table
from interlay.cli.terminal import Looks
from interlay.model.cost import Cost, CostLine
from interlay.telemetry.calls import FoldedCall

_COLUMNS: Final = (
    Column("unit"),
    Column("quantity", right=True),
    Column("$ per 1M", right=True),
    Column("USD", right=True),
    Column("price from"),
)
_MILLION: Final = 1_000_000
_WHY: Final = {
    "no_provider": "whose host this is, is not known",
    "no_price": "there is no price for it",
    "no_usage": "no usage was reported",
    "no_response": "no response came, so nobody can know",
    "price_failed": "pricing it failed",
}


def cost_lines(family: Family, looks: Looks) -> Iterator[Text]:
    """A table of quantities, prices and amounts, and how sure the sum is; the sum with the calls inside."""
    if family.call.cost is not None:
        yield from _own(family.call, family.call.cost, looks)
    elif family.cost is None:
        yield Text("  cost  - (no call to a model)", style="dim")
    if family.inside and family.cost is not None:
        unknown = f", and {family.unknown} of unknown cost" if family.unknown else ""
        yield Text("  with all inside  ").append(words.money(family.cost), style="bold").append(unknown)


def _own(call: FoldedCall, cost: Cost, looks: Looks) -> Iterator[Text]:
    rows = [_row(line) for line in cost.lines]
    unbilled = sum(1 for attempt in call.sends if attempt.error is not None and not attempt.billed)
    if unbilled and cost.lines:
        rows.append(_cells("failed attempts", f"{unbilled:,}", "-", "0", "not billed"))
    amount = words.dollars(cost.amount)[1:] if cost.amount is not None else "unknown"
    rows.append([Text(_surety(cost), style="bold"), Text(), Text(), Text(amount, style="bold"), Text(_aside(cost))])
    narrower = Looks(looks.width - 2, looks.unicode, looks.fancy)
    for line in Table(_COLUMNS, rows, narrower).lines():
        yield Text("  ").append_text(line)
    if cost.flags:
        yield Text(f"  to doubt: {words.clean(', '.join(cost.flags))}", style="yellow")


def _row(line: CostLine) -> list[Text]:
    price = _price(line)
    source = f"book {line.price_from}" if line.price_from else ""
    unit = line.unit.removesuffix("_tokens").replace("_", " ")
    quantity = f"{'~' if line.estimated else ''}{line.quantity:,}"
    return _cells(words.clean(unit), quantity, price, words.dollars(line.amount)[1:], words.clean(source))


def _cells(*texts: str) -> list[Text]:
    return [Text(text) for text in texts]


def _price(line: CostLine) -> str:
    """For a million where that is how it is priced, else for as many as it is."""
    price = line.price
    if line.per < _MILLION and line.unit.endswith("tokens"):
        price, per = price * _MILLION / line.per, _MILLION
    else:
        per = line.per
    text = _at_least_cents(price) + ("" if per == _MILLION else f" per {per:,}")
    return f"{text} × {line.multiplier.normalize():f}" if line.multiplier is not None else text


def _at_least_cents(price: Decimal) -> str:
    text = words.dollars(price)[1:]
    whole, _, part = text.partition(".")
    return f"{whole}.{part:0<2}"


def _surety(cost: Cost) -> str:
    if cost.amount is None:
        return "unknown"
    return {
        "computed": "estimate" if cost.estimated else "exact",
        "provider_reported": "reported by provider",
        "estimated": "estimate",
        "partial": "partly an estimate",
        "cache_hit": "cache hit",
        "unknown": "unknown",
    }[cost.source]


def _aside(cost: Cost) -> str:
    if cost.amount is None:
        return _WHY.get(cost.reason or "", words.clean(cost.reason or ""))
    if cost.source == "provider_reported" and cost.computed is not None:
        return f"computed: {words.dollars(cost.computed)[1:]}"
    if cost.avoided is not None:
        return f"saved {words.dollars(cost.avoided)}"
    return f"counted by {words.clean(cost.tokenizer)}" if cost.estimated and cost.tokenizer else ""
