"""Boards and rules before a real Prometheus and its own tool."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest
from tests.services.test_prometheus import Prometheus, prometheus  # noqa: F401 - a fixture
from tests.unit.telemetry.test_dashboards import FOLDER, queries

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]


@pytest.mark.parametrize("command", [("check", "alerts.yml"), ("test", "alerts_test.yml")])
def test_the_rules_by_prometheus_own_tool(command: tuple[str, str]) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.fail("no promtool here; `make test` installs what tests/services/apt.txt lists")
    verb, file = command
    done = subprocess.run(
        [tool, verb, "rules", str(FOLDER / file)], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_query_is_one_that_prometheus_takes(prometheus: Prometheus) -> None:  # noqa: F811
    prometheus.until("interlay_calls_total")
    for where, query in queries():
        asked = query.replace("$__rate_interval", "5m").replace("$__range", "1h")
        url = f"http://127.0.0.1:{prometheus.port}/api/v1/query?{urllib.parse.urlencode({'query': asked})}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                assert json.load(answer)["status"] == "success"
        except urllib.error.HTTPError as error:
            pytest.fail(f"{where}: {error.read().decode()}")
