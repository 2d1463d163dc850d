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
import tempfile
from pathlib import Path

from tests.fuzz.doors import DOORS
from tests.fuzz.seeds import CORPUS, LARGEST

WORK = Path(".fuzz")
ROOM = 100 * 1024
"""Bytes of corpus for a door."""


def main() -> int:
    """Fuzz, say how it went, and keep what is worth it."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description="Fuzz the codecs, door by door.")
    parser.add_argument("seconds", type=int, help="for each door")
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
    found, crashes = WORK / door, WORK / "crashes"
    for folder in (found, crashes, CORPUS / door):
        folder.mkdir(parents=True, exist_ok=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = _run(
        door, f"-max_total_time={seconds}", f"-max_len={2 * LARGEST}", "-timeout=10", "-rss_limit_mb=1024",
        f"-artifact_prefix={crashes}/{door}-", "-print_final_stats=1", str(found), str(CORPUS / door),
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    executions = re.search(r"number_of_executed_units: (\d+)", run.stderr)
    covered = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", run.stderr)
    edges, features, inputs = covered[-1] if covered else ("?", "?", "?")
    sys.stdout.write(
        f"{door:28} {executions[1] if executions else '?':>9} executions  {cpu:6.0f} s of CPU  "
        f"{edges:>5} edges  {features:>6} features  {inputs:>5} inputs  {'BROKEN' if run.returncode else 'sound'}\n"
    )
    sys.stdout.flush()
    if run.returncode:
        sys.stderr.write(run.stdout + run.stderr)
    return run.returncode


def _keep(door: str) -> None:
    """The fewest inputs that cover all, of which those go into the corpus that there is room for."""
    corpus = CORPUS / door
    room = ROOM - sum(path.stat().st_size for path in corpus.iterdir())
    with tempfile.TemporaryDirectory() as merged:
        for path in corpus.iterdir():
            (Path(merged) / path.name).write_bytes(path.read_bytes())
        _run(door, "-merge=1", f"-max_len={LARGEST}", merged, str(WORK / door))
        fresh = [path for path in Path(merged).iterdir() if not (corpus / path.name).exists()]
        for path in sorted(fresh, key=lambda path: (path.stat().st_size, path.name)):
            room -= path.stat().st_size
            if room < 0:
                break
            (corpus / path.name[:16]).write_bytes(path.read_bytes())


def _run(door: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fuzz.fuzz", door, *options]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)


if __name__ == "__main__":
    sys.exit(main())
