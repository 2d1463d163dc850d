"""What a layer has to offer so that it can be rehearsed."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, Protocol, runtime_checkable

import msgspec

from interlay.layers.rehearsal.past import NOTHING, Past


class Decision(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What a layer would have done about one call."""

    layer: str
    does: Literal["pass", "answer", "refuse"]
    """``pass``: the call goes on to the next layer. ``answer``: it gets an answer that was there already. ``refuse``:
    it gets none."""
    outcome: str
    """As the record would say it: of a cache ``hit``, ``miss``, …; of others what they call their verdicts."""
    reason: str
    spends: Decimal | None = NOTHING
    """US dollars of what the layer has sent beside the call, such as the refresh of a stale answer; None where nobody
    knows them."""
    shadow: bool = False
    """Whether it would only have said so: the call goes on."""


class Rehearsal(Protocol):
    """A layer's decisions without its deeds. Made anew for each backtest, and told of calls in the order in which they
    were made."""

    def see(self, past: Past) -> Decision | None:
        """What it would have done about a call, at the time of the call; None where it has no say in it."""
        ...

    def sent(self, past: Past) -> None:
        """The call that it saw last was let through by all others too: it was sent, and ended as the record says."""
        ...


@runtime_checkable
class Rehearsable(Protocol):
    """A layer that can be rehearsed."""

    def rehearse(self) -> Rehearsal:
        """A rehearsal of it that has seen nothing yet."""
        ...
