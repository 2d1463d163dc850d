"""What each destination is told, and by which names."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.telemetry.exchanges import attempt, cost, record, refused, streamed, with_contents

from interlay.model.record import Identity, Record
from interlay.model.usage import Usage
from interlay.telemetry import facts
from interlay.telemetry.vocabulary import NAMES, TABLE, VOCABULARIES, Attributes


def told(vocabulary: str, of: Record | None = None, kind: str = "chat", **options: Any) -> Attributes:
    of = record() if of is None else of
    known = {**facts.run(of), **facts.exchange(of, of.attempts), **facts.contents(of)}
    return VOCABULARIES[vocabulary].attributes(known, kind, **options)


@pytest.mark.parametrize("column", range(5))
def test_no_two_facts_share_a_name(column: int) -> None:
    shared = Counter(row[column] for row in TABLE.values() if row[column] is not None)
    # The one exception: a stream that died says so where its reasons would stand, and has none then.
    assert {name for name, count in shared.items() if count > 1} <= {"gen_ai.response.finish_reasons"}


def test_a_call_has_at_least_twenty_attributes_in_the_default_vocabulary() -> None:
    assert len(told("genai-1.41")) >= 20


@pytest.mark.parametrize(
    ("vocabulary", "written", "other"),
    [
        ("genai-1.41", "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens"),
        ("genai-next", "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"),
        ("mlflow", "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_write.input_tokens"),
        ("openinference", "llm.token_count.prompt_details.cache_write", "gen_ai.usage.cache_creation.input_tokens"),
    ],
)
def test_written_cache_tokens_go_by_the_name_that_the_destination_prices(
    vocabulary: str, written: str, other: str
) -> None:
    attributes = told(vocabulary)
    assert attributes[written] == 6
    assert other not in attributes


@pytest.mark.parametrize(
    ("vocabulary", "prompt", "completion"),
    [
        ("genai-1.41", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"),
        ("genai-next", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"),
        ("mlflow", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"),
        ("openinference", "llm.token_count.prompt", "llm.token_count.completion"),
    ],
)
def test_totals_hold_their_parts(vocabulary: str, prompt: str, completion: str) -> None:
    assert (told(vocabulary)[prompt], told(vocabulary)[completion]) == (58, 64)


def test_langfuse_adds_up_so_it_gets_kinds_that_do_not_overlap() -> None:
    attributes = told("langfuse")
    usage = json.loads(str(attributes["langfuse.observation.usage_details"]))
    assert usage == {
        "input": 20, "input_cached_tokens": 32, "input_cache_creation": 6,
        "output": 54, "output_reasoning_tokens": 10,
    }  # fmt: skip
    # Any number under this prefix would become one more kind of usage.
    assert [name for name in attributes if name.startswith("gen_ai.usage.")] == []


counts = st.integers(0, 10**9)


@given(read=counts, written=counts, plain=counts, thought=counts, answered=counts)
def test_langfuse_usage_sums_to_the_totals(read: int, written: int, plain: int, thought: int, answered: int) -> None:
    usage = Usage(
        input_tokens=read + written + plain, output_tokens=thought + answered, cache_read_tokens=read,
        cache_write_tokens=written, reasoning_tokens=thought,
    )  # fmt: skip
    details = told("langfuse", record(attempts=(attempt(usage=usage),)))["langfuse.observation.usage_details"]
    assert sum(json.loads(str(details)).values()) == (usage.input_tokens or 0) + (usage.output_tokens or 0)


@pytest.mark.parametrize("vocabulary", NAMES)
def test_our_cost_is_always_told(vocabulary: str) -> None:
    assert told(vocabulary)["interlay.cost.usd"] == pytest.approx(0.0000471)


def test_cost_in_the_keys_that_backends_read() -> None:
    assert json.loads(str(told("mlflow")["mlflow.llm.cost"])) == pytest.approx(
        {"input_cost": 0.0000087, "output_cost": 0.0000384, "total_cost": 0.0000471}
    )
    assert json.loads(str(told("langfuse")["langfuse.observation.cost_details"])) == pytest.approx(
        {"input": 0.0000087, "output": 0.0000384, "total": 0.0000471}
    )
    openinference = told("openinference")
    assert [openinference[f"llm.cost.{part}"] for part in ("prompt", "completion", "total")] == pytest.approx(
        [0.0000087, 0.0000384, 0.0000471]
    )


def test_modalities_are_sent_to_those_who_know_them_alone() -> None:
    usage = Usage(input_tokens=10, output_tokens=10, input_audio_tokens=4, output_image_tokens=3)
    spoken = record(attempts=(attempt(usage=usage),))
    assert told("genai-next", spoken)["gen_ai.usage.audio.input_tokens"] == 4
    assert told("genai-next", spoken)["gen_ai.usage.image.output_tokens"] == 3
    for vocabulary in ("genai-1.41", "langfuse", "mlflow"):
        assert [n for n in told(vocabulary, spoken) if "audio" in n or "image" in n] == []


def test_numbers_have_the_types_of_the_convention() -> None:
    old, new = told("genai-1.41"), told("genai-next")
    assert type(old["gen_ai.request.temperature"]) is float
    assert type(old["gen_ai.request.top_k"]) is float
    assert type(new["gen_ai.request.top_k"]) is int
    assert type(old["gen_ai.request.max_tokens"]) is int


@pytest.mark.parametrize(
    ("provider", "name"),
    [("gemini", "gcp.gemini"), ("bedrock", "aws.bedrock"), ("xai", "x_ai"), ("groq", "groq"), (None, "_OTHER")],
)
def test_providers_go_by_the_conventions_names(provider: str | None, name: str) -> None:
    of = record(provider=provider, attempts=(attempt(provider=provider),))
    assert told("genai-1.41", of)["gen_ai.provider.name"] == name
    assert told("openinference", of)["llm.system"] == name


def test_one_providers_own_attributes_are_not_given_to_others() -> None:
    assert told("genai-1.41")["openai.api.type"] == "chat_completions"
    elsewhere = told("genai-1.41", record(attempts=(attempt(provider="groq"),)))
    assert [name for name in elsewhere if name.startswith("openai.")] == []


def test_streaming_is_said_only_when_it_is_true() -> None:
    assert "gen_ai.request.stream" not in told("genai-1.41")
    attributes = told("genai-1.41", streamed())
    assert attributes["gen_ai.request.stream"] is True
    assert attributes["gen_ai.response.time_to_first_chunk"] == 0.3
    assert told("langfuse", streamed())["langfuse.observation.completion_start_time"] == "2025-10-09T08:53:20.300Z"


def test_a_failed_exchange_names_its_error_and_claims_no_usage() -> None:
    attributes = told("genai-1.41", record(attempts=(refused(),), response=None, end="error"))
    assert attributes["error.type"] == "rate_limit_exceeded"
    assert attributes["http.response.status_code"] == 429
    assert [name for name in attributes if name.startswith("gen_ai.usage.")] == []


def test_a_stream_that_died_says_so_where_the_convention_has_a_word() -> None:
    died = streamed(response=record().response, end="error")
    died = Record.from_json(died.to_json().replace(b'"finish_reasons":["stop"],', b"").replace(b'["stop"]', b"[]"))
    assert told("genai-next", died)["gen_ai.response.finish_reasons"] == ("error",)
    assert "gen_ai.response.finish_reasons" not in told("genai-1.41", died)


def test_a_user_is_told_by_a_digest() -> None:
    assert told("genai-1.41")["user.id"] == facts.digest("u-7")
    nobody = told("genai-1.41", record(identity=Identity()))
    assert [name for name in ("user.id", "gen_ai.conversation.id", "interlay.tags") if name in nobody] == []


@pytest.mark.parametrize("vocabulary", NAMES)
def test_messages_are_told_only_when_asked_for(vocabulary: str) -> None:
    of = with_contents()
    assert "Oslo" not in repr(told(vocabulary, of))
    assert "Oslo" in repr(told(vocabulary, of, content_limit=10_000))


def test_messages_in_the_conventions_form() -> None:
    attributes = told("genai-1.41", with_contents(), content_limit=10_000)
    asked = json.loads(str(attributes["gen_ai.input.messages"]))
    assert asked == [
        {"role": "system", "parts": [{"type": "text", "content": "Be terse."}]},
        {"role": "user", "parts": [{"type": "text", "content": "Weather in Oslo?"}]},
        {"role": "assistant", "parts": [
            {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Oslo"}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "4 degrees"}]},
    ]  # fmt: skip
    assert json.loads(str(attributes["gen_ai.output.messages"])) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Four degrees."}]}
    ]
    assert json.loads(str(attributes["gen_ai.tool.definitions"]))[0]["name"] == "weather"


def test_messages_in_openinferences_form() -> None:
    attributes = told("openinference", with_contents(), content_limit=10_000)
    assert attributes["llm.input_messages.1.message.content"] == "Weather in Oslo?"
    call = "llm.input_messages.2.message.tool_calls.0.tool_call.function"
    assert (attributes[f"{call}.name"], attributes[f"{call}.arguments"]) == ("weather", '{"city":"Oslo"}')
    assert attributes["llm.output_messages.0.message.content"] == attributes["output.value"] == "Four degrees."
    assert "Oslo" in str(attributes["input.value"])


@given(limit=st.integers(200, 40_000), texts=st.lists(st.text(max_size=5_000), min_size=1, max_size=8))
def test_messages_stay_valid_json_within_their_bound(limit: int, texts: list[str]) -> None:
    contents = with_contents().contents
    assert contents is not None
    contents.input[:] = [{"role": "user", "content": text} for text in texts]
    attributes = told("genai-1.41", with_contents(contents=contents), content_limit=limit)
    shown = str(attributes["gen_ai.input.messages"])
    assert len(shown.encode()) <= limit
    assert all(message["role"] and isinstance(message["parts"], list) for message in json.loads(shown))


def test_a_message_that_was_cut_says_so() -> None:
    long = with_contents()
    assert long.contents is not None
    long.contents.input[:] = [{"role": "user", "content": "word " * 10_000}]
    shown = str(told("genai-1.41", long, content_limit=9_000)["gen_ai.input.messages"])
    assert json.loads(shown)[0]["parts"][0]["content"].endswith("… [cut]")


def test_a_cost_without_lines_is_told_whole() -> None:
    lump = cost("0", "0.25")
    assert told("openinference", record(attempts=(attempt(cost=lump),)))["llm.cost.total"] == 0.25
