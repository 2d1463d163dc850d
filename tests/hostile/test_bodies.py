"""Hostile JSON in every place it can stand: what the bare SDK makes of it, the wrapped one makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from tests.hostile import letters, nesting, numbers, shapes, twins, width
from tests.hostile.inputs import MARK, DialectName, Hostile, Ordinary, Size
from tests.hostile.seam import EVENTS, JSON, SETTINGS, Colour, Exchange, Seam, Seen, decent, keeping

from interlay.testing import Turn

Family = Callable[[Ordinary, Size], Iterator[Hostile]]
FAMILIES: dict[str, Family] = {
    module.__name__.rpartition(".")[2]: module.inputs for module in (twins, nesting, width, numbers, letters, shapes)
}
PLACES = ("request", "streamed request", "answer", "event", "error", "error event")


def exchange(place: str, hostile: Hostile, ordinary: Ordinary) -> Exchange | None:
    """The ordinary exchange with ``hostile`` in one place; None where it makes no sense there."""
    where = {"streamed request": "request", "error event": "error"}.get(place, place)
    if where not in hostile.places:
        return None
    well = Turn(body=ordinary.answer(), headers=JSON)
    flowing = Turn(body=ordinary.stream(ordinary.data()), headers=EVENTS)
    if place == "request":
        return Exchange(ordinary, well, request=hostile.make(ordinary.request()))
    if place == "streamed request":
        return Exchange(ordinary, flowing, stream=True, request=hostile.make(ordinary.request(stream=True)))
    if place == "answer":
        return Exchange(ordinary, Turn(body=hostile.make(ordinary.answer()), headers=JSON))
    if place == "error":
        return Exchange(ordinary, Turn(status=400, body=hostile.make(ordinary.error()), headers=JSON))
    if place == "error event":
        return Exchange(
            ordinary,
            Turn(body=ordinary.stream_around(hostile.make(ordinary.error())), headers=EVENTS),
            stream=True,
        )
    if place == "event":
        turn = Turn(body=ordinary.stream_around(hostile.make(ordinary.event())), headers=EVENTS)
        return Exchange(ordinary, turn, stream=True)
    return None


def ends(place: str, met: Exchange, seen: Seen) -> set[str]:
    """How the record may end, said by a reader that has no limits and takes what Python's ``json`` takes."""
    failed = any(what == "error" for what, _ in seen.outcome)
    if not seen.sent:
        return set()
    if place.endswith("request"):
        return {"complete"}
    if place == "error":
        return {"error"}
    body = met.turn.body or b""
    reported = b'"error"' in body or rb'"\u0065rror"' in body
    if place == "answer":
        # What is no object, or never ends, may be called whole or not.
        return {"complete"} if is_object(body) and not reported else {"complete", "error"}
    # The SDK reads the stream to its end, or stops at what it cannot read.
    return {*(("closed",) if failed else ("complete",)), *(("error",) if reported else ())}


def is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except RecursionError:
        return body.endswith(b"}")
    except ValueError:
        return False


@pytest.fixture(params=["openai", "anthropic"])
def dialect(request: pytest.FixtureRequest) -> DialectName:
    name: DialectName = request.param
    return name


@pytest.mark.parametrize(("colour", "contents"), SETTINGS, ids=["sync", "async", "contents"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("family", FAMILIES)
def test_comes_through_as_it_was(family: str, place: str, colour: Colour, dialect: DialectName, contents: bool) -> None:  # noqa: FBT001
    ordinary = Ordinary(dialect)
    seam = Seam(dialect, colour)
    with keeping(contents):
        for hostile in FAMILIES[family](ordinary, "modest"):
            met = exchange(place, hostile, ordinary)
            if met is None:
                continue
            with decent(hostile.name):
                seen = seam.compare(met, hostile.name)
            if seen.record is not None:
                assert seen.record.end in ends(place, met, seen), hostile.name
                assert contents or MARK.encode() not in seen.record.to_json(), hostile.name
    seam.close()
