"""Values as people read them: times, money, tokens, and how a call ended, in a word."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from interlay.model.cost import Cost
from interlay.model.record import Failure, Record
from interlay.telemetry.calls import FoldedCall
from interlay.telemetry.facts import answered_by_cache

_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_KEPT_IN_TEXT: Final = "\n\t"
_PLAIN_FINISH: Final = {"stop", "tool_calls"}


class Outcome(NamedTuple):
    """How something ended."""

    sign: str
    words: str
    style: str


def clean(text: str, *, keep: str = "") -> str:
    """Text of others, made harmless for a terminal: what would steer it is shown as an escape."""
    return _UNPRINTABLE.sub(lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], text)


def clean_text(text: str) -> str:
    """Like ``clean``, for text of several lines."""
    return clean(text, keep=_KEPT_IN_TEXT)


def duration(seconds: float) -> str:
    """Three digits and a unit: ``0.4 ms``, ``212 ms``, ``2.41 s``, ``1 m 05 s``."""
    if seconds < 0.00995:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} m {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} m"


def clock(at: float, now: float) -> str:
    """Local time of today; a date where it was another day."""
    then, today = datetime.fromtimestamp(at).astimezone(), datetime.fromtimestamp(now).astimezone()
    if then.date() == today.date():
        return f"{then:%H:%M:%S}"
    return f"{then:%b %d %H:%M}" if then.year == today.year else f"{then:%Y-%m-%d}"


def tokens(count: int | None) -> str:
    """A count, or a question mark where nobody reported one."""
    return "?" if count is None else f"{count:,}"


def used(call: FoldedCall) -> tuple[str, str]:
    """Tokens in and out: as reported, else as counted for the estimate; empty where there is neither."""
    counts = [call.input_tokens, call.output_tokens]
    if counts != [None, None]:
        return tokens(counts[0]), tokens(counts[1])
    lines = [line for line in (call.cost.lines if call.cost is not None else ()) if line.estimated]
    if not lines:
        return "", ""
    into = sum(line.quantity for line in lines if line.unit.startswith("input"))
    out = sum(line.quantity for line in lines if line.unit.startswith("output"))
    return f"~{into:,}", f"~{out:,}"


def dollars(amount: Decimal) -> str:
    """An exact amount without an exponent or idle zeros: ``$0.0018724``."""
    text = f"{amount:f}"
    return "$" + (text.rstrip("0").rstrip(".") if "." in text else text)


def money(cost: Cost | None) -> str:
    """An amount to read at a glance, to a millionth or to the cent; ``~`` marks what is no exact figure."""
    if cost is None:
        return "-"
    if cost.amount is None:
        return "unknown"
    about = "~" if cost.estimated or cost.source in ("estimated", "partial") else ""
    if not cost.amount:
        return f"{about}$0"
    if abs(cost.amount) < Decimal("0.000001"):
        return f"{about}<$0.000001"
    return f"{about}${cost.amount:.2f}" if abs(cost.amount) >= 100 else f"{about}${cost.amount:.6f}"


def sum_of_money(amount: Decimal) -> str:
    """A sum to read at a glance: to the cent from a dollar on, to a hundredth of one from a cent on, else to a
    millionth."""
    if not amount:
        return "$0"
    if abs(amount) >= 1:
        return f"${amount:,.2f}"
    if abs(amount) >= Decimal("0.01"):
        return f"${amount:.4f}"
    return dollars(amount) if abs(amount) < Decimal("0.000001") else f"${amount:.6f}"


def percent(part: int, whole: int) -> str:
    """A share: ``12.5 %``."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def size(count: int) -> str:
    """Bytes, in three digits: ``812 B``, ``1.24 MB``; a kilobyte is a thousand."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5 or unit == "GB":
            break
        amount /= 1000
    digits = 0 if unit == "B" or amount >= 99.95 else 1 if amount >= 9.995 else 2
    return f"{amount:,.{digits}f} {unit}"


def models(record: Record, *, brief: bool = False) -> str:
    """The model that was asked for, and the one that served where that has another name.

    Where the one's name only says more (a date, mostly) it stands alone; ``brief`` prefers the shorter.
    """
    asked, served = record.model, record.served_model
    if asked and served and not served.startswith(asked):
        return f"{clean(asked)} > {clean(served)}"
    return clean((asked if brief else served) or served or asked or "")


def failure(error: Failure | None, status: int | None = None) -> str:
    """An error's status and type: ``429 rate_limit_error``."""
    if error is None:
        return f"{status}" if status is not None else "error"
    shown = error.status if error.status is not None else status
    shown = shown if shown is None or shown >= 400 else None  # a 200 that was cut is no error of 200
    name = clean(error.type)
    if name in (f"http_{shown}", str(shown)):
        return str(shown)
    return f"{shown} {name}" if shown is not None else name


def outcome(record: Record) -> Outcome:
    """How one run ended, and why."""
    blocked = next((v for v in record.verdicts if v.action == "block" and not v.shadow), None)
    if blocked is not None:
        reason = f" {clean(blocked.reason)}" if blocked.reason else ""
        return Outcome("⊘", f"{clean(blocked.layer)}{reason}", "yellow")
    if record.cache is not None and answered_by_cache(record):
        avoided = record.cost.avoided if record.cost is not None else None
        saved = f", saved {dollars(avoided)}" if avoided else ""
        return Outcome("=", f"{record.cache.outcome}{saved}", "cyan")
    if record.end == "complete":
        reasons = [r for r in (record.response.finish_reasons if record.response else ()) if r not in _PLAIN_FINISH]
        return Outcome("✓", f"complete ({clean(', '.join(reasons))})" if reasons else "complete", "green")
    if record.end == "error":
        return Outcome("✗", failure(record.error, record.response.status if record.response else None), "red")
    words = "reader left" if record.end == "lost" else record.end
    return Outcome("✗", words, "yellow")


def ended(call: FoldedCall, *, brief: bool = False) -> Outcome:
    """How a call ended, and what it took. ``brief``: in a good end the sign stands for the word."""
    sign, words, style = outcome(call.last)
    if call.retries:
        took = f"{call.retries} {'retry' if call.retries == 1 else 'retries'}"
        words = took if brief and words == "complete" else f"{words}, {took}"
    return Outcome(sign, words, style)
