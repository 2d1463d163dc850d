"""What is done in processes that are forked from this one."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from types import MethodType


def in_children(method: Callable[[], object]) -> None:
    """Call ``method``, which is bound, in each forked child, as long as its object lives: the locks, threads and
    connections that a child inherits are its parent's."""
    assert isinstance(method, MethodType)
    # A WeakMethod would call back when the object dies, in whatever is going on then.
    owner, function = weakref.ref(method.__self__), method.__func__

    def in_child() -> None:
        if (alive := owner()) is not None:
            function(alive)

    os.register_at_fork(after_in_child=in_child)
