"""Functions that are observed, as backends see them: a span of their kind under what they are in, and no call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from tests.unit.entry.wires import MESSAGES, Wire
from tests.unit.telemetry.exchanges import AT, record

import interlay
from interlay.entry import process
from interlay.model.errors import ConfigError
from interlay.model.record import Contents, Failure, Record
from interlay.telemetry.events import events_of
from interlay.telemetry.live import Trace
from interlay.telemetry.metrics import Metrics, Tally
from interlay.telemetry.spans import INTERNAL, Told, spans_of
from interlay.telemetry.vocabulary import NAMES, VOCABULARIES
from interlay.testing import capture


def run(kind: str = "tool", **changes: Any) -> Record:
    """A run of a function named ``search``, for 0.8 seconds."""
    made = {"operation": kind, "target": "search", "method": "", "attempts": (), "usage": None, "cost": None}
    plain = {"dialect": None, "provider": None, "model": None, "served_model": None, "response": None, "server": None}
    return record(**{**made, **plain, **changes})


def kept(gave: str = "three results") -> Contents:
    asked = {"type": "tool_call", "name": "search", "arguments": {"query": "ships"}}
    return Contents(
        input=[{"role": "tool", "content": [asked]}],
        output=[{"role": "tool", "content": [{"type": "text", "text": gave}]}],
    )


class TestFromRecords:
    @pytest.mark.parametrize(
        ("kind", "name", "called"),
        [
            ("tool", "execute_tool search", "gen_ai.tool.name"),
            ("agent", "invoke_agent search", "gen_ai.agent.name"),
            ("workflow", "invoke_workflow search", "gen_ai.workflow.name"),
        ],
    )
    def test_a_run_is_one_internal_span(self, kind: str, name: str, called: str) -> None:
        (span,) = spans_of(run(kind), Told(VOCABULARIES["genai-1.41"]))
        assert (span.name, span.kind, span.is_error) == (name, INTERNAL, False)
        assert (span.start_ns, span.end_ns) == (int(AT * 1e9), int((AT + 0.8) * 1e9))
        assert span.attributes["gen_ai.operation.name"] == name.split(maxsplit=1)[0]
        assert span.attributes[called] == "search"
        assert not any(key.startswith(("gen_ai.usage", "gen_ai.request", "interlay.cost")) for key in span.attributes)

    @pytest.mark.parametrize("vocabulary", NAMES)
    def test_each_backend_is_told_the_kind_in_its_own_words(self, vocabulary: str) -> None:
        told = {kind: spans_of(run(kind), Told(VOCABULARIES[vocabulary]))[0].attributes for kind in KINDS}
        names = VOCABULARIES[vocabulary].names
        own = {kind: told[kind].get(names.get("kind", "gen_ai.operation.name")) for kind in KINDS}
        assert own == {
            "openinference": {"tool": "TOOL", "agent": "AGENT", "workflow": "CHAIN"},
            "langfuse": {"tool": "tool", "agent": "agent", "workflow": "chain"},
        }.get(vocabulary, {"tool": "execute_tool", "agent": "invoke_agent", "workflow": "invoke_workflow"})

    def test_an_error_is_one(self) -> None:
        (span,) = spans_of(run(end="error", error=Failure(type="LookupError")), Told(VOCABULARIES["genai-1.41"]))
        assert span.is_error
        assert span.attributes["error.type"] == "LookupError"

    @pytest.mark.parametrize(
        ("vocabulary", "kind", "asked", "answered"),
        [
            ("genai-1.41", "tool", "gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
            ("genai-1.41", "agent", "gen_ai.input.messages", "gen_ai.output.messages"),
            ("mlflow", "workflow", "gen_ai.input.messages", "gen_ai.output.messages"),
            ("openinference", "tool", "input.value", "output.value"),
            ("openinference", "agent", "input.value", "output.value"),
            ("langfuse", "tool", "langfuse.observation.input", "langfuse.observation.output"),
        ],
    )
    def test_contents_are_told_only_when_asked_for_and_within_their_bound(
        self, vocabulary: str, kind: str, asked: str, answered: str
    ) -> None:
        of = run(kind, contents=kept())
        (without,) = spans_of(of, Told(VOCABULARIES[vocabulary]))
        assert not {asked, answered} & set(without.attributes)
        (span,) = spans_of(of, Told(VOCABULARIES[vocabulary], 1000))
        assert "ships" in str(span.attributes[asked])
        assert "three results" in str(span.attributes[answered])
        (cut,) = spans_of(run(kind, contents=kept("ä" * 10_000)), Told(VOCABULARIES[vocabulary], 200))
        assert len(str(cut.attributes[answered]).encode()) <= 200

    def test_messages_of_an_agent_are_in_the_conventions_form(self) -> None:
        (span,) = spans_of(run("agent", contents=kept()), Told(VOCABULARIES["genai-1.41"], 1000))
        (message,) = json.loads(str(span.attributes["gen_ai.input.messages"]))
        assert message == {"role": "user", "parts": [{"type": "text", "content": '{"query":"ships"}'}]}

    def test_a_run_is_no_call_and_no_event(self) -> None:
        metrics = Metrics(Tally(), lambda _: True)
        call: Any = object()
        metrics.on_start(call)
        metrics.on_end(run())
        found = {metric.name: metric for metric in metrics.figures()}
        assert found["interlay.inflight"].points[0].value == 1
        assert "interlay.calls" not in found
        of = run(contents=kept())
        vocabulary = VOCABULARIES["genai-1.41"]
        assert events_of(of, spans_of(of, Told(vocabulary)), vocabulary, 1000) == []


KINDS = ("tool", "agent", "workflow")


class App:
    """A program with OpenTelemetry, where live spans are on for the process."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**options)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("app")
        self.model = interlay.wrap(Wire(200).for_openai())
        self.live = Trace(self.provider)
        process.recorder.listen(self.live)

    def ask(self) -> None:
        self.model.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)

    @property
    def tree(self) -> dict[str, str | None]:
        """Each span's name, with its parent's."""
        spans = {span.context.span_id: span for span in self.spans if span.context}
        return {
            span.name: spans[span.parent.span_id].name if span.parent is not None else None for span in spans.values()
        }

    @property
    def spans(self) -> list[ReadableSpan]:
        interlay.flush(30)
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def app() -> Iterator[App]:
    app = App()
    yield app
    process.recorder.unlisten(app.live.spans)
    assert not trace.get_current_span().get_span_context().is_valid


class TestLive:
    def test_a_family_with_the_programs_own_spans_in_between(self, app: App) -> None:
        @interlay.observe(kind="tool", name="look up")
        def tool() -> None:
            with app.tracer.start_as_current_span("inner work"):
                app.ask()

        @interlay.observe(kind="agent", name="planner")
        def agent() -> None:
            tool()

        with app.tracer.start_as_current_span("work") as work, capture() as records:
            agent()
            assert trace.get_current_span() is work
        assert app.tree == {
            "work": None,
            "invoke_agent planner": "work",
            "execute_tool look up": "invoke_agent planner",
            "inner work": "execute_tool look up",
            "chat gpt-4o-mini": "inner work",
        }
        assert {span.kind for span in app.spans if " " in span.name and "chat" not in span.name} == {SpanKind.INTERNAL}
        # Records are a family by their ids as well.
        chat, looked, planned = records
        assert (chat.parent_id, looked.parent_id, planned.parent_id) == (looked.id, planned.id, None)

    @pytest.mark.parametrize("listens", [True, False], ids=["beside the process's", "alone"])
    def test_a_provider_of_its_own_goes_before_the_process_one(self, app: App, *, listens: bool) -> None:
        other = App()
        for each in (other,) if listens else (other, app):
            process.recorder.unlisten(each.live.spans)

        @interlay.observe(kind="agent", name="plan", tracer_provider=other.provider)
        def plan() -> None:
            assert trace.get_current_span().get_span_context().is_valid
            app.ask()

        plan()
        assert other.tree == {"invoke_agent plan": None}
        (function,) = other.spans
        if listens:
            (chat,) = app.spans
            assert chat.parent is not None
            assert function.context is not None
            assert (chat.name, chat.parent.span_id) == ("chat gpt-4o-mini", function.context.span_id)
        else:
            assert app.spans == []

    def test_what_is_no_provider_is_said(self) -> None:
        with pytest.raises(ConfigError, match=r"observe\(tracer_provider=5\): expected a provider"):
            interlay.observe(tracer_provider=5)

    def test_an_error_has_its_status(self, app: App) -> None:
        @interlay.observe(name="work")
        def work() -> None:
            raise LookupError("secret words")

        with pytest.raises(LookupError):
            work()
        (span,) = app.spans
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
        assert dict(span.attributes or {})["error.type"] == "LookupError"
        assert not span.events

    def test_pain_11_a_suspended_generators_span_is_not_current(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        @interlay.observe(name="plain")
        def plain() -> Iterator[int]:
            for number in range(3):
                app.ask()
                yield number

        @interlay.observe(name="async")
        async def asynchronous() -> AsyncIterator[int]:
            for number in range(3):
                app.ask()
                yield number

        async def read() -> None:
            source = asynchronous()
            async for _ in source:
                assert not trace.get_current_span().get_span_context().is_valid
                break
            await asyncio.create_task(source.aclose())  # type: ignore[attr-defined]

        for _ in plain():
            assert not trace.get_current_span().get_span_context().is_valid
        asyncio.run(read())
        told = [(span.name, dict(span.attributes or {}).get("interlay.stream.end")) for span in app.spans]
        assert told.count(("chat gpt-4o-mini", "complete")) == 4
        assert ("execute_tool plain", "complete") in told
        assert ("execute_tool async", "closed") in told
        own = {span.context.span_id for span in app.spans if span.context and span.name.startswith("execute")}
        assert all(span.parent and span.parent.span_id in own for span in app.spans if span.name.startswith("chat"))
        assert caplog.text == ""

    def test_one_that_is_lost_has_its_span_too(self, app: App) -> None:
        @interlay.observe(name="work")
        def work() -> Iterator[int]:
            yield 1

        next(work())
        (span,) = app.spans
        assert dict(span.attributes or {})["interlay.stream.end"] == "lost"


def test_what_a_sampler_drops_is_dropped_whole() -> None:
    app = App(sampler=ALWAYS_OFF)
    try:
        interlay.observe(app.ask)()
        assert app.spans == []
    finally:
        process.recorder.unlisten(app.live.spans)
