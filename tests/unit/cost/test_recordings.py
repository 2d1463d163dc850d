"""Every recorded answer is priced, and known models of known hosts get a computed figure."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from interlay import dialects
from interlay.cost import pricer
from interlay.model import json
from interlay.model.cost import Cost, Estimate, Priced
from interlay.model.protocols import Dialect
from interlay.model.tokens import TOKENIZER, estimate_request
from interlay.providers import provider_of
from interlay.testing.recordings import Exchange, Recording, exchanges_of

CASSETTES = Path(__file__).parents[2] / "recorded" / "cassettes"
AT = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)

ANSWERED = [
    pytest.param(exchange, dialect, id=f"{recording.id}-{place}")
    for folder in ("openai-chat", "anthropic-messages", "openai-responses", "openai-embeddings", "gemini", "vertex")
    for recording in Recording.load_all(CASSETTES / folder)
    for place, (_, exchange) in enumerate(exchanges_of(recording))
    if exchange.response.status == 200 and (dialect := dialects.find("POST", exchange.request.path)) is not None
]

UNPRICED = {
    ("router.huggingface.co", "meta-llama/Llama-4-Scout-17B-16E-Instruct"): "its URL's path says who serves it",
    ("ollama.com", "gpt-oss:120b"): "a subscription, not a price for tokens",
}
"""Hosts and models that the price book does not have, and why."""


def price_of(exchange: Exchange, dialect: Dialect) -> Cost:
    """What the chain does with an exchange, without the chain."""
    tracker = dialect.tracker()
    content = exchange.response.content
    if exchange.response.is_events:
        framer = dialect.framer()
        for event in (*framer.feed(content), *framer.finish()):
            tracker.event(event)
    else:
        tracker.body(content)
    body = exchange.request.body
    asked = dialect.outline(json.encode(body)).model
    usage, counted = tracker.usage, None
    if usage is None or usage.input_tokens is None or usage.output_tokens is None:
        counted = Estimate(
            input_tokens=estimate_request(str(body).encode()),
            output_tokens=round(tracker.output_tokens_estimate),
            tokenizer=TOKENIZER,
        )
    what = Priced(
        provider=provider_of(exchange.request.host),
        api=dialect.name,
        model=tracker.model or asked,
        requested_model=asked,
        service_tier=tracker.service_tier,
    )
    return pricer()(usage, what, AT, counted)


@pytest.mark.parametrize(("exchange", "dialect"), ANSWERED)
def test_a_recorded_answer_has_a_cost(exchange: Exchange, dialect: Dialect) -> None:
    cost = price_of(exchange, dialect)
    model = dialect.outline(json.encode(exchange.request.body)).model
    if (exchange.request.host, model) in UNPRICED:
        assert (cost.amount, cost.reason) == (None, "no_price")
        return
    assert cost.amount is not None, cost.reason
    asked = not exchange.request.streamed or exchange.request.asked_usage
    reported = asked or dialect.name != "openai-chat" or exchange.request.host != "api.openai.com"
    assert cost.source in ({"computed", "provider_reported"} if reported else {"estimated"})
    assert cost.estimated is not reported
    # Of one model the book has no price for the tier that it was served at.
    assert ("tier_unpriced" in cost.flags) is (b"ON_DEMAND_FLEX" in exchange.response.content)
