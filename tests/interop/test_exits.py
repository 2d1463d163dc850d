"""More ways in which a process can end while a stream is open."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.entry.test_story_exit import STATUS, leaves_one_record_and_no_word


@pytest.mark.timeout(600)
@pytest.mark.parametrize("way", [way for way in STATUS if way != "a global"])
def test_an_open_stream_leaves_one_record_and_no_word(way: str, tmp_path: Path) -> None:
    leaves_one_record_and_no_word(way, tmp_path / "journal")
