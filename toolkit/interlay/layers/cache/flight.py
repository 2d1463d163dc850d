"""A request that is under way, and the calls that wait for its answer."""

from __future__ import annotations

from typing import Literal

from interlay.chain.call import Response
from interlay.chain.io import Signal
from interlay.chain.shared import Shared, share
from interlay.chain.stream import Hook
from interlay.layers.cache.answers import KEPT_HEADERS

State = Literal["sent", "open", "left", "failed", "over"]
"""``sent``: there is no answer yet. ``open``: it can be read along. ``left``: whoever sent it has gone, so that
somebody else is to send. ``failed``: the provider would not, so all may try alone. ``over``: it was read whole."""


class Flight:
    """Begins with a call that is about to be sent."""

    __slots__ = ("epoch", "headers", "kept", "landed", "ready", "shared", "shows_usage", "state", "status")

    def __init__(self, ready: Signal, epoch: int) -> None:
        self.state: State = "sent"
        self.ready = ready
        """Happens when it is ``sent`` no more."""
        self.epoch = epoch
        """How often something had been forgotten when it began."""
        self.kept = False
        """Whether its answer was taken for the store."""
        self.landed: Hook
        """Told of the end of each stream that reads it."""
        self.shared: Shared
        self.status = 0
        self.headers: dict[str, str] = {}
        self.shows_usage = True

    def answered(self, response: Response, *, shows_usage: bool) -> None:
        """From now on others may read along. The response itself is not kept: it has to be found when it is lost."""
        undone = response.stream.undone
        shared = share(response.stream)
        self.shared, self.status, self.shows_usage = shared, response.status, shows_usage
        for name in (*KEPT_HEADERS, "content-encoding"):
            if (value := response.header(name)) is not None and not (name == "content-encoding" and undone):
                self.headers[name] = value
        self.state = "open"
        self.ready.set()

    def end(self, state: Literal["left", "failed", "over"]) -> None:
        """Nobody is to wait for it any more."""
        if self.state in ("sent", "open"):
            self.state = state
            self.ready.set()
