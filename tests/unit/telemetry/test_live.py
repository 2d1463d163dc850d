"""Live spans, in a tracer provider of the program's own, whatever becomes of the call."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ClassVar

import anthropic
import httpx2
import openai
import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry import context as contexts
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, Sampler, SamplingResult
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from tests.unit.entry.wires import ANTHROPIC_EVENTS, MESSAGES, OPENAI_EVENTS, Body, Wire
from tests.unit.telemetry.exchanges import used

import interlay
from interlay import Cache, Retry
from interlay.chain.call import Call, Response
from interlay.chain.layer import Next, Role
from interlay.chain.recorder import Guarded
from interlay.model.record import CacheOutcome, Link, Verdict
from interlay.telemetry.live import Trace
from interlay.telemetry.vocabulary import NAMES, VocabularyName
from interlay.testing import capture

ASKED: Any = {"stream": True, "stream_options": {"include_usage": True}}


class App:
    """A program with OpenTelemetry."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**options)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("app")

    def client(self, *script: Any, parts: tuple[object, ...] = (), **options: Any) -> Any:
        self.wire = Wire(*(script or (200,)))
        return interlay.wrap(self.wire.for_openai(max_retries=0), *parts, Trace(self.provider, **options))

    @property
    def spans(self) -> list[ReadableSpan]:
        assert interlay.flush(30).pending == 0
        return list(self.exporter.get_finished_spans())

    def only(self) -> ReadableSpan:
        (span,) = self.spans
        return span


@pytest.fixture
def app() -> App:
    return App()


def ask(client: Any, **options: Any) -> Any:
    return client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, **options)


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def context_of(span: Any) -> Any:
    return span.get_span_context()


def test_a_call_is_a_client_span_under_what_was_current(app: App) -> None:
    client = app.client()
    with app.tracer.start_as_current_span("work") as work:
        ask(client, temperature=0.5)
        assert trace.get_current_span() is work
    span = app.spans[0]
    assert (span.name, span.kind) == ("chat gpt-4o-mini", SpanKind.CLIENT)
    assert span.parent is not None
    assert span.parent.span_id == context_of(work).span_id
    assert (told(span)["gen_ai.usage.input_tokens"], told(span)["interlay.cost.usd"]) == (9, pytest.approx(2.55e-6))
    assert span.status.status_code is StatusCode.UNSET
    assert len(told(span)) >= 20


def test_the_record_knows_its_span(app: App) -> None:
    with capture() as records:
        ask(app.client())
    place, own = records[0].trace, context_of(app.only())
    assert place is not None
    assert (place.trace_id, place.span_id) == (f"{own.trace_id:032x}", f"{own.span_id:016x}")
    assert place.flags & 1


def test_a_sampler_sees_what_the_convention_wants_it_to_see() -> None:
    class Curious(Sampler):
        seen: ClassVar[list[tuple[str, dict[str, Any]]]] = []

        def should_sample(self, parent_context: Any, trace_id: int, name: str, *args: Any, **named: Any) -> Any:
            attributes = named.get("attributes") or next(a for a in args if isinstance(a, dict))
            self.seen.append((name, dict(attributes)))
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)

        def get_description(self) -> str:
            return "curious"

    ask(App(sampler=Curious()).client())
    assert Curious.seen == [
        (
            "chat gpt-4o-mini",
            {
                "server.address": "api.openai.com",
                "server.port": 443,
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o-mini",
            },
        )
    ]


def test_what_is_not_sampled_is_no_span_and_still_a_record() -> None:
    app = App(sampler=ALWAYS_OFF)
    with capture() as records:
        ask(app.client())
    assert app.spans == []
    assert records[0].usage is not None
    assert records[0].trace is not None
    assert not records[0].trace.flags & 1


def test_processors_of_the_program_see_the_span_begin_and_end(app: App) -> None:
    seen = []

    class Watching(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            seen.append(("start", span.name))
            span.set_attribute("app.team", "blue")

        def on_end(self, span: ReadableSpan) -> None:
            seen.append(("end", span.name))

    app.provider.add_span_processor(Watching())
    ask(app.client())
    assert seen == [("start", "chat gpt-4o-mini"), ("end", "chat gpt-4o-mini")]
    assert told(app.only())["app.team"] == "blue"


def test_the_provider_is_told_where_in_the_trace_its_request_stands(app: App) -> None:
    ask(app.client())
    own = context_of(app.only())
    sent = app.wire.requests[0].headers["traceparent"]
    assert sent == f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}"
    ask(app.client(propagate=False))
    assert "traceparent" not in app.wire.requests[0].headers


def test_baggage_goes_along_where_there_is_some(app: App) -> None:
    token = contexts.attach(baggage.set_baggage("team", "blue"))
    try:
        ask(app.client())
    finally:
        contexts.detach(token)
    headers = app.wire.requests[0].headers
    assert (headers["baggage"], headers["traceparent"][3:35]) == (
        "team=blue",
        f"{context_of(app.only()).trace_id:032x}",
    )


def test_another_way_of_telling_is_the_programs_own(app: App) -> None:
    class Own(TraceContextTextMapPropagator):
        def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None:
            carrier["x-own"] = f"{trace.get_current_span(context).get_span_context().span_id:016x}"

    client = app.client()
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(Own())
    try:
        ask(client)
    finally:
        propagate.set_global_textmap(before)
    headers = app.wire.requests[0].headers
    assert ("traceparent" in headers, headers["x-own"]) == (False, f"{context_of(app.only()).span_id:016x}")


def test_calls_that_begin_alike_are_told_apart(app: App) -> None:
    client = app.client()
    for model in ("gpt-4o-mini", "gpt-4o", "gpt-4o-mini"):
        client.chat.completions.create(model=model, messages=MESSAGES)
    client.models.list()
    client.files.list()
    assert [span.name for span in app.spans] == ["chat gpt-4o-mini", "chat gpt-4o", "chat gpt-4o-mini", "GET", "GET"]
    assert [told(span)["url.full"].rpartition("/")[2] for span in app.spans[3:]] == ["models", "files"]


def test_an_observers_methods_that_do_nothing_are_not_called(app: App) -> None:
    class Ends(interlay.Observer):
        def on_end(self, record: Any) -> None:
            seen.append(record)

    seen: list[Any] = []
    guarded = Guarded(Ends())
    assert (guarded.on_start, guarded.on_attempt) == (None, None)
    ask(interlay.wrap(Wire(200).for_openai(), Ends()))
    assert interlay.flush(30).pending == 0
    assert len(seen) == 1


def test_a_failure_is_an_error_with_its_type(app: App) -> None:
    client = app.client(429)
    with pytest.raises(Exception, match="later"):
        ask(client)
    span = app.only()
    assert (span.status.status_code, told(span)["error.type"]) == (StatusCode.ERROR, "overloaded_error")
    assert span.status.description is None  # the provider's words may echo a prompt
    assert span.events == ()


def test_retries_stand_under_the_span_and_an_error_that_was_overcome_is_theirs(app: App) -> None:
    ask(app.client(429, 200, parts=(Retry(attempts=2),)))
    chat, first, second = sorted(app.spans, key=lambda span: span.name)
    assert [s.name for s in (chat, first, second)] == ["chat gpt-4o-mini", "interlay.attempt 1", "interlay.attempt 2"]
    assert {span.parent.span_id for span in (first, second) if span.parent} == {context_of(chat).span_id}
    assert [s.status.status_code for s in (chat, first, second)] == [
        StatusCode.UNSET, StatusCode.ERROR, StatusCode.UNSET,
    ]  # fmt: skip
    assert [told(s).get("gen_ai.usage.input_tokens") for s in (chat, first, second)] == [9, None, None]


def test_an_sdk_with_spans_of_its_own_is_the_parent_and_tokens_are_told_once(app: App) -> None:
    answer = {
        "id": "m1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "hi"}],
        "usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 4},
    }  # fmt: skip
    transport = httpx2.MockTransport(lambda _request: httpx2.Response(200, json=answer))
    sdk = anthropic.Anthropic(
        api_key="k", http_client=httpx2.Client(transport=transport), open_telemetry={"tracer_provider": app.provider}
    )
    client = interlay.wrap(sdk, Trace(app.provider))
    client.messages.create(model="claude-sonnet-4-6", max_tokens=9, messages=MESSAGES)
    inner, outer = app.spans
    assert (inner.name, outer.name) == ("chat claude-sonnet-4-6", "anthropic.messages.create")
    assert inner.parent is not None
    assert inner.parent.span_id == context_of(outer).span_id
    assert [told(s).get("gen_ai.usage.output_tokens") for s in (inner, outer)] == [None, 5]
    assert told(inner)["interlay.cost.usd"] > 0


class Judge:
    """A layer that thinks, and knows of another record."""

    role = Role.GUARD

    def __init__(self, other: Link) -> None:
        self.other = other

    async def __call__(self, call: Call, next: Next) -> Response:
        began = time.time() - 0.01
        call.verdict(Verdict(layer="Judge", action="allow", started_at=began, seconds=0.01))
        call.run.cache = CacheOutcome(outcome="miss", reason="exact", started_at=began - 0.02, seconds=0.01)
        call.run.links = (self.other,)
        return await next(call)


def test_what_a_layer_did_and_whom_it_points_to(app: App) -> None:
    other = Link(id="a" * 20, kind="follower", trace_id="ab" * 16, span_id="cd" * 8)
    ask(app.client(parts=(Judge(other),)))
    spans = {span.name: span for span in app.spans}
    assert set(spans) == {"interlay.call", "interlay.cache.lookup", "interlay.guard Judge", "chat gpt-4o-mini"}
    call, judge = spans["interlay.call"], spans["interlay.guard Judge"]
    own = context_of(call).span_id
    assert {span.parent.span_id for span in spans.values() if span.parent is not None} == {own}
    assert judge.start_time is not None
    assert judge.end_time is not None
    assert abs(judge.end_time - judge.start_time - 10_000_000) < 10_000
    (link,) = call.links
    assert (f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") == ("ab" * 16, "cd" * 8)
    assert dict(link.attributes or {}) == {"interlay.link.reason": "follower", "interlay.link.record.id": "a" * 20}


def test_a_hit_points_at_the_call_that_made_its_answer(app: App) -> None:
    client = app.client(parts=(Cache(),))
    with app.tracer.start_as_current_span("asks first") as first:
        ask(client)
    with app.tracer.start_as_current_span("asks again") as second:
        ask(client)
    made, hit = (span for span in app.spans if span.name == "interlay.call")
    (chat,) = (span for span in app.spans if span.name.startswith("chat "))
    assert [told(span)["interlay.cache.outcome"] for span in (made, hit)] == ["miss", "hit"]
    assert [told(span)["interlay.cache.reason"] for span in (made, hit)] == ["absent", "fresh"]
    assert [span.parent and span.parent.span_id for span in (made, chat, hit)] == [
        context_of(first).span_id, context_of(made).span_id, context_of(second).span_id,
    ]  # fmt: skip
    (link,) = hit.links
    assert (link.context.trace_id, link.context.span_id) == (context_of(made).trace_id, context_of(made).span_id)
    assert told(hit)["interlay.cache.producer.id"] == told(made)["interlay.record.id"]
    # Its tokens and its money are told once, by the exchange that was billed.
    assert [told(span).get("gen_ai.usage.output_tokens") for span in (made, chat, hit)] == [None, 2, None]
    assert told(hit)["interlay.cost.saved_usd"] == told(chat)["interlay.cost.usd"] > 0
    assert told(hit)["interlay.call.cost.usd"] == 0


def test_a_stale_answer_and_its_refresh_are_told_apart(app: App) -> None:
    client = app.client(parts=(Cache(ttl=0, stale_while_revalidate="1h"),))
    ask(client)
    assert interlay.flush(30).pending == 0
    with app.tracer.start_as_current_span("waits for one of them") as waits:
        ask(client)
    stale, refresh = [span for span in app.spans if told(span).get("interlay.cache.reason") == "revalidating"]
    if told(stale)["interlay.cache.outcome"] == "miss":
        stale, refresh = refresh, stale
    assert stale.parent is not None
    assert stale.parent.span_id == context_of(waits).span_id
    assert refresh.parent is None
    assert context_of(refresh).trace_id != context_of(stale).trace_id
    (link,) = refresh.links
    assert link.context.span_id == context_of(stale).span_id
    assert dict(link.attributes or {})["interlay.link.reason"] == "refresh"
    calls = [told(span) for span in app.spans if span.name == "interlay.call"]
    assert sorted((call["interlay.cache.outcome"], call["interlay.cache.reason"]) for call in calls) == [
        ("miss", "absent"), ("miss", "revalidating"), ("stale", "revalidating"),
    ]  # fmt: skip
    assert sorted(call["interlay.outcome"] for call in calls) == ["cache_hit", "ok", "ok"]


# Streams.


def read(stream: Any) -> None:
    for _ in stream:
        pass


def close_early(stream: Any) -> None:
    next(iter(stream))
    stream.close()


def leave(stream: Any) -> None:
    for _ in stream:
        break
    stream.close()


def raise_inside(stream: Any) -> None:
    with suppress(RuntimeError), stream:
        for _ in stream:
            raise RuntimeError("mine")


def close_elsewhere(stream: Any) -> None:
    next(iter(stream))
    thread = threading.Thread(target=stream.close)
    thread.start()
    thread.join(30)


@pytest.mark.parametrize(
    ("how", "end"),
    [
        (read, "complete"),
        (close_early, "closed"),
        (leave, "closed"),
        (raise_inside, "closed"),
        (close_elsewhere, "closed"),
    ],
)
def test_pain_12_every_way_to_leave_a_stream_ends_one_span(
    app: App, how: Callable[[Any], None], end: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "opentelemetry"):
        how(ask(app.client(Body(OPENAI_EVENTS)), **ASKED))
    span = app.only()
    assert told(span)["interlay.stream.end"] == end
    assert span.end_time is not None
    assert caplog.records == []


def test_pain_12_a_dropped_stream_ends_its_span(app: App) -> None:
    stream = ask(app.client(Body(OPENAI_EVENTS)), **ASKED)
    next(iter(stream))
    del stream
    gc.collect()
    assert told(app.only())["interlay.stream.end"] in ("lost", "closed")


def test_pain_12_a_cut_stream_is_an_error(app: App) -> None:
    with pytest.raises(openai.APIConnectionError):
        read(ask(app.client(Body(OPENAI_EVENTS[:1], breaks=httpx2.ReadError("cut"))), **ASKED))
    assert app.only().status.status_code is StatusCode.ERROR


def test_pain_11_no_span_of_ours_is_current_in_the_readers_loop(app: App) -> None:
    with app.tracer.start_as_current_span("work") as work:
        stream = ask(app.client(Body(OPENAI_EVENTS)), **ASKED)
        seen = [trace.get_current_span() for _ in stream]
        assert trace.get_current_span() is work
    assert seen
    assert all(span is work for span in seen)


def test_pain_11_a_span_begun_in_the_loop_is_not_ours_child(app: App) -> None:
    with app.tracer.start_as_current_span("work") as work:
        for _ in ask(app.client(Body(OPENAI_EVENTS)), **ASKED):
            with app.tracer.start_as_current_span("step"):
                pass
    steps = [span for span in app.spans if span.name == "step"]
    assert {span.parent.span_id for span in steps if span.parent} == {context_of(work).span_id}


ENDINGS = ["read", "aclose here", "aclose elsewhere", "cancel", "dropped", "reset", "ends early"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_pain_11_async_streams_closed_from_another_task_say_nothing(
    app: App, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    body = {
        "cancel": Body(OPENAI_EVENTS, hangs=True),
        "reset": Body(OPENAI_EVENTS[:1], breaks=httpx2.ReadError("reset")),
        "ends early": Body(OPENAI_EVENTS[:1]),
    }.get(ending, Body(OPENAI_EVENTS))

    async def play() -> None:
        wire = Wire(body)
        client = interlay.wrap(wire.for_async_openai(max_retries=0), Trace(app.provider))
        stream = await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, **ASKED)
        iterator: AsyncIterator[Any] = stream.__aiter__()
        await iterator.__anext__()
        assert not trace.get_current_span().get_span_context().is_valid
        if ending == "aclose elsewhere":
            await asyncio.create_task(stream.close())
            return
        if ending == "aclose here":
            await stream.close()
            return
        if ending == "dropped":
            del stream, iterator
            gc.collect()
            return

        async def rest() -> None:
            with suppress(openai.APIError):
                async for _ in iterator:
                    pass

        task = asyncio.create_task(rest())
        if ending == "cancel":
            await asyncio.sleep(0.05)
            task.cancel()
        await asyncio.wait([task])

    with caplog.at_level(logging.DEBUG, "opentelemetry"):
        asyncio.run(play())
    assert app.only().end_time is not None
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


def test_pain_13_tokens_of_streams_are_told_though_nobody_asked_for_usage(app: App) -> None:
    read(ask(app.client(Body(OPENAI_EVENTS)), stream=True))
    assert told(app.only())["gen_ai.usage.output_tokens"] == 2


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, ALWAYS_ON], ids=["off", "on"])
def test_pain_13_metrics_do_not_depend_on_sampling(sampler: Sampler) -> None:
    app, reader = App(sampler=sampler), InMemoryMetricReader()
    meters = MeterProvider([reader])
    settings: dict[str, Any] = {"journal": False, "export": False}
    interlay.setup(**settings, tracer_provider=app.provider, meter_provider=meters)
    try:
        for script in ([200], [Body(OPENAI_EVENTS)]):
            client = interlay.wrap(Wire(*script).for_openai())
            answer = ask(client, stream=len(script) == 1 and script != [200])
            for _ in answer if script != [200] else ():
                pass
        assert interlay.flush(30).pending == 0
        data: Any = reader.get_metrics_data()
    finally:
        interlay.setup(**settings, tracer_provider=False, meter_provider=False)
        meters.shutdown()
    found = {metric.name: metric for metric in data.resource_metrics[0].scope_metrics[0].metrics}
    used = {p.attributes["gen_ai.token.type"]: p.sum for p in found["gen_ai.client.token.usage"].data.data_points}
    assert used == {"input": 18, "output": 4}
    assert sum(point.value for point in found["interlay.calls"].data.data_points) == 2
    assert len(app.spans) == (0 if sampler is ALWAYS_OFF else 2)


LAST_WORDS: list[Any] = [200, Body(OPENAI_EVENTS), 429, Body(OPENAI_EVENTS[:1], breaks=httpx2.ReadError("cut"))]


@pytest.mark.parametrize("vocabulary", NAMES)
@pytest.mark.parametrize("retried_by", ["a part", "the SDK"])
def test_usage_over_live_spans_is_that_over_records(app: App, vocabulary: VocabularyName, retried_by: str) -> None:
    """Plain, streamed, refused and tried again, refused for good, cut."""
    with capture() as records:
        for last in LAST_WORDS:
            wire = Wire(429, last) if isinstance(last, int) else Wire(last)
            parts = (Retry(attempts=2),) if retried_by == "a part" else ()
            sdk = wire.for_openai(max_retries=0 if parts else 1)
            client = interlay.wrap(sdk, *parts, Trace(app.provider, vocabulary=vocabulary))
            with suppress(openai.APIError):
                if isinstance(last, int):
                    ask(client)
                else:
                    read(ask(client, **ASKED))
    usages = [record.usage for record in records if record.usage is not None]
    expected = (sum(u.input_tokens or 0 for u in usages), sum(u.output_tokens or 0 for u in usages))
    assert expected == (18, 4)
    figures = [used(vocabulary, told(span)) for span in app.spans]
    assert (sum(prompt for prompt, _ in figures), sum(completion for _, completion in figures)) == expected


@pytest.mark.parametrize("where", ["to_thread", "thread", "executor", "run_in_executor"])
def test_pain_15_the_parent_is_taken_where_the_call_is_made(app: App, where: str) -> None:
    client = app.client()
    with app.tracer.start_as_current_span("work") as work:
        if where == "to_thread":

            async def play() -> None:
                await asyncio.to_thread(ask, client)

            asyncio.run(play())
        elif where == "executor":
            with ThreadPoolExecutor(1) as pool:
                interlay.carry(pool).submit(ask, client).result(30)
        elif where == "run_in_executor":

            async def play_there() -> None:
                with ThreadPoolExecutor(1) as pool:
                    await asyncio.get_running_loop().run_in_executor(interlay.carry(pool), ask, client)

            asyncio.run(play_there())
        else:
            thread = threading.Thread(target=interlay.carry(lambda: ask(client)))
            thread.start()
            thread.join(30)
    span = next(span for span in app.spans if span.name.startswith("chat"))
    assert span.parent is not None
    assert span.parent.span_id == context_of(work).span_id


def test_many_streams_at_once_each_have_their_own_span(app: App) -> None:
    client = app.client(Body(OPENAI_EVENTS))
    streams: list[Iterator[Any]] = [iter(ask(client, **ASKED)) for _ in range(8)]
    while streams:
        for stream in list(streams):
            if next(stream, None) is None:
                streams.remove(stream)
    spans = app.spans
    assert len({context_of(span).span_id for span in spans}) == 8
    assert {told(span)["interlay.stream.end"] for span in spans} == {"complete"}


def test_messages_are_told_when_kept_and_wanted(app: App) -> None:
    interlay.setup(journal=False, contents=True, tracer_provider=False, meter_provider=False)
    try:
        ask(app.client(content_limit=10_000))
        ask(app.client())
    finally:
        interlay.setup(journal=False, tracer_provider=False, meter_provider=False)
    kept, bare = app.spans
    assert "hi there" in told(kept)["gen_ai.input.messages"]
    assert "gen_ai.input.messages" not in told(bare)


def test_anthropic_streams_too(app: App) -> None:
    wire = Wire(Body(ANTHROPIC_EVENTS))
    client = interlay.wrap(wire.for_anthropic(max_retries=0), Trace(app.provider))
    with client.messages.stream(model="claude-sonnet-4-6", max_tokens=9, messages=MESSAGES) as stream:
        assert "".join(stream.text_stream) == "Hello"
    chat = next(span for span in app.spans if span.name.startswith("chat"))
    assert told(chat)["interlay.stream.end"] == "complete"
