"""The writer: what it makes, who may share it, and what it does where it cannot write."""

import logging
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interlay.chain import frames as frames_of
from interlay.chain import journal as module
from interlay.chain.frames import Frame, Scanner
from interlay.chain.journal import Journal
from interlay.chain.segments import default_path, list_segments


def segments(folder: Path) -> list[Path]:
    return [folder / segment.name for segment in list_segments(folder)]


def frames(folder: Path) -> list[Frame]:
    found = []
    for path in segments(folder):
        scanner = Scanner()
        found += scanner.feed(path.read_bytes()) + scanner.finish()
        assert scanner.skipped == 0
        assert scanner.offset == path.stat().st_size
    return sorted(found, key=lambda frame: frame.time_ns)


def payloads(folder: Path) -> list[bytes]:
    return [frame.payload for frame in frames(folder)]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal")
    yield journal
    journal.close()


class TestPlace:
    def test_is_the_home_that_is_set(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("INTERLAY_HOME", str(tmp_path))
        assert Journal().path == default_path() == tmp_path / "journal"

    def test_is_else_the_state_folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("INTERLAY_HOME", raising=False)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        assert Path("interlay", "journal") == default_path().relative_to(default_path().parents[1])

    def test_is_not_touched_before_the_first_append(self, journal: Journal) -> None:
        assert not journal.path.exists()
        assert journal.append(b"{}")
        assert journal.path.exists()

    def test_is_for_the_user_alone(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            with_parents = Journal(tmp_path / "made" / "as well" / "journal")
            with_parents.append(b"{}")
        finally:
            os.umask(before)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "made").rglob("*")}
        names = modes.keys() - {"as well", "journal"}
        assert {modes["as well"], modes["journal"], stat.S_IMODE((tmp_path / "made").stat().st_mode)} == {0o700}
        assert {modes[name] for name in names} == {0o600}


class TestAppend:
    def test_adds_whole_frames_in_order(self, journal: Journal) -> None:
        started = time.time_ns()
        assert [journal.append(b'{"n":%d}' % n) for n in range(50)] == [True] * 50
        found = frames(journal.path)
        assert [frame.payload for frame in found] == [b'{"n":%d}' % n for n in range(50)]
        assert [frame.sequence for frame in found] == list(range(50))
        assert started <= found[0].time_ns <= found[-1].time_ns <= time.time_ns()

    def test_stands_in_the_file_when_it_returns(self, journal: Journal) -> None:
        for n in range(20):
            journal.append(b"%d" % n)
            assert payloads(journal.path)[-1] == b"%d" % n

    def test_from_many_threads_loses_and_mixes_nothing(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path, segment_bytes=20_000)
        tmp_path.chmod(0o700)
        ready = threading.Barrier(8)

        def work(thread: int) -> None:
            ready.wait()
            for n in range(250):
                assert journal.append(b"%d.%d " % (thread, n) + b"x" * (n % 90))

        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = [payload.split(b" ")[0] for payload in payloads(tmp_path)]
        assert sorted(found) == sorted(b"%d.%d" % (t, n) for t in range(8) for n in range(250))

    def test_in_a_signal_handler_in_the_middle_of_an_append_is_written_afterwards(
        self, journal: Journal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def encode(payload: bytes, *rest: int) -> bytes:
            if payload == b"outer":
                signal.raise_signal(signal.SIGUSR1)
                time.sleep(0)  # the handler runs here at the latest
            return original(payload, *rest)

        original = frames_of.encode
        monkeypatch.setattr(module, "encode", encode)
        before = signal.signal(signal.SIGUSR1, lambda *_: journal.append(b"from the handler"))
        try:
            assert journal.append(b"outer")
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert payloads(journal.path) == [b"outer", b"from the handler"]

    def test_after_close_is_dropped(self, journal: Journal) -> None:
        journal.append(b"1")
        journal.close()
        assert not journal.append(b"2")
        assert journal.dropped == 1
        assert payloads(journal.path) == [b"1"]

    def test_of_something_enormous_is_dropped_and_said_once(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        journal = Journal(tmp_path / "j", segment_bytes=2000, max_bytes=6000)
        assert journal.append(b"small")
        assert not journal.append(b"x" * 7000)
        assert not journal.append(b"x" * 7000)
        assert journal.append(b"small again")
        assert payloads(journal.path) == [b"small", b"small again"]
        assert journal.dropped == 2
        assert [r.getMessage().split(";")[0] for r in caplog.records] == [
            f"a record of 7028 bytes is too large for the journal at {journal.path}"
        ]

    def test_tells_in_the_next_frame_how_many_were_missed(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path / "j", segment_bytes=2000, max_bytes=6000)
        for size in (1, 7000, 7000, 1, 1):
            journal.append(b"x" * size)
        assert [frame.missed for frame in frames(journal.path)] == [0, 2, 0]


class TestSegments:
    def test_are_begun_anew_when_full(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path / "j", segment_bytes=2000)
        for n in range(100):
            journal.append(b"%03d" % n + b"." * 97)
        sizes = [path.stat().st_size for path in segments(journal.path)]
        assert len(sizes) == 7
        assert max(sizes) <= 2000
        assert [p[:3] for p in payloads(journal.path)] == [b"%03d" % n for n in range(100)]

    def test_take_a_record_larger_than_they_are_alone(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path / "j", segment_bytes=2000)
        for size in (10, 5000, 10):
            assert journal.append(b"x" * size)
        assert [len(p) for p in payloads(journal.path)] == [10, 5000, 10]
        assert sorted(path.stat().st_size for path in segments(journal.path)) == [2 * 38, 5028]

    def test_are_taken_over_from_the_dead(self, tmp_path: Path) -> None:
        for n in range(30):  # thirty short programs
            journal = Journal(tmp_path / "j")
            journal.append(b"%d" % n)
            del journal
        assert len(segments(tmp_path / "j")) == 1
        assert payloads(tmp_path / "j") == [b"%d" % n for n in range(30)]
        assert [f.sequence for f in frames(tmp_path / "j")] == list(range(30))

    def test_are_never_taken_over_from_the_living(self, tmp_path: Path) -> None:
        journals = [Journal(tmp_path / "j") for _ in range(3)]
        for n, journal in enumerate(journals * 2):
            journal.append(b"%d" % n)
        assert len(segments(tmp_path / "j")) == 3
        assert sorted(payloads(tmp_path / "j")) == [b"%d" % n for n in range(6)]

    @pytest.mark.parametrize("kept", [1, 11, 12, 20, 30])
    def test_are_taken_over_less_what_was_half_written(self, tmp_path: Path, kept: int) -> None:
        journal = Journal(tmp_path / "j")
        journal.append(b"whole")
        journal.append(b"soon torn")
        journal.close()
        (segment,) = segments(journal.path)
        whole = frames(journal.path)[0].end
        os.truncate(segment, whole + kept)
        other = Journal(tmp_path / "j")
        other.append(b"next")
        assert [(f.sequence, f.payload) for f in frames(journal.path)] == [(0, b"whole"), (1, b"next")]
        assert segments(journal.path) == [segment]

    def test_with_nothing_whole_in_them_are_left_alone(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path / "j")
        journal.append(b"1")
        journal.close()
        (segment,) = segments(journal.path)
        segment.write_bytes(b"no frame at all")
        Journal(tmp_path / "j").append(b"2")
        assert segment.read_bytes() == b"no frame at all"
        assert len(segments(journal.path)) == 2

    def test_that_are_links_are_not_followed(self, tmp_path: Path) -> None:
        journal = Journal(tmp_path / "j")
        journal.append(b"1")
        journal.close()
        (segment,) = segments(journal.path)
        segment.rename(tmp_path / "elsewhere")
        segment.symlink_to(tmp_path / "elsewhere")
        before = (tmp_path / "elsewhere").read_bytes()
        Journal(tmp_path / "j").append(b"2")
        assert (tmp_path / "elsewhere").read_bytes() == before
        assert payloads(journal.path) == [b"2"]

    def test_come_back_after_the_folder_was_deleted(self, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = [100.0]
        monkeypatch.setattr(module, "monotonic", lambda: clock[0])
        journal.append(b"1")
        for path in segments(journal.path):
            path.unlink()
        journal.path.rmdir()
        clock[0] += 1.5
        assert journal.append(b"2")
        assert payloads(journal.path) == [b"2"]


class TestFork:
    def test_a_child_has_a_segment_of_its_own(self, journal: Journal) -> None:
        journal.append(b"before")
        child = os.fork()
        if not child:
            try:
                done = journal.append(b"child") and journal.append(b"child again") and journal.dropped == 0
                os._exit(0 if done else 1)
            finally:
                os._exit(2)
        journal.append(b"parent")
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        journal.append(b"parent again")
        by_file = []
        for path in segments(journal.path):
            scanner = Scanner()
            by_file.append([frame.payload for frame in scanner.feed(path.read_bytes())])
        assert sorted(by_file) == [[b"before", b"parent", b"parent again"], [b"child", b"child again"]]

    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_a_child_forked_while_another_thread_appends_is_not_stuck(self, journal: Journal) -> None:
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                journal.append(b"thread")

        thread = threading.Thread(target=work)
        thread.start()
        try:
            for _ in range(20):
                child = os.fork()
                if not child:
                    signal.alarm(10)
                    os._exit(0 if journal.append(b"child") else 1)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        finally:
            stop.set()
            thread.join()
        assert payloads(journal.path).count(b"child") == 20


class TestTrouble:
    @staticmethod
    def trouble(journal: Journal) -> str | None:
        return journal.trouble  # through a function: the type checker thinks that it cannot change

    def test_where_a_file_is_in_the_place_is_logged_once_and_overcome(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        caplog.set_level(logging.INFO, "interlay.journal")
        clock = [100.0]
        monkeypatch.setattr(module, "monotonic", lambda: clock[0])
        place = tmp_path / "journal"
        place.write_text("in the way")
        journal = Journal(place)
        for _ in range(5):
            assert not journal.append(b"1")
            clock[0] += 0.7
        assert journal.dropped == 5
        assert self.trouble(journal) == "Not a directory"
        place.unlink()
        assert not journal.append(b"2")  # not tried again yet
        clock[0] += 1.0
        assert journal.append(b"3")
        assert self.trouble(journal) is None
        assert [(f.payload, f.missed) for f in frames(place)] == [(b"3", 6)]
        failing, back = caplog.records
        assert (failing.levelname, back.levelname) == ("WARNING", "INFO")
        assert failing.getMessage() == (
            f"the journal at {place} cannot be written: Not a directory; "
            "calls go on, their records are dropped and counted"
        )
        assert back.getMessage() == f"the journal at {place} is written again; 6 records were dropped"

    def test_is_tried_at_most_once_a_second(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        clock, tried = [100.0], []

        def refuse(*_: object, **__: object) -> None:
            tried.append(clock[0])
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(module, "monotonic", lambda: clock[0])
        monkeypatch.setattr(module, "open_segment", refuse)
        journal = Journal(tmp_path / "j")
        for _ in range(100):
            journal.append(b"1")
            clock[0] += 0.05
        assert len(tried) == 5

    @pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702, 0o770])
    def test_a_folder_that_others_may_write_to_is_refused(
        self, tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        place = tmp_path / "journal"
        place.mkdir()
        place.chmod(mode)
        journal = Journal(place)
        assert not journal.prepare()
        assert not journal.append(b"1")
        assert list(place.iterdir()) == []
        assert journal.trouble == "others may write to it; `chmod 700` it"
        assert len(caplog.records) == 1

    @pytest.mark.skipif(os.geteuid() != 0, reason="giving a folder away takes root")
    def test_a_folder_of_another_user_is_refused(self, tmp_path: Path) -> None:
        place = tmp_path / "journal"
        place.mkdir(0o700)
        os.chown(place, 12345, -1)
        journal = Journal(place)
        assert not journal.append(b"1")
        assert journal.trouble == "it belongs to user 12345, not to 0"

    def test_a_log_handler_that_calls_a_model_itself_is_not_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "journal").write_text("in the way")
        journal = Journal(tmp_path / "journal")

        class Nested(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                thread = threading.Thread(target=journal.append, args=(b"from the handler",))
                thread.start()
                thread.join(10)
                assert not thread.is_alive()

        logger, handler = logging.getLogger("interlay.journal"), Nested()
        logger.addHandler(handler)
        try:
            assert not journal.append(b"1")
        finally:
            logger.removeHandler(handler)
        assert journal.dropped == 2

    def test_a_log_filter_that_raises_does_not_reach_the_caller(self, tmp_path: Path) -> None:
        (tmp_path / "journal").write_text("in the way")

        def refuse(record: logging.LogRecord) -> bool:
            raise RuntimeError("a filter of the user's")

        logger = logging.getLogger("interlay.journal")
        logger.addFilter(refuse)
        try:
            assert not Journal(tmp_path / "journal").append(b"1")
        finally:
            logger.removeFilter(refuse)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"segment_bytes": 10}, "segment_bytes=10: expected 1024 to 1073741824"),
        ({"segment_bytes": 4096, "max_bytes": 5000}, "max_bytes=5000: expected two segments of 4096 or more"),
        ({"service": "shop"}, "service='shop': expected sixteen hexadecimal digits"),
    ],
)
def test_bounds_that_cannot_hold_are_refused(tmp_path: Path, bounds: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Journal(tmp_path, **bounds)


def test_nothing_is_said_at_the_interpreters_exit(tmp_path: Path) -> None:
    program = """
import atexit, sys, threading
from interlay.chain.journal import Journal
journal = Journal(sys.argv[1])
journal.append(b"1")
atexit.register(journal.append, b"at exit")
class Late:
    def __del__(self): journal.append(b"while modules go")
sys.late = Late()
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program, str(tmp_path / "j")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert payloads(tmp_path / "j")[:2] == [b"1", b"at exit"]
