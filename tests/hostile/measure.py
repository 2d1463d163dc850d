"""What a hostile input of full size costs with interlay, less what it costs the bare SDK.

``python -m tests.hostile.measure [words]`` prints a line for each input (whose name holds the words): milliseconds of
CPU and mebibytes of peak memory, bare and on top. Each pair is measured in processes of its own, forked from one that
has everything imported and has made a few calls.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.hostile import codings, frames, letters, nesting, numbers, shapes, twins, width
from tests.hostile.inputs import BOTH, DialectName, Ordinary
from tests.hostile.seam import EVENTS, JSON, Exchange, Seam, keeping
from tests.hostile.test_bodies import PLACES, exchange

from interlay.testing import Turn, every

MIB = 1 << 20
ROUNDS = 3
NETWORK = 64 * 1024
"""Bytes that arrive at once."""


class Cost(NamedTuple):
    """Of one input: seconds of CPU, and bytes of memory at the peak."""

    name: str
    bare_cpu: float
    more_cpu: float
    bare_memory: float
    more_memory: float


def exchanges() -> Iterator[tuple[str, Exchange]]:
    """Every input of full size, in every place; of families with many small ones only some."""
    for ordinary in BOTH:
        for family in (nesting, width):
            for hostile in family.inputs(ordinary, "full"):
                for place in PLACES:
                    met = exchange(place, hostile, ordinary)
                    if met is not None:
                        yield f"{ordinary.dialect}, {place}, {hostile.name}", _in_chunks(met)
        for small in (twins, numbers, letters, shapes):
            for number, hostile in enumerate(small.inputs(ordinary, "full")):
                met = exchange(PLACES[number % len(PLACES)], hostile, ordinary)
                if met is not None and number % 9 == 0:
                    yield f"{ordinary.dialect}, {PLACES[number % len(PLACES)]}, {hostile.name}", _in_chunks(met)
        for stream in frames.inputs(ordinary, "full"):
            if len(stream.wire) > MIB:
                turn = Turn(body=stream.wire, headers=EVENTS)
                for host in ("https://llm.test", "https://api.openai.com"):
                    met = Exchange(ordinary, turn, stream=True, split=every(NETWORK), host=host)
                    yield f"{ordinary.dialect}, {host}, {stream.name}", met
        yield from _coded(ordinary)


def _in_chunks(met: Exchange) -> Exchange:
    return Exchange(met.ordinary, met.turn, stream=met.stream, request=met.request, split=every(NETWORK))


def _coded(ordinary: Ordinary) -> Iterator[tuple[str, Exchange]]:
    stream, comment = ordinary.stream(ordinary.data()), b":" + b" " * 4_094 + b"\n"
    for place, plain, blank in (
        ("answer", ordinary.answer(), b" "),
        ("error", ordinary.error(), b" "),
        ("stream", stream, comment),
        ("stream of events", stream, b": \n\n" + b":" + b" " * 4_000 + b"\n\n"),
    ):
        for coded in codings.inputs(plain, "full", blank):
            if not coded.name.startswith("17"):
                continue
            headers = {**(EVENTS if place.startswith("stream") else JSON), "content-encoding": coded.coding}
            turn = Turn(status=400 if place == "error" else None, body=coded.body, headers=headers)
            # As bytes, so that what is measured is neither the SDK's JSON nor its lines.
            yield (
                f"{ordinary.dialect}, {place}, {coded.name}",
                Exchange(ordinary, turn, stream=place.startswith("stream"), raw=True, split=every(NETWORK)),
            )


def _cpu(seam: Seam, index: int, met: Exchange) -> float:
    started = time.process_time()
    (seam.wrapped if index else seam.bare)(met)
    return time.process_time() - started


def _work(seams: dict[DialectName, Seam], met: Exchange, index: int | None, sent: Any) -> None:
    """In a process of its own: the CPU of both, or the memory of one."""
    seam = seams[met.ordinary.dialect]
    if index is None:
        rounds = [(_cpu(seam, 0, met), _cpu(seam, 1, met)) for _ in range(ROUNDS)]
        sent.send([min(each[0] for each in rounds), min(each[1] for each in rounds)])
        return
    # Not the process's size: what the parent has freed would hide what is taken anew.
    tracemalloc.start()
    (seam.wrapped if index else seam.bare)(met)
    sent.send(tracemalloc.get_traced_memory()[1])


def _forked(seams: dict[DialectName, Seam], met: Exchange, index: int | None) -> Any:
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe()
    worker = context.Process(target=_work, args=(seams, met, index, theirs))
    worker.start()
    theirs.close()
    try:
        return mine.recv()
    finally:
        worker.join()


def measured(words: str = "", *, contents: bool = False) -> Iterator[Cost]:
    """The cost of each input whose name holds ``words``."""
    seams: dict[DialectName, Seam] = {ordinary.dialect: Seam(ordinary.dialect, "sync") for ordinary in BOTH}
    with keeping(contents):
        for ordinary in BOTH:
            warm = Exchange(ordinary, Turn(body=ordinary.answer(), headers=JSON))
            for _ in range(5):
                seams[ordinary.dialect].compare(warm, "warm")
        for name, met in exchanges():
            if words not in name:
                continue
            bare_cpu, wrapped_cpu = _forked(seams, met, None)
            bare, wrapped = _forked(seams, met, 0), _forked(seams, met, 1)
            yield Cost(name, bare_cpu, wrapped_cpu - bare_cpu, bare / MIB, (wrapped - bare) / MIB)


def main() -> None:
    """Print each input's cost, and as JSON with ``--json``."""
    arguments = sys.argv[1:]
    flags = {argument for argument in arguments if argument.startswith("--")}
    words = " ".join(argument for argument in arguments if argument not in flags)
    print("CPU ms: bare   more | MiB: bare   more")  # noqa: T201
    for cost in measured(words, contents="--contents" in flags):
        cpu = f"{cost.bare_cpu * 1000:12.1f} {cost.more_cpu * 1000:6.1f}"
        line = f"{cpu} | {cost.bare_memory:9.1f} {cost.more_memory:6.1f}  {cost.name}"
        print(json.dumps(cost._asdict()) if "--json" in flags else line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
