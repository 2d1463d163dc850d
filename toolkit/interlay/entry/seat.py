"""Where a chain sits: under one HTTP client, shared by every SDK client that uses it."""

from __future__ import annotations

import contextvars
import re
import time
from typing import Any, Final

import msgspec

from interlay import dialects
from interlay.chain.call import Call, Response, Route
from interlay.chain.chain import Chain, Terminal
from interlay.chain.current import current, place
from interlay.chain.io import IO
from interlay.chain.layer import Role
from interlay.chain.recorder import Recorder
from interlay.chain.run import new_id
from interlay.chain.stream import Stream
from interlay.entry import refusals, scope
from interlay.entry.request import HTTPRequest
from interlay.model.caching import Directives
from interlay.model.cost import PriceFn
from interlay.model.errors import Refused, WireError
from interlay.model.record import Server
from interlay.providers.hosts import asks_usage, may_be_signed, provider_of

_ROUTES: Final = 512

# Segments of a path that say what is asked for. Others may name a customer, a deployment or a secret.
_WORDS: Final = frozenset(
    [
        "api",
        "openai",
        "anthropic",
        "chat",
        "completions",
        "messages",
        "count_tokens",
        "batches",
        "responses",
        "embeddings",
        "models",
        "files",
        "images",
        "generations",
        "edits",
        "variations",
        "audio",
        "speech",
        "transcriptions",
        "translations",
        "moderations",
        "rerank",
        "deployments",
        "engines",
        "beta",
        "inference",
        "compatible-mode",
        "paas",
        "conversations",
        "vector_stores",
        "assistants",
        "threads",
        "runs",
        "uploads",
        "fine_tuning",
        "jobs",
        "realtime",
        "evals",
        "containers",
        "ocr",
        "fim",
        "classifications",
        "router",
        "serverless",
    ]
)
_RETRIES: Final = "x-stainless-retry-count"
_VERSION: Final = re.compile(r"v\d{1,2}([a-z]{1,5}\d{0,2})?\Z")
_API_VERSION: Final = re.compile(rb"(?:\A|&)api-version=([^&]{0,64})")
_PORTS: Final = {"http": 80, "https": 443}


class Resumable(msgspec.Struct, kw_only=True):
    """What an SDK's retry of a call continues."""

    call_id: str
    target: str
    deadline: float | None = None
    spent: int = 0
    error: type[WireError] | None = None


_resumable: contextvars.ContextVar[Resumable | None] = contextvars.ContextVar("interlay_call", default=None)


class Seat:
    """A chain bound under one HTTP client. Wrapping again replaces the chain; the seat stays."""

    def __init__(self, chain: Chain, *, recorder: Recorder, price: PriceFn | None, provider: str | None) -> None:
        self.recorder = recorder
        self.price = price
        self.install(chain, provider)

    def install(self, chain: Chain, provider: str | None) -> None:
        """Put another chain here."""
        self.chain = chain
        self.provider = provider
        self._routes: dict[tuple[str, str], Route] = {}
        self._retries = chain.owns(Role.RETRY) or chain.owns(Role.ROUTE)
        self.is_straight = not chain.layers
        """Whether there is no layer, so that nothing has to be stepped through."""

    @property
    def retries(self) -> bool:
        """Whether the chain retries, so that the SDK must not."""
        return self._retries

    def call(self, request: HTTPRequest, io: IO) -> Call:
        """A call for a request that an SDK is about to send."""
        if not self.recorder.runner.is_running:
            self.recorder.runner.ensure()
        route = self._route(request)
        here = scope.current()
        run = self.chain.open(self.recorder, self.price)
        resumed = _resumable.get()
        if resumed is not None and (resumed.target != route.target or int_or_0(request.header(_RETRIES)) == 0):
            resumed = None
        run.on_error = self._remember
        identifier = new_id()
        call = Call(
            id=identifier,
            call_id=identifier if resumed is None else resumed.call_id,
            route=route,
            request=request,
            io=io,
            run=run,
            identity=here.identity,
            body_kind="sealed" if route.may_be_signed and request.signed else request.kind,
            deadline=here.deadline,
            parent=(parent := current.get()),
        )
        if here.cache is not None:
            call.notes[Directives] = here.cache
        if parent is not None:
            call.expire(parent.deadline)
            run.trace = place(parent)
        if resumed is not None:
            call.spent = resumed.spent
            if resumed.error is not None:
                call.resumed = resumed.error("all sends that this call may make have been made")
            call.expire(resumed.deadline)
        return call

    async def run(self, call: Call, send: Terminal) -> Response:
        """Send ``call`` through the chain. What a layer refuses is answered, never raised."""
        chain = self.chain
        try:
            response = await chain.run(call, chain.bind(send, call))
        except Refused as refused:
            return refusals.answer(call, refused, retries=self._retries)
        except BaseException as error:
            self._remember(call, error)
            raise
        if response.status >= 400:
            self._remember(call)
            if self._retries:
                # What Retry gave up on is not for the SDK to try again, whatever its own settings say.
                response.set_header("x-should-retry", "false")
        return response

    def failed(self, call: Call, error: BaseException) -> None:
        """What ``run`` does at an error, where there is no layer to run."""
        self.chain.failed(call, error)
        self._remember(call, error)

    def answered(self, call: Call, stream: Stream) -> None:
        """What ``run`` does with a response, where there is no layer to run."""
        self.chain.answered(call, stream)
        if stream.status >= 400:
            self._remember(call)

    def _remember(self, call: Call, error: BaseException | None = None) -> None:
        """A call that failed, in case an SDK retries it."""
        run = call.run
        _resumable.set(
            Resumable(
                call_id=call.call_id,
                target=call.route.target,
                deadline=call.deadline,
                spent=call.spent + (0 if run.sealed else len(run.sendings)),
                error=type(error) if isinstance(error, WireError) else None,
            )
        )

    def _route(self, request: HTTPRequest) -> Route:
        url = request.native.url
        text = str(url)
        key = (request.method, _place(url) if "?" in text or "@" in text else text)
        route = self._routes.get(key)
        if route is None:
            if len(self._routes) >= _ROUTES:
                self._routes.clear()
            route = self._routes[key] = self._find(request.method, url)
        return route

    def _find(self, method: str, url: Any) -> Route:
        host, path = url.host, url.path
        dialect = dialects.find(method, path)
        name = host if url.port is None else f"{host}:{url.port}"
        port = url.port or _PORTS.get(url.scheme, 0)
        shown = "/".join(s if not s or s in _WORDS or _VERSION.match(s) else "*" for s in path.split("/"))
        return Route(
            dialect=dialect,
            provider=self.provider or provider_of(name),
            target=f"{url.scheme}://{name}{shown}",
            server=Server(address=host, port=port),
            asks_usage=asks_usage(name, url.params.get("api-version")),
            may_be_signed=may_be_signed(name),
        )


def _place(url: Any) -> str:
    """A URL without what may be secret in it, user and query: of the query, the one word that a route is found by."""
    version = _API_VERSION.search(url.query)
    path = url.raw_path.partition(b"?")[0] + (b"?" + version[1] if version is not None else b"")
    return f"{url.scheme}://{url.host}:{url.port}{path.decode('latin-1')}"


def int_or_0(text: str | None) -> int:
    """A count from a header; 0 for what is none."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else 0


def bounded(seconds: float) -> float:
    """How long an SDK may wait that means to wait ``seconds`` before it retries: no longer than the deadline leaves."""
    left = seconds_left()
    return seconds if left is None else min(seconds, max(left, 0.0))


def seconds_left() -> float | None:
    """What its deadline leaves to the call that was last sent in this context; None where it has no deadline. May be
    below 0."""
    sent = _resumable.get()
    return None if sent is None or sent.deadline is None else sent.deadline - time.monotonic()
