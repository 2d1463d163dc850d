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


@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page))], ids=names)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.upper().endswith(("_PROXY", "_API_KEY", "_BASE_URL"))}
    environment |= {"INTERLAY_HOME": str(tmp_path / "home"), "PYTHONUTF8": "1"}
    command = [sys.executable, "-W", "error", str(RUNNER), str(page)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", check=False, timeout=55
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_block_says_what_it_is(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    fences = re.findall(r"^ *```", text, re.MULTILINE)
    assert len(fences) == 2 * len(FENCE.findall(text)), "a fence without a language, or never closed"


def test_an_example_that_fails_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    for body, told in (
        ("```python\nraise RuntimeError('seen')\n```\n", "seen"),
        ('```python\nprint(1)\n```\n\n```text title="Output"\n2\n```\n', "prints"),
        ("```sh\ninterlay show 123\n```\n", "ends with 1"),
    ):
        page.write_text(body)
        done = subprocess.run([sys.executable, str(RUNNER), str(page)], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert told in done.stderr
