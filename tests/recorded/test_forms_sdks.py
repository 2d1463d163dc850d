"""An answer in its other form, read by the SDKs of groq, together, mistralai, cohere and ollama, as far as they are
there: ``tests/interop`` runs this file with all five. They have no accumulators: their events are added up here."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.recorded.forms import CASES, bared, both
from tests.recorded.test_parity import recording_of
from tests.recorded.test_parity_sdks import SDK, SDKS, outcome

from interlay.testing import Exchange, Player


@pytest.mark.parametrize(
    ("sdk", "exchange"),
    [
        pytest.param(sdk, case.exchange, id=f"{sdk.name}-{case.id}")
        for case in CASES
        for sdk in SDKS
        if case.exchange.request.host == sdk.host
    ],
)
def test_both_forms_say_the_same(sdk: SDK, exchange: Exchange) -> None:
    seen = []
    for each in both(exchange):
        client = sdk.client("sync", Player(recording_of(each)))
        seen.append(asyncio.run(outcome(sdk, client, each, "sync")))
    (_, plain), *_ = seen[0]
    events = [event for what, event in seen[1] if what == "event"]
    assert "error" not in dict(seen[1])
    whole = bared(plain[2])
    said = [bared(event[2]) for event in events]
    totals = added([event.get("data", event) for event in said])  # mistral's events have theirs in a member
    names = {key: whole[key] for key in ("id", "model") if key in whole}
    assert totals == {**names, **final(whole)}


def final(whole: dict[str, Any]) -> dict[str, Any]:
    """What an answer says, in whichever of three shapes."""
    choice = whole["choices"][0] if "choices" in whole else whole
    message = choice["message"]
    calls = message.get("tool_calls", [])
    usage = whole.get("usage") or {key: whole.get(key) for key in ("prompt_eval_count", "eval_count")}
    thoughts, text = split(message)
    return {
        "text": text,
        "thoughts": thoughts,
        "calls": [(call.get("id"), call["function"]["name"], call["function"].get("arguments")) for call in calls],
        "finish": choice.get("finish_reason") or choice.get("done_reason"),
        "usage": usage,
    }


def split(message: dict[str, Any]) -> tuple[str, str]:
    """The thoughts and the text of a message, or of a piece of one."""
    content = message.get("content") or ""
    thoughts = message.get("thinking") or message.get("reasoning") or ""
    text = ""
    for part in [content] if isinstance(content, str | dict) else content:
        if isinstance(part, str):
            text += part
            continue
        text += part.get("text", "")
        thought = part.get("thinking", "")
        thoughts += thought if isinstance(thought, str) else "".join(each.get("text", "") for each in thought)
    return thoughts, text


def added(events: list[dict[str, Any]]) -> dict[str, Any]:
    """What events add up to."""
    totals: dict[str, Any] = {"text": "", "thoughts": "", "calls": [], "finish": None, "usage": {}}
    for event in events:
        for key in ("id", "model"):
            if key in event:
                totals[key] = event[key]
        for key in ("prompt_eval_count", "eval_count"):
            if key in event:
                totals["usage"][key] = event[key]
        choice = (event.get("choices") or [{}])[0]
        delta = choice.get("delta") or event.get("delta") or {}
        message = event.get("message") or delta.get("message") or delta
        thoughts, text = split(message)
        totals["thoughts"] += thoughts
        totals["text"] += text
        totals["finish"] = choice.get("finish_reason") or event.get("done_reason") or delta.get("finish_reason") or (
            totals["finish"]
        )  # fmt: skip
        groq = event.get("x_groq") or {}
        totals["usage"] = event.get("usage") or delta.get("usage") or groq.get("usage") or totals["usage"]
        calls = message.get("tool_calls") or []
        for call in [calls] if isinstance(calls, dict) else calls:
            _add_call(totals["calls"], call)
    return totals


def _add_call(calls: list[Any], call: dict[str, Any]) -> None:
    function = call.get("function", {})
    if "name" in function:
        calls.append((call.get("id"), function["name"], function.get("arguments")))
    else:
        call_id, called, arguments = calls[-1]
        calls[-1] = (call_id, called, (arguments or "") + function.get("arguments", ""))
