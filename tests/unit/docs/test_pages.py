"""What pages claim and point at is there."""

import importlib.util
import re
from pathlib import Path

import pytest

import interlay

ROOT = Path(__file__).parents[3]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("*/README.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LOGGERS = {"record"}
STILL_TO_COME = {"completion"}


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r'(?:\]\(|src=")([^)#"\s]+)', text):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_names_exist(page: Path) -> None:
    for name in set(re.findall(r"\binterlay\.(?!(?:md|yaml)\b)([A-Za-z_]+)", page.read_text(encoding="utf-8"))):
        known = name in LOGGERS or importlib.util.find_spec(f"interlay.{name}") is not None
        assert known or name in STILL_TO_COME or hasattr(interlay, name), name
