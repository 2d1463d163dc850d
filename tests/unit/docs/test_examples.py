"""The examples run, against a provider on this machine, and show what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)
EXAMPLES = Path(__file__).parents[3] / "examples"


def run(name: str, *statuses: int, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.upper().endswith(("_PROXY", "_API_KEY", "_BASE_URL"))}
    command = [sys.executable, str(EXAMPLES / "offline.py"), str(EXAMPLES / name), *map(str, statuses)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(cwd.iterdir())
    return done.stdout


def test_a_call_is_tried_again(tmp_path: Path) -> None:
    lines = run("retry_and_timeout.py", 503, 429, cwd=tmp_path).splitlines()
    assert [re.sub(r", [\d.]+ s$", "", line) for line in lines[1:4]] == [
        "attempt 1: 503 server_error",
        "attempt 2: 429 requests",
        "attempt 3: 200 ok",
    ]
    assert [line.partition(": ")[2] for line in lines[4:6]] == ["http_503", "http_429"]
    assert re.fullmatch(r"complete in [\d.]+ s for \$0\.\d+", lines[6])


def test_it_gives_up_in_time(tmp_path: Path) -> None:
    lines = run("retry_and_timeout.py", 503, 503, 503, cwd=tmp_path).splitlines()
    assert lines[0].startswith("gave up: Error code: 503")
    assert lines[-1].startswith("error in ")


def test_each_user_has_a_sum(tmp_path: Path) -> None:
    told = run("who_spent_what.py", cwd=tmp_path)
    assert re.fullmatch(r"ada +\$0\.0\d+\ngrace +\$0\.0\d+\n", told)


def test_a_cache_tells_what_it_gave_and_saved(tmp_path: Path) -> None:
    *found, saved = run("cache.py", cwd=tmp_path).splitlines()
    times = {what: int(count) for count, _, what in (line.partition(" ") for line in found)}
    # Whoever comes when the first answer is there already need not share it.
    assert times.pop("hit, fresh") + times.pop("hit, shared", 0) == 5
    assert times == {"miss, absent": 2, "miss, no-cache": 1}
    assert saved == "saved $0.0000255"


def test_another_model_takes_over(tmp_path: Path) -> None:
    answer, served, verdict = run("own_layer.py", 503, cwd=tmp_path).splitlines()
    assert answer == "Southern Ocean."
    assert served == "served by gpt-4o-mini-2024-07-18, requests: 2"
    assert verdict == "fallback: http_503: gpt-4o-mini"
    assert run("own_layer.py", cwd=tmp_path).splitlines()[1:] == ["served by gpt-4o-mini-2024-07-18, requests: 1"]


def test_totals_are_kept(tmp_path: Path) -> None:
    told = run("own_observer.py", cwd=tmp_path)
    calls = re.findall(r'^llm_calls_total\{model=".+",end="complete"\} (\d+)$', told, re.MULTILINE)
    assert sum(map(int, calls)) == 4
    assert "llm_dollars_total" in told


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_every_example_is_listed_and_tested(path: Path) -> None:
    assert path.name in (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert path.name in Path(__file__).read_text(encoding="utf-8")
