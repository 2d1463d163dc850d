"""What fuzzing has found stays found: the corpus, and fresh mutations of it, without a fuzzer."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.fuzz.doors import DOORS
from tests.fuzz.mutate import mutated
from tests.fuzz.seeds import CORPUS

each_door = pytest.mark.parametrize("door", DOORS)


def inputs(door: str) -> list[Path]:
    return sorted((CORPUS / door).iterdir())


@each_door
def test_the_corpus_passes_every_door(door: str) -> None:
    assert inputs(door)
    for path in inputs(door):
        try:
            DOORS[door](path.read_bytes())
        except Exception as error:
            error.add_note(f"on {path}")
            raise


def mutate_and_pass(door: str, rng: random.Random, times: int) -> None:
    for _ in range(times):
        data = rng.choice(inputs(door)).read_bytes()
        for _ in range(rng.choice((1, 2, 4, 8))):
            data = mutated(data, rng) or data
        try:
            DOORS[door](data)
        except Exception as error:
            error.add_note(f"on {data!r}")
            raise


@each_door
def test_so_does_what_is_like_it(door: str) -> None:
    mutate_and_pass(door, random.Random(door), 300)  # the same every time: what is new is looked for elsewhere


@pytest.mark.long
@pytest.mark.timeout(600)
@each_door
def test_so_does_much_that_is_like_it(door: str, rng: random.Random) -> None:
    mutate_and_pass(door, rng, 20_000)


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 1024 * 1024


def test_every_seed_has_its_door() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} <= DOORS.keys()
