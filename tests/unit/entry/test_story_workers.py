"""Processes made after first use: each has its own records, runner and place in the journal, and none is doubled."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from tests.interop.chapters import STRICT, program, server

from interlay.telemetry.journal import JournalReader

CALLS = 5

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("method", ["os.fork", "fork", "spawn"])
def test_nothing_is_lost_and_nothing_doubled(method: str, tmp_path: Path) -> None:
    with server() as playing:
        # Python itself warns of forks beside threads, from 3.12 on.
        flags = (*STRICT, "-W", "ignore:This process:DeprecationWarning")
        done = program("workers.py", playing.url, tmp_path / "journal", method, flags=flags)
    assert done.returncode == 0, done.stderr
    assert "interlay" not in done.stderr
    told = json.loads(done.stdout)
    for part in (told["before"], *told["children"], told["after"]):
        assert (part["done"], part["observed"], part["runners"]) == (True, CALLS, 1), part
    assert len({part["pid"] for part in (told["before"], *told["children"])}) == 3
    for child in told["children"]:
        # What the parent had done before is the parent's.
        assert "parent" not in child["in memory"]
    assert Counter(told["after"]["in memory"]) == {"parent": CALLS, "parent again": CALLS}
    written = Counter(
        json.loads(entry.raw)["identity"]["user"] for entry in JournalReader(tmp_path / "journal").entries()
    )
    assert written == dict.fromkeys(("parent", "child 0", "child 1", "parent again"), CALLS)
