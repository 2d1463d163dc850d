"""Pictures of calls: what they say, and that they fit."""

import json
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text
from tests.unit.cli.records import BEGAN, GUESS, attempt, record, refused, retried_by_sdk

from interlay.cli.render import call_lines, call_tree, calls_table
from interlay.cli.terminal import Looks, svg
from interlay.model.cost import Cost, CostLine
from interlay.model.record import (
    Attempt,
    CacheOutcome,
    Chunks,
    Contents,
    Failure,
    Identity,
    Link,
    Record,
    Trace,
    Verdict,
)
from interlay.telemetry.calls import FoldedCall, fold

PIPE = Looks(width=100_000, fancy=False)


def shown(call: FoldedCall | Record, looks: Looks | None = None, **options: Any) -> list[str]:
    folded = call if isinstance(call, FoldedCall) else FoldedCall([call])
    return [line.plain.rstrip() for line in call_lines(folded, looks or Looks(), **options)]


def table(records: list[Record], looks: Looks | None = None) -> list[str]:
    return [line.plain.rstrip() for line in calls_table(fold(records), looks or Looks(), BEGAN + 5).lines()]


def many() -> list[Record]:
    return [
        *retried_by_sdk(),
        record("d0", at=3, end="lost", usage=None, cost=GUESS),
        record(
            "e0",
            at=4,
            model="a-model-with-quite-a-long-name-of-its-own",
            served_model=None,
            identity=Identity(user="u-7", tags=("checkout", "beta")),
            end="error",
            error=Failure(type="a_long_name_for_an_error_that_nobody_expected", status=500),
        ),
    ]


class TestTable:
    def test_has_a_row_a_call(self) -> None:
        header, *rows = table(many(), PIPE)
        assert header.split() == [
            "time", "call", "model", "in", ">", "out", "took", "cost", "what", "happened", "first", "provider",
            "user", "tags", "operation",
        ]  # fmt: skip
        assert len(rows) == 3
        assert "412 > 96" in rows[0]
        assert "2.20 s" in rows[0]
        assert "✓ 2 retries" in rows[0]
        assert "~12 > ~2" in rows[1]
        assert "✗ reader left" in rows[1]
        assert "checkout,beta" in rows[2]

    def test_is_whole_in_a_pipe(self) -> None:
        text = "\n".join(table(many(), PIPE))
        assert "…" not in text
        assert "a-model-with-quite-a-long-name-of-its-own" in text
        assert "a_long_name_for_an_error_that_nobody_expected" in text

    def test_fits_its_terminal(self) -> None:
        for width in range(38, 220):
            lines = calls_table(fold(many()), Looks(width=width), BEGAN + 5).lines()
            assert max(line.cell_len for line in lines) <= width

    def test_says_what_matters_at_80_columns(self) -> None:
        rows = table(retried_by_sdk())
        assert rows[0].split()[:4] == ["time", "call", "model", "in"]
        assert rows[1].endswith("$0.000119  ✓ 2 retries")

    def test_shows_more_where_there_is_room(self) -> None:
        assert "provider" not in table(many(), Looks(width=80))[0]
        assert "provider" in table(many(), Looks(width=170))[0]

    def test_leaves_out_what_no_row_says(self) -> None:
        assert "user" not in table([record()], PIPE)[0]

    def test_of_a_request_no_dialect_knows_says_where_it_went(self) -> None:
        plain = record(operation="http", dialect=None, model=None, served_model=None, usage=None, cost=None)
        row = table([plain], PIPE)[1]
        assert "POST api.openai.com/v1/chat/completions" in row

    def test_growing_keeps_its_columns_for_what_comes(self) -> None:
        growing = calls_table([], Looks(width=80), BEGAN, growing=True)
        (header,) = growing.lines()
        assert "what happened" in header.plain


class TestTree:
    def test_shows_each_send_and_each_wait_in_its_place(self) -> None:
        lines = shown(FoldedCall(retried_by_sdk()), Looks(width=100))
        tree = [line for line in lines if "█" in line or "▏" in line]
        assert len(tree) == 8
        labels = ["chat", "✗ openai", "wait of the SDK", "✗ openai", "wait of the SDK", "✓ openai", "first", "stream"]
        for line, label in zip(tree, labels, strict=True):
            assert label in line
        bars = [line.index("█") if "█" in line else line.index("▏") for line in tree]
        assert bars == sorted(bars[:6]) + bars[6:]
        assert bars[0] == bars[1] == min(bars)
        assert bars[6] == bars[5] <= bars[7]

    def test_says_how_evenly_a_stream_came(self) -> None:
        stream = next(line for line in shown(FoldedCall(retried_by_sdk()), PIPE) if "stream  " in line)
        assert stream.endswith("21 chunks, ≤ 10 ms apart, once ≤ 80 ms")

    def test_tells_a_layers_reason_with_the_wait(self) -> None:
        call = record(
            attempts=(refused(), attempt(started_at=BEGAN + 0.6)),
            duration=0.8,
            verdicts=(Verdict(layer="retry", action="retry", reason="retry_after", seconds=0.5),),
        )
        lines = shown(call, PIPE)
        assert [line for line in lines if "retry_after" in line] == [
            "   500 ms    ↻ wait                retry, retry_after"
        ]

    def test_shows_what_layers_decided(self) -> None:
        call = record(
            attempts=(),
            verdicts=(
                Verdict(layer="guard", action="redact", reason="1 e-mail", seconds=0.0004),
                Verdict(layer="guard", action="block", shadow=True),
            ),
            cache=CacheOutcome(outcome="hit", reason="exact"),
        )
        text = "\n".join(shown(call, PIPE))
        assert "redact 1 e-mail" in text
        assert "shadow: block" in text
        assert "hit, exact" in text

    def test_says_whose_answer_a_cache_gave_and_what_it_saved(self) -> None:
        hit = record(
            attempts=(),
            usage=None,
            cost=Cost(amount=Decimal(0), source="cache_hit", avoided=Decimal("0.000119")),
            cache=CacheOutcome(outcome="hit", reason="fresh", age=754.0, started_at=BEGAN + 0.1, seconds=0.02),
            links=(Link(id="m" * 20, kind="cache_producer"),),
            key="ab" * 32,
        )
        lines = shown(hit, Looks(width=100))
        assert lines[1:4] == [
            f"  hit, saved $0.000119 · an answer from the cache, 12 m 34 s old, of call {'m' * 8}",
            f"  call {hit.call_id} · request req_1 · cache key {'ab' * 8}",
            "   212 ms  chat                  ████████████████████████████████████████",
        ]
        assert "20 ms  └─ cache  hit, fresh" in lines[4]
        assert lines[4].index("█") > lines[3].index("█")
        whole = "\n".join(shown(hit, PIPE))
        assert f"of call {'m' * 20}" in whole
        assert f"cache key {'ab' * 32}" in whole

    def test_says_of_a_shadow_that_it_is_one(self) -> None:
        did = CacheOutcome(outcome="hit", reason="fresh", shadow=True)
        text = "\n".join(shown(record(cache=did), PIPE))
        assert "shadow: hit, fresh" in text
        assert "complete" in text
        assert "from the cache" not in text

    def test_has_no_lines_or_bars_in_a_pipe(self) -> None:
        text = "\n".join(shown(FoldedCall(retried_by_sdk()), PIPE))
        assert not set("├└│─█▏…") & set(text)

    def test_fits_its_terminal(self) -> None:
        for width in range(80, 200):
            for call in fold(many()):
                tree = call_lines(call, Looks(width=width))
                assert max(line.cell_len for line in tree) <= width

    def test_lets_bars_go_before_words_where_it_is_narrow(self) -> None:
        for width in range(24, 80):
            for call in fold(many()):
                lines = call_tree(call, Looks(width=width))
                tree = lines[next(i for i, line in enumerate(lines) if "   interlay " in line.plain) + 1 :]
                assert max(line.cell_len for line in tree) <= width
        narrow = "\n".join(line.plain for line in call_tree(FoldedCall(retried_by_sdk()), Looks(width=46)))
        assert "█" not in narrow
        assert "✗ openai/gpt-4o-mini  529 over" in narrow

    def test_in_brief_says_what_interlay_took(self) -> None:
        head, *tree = (line.plain for line in call_tree(FoldedCall(retried_by_sdk()), Looks()))
        assert head == "✓ chat gpt-4o-mini   2.20 s   412 > 96 tok   $0.000119   interlay 1.2 ms"
        assert len(tree) == 8

    def test_needs_no_unicode(self) -> None:
        for call in fold(many()):
            for line in call_lines(call, Looks(unicode=False), messages=True):
                assert line.plain.isascii()

    def test_names_the_call_and_whose_it_is(self) -> None:
        call = record(
            identity=Identity(tenant="acme", user="u-7", session="s-1", key="k-1", tags=("a", "b")),
            trace=Trace(trace_id="4bf92f3577b34da6a3ce929d0e0e4736"),
        )
        text = " ".join(shown(call, PIPE))
        for part in (
            "tenant acme",
            "user u-7",
            "session s-1",
            "tags a, b",
            "key k-1",
            "trace 4bf92f35",
            "request req_1",
        ):
            assert part in text

    def test_does_not_run_what_a_name_contains(self) -> None:
        evil = "\x1b]0;owned\x07\x1b[2J"
        call = record(
            id="i" + evil, model="m" + evil, served_model=None, operation="o" + evil, provider="p" + evil,
            identity=Identity(user="u" + evil, tags=(evil,)), end="error", error=Failure(type=evil, message=evil),
            verdicts=(Verdict(layer=evil, action="block", reason=evil),),
            attempts=(attempt(provider=evil, model=evil),),
            contents=Contents(input=[{"role": evil, "content": evil}]),
            cost=Cost(amount=Decimal(1), source="estimated", estimated=True, tokenizer=evil, flags=(evil,), lines=(
                CostLine(unit=evil, quantity=1, price=Decimal(1), per=1, amount=Decimal(1), price_from=evil),)),
        )  # fmt: skip
        for line in [*shown(call, PIPE, messages=True), *table([call], PIPE)]:
            assert "\x1b" not in line
            assert "\x07" not in line


class TestCost:
    def lines(self, call: Record | FoldedCall) -> list[list[str]]:
        text = shown(call, PIPE)
        start = next(i for i, line in enumerate(text) if line.startswith("  unit"))
        return [line.split() for line in text[start + 1 :]]

    def test_is_told_line_by_line(self) -> None:
        assert self.lines(record()) == [
            ["input", "412", "0.15", "0.0000618", "book", "2026-11-01"],
            ["output", "96", "0.60", "0.0000576", "book", "2026-11-01"],
            ["exact", "0.000119"],
        ]

    def test_says_what_failed_attempts_cost(self) -> None:
        assert self.lines(FoldedCall(retried_by_sdk()))[2] == ["failed", "attempts", "2", "-", "0", "not", "billed"]

    def test_says_what_is_an_estimate(self) -> None:
        assert self.lines(record(cost=GUESS)) == [
            ["input", "~12", "0.15", "0.0000018"],
            ["output", "~2", "0.60", "0.0000012"],
            ["estimate", "0.000003", "counted", "by", "script-count"],
        ]

    def test_puts_our_figure_beside_the_providers(self) -> None:
        cost = Cost(amount=Decimal("0.5"), source="provider_reported", computed=Decimal("0.4"), flags=("price_drift",))
        assert self.lines(record(cost=cost)) == [
            ["reported", "by", "provider", "0.5", "computed:", "0.4"],
            ["to", "doubt:", "price_drift"],
        ]

    @pytest.mark.parametrize(
        ("line", "price"),
        [
            ({"unit": "input_tokens", "price": Decimal("0.00000015"), "per": 1}, "0.15"),
            ({"unit": "input_tokens", "price": Decimal("0.003"), "per": 1000}, "3.00"),
            (
                {"unit": "input_tokens", "price": Decimal(3), "per": 1_000_000, "multiplier": Decimal("0.50")},
                "3.00 × 0.5",
            ),
            ({"unit": "web_search", "price": Decimal(10), "per": 1000}, "10.00 per 1,000"),
        ],
    )
    def test_prices_are_for_a_million_where_that_is_how_it_is_priced(self, line: dict[str, Any], price: str) -> None:
        cost = Cost(
            amount=Decimal(1), source="computed", lines=(CostLine(**{"quantity": 1, "amount": Decimal(1), **line}),)
        )
        assert self.lines(record(cost=cost))[0][-2 - len(price.split()) :] == ["1", *price.split(), "1"]

    @pytest.mark.parametrize(
        ("reason", "why"),
        [
            ("no_provider", "whose host this is, is not known"),
            ("no_price", "there is no price for it"),
            ("no_usage", "no usage was reported"),
            ("something_new", "something_new"),
        ],
    )
    def test_says_why_it_is_unknown(self, reason: str, why: str) -> None:
        cost = Cost(amount=None, source="unknown", reason=reason)
        assert shown(record(cost=cost), PIPE)[-1].split(maxsplit=2) == ["unknown", "unknown", why]

    def test_of_what_is_no_model_call_is_nothing(self) -> None:
        assert shown(record(cost=None), PIPE)[-1] == "  cost  - (no call to a model)"


class TestMessages:
    def test_are_not_shown_unasked(self) -> None:
        call = record(contents=Contents(input=[{"role": "user", "content": "canary"}]))
        assert "canary" not in "\n".join(shown(call))
        assert "canary" in "\n".join(shown(call, messages=True))

    def test_that_were_not_kept_say_how_to_keep_them(self) -> None:
        assert "interlay.setup(contents=True)" in shown(record(), messages=True)[-1]

    def test_of_each_shape_are_told(self) -> None:
        call = record(
            contents=Contents(
                input=[
                    {"role": "system", "content": "be brief"},
                    {"role": "user", "content": [{"type": "text", "text": "two\nlines"}, {"type": "image_url"}]},
                    {"role": "assistant", "content": None, "tool_calls": [
                        {"type": "function", "function": {"name": "weather", "arguments": '{"in":"Rome"}'}}]},
                    {"role": "tool", "content": "22 degrees"},
                    {"role": "assistant", "content": [
                        {"type": "thinking", "thinking": "hm"},
                        {"type": "tool_use", "name": "look", "input": {"at": 1}}]},
                    {"role": "user", "content": [
                        {"type": "tool_result", "content": [{"type": "text", "text": "seen"}]}]},
                ],
                output=[{"role": "assistant", "content": "", "refusal": "I will not"}],
                truncated=True,
            )
        )  # fmt: skip
        text = shown(call, PIPE, messages=True)
        said = [line.strip() for line in text[text.index("  system") :]]
        assert said == [
            "system", "be brief", "user", "two", "lines", "[image_url]", "assistant", 'weather({"in":"Rome"})', "tool",
            "22 degrees", "assistant", "[thinking] hm", 'look({"at": 1})', "user", "[tool_result]", "seen", "assistant",
            "", "I will not", "what was too long to keep is left out",
        ]  # fmt: skip

    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
            st.sampled_from(["type", "text", "content", "function", "name", "input", "tool_calls", "role", "thinking"]),
            inner, max_size=4,
        ),
        max_leaves=9,
    )  # fmt: skip

    @given(st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "refusal"]), json_values))
    def test_of_no_known_shape_break_nothing(self, message: dict[str, Any]) -> None:
        call = record(contents=Contents(input=[json.loads(json.dumps(message))]))
        assert shown(call, PIPE, messages=True)


class TestPicture:
    def test_is_sound_and_asks_nothing_of_the_network(self) -> None:
        picture = svg(call_lines(FoldedCall(retried_by_sdk()), Looks(width=90)), title="interlay <show>", width=90)
        root = ET.fromstring(picture)
        text = "".join(root.itertext()).replace("\xa0", " ")
        assert "openai/gpt-4o-mini" in text
        assert "interlay <show>" in text
        assert picture.count("http") == 1  # the namespace
        assert "@font-face" not in picture
        assert "@import" not in picture

    def test_is_the_same_each_time(self) -> None:
        lines = [Text("the same", style="red")]
        assert svg(lines, title="t") == svg(lines, title="t")


@given(st.floats(0, 3), st.floats(0, 3), st.lists(st.integers(0, 5), max_size=16))
def test_odd_times_break_nothing(late: float, long: float, buckets: list[int]) -> None:
    """Wall clocks step: attempts may seem to begin before their call, or to end after it."""
    call = record(
        attempts=(Attempt(target="x", started_at=BEGAN - late, seconds=long), attempt(started_at=BEGAN + late)),
        duration=0.0,
        streamed=True,
        time_to_first_event=long,
        chunks=Chunks(count=3, buckets=tuple(buckets)),
    )
    for line in call_lines(FoldedCall([call]), Looks(width=90)):
        assert line.cell_len <= 90
