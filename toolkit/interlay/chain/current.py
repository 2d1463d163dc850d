"""What is at work here: a layer's call or an observed function, whose calls are its children, or a send."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Protocol

from interlay.chain.run import new_id
from interlay.model.record import Trace

if TYPE_CHECKING:
    from interlay.chain.chain import Chain


class Parent(Protocol):
    """What a call needs of whatever it is made in: a call whose layer makes it, or a function that is observed."""

    @property
    def id(self) -> str:
        """Of its record."""
        ...

    @property
    def parent(self) -> Parent | None:
        """What it is made in itself."""
        ...

    @property
    def chain(self) -> Chain | None:
        """The chain it runs through, if it is a call."""
        ...

    @property
    def deadline(self) -> float | None:
        """Point on the monotonic clock that holds for everything inside."""
        ...

    @property
    def trace(self) -> Trace | None:
        """Where its record stands in a trace, where that is known."""
        ...


class Around(Protocol):
    """What is to be current inside of a function, besides the function itself, or during a send: somebody's span."""

    def enter(self) -> object:
        """Make it current. What comes back goes to ``leave``; in the same context, but for a send that is dropped."""
        ...

    def leave(self, entered: object) -> None:
        """Put back what was current before."""
        ...


class Function(Parent, Protocol):
    """A run of an observed function, as a listener is told of it that has a method ``on_begin``."""

    kind: str
    """``tool``, ``agent`` or ``workflow``."""
    name: str
    started_at: float
    """Seconds since the epoch."""
    around: Around | None
    """What a listener puts there is current whenever the function is at work, and not while it is suspended."""

    @property
    def trace(self) -> Trace | None: ...

    @trace.setter
    def trace(self, value: Trace | None) -> None: ...


current: contextvars.ContextVar[Parent | None] = contextvars.ContextVar("interlay_current", default=None)
sending: contextvars.ContextVar[bool] = contextvars.ContextVar("interlay_sending", default=False)
"""Whether what is sent here has been through a chain already."""

looked_at: contextvars.ContextVar[object] = contextvars.ContextVar("interlay_looked_at", default=None)
"""What an observer is given here, who decides nothing: a call that it looks at is not judged."""


def place(parent: Parent | None, *, begins: bool = False) -> Trace | None:
    """Where in a trace something stands that is made in ``parent``. Without one it ``begins`` a trace, or has none."""
    above = parent.trace if parent is not None else None
    if above is not None:
        return Trace(trace_id=above.trace_id, span_id=new_id()[:16], parent_span_id=above.span_id, flags=above.flags)
    if parent is None and begins:
        return Trace(trace_id=(new_id() + new_id())[:32], span_id=new_id()[:16], flags=1)
    return None
