"""The span tree of a record."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.telemetry.exchanges import AT, attempt, cost, record, refused, used, with_contents

from interlay.model.record import Attempt, CacheOutcome, Failure, Link, Record, Trace, Verdict
from interlay.model.usage import Usage
from interlay.telemetry.spans import CLIENT, INTERNAL, Span, Told, is_one_exchange, one_exchange, spans_of
from interlay.telemetry.vocabulary import NAMES, VOCABULARIES

ELSEWHERE = "https://api.anthropic.com/v1/messages"
INPUT = "gen_ai.usage.input_tokens"


def tree(of: Record, vocabulary: str = "genai-1.41", content_limit: int = 0) -> list[Span]:
    return spans_of(of, Told(VOCABULARIES[vocabulary], content_limit))


def fallen_back(**changes: Any) -> Record:
    """Two sends refused, the third served elsewhere."""
    sends = (
        refused(),
        refused(503, started_at=AT + 0.2),
        attempt(target=ELSEWHERE, provider="anthropic", model="claude-sonnet-4-5", started_at=AT + 0.4, seconds=0.4),
    )
    return record(**{"attempts": sends, **changes})


def test_a_plain_call_is_one_client_span() -> None:
    (span,) = tree(record())
    assert (span.name, span.kind, span.parent_id) == ("chat gpt-4o-mini", CLIENT, b"")
    assert (span.start_ns, span.end_ns) == (1_760_000_000_100_000_000, 1_760_000_000_800_000_000)
    assert not span.is_error
    assert span.attributes["interlay.outcome"] == "ok"
    assert span.attributes[INPUT] == 58


def test_retries_of_one_target_stand_under_one_exchange() -> None:
    chat, first, second = tree(record(attempts=(refused(), attempt(started_at=AT + 0.3))))
    assert [s.name for s in (chat, first, second)] == ["chat gpt-4o-mini", "interlay.attempt 1", "interlay.attempt 2"]
    assert {first.parent_id, second.parent_id} == {chat.span_id}
    # An error that was overcome stands on the send that failed and on nothing else.
    assert [s.is_error for s in (chat, first, second)] == [False, True, False]
    assert "error.type" not in chat.attributes
    assert [INPUT in s.attributes for s in (chat, first, second)] == [True, False, False]


def test_a_fallback_is_a_tree_with_a_link() -> None:
    call, failed, one, two, served = tree(fallen_back())
    assert (call.name, call.kind, call.parent_id, call.is_error) == ("interlay.call", INTERNAL, b"", False)
    assert {failed.parent_id, served.parent_id} == {call.span_id}
    assert {one.parent_id, two.parent_id} == {failed.span_id}
    assert (failed.name, failed.is_error) == ("chat gpt-4o-mini", True)
    assert (served.name, served.is_error) == ("chat claude-sonnet-4-5", False)
    (link,) = served.links
    assert (link.trace_id, link.span_id) == (failed.trace_id, failed.span_id)
    assert link.attributes["interlay.link.reason"] == "fallback_from"
    assert call.attributes["interlay.fallback"] is True
    assert [INPUT in s.attributes for s in (call, failed, served)] == [False, False, True]


def test_a_send_after_a_billed_one_is_an_exchange_of_its_own() -> None:
    usage = Usage(input_tokens=7, output_tokens=1)
    asked_again = record(attempts=(attempt(usage=usage, cost=cost("0.5", "0.5")), attempt(started_at=AT + 0.4)))
    _, first, second = tree(asked_again)
    assert [span.attributes[INPUT] for span in (first, second)] == [7, 58]
    assert second.links[0].attributes["interlay.link.reason"] == "retry_of"


def test_a_cache_hit_calls_nothing_so_there_is_no_chat() -> None:
    (call,) = tree(record(attempts=(), cache=CacheOutcome(outcome="hit", reason="exact", age=3.0), usage=None))
    assert (call.name, call.kind) == ("interlay.call", INTERNAL)
    assert call.attributes["interlay.cache.outcome"] == "hit"
    assert call.attributes["interlay.outcome"] == "cache_hit"
    assert [name for name in call.attributes if name.startswith("gen_ai.usage")] == []


def test_a_block_is_an_error_of_the_call() -> None:
    verdict = Verdict(layer="Guard", action="block", reason="injection")
    (call,) = tree(record(attempts=(), verdicts=(verdict,), end="error", error=Failure(type="guard_blocked")))
    assert (call.is_error, call.attributes["error.type"]) == (True, "guard_blocked")
    assert (call.attributes["interlay.outcome"], call.attributes["interlay.guard.verdict"]) == ("blocked", "block")


def test_a_shadow_verdict_is_not_told_as_one() -> None:
    (chat,) = tree(record(verdicts=(Verdict(layer="Guard", action="block", shadow=True),)))
    assert "interlay.guard.verdict" not in chat.attributes


def test_what_a_guard_allowed_is_told_with_the_call() -> None:
    call, chat = tree(record(verdicts=(Verdict(layer="Guard", action="allow"),)))
    assert (call.attributes["interlay.guard.verdict"], chat.parent_id) == ("allow", call.span_id)


def test_a_failed_call_is_an_error_all_the_way() -> None:
    (chat,) = tree(record(attempts=(refused(),), end="error", error=Failure(type="rate_limit_exceeded", status=429)))
    assert (chat.is_error, chat.attributes["error.type"]) == (True, "rate_limit_exceeded")


@pytest.mark.parametrize("end", ["closed", "lost", "cancelled"])
def test_who_leaves_early_did_not_fail(end: str) -> None:
    error = Failure(type="cancelled") if end == "cancelled" else None
    (chat,) = tree(record(end=end, error=error, attempts=(attempt(error=error),)))
    assert not chat.is_error
    assert "error.type" not in chat.attributes
    assert chat.attributes["interlay.stream.end"] == end


def test_the_providers_message_is_told_only_where_the_record_kept_it() -> None:
    kept = Failure(type="invalid_request_error", message="no such thing as [secret]")
    failing = attempt(error=kept, billed=False, usage=None)
    assert tree(record(attempts=(failing,), end="error", error=kept))[0].message == "no such thing as [secret]"


def test_ids_are_the_records_own() -> None:
    once, again = tree(fallen_back()), tree(fallen_back())
    assert [span.span_id for span in once] == [span.span_id for span in again]
    assert len({span.span_id for span in once}) == len(once)
    assert {len(span.span_id) for span in once} == {8}
    other = tree(fallen_back(id="f" * 20, call_id="f" * 20))
    assert not {span.span_id for span in once} & {span.span_id for span in other}
    assert once[0].trace_id != other[0].trace_id


def test_ids_do_not_run_out() -> None:
    many = record(attempts=tuple(refused(started_at=AT + n / 100) for n in range(100)), end="error")
    spans = tree(many)
    assert len({span.span_id for span in spans}) == len(spans) == 101


def test_what_an_sdk_tries_again_stands_in_the_same_trace_under_the_first_try() -> None:
    first = record(attempts=(refused(),), end="error")
    second = record(id="e" * 20)
    (one,), (two,) = tree(first), tree(second)
    assert two.trace_id == one.trace_id
    assert (one.parent_id, two.parent_id) == (b"", one.span_id)


def test_a_call_that_a_layer_made_stands_under_its_parent() -> None:
    parent = tree(record())[0]
    child = tree(record(id="c" * 20, call_id="c" * 20, parent_id=record().id))[0]
    assert (child.trace_id, child.parent_id) == (parent.trace_id, parent.span_id)


def test_a_trace_taken_at_the_start_is_kept() -> None:
    trace = Trace(trace_id="ab" * 16, span_id="cd" * 8, parent_span_id="ef" * 8, flags=0)
    (span,) = tree(record(trace=trace))
    assert (span.trace_id.hex(), span.span_id.hex(), span.parent_id.hex()) == ("ab" * 16, "cd" * 8, "ef" * 8)
    assert span.flags == 0


def test_links_to_other_records_point_at_their_roots() -> None:
    producer = record(id="a" * 20, call_id="a" * 20)
    follower = record(links=(Link(id="a" * 20, kind="cache_producer"),))
    (link,) = tree(follower)[0].links
    assert (link.trace_id, link.span_id) == (tree(producer)[0].trace_id, tree(producer)[0].span_id)
    assert link.attributes == {"interlay.link.reason": "cache_producer", "interlay.link.record.id": "a" * 20}


@pytest.mark.parametrize("kind", ["fallback", "cache_producer", "follower", "hedge"])
def test_links_point_where_the_other_record_stood(kind: str) -> None:
    stood = Trace(trace_id="ab" * 16, span_id="cd" * 8)
    producer = record(id="a" * 20, call_id="b" * 20, trace=stood)
    pointer = Link(id=producer.id, kind=kind, trace_id=stood.trace_id, span_id=stood.span_id)
    (link,) = tree(record(links=(pointer,)))[0].links
    assert (link.trace_id, link.span_id) == (tree(producer)[0].trace_id, tree(producer)[0].span_id)
    assert link.attributes == {"interlay.link.reason": kind, "interlay.link.record.id": producer.id}


def test_checks_and_look_ups_stand_where_they_ran() -> None:
    verdicts = (
        Verdict(layer="Secrets", action="allow", started_at=AT + 0.01, seconds=0.0002),
        Verdict(layer="Judge", action="annotate", reason="tone", started_at=AT + 0.02, seconds=0.05),
        Verdict(layer="Topics", action="block", shadow=True, started_at=AT + 0.08, seconds=0.01),
    )
    cache = CacheOutcome(outcome="miss", reason="semantic", started_at=AT + 0.005, seconds=0.002)
    call, lookup, judge, topics, chat = tree(record(verdicts=verdicts, cache=cache))
    assert [span.name for span in (lookup, judge, topics, chat)] == [
        "interlay.cache.lookup", "interlay.guard Judge", "interlay.guard Topics", "chat gpt-4o-mini",
    ]  # fmt: skip
    assert {span.parent_id for span in (lookup, judge, topics, chat)} == {call.span_id}
    assert {span.kind for span in (lookup, judge, topics)} == {INTERNAL}
    assert (judge.start_ns, judge.end_ns) == (1_760_000_000_020_000_000, 1_760_000_000_070_000_000)
    assert (lookup.end_ns - lookup.start_ns, topics.end_ns - topics.start_ns) == (2_000_000, 10_000_000)
    assert judge.attributes == {
        "interlay.guard.name": "Judge", "interlay.guard.verdict": "annotate", "interlay.guard.reason": "tone",
    }  # fmt: skip
    assert topics.attributes["interlay.shadow"] is True
    assert lookup.attributes == {"interlay.cache.outcome": "miss", "interlay.cache.reason": "semantic"}
    assert len({span.span_id for span in (call, lookup, judge, topics, chat)}) == 5
    # Backends that know guards are told that these are some.
    kinds = {name: tree(record(verdicts=verdicts, cache=cache), name)[2].attributes for name in NAMES}
    assert kinds["openinference"]["openinference.span.kind"] == "GUARDRAIL"
    assert kinds["langfuse"]["langfuse.observation.type"] == "guardrail"


def test_a_shadow_that_took_time_is_seen_though_it_changed_nothing() -> None:
    shadow = Verdict(layer="Topics", action="block", shadow=True, started_at=AT, seconds=0.01)
    call, topics, chat = tree(record(verdicts=(shadow,)))
    assert [span.name for span in (call, topics, chat)] == [
        "interlay.call",
        "interlay.guard Topics",
        "chat gpt-4o-mini",
    ]
    assert "interlay.guard.verdict" not in call.attributes


def test_plain_http_is_told_by_https_names() -> None:
    request = record(operation="http", dialect=None, method="GET", model=None, parameters={}, served_model=None)
    for vocabulary in NAMES:
        (span,) = tree(request, vocabulary)
        assert (span.name, span.kind) == ("GET", CLIENT)
        assert span.attributes["http.request.method"] == "GET"
        assert [name for name in span.attributes if name.startswith("gen_ai.") and "conversation" not in name] == []


def test_messages_stand_on_the_exchange_that_said_them() -> None:
    of = with_contents(attempts=fallen_back().attempts)
    shown = [span.name for span in tree(of, content_limit=10_000) if "Oslo" in repr(span.attributes)]
    assert shown == ["chat claude-sonnet-4-5"]
    assert [span.name for span in tree(of) if "Oslo" in repr(span)] == []
    # These backends' lists show what stands on the root.
    for vocabulary in ("openinference", "langfuse", "mlflow"):
        assert "Oslo" in repr(tree(of, vocabulary, content_limit=10_000)[0].attributes)


def test_messages_of_a_hit_stand_on_the_call() -> None:
    hit = with_contents(attempts=(), cache=CacheOutcome(outcome="hit", reason="exact"))
    assert "Oslo" in repr(tree(hit, content_limit=10_000)[0].attributes)


# The law: usage over all spans is the records' usage, in every vocabulary, for retries, fallback and hits.

tokens = st.integers(3, 10**6)  # their parts are at most 3


@st.composite
def sends(draw: st.DrawFn) -> Attempt:
    target, provider = draw(st.sampled_from([(ELSEWHERE, "anthropic"), (record().target, "openai")]))
    if not draw(st.booleans()):
        return refused(target=target, provider=provider)
    usage = Usage(
        input_tokens=draw(tokens), output_tokens=draw(tokens), cache_read_tokens=draw(st.integers(0, 3)),
        reasoning_tokens=draw(st.integers(0, 3)),
    )  # fmt: skip
    return attempt(target=target, provider=provider, usage=usage)


@pytest.mark.parametrize("vocabulary", NAMES)
@given(attempts=st.lists(sends(), max_size=7))
def test_usage_over_spans_is_the_records_usage(vocabulary: str, attempts: list[Attempt]) -> None:
    figures = [used(vocabulary, span.attributes) for span in tree(record(attempts=tuple(attempts)), vocabulary)]
    billed = [send.usage for send in attempts if send.usage is not None]
    assert sum(prompt for prompt, _ in figures) == sum(usage.input_tokens or 0 for usage in billed)
    assert sum(completion for _, completion in figures) == sum(usage.output_tokens or 0 for usage in billed)
    amounts = [span.attributes.get("interlay.cost.usd", 0.0) for span in tree(record(attempts=tuple(attempts)))]
    assert sum(a for a in amounts if isinstance(a, float)) == pytest.approx(
        sum(float(send.cost.amount or 0) for send in attempts if send.cost is not None)
    )


@pytest.mark.parametrize("vocabulary", NAMES)
@pytest.mark.parametrize(
    "of",
    [record(), with_contents(), record(attempts=(refused(),), end="error"), record(operation="http", model=None)],
    ids=["plain", "contents", "error", "http"],
)
def test_the_short_way_for_one_exchange_says_the_same(of: Record, vocabulary: str) -> None:
    told = Told(VOCABULARIES[vocabulary], 10_000)
    assert is_one_exchange(of)
    (span,) = spans_of(of, told)
    attributes, message, end_ns = one_exchange(of, told)
    assert attributes == span.attributes
    assert (message is not None, message or "", end_ns) == (span.is_error, span.message, span.end_ns)
