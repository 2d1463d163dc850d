"""Replaying recorded exchanges through the real SDKs, and putting what came of it into comparable form."""

from __future__ import annotations

import importlib
import inspect
import os
import warnings
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import anthropic
import openai

from interlay.testing import Exchange, Player, Recording, transports

Colour = Literal["sync", "async"]
Mode = Literal["object", "raw", "bytes"]
"""``object``: what the program gets. ``raw``: ``with_raw_response``. ``bytes``: ``with_streaming_response``."""

CASSETTES = Path(__file__).parent / "cassettes"
ENDINGS = ("/v1/messages", "/messages", "/chat/completions", "/responses", "/embeddings")
"""How the paths end that the SDKs know."""


@dataclass(frozen=True)
class Case:
    """One exchange to replay."""

    id: str
    dialect: str
    exchange: Exchange


def cases() -> list[Case]:
    """Every exchange here; others with ``INTERLAY_CASSETTES=folder``."""
    folder = Path(os.environ.get("INTERLAY_CASSETTES", CASSETTES))
    found = []
    for recording in Recording.load_all(folder):
        for number, exchange in enumerate(recording.exchanges):
            name = recording.id if len(recording.exchanges) == 1 else f"{recording.id}.{number + 1}"
            path = exchange.request.path
            if path.endswith(ENDINGS) and exchange.request.method == "POST":
                found.append(Case(name, recording.dialect, exchange))
    return found


def is_anthropic(exchange: Exchange) -> bool:
    return exchange.request.path.endswith("/messages")


def library(sdk: ModuleType) -> ModuleType:
    """The HTTP library that an SDK's own clients are built on."""
    client: Any = sdk.OpenAI(api_key="none") if sdk is openai else sdk.Anthropic(api_key="none")
    with client:
        for base in type(client._client).__mro__:
            name = base.__module__.partition(".")[0]
            if name in ("httpx", "httpx2"):
                return importlib.import_module(name)
    raise AssertionError(f"{sdk.__name__} is built on no library we know")


def client(sdk: ModuleType, colour: Colour, player: Player | None = None, **options: Any) -> Any:
    """A client of an SDK, over ``player`` in memory if there is one."""
    module = library(sdk)
    names = {
        (openai, "sync"): "OpenAI",
        (openai, "async"): "AsyncOpenAI",
        (anthropic, "sync"): "Anthropic",
        (anthropic, "async"): "AsyncAnthropic",
    }
    if player is not None:
        wires = transports(module)
        if colour == "sync":
            options["http_client"] = module.Client(transport=wires.sync(player))
        else:
            options["http_client"] = module.AsyncClient(transport=wires.asynchronous(player))
    options = {"api_key": "sk-test", "max_retries": 0, "timeout": 20.0} | options
    return getattr(sdk, names[sdk, colour])(**options)


def base_url(exchange: Exchange, server: str | None = None) -> str:
    """What to point a client at, so that it asks for what was asked for; at a local server if one is named."""
    path = exchange.request.path
    for ending in ENDINGS:
        if path.endswith(ending):
            path = path.removesuffix(ending)
            break
    return (server or f"https://{exchange.request.host}") + path


def invocation(client: Any, exchange: Exchange, *, ask_usage: bool = True) -> tuple[Any, dict[str, Any]]:
    """The resource to call ``create`` on, and its arguments. ``ask_usage=False`` leaves out ``stream_options``."""
    request = exchange.request
    body = dict(request.body)
    if not ask_usage:
        body.pop("stream_options", None)
    query = dict(pair.split("=", 1) for pair in request.query.split("&") if "=" in pair)
    if is_anthropic(exchange):
        beta = query.pop("beta", None) is not None
        resource = client.beta.messages if beta else client.messages
    elif request.path.endswith("/responses"):
        resource = client.responses
    elif request.path.endswith("/embeddings"):
        resource = client.embeddings
    else:
        resource = client.chat.completions
    known = inspect.signature(resource.create).parameters
    arguments = {name: value for name, value in body.items() if name in known}
    extra = {name: value for name, value in body.items() if name not in known}
    if extra:
        arguments["extra_body"] = extra
    if query:
        arguments["extra_query"] = query
    headers = {k: v for k, v in request.headers.items() if k.startswith("anthropic-")}
    if headers:
        arguments["extra_headers"] = headers
    return resource, arguments


Outcome = list[tuple[str, Any]]
"""What a replay came to, part by part: equal outcomes are equal lists."""


def replay(client: Any, exchange: Exchange, mode: Mode, *, ask_usage: bool = True) -> Outcome:
    """One call, synchronously."""
    resource, arguments = invocation(client, exchange, ask_usage=ask_usage)
    seen: Outcome = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            if mode == "object":
                _take(seen, resource.create(**arguments))
            elif mode == "raw":
                raw = resource.with_raw_response.create(**arguments)
                _head(seen, raw.http_response)
                seen.append(("request id", raw.headers.get("x-request-id") or raw.headers.get("request-id")))
                _take(seen, raw.parse())
                seen.append(("content", raw.http_response.content if not _streams(arguments) else None))
            else:
                with resource.with_streaming_response.create(**arguments) as response:
                    _head(seen, response.http_response)
                    seen.append(("bytes", b"".join(response.iter_bytes())))
        except Exception as error:  # noqa: BLE001 - what it is, is the outcome
            seen += told(error)
    seen.append(("warnings", [str(warning.message) for warning in warned]))
    return seen


async def areplay(client: Any, exchange: Exchange, mode: Mode, *, ask_usage: bool = True) -> Outcome:
    """One call, asynchronously."""
    resource, arguments = invocation(client, exchange, ask_usage=ask_usage)
    seen: Outcome = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            if mode == "object":
                await _atake(seen, await resource.create(**arguments))
            elif mode == "raw":
                raw = await resource.with_raw_response.create(**arguments)
                _head(seen, raw.http_response)
                seen.append(("request id", raw.headers.get("x-request-id") or raw.headers.get("request-id")))
                parsed = raw.parse()
                await _atake(seen, (await parsed) if inspect.isawaitable(parsed) else parsed)
                seen.append(("content", raw.http_response.content if not _streams(arguments) else None))
            else:
                async with resource.with_streaming_response.create(**arguments) as response:
                    _head(seen, response.http_response)
                    seen.append(("bytes", b"".join([piece async for piece in response.iter_bytes()])))
        except Exception as error:  # noqa: BLE001 - what it is, is the outcome
            seen += told(error)
    seen.append(("warnings", [str(warning.message) for warning in warned]))
    return seen


def raw_bytes(client: Any, exchange: Exchange) -> bytes:
    """The body as it came over the wire, still compressed."""
    resource, arguments = invocation(client, exchange)
    with warnings.catch_warnings(action="ignore"), resource.with_streaming_response.create(**arguments) as response:
        return b"".join(response.http_response.iter_raw())


async def araw_bytes(client: Any, exchange: Exchange) -> bytes:
    resource, arguments = invocation(client, exchange)
    with warnings.catch_warnings(action="ignore"):
        async with resource.with_streaming_response.create(**arguments) as response:
            return b"".join([piece async for piece in response.http_response.aiter_raw()])


def _streams(arguments: dict[str, Any]) -> bool:
    return arguments.get("stream") is True


def _head(seen: Outcome, response: Any) -> None:
    seen.append(("status", response.status_code))
    seen.append(("headers", sorted(response.headers.multi_items())))
    seen.append(("http version", response.http_version))


def _take(seen: Outcome, result: Any) -> None:
    if isinstance(result, Iterator) or (hasattr(result, "__iter__") and hasattr(result, "response")):
        for event in result:
            seen.append(("event", dumped(event)))
    else:
        seen.append(("object", dumped(result)))


async def _atake(seen: Outcome, result: Any) -> None:
    if isinstance(result, AsyncIterator) or hasattr(result, "__aiter__"):
        async for event in result:
            seen.append(("event", dumped(event)))
    else:
        seen.append(("object", dumped(result)))


def dumped(value: Any) -> Any:
    """An SDK's object: its class, its JSON, its Python form, its request id."""
    if not hasattr(value, "model_dump"):
        return repr(value)
    return (
        type(value).__name__,
        value.to_json(),
        value.model_dump(warnings=False),
        getattr(value, "_request_id", None),
    )


def told(error: BaseException) -> Outcome:
    """All that an SDK's exception says."""
    response = getattr(error, "response", None)
    return [
        ("error", f"{type(error).__module__}.{type(error).__name__}"),
        ("message", str(error)),
        *(
            (name, getattr(error, name, None))
            for name in ("status_code", "body", "request_id", "code", "type", "param")
        ),
        ("error headers", sorted(response.headers.multi_items()) if response is not None else None),
        ("error content", response.content if response is not None else None),
        ("cause", None if error.__cause__ is None else [type(error.__cause__).__name__, str(error.__cause__)]),
    ]
