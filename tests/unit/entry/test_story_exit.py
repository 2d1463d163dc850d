"""A process that ends while a stream is open: as it would without interlay, and the record is in the journal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.interop.chapters import program, server

from interlay.telemetry.journal import JournalReader

STATUS = {"a global": 0, "exit in the midst": 3, "an exception": 1, "a loop that ended": 0, "a daemon thread": 0}


def leaves_one_record_and_no_word(way: str, journal: Path) -> None:
    """``programs/exits.py``, bare and wrapped."""
    with server() as playing:
        bare = program("exits.py", playing.url, "bare", way)
        wrapped = program("exits.py", playing.url, journal, way)
    assert wrapped.returncode == bare.returncode == STATUS[way], wrapped.stderr
    assert wrapped.stderr.splitlines()[-1:] == bare.stderr.splitlines()[-1:]
    assert "interlay" not in wrapped.stderr
    records = [json.loads(entry.raw) for entry in JournalReader(journal).entries()]
    assert [record["end"] for record in records] in (["lost"], ["closed"])


@pytest.mark.timeout(600)  # other ways are in tests/interop
def test_an_open_stream_leaves_one_record_and_no_word(tmp_path: Path) -> None:
    leaves_one_record_and_no_word("a global", tmp_path / "journal")
