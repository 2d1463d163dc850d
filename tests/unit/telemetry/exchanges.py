"""Records to look at: one that answers everything, and ways to bend it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from interlay.model.cost import Cost, CostLine
from interlay.model.record import Answered, Attempt, Chunks, Contents, Failure, Identity, Record, Server
from interlay.model.usage import Usage

AT = 1_760_000_000.0
TARGET = "https://api.openai.com/v1/chat/completions"


def cost(prompt: str = "0.0000087", completion: str = "0.0000384") -> Cost:
    lines = tuple(
        CostLine(unit=unit, quantity=1, price=Decimal(amount), per=1, amount=Decimal(amount), price_from="2024-07-18")
        for unit, amount in (("input", prompt), ("output", completion))
    )
    return Cost(amount=Decimal(prompt) + Decimal(completion), source="computed", lines=lines)


USAGE = Usage(input_tokens=58, output_tokens=64, cache_read_tokens=32, cache_write_tokens=6, reasoning_tokens=10)


def attempt(**changes: Any) -> Attempt:
    made = Attempt(
        target=TARGET, provider="openai", model="gpt-4o-mini", status=200, started_at=AT + 0.1, seconds=0.7,
        billed=True, usage=USAGE, cost=cost(),
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def refused(status: int = 429, **changes: Any) -> Attempt:
    error = Failure(type="rate_limit_exceeded" if status == 429 else f"http_{status}", status=status)
    nothing = Cost(amount=Decimal(0), source="computed")
    return attempt(**{"status": status, "error": error, "billed": False, "usage": None, "cost": nothing, **changes})


def record(**changes: Any) -> Record:
    """One plain call that went well, at ``AT``, for 0.8 seconds."""
    sends = changes.get("attempts", (attempt(),))
    made = Record(
        id="0123456789abcdef0123",
        call_id="0123456789abcdef0123",
        operation="chat",
        dialect="openai-chat",
        provider="openai",
        model="gpt-4o-mini",
        served_model="gpt-4o-mini-2024-07-18",
        target=TARGET,
        identity=Identity(user="u-7", session="s-1", tags=("checkout",)),
        started_at=AT,
        ended_at=AT + 0.8,
        duration=0.8,
        overhead=0.00004,
        end="complete",
        parameters={"temperature": 0, "max_tokens": 512, "top_k": 40},
        response=Answered(id="chatcmpl-1", status=200, request_id="req_1", finish_reasons=("stop",)),
        server=Server(address="api.openai.com", port=443),
        attempts=(attempt(),),
        usage=sends[-1].usage if sends else None,
        cost=sends[-1].cost if sends else None,
    )
    return msgspec.structs.replace(made, **changes)


def streamed(**changes: Any) -> Record:
    """A stream of 67 events in 0.8 seconds, the first after 0.3."""
    buckets = (60, 6, *[0] * 13)
    facts: dict[str, Any] = {
        "streamed": True,
        "first_event_at": AT + 0.3,
        "time_to_first_event": 0.3,
        "chunks": Chunks(count=67, buckets=buckets),
    }
    return record(**{**facts, **changes})


def with_contents(**changes: Any) -> Record:
    asked: list[dict[str, Any]] = [
        {"role": "system", "content": "Be terse."},
        {"role": "user", "content": "Weather in Oslo?"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Oslo"}'}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "4 degrees"},
    ]  # fmt: skip
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    contents = Contents(input=asked, output=[{"role": "assistant", "content": "Four degrees."}], tools=[tool])
    return record(**{"contents": contents, **changes})


def used(vocabulary: str, told: Mapping[str, Any]) -> tuple[int, int]:
    """What a span's attributes say was used, of prompt and completion, to somebody who reads that vocabulary."""
    if vocabulary == "langfuse":
        usage = json.loads(told.get("langfuse.observation.usage_details", "{}"))
        prompt = sum(count for kind, count in usage.items() if kind.startswith("input"))
        return prompt, sum(usage.values()) - prompt
    if vocabulary == "openinference":
        return told.get("llm.token_count.prompt", 0), told.get("llm.token_count.completion", 0)
    return told.get("gen_ai.usage.input_tokens", 0), told.get("gen_ai.usage.output_tokens", 0)
