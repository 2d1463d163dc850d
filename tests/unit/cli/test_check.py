"""interlay check: every problem of a configuration, by file, line and column."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from interlay.cli.root import run


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INTERLAY_CONFIG", raising=False)
    return tmp_path


def test_a_file_that_is_fine(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "interlay.yaml").write_text("chain: [retry]\n")
    assert run(["check"]) == 0
    assert capsys.readouterr() == ("interlay.yaml: fine\n", "")


def test_all_problems_of_all_files(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.yaml").write_text("chain: [rety]\ncontents: no\n")
    (here / "b.yaml").write_text("journal: true\n")
    assert run(["check", "a.yaml", "b.yaml"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "a.yaml:1:9: chain[0]: there is no rety; did you mean retry?",
        "a.yaml:2:11: contents: expected true or false, got 'no'",
        "b.yaml: fine",
    ]


def test_as_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "a.yaml").write_text("chian: []\n")
    assert run(["check", "--json", "a.yaml"]) == 1
    assert json.loads(capsys.readouterr().out) == [
        {"file": "a.yaml", "line": 1, "column": 1, "message": "there is no chian; did you mean chain?"}
    ]


def test_the_file_that_the_environment_names(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLAY_CONFIG", "other.yaml")
    assert run(["check"]) == 1
    assert capsys.readouterr().out == "other.yaml: cannot be read: No such file or directory\n"


def test_without_pyyaml_it_says_what_to_install(here: Path) -> None:
    (here / "interlay.yaml").write_text("")
    program = "import sys; sys.modules['yaml'] = None; from interlay.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program, "check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: a configuration is read with PyYAML\nhelp: pip install 'interlay[yaml]'\n"
