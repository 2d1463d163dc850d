"""The contract of a layer, and the order of roles."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import ClassVar, Literal, Protocol, runtime_checkable

from interlay.chain.call import Call, Response

Next = Callable[[Call], Awaitable[Response]]

Mode = Literal["on", "shadow"]
"""``shadow``: the layer runs, decides, is recorded, and changes nothing."""


class Role(enum.IntEnum):
    """Where a layer stands, outermost first."""

    ADMIT = 10
    """Rate limits: refuse before any work is done."""
    GUARD = 20
    """Outside the cache: redaction happens before the key is made, and cached answers are checked."""
    CACHE = 30
    ROUTE = 40
    """Which deployment, and which next when it fails."""
    RETRY = 50
    SPEND = 60
    """Budgets: once for each send that may be billed."""
    ATTEMPT = 70
    """Innermost: around every single send."""


@runtime_checkable
class Layer(Protocol):
    """Something that may change what the caller gets.

    A layer awaits only ``next(call)`` and ``call.io``; the same code then serves synchronous and asynchronous
    callers. It may call ``next`` never, once, or several times. A layer that has to set something up for the whole
    call, such as a deadline, may also have a plain method ``begin(call)``, which runs before any layer does.
    """

    role: ClassVar[Role]

    async def __call__(self, call: Call, next: Next) -> Response: ...
