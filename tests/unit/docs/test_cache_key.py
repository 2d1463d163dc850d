"""The page on the cache's key lists what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from interlay.dialects import DIALECTS
from interlay.dialects._asking import GATEWAYS

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "cache-key.md"
ROW = re.compile(r"^\| ([a-z][a-z-]+|all of them) \| (.*?) ?\| (.*?) ?\|$", re.MULTILINE)


def listed() -> dict[str, tuple[list[str], list[str]]]:
    rows = ROW.findall(PAGE.read_text())
    return {api: (re.findall("`(.+?)`", members), re.findall("`(.+?)`", headers)) for api, members, headers in rows}


def test_members_and_headers_are_those_of_each_dialect() -> None:
    expected = {
        dialect.name: (sorted(dialect.ignored), sorted({*dialect.telling_headers} - {*GATEWAYS}))
        for dialect in DIALECTS
    }
    expected["all of them"] = ([], sorted(GATEWAYS))
    assert listed() == expected
