"""Readers: everything once, in order, from either end and as it comes."""

import struct
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlay.chain import journal as writer
from interlay.chain.frames import MARKER, encode
from interlay.chain.journal import Journal
from interlay.chain.segments import list_segments
from interlay.model.record import Record
from interlay.telemetry.journal import Entry, JournalReader


def raws(entries: Iterator[Entry]) -> list[bytes]:
    return [entry.raw for entry in entries]


def fill(folder: Path, count: int, *, segment_bytes: int = 2000) -> list[bytes]:
    journal = Journal(folder, segment_bytes=segment_bytes)
    payloads = [b"%d " % n + b"." * 90 for n in range(count)]
    for payload in payloads:
        assert journal.append(payload)
    journal.close()
    return payloads


def segment_file(folder: Path, created_ns: int, frames: list[bytes]) -> Path:
    folder.mkdir(0o700, exist_ok=True)
    path = folder / f"{created_ns:020d}-1-{len(list(folder.iterdir())):08x}.seg"
    path.write_bytes(b"".join(frames))
    return path


def test_a_missing_folder_is_an_empty_journal(tmp_path: Path) -> None:
    reader = JournalReader(tmp_path / "nowhere")
    assert list(reader.entries()) == list(reader.entries(newest_first=True)) == list(reader.tail().read()) == []
    assert reader.deleted().records == 0
    assert not (tmp_path / "nowhere").exists()


def test_both_directions_give_everything_once(tmp_path: Path) -> None:
    payloads = fill(tmp_path / "j", 200)
    reader = JournalReader(tmp_path / "j")
    assert raws(reader.entries()) == payloads
    assert raws(reader.entries(newest_first=True)) == payloads[::-1]


def test_several_writers_are_merged_by_time(tmp_path: Path) -> None:
    journals = [Journal(tmp_path / "j", segment_bytes=2000) for _ in range(4)]
    payloads = []
    for n in range(200):
        payloads.append(b"%d " % n + b"." * 50)
        journals[n % 4].append(payloads[-1])
    reader = JournalReader(tmp_path / "j")
    assert raws(reader.entries()) == payloads
    assert raws(reader.entries(newest_first=True)) == payloads[::-1]


@given(st.lists(st.lists(st.integers(1, 60), max_size=8).map(sorted), min_size=1, max_size=5))
def test_merging_is_sorting(tmp_path_factory: pytest.TempPathFactory, segments: list[list[int]]) -> None:
    folder = tmp_path_factory.mktemp("journal") / "j"
    for number, times in enumerate(segments):
        frames = [encode(b"%d.%d" % (number, n), at, n) for n, at in enumerate(times)]
        segment_file(folder, min(times, default=0), frames)
    reader = JournalReader(folder)
    expected = sorted(at for times in segments for at in times)
    assert [e.at_ns for e in reader.entries()] == expected
    assert [e.at_ns for e in reader.entries(newest_first=True)] == expected[::-1]
    assert [e.at_ns for e in reader.entries(since=20e-9)] == [at for at in expected if at >= 20]


def test_since_leaves_out_what_is_older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [time.time_ns() - 100 * 10**9]
    monkeypatch.setattr(writer, "time_ns", lambda: clock[0])
    journal, started = Journal(tmp_path / "j", segment_bytes=2000), clock[0] / 1e9
    for n in range(100):
        journal.append(b"%d" % n)
        clock[0] += 10**9
    reader = JournalReader(tmp_path / "j")
    assert raws(reader.entries(since=started + 69.5)) == [b"%d" % n for n in range(70, 100)]
    assert raws(reader.entries(since=started + 69.5, newest_first=True)) == [b"%d" % n for n in range(99, 69, -1)]
    assert raws(reader.entries(since=time.time() + 60)) == []


def test_memory_stays_small_while_a_large_journal_is_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", segment_bytes=1024 * 1024, max_bytes=64 * 1024 * 1024)
    for _ in range(20_000):
        journal.append(b"x" * 1000)
    for newest_first in (False, True):
        tracemalloc.start()
        assert sum(1 for _ in JournalReader(tmp_path / "j").entries(newest_first=newest_first)) == 20_000
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 5 * 1024 * 1024  # of 20 MB, all written within the second that file times are unsure by


class TestDamage:
    def test_is_stepped_over_and_counted(self, tmp_path: Path) -> None:
        frames = [encode(b"record %d" % n, n + 1, n) for n in range(10)]
        frames[3] = frames[3][:-2] + b"zz"
        frames[4] = frames[4][:9]
        segment_file(tmp_path / "j", 1, frames)
        expected = [b"record %d" % n for n in (0, 1, 2, 5, 6, 7, 8, 9)]
        for newest_first in (False, True):
            reader = JournalReader(tmp_path / "j")
            found = raws(reader.entries(newest_first=newest_first))
            assert found == (expected[::-1] if newest_first else expected)
            assert reader.counts.damaged == 2
            assert reader.counts.skipped_bytes == len(frames[3]) + 9

    def test_that_was_never_a_whole_record_is_no_lost_record(self, tmp_path: Path) -> None:
        torn = encode(b"never finished", 2, 1)[:-3]
        segment_file(tmp_path / "j", 1, [encode(b"0", 1, 0), torn, encode(b"1", 3, 1)])
        reader = JournalReader(tmp_path / "j")
        assert raws(reader.entries()) == [b"0", b"1"]
        assert (reader.counts.damaged, reader.counts.skipped_bytes) == (0, len(torn))

    def test_at_the_end_hides_nothing(self, tmp_path: Path) -> None:
        segment_file(tmp_path / "j", 1, [encode(b"0", 1, 0), encode(b"1" * 50, 2, 1)[:-3]])
        reader = JournalReader(tmp_path / "j")
        assert raws(reader.entries()) == raws(reader.entries(newest_first=True)) == [b"0"]

    def test_bytes_that_are_no_record_are_still_given(self, tmp_path: Path) -> None:
        segment_file(tmp_path / "j", 1, [encode(b'{"no":"record"}', 1, 0)])
        (entry,) = JournalReader(tmp_path / "j").entries()
        assert entry.raw == b'{"no":"record"}'
        with pytest.raises(msgspec.ValidationError):
            _ = entry.record


def test_frames_of_a_newer_version_are_counted_and_left_alone(tmp_path: Path) -> None:
    body = b"laid out in some other way"
    newer = struct.pack("<3sBII", MARKER, 2, len(body), crc32(body, 2)) + body
    segment_file(tmp_path / "j", 1, [encode(b"0", 1, 0), newer, encode(b"2", 3, 2)])
    for newest_first in (False, True):
        reader = JournalReader(tmp_path / "j")
        assert sorted(raws(reader.entries(newest_first=newest_first))) == [b"0", b"2"]
        assert (reader.counts.unknown, reader.counts.damaged) == (1, 0)


def test_fields_that_are_not_known_stay_in_the_bytes(tmp_path: Path) -> None:
    record = Record(
        id="r1",
        call_id="c1",
        operation="chat",
        target="https://x/",
        started_at=1,
        ended_at=2,
        duration=1,
        end="complete",
    )
    raw = record.to_json()[:-1] + b',"from_the_future":{"kept":true}}'
    segment_file(tmp_path / "j", 1, [encode(raw, 1, 0)])
    (entry,) = JournalReader(tmp_path / "j").entries()
    assert entry.record == record
    assert b'"from_the_future":{"kept":true}' in entry.raw


def test_what_writers_could_not_write_is_summed(tmp_path: Path) -> None:
    segment_file(tmp_path / "j", 1, [encode(b"0", 1, 0, 3), encode(b"1", 2, 1, 0), encode(b"2", 3, 2, 4)])
    reader = JournalReader(tmp_path / "j")
    list(reader.entries())
    assert reader.counts.missed == 7


class TestTail:
    def test_begins_at_the_end_and_gives_what_comes(self, tmp_path: Path) -> None:
        fill(tmp_path / "j", 100)
        tail = JournalReader(tmp_path / "j").tail()
        assert list(tail.read()) == []
        journals = [Journal(tmp_path / "j", segment_bytes=2000) for _ in range(2)]
        expected = []
        for n in range(60):
            expected.append(b"new %d" % n + b"." * 80)
            journals[n % 2].append(expected[-1])
        assert raws(tail.read()) == expected
        assert list(tail.read()) == []

    def test_that_is_left_in_the_middle_goes_on_from_there(self, tmp_path: Path) -> None:
        tail = JournalReader(tmp_path / "j").tail()
        journals = [Journal(tmp_path / "j") for _ in range(3)]
        for n in range(30):
            journals[n % 3].append(b"%d" % n)
        found = []
        while taken := next(tail.read(), None):
            found.append(taken.raw)
        assert found == [b"%d" % n for n in range(30)]
        assert tail.counts.damaged == 0

    def test_waits_for_the_rest_of_a_frame(self, tmp_path: Path) -> None:
        frame = encode(b"slow", 1, 0)
        path = segment_file(tmp_path / "j", 1, [])
        tail = JournalReader(tmp_path / "j").tail()
        for end in range(len(frame)):
            path.write_bytes(frame[:end])
            assert list(tail.read()) == []
        path.write_bytes(frame)
        assert raws(tail.read()) == [b"slow"]
        assert tail.counts.skipped_bytes == 0

    def test_is_not_misled_by_a_half_frame_that_was_taken_back(self, tmp_path: Path) -> None:
        path = segment_file(tmp_path / "j", 1, [encode(b"0", 1, 0), encode(b"taken back", 2, 1)[:-4]])
        tail = JournalReader(tmp_path / "j").tail()
        assert list(tail.read()) == []
        path.write_bytes(encode(b"0", 1, 0) + encode(b"another", 3, 1))
        assert raws(tail.read()) == [b"another"]

    def test_forgets_segments_that_were_deleted(self, tmp_path: Path) -> None:
        fill(tmp_path / "j", 100)
        tail = JournalReader(tmp_path / "j").tail()
        assert len(tail.places) == len(list_segments(tmp_path / "j"))
        for segment in list_segments(tmp_path / "j")[:-1]:
            (tmp_path / "j" / segment.name).unlink()
        list(tail.read())
        assert len(tail.places) == 1


def test_following_gives_each_record_as_it_comes(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append(b"before")
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        journal.append(b"%d" % len(waits))
        if len(waits) % 2:
            journal.append(b"%d and more" % len(waits))

    following = JournalReader(tmp_path / "j").follow(every=0.1, wait=wait)
    assert [next(following).raw for _ in range(4)] == [b"1", b"1 and more", b"2", b"3"]
    assert waits == [0.1] * 3
