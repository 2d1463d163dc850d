"""Where SDKs keep their HTTP clients, and where those keep their transports: our seats go there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from interlay.entry.seat import Seat
from interlay.entry.wire import library_of, transports
from interlay.model.errors import ConfigError

_HOLDERS: Final = (
    ("_client",),
    ("http_client",),
    ("_http_client",),
    ("_api_client", "_httpx_client"),
    ("_api_client", "_async_httpx_client"),
    ("sdk_configuration", "client"),
    ("sdk_configuration", "async_client"),
    ("_client_wrapper", "httpx_client", "httpx_client"),
)
"""Attributes that lead from an SDK's client to an HTTP client: the fourth to the seventh of google-genai's and of
mistralai's, which have one for each colour, the last of cohere's."""
_MAKER: Final = "_inner_client_cls"
"""Where google-genai's async client, which has an HTTP client of its own for each event loop, keeps what makes them."""


def http_clients(client: Any, caller: str) -> list[Any]:
    """The HTTP clients of an SDK's client, of both colours where it has both; an HTTP client itself is its own.

    Raises ``ConfigError`` where there is none that we know; for ``wrap`` also where one side would go past us.
    """
    if library_of(client) is not None:
        return [client]
    found: list[Any] = []
    for path in _HOLDERS:
        held = client
        for name in path:
            held = getattr(held, name, None)
        if library_of(held) is not None and not any(held is each for each in found):
            found.append(held)
    given = f"the class {client.__name__}" if isinstance(client, type) else type(client).__name__
    if not found:
        raise ConfigError(
            f"{caller}(client={given}): expected an SDK client built on httpx or httpx2, such as OpenAI() or "
            f"Anthropic(), or an httpx client itself"
        )
    if caller == "wrap" and _goes_past_us(client):
        raise ConfigError(
            f"wrap(client={given}): its async side is not on httpx; expected a client that was given one, with "
            f"http_options={{'httpx_async_client': httpx2.AsyncClient()}}"
        )
    return found


def _goes_past_us(client: Any) -> bool:
    """Whether google-genai has picked aiohttp, or another wire, for its async side."""
    inner: Any = getattr(client, "_api_client", None)
    picks_aiohttp = getattr(inner, "_use_aiohttp", None)
    if callable(picks_aiohttp) and picks_aiohttp():
        return True
    return hasattr(inner, "_async_httpx_client") and library_of(inner._async_httpx_client) is None  # noqa: SLF001


def seat_of(http: Any) -> Seat | None:
    """The seat under an HTTP client, where there is one."""
    maker = vars(http).get(_MAKER)
    if (seat := getattr(maker, "interlay_seat", None)) is not None:
        return seat  # type: ignore[no-any-return]
    transport = http._transport  # noqa: SLF001
    return transport.seat if getattr(type(transport), "interlay_seat", None) else None


def put_seat(http: Any, seat: Seat) -> None:
    """Put our transports under an HTTP client, and under those that it makes for event loops."""
    if getattr(http, "_per_loop", False) is True and hasattr(http, _MAKER):
        _seat_makers(http, seat)
        return
    module = library_of(http)
    assert module is not None
    ours = transports(module)
    make = ours.sync if isinstance(http, module.Client) else ours.asynchronous
    for pattern, transport in list(_places(http)):
        _put(http, pattern, make(transport, seat))


def take_seat(http: Any) -> None:
    """Put the client's own transports back."""
    maker = vars(http).get(_MAKER)
    if hasattr(maker, "interlay_seat"):
        if maker.interlay_before is None:
            delattr(http, _MAKER)
        else:
            setattr(http, _MAKER, maker.interlay_before)
        for inner in list(http._loop_clients.values()):  # noqa: SLF001
            take_seat(inner)
    for pattern, transport in list(_places(http)):
        if getattr(type(transport), "interlay_seat", None) is not None:
            _put(http, pattern, transport.inner)


def _seat_makers(http: Any, seat: Seat) -> None:
    make = getattr(http, _MAKER)

    def made(**settings: Any) -> Any:
        inner = make(**settings)
        put_seat(inner, seat)
        return inner

    made.interlay_seat = seat  # type: ignore[attr-defined]
    made.interlay_before = vars(http).get(_MAKER)  # type: ignore[attr-defined]
    setattr(http, _MAKER, made)
    for inner in list(http._loop_clients.values()):  # noqa: SLF001
        put_seat(inner, seat)


def _places(http: Any) -> Iterator[tuple[Any, Any]]:
    """Every transport of an HTTP client, with the pattern it is for: the main one, and one for each proxy or mount."""
    yield None, http._transport  # noqa: SLF001 - the seam; the libraries offer no other
    for pattern, transport in http._mounts.items():  # noqa: SLF001
        if transport is not None:
            yield pattern, transport


def _put(http: Any, pattern: Any, transport: Any) -> None:
    if pattern is None:
        http._transport = transport  # noqa: SLF001
    else:
        http._mounts[pattern] = transport  # noqa: SLF001
