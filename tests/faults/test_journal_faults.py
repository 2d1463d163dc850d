"""The journal under what machines do to it: kill -9, a full disk, limits, several processes at once."""

import logging
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlay.chain.journal import Journal
from interlay.chain.segments import list_segments, read_tally
from interlay.telemetry.journal import JournalReader

KILLS = 25

# Says on stdout, unbuffered, which append has returned. Everything said must be read back.
APPENDER = """
import os, sys
from interlay.chain.journal import Journal
journal = Journal(sys.argv[1], segment_bytes=int(sys.argv[2]), max_bytes=1 << 30)
who, n = os.getpid(), 0
while True:
    payload = b'{"who":%d,"n":%d,"text":"%s"}' % (who, n, b"x" * (n * 37 % 3000))
    assert journal.append(payload)
    os.write(1, b"%d\\n" % n)
    n += 1
"""


def start(script: str, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def kill_after(child: subprocess.Popen[bytes], seconds: float) -> int:
    """Kill once it has begun and some time has passed; return how many appends had returned."""
    assert child.stdout is not None
    said = child.stdout.readline()
    # The pipe is emptied all the while: a child blocked in its write would always die at the same place.
    os.set_blocking(child.stdout.fileno(), False)
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        said += child.stdout.read() or b""
    child.send_signal(signal.SIGKILL)
    child.wait()
    os.set_blocking(child.stdout.fileno(), True)
    said += child.stdout.read()
    child.stdout.close()
    return said.count(b"\n")


def test_every_append_that_returned_survives_kill_9(tmp_path: Path, rng: random.Random) -> None:
    """Each child takes over from the one killed before, so that its torn end is dealt with too."""
    folder, returned = tmp_path / "j", {}
    for _ in range(KILLS):
        child = start(APPENDER, folder, 100_000)
        returned[child.pid] = kill_after(child, rng.uniform(0, 0.03))
    found: dict[int, list[int]] = {pid: [] for pid in returned}
    reader = JournalReader(folder)
    for entry in reader.entries():
        who, n = entry.raw.split(b",")[:2]
        found[int(who.split(b":")[1])].append(int(n.split(b":")[1]))
    for pid, count in returned.items():
        assert count > 0
        # Appended, and killed before it could say so: at most the one.
        assert found[pid] in (list(range(count)), list(range(count + 1)))
    assert reader.counts.damaged == 0
    # A kill falls inside a write only rarely; then half a frame may stand there, and has been cut off.
    assert reader.counts.skipped_bytes == 0


PROCESSES = """
import sys
from interlay.chain.journal import Journal
journal = Journal(sys.argv[1], segment_bytes=20_000, max_bytes=int(sys.argv[3]))
sys.stdin.read()
for n in range(1000):
    assert journal.append(b"%s.%d " % (sys.argv[2].encode(), n) + b"." * (n % 200))
"""


@pytest.mark.parametrize("max_bytes", [10_000_000, 150_000])
def test_four_processes_at_once(tmp_path: Path, max_bytes: int) -> None:
    folder = tmp_path / "j"
    children = [
        subprocess.Popen([sys.executable, "-c", PROCESSES, str(folder), str(n), str(max_bytes)], stdin=subprocess.PIPE)
        for n in range(4)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.close()
    assert [child.wait(30) for child in children] == [0] * 4
    # One at a time makes room, and may be slow about it while the others go on: the next one to come makes good.
    assert Journal(folder, segment_bytes=20_000, max_bytes=max_bytes).append(b"4.0 ")
    reader = JournalReader(folder)
    found = [entry.raw.split()[0].decode() for entry in reader.entries()]
    for who in "01234":
        mine = [int(text.split(".")[1]) for text in found if text.startswith(f"{who}.")]
        assert mine == sorted(set(mine))
    if max_bytes > 1_000_000:
        assert len(found) == 4001
    assert len(found) + read_tally(folder).records == 4001
    sizes = [segment.size for segment in list_segments(folder)]
    assert sum(sizes) <= max_bytes + 4 * 20_000
    assert max(sizes) <= 20_000  # a larger one had two writers
    assert (reader.counts.damaged, reader.counts.skipped_bytes) == (0, 0)


def test_a_limit_on_file_sizes_is_met_once(tmp_path: Path) -> None:
    """Writes come up short, then fail: the half frame is taken back and a new segment is begun."""
    child = """
import logging, resource, sys, time
from interlay.chain import journal as module
clock = [0.0]
module.monotonic = lambda: clock[0]
logging.basicConfig(format="%(message)s", level=logging.INFO)
journal = module.Journal(sys.argv[1])
assert journal.append(b"first")
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
for n in range(300):
    written = journal.append(b"%d " % n + b"." * 300)
    if written: print(n)
    clock[0] += 0.25
"""
    done = subprocess.run(
        [sys.executable, "-c", child, str(tmp_path / "j")], capture_output=True, text=True, check=True
    )
    reader = JournalReader(tmp_path / "j")
    found = [entry.raw.split()[0] for entry in reader.entries()]
    assert found[0] == b"first"
    assert [int(n) for n in found[1:]] == [int(n) for n in done.stdout.split()]
    assert len(found) == 301 - reader.counts.missed > 290
    assert reader.counts.skipped_bytes == reader.counts.damaged == 0
    assert all(s.size <= 10_000 for s in list_segments(tmp_path / "j"))
    lines = done.stderr.splitlines()
    assert len(lines) == 2  # the limit is met once, and known from then on
    assert "cannot be written: File too large" in lines[0]
    assert "is written again" in lines[1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KB, where the tests may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting takes rights that this user has not")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_drops_records_and_comes_back_by_itself(
    small_disk: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "interlay.journal")
    clock = [100.0]
    monkeypatch.setattr("interlay.chain.journal.monotonic", lambda: clock[0])
    journal = Journal(small_disk / "j", segment_bytes=64 * 1024)
    (small_disk / "ballast").write_bytes(b"x" * 100_000)
    written = 0
    while journal.append(b"%d " % written + b"." * 500):
        written += 1
    for _ in range(50):
        assert not journal.append(b"lost" * 500)
        clock[0] += 0.1
    assert journal.trouble == "No space left on device"
    (small_disk / "ballast").unlink()
    clock[0] += 1.1
    assert journal.append(b"%d and back" % written)
    reader = JournalReader(small_disk / "j")
    assert [int(entry.raw.split()[0]) for entry in reader.entries()] == list(range(written + 1))
    assert reader.counts.skipped_bytes == reader.counts.damaged == 0
    assert reader.counts.missed == journal.dropped == 51
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    journal.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors by /proc")
def test_no_descriptor_is_left_behind(tmp_path: Path) -> None:
    def open_now() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_now()
    journal = Journal(tmp_path / "j", segment_bytes=2000, max_bytes=8000)
    for n in range(300):
        journal.append(b"%d" % n + b"." * 300)
        if n % 50 == 0:
            assert len(list(JournalReader(tmp_path / "j").entries(newest_first=True))) > 0
    assert open_now() == before + 1
    journal.close()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 1, limit[1]))
    try:
        held = [os.open(os.devnull, os.O_RDONLY)]
        other = Journal(tmp_path / "j")
        assert not other.append(b"no descriptor to be had")
        assert other.trouble == "Too many open files"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        for fd in held:
            os.close(fd)
    assert open_now() == before
