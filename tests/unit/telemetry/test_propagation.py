"""Where a call stands in a trace: taken from its request, told to the provider, and current while it is sent alone."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased
from tests.unit.entry.wires import MESSAGES, OPENAI_EVENTS, Body, Wire
from tests.unit.telemetry.backends import Backend

import interlay
from interlay import Retry
from interlay.model.record import Trace as Place
from interlay.telemetry.live import Trace, _Around
from interlay.telemetry.spans import trace_of, traceparent

TRACE, SPAN = "ab" * 16, "cd" * 8
GIVEN = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-{SPAN}-00"}


class Instrumented(Wire):
    """A wire as an instrumentation of the HTTP library leaves it: each send is a span under what is current."""

    def __init__(self, app: App, *script: Any) -> None:
        super().__init__(*script)
        self.app = app

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        with self.app.tracer.start_as_current_span("POST"):
            return super().handle_request(request)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        with self.app.tracer.start_as_current_span("POST"):
            await anyio.lowlevel.checkpoint()
            return await super().handle_async_request(request)


class App:
    """A program with OpenTelemetry."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("app")

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        assert interlay.flush(30).pending == 0
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def app() -> App:
    return App()


def ask(client: Any, **options: Any) -> Any:
    return client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, **options)


def own(span: ReadableSpan) -> tuple[str, str]:
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def above(span: ReadableSpan) -> tuple[str, str]:
    assert span.parent is not None
    return f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}"


CHAT = "chat gpt-4o-mini"


class TestLive:
    def test_a_request_that_names_a_span_stands_under_it(self, app: App) -> None:
        wire = Wire(200)
        ask(interlay.wrap(wire.for_openai(), Trace(app.provider)), extra_headers=GIVEN)
        chat = app.spans[CHAT]
        assert above(chat) == (TRACE, SPAN)
        assert wire.requests[0].headers["traceparent"] == f"00-{TRACE}-{own(chat)[1]}-01"
        assert wire.requests[0].headers.get_list("traceparent") == [f"00-{TRACE}-{own(chat)[1]}-01"]

    def test_what_is_current_goes_before_it(self, app: App) -> None:
        with app.tracer.start_as_current_span("work"):
            ask(interlay.wrap(Wire(200).for_openai(), Trace(app.provider)), extra_headers=GIVEN)
        assert above(app.spans[CHAT]) == own(app.spans["work"])

    def test_what_whoever_began_the_trace_has_dropped_is_dropped(self) -> None:
        app = App()
        app.provider.sampler = ParentBased(app.provider.sampler)
        ask(interlay.wrap(Wire(200).for_openai(), Trace(app.provider)), extra_headers=UNSAMPLED)
        assert app.spans == {}

    @pytest.mark.parametrize("header", ["", "00-short", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01"])
    def test_a_header_that_says_nothing_begins_nothing(self, app: App, header: str) -> None:
        ask(interlay.wrap(Wire(200).for_openai(), Trace(app.provider)), extra_headers={"traceparent": header})
        assert app.spans[CHAT].parent is None

    @pytest.mark.parametrize("streamed", [False, True])
    def test_what_the_http_library_makes_stands_under_the_call(self, app: App, *, streamed: bool) -> None:
        wire = Instrumented(app, Body(OPENAI_EVENTS) if streamed else 200)
        with app.tracer.start_as_current_span("work") as work:
            answer = ask(interlay.wrap(wire.for_openai(), Trace(app.provider)), stream=streamed)
            for _ in answer if streamed else ():
                assert trace.get_current_span() is work
            assert trace.get_current_span() is work
        assert above(app.spans["POST"]) == own(app.spans[CHAT])
        assert above(app.spans[CHAT]) == own(app.spans["work"])

    @pytest.mark.parametrize("streamed", [False, True])
    def test_so_it_does_in_the_other_colour(self, app: App, *, streamed: bool) -> None:
        async def play() -> None:
            wire = Instrumented(app, Body(OPENAI_EVENTS) if streamed else 200)
            client = interlay.wrap(wire.for_async_openai(), Trace(app.provider))
            with app.tracer.start_as_current_span("work") as work:
                answer = await ask(client, stream=streamed)
                if streamed:
                    async for _ in answer:
                        assert trace.get_current_span() is work
                assert trace.get_current_span() is work

        asyncio.run(play())
        assert above(app.spans["POST"]) == own(app.spans[CHAT])

    def test_every_send_of_a_retry(self, app: App) -> None:
        wire = Instrumented(app, 429, 200)
        ask(interlay.wrap(wire.for_openai(max_retries=0), Retry(attempts=2), Trace(app.provider)))
        interlay.flush(30)
        sends = [span for span in app.exporter.get_finished_spans() if span.name == "POST"]
        assert [above(span) for span in sends] == [own(app.spans[CHAT])] * 2

    def test_a_failing_send_leaves_nothing_current(self, app: App) -> None:
        client = interlay.wrap(Wire(httpx2.ConnectError("no")).for_openai(max_retries=0), Trace(app.provider))
        with pytest.raises(Exception, match="onnection"):
            ask(client)
        assert not trace.get_current_span().get_span_context().is_valid

    def test_pain_11_a_send_that_is_cancelled_says_nothing(self, app: App, caplog: pytest.LogCaptureFixture) -> None:
        sending = asyncio.Event()

        class Hanging(Wire):
            async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
                sending.set()
                await anyio.sleep_forever()
                raise AssertionError

        async def play() -> None:
            wire = Hanging(200)
            client = interlay.wrap(wire.for_async_openai(max_retries=0), Trace(app.provider))
            task = asyncio.ensure_future(ask(client))
            await sending.wait()
            assert not trace.get_current_span().get_span_context().is_valid
            task.cancel()
            await asyncio.wait([task])

        with caplog.at_level(logging.DEBUG, "opentelemetry"):
            asyncio.run(play())
        assert [each for each in caplog.records if each.name.startswith("opentelemetry")] == []
        assert not trace.get_current_span().get_span_context().is_valid
        assert app.spans[CHAT].end_time is not None

    def test_pain_11_a_send_that_is_dropped_ends_in_another_context_and_says_nothing(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        around = _Around(app.tracer.start_span("call"))
        begun = contextvars.copy_context()
        entered = begun.run(around.enter)
        with caplog.at_level(logging.DEBUG, "opentelemetry"), app.tracer.start_as_current_span("mine") as mine:
            around.leave(entered)
            assert trace.get_current_span() is mine
        assert caplog.records == []
        begun.run(around.leave, begun.run(around.enter))

    def test_the_nearer_of_two_providers_has_the_span(self, app: App) -> None:
        other = App()
        interlay.setup(journal=False, export=False, tracer_provider=other.provider, meter_provider=False)
        try:
            ask(interlay.wrap(Wire(200).for_openai(), Trace(app.provider)))
            ask(interlay.wrap(Wire(200).for_openai()))
        finally:
            interlay.setup(journal=False, export=False, tracer_provider=False, meter_provider=False)
        assert [len(each.exporter.get_finished_spans()) for each in (app, other)] == [1, 1]


class TestFromRecords:
    @pytest.fixture
    def backend(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
        backend = Backend()
        interlay.setup(journal=tmp_path, export=backend.url, tracer_provider=False, meter_provider=False)
        yield backend
        interlay.setup(journal=False, export=False, tracer_provider=False, meter_provider=False)
        backend.close()

    def played(self, backend: Backend, call: Callable[[Any], object]) -> tuple[Any, str | None]:
        """The call's span, and what the provider was told."""
        wire = Wire(200)
        call(interlay.wrap(wire.for_openai()))
        assert interlay.flush(60).done
        (span,) = [span for span in backend.spans if span.name == CHAT]
        return span, wire.requests[0].headers.get("traceparent")

    def test_a_request_that_names_a_span_stands_under_it(self, backend: Backend) -> None:
        span, told = self.played(backend, lambda client: ask(client, extra_headers=GIVEN))
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, SPAN)
        assert told == f"00-{TRACE}-{span.span_id.hex()}-01"

    def test_one_that_names_none_begins_a_trace_and_tells_nobody(self, backend: Backend) -> None:
        span, told = self.played(backend, ask)
        assert (span.parent_span_id, told) == (b"", None)

    def test_in_a_function_it_stands_under_the_function(self, backend: Backend) -> None:
        def work(client: Any) -> None:
            ask(client, extra_headers=GIVEN)

        span, told = self.played(backend, interlay.observe(work))
        assert span.trace_id.hex() != TRACE
        assert told == f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01"
        assert span.parent_span_id != b""

    def test_what_whoever_began_the_trace_has_dropped_is_dropped(self, backend: Backend) -> None:
        ask(interlay.wrap(Wire(200).for_openai()), extra_headers=UNSAMPLED)
        assert interlay.flush(60).done
        assert backend.spans == []


def test_a_header_is_read_as_the_w3c_has_it() -> None:
    assert trace_of(f" 00-{TRACE}-{SPAN}-03 ") == Place(trace_id=TRACE, parent_span_id=SPAN, flags=1)
    assert trace_of(f"01-{TRACE}-{SPAN}-00-more") == Place(trace_id=TRACE, parent_span_id=SPAN, flags=0)
    for wrong in (f"ff-{TRACE}-{SPAN}-01", f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", "x"):
        assert trace_of(wrong) is None
    place = Place(trace_id=TRACE, span_id=SPAN, flags=1)
    assert traceparent(place, "0" * 20) == f"00-{TRACE}-{SPAN}-01"
