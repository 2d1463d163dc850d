"""What tracing adds to a call of the openai SDK: ours and the instrumentation packages', side by side in one run.

    python -m benchmarks.telemetry --environments FOLDER [--calls 200 --rounds 10 --turns 3] [--only ours,openlit]

Each peer lives in a virtual environment of its own in FOLDER, made on first use (some want versions of the SDK, of
wrapt or of httpx that others refuse). Every exporter drops what it is given. Sides take turns, so that a drift of the
machine's speed falls on all of them; each figure is the least over all rounds and turns, of a round's median or of its
process CPU with everything drained. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SDK = ("openai==3.54.0", "opentelemetry-sdk==1.45.2")
PEERS = {
    "otel-v2": (
        *SDK,
        "opentelemetry-instrumentation-openai-v2==2.3b0",
        "opentelemetry-util-genai==1.3b0",
        "wrapt<2",
        "httpx==0.28.1",
    ),
    "openinference": (*SDK, "openinference-instrumentation-openai==0.1.66"),
    "traceloop": (*SDK, "opentelemetry-instrumentation-openai==0.62.4"),
    "openlit": ("openai==2.54.0", "openlit==1.45.0"),
    "langfuse": ("openai==3.54.0", "langfuse==5.0.4"),
}


def environment(folder: Path, name: str) -> str:
    """The interpreter of a peer's environment, made if it is not there."""
    python = folder / name / "bin" / "python"
    if not python.exists():
        venv.create(folder / name)
        # uv, and not pip, finds versions that go together for all of these.
        subprocess.run([sys.executable, "-m", "uv", "pip", "install", "--python", python, *PEERS[name]], check=True)
        subprocess.run([python, "-m", "compileall", "-q", folder / name / "lib"], check=False)
    return str(python)


def run(folder: Path, side: str, options: argparse.Namespace) -> dict[str, Any]:
    size = ["--calls", str(options.calls), "--rounds", str(options.rounds)]
    if side == "ours":
        command = [sys.executable, str(HERE / "telemetry_ours.py"), *size]
    else:
        command = [environment(folder, side), str(HERE / "telemetry_peer.py"), side, *size]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def least(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each figure the least."""
    found: dict[str, Any] = {}
    for key, value in turns[0].items():
        values = [turn[key] for turn in turns]
        found[key] = least(values) if isinstance(value, dict) else min(values)
    return found


def added(side: dict[str, Any], name: str, to: str = "bare") -> dict[str, float]:
    return {figure: round(side[name][figure] - side[to][figure], 1) for figure in ("p50_us", "cpu_us")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", type=Path, required=True)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--only", default=",".join(("ours", *PEERS)))
    options = parser.parse_args()
    sides = options.only.split(",")
    turns: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for _ in range(options.turns):
        for side in sides:
            turns[side].append(run(options.environments, side, options))
    result: dict[str, Any] = {"python": sys.version.split()[0]}
    for side in sides:
        found = least(turns[side])
        if side == "ours":
            names = [name for name in found if isinstance(found[name], dict) and name not in ("bare", "parts")]
            found["added"] = {name: added(found, name) for name in names}
        else:
            found["added"] = added(found, "traced")
        result[side] = found
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
