"""The call that goes in and the response that comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from interlay.chain.current import looked_at, place
from interlay.chain.run import new_id, refusal
from interlay.chain.stream import Stream
from interlay.model import json
from interlay.model.errors import ConfigError, DecodeError, WireError
from interlay.model.protocols import Dialect, Outline
from interlay.model.record import Failure, Identity, Link, Server, Trace, Verdict

if TYPE_CHECKING:
    from interlay.chain.chain import Chain
    from interlay.chain.current import Parent
    from interlay.chain.io import IO
    from interlay.chain.run import Run

T = TypeVar("T")

BodyKind = Literal["open", "sealed", "opaque"]

_NOTHING = Outline(readable=False)


class WireRequest(Protocol):
    """An HTTP request as some library has it, ready to be sent."""

    method: str
    body: bytes | None
    """None when it was not read: a stream, a multipart form, or more than we hold."""

    @property
    def headers(self) -> MutableMapping[str, str]:
        """As they will be sent; names in any case."""
        ...

    def header(self, name: str) -> str | None: ...

    def fields(self) -> list[tuple[bytes, bytes]]:
        """The headers as they will be sent, names in any case, in their order."""
        ...

    def patience(self) -> float | None:
        """Seconds that its sender would wait for the next byte of an answer; None for as long as it takes."""
        ...

    def location(self) -> tuple[str, str]:
        """Scheme, host and port, as in ``https://api.openai.com``, and the path as it will be sent."""
        ...

    def query(self) -> bytes:
        """As it will be sent, without the question mark."""
        ...

    def userinfo(self) -> bytes:
        """What stands before the host in the URL: a user and a password."""
        ...

    def secrets(self) -> tuple[str, ...]:
        """The credentials this request carries, in headers and in its URL."""
        ...

    def forget(self) -> None:
        """Let go of all but method and body: it was answered, and nobody asks for its secrets any more."""
        ...


class Route:
    """What is known of a request from its method and URL alone. Made once for each, and shared."""

    __slots__ = (
        "asks_usage",
        "dialect",
        "keyed",
        "may_be_signed",
        "may_stream",
        "operation",
        "provider",
        "server",
        "target",
    )

    def __init__(
        self,
        *,
        dialect: Dialect | None,
        provider: str | None,
        target: str,
        server: Server,
        asks_usage: bool = False,
        may_be_signed: bool = True,
    ) -> None:
        self.dialect = dialect
        self.operation = dialect.operation if dialect is not None else "http"
        self.provider = provider
        self.target = target
        """URL without query, credentials and fragment; path segments that may name something private are ``*``."""
        self.server = server
        self.asks_usage = asks_usage
        """Whether the host's streams report usage only when asked, and take the option."""
        self.may_be_signed = may_be_signed
        """Whether a request may carry a signature over its body."""
        self.may_stream = dialect is not None and dialect.outline(b"{}").streamed
        """Whether answers stream without being asked to in the body."""
        self.keyed: object = None
        """What ``interlay.chain.key`` knows of all requests of this route."""


class Call:
    """One request to a model on its way in.

    Layers read it, and may change its body (``replace_body``), its ``deadline`` and its
    ``notes``. What it carries is never shown to observers beyond this object, and never to exporters.
    """

    __slots__ = (
        "_clear", "_outline", "body_kind", "call_id", "chain", "changed", "deadline", "id", "identity", "io", "judged",
        "notes", "parent", "request", "resumed", "route", "run", "spent",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - made in one place
        self,
        *,
        id: str,
        call_id: str,
        route: Route,
        request: WireRequest,
        io: IO,
        run: Run,
        identity: Identity,
        body_kind: BodyKind = "open",
        deadline: float | None = None,
        parent: Parent | None = None,
    ) -> None:
        self.id = id
        self.call_id = call_id
        self.parent = parent
        """The call whose layer makes this one, or the observed function that does."""
        self.chain: Chain | None = None
        """The chain it runs through."""
        self.route = route
        self.request = request
        self.io = io
        self.run = run
        self.identity = identity
        self.body_kind: BodyKind = body_kind
        """``open`` bodies may be changed; ``sealed`` ones are signed above the seam; ``opaque`` ones are not read."""
        self.deadline = deadline
        """Point on ``io.monotonic()``'s clock that belongs to the whole call, its retries included; or None."""
        self.resumed: WireError | None = None
        """When an SDK above us retries a call whose earlier run ended in an error of the wire: its like."""
        self.spent = 0
        """Sends that earlier runs of this call have made; once its own run is sealed, its own too."""
        self.changed = False
        """True once a layer replaced the body."""
        self.judged = False
        """True once a layer has decided by the body: then two readings of it must not be possible."""
        self.notes: dict[type[Any], Any] = {}
        """Facts that layers leave for each other, by their type."""
        self._outline: Outline | None = None
        self._clear: bytes | None = None
        """The body that was found to have one reading."""

    @property
    def parent_id(self) -> str | None:
        return self.parent.id if self.parent is not None else None

    @property
    def trace(self) -> Trace | None:
        """Where its record stands in a trace, where that is known."""
        return self.run.trace

    def is_within(self, chain: Chain) -> bool:
        """Whether a layer of ``chain`` makes this call, or one that led to it."""
        ancestor = self.parent
        while ancestor is not None and ancestor.chain is not chain:
            ancestor = ancestor.parent
        return ancestor is not None

    @property
    def operation(self) -> str:
        """``chat``, ``embeddings``, …; ``http`` for a request that no dialect knows."""
        return self.route.operation

    @property
    def dialect(self) -> Dialect | None:
        return self.route.dialect

    @property
    def provider(self) -> str | None:
        return self.route.provider

    @property
    def outline(self) -> Outline:
        """The request at a glance: model, whether streamed, parameters. Never raises. A layer that looks at it has
        judged the body, as by ``read``, and is told nothing of one that cannot be judged."""
        return self.glance if self.route.dialect is None or looked_at.get() is self or self._judge() else _NOTHING

    @property
    def glance(self) -> Outline:
        """The same for the record, by which nothing is decided."""
        outline = self._outline
        if outline is None:
            dialect, body = self.route.dialect, self.request.body
            outline = _NOTHING if dialect is None or body is None else dialect.outline(body)
            self._outline = outline
        return outline

    @property
    def model(self) -> str | None:
        """The model asked for, as ``outline`` has it."""
        return self.outline.model

    @property
    def streamed(self) -> bool:
        """Whether an event stream was asked for. To ask this is not to judge."""
        body = self.request.body
        if self._outline is None and body is not None and not self.route.may_stream and b"stream" not in body:
            # Nearly all that is plain can be told so; an escape may hide the word.
            return b"\\u" in body and self.glance.streamed
        return self.glance.streamed

    def read(self) -> bytes | None:
        """The body, for a layer that decides by it. What was judged is what is sent: of two equal keys, of which
        readers of JSON see the last and the wire carries both, it has the last alone, and so has what leaves.

        None for a body that cannot be judged: it is opaque, or found to be so now, as our reader of JSON refuses it,
        or as it has two equal keys and is sealed.
        """
        return self.request.body if looked_at.get() is self or self._judge() else None

    def vouch(self) -> None:
        """The body was found to have one reading, as ``read`` finds it, by a layer that decides by it."""
        self._clear = self.request.body
        self.judged = True

    def replace_body(self, body: bytes) -> None:
        """Send ``body`` instead. Raises ``ConfigError`` unless the call's body is open."""
        if self.body_kind != "open":
            raise ConfigError(f"the body is {self.body_kind}, so it cannot be changed")
        self.request.body = body
        self.changed = True
        self._outline = None

    def outgoing(self) -> bytes | None:
        """The body to send, which has one reading if a layer has judged it."""
        if self.judged:
            self._judge()
        return self.request.body

    def _judge(self) -> bool:
        """See to it that the body has one reading, as a layer decides by it. False where that cannot be: then it is
        opaque from now on."""
        body = self.request.body
        if self.body_kind == "opaque" or body is None:
            return False
        if body is not self._clear:
            try:
                value = json.decode(body) if body else None
                if body and not json.has_one_reading(body, value):
                    if self.body_kind == "sealed":
                        raise DecodeError("a sealed body has two readings")
                    self.replace_body(json.encode(value))
                    self.run.change("chain", "duplicate keys dropped")
            except DecodeError:
                self.body_kind = "opaque"
                return False
            self._clear = self.request.body
        self.judged = True
        return True

    def again(self, io: IO) -> Call:
        """A call of its own that asks the same as this one, beside it: a child in a trace of its own, which is linked.
        It runs through the same chain."""
        assert self.chain is not None
        identifier = new_id()
        child = Call(
            id=identifier,
            call_id=identifier,
            route=self.route,
            request=self.request,
            io=io,
            run=self.chain.open(self.run.recorder, self.run.price),
            identity=self.identity,
            body_kind=self.body_kind,
            parent=self,
        )
        child.changed, child.judged = self.changed, self.judged
        # Nobody waits for it: in a trace of this call it would seem that somebody did.
        child.run.trace, child.run.links = place(None, begins=True), (self.link("refresh"),)
        return child

    def link(self, kind: str) -> Link:
        """A pointer to this call's record."""
        trace = self.trace
        if trace is None:
            return Link(id=self.id, kind=kind)
        return Link(id=self.id, kind=kind, trace_id=trace.trace_id, span_id=trace.span_id)

    def expire(self, deadline: float | None) -> None:
        """Let the call not go on past ``deadline``; an earlier one stays."""
        if deadline is not None and (self.deadline is None or deadline < self.deadline):
            self.deadline = deadline

    def verdict(self, verdict: Verdict) -> None:
        """Write into the record what a layer decided."""
        self.run.verdicts = (*self.run.verdicts, verdict)

    def note(self, kind: type[T], make: Callable[[], T]) -> T:
        """The note of a type, made when it is not there."""
        try:
            return self.notes[kind]  # type: ignore[no-any-return]
        except KeyError:
            made = self.notes[kind] = make()
            return made


class Response:
    """What came back: a status, headers, and a body that is still to be read."""

    __slots__ = ("_headers", "call", "header_changes", "native", "status", "stream")

    def __init__(
        self, *, call: Call, status: int, headers: Mapping[str, str], stream: Stream, native: object = None
    ) -> None:
        self.call = call
        self.status = status
        self._headers = headers
        self.stream = stream
        self.native = native
        """The HTTP library's own response, where there was one."""
        self.header_changes: dict[str, str | None] = {}

    def header(self, name: str) -> str | None:
        """A header's value; names in lower case."""
        if name in self.header_changes:
            return self.header_changes[name]
        return self._headers.get(name)

    def set_header(self, name: str, value: str | None) -> None:
        """Change a header on its way to the reader; None removes it."""
        self.header_changes[name] = value

    @property
    def headers(self) -> Mapping[str, str]:
        """As they came."""
        return self._headers

    async def buffer(self, limit: int = 1024 * 1024) -> bytes | None:
        """Hold the body, up to ``limit`` bytes as they came, so that it can be looked at before anybody reads it;
        the reader gets it all the same. None when it is longer. Raises what reading raises."""
        return await self.stream.prefetch(limit)

    async def failure(self) -> Failure | None:
        """What a response with a status of 400 or above says went wrong; None for others."""
        if self.status < 400:
            return None
        await self.buffer()
        return refusal(self.call, self.status, self.headers, self.stream.monitor.body())

    async def discard(self) -> None:
        """Nobody will read this response."""
        await self.stream.close()
