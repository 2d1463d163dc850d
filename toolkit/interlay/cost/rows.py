"""Price rows: one fact each, of the same form in the vendored snapshot, our additions and a user's file.

A row says what one unit of something costs, for which model, and when that holds::

    {"model": "gpt-4o", "unit": "cache_read", "price": "1.25", "per": 1000000, "from": "2024-10-01"}

``model`` is the name a response or a request carries, the id of a model of the snapshot (then the row holds
for all of that model's names), a prefix ending in ``*``, or ``*`` alone for every model. Units of tokens are
disjoint: ``input`` is the prompt without ``cache_read``, ``cache_write``, ``cache_write_5m``,
``cache_write_1h``, ``input_audio``, ``input_image``; ``output`` is the completion without ``reasoning``,
``output_audio``, ``output_image``, ``citation``. A part without a row of its own is priced inside its parent.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from interlay.model.cost import EXACT
from interlay.model.errors import ConfigError

PARENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "input": (),
    "cache_read": ("input",),
    "cache_write": ("cache_write_5m", "input"),
    "cache_write_5m": ("cache_write", "input"),
    "cache_write_1h": ("cache_write", "input"),
    "input_audio": ("input",),
    "input_image": ("input",),
    "cache_read_audio": ("cache_read", "input_audio", "input"),
    "cache_read_image": ("cache_read", "input_image", "input"),
    "output": (),
    "reasoning": ("output",),
    "output_audio": ("output",),
    "output_image": ("output",),
    "citation": ("output",),
}
"""The units of tokens, and the rows that price one which has none of its own, in order."""

MAX_EXPONENT: Final = 30
_WEEKDAYS: Final = {"mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6, "sun": 7}


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One price, or one multiplier of prices."""

    kind: Literal["price", "multiplier"] = "price"
    """A multiplier's ``price`` is a factor; its ``unit`` is the one it is for, or ``*`` for all tokens."""
    provider: str | None = None
    """None: whoever serves the model."""
    model: str = "*"
    unit: str
    price: Decimal
    """US dollars for ``per`` units."""
    per: int = 1_000_000
    tier_over: int = 0
    """The row holds when the whole prompt has more tokens than this; the highest that holds prices it all."""
    from_: dt.date | None = msgspec.field(default=None, name="from")
    """First day, in UTC."""
    to: dt.date | None = None
    """The day after the last."""
    hours_utc: tuple[str, ...] = ()
    """``HH:MM-HH:MM``, end exclusive, past midnight where the end is the smaller; all day where empty."""
    weekdays: tuple[int, ...] = ()
    """1 is Monday, 7 is Sunday, in UTC."""
    when: dict[str, str] = {}
    """What else must hold: ``{"service_tier": "batch"}`` (the tier that served), ``{"region": …}``."""
    source: str | None = None
    checked: dt.date | None = None
    """The day on which the source said so."""

    def holds(self, day: dt.date, context: Mapping[str, str | None]) -> bool:
        """Whether the row holds on a day, hours aside, for a call that was served in some way."""
        if (self.from_ is not None and day < self.from_) or (self.to is not None and day >= self.to):
            return False
        if self.weekdays and day.isoweekday() not in self.weekdays:
            return False
        return all(context.get(name) == value for name, value in self.when.items())

    def minutes(self) -> list[tuple[int, int]]:
        """The hours as spans of minutes of the day."""
        spans: list[tuple[int, int]] = []
        for span in self.hours_utc:
            start, end = (_minute(time) for time in span.split("-"))
            spans += [(start, end)] if start < end else [(start, 1440), (0, end)]
        return spans


def _minute(time: str) -> int:
    hours, _, minutes = time.strip().partition(":")
    return int(hours) * 60 + int(minutes or 0)


def read_rows(rows: Iterable[Mapping[str, Any] | Row], *, name: str = "prices") -> list[Row]:
    """Price rows from plain mappings, checked.

    Raises ``ConfigError`` that names the row's field, its value and what was expected.
    """
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        raise ConfigError(f"{name}: {_shown(rows)}; expected a list of rows, a PriceBook or a path")
    return [row if isinstance(row, Row) else _read_row(row, f"{name}[{i}]") for i, row in enumerate(rows)]


def read_row_file(path: Path) -> list[Row]:
    """Price rows from a file: a JSON list, or one JSON object a line. Raises ``ConfigError``."""
    try:
        data = path.read_bytes()
        listed = data.lstrip().startswith(b"[")
        raw = msgspec.json.decode(data) if listed else msgspec.json.Decoder().decode_lines(data)
    except OSError as error:
        raise ConfigError(f"prices: {path}: {error.strerror}; expected a file of price rows") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"prices: {path}: {error}; expected a JSON list, or one object a line") from error
    return read_rows(raw, name=str(path))


def _read_row(raw: object, name: str) -> Row:
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{name}: {_shown(raw)}; expected an object with at least model, unit and price")
    plain = {**raw}
    for field, read in (("hours_utc", _hours), ("weekdays", _weekdays)):
        if plain.get(field) is not None:
            plain[field] = read(plain[field], f"{name}.{field}")
    try:
        row = msgspec.convert({k: v for k, v in plain.items() if v is not None}, Row)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$.")
        field = place.rstrip("`")
        value = f" {_shown(plain.get(field.partition('[')[0]))};" if field else ""
        raise ConfigError(f"{name}{'.' if field else ''}{field}:{value} {message[0].lower()}{message[1:]}") from error
    _check(row, name)
    return row


def _check(row: Row, name: str) -> None:
    price = row.price
    if not price.is_finite() or price < 0 or abs(price.adjusted()) > MAX_EXPONENT or len(price.as_tuple().digits) > 50:
        raise ConfigError(f"{name}.price: {price}; expected a decimal from 0 to 1e{MAX_EXPONENT}")
    if not 1 <= row.per <= 10**MAX_EXPONENT or _is_endless(row.per):
        raise ConfigError(
            f"{name}.per: {row.per}; expected a number such as 1, 1000 or 1000000 (2 and 5 its only primes)"
        )
    if row.tier_over < 0:
        raise ConfigError(f"{name}.tier_over: {row.tier_over}; expected a number of tokens")
    if row.from_ is not None and row.to is not None and row.to <= row.from_:
        raise ConfigError(f"{name}.to: {row.to}; expected a day after `from`, {row.from_}")


def _is_endless(per: int) -> bool:
    """Whether dividing by this gives decimals without end."""
    for prime in (2, 5):
        while per % prime == 0:
            per //= prime
    return per != 1


def rate(price: Decimal, per: int, multiplier: Decimal | None) -> Decimal:
    """US dollars for one unit, exactly."""
    amount = EXACT.divide(price, Decimal(per))
    return amount if multiplier is None else EXACT.multiply(amount, multiplier)


_SPAN: Final = re.compile(r"(?:[01]?\d|2[0-4])(?::[0-5]\d)?\s*-\s*(?:[01]?\d|2[0-4])(?::[0-5]\d)?")


def _hours(value: object, name: str) -> list[str]:
    """Hours as text: ``"01:00-04:00"``, ``"1-4"``, ``[1, 4]``, or a list of such."""
    if _is_pair(value):
        value = [value]
    spans = [value] if isinstance(value, str) else value
    read: list[str] = []
    for span in spans if isinstance(spans, list | tuple) else [spans]:
        text = "-".join(map(str, span)) if isinstance(span, list | tuple) else span
        if not isinstance(text, str) or not _SPAN.fullmatch(text.strip()):
            raise ConfigError(f'{name}: {_shown(value)}; expected hours such as "01:00-04:00"')
        read.append(text.strip())
    return read


def _is_pair(value: object) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return False
    return all(isinstance(end, int) or (isinstance(end, str) and "-" not in end) for end in value)


def _weekdays(value: object, name: str) -> list[int]:
    read: list[int] = []
    for day in value if isinstance(value, list | tuple) else [value]:
        number = _WEEKDAYS.get(day[:3].lower()) if isinstance(day, str) else day
        if not isinstance(number, int) or not 1 <= number <= 7:
            raise ConfigError(f"{name}: {_shown(value)}; expected days as 1 (Monday) to 7, or mon to sun")
        read.append(number)
    return read


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
