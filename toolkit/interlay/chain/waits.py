"""How long a server asks to be left alone."""

from __future__ import annotations

import datetime as dt
import math
from email.utils import parsedate_to_datetime

from interlay.chain.call import Response


def asked_wait(response: Response) -> float | None:
    """Seconds that a response asks to wait before the next send: ``retry-after-ms``, else ``retry-after`` in seconds
    or as an HTTP date (RFC 9110, section 10.2.3). None where it asks for none, in a way that cannot be read, or for a
    time that is past: where two clocks differ, that says nothing."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = response.header(name)
        seconds = None if value is None else _seconds(value, unit)
        if seconds is not None and 0 <= seconds < math.inf:
            return seconds
    return None


def _seconds(text: str, unit: float) -> float | None:
    try:
        return float(text) * unit
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=dt.UTC)
    return (until - dt.datetime.now(dt.UTC)).total_seconds()
