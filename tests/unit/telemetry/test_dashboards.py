"""Boards and rules name nothing that interlay does not emit."""

from __future__ import annotations

import json
import re
import runpy
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.telemetry.exchanges import attempt, record, refused, streamed

from interlay.model.cost import Cost
from interlay.model.record import CacheOutcome, Failure, Identity, Record, Verdict
from interlay.telemetry import instruments as ins
from interlay.telemetry.metrics import Metrics, Tally
from interlay_integrations.exporters.prometheus import PrometheusExporter

FOLDER = Path(__file__).parents[3] / "dashboards"
BOARDS = ("cost", "reliability", "cache-and-guards")
_WORDS = re.compile(r'"[^"]*"|\$__\w+|[a-zA-Z_:][a-zA-Z0-9_:]*')
_LANGUAGE = frozenset(
    (
        "sum",
        "rate",
        "increase",
        "max",
        "topk",
        "histogram_quantile",
        "by",
        "unless",
        "ignoring",
        "group_left",
        "and",
        "offset",
        "d",
        "h",
        "m",
        "s",
    )
)


def records() -> Iterator[Record]:
    """Every kind of thing that can be counted, now or when its layer comes."""
    yield record(identity=Identity(tenant="acme"))
    yield streamed(end="closed")
    yield record(attempts=(refused(), attempt()))
    yield record(attempts=(refused(), attempt(target="https://elsewhere/v1", provider="groq")))
    yield record(attempts=(refused(),), end="error", error=Failure(type="rate_limit_exceeded"), usage=None, cost=None)
    saved = Cost(amount=Decimal(0), source="cache_hit", avoided=Decimal("0.1"))
    yield record(attempts=(), cache=CacheOutcome(outcome="hit", reason="fresh", started_at=1.0), cost=saved, usage=None)
    yield record(verdicts=(Verdict(layer="Secrets", action="block", seconds=0.01),))
    yield record(verdicts=(Verdict(layer="Secrets", action="block", shadow=True),))


@pytest.fixture(scope="module")
def emitted() -> dict[str, set[str]]:
    """Name of each series that Prometheus would see, with its labels."""
    metrics = Metrics(Tally(), lambda _work: True)
    for each in records():
        metrics.on_end(each)
    for instrument in (ins.SENT, ins.WAITING, ins.OLDEST):
        metrics.note(instrument, ("otlp",), 1)
    for instrument in (ins.DROPPED, ins.FAILURES):
        metrics.note(instrument, ("otlp", "lost"), 1)
    registry = CollectorRegistry()
    exporter = PrometheusExporter(metrics.figures, {"service.name": "shop"}, "1", registry)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    exporter.close()
    return found


def queries() -> Iterator[tuple[str, str]]:
    for name in BOARDS:
        for panel in json.loads((FOLDER / f"{name}.json").read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield f"{name}: {panel['title']} {target['refId']}", target["expr"]
    # Rules are read without a YAML library: each expression stands in a line of its own, or in those below it.
    for rule in re.split(r"\n      - alert: ", (FOLDER / "alerts.yml").read_text())[1:]:
        expression = re.search(r"expr: (?:>\n)?(.*?)\n        (?:for|labels):", rule, re.DOTALL)
        assert expression is not None, rule
        yield rule.partition("\n")[0], expression[1]


@pytest.mark.parametrize(("where", "query"), [pytest.param(w, q, id=w) for w, q in queries()])
def test_every_metric_and_label_of_a_query_is_one_that_we_emit(
    where: str, query: str, emitted: dict[str, set[str]]
) -> None:
    words = [word for word in _WORDS.findall(query) if word[0] not in '"$' and word not in _LANGUAGE]
    metrics = [word for word in words if word in emitted]
    assert metrics, query
    labels = set.union(*(emitted[metric] for metric in metrics))
    assert [word for word in words if word not in emitted and word not in labels] == []


def test_every_instrument_of_the_table_is_emitted_and_nothing_else(emitted: dict[str, set[str]]) -> None:
    table = {i.name.replace(".", "_") for i in (*ins.OURS, *ins.conventional("genai-1.41").all())}

    def of(series: str) -> str | None:
        return max((name for name in table if series.startswith(name)), key=len, default=None)

    seen = {of(series) for series in emitted if series != "target_info"}
    assert seen == table


def test_the_files_are_what_the_program_makes() -> None:
    made = runpy.run_path(str(FOLDER / "boards.py"))
    for name in BOARDS:
        assert (FOLDER / f"{name}.json").read_text() == made["text"](name), "run: python dashboards/boards.py"


@pytest.mark.parametrize("name", BOARDS)
def test_no_panel_lies_on_another(name: str) -> None:
    board: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] in ("stat", "timeseries", "table", "row")
    assert board["uid"] == f"interlay-{name}"
    assert any(panel["title"] == "Pipeline" for panel in panels) == (name == "reliability")
