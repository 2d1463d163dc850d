"""Makes the seeds in tests/fuzz/corpus/ from the recordings: ``python -m tests.fuzz.seeds``.

A recording becomes a seed when it has a member that no seed has had so far; of a stream only the events are taken that
have one. So the corpus stays small, and a fuzzer quick.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from interlay.dialects import find
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.protocols import Codec, Dialect
from interlay.testing import Recording

CORPUS = Path(__file__).parent / "corpus"
CASSETTES = Path(__file__).parents[1] / "recorded" / "cassettes"
LARGEST = 8 * 1024
Seen = set[tuple[object, ...]]


def main() -> None:
    """Write the seeds, in the folder of their door."""
    seen: dict[str, Seen] = {}
    exchanges = [
        (exchange.request, exchange.response)
        for folder in sorted(CASSETTES.iterdir()) if folder.is_dir()
        for recording in Recording.load_all(folder) for exchange in recording.exchanges
    ]  # fmt: skip
    for asked, answered in sorted(exchanges, key=lambda exchange: len(exchange[1].content)):
        dialect = find(asked.method, asked.path)
        if not isinstance(dialect, Codec):
            continue
        body = answered.content
        _keep(f"{dialect.name}-request", json.encode(asked.body), seen)
        if len(body) < LARGEST // 8:
            _keep("json", body, seen)
        if answered.status >= 400:
            _keep(f"{dialect.name}-error", body, seen)
        elif body.startswith(b"{") and not dialect.outline(json.encode(asked.body)).streamed:
            _keep(f"{dialect.name}-response", body, seen)
        else:
            door = f"{dialect.name}-stream"
            _write(door, _thinned(dialect, body, seen.setdefault(door, set())))


def _keep(door: str, data: bytes, seen: dict[str, Seen]) -> None:
    if len(data) <= LARGEST and _is_new(data, seen.setdefault(door, set())):
        _write(door, data)


def _thinned(dialect: Dialect, body: bytes, seen: Seen) -> bytes:
    """The events of a stream that have something new, behind the byte that says how they are cut."""
    framer = dialect.framer()
    events = [*framer.feed(body), *framer.finish()]
    return b"".join(event.raw for event in events if len(event.raw) <= LARGEST and _is_new(event.data or b"", seen))


def _is_new(data: bytes, seen: Seen) -> bool:
    try:
        found = set(_shapes(json.decode(data)))
    except DecodeError:
        found = {(data[:16],)}
    fresh = not found <= seen
    seen |= found
    return fresh


def _shapes(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    yield (*path, type(value).__name__)
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _shapes(item, (*path, key))
            if key == "type":
                yield (*path, "type", str(item))
    elif isinstance(value, list):
        for item in value:
            yield from _shapes(item, (*path, 0))


def _write(door: str, data: bytes) -> None:
    if not data:
        return
    if door.endswith("-stream"):
        data = b"\x40" + data
    folder = CORPUS / door
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data, usedforsecurity=False).hexdigest()[:16]).write_bytes(data)


if __name__ == "__main__":
    main()
