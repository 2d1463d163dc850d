"""On whose behalf: ``using()`` sets identity for all calls inside, ``carry()`` takes it to other threads."""

from __future__ import annotations

import concurrent.futures
import contextvars
import functools
import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar, overload

import msgspec

from interlay.chain.chain import Chain
from interlay.chain.layer import Role
from interlay.model import caching
from interlay.model.arguments import is_number, shown
from interlay.model.caching import Directives
from interlay.model.record import Identity

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What ``using()`` has set here."""

    identity: Identity = Identity()
    deadline: float | None = None
    """Point on the monotonic clock."""
    cache: Directives | None = None
    """What is wanted of caches."""


_NONE: Final = Scope()
_scope: contextvars.ContextVar[Scope] = contextvars.ContextVar("interlay_scope", default=_NONE)


def current() -> Scope:
    """The scope this code runs in."""
    return _scope.get()


@contextmanager
def using(
    *,
    user: str | None = None,
    session: str | None = None,
    tenant: str | None = None,
    tags: Iterable[str] = (),
    deadline: float | None = None,
    cache: bool | str | Mapping[str, object] | None = None,
    guards: object = None,
) -> Iterator[None]:
    """Set identity, and a deadline, for every call made inside, across tasks and ``asyncio.to_thread``.

    Nested blocks add to the outer one: tags are joined, the earlier deadline holds, so does what is wanted of caches,
    other values replace. Threads
    that you start yourself begin empty in Python: take the scope along with ``carry()``.

    Args:
        user: who asks, in your own words; goes into the record, never onto the wire.
        session: the conversation this belongs to.
        tenant: the customer, where you serve several.
        tags: words to find and sum records by.
        deadline: seconds from now that all calls inside have together.
        cache: what is wanted of caches: False to be given and to keep nothing, a string as in the header
            ``cache-control``, such as ``"no-cache"`` or ``"max-age=60, stale-if-error=3600"``, or a mapping with these
            and with ``ttl`` and ``tags`` for what is kept.
        guards: an override of the chain's guards; a ``TypeError``, as no such part is built yet.

    Raises:
        TypeError: for a value of another type, and for overrides of parts that no chain of the process has.
        ValueError: for a deadline that is not positive, and for directives that there are not.
    """
    if guards is not None:
        raise TypeError("using(guards=…): there is no such part to override in this version")
    directives = None if cache is None else caching.of_user(cache)
    if directives is not None and not Chain.some_owns(Role.CACHE):
        raise TypeError(f"using(cache={shown(cache)}): no chain of this process has a Cache")
    for name, value in (("user", user), ("session", session), ("tenant", tenant)):
        if value is not None and not isinstance(value, str):
            raise TypeError(f"using({name}={shown(value)}): expected a string")
    if isinstance(tags, str):
        raise TypeError(f"using(tags={shown(tags)}): expected a list of strings, such as [{shown(tags)}]")
    if not isinstance(tags, Iterable):
        raise TypeError(f"using(tags={shown(tags)}): expected a list of strings")
    tags = tuple(tags)
    for number, tag in enumerate(tags):
        if not isinstance(tag, str):
            raise TypeError(f"using(tags[{number}]={shown(tag)}): expected a string")
    if deadline is not None and not isinstance(deadline, int | float):
        raise TypeError(f"using(deadline={shown(deadline)}): expected seconds above 0")
    if deadline is not None and not (is_number(deadline) and deadline > 0):
        raise ValueError(f"using(deadline={shown(deadline)}): expected seconds above 0")
    outer = _scope.get()
    was = outer.identity
    until = None if deadline is None else time.monotonic() + deadline
    scope = Scope(
        identity=Identity(
            tenant=tenant or was.tenant,
            user=user or was.user,
            key=was.key,
            session=session or was.session,
            tags=tuple(dict.fromkeys((*was.tags, *tags))),
        ),
        deadline=min((d for d in (outer.deadline, until) if d is not None), default=None),
        cache=outer.cache if directives is None else caching.joined(outer.cache or caching.NONE, directives),
    )
    token = _scope.set(scope)
    try:
        yield
    finally:
        _scope.reset(token)


@overload
def carry(target: concurrent.futures.Executor) -> concurrent.futures.Executor: ...
@overload
def carry(target: F) -> F: ...
def carry(target: Any) -> Any:
    """Take the context of here along to another thread.

    A function comes back as one that runs in a copy of the context ``carry`` was called in; an executor as one
    whose work runs in a copy of the context it was submitted in. Raises ``TypeError`` for anything else.
    """
    if isinstance(target, concurrent.futures.Executor):
        return _Carrying(target)
    if not callable(target):
        raise TypeError(f"carry({type(target).__name__}): expected a function or a concurrent.futures.Executor")
    if inspect.iscoroutinefunction(target):
        scope = _scope.get()

        @functools.wraps(target)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            token = _scope.set(scope)
            try:
                return await target(*args, **kwargs)
            finally:
                _scope.reset(token)

        return awaited
    context = contextvars.copy_context()

    @functools.wraps(target)
    def carried(*args: Any, **kwargs: Any) -> Any:
        # A context can be entered once at a time, and the function may run in many threads.
        return context.copy().run(target, *args, **kwargs)

    return carried


class _Carrying(concurrent.futures.Executor):
    """An executor whose work runs in the context of whoever submits it."""

    def __init__(self, inner: concurrent.futures.Executor) -> None:
        self._inner = inner

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[T]:
        return self._inner.submit(contextvars.copy_context().run, fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002
        self._inner.shutdown(wait, cancel_futures=cancel_futures)
