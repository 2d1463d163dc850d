"""``instrument()``: a chain under every client there is, without touching one."""

from __future__ import annotations

import functools
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any, Final

from interlay import dialects
from interlay.chain.chain import Chain
from interlay.chain.current import sending
from interlay.entry import process
from interlay.entry.arrivals import Arrivals
from interlay.entry.request import HTTPRequest
from interlay.entry.seat import Seat, bounded
from interlay.entry.wire import transports
from interlay.model.errors import ConfigError
from interlay.providers.hosts import provider_at

LIBRARIES: Final = ("httpx", "httpx2")
"""The HTTP libraries whose transports are reached, by the names they are imported by."""

SDKS: Final = ("openai._base_client", "anthropic._base_client", "groq._base_client", "together._base_client")
"""Where the SDKs that Stainless makes say how long to wait before a retry: the only door there is to these waits."""

Method = Callable[..., Any]


class _Patch:
    """A method of a transport's class with ours over it. Ours passes everything on while it has no ``seat``."""

    def __init__(self, owner: type[Any], name: str) -> None:
        self.owner = owner
        self.name = name
        self.original: Any = vars(owner)[name]
        """Bound by ``__get__`` at each call, as a wrapper of others may have to be told whose method it is."""
        self.function: Method = self.original
        self.seat: Seat | None = None

    def cover(self, function: Method) -> None:
        """Put ``function`` over the original. It looks like it, but for ``__wrapped__``: others, who find that,
        take ours for one of theirs and remove it."""
        functools.update_wrapper(function, self.original)
        del function.__wrapped__  # type: ignore[attr-defined]
        self.function = function
        _patches[id(function)] = self
        setattr(self.owner, self.name, function)


_lock: Final = threading.RLock()
_patches: Final[dict[int, _Patch]] = {}
"""By the identity of our functions, as a wrapper of others may well be equal to what it wraps. Some are called, some
idle inside of such a wrapper."""


def _patch_at(owner: type[Any], name: str) -> _Patch | None:
    """The patch whose function is called there, by itself or by wrappers of others that say what they wrap."""
    function: Any = vars(owner)[name]
    while function is not None and id(function) not in _patches:
        function = getattr(function, "__wrapped__", None)
    return _patches[id(function)] if function is not None else None


def instrument(*parts: object, tracer_provider: object = None) -> None:
    """Put a chain under every httpx and httpx2 client of the process: those that exist, and those to come.

    The transports' own methods are wrapped, as soon as the libraries are imported. Only requests to hosts that the
    catalogue knows, and requests that one of the wire APIs would send, run through the chain and are recorded; all
    others are passed on untouched. So are those of a client that ``wrap()`` has put a chain under, and those that a
    transport of your own answers by itself. Calling it again replaces the chain.

    Where a part retries, an SDK's own retries send nothing beyond it: what the part gave up on is answered with
    ``x-should-retry: false``, which cohere's does not read. Where an SDK retries by itself and the call has a deadline
    (``Timeout(total=…)``, ``using(deadline=…)``), openai, anthropic, groq and together wait before the next send no
    longer than that leaves; others wait as long as they would, and then send nothing.

    Args:
        parts: layers and observers, in any order; or one ``Chain``.
        tracer_provider: an OpenTelemetry provider in which these calls are to be spans, instead of the one that
            ``setup()`` knows of.

    Raises:
        PartError: for a part that is neither a layer nor an observer.
        ConfigError: for a provider that is none, and for one beside a ``Chain``, which is made with its ``Trace(…)``.
    """
    if tracer_provider is not None:
        if any(isinstance(part, Chain) for part in parts):
            raise ConfigError("instrument(Chain(…), tracer_provider=…): put a Trace(tracer_provider) into the chain")
        parts = (*parts, process.spans_in(tracer_provider, "instrument"))
    chain = parts[0] if len(parts) == 1 and isinstance(parts[0], Chain) else Chain(*parts)
    global _seat
    with _lock:
        if _seat is None:
            _seat = Seat(chain, recorder=process.recorder, price=process.price(), provider=None)
        else:
            _seat.install(chain, None)
        process.recorder.instrumented = True
        _arrivals.watch()
    for name in (*LIBRARIES, *SDKS):
        if name in sys.modules:
            # Waits for one that another thread is importing, which itself may wait for our lock.
            _reach(importlib.import_module(name))


def uninstrument() -> None:
    """Undo ``instrument()``: the very same functions are put back, and nothing of ours is called any more.

    Calls under way go on as they began. Where another tool has wrapped the same methods since, its wrapper is left
    alone, with ours idle inside it. Does nothing where nothing is instrumented.
    """
    global _seat
    with _lock:
        _seat = None
        process.recorder.instrumented = False
        _arrivals.leave()
        for patch in _patches.values():
            patch.seat = None
        for owner, name in {(patch.owner, patch.name): None for patch in _patches.values()}:
            while (top := _patches.pop(id(vars(owner)[name]), None)) is not None:
                setattr(owner, name, top.original)


_seat: Seat | None = None


def _reach(module: ModuleType) -> None:
    """Wrap the transports of a library that has been imported."""
    with _lock:
        if _seat is None:
            return
        for owner, name, cover in _places(module):
            patch = _patch_at(owner, name)
            if patch is None:
                patch = _Patch(owner, name)
                cover(module, patch)
            patch.seat = _seat


_arrivals: Final = Arrivals((*LIBRARIES, *SDKS), _reach)


def _places(module: ModuleType) -> Iterator[tuple[type[Any], str, Callable[[ModuleType, _Patch], None]]]:
    """The classes that send, or wait, their methods that do, and what covers these."""
    for kind, name, cover in (
        (("BaseClient", "_calculate_retry_timeout", _cover_wait),)
        if module.__name__ in SDKS
        else (
            ("HTTPTransport", "handle_request", _cover_sync),
            ("AsyncHTTPTransport", "handle_async_request", _cover_async),
        )
    ):
        owner = getattr(module, kind, None)
        if isinstance(owner, type) and name in vars(owner):
            yield owner, name, cover


def _cover_sync(module: ModuleType, patch: _Patch) -> None:
    ours, original = transports(module).sync, patch.original

    def handle_request(self: Any, request: Any) -> Any:
        seat = patch.seat
        if seat is None or _passes(request, module):
            return original.__get__(self)(request)
        return ours(_Inner(handle_request=original.__get__(self)), seat).handle_request(request)

    patch.cover(handle_request)


def _cover_async(module: ModuleType, patch: _Patch) -> None:
    ours, original = transports(module).asynchronous, patch.original

    async def handle_async_request(self: Any, request: Any) -> Any:
        seat = patch.seat
        if seat is None or _passes(request, module):
            return await original.__get__(self)(request)
        return await ours(_Inner(handle_async_request=original.__get__(self)), seat).handle_async_request(request)

    patch.cover(handle_async_request)


def _cover_wait(_module: ModuleType, patch: _Patch) -> None:
    original = patch.original

    def _calculate_retry_timeout(self: Any, *args: Any, **kwargs: Any) -> float:
        seconds: float = original.__get__(self)(*args, **kwargs)
        return seconds if patch.seat is None else bounded(seconds)

    patch.cover(_calculate_retry_timeout)


_Inner = SimpleNamespace


def _passes(request: Any, module: ModuleType) -> bool:
    """Whether a request is none of ours: it has been through a chain, or it goes to no model."""
    if sending.get():
        return True
    url = request.url
    host: str = url.host
    if provider_at(host) is not None:
        return False
    port = url.port
    if port is not None and provider_at(f"{host}:{port}") is not None:
        return False
    dialect = dialects.find(request.method, url.path)
    if dialect is None:
        return True
    # Paths such as `…/messages` are common: at a host that nobody knows, the body has to name a model too.
    body = HTTPRequest(request, module).body
    return body is None or dialect.outline(body).model is None
