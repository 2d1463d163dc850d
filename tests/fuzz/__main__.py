"""Fuzzes every door in turn: ``python -m tests.fuzz SECONDS [DOOR …]``, or ``make fuzz SECONDS=60``.

What is found goes to .fuzz/; with ``--keep`` what covers more than the corpus does is added to it, smallest first, as
long as there is room. Exits with 1 when a door broke: its input is then in .fuzz/crashes/.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.doors import DOORS
from tests.fuzz.seeds import CORPUS, LARGEST

Way = tuple[str, int, int]
Trace = Callable[[FrameType, str, Any], Any]
WORK = Path(".fuzz")
ROOM = 48 * 1024
"""Bytes of corpus for a door."""


def main() -> int:
    """Fuzz, say how it went, and keep what is worth it."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description="Fuzz the codecs, door by door.")
    parser.add_argument("seconds", type=int, help="of CPU, for each door")
    parser.add_argument("doors", nargs="*", choices=[*DOORS, []], help="all, if none is named")
    parser.add_argument("--keep", action="store_true", help="add what covers more to the corpus")
    options = parser.parse_args()
    broken = False
    for door in options.doors or DOORS:
        broken |= _fuzz(door, options.seconds) != 0
        if options.keep:
            _keep(door)
    return int(broken)


def _fuzz(door: str, seconds: int) -> int:
    """Runs until so much CPU is spent, in slices: what the fuzzer itself can be told is how long to go on."""
    found, crashes = WORK / door, WORK / "crashes"
    for folder in (found, crashes, CORPUS / door):
        folder.mkdir(parents=True, exist_ok=True)
    spent, executions, covered, code = 0.0, 0, ("?", "?", "?"), 0
    while spent < seconds and not code:
        before = _cpu()
        run = _run(
            door, f"-max_total_time={max(5, round(seconds - spent))}", f"-max_len={2 * LARGEST}", "-timeout=20",
            "-rss_limit_mb=1024", f"-artifact_prefix={crashes}/{door}-", "-print_final_stats=1", str(found),
            str(CORPUS / door),
        )  # fmt: skip
        spent += _cpu() - before
        counted = re.search(r"number_of_executed_units: (\d+)", run.stderr)
        executions += int(counted[1]) if counted else 0
        covered = (re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", run.stderr) or [covered])[-1]
        code = run.returncode
        if code:
            sys.stderr.write(run.stdout + run.stderr)
    edges, features, inputs = covered
    sys.stdout.write(
        f"{door:28} {executions:9} executions  {spent:6.0f} s of CPU  {edges:>5} edges  {features:>6} features  "
        f"{inputs:>5} inputs  {'BROKEN' if code else 'sound'}\n"
    )
    sys.stdout.flush()
    return code


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _keep(door: str) -> None:
    """Add to the corpus what goes new ways through the code, smallest first, while there is room."""
    corpus = CORPUS / door
    known: set[Way] = set()
    for path in corpus.iterdir():
        known |= _ways(door, path.read_bytes())
    room = ROOM - sum(path.stat().st_size for path in corpus.iterdir())
    for path in sorted((WORK / door).iterdir(), key=lambda path: (path.stat().st_size, path.name)):
        data = path.read_bytes()
        if len(data) > min(room, LARGEST):
            break
        ways = _ways(door, data)
        if not ways <= known:
            known |= ways
            room -= len(data)
            (corpus / path.name[:16]).write_bytes(data)


def _ways(door: str, data: bytes) -> set[Way]:
    """The pairs of lines that follow each other when an input goes through a door. Measured without the fuzzer, whose
    own merging starts itself anew and cannot find its door."""
    found: set[Way] = set()

    def call(frame: FrameType, event: str, argument: object) -> Trace | None:
        if "interlay" not in frame.f_code.co_filename:
            return None
        code, last = frame.f_code, 0

        def line(frame: FrameType, event: str, argument: object) -> Trace:
            nonlocal last
            found.add((code.co_filename, last, frame.f_lineno))
            last = frame.f_lineno
            return line

        return line

    sys.settrace(call)
    try:
        DOORS[door](data)
    finally:
        sys.settrace(None)
    return found


def _run(door: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz.fuzz", door, *options]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


if __name__ == "__main__":
    sys.exit(main())
