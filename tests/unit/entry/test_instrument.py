"""instrument(): a chain under every client of the process, and nothing left of it afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Self

import anthropic
import httpx
import httpx2
import openai
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.unit.entry.wires import MESSAGES, OPENAI_ANSWER, Wire

import interlay
from interlay.chain.current import sending
from interlay.model.errors import ConfigError
from interlay.testing import Provider, Turn, capture, closed_port

LIBRARIES: list[Any] = [httpx, httpx2]
METHODS = [
    (transport, name)
    for module in LIBRARIES
    for transport, name in (
        (module.HTTPTransport, "handle_request"),
        (module.AsyncHTTPTransport, "handle_async_request"),
    )
]
WAITS = [(sdk._base_client.BaseClient, "_calculate_retry_timeout") for sdk in (openai, anthropic)]
QUESTION: dict[str, Any] = {"model": "gpt-4o-mini", "messages": MESSAGES}
AT_ONCE = {"retry-after-ms": "1"}

libraries = pytest.mark.parametrize("module", LIBRARIES, ids=["httpx", "httpx2"])
colours = pytest.mark.parametrize("colour", ["sync", "async"])


def functions() -> list[Any]:
    return [vars(owner)[name] for owner, name in METHODS]


def waits() -> list[Any]:
    return [vars(owner)[name] for owner, name in WAITS]


def same(now: list[Any], then: list[Any]) -> bool:
    return all(one is other for one, other in zip(now, then, strict=True))


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Whatever a test does, nothing of it is left."""
    before = functions(), list(sys.meta_path), waits()
    yield
    interlay.uninstrument()
    assert same(functions(), before[0])
    assert same(waits(), before[2])
    assert list(sys.meta_path) == before[1]


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


class Programs:
    """A program's own HTTP client of one library, in one colour."""

    def __init__(self, module: ModuleType, colour: str, **options: Any) -> None:
        self.colour = colour
        self.loop = asyncio.new_event_loop() if colour == "async" else None
        kind = module.Client if colour == "sync" else module.AsyncClient
        self.http: Any = kind(trust_env=False, verify=False, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.loop is None:
            self.http.close()
        else:
            self.loop.run_until_complete(self.http.aclose())
            self.loop.close()

    def request(self, method: str, url: str, **options: Any) -> Any:
        if self.loop is None:
            return self.http.request(method, url, **options)
        return self.loop.run_until_complete(self.http.request(method, url, **options))

    def ask(self, url: str, *, stream: bool = False) -> Any:
        return self.request(
            "POST", f"{url}/chat/completions", json={**QUESTION, **({"stream": True} if stream else {})}
        )


@libraries
@colours
class TestReaches:
    @pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
    def test_clients_that_exist_already(
        self, module: ModuleType, colour: str, provider: Provider, *, stream: bool
    ) -> None:
        with Programs(module, colour) as program, capture() as records:
            bare = program.ask(provider.openai_url, stream=stream)
            assert records == []
            interlay.instrument()
            seen = program.ask(provider.openai_url, stream=stream)
        (record,) = records
        assert (record.end, record.operation, record.streamed) == ("complete", "chat", stream)
        assert (record.usage is not None) is not stream  # a host that nobody knows is not asked for it
        assert seen.status_code == bare.status_code == 200
        assert seen.content.count(b"data:") == bare.content.count(b"data:")

    def test_those_behind_mounts_and_proxies(self, module: ModuleType, colour: str) -> None:
        sort = module.HTTPTransport if colour == "sync" else module.AsyncHTTPTransport
        with proxy() as (url, asked):
            ways: list[dict[str, Any]] = [
                {"proxy": url},
                {"mounts": {"http://": sort(proxy=url, verify=False)}},
                {"transport": sort(proxy=url, verify=False)},
            ]
            for options in ways:
                with Programs(module, colour, **options) as program, capture() as records:
                    interlay.instrument()
                    assert program.ask("http://api.openai.com/v1").json() == OPENAI_ANSWER
                (record,) = records
                assert (record.provider, record.end) == ("openai", "complete")
                interlay.uninstrument()
        assert asked == ["http://api.openai.com/v1/chat/completions"] * 3

    def test_a_host_of_the_catalogue_whatever_is_asked_of_it(self, module: ModuleType, colour: str) -> None:
        with proxy() as (url, _), Programs(module, colour, proxy=url) as program, capture() as records:
            interlay.instrument()
            program.request("POST", "http://api.openai.com/v1/files", content=b"x")
        assert [(record.operation, record.provider) for record in records] == [("http", "openai")]

    def test_layers_and_observers_work_as_under_wrap(self, module: ModuleType, colour: str, provider: Provider) -> None:
        seen: list[interlay.Record] = []
        provider.script(Turn(status=503, headers=AT_ONCE))
        with Programs(module, colour) as program:
            interlay.instrument(interlay.Retry(attempts=2), interlay.Observe(seen.append, inline=True))
            assert program.ask(provider.openai_url).status_code == 200
        assert [attempt.status for attempt in seen[0].attempts] == [503, 200]

    def test_errors_are_the_librarys_own(self, module: ModuleType, colour: str) -> None:
        interlay.instrument()
        with Programs(module, colour) as program, capture() as records:
            with pytest.raises(module.ConnectError) as raised:
                program.ask(closed_port() + "/v1")
            assert raised.value.request.method == "POST"
        assert [record.error and record.error.type for record in records] == ["connect"]


@libraries
@colours
class TestLeavesAlone:
    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/api/users", {"model": "gpt-4o-mini"}),
            ("/api/v10/channels/123/messages", {"content": "hello"}),
            ("/v3/example.org/messages", None),
            ("/v1/chat/completions", [1, 2]),
        ],
    )
    def test_requests_that_go_to_no_model(
        self, module: ModuleType, colour: str, path: str, body: Any, provider: Provider
    ) -> None:
        interlay.instrument()
        options: dict[str, Any] = {"json": body} if body is not None else {"data": {"to": "ann"}}
        with Programs(module, colour) as program, capture() as records:
            answer = program.request("POST", provider.url + path, **options)
            assert answer.request.url.path == path
            program.request("GET", provider.url + path)
        assert records == []
        assert type(answer.stream).__module__.startswith(f"{module.__name__}.")

    def test_transports_of_the_programs_own(self, module: ModuleType, colour: str) -> None:
        interlay.instrument()
        answer = module.MockTransport(lambda _: module.Response(200, json=OPENAI_ANSWER))
        with Programs(module, colour, transport=answer) as program, capture() as records:
            assert program.ask("https://api.openai.com/v1").json() == OPENAI_ANSWER
        assert records == []

    @pytest.mark.parametrize("first", ["wrap", "instrument"])
    def test_requests_that_ran_through_a_chain(
        self, module: ModuleType, colour: str, first: str, provider: Provider
    ) -> None:
        own: list[interlay.Record] = []
        everyone: list[interlay.Record] = []
        with Programs(module, colour) as program, capture() as records:
            steps: list[Callable[[], object]] = [
                lambda: interlay.wrap(program.http, interlay.Observe(own.append, inline=True)),
                lambda: interlay.instrument(interlay.Observe(everyone.append, inline=True)),
            ]
            for step in steps if first == "wrap" else reversed(steps):
                step()
            program.ask(provider.openai_url)
            assert len(records) == len(own) == 1
            interlay.unwrap(program.http)
            program.ask(provider.openai_url)
        assert (len(records), len(own), len(everyone)) == (2, 1, 1)

    def test_requests_that_ran_through_one_under_a_transport_that_remakes_them(
        self, module: ModuleType, colour: str, provider: Provider
    ) -> None:
        class Remaking(module.HTTPTransport if colour == "sync" else module.AsyncHTTPTransport):  # type: ignore[misc]
            def remade(self, request: Any) -> Any:
                return module.Request(request.method, request.url, headers=request.headers, content=request.content)

            def handle_request(self, request: Any) -> Any:
                return super().handle_request(self.remade(request))

            async def handle_async_request(self, request: Any) -> Any:
                return await super().handle_async_request(self.remade(request))

        interlay.instrument()
        with Programs(module, colour, transport=Remaking(verify=False)) as program, capture() as records:
            interlay.wrap(program.http)
            program.ask(provider.openai_url)
            assert len(records) == 1
            interlay.unwrap(program.http)
            program.ask(provider.openai_url)
        assert len(records) == 2


class TestSDKs:
    @pytest.mark.parametrize("trouble", ["503", "reset", "refused"])
    def test_their_retries_send_nothing_beyond_ours(self, trouble: str, provider: Provider) -> None:
        turn = Turn(status=503, headers=AT_ONCE) if trouble == "503" else Turn(fault="reset")
        provider.script(*[turn] * 20)
        url = closed_port() + "/v1" if trouble == "refused" else provider.openai_url
        client = openai.OpenAI(base_url=url, api_key="sk-test-key", max_retries=1)
        interlay.instrument(interlay.Retry(attempts=3, backoff=0.001))
        with capture() as records, pytest.raises(openai.APIError):
            client.chat.completions.create(**QUESTION)
        assert len({record.call_id for record in records}) == 1
        assert sum(len(record.attempts) for record in records) == 3
        assert len(provider.player.requests) == (0 if trouble == "refused" else 3)
        client.close()

    def test_their_retries_are_one_call(self, provider: Provider) -> None:
        provider.script(Turn(status=503, headers=AT_ONCE))
        interlay.instrument()
        with capture() as records, openai.OpenAI(base_url=provider.openai_url, api_key="sk-test-key") as client:
            client.chat.completions.create(**QUESTION)
        assert [record.end for record in records] == ["error", "complete"]
        assert len({record.call_id for record in records}) == 1

    def test_both_in_both_colours(self, provider: Provider) -> None:
        messages: Any = [{"role": "user", "content": "hi"}]

        async def asynchronously() -> None:
            async with openai.AsyncOpenAI(base_url=provider.openai_url, api_key="k") as one:
                await one.chat.completions.create(**QUESTION)
            async with anthropic.AsyncAnthropic(base_url=provider.anthropic_url, api_key="k") as two:
                await two.messages.create(model="claude-sonnet-4-6", max_tokens=9, messages=messages)

        interlay.instrument()
        with capture() as records, interlay.using(user="u-7"):
            with openai.OpenAI(base_url=provider.openai_url, api_key="k") as one:
                list(one.chat.completions.create(**QUESTION, stream=True))
            with anthropic.Anthropic(base_url=provider.anthropic_url, api_key="k") as two:
                two.messages.create(model="claude-sonnet-4-6", max_tokens=9, messages=messages)
            asyncio.run(asynchronously())
        dialects = [record.dialect for record in records]
        assert dialects == ["openai-chat", "anthropic-messages"] * 2
        assert {record.identity.user for record in records} == {"u-7"}
        assert {record.end for record in records} == {"complete"}


class TestAgain:
    def test_replaces_the_chain(self, provider: Provider) -> None:
        first: list[interlay.Record] = []
        second: list[interlay.Record] = []
        interlay.instrument(interlay.Observe(first.append, inline=True))
        ours = functions()
        interlay.instrument(interlay.Chain(interlay.Observe(second.append, inline=True)))
        assert same(functions(), ours)
        with Programs(httpx2, "sync") as program:
            program.ask(provider.openai_url)
        assert (len(first), len(second)) == (0, 1)
        interlay.uninstrument()

    def test_a_part_that_is_none_changes_nothing(self) -> None:
        before = functions()
        with pytest.raises(TypeError, match="part 1"):
            interlay.instrument(42)
        assert same(functions(), before)


class Posing:
    """A wrapper as wrapt makes them: an object that is equal to what it wraps, and works as a method alone."""

    def __init__(self, inner: Any, function: Any) -> None:
        self.__wrapped__ = inner
        self.function = function

    def __call__(self, *args: Any) -> Any:
        raise AssertionError("called and not bound")

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return functools.partial(self.function, instance) if instance is not None else self

    def __eq__(self, other: object) -> bool:
        return other is self or bool(self.__wrapped__ == other)

    def __hash__(self) -> int:
        return hash(self.__wrapped__)


class Foreign:
    """Another tool that wraps the same methods. Its wrappers say what they wrap, are equal to it, or do not tell."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.seen = 0
        self.put: list[tuple[Any, str, Any, Any]] = []

    def instrument(self) -> None:
        for owner, name in METHODS:
            inner = vars(owner)[name]
            wrapper = self.wrapper(inner)
            self.put.append((owner, name, inner, wrapper))
            setattr(owner, name, wrapper)

    def wrapper(self, inner: Any) -> Any:
        def counting(transport: Any, request: Any) -> Any:
            self.seen += 1
            return inner.__get__(transport)(request)

        if self.kind == "posing":
            return Posing(inner, counting)
        if self.kind == "telling":
            functools.update_wrapper(counting, inner)
        return counting

    def uninstrument(self) -> None:
        """Puts back what it found, whatever is there now."""
        for owner, name, inner, _ in reversed(self.put):
            setattr(owner, name, inner)
        self.put.clear()

    def is_there(self) -> bool:
        return all(now is wrapper for now, (*_, wrapper) in zip(functions(), self.put, strict=True))


@colours
class TestATotalOverTheRetriesOfTheSDK:
    """Ten retries of an SDK's own take more than 40 seconds of waiting alone."""

    @pytest.mark.parametrize("sdk", [openai, anthropic], ids=["openai", "anthropic"])
    @pytest.mark.parametrize("said_by", ["a part", "using"])
    def test_is_that_and_nothing_is_sent_after_it(
        self, provider: Provider, sdk: Any, colour: str, said_by: str
    ) -> None:
        provider.script(*[Turn(status=529)] * 50)
        url = provider.openai_url if sdk is openai else provider.anthropic_url
        part = (interlay.Timeout(total=1.0),) if said_by == "a part" else ()
        limit: Any = interlay.using(deadline=1.0) if said_by == "using" else contextlib.nullcontext()
        kind = {"sync": ("OpenAI", "Anthropic"), "async": ("AsyncOpenAI", "AsyncAnthropic")}[colour][sdk is anthropic]
        client = getattr(sdk, kind)(api_key="k", base_url=url, max_retries=10)

        def ask() -> Any:
            if sdk is openai:
                return client.chat.completions.create(**QUESTION)
            return client.messages.create(model="claude-sonnet-4-6", max_tokens=9, messages=MESSAGES)

        async def ask_async() -> None:
            async with client:
                await ask()

        interlay.instrument(*part)
        began = time.monotonic()
        with capture() as records, limit, pytest.raises(sdk.APIError):
            ask() if colour == "sync" else asyncio.run(ask_async())
        assert time.monotonic() - began < 15
        assert len({record.call_id for record in records}) == 1
        assert (records[-1].end, records[-1].attempts) == ("error", ())
        if colour == "sync":
            client.close()


class TestSpans:
    """A tracer provider of one's own, beside the one of the process."""

    def test_calls_are_spans_in_it(self, provider: Provider) -> None:
        exporter, traces = InMemorySpanExporter(), TracerProvider()
        traces.add_span_processor(SimpleSpanProcessor(exporter))
        interlay.instrument(tracer_provider=traces)
        with Programs(httpx2, "sync") as program:
            program.ask(provider.openai_url)
        assert [span.name for span in exporter.get_finished_spans()] == ["chat gpt-4o-mini"]

    def test_what_is_none_is_said(self) -> None:
        with pytest.raises(ConfigError, match=r"instrument\(tracer_provider='x'\): expected a provider"):
            interlay.instrument(tracer_provider="x")
        with pytest.raises(ConfigError, match=r"put a Trace\(tracer_provider\) into the chain"):
            interlay.instrument(interlay.Chain(), tracer_provider=TracerProvider())


class TestLeavesNoTrace:
    def test_the_very_same_functions_after_100_rounds(self) -> None:
        before = functions() + waits()
        for _ in range(100):
            interlay.instrument()
            assert not any(now is then for now, then in zip(functions() + waits(), before, strict=True))
            interlay.uninstrument()
        assert same(functions() + waits(), before)
        interlay.uninstrument()
        assert same(functions() + waits(), before)

    @pytest.mark.parametrize("kind", ["telling", "posing", "silent"])
    def test_nor_in_100_rounds_over_somebody_elses(self, provider: Provider, kind: str) -> None:
        before, theirs = functions(), Foreign(kind)
        with Programs(httpx, "sync") as program, capture() as records:
            theirs.instrument()
            for _ in range(100):
                interlay.instrument()
                interlay.uninstrument()
            assert theirs.is_there()
            interlay.instrument()
            program.ask(provider.openai_url)
            assert (len(records), theirs.seen) == (1, 1)
            interlay.uninstrument()
            program.ask(provider.openai_url)
            assert (len(records), theirs.seen) == (1, 2)
        theirs.uninstrument()
        assert same(functions(), before)

    @pytest.mark.parametrize("kind", ["telling", "posing", "silent"])
    def test_somebody_elses_over_ours_goes_on_working(self, provider: Provider, kind: str) -> None:
        before, theirs = functions(), Foreign(kind)
        with Programs(httpx2, "async") as program, capture() as records:
            interlay.instrument()
            theirs.instrument()
            program.ask(provider.openai_url)
            interlay.uninstrument()
            assert theirs.is_there()
            program.ask(provider.openai_url)
            assert (len(records), theirs.seen) == (1, 2)
            # Ours is inside of theirs, idle. Once more, and it works again, once a request.
            for _ in range(100):
                interlay.instrument()
                interlay.uninstrument()
            interlay.instrument()
            program.ask(provider.openai_url)
            assert (len(records), theirs.seen) == (2, 3)
            interlay.uninstrument()
            assert theirs.is_there()
            theirs.uninstrument()  # which puts our idle function back
            program.ask(provider.openai_url)
            assert (len(records), theirs.seen) == (2, 3)
        interlay.instrument()
        interlay.uninstrument()
        assert same(functions(), before)

    def test_somebody_elses_end_takes_ours_away_and_the_next_round_puts_it_there(self, provider: Provider) -> None:
        before, theirs = functions(), Foreign("telling")
        theirs.instrument()
        interlay.instrument()
        theirs.uninstrument()
        assert same(functions(), before)
        interlay.instrument()
        with Programs(httpx, "sync") as program, capture() as records:
            program.ask(provider.openai_url)
        assert len(records) == 1
        interlay.uninstrument()
        assert same(functions(), before)

    def test_our_functions_look_like_those_they_cover_and_name_none(self) -> None:
        before = functions()
        interlay.instrument()
        for now, then in zip(functions(), before, strict=True):
            assert (now.__name__, now.__qualname__, now.__module__) == (
                then.__name__,
                then.__qualname__,
                then.__module__,
            )
            assert asyncio.iscoroutinefunction(now) == asyncio.iscoroutinefunction(then)
            assert not hasattr(now, "__wrapped__")  # whoever unwraps by that name would take ours for theirs

    def test_threads_that_turn_it_on_and_off_lose_no_call(self, provider: Provider) -> None:
        stop, failed = threading.Event(), []

        def flip() -> None:
            while not stop.is_set():
                interlay.instrument()
                interlay.uninstrument()

        def call() -> None:
            try:
                with Programs(httpx2, "sync") as program:
                    for _ in range(20):
                        assert program.ask(provider.openai_url).status_code == 200
            except BaseException as error:  # noqa: BLE001
                failed.append(error)

        flipping = [threading.Thread(target=flip) for _ in range(2)]
        calling = [threading.Thread(target=call) for _ in range(4)]
        for thread in flipping + calling:
            thread.start()
        for thread in calling:
            thread.join()
        stop.set()
        for thread in flipping:
            thread.join()
        assert failed == []


LATER = """
import sys
import interlay
from interlay.chain.current import sending
finders = list(sys.meta_path)
interlay.instrument()
assert not any(name.partition(".")[0] in ("httpx", "httpx2") for name in sys.modules)
if {looked_up!r}:
    import importlib.util
    assert importlib.util.find_spec("{module}").loader.get_filename("{module}").endswith("__init__.py")
import {module} as module
assert type(module.__loader__).__name__ == type(module.__spec__.loader).__name__ == "SourceFileLoader"
from interlay.testing import Provider, capture
with Provider() as provider, capture() as records, module.Client(trust_env=False, verify=False) as client:
    ask = lambda: client.post(provider.openai_url + "/chat/completions", json={{"model": "gpt-4o-mini"}})
    ask()
    assert len(records) == 1, records
    interlay.uninstrument()
    ask()
    assert len(records) == 1, records
assert sys.meta_path == finders
assert module.HTTPTransport.handle_request.__code__.co_filename.endswith("_transports/default.py")
"""
NEVER = """
import sys
import interlay
from interlay.chain.current import sending
finders = list(sys.meta_path)
interlay.instrument()
interlay.uninstrument()
assert sys.meta_path == finders
import httpx, httpx2
for module in (httpx, httpx2):
    assert module.HTTPTransport.handle_request.__code__.co_filename.endswith("_transports/default.py")
"""
ALIASED = """
import httpx2
httpx2.alias_httpx()
import httpx
import interlay
from interlay.chain.current import sending
before = httpx2.HTTPTransport.handle_request
interlay.instrument()
from interlay.testing import Provider, capture
with Provider() as provider, capture() as records, httpx.Client(trust_env=False, verify=False) as client:
    client.post(provider.openai_url + "/chat/completions", json={{"model": "gpt-4o-mini"}})
assert len(records) == 1, records
interlay.uninstrument()
assert httpx.HTTPTransport.handle_request is httpx2.HTTPTransport.handle_request is before
"""


def run(program: str, **names: Any) -> None:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", program.format(**names)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


class TestLibrariesThatAreImportedLater:
    @pytest.mark.parametrize(("module", "looked_up"), [("httpx", False), ("httpx2", True)])
    def test_are_reached_and_look_as_ever(self, module: str, *, looked_up: bool) -> None:
        run(LATER, module=module, looked_up=looked_up)

    def test_are_not_once_it_is_over(self) -> None:
        run(NEVER)

    def test_one_that_poses_as_the_other_is_reached_once(self) -> None:
        run(ALIASED)


class _Proxy(http.server.BaseHTTPRequestHandler):
    """Answers every request that it is to forward."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        body = json.dumps(OPENAI_ANSWER).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class proxy:  # noqa: N801 - reads as a statement
    """A forward proxy on the loopback; gives its URL, and the list of what was asked of it."""

    def __enter__(self) -> tuple[str, list[str]]:
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
        self.server.asked = []  # type: ignore[attr-defined]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return f"http://127.0.0.1:{self.server.server_port}", self.server.asked  # type: ignore[attr-defined]

    def __exit__(self, *exc_info: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def test_wires_of_other_tests_are_none_of_its_business() -> None:
    interlay.instrument()
    with capture() as records:
        Wire(200).for_openai().chat.completions.create(**QUESTION)
    assert records == []


def test_pain_11_a_send_that_is_dropped_and_ends_in_another_context_is_quiet() -> None:
    class Hanging(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            await asyncio.get_running_loop().create_future()
            raise AssertionError

    async def begin() -> Any:
        http = interlay.wrap(httpx2.AsyncClient(transport=Hanging()))
        sent = http.post("https://api.openai.com/v1/chat/completions", json=QUESTION)
        sent.send(None)
        return sent

    interlay.instrument()
    with capture() as records:
        contextvars.copy_context().run(asyncio.run, begin())
        gc.collect()
    assert len(records) == 1
    assert not sending.get()


TWO_THREADS = """
import sys, threading, time
import interlay

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "httpx2._client":  # in the middle of importing httpx2
            begun.set()
            time.sleep(0.5)

def load():
    import httpx2

begun = threading.Event()
interlay.instrument()
sys.meta_path.insert(0, Slow())
importing = threading.Thread(target=load)
importing.start()
assert begun.wait(30)
interlay.instrument()
importing.join()
assert sys.modules["httpx2"].HTTPTransport.handle_request.__code__.co_filename.endswith("instrument.py")
"""


def test_one_thread_that_instruments_and_one_that_imports_do_not_wait_for_each_other() -> None:
    run(TWO_THREADS)
