"""Law 2: usage and cost are equal streamed and buffered, at any chunking, to the last digit."""

from __future__ import annotations

import datetime as dt
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.dialects.exchanges import STREAMS, Exchanged, framed, name

from interlay.cost import pricer
from interlay.model.cost import Cost, Estimate, Priced
from interlay.model.protocols import Codec, Tracker
from interlay.model.tokens import TOKENIZER, estimate_request
from interlay.model.usage import Usage

AT = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
PRICER = pricer()
PROVIDERS = {
    "openai-chat": "openai",
    "anthropic-messages": "anthropic",
    "openai-responses": "openai",
    "gemini": "gemini",
}


def told(each: Exchanged, tracker: Tracker) -> tuple[list[object], Cost]:
    """What the tracker says of usage, and what that costs."""
    usage = tracker.usage
    asked = each.codec.outline(each.request).model
    what = Priced(
        provider=each.codec.name.partition("-")[0],
        api=each.codec.name,
        model=tracker.model or asked,
        requested_model=asked,
        service_tier=tracker.service_tier,
    )
    counted = Estimate(
        input_tokens=estimate_request(each.request),
        output_tokens=round(tracker.output_tokens_estimate),
        tokenizer=TOKENIZER,
    )
    known = usage is not None and usage.input_tokens is not None and usage.output_tokens is not None
    figures = [getattr(usage, field, None) for field in Usage.__struct_fields__ if field != "raw"]
    return figures, PRICER(usage, what, AT, None if known else counted)


def streamed(each: Exchanged, *cuts: int) -> tuple[list[object], Cost]:
    tracker = each.codec.tracker()
    for event in framed(each.codec, each.answer, *cuts):
        tracker.event(event)
    return told(each, tracker)


@cache
def buffered(each: Exchanged) -> tuple[list[object], Cost]:
    tracker = each.codec.tracker()
    tracker.body(whole(each.codec, each.answer))
    return told(each, tracker)


def whole(codec: Codec, answer: bytes) -> bytes:
    """The body that the API would have sent at once."""
    return codec.encode_response(codec.assemble(framed(codec, answer)))


@pytest.mark.parametrize("each", STREAMS, ids=name)
@settings(max_examples=10)
@given(data=st.data())
def test_streamed_and_buffered_agree_at_any_chunking(each: Exchanged, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(each.answer)), max_size=60))
    assert streamed(each, *cuts) == buffered(each)
