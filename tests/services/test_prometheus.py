"""Figures as a real Prometheus has them after scraping us."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import openai
import pytest
from prometheus_client import CollectorRegistry
from tests.unit.entry.wires import MESSAGES, OPENAI_EVENTS, Body, Wire
from tests.unit.telemetry.backends import Backend, refuse, take
from tests.unit.telemetry.exchanges import attempt, record, refused, streamed

import interlay
from interlay.entry import process
from interlay.telemetry import instruments as ins
from interlay.telemetry.metrics import Metrics, Tally
from interlay.telemetry.settings import OTLP
from interlay_integrations.exporters.prometheus import PrometheusExporter

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]
PATIENCE = 120
"""Seconds to wait for what takes one."""


class Prometheus:
    """A server of its own, which scrapes one target each second."""

    def __init__(self, folder: Path, target: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        config = folder / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 1s}\n"
            f"scrape_configs: [{{job_name: interlay, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}]\n"
        )
        command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
        self.process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{self.port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )

    def ask(self, query: str) -> list[Any]:
        """What it answers to an instant query; nothing while it is starting."""
        url = f"http://127.0.0.1:{self.port}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return list(json.load(answer)["data"]["result"])
        except OSError:
            return []

    def until(self, query: str) -> list[Any]:
        """The same, as soon as it is something."""
        deadline = time.monotonic() + PATIENCE
        while not (found := self.ask(query)):
            assert time.monotonic() < deadline, f"no answer to {query}"
            time.sleep(0.2)
        return found

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    if shutil.which("prometheus") is None:
        pytest.fail("no prometheus here; `make test` installs what tests/services/apt.txt lists")
    metrics = Metrics(Tally(), lambda _work: True)
    for _ in range(3):
        metrics.on_end(record())
    metrics.on_end(streamed())
    metrics.on_end(record(attempts=(refused(), attempt())))
    exporter = PrometheusExporter(metrics.figures, {"service.name": "shop"}, "1", CollectorRegistry())
    server = Prometheus(tmp_path_factory.mktemp("prometheus"), exporter.serve("127.0.0.1", 0))
    yield server
    server.close()
    exporter.close()


def value(result: list[Any]) -> float:
    assert len(result) == 1, result
    return float(result[0]["value"][1])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sum(interlay_calls_total)", 5),
        ('sum(gen_ai_client_token_usage_sum{gen_ai_token_type="input"})', 5 * 58),
        ("sum(gen_ai_client_operation_duration_seconds_count)", 5),
        ("sum(gen_ai_client_operation_time_per_output_chunk_seconds_count)", 66),
        ("sum(interlay_cost_usd_total)", 5 * 0.0000471),
        ('sum(interlay_retries_total{error_type="rate_limit_exceeded"})', 1),
        ("histogram_quantile(0.5, sum by (le) (gen_ai_client_operation_duration_seconds_bucket)) < 1.28", 0.96),
    ],
)
def test_what_was_called_is_what_prometheus_has(prometheus: Prometheus, query: str, expected: float) -> None:
    assert value(prometheus.until(query)) == pytest.approx(expected, rel=0.01)


def _table(instruments: Iterable[ins.Instrument]) -> set[str]:
    return {instrument.name.replace(".", "_") for instrument in instruments}


def _instrument_of(series: str, table: set[str]) -> str | None:
    return max((name for name in table if series.startswith(name)), key=len, default=None)


def test_what_a_program_emits_is_the_table_less_what_is_to_come(tmp_path: Path) -> None:
    """Both ways, with real calls that go well, are tried again, are streamed and fail, and a backend that refuses one
    record, is down for a while, and takes the rest."""
    backend = Backend(refuse(400), refuse(503), take)
    settings: dict[str, Any] = {"tracer_provider": False, "meter_provider": False}
    place = OTLP(endpoint=backend.url, signals=("traces",))
    interlay.setup(journal=tmp_path / "journal", export=place, prometheus=("127.0.0.1", 0), **settings)
    telemetry = process._process.telemetry
    assert telemetry is not None
    assert telemetry.port is not None
    server = Prometheus(tmp_path, telemetry.port)
    try:
        for script in ((200,), (429, 200), (400,), (Body(OPENAI_EVENTS),)):
            client = interlay.wrap(
                Wire(*script).for_openai(max_retries=0), interlay.Retry(attempts=2), interlay.Cache()
            )
            streams = isinstance(script[0], Body)
            for _ in ("asked", "asked again"):
                with suppress(openai.APIError):
                    answer: Any = client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=streams)
                    for _ in answer if streams else ():
                        pass
                while not interlay.flush(5).done:
                    pass
        everything = _table((*ins.OURS, *ins.conventional("genai-1.41").all()))
        to_come = _table(ins.TO_COME)
        deadline, seen = time.monotonic() + PATIENCE, set[str | None]()
        while time.monotonic() < deadline and seen != everything - to_come:
            series = server.ask('{otel_scope_name="interlay"}')
            seen = {_instrument_of(each["metric"]["__name__"], everything) for each in series}
            time.sleep(0.2)
    finally:
        server.close()
        interlay.setup(journal=False, export=False, prometheus=False, **settings)
        backend.close()
    assert seen == everything - to_come


def test_every_series_is_of_an_instrument_of_the_table(prometheus: Prometheus) -> None:
    prometheus.until("interlay_calls_total")
    names = {series["metric"]["__name__"] for series in prometheus.ask('{otel_scope_name="interlay"}')}
    table = {i.name.replace(".", "_") for i in (*ins.OURS, *ins.conventional("genai-1.41").all())}
    assert names
    strangers = [name for name in names if not any(name.startswith(known) for known in table)]
    assert strangers == []
