"""The call whose layers are at work here. A call that they make is its child."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlay.chain.call import Call

current: contextvars.ContextVar[Call | None] = contextvars.ContextVar("interlay_current", default=None)
