"""``wrap()`` and ``unwrap()``: a chain under the client you already have."""

from __future__ import annotations

import functools
import weakref
from typing import Any, Final, TypeVar

from interlay.chain.chain import Chain
from interlay.entry import process
from interlay.entry.holders import http_clients, put_seat, seat_of, take_seat
from interlay.entry.seat import Seat, bounded
from interlay.model.arguments import shown
from interlay.model.errors import ConfigError

C = TypeVar("C")

_WAIT: Final = "_calculate_retry_timeout"
"""The method of Stainless-made SDKs (openai, anthropic, groq, together) that says how long to wait before a retry.
Private, and there is no other door."""
_COPIES: Final = ("copy", "with_options")
"""Their methods that make a sibling, which shares the HTTP client."""

_RETRIES: Final = (
    ((), "max_retries", 0),
    (("_client_wrapper", "httpx_client"), "base_max_retries", 0),
    (("sdk_configuration",), "retry_config", None),
)
"""Where SDKs keep whether they retry, and what says that they do not: openai and its kin; cohere; mistralai."""

_sdk_retries: weakref.WeakKeyDictionary[Any, list[tuple[Any, str, Any]]] = weakref.WeakKeyDictionary()
"""What was there before, by client."""


def wrap(client: C, *parts: object, provider: str | None = None) -> C:
    """Put a chain under ``client`` and return the same client.

    Every call then ends in one record (``interlay.last()``), with its tokens, its cost and how it ended. The chain
    sits under the HTTP client, so clients that share it (``with_options``) are wrapped too. Wrapping again replaces
    the chain. Where a part retries, the SDK's own retries are switched off. Where it retries by itself and the call has
    a deadline (``Timeout(total=…)``, ``using(deadline=…)``), it waits before its next send no longer than that leaves:
    in this client, and in those made from it later. A client that has no method ``_calculate_retry_timeout``, and a
    sibling that was there before, sends nothing after the deadline either, but first waits as long as it would.

    Args:
        client: an SDK client (openai, anthropic and their kin, google-genai and mistralai with both their sides,
            cohere, ollama), or an httpx or httpx2 client.
        parts: layers and observers, in any order; or one ``Chain``.
        provider: who serves this client's host, where the host is not in the catalogue: ``"openai"``.

    Raises:
        PartError: for a part that is neither a layer nor an observer.
        ConfigError: for a client that holds no HTTP client we know, or one of whose sides would go past us.
    """
    if provider is not None and not (isinstance(provider, str) and provider):
        raise ConfigError(f"wrap(provider={shown(provider)}): expected the name of a provider, such as 'openai'")
    chain = parts[0] if len(parts) == 1 and isinstance(parts[0], Chain) else Chain(*parts)
    held = http_clients(client, "wrap")
    seat = next((found for http in held if (found := seat_of(http)) is not None), None)
    if seat is not None:
        _restore(client)
        seat.install(chain, provider)
    else:
        seat = Seat(chain, recorder=process.recorder, price=process.price(), provider=provider)
    for http in held:
        if seat_of(http) is None:
            put_seat(http, seat)
    if seat.retries:
        _switch_off_retries(client)
    _bound_waits(client)
    return client


def unwrap(client: C) -> C:
    """Undo ``wrap``: the client's own transports and retries are put back. Does nothing to a client that is not
    wrapped."""
    for http in http_clients(client, "unwrap"):
        take_seat(http)
    _restore(client)
    for name in (_WAIT, *_COPIES):
        if hasattr(vars(client).get(name), "interlay_bounds"):
            delattr(client, name)
    return client


def _switch_off_retries(client: Any) -> None:
    found: list[tuple[Any, str, Any]] = []
    for path, name, off in _RETRIES:
        holder = functools.reduce(lambda held, step: getattr(held, step, None), path, client)
        if name in getattr(holder, "__dict__", ()):
            found.append((holder, name, getattr(holder, name)))
            setattr(holder, name, off)
    if found:
        _sdk_retries[client] = found


def _restore(client: Any) -> None:
    for holder, name, value in _sdk_retries.pop(client, ()):
        setattr(holder, name, value)


def _bound_waits(client: Any) -> None:
    """Let an SDK's client, and every sibling that is made from it, wait before a retry no longer than its call's
    deadline leaves. Methods that somebody else has put into the client are left alone."""
    own = vars(client)
    if not hasattr(type(client), _WAIT) or _WAIT in own:
        return
    wait = getattr(client, _WAIT)

    @functools.wraps(wait)
    def waits(*args: Any, **kwargs: Any) -> float:
        seconds: float = wait(*args, **kwargs)
        return seconds if seat_of(_http_client(client)) is None else bounded(seconds)

    waits.interlay_bounds = True  # type: ignore[attr-defined]
    setattr(client, _WAIT, waits)
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


def _http_client(client: Any) -> Any:
    return http_clients(client, "unwrap")[0]
