"""``wrap()`` and ``unwrap()``: a chain under the client you already have."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterator
from typing import Any, Final, TypeVar

from interlay.chain.chain import Chain
from interlay.entry import process
from interlay.entry.seat import Seat, seconds_left
from interlay.entry.wire import library_of, transports
from interlay.model.arguments import shown
from interlay.model.errors import ConfigError

C = TypeVar("C")

_HOLDERS = ("_client", "http_client", "_http_client")
"""Where the SDKs keep their HTTP client."""

_WAIT: Final = "_calculate_retry_timeout"
"""The method of Stainless-made SDKs (openai, anthropic, groq, together) that says how long to wait before a retry.
Private, and there is no other door."""
_COPIES: Final = ("copy", "with_options")
"""Their methods that make a sibling, which shares the HTTP client."""

_sdk_retries: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def wrap(client: C, *parts: object, provider: str | None = None) -> C:
    """Put a chain under ``client`` and return the same client.

    Every call then ends in one record (``interlay.last()``), with its tokens, its cost and how it ended. The chain
    sits under the HTTP client, so clients that share it (``with_options``) are wrapped too. Wrapping again replaces
    the chain. Where a part retries, the SDK's own retries are switched off. Where it retries by itself and the call has
    a deadline (``Timeout(total=…)``, ``using(deadline=…)``), it waits before its next send no longer than that leaves:
    in this client, and in those made from it later. A client that has no method ``_calculate_retry_timeout``, and a
    sibling that was there before, sends nothing after the deadline either, but first waits as long as it would.

    Args:
        client: an SDK client (openai, anthropic and their kin), or an httpx or httpx2 client.
        parts: layers and observers, in any order; or one ``Chain``.
        provider: who serves this client's host, where the host is not in the catalogue: ``"openai"``.

    Raises:
        PartError: for a part that is neither a layer nor an observer.
        ConfigError: for a client that holds no HTTP client we know.
    """
    if provider is not None and not (isinstance(provider, str) and provider):
        raise ConfigError(f"wrap(provider={shown(provider)}): expected the name of a provider, such as 'openai'")
    chain = parts[0] if len(parts) == 1 and isinstance(parts[0], Chain) else Chain(*parts)
    http = _http_client(client)
    seat = _seat_of(http)
    if seat is not None:
        _restore(client)
        seat.install(chain, provider)
    else:
        seat = Seat(chain, recorder=process.recorder, price=process.price(), provider=provider)
        _seat(http, seat)
    if seat.retries and isinstance(retries := getattr(client, "max_retries", None), int):
        _sdk_retries[client] = retries
        client.max_retries = 0  # type: ignore[attr-defined]
    _bound_waits(client)
    return client


def unwrap(client: C) -> C:
    """Undo ``wrap``: the client's own transports and retries are put back. Does nothing to a client that is not
    wrapped."""
    http = _http_client(client, "unwrap")
    for holder, key, transport in list(_places(http)):
        seat = getattr(type(transport), "interlay_seat", None)
        if seat is not None:
            _put(holder, key, transport.inner)
    _restore(client)
    for name in (_WAIT, *_COPIES):
        if hasattr(vars(client).get(name), "interlay_bounds"):
            delattr(client, name)
    return client


def _restore(client: Any) -> None:
    retries = _sdk_retries.pop(client, None)
    if retries is not None:
        client.max_retries = retries


def _bound_waits(client: Any) -> None:
    """Let an SDK's client, and every sibling that is made from it, wait before a retry no longer than its call's
    deadline leaves. Methods that somebody else has put into the client are left alone."""
    own = vars(client)
    if not hasattr(type(client), _WAIT) or _WAIT in own:
        return
    wait = getattr(client, _WAIT)

    @functools.wraps(wait)
    def bounded(*args: Any, **kwargs: Any) -> float:
        seconds: float = wait(*args, **kwargs)
        left = seconds_left() if _seat_of(_http_client(client)) is not None else None
        return seconds if left is None else min(seconds, max(left, 0.0))

    bounded.interlay_bounds = True  # type: ignore[attr-defined]
    setattr(client, _WAIT, bounded)
    for name in _COPIES:
        if hasattr(type(client), name) and name not in own:
            setattr(client, name, _passing_bounds_on(client, getattr(client, name)))


def _passing_bounds_on(client: Any, copy: Any) -> Any:
    @functools.wraps(copy)
    def copied(*args: Any, **kwargs: Any) -> Any:
        sibling = copy(*args, **kwargs)
        if _http_client(sibling) is _http_client(client):
            _bound_waits(sibling)
        return sibling

    copied.interlay_bounds = True  # type: ignore[attr-defined]
    return copied


def _http_client(client: Any, caller: str = "wrap") -> Any:
    if library_of(client) is not None:
        return client
    for name in _HOLDERS:
        held = getattr(client, name, None)
        if held is not None and library_of(held) is not None:
            return held
    given = f"the class {client.__name__}" if isinstance(client, type) else type(client).__name__
    raise ConfigError(
        f"{caller}(client={given}): expected an SDK client built on httpx or httpx2, such as OpenAI() or "
        f"Anthropic(), or an httpx client itself"
    )


def _places(http: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Every transport of an HTTP client, with where it stands: the main one, and one for each proxy or mount."""
    yield http, None, http._transport  # noqa: SLF001 - the seam; the libraries offer no other
    for pattern, transport in http._mounts.items():  # noqa: SLF001
        if transport is not None:
            yield http, pattern, transport


def _put(http: Any, pattern: Any, transport: Any) -> None:
    if pattern is None:
        http._transport = transport  # noqa: SLF001
    else:
        http._mounts[pattern] = transport  # noqa: SLF001


def _seat_of(http: Any) -> Seat | None:
    transport = http._transport  # noqa: SLF001
    return transport.seat if getattr(type(transport), "interlay_seat", None) else None


def _seat(http: Any, seat: Seat) -> None:
    module = library_of(http)
    assert module is not None
    ours = transports(module)
    make = ours.sync if isinstance(http, module.Client) else ours.asynchronous
    for holder, pattern, transport in list(_places(http)):
        _put(holder, pattern, make(transport, seat))
