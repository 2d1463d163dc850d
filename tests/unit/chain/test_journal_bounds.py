"""The folder as a whole: bounded in bytes and in files, the oldest go first, and what went is counted."""

import os
import random
from contextlib import suppress
from pathlib import Path

import pytest

from interlay.chain import segments as module
from interlay.chain.frames import OVERHEAD
from interlay.chain.journal import Journal
from interlay.chain.segments import MAX_FILES, Tally, list_segments, read_tally
from interlay.telemetry.journal import JournalReader


def numbers(folder: Path) -> list[int]:
    return [int(entry.raw.split()[0]) for entry in JournalReader(folder).entries()]


def total(folder: Path) -> int:
    return sum(segment.size for segment in list_segments(folder))


def test_the_oldest_go_first_and_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "j"
    journal = Journal(folder, segment_bytes=2000, max_bytes=10_000)
    most = 0
    for n in range(500):
        assert journal.append(b"%04d " % n + b"." * 95)
        most = max(most, total(folder))
    assert 8000 <= most <= 10_000
    left = numbers(folder)
    assert left == list(range(left[0], 500))
    tally = read_tally(folder)
    assert tally.records == left[0]
    assert tally.bytes == left[0] * (100 + OVERHEAD)
    assert tally.segments == left[0] * (100 + OVERHEAD) // 1920


def test_bounds_hold_for_records_of_any_size(tmp_path: Path, rng: random.Random) -> None:
    folder = tmp_path / "j"
    journal = Journal(folder, segment_bytes=4000, max_bytes=20_000)
    for n in range(400):
        size = rng.choice([10, 300, 3000, 9000])
        assert journal.append(b"%d " % n + b"." * size)
        assert total(folder) <= 20_000
    left = numbers(folder)
    assert left[-1] == 399
    assert len(left) + read_tally(folder).records == 400


def test_many_short_programs_stay_within_the_bounds(tmp_path: Path) -> None:
    folder = tmp_path / "j"
    for n in range(300):
        journal = Journal(folder, segment_bytes=2000, max_bytes=10_000)
        journal.append(b"%d " % n + b"." * 95)
        del journal
    assert total(folder) <= 10_000
    assert len(list_segments(folder)) <= 7
    left = numbers(folder)
    assert left == list(range(left[0], 300))
    assert left[0] == read_tally(folder).records


def test_segments_in_use_are_not_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "j"
    quiet = Journal(folder, segment_bytes=2000, max_bytes=10_000)
    quiet.append(b"0 early, and still being written")
    busy = Journal(folder, segment_bytes=2000, max_bytes=10_000)
    for n in range(1, 300):
        busy.append(b"%d " % n + b"." * 95)
    assert quiet.append(b"300 late")
    left = numbers(folder)
    assert (left[0], left[-1]) == (0, 300)
    assert len(left) + read_tally(folder).records == 301


def test_the_number_of_files_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_FILES <= 1024
    monkeypatch.setattr(module, "MAX_FILES", 20)
    folder = tmp_path / "j"
    for burst in range(5):  # each leaves as many files as ran at once
        journals = [Journal(folder) for _ in range(15)]
        for n, journal in enumerate(journals):
            journal.append(b"%d" % (burst * 15 + n))
        assert len(list_segments(folder)) <= 20
        del journal, journals
    assert len(numbers(folder)) + read_tally(folder).records == 75


def test_a_crash_between_counting_and_deleting_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "j"
    journal = Journal(folder, segment_bytes=2000, max_bytes=6000)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    written = 0
    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(os, "unlink", die)
        for written in range(1000):
            journal.append(b"%d " % written + b"." * 95)
    counted = read_tally(folder)
    assert counted.records > 0
    assert set(counted.last) <= {segment.name for segment in list_segments(folder)}
    del journal
    journal = Journal(folder, segment_bytes=2000, max_bytes=6000)
    for n in range(written, written + 100):
        assert journal.append(b"%d " % n + b"." * 95)
    left = numbers(folder)
    assert left == list(range(left[0], written + 100))
    assert read_tally(folder).records == left[0]


def test_no_room_to_count_does_not_keep_from_deleting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "j"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_atomically", full)
    journal = Journal(folder, segment_bytes=2000, max_bytes=6000)
    for n in range(100):
        assert journal.append(b"%d " % n + b"." * 95)
    assert total(folder) <= 6000
    assert read_tally(folder) == Tally()


@pytest.mark.parametrize("damage", [b"", b"{", b'{"records":"many"}', b"\xff\x00"])
def test_a_damaged_tally_begins_anew(tmp_path: Path, damage: bytes) -> None:
    folder = tmp_path / "j"
    journal = Journal(folder, segment_bytes=2000, max_bytes=6000)
    journal.append(b"0")
    (folder / "dropped.json").write_bytes(damage)
    for n in range(1, 100):
        assert journal.append(b"%d " % n + b"." * 95)
    assert total(folder) <= 6000
    assert read_tally(folder).records > 0


def test_other_files_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "j"
    folder.mkdir(0o700)
    (folder / "notes.txt").write_text("mine")
    (folder / "123.seg").write_text("not by our naming")
    os.mkfifo(folder / f"{1:020d}-1-00000000.seg")
    journal = Journal(folder, segment_bytes=2000, max_bytes=6000)
    for n in range(100):
        journal.append(b"%d " % n + b"." * 95)
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "123.seg").read_text() == "not by our naming"
    assert numbers(folder)[-1] == 99
