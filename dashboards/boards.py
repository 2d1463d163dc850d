"""The Grafana boards, written once and short: ``python dashboards/boards.py`` makes the JSON files beside it.

Three boards by who looks at them. Every metric and label named here is one that interlay emits; the tests see to it.
"""

# ruff: noqa: INP001 - a program, no package

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Panel(NamedTuple):
    """One picture: its kind, unit, and a legend for each query."""

    title: str
    kind: str
    unit: str
    queries: dict[str, str]
    """Legend to PromQL."""
    says: str = ""
    width: int = 8


def rate(metric: str, by: str = "", where: str = "") -> str:
    """Per second, summed."""
    group = f" by ({by})" if by else ""
    return f"sum{group} (rate({metric}{where}[$__rate_interval]))"


def over(metric: str, where: str = "", by: str = "") -> str:
    """In the time that the board shows."""
    group = f" by ({by})" if by else ""
    return f"sum{group} (increase({metric}{where}[$__range]))"


def quantile(q: float, metric: str, by: str = "") -> str:
    """A histogram's."""
    group = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({group}) (rate({metric}_bucket[$__rate_interval])))"


CALLS = "interlay_calls_total"
COST = "interlay_cost_usd_total"
ESTIMATED = '{interlay_cost_source=~"estimated|partial"}'
TOKENS = "interlay_tokens_total"
DURATION = "gen_ai_client_operation_duration_seconds"
FIRST = "gen_ai_client_operation_time_to_first_chunk_seconds"
CHUNK = "gen_ai_client_operation_time_per_output_chunk_seconds"
MODEL = "gen_ai_request_model"
PROVIDER = "gen_ai_provider_name"
DESTINATION = "interlay_destination"

COSTS = [
    Panel("Spent in the last day", "stat", "currencyUSD", {"": f"sum (increase({COST}[1d]))"}, width=6),
    Panel("Spent in the time shown", "stat", "currencyUSD", {"": over(COST)}, width=6),
    Panel(
        "A month at the last day's pace", "stat", "currencyUSD", {"": f"sum (rate({COST}[1d])) * 86400 * 30"}, width=6
    ),
    Panel("Saved by the cache", "stat", "currencyUSD", {"": over("interlay_cost_saved_usd_total")}, width=6),
    Panel(
        "Dollars an hour, by model",
        "timeseries",
        "currencyUSD",
        {f"{{{{{MODEL}}}}}": rate(COST, MODEL) + " * 3600"},
        width=12,
    ),
    Panel(
        "Dollars an hour, by tenant",
        "timeseries",
        "currencyUSD",
        {"{{interlay_tenant}}": rate(COST, "interlay_tenant") + " * 3600"},
        "A hundred tenants are told apart; the rest are `other`.",
        width=12,
    ),
    Panel(
        "Dollars a call",
        "timeseries",
        "currencyUSD",
        {f"{{{{{MODEL}}}}}": f"{rate(COST, MODEL)} / {rate(DURATION + '_count', MODEL)}"},
    ),
    Panel(
        "Dollars for a thousand tokens",
        "timeseries",
        "currencyUSD",
        {f"{{{{{MODEL}}}}}": f"1000 * {rate(COST, MODEL)} / {rate(TOKENS, MODEL)}"},
    ),
    Panel(
        "Tokens a second, by kind",
        "timeseries",
        "short",
        {"{{gen_ai_token_type}}": rate(TOKENS, "gen_ai_token_type")},
        "Each token once: what was read from or written to the provider's cache is not among the input.",
    ),
    Panel(
        "Of prompts: read from the provider's cache",
        "timeseries",
        "percentunit",
        {
            "share": rate(TOKENS, where='{gen_ai_token_type="cache_read"}')
            + " / "
            + rate(TOKENS, where='{gen_ai_token_type=~"input|cache_read|cache_write"}')
        },
    ),
    Panel(
        "Calls without a price",
        "stat",
        "short",
        {"": over(CALLS, '{interlay_cost_source="unknown"}')},
        "No provider, no price or no usage is known of these: see `interlay show`.",
    ),
    Panel(
        "Share of costs that are estimated",
        "stat",
        "percentunit",
        {
            "": f"{over(COST, ESTIMATED)} / {over(COST)}",
        },
    ),
    Panel(
        "The ten dearest models",
        "table",
        "currencyUSD",
        {"": f"topk (10, {over(COST, by=f'{PROVIDER}, {MODEL}')})"},
        width=24,
    ),
]

RELIABILITY = [
    Panel(
        "Calls a second, by outcome",
        "timeseries",
        "reqps",
        {"{{interlay_outcome}}": rate(CALLS, "interlay_outcome")},
        width=12,
    ),
    Panel(
        "Errors, by provider",
        "timeseries",
        "percentunit",
        {f"{{{{{PROVIDER}}}}}": rate(CALLS, PROVIDER, '{interlay_outcome="error"}') + " / " + rate(CALLS, PROVIDER)},
        width=12,
    ),
    Panel(
        "Errors a second, by type",
        "timeseries",
        "reqps",
        {"{{error_type}}": rate(CALLS, "error_type", '{error_type!=""}')},
    ),
    Panel(
        "Duration",
        "timeseries",
        "s",
        {f"p{int(q * 100)}": quantile(q, DURATION) for q in (0.5, 0.95, 0.99)},
        "Of an exchange with a model, as its provider took it.",
    ),
    Panel("Duration, 95 in 100, by model", "timeseries", "s", {f"{{{{{MODEL}}}}}": quantile(0.95, DURATION, MODEL)}),
    Panel("Time to the first chunk", "timeseries", "s", {f"p{int(q * 100)}": quantile(q, FIRST) for q in (0.5, 0.95)}),
    Panel("Time between chunks", "timeseries", "s", {f"p{int(q * 100)}": quantile(q, CHUNK) for q in (0.5, 0.95)}),
    Panel(
        "What interlay itself adds",
        "timeseries",
        "s",
        {f"p{int(q * 100)}": quantile(q, "interlay_overhead_duration_seconds") for q in (0.5, 0.99)},
    ),
    Panel(
        "Retries a second, by reason",
        "timeseries",
        "reqps",
        {"{{error_type}}": rate("interlay_retries_total", "error_type")},
    ),
    Panel(
        "Fallbacks a second",
        "timeseries",
        "reqps",
        {
            "{{interlay_fallback_from}} → {{interlay_fallback_to}}": rate(
                "interlay_fallbacks_total", "interlay_fallback_from, interlay_fallback_to"
            )
        },
    ),
    Panel(
        "Streams that were left",
        "timeseries",
        "reqps",
        {
            "{{interlay_stream_end}}": rate(
                CALLS, "interlay_stream_end", '{interlay_stream_end=~"closed|lost|cancelled"}'
            )
        },
    ),
    Panel("In flight", "timeseries", "short", {"calls": "sum (interlay_inflight)"}, width=24),
    Panel("Pipeline", "row", "", {}),
    Panel(
        "Records delivered a second",
        "timeseries",
        "reqps",
        {f"{{{{{DESTINATION}}}}}": rate("interlay_spool_sent_total", DESTINATION)},
    ),
    Panel(
        "Waiting", "timeseries", "bytes", {f"{{{{{DESTINATION}}}}}": f"max by ({DESTINATION}) (interlay_spool_bytes)"}
    ),
    Panel(
        "Age of the oldest that waits",
        "timeseries",
        "s",
        {f"{{{{{DESTINATION}}}}}": f"max by ({DESTINATION}) (interlay_spool_oldest_age_seconds)"},
    ),
    Panel(
        "Requests that failed, by reason",
        "timeseries",
        "reqps",
        {
            f"{{{{{DESTINATION}}}}} {{{{error_type}}}}": rate(
                "interlay_spool_failures_total", f"{DESTINATION}, error_type"
            )
        },
        width=12,
    ),
    Panel(
        "Records lost",
        "timeseries",
        "short",
        {
            f"{{{{{DESTINATION}}}}} {{{{interlay_drop_reason}}}}": over(
                "interlay_spool_dropped_total", by=f"{DESTINATION}, interlay_drop_reason"
            )
        },
        "Refused by the backend, or deleted to keep the journal within its bounds.",
        width=12,
    ),
]

CACHE = "interlay_cache_requests_total"
ANSWERED = '{interlay_cache_outcome=~"hit|stale"}'
GUARDS = "interlay_guard_checks_total"
CACHE_AND_GUARDS = [
    Panel(
        "Answered by the cache",
        "stat",
        "percentunit",
        {"": over(CACHE, ANSWERED) + " / " + over(CACHE)},
        width=6,
    ),
    Panel("Saved", "stat", "currencyUSD", {"": over("interlay_cost_saved_usd_total")}, width=6),
    Panel(
        "Checks that blocked",
        "stat",
        "short",
        {"": over(GUARDS, '{interlay_guard_verdict="block",interlay_shadow=""}')},
        width=6,
    ),
    Panel(
        "Checks that would have",
        "stat",
        "short",
        {"": over(GUARDS, '{interlay_guard_verdict="block",interlay_shadow="true"}')},
        "Of guards in shadow mode.",
        width=6,
    ),
    Panel(
        "Share answered, by why",
        "timeseries",
        "percentunit",
        {
            "{{interlay_cache_outcome}}: {{interlay_cache_reason}}": "sum by (interlay_cache_outcome, "
            f"interlay_cache_reason) (rate({CACHE}{ANSWERED}[$__rate_interval])) / ignoring (interlay_cache_outcome, "
            f"interlay_cache_reason) group_left sum (rate({CACHE}[$__rate_interval]))",
            "in all": rate(CACHE, where=ANSWERED) + " / " + rate(CACHE),
        },
        "Of all look-ups: those that were answered by an entry, by a call that was under way, or by a stale entry.",
        width=12,
    ),
    Panel(
        "Look-ups a second that found nothing, by why",
        "timeseries",
        "reqps",
        {
            "{{interlay_cache_outcome}}: {{interlay_cache_reason}}": rate(
                CACHE, "interlay_cache_outcome, interlay_cache_reason", '{interlay_cache_outcome=~"miss|bypass|error"}'
            )
        },
        "A bypass is a request that may not be answered by a cache; an error is a store that is down or slow.",
        width=12,
    ),
    Panel(
        "Time that look-ups take",
        "timeseries",
        "s",
        {f"p{int(q * 100)}": quantile(q, "interlay_cache_duration_seconds") for q in (0.5, 0.95)},
        width=12,
    ),
    Panel(
        "Dollars saved an hour, by model",
        "timeseries",
        "currencyUSD",
        {"{{interlay_request_alias}}": rate("interlay_cost_saved_usd_total", "interlay_request_alias") + " * 3600"},
        width=12,
    ),
    Panel(
        "Verdicts a second",
        "timeseries",
        "reqps",
        {
            "{{interlay_guard_name}} {{interlay_guard_verdict}}": rate(
                GUARDS, "interlay_guard_name, interlay_guard_verdict"
            )
        },
        width=12,
    ),
    Panel(
        "Calls blocked a second",
        "timeseries",
        "reqps",
        {"blocked": rate(CALLS, where='{interlay_outcome="blocked"}')},
        width=12,
    ),
    Panel(
        "Time that checks take, 95 in 100",
        "timeseries",
        "s",
        {"{{interlay_guard_name}}": quantile(0.95, "interlay_guard_duration_seconds", "interlay_guard_name")},
        width=12,
    ),
]

BOARDS = {
    "cost": ("interlay: cost", COSTS),
    "reliability": ("interlay: reliability and latency", RELIABILITY),
    "cache-and-guards": ("interlay: cache and guards", CACHE_AND_GUARDS),
}


def panels(described: list[Panel]) -> list[dict[str, Any]]:
    """Placed from left to right, and down."""
    found: list[dict[str, Any]] = []
    x = y = tallest = 0
    for number, panel in enumerate(described, 1):
        width, height = (24, 1) if panel.kind == "row" else (panel.width, 4 if panel.kind == "stat" else 8)
        if x + width > 24:
            x, y, tallest = 0, y + tallest, 0
        tallest = max(tallest, height)
        made: dict[str, Any] = {
            "id": number,
            "title": panel.title,
            "type": panel.kind,
            "gridPos": {"x": x, "y": y, "w": width, "h": height},
        }
        if panel.kind != "row":
            made |= {
                "datasource": DATASOURCE,
                "description": panel.says,
                "fieldConfig": {
                    "defaults": {"unit": panel.unit, "noValue": "0" if panel.kind == "stat" else "–"},
                    "overrides": [],
                },
                "targets": [
                    {
                        "refId": chr(65 + place),
                        "datasource": DATASOURCE,
                        "expr": query,
                        "legendFormat": legend,
                        "instant": panel.kind != "timeseries",
                        "format": "table" if panel.kind == "table" else "time_series",
                    }
                    for place, (legend, query) in enumerate(panel.queries.items())
                ],
            }
        found.append(made)
        x += width
    return found


def board(name: str) -> dict[str, Any]:
    """A board as Grafana imports it."""
    title, described = BOARDS[name]
    return {
        "uid": f"interlay-{name}",
        "title": title,
        "tags": ["interlay", "llm"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "timezone": "browser",
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                    "current": {},
                }
            ]
        },
        "annotations": {"list": []},
        "panels": panels(described),
    }


def text(name: str) -> str:
    """The file of a board."""
    return json.dumps(board(name), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for each in BOARDS:
        (HERE / f"{each}.json").write_text(text(each))
