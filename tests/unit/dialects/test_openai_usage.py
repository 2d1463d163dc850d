from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dialects.openai_recordings import DIALECT

from interlay.model.usage import Usage

BASE = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}


def usage(**fields: Any) -> Usage:
    return DIALECT.usage(json.dumps({**BASE, **fields}).encode())


def test_openais_own_fields() -> None:
    found = usage(
        prompt_tokens_details={"cached_tokens": 40, "audio_tokens": 10, "cache_write_tokens": 5},
        completion_tokens_details={
            "reasoning_tokens": 20, "audio_tokens": 3, "accepted_prediction_tokens": 2, "rejected_prediction_tokens": 1,
        },
        service_tier="flex",
    )  # fmt: skip
    assert found == Usage(
        input_tokens=100, output_tokens=50, cache_read_tokens=40, cache_write_tokens=5, input_audio_tokens=10,
        reasoning_tokens=20, output_audio_tokens=3, accepted_prediction_tokens=2, rejected_prediction_tokens=1,
        service_tier="flex", raw=found.raw,
    )  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36},
        {"cached_tokens": 64},
        {"prompt_tokens_details": {"cached_tokens": 64}, "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36},
        {"cache_read_input_tokens": 64},
    ],
    ids=["deepseek", "together", "both", "anthropic's name"],
)
def test_cached_tokens_by_any_name(fields: dict[str, Any]) -> None:
    found = usage(**fields)
    assert (found.input_tokens, found.cache_read_tokens, found.flags) == (100, 64, ())


class TestReasoning:
    def test_inside_the_completion(self) -> None:
        found = usage(completion_tokens_details={"reasoning_tokens": 30})
        assert (found.output_tokens, found.reasoning_tokens, found.flags) == (50, 30, ())

    def test_beside_the_completion_where_the_total_says_so(self) -> None:
        found = usage(completion_tokens_details={"reasoning_tokens": 30}, total_tokens=180)
        assert (found.output_tokens, found.reasoning_tokens, found.flags) == (80, 30, ())

    def test_a_total_that_fits_neither_is_flagged(self) -> None:
        found = usage(completion_tokens_details={"reasoning_tokens": 30}, total_tokens=170)
        assert (found.output_tokens, found.flags) == (50, ("usage_inconsistent",))

    def test_perplexity_bills_it_beside_the_completion(self) -> None:
        found = usage(reasoning_tokens=400, citation_tokens=200, num_search_queries=3)
        assert (found.output_tokens, found.reasoning_tokens, found.citation_tokens) == (650, 400, 200)
        assert found.tools == {"web_search": 3}
        assert found.flags == ()


class TestCost:
    @pytest.mark.parametrize(
        ("text", "cost"),
        [
            ('"cost":0.00170025', "0.00170025"),
            ('"cost":{"input_tokens_cost":0.1,"total_cost":0.00528}', "0.00528"),
            ('"cost_in_usd_ticks":12345678', "0.0012345678"),
            ('"estimated_cost":1.05e-06', "0.00000105"),
            ('"cost":0', "0"),
            ('"cost":0.1000000000000000055511151231257827', "0.1000000000000000055511151231257827"),
            ('"cost":null,"estimated_cost":2', "2"),
        ],
    )
    def test_is_exact(self, text: str, cost: str) -> None:
        raw = json.dumps(BASE)[:-1] + "," + text + "}"
        found = DIALECT.usage(raw.encode())
        assert found.cost == Decimal(cost)
        assert bytes(found.raw) == raw.encode()
        assert found.flags == ()

    @pytest.mark.parametrize("cost", [True, "1", [], -1, 1e31, 1e-31, "NaN"], ids=repr)
    def test_that_is_none_is_flagged(self, cost: object) -> None:
        found = usage(cost=cost)
        assert (found.cost, found.flags) == (None, ("usage_invalid",))

    def test_of_a_mapping_is_what_its_floats_say(self) -> None:
        assert DIALECT.usage({**BASE, "cost": 0.1}).cost == Decimal("0.1")
        assert DIALECT.usage({**BASE, "cost": Decimal("0.10")}).cost == Decimal("0.10")


class TestDoubt:
    @pytest.mark.parametrize(
        "count", [-1, 1.5, "5", True, [], {}, 2**53 + 1, 10**400, 1e300], ids=lambda x: repr(x)[:20]
    )
    def test_a_figure_that_is_none_is_invalid(self, count: object) -> None:
        found = usage(completion_tokens=count)
        assert (found.input_tokens, found.output_tokens) == (100, None)
        assert "usage_invalid" in found.flags

    @pytest.mark.parametrize(
        "fields",
        [
            {"prompt_tokens_details": {"cached_tokens": 101}},
            {"prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 60}},
            {"prompt_tokens_details": {"audio_tokens": 101}},
            {"completion_tokens_details": {"reasoning_tokens": 51}},
            {"completion_tokens_details": {"rejected_prediction_tokens": 51}},
            {"total_tokens": 151},
            {"prompt_cache_hit_tokens": 10, "prompt_cache_miss_tokens": 10},
        ],
        ids=repr,
    )
    def test_parts_that_exceed_their_whole_are_flagged_and_kept(self, fields: dict[str, Any]) -> None:
        found = usage(**fields)
        assert found.flags == ("usage_inconsistent",)
        assert (found.input_tokens, found.output_tokens) == (100, 50)

    def test_what_is_absent_is_unknown(self) -> None:
        found = DIALECT.usage(b"{}")
        assert (found.input_tokens, found.output_tokens, found.cost, found.flags) == (None, None, None, ())

    def test_zero_is_zero(self) -> None:
        found = DIALECT.usage({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})
        assert (found.input_tokens, found.output_tokens, found.flags) == (0, 0, ())

    @pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{", b"\xff", b'{"a":NaN}', b"[" * 5000])
    def test_what_is_no_object_is_invalid(self, raw: bytes) -> None:
        assert DIALECT.usage(raw).flags == ("usage_invalid",)

    def test_a_very_large_object_is_not_kept(self) -> None:
        found = usage(note="x" * 100_000)
        assert (found.input_tokens, bytes(found.raw)) == (100, b"null")

    names = st.sampled_from(
        ["prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens", "cost",
         "audio_tokens", "prompt_tokens_details", "completion_tokens_details", "cost_in_usd_ticks",
         "num_search_queries", "total_cost"]
    )  # fmt: skip
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text(max_size=3)
    trees = st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner)
    )

    @given(st.dictionaries(names, trees | st.dictionaries(names, leaves)))
    def test_nothing_raises(self, fields: dict[str, Any]) -> None:
        found = DIALECT.usage(fields)
        for count in (found.input_tokens, found.output_tokens, found.cache_read_tokens, found.reasoning_tokens):
            assert count is None or (type(count) is int and 0 <= count <= 2 * 2**53)

    @given(
        st.fixed_dictionaries(
            {
                "prompt_tokens": st.integers(0, 9),
                "completion_tokens": st.integers(0, 9),
                "total_tokens": st.integers(0, 18),
            },
            optional={
                "prompt_tokens_details": st.dictionaries(names, st.integers(0, 9)),
                "completion_tokens_details": st.dictionaries(names, st.integers(0, 9)),
                "cached_tokens": st.integers(0, 9),
            },
        )
    )
    def test_the_quick_way_and_the_careful_way_agree(self, fields: dict[str, Any]) -> None:
        text = json.dumps(fields).encode()
        from_mapping = DIALECT.usage(fields)
        quick = DIALECT.usage(text)
        assert [getattr(quick, key) for key in Usage.__struct_fields__ if key != "raw"] == [
            getattr(from_mapping, key) for key in Usage.__struct_fields__ if key != "raw"
        ]
