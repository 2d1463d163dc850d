"""Coverage-guided fuzzing of one door: ``python -m tests.fuzz.fuzz DOOR [libFuzzer's options and folders]``.

Needs atheris, which is in the extra ``fuzz``. `make fuzz SECONDS=60` runs every door for so long, starting from its
folder in tests/fuzz/corpus/; what is new goes to .fuzz/, and what crashed a door to .fuzz/crashes/.
"""

from __future__ import annotations

import random
import sys

import atheris

with atheris.instrument_imports(include=["interlay"]):
    from tests.fuzz.doors import DOORS
from tests.fuzz.mutate import mutated


def mutate(data: bytes, size: int, seed: int) -> bytes:
    """Change JSON as JSON in three of four cases, and as mere bytes in the fourth."""
    rng = random.Random(seed)
    changed = mutated(data, rng) if rng.random() < 0.75 else None
    found: bytes = atheris.Mutate(data, size) if changed is None else changed
    return found[:size]


def main() -> None:
    name, *options = sys.argv[1:]
    atheris.Setup([sys.argv[0], *options], DOORS[name], custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
