"""Under gevent's monkey patching: greenlets keep their identities apart, and the runner does its work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.interop.chapters import program, server

from interlay.telemetry.journal import JournalReader

GREENLETS = 50


@pytest.mark.timeout(600)
def test_fifty_greenlets(tmp_path: Path) -> None:
    with server() as playing:
        done = program("greenlets.py", playing.url, tmp_path / "journal")
    assert done.returncode == 0, done.stderr
    assert "interlay" not in done.stderr
    told = json.loads(done.stdout)
    assert told["patched"]
    assert told["mixed"] == []
    each = {f"u{number}": 3 for number in range(GREENLETS)}
    assert told["users"] == told["behind"] == each
    assert told["ends"] == {"complete": 2 * GREENLETS, "closed": GREENLETS}
    assert (told["done"], told["runner"]) == (True, [True])
    assert len(list(JournalReader(tmp_path / "journal").entries())) == 3 * GREENLETS
