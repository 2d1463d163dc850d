"""Every example in the README and the documentation runs, and prints what the page says it prints."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.docs.run_page import FENCE, ROOT, blocks

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUNNER = Path(__file__).with_name("run_page.py")


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.timeout(600)
def test_the_examples_of_every_page_run() -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().endswith(("_PROXY", "_API_KEY", "_BASE_URL")) and not name.startswith("OTEL_")
    }
    pages = [str(page) for page in PAGES if any(blocks(page))]
    assert len(pages) > 10
    command = [sys.executable, "-W", "error", str(RUNNER), *pages]
    done = subprocess.run(command, env={**environment, "PYTHONUTF8": "1"}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_block_says_what_it_is(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    fences = re.findall(r"^ *```", text, re.MULTILINE)
    assert len(fences) == 2 * len(FENCE.findall(text)), "a fence without a language, or never closed"


@pytest.mark.timeout(600)
def test_an_example_that_fails_is_noticed(tmp_path: Path) -> None:
    pages = {
        "raises.md": "```python\nraise RuntimeError('seen')\n```\n",
        "prints.md": '```python\nprint(1)\n```\n\n```text title="Output"\n2\n```\n',
        "exits.md": "```sh\ninterlay show 123\n```\n",
        "runs.md": '```python\nprint("212 ms")\n```\n\n```text title="Output"\n0.4 ms\n```\n',
    }
    for name, text in pages.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, str(RUNNER), *(str(tmp_path / name) for name in pages)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    for told in ("raises.md", "RuntimeError: seen", "line 1 prints\n1\nand not\n2\n", "ends with 1"):
        assert told in done.stderr
    assert "runs.md" not in done.stderr
