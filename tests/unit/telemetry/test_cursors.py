"""Cursors: at least once, past rotation and restarts, and what was deleted unread is counted."""

import os
import random
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from interlay.chain.journal import Journal
from interlay.chain.segments import list_segments
from interlay.telemetry.cursors import Cursor, CursorBusy
from interlay.telemetry.journal import Entry


def small(folder: Path) -> Journal:
    return Journal(folder, segment_bytes=2000, max_bytes=10_000)


def record(n: int) -> bytes:
    return b"%d " % n + b"." * 90


def numbers(entries: list[Entry]) -> list[int]:
    return [int(entry.raw.split()[0]) for entry in entries]


def drain(cursor: Cursor, limit: int = 7) -> list[int]:
    found = []
    while batch := cursor.read(limit):
        found += numbers(batch)
    return found


def test_reads_on_where_it_committed(tmp_path: Path) -> None:
    journal = small(tmp_path / "j")
    for n in range(30):
        journal.append(record(n))
    with Cursor(tmp_path / "j", "otlp") as cursor:
        assert numbers(cursor.read(10)) == list(range(10))
        cursor.commit()
        assert numbers(cursor.read(10)) == list(range(10, 20))  # handed on, and then the process died
    with Cursor(tmp_path / "j", "otlp") as cursor:
        assert drain(cursor) == list(range(10, 30))
        cursor.commit()
    journal.append(record(30))
    with Cursor(tmp_path / "j", "otlp") as cursor:
        assert drain(cursor) == [30]
        assert cursor.lost == 0


def test_each_destination_has_its_own(tmp_path: Path) -> None:
    journal = small(tmp_path / "j")
    for n in range(10):
        journal.append(record(n))
    with Cursor(tmp_path / "j", "one") as one, Cursor(tmp_path / "j", "two") as two:
        assert drain(one) == list(range(10))
        one.commit()
        assert drain(two) == list(range(10))


def test_can_begin_now(tmp_path: Path) -> None:
    journal = small(tmp_path / "j")
    for n in range(10):
        journal.append(record(n))
    with Cursor(tmp_path / "j", "late", start="now") as cursor:
        assert drain(cursor) == []
        cursor.commit()
        journal.append(record(10))
        assert drain(cursor) == [10]
    with Cursor(tmp_path / "j", "late", start="now") as cursor:
        assert drain(cursor) == [10]


def test_what_was_deleted_unread_is_counted_exactly(tmp_path: Path, rng: random.Random) -> None:
    """However the deletions fall between its reads: delivered + lost == appended, once all is read."""
    journals = [small(tmp_path / "j") for _ in range(3)]
    appended, delivered, lost = 0, list[int](), 0
    with Cursor(tmp_path / "j", "slow") as cursor:
        cursor.commit()  # from here on: what went before its first use it cannot have lost
    for _ in range(60):
        for _ in range(rng.randrange(80)):
            rng.choice(journals).append(record(appended))
            appended += 1
        with Cursor(tmp_path / "j", "slow") as cursor:
            for _ in range(rng.randrange(4)):
                delivered += numbers(cursor.read(rng.randrange(1, 25)))
            cursor.commit()
    with Cursor(tmp_path / "j", "slow") as cursor:
        delivered += drain(cursor)
        cursor.commit()
        lost = cursor.lost
    assert lost > 0
    assert len(set(delivered)) == len(delivered)
    assert len(delivered) + lost == appended


def test_a_segment_deleted_by_hand_does_no_harm(tmp_path: Path) -> None:
    journal = small(tmp_path / "j")
    for n in range(50):
        journal.append(record(n))
    with Cursor(tmp_path / "j", "one") as cursor:
        cursor.read(5)
        for segment in list_segments(tmp_path / "j")[:-1]:
            (tmp_path / "j" / segment.name).unlink()
        rest = drain(cursor)
        assert rest[-1] == 49
        assert cursor.lost == 0


@pytest.mark.parametrize("damage", [b"", b"{", b'{"places":[]}', b"null"])
def test_a_damaged_cursor_begins_anew(tmp_path: Path, damage: bytes) -> None:
    small(tmp_path / "j").append(record(1))
    with Cursor(tmp_path / "j", "one") as cursor:
        drain(cursor)
        cursor.commit()
    (tmp_path / "j" / "cursors" / "one.json").write_bytes(damage)
    with Cursor(tmp_path / "j", "one") as cursor:
        assert drain(cursor) == [1]


def test_a_commit_that_fails_leaves_the_older_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = small(tmp_path / "j")
    for n in range(4):
        journal.append(record(n))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with Cursor(tmp_path / "j", "one") as cursor:
        cursor.read(2)
        cursor.commit()
        cursor.read(1)
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", full)
            with pytest.raises(OSError, match="No space"):
                cursor.commit()
    assert sorted(path.name for path in (tmp_path / "j" / "cursors").iterdir()) == ["one.json", "one.lock"]
    with Cursor(tmp_path / "j", "one") as cursor:
        assert drain(cursor) == [2, 3]


def test_belongs_to_one_at_a_time(tmp_path: Path) -> None:
    script = "import sys; from interlay.telemetry.cursors import Cursor; Cursor(sys.argv[1], 'one')"
    command = [sys.executable, "-c", script, str(tmp_path / "j")]
    with Cursor(tmp_path / "j", "one"):
        with pytest.raises(CursorBusy, match=r"the cursor 'one' of .* is in use"):
            Cursor(tmp_path / "j", "one")
        refused = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "CursorBusy" in refused.stderr
    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.parametrize("name", ["", "../up", "A", "a/b", "a b", ".hidden", "x" * 65, "a\n"])
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is no name for a cursor"):
        Cursor(tmp_path / "j", name)
    assert not (tmp_path / "j").exists()


def test_is_for_the_user_alone(tmp_path: Path) -> None:
    with Cursor(tmp_path / "j", "one") as cursor:
        cursor.commit()
    folder = tmp_path / "j" / "cursors"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
