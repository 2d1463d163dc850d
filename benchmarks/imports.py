"""What importing costs: ``import interlay``, the parts that a first ``wrap()`` needs, and ``import litellm``.

Run with ``python -m benchmarks.imports``. LiteLLM gets a virtual environment of its own, beside those of the interop
tests, and everything is measured with that environment's interpreter, each import in a fresh process, in turns. Prints
one JSON object: medians of milliseconds (by the clock, and of the processor, which other work on the machine does not
stretch) and of resident megabytes, an empty interpreter's beside them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.interop.environments import Environment

STATEMENTS = {
    "nothing": "pass",
    "interlay": "import interlay",
    "interlay.wrap": "from interlay import wrap",
    "litellm": "import litellm",
}

PROBE = """
import sys, time
began, spent = time.perf_counter(), time.process_time()
exec(sys.argv[1])
took, spent = time.perf_counter() - began, time.process_time() - spent
with open("/proc/self/statm") as file:
    import os
    pages = int(file.read().split()[1])
print(1e3 * took, 1e3 * spent, pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
"""


FIGURES = ("ms", "cpu_ms", "resident_mb")


def once(python: Path, statement: str) -> tuple[float, ...]:
    """Milliseconds by the clock and of the processor, and megabytes."""
    command = [python, "-I", "-c", PROBE, statement]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return tuple(map(float, done.stdout.splitlines()[-1].split()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--without-litellm", action="store_true", help="make no environment, measure the rest here")
    options = parser.parse_args()
    statements = dict(STATEMENTS)
    python = Path(sys.executable)
    if options.without_litellm:
        del statements["litellm"]
    else:
        python = Environment("litellm", ("litellm", "openai>=3", "anthropic>=2.12")).path()
    for statement in statements.values():
        once(python, statement)  # compiles what was not yet
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in statements}
    for _ in range(options.rounds):
        for name, statement in statements.items():
            rows[name].append(once(python, statement))
    result: dict[str, Any] = {
        name: dict(
            zip(FIGURES, (round(statistics.median(column), 1) for column in zip(*taken, strict=True)), strict=True)
        )
        for name, taken in rows.items()
    }
    if "litellm" in result:
        for name in ("interlay", "interlay.wrap"):
            result[f"litellm / {name}"] = round(result["litellm"]["cpu_ms"] / result[name]["cpu_ms"], 1)
        code = "import importlib.metadata as m; print(m.version('litellm'))"
        told = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
        result["litellm_version"] = told.stdout.strip()
    print(json.dumps({"python": sys.version.split()[0], **result}, indent=2))


if __name__ == "__main__":
    main()
