"""Compressed bodies that are bombs, nested or damaged: the SDK reads them as ever, and our look at them is bounded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.hostile import codings
from tests.hostile.codings import Coded
from tests.hostile.inputs import BOTH, MARK, Ordinary, openai_data
from tests.hostile.seam import EVENTS, JSON, SETTINGS, Colour, Exchange, Seam, decent, keeping

from interlay.testing import Turn, every

PLACES = ("answer", "stream", "asked stream", "error", "raw answer", "raw stream")


def exchanges(place: str, ordinary: Ordinary) -> Iterator[tuple[Coded, Exchange]]:
    kind, _, _ = place.rpartition(" ")
    if place.endswith("stream"):
        # Who asks for usage hides it again: here none comes, so nothing may change.
        data = openai_data(usage=None) if place == "asked stream" and ordinary.dialect == "openai" else ordinary.data()
        plain, blank, headers = ordinary.stream(data), b":" + b" " * 4_094 + b"\n", EVENTS
    else:
        plain, blank, headers = ordinary.answer() if "answer" in place else ordinary.error(), b" ", JSON
    for coded in codings.inputs(plain, "modest", blank):
        if kind == "asked" and not coded.accepted:
            continue  # we undo what the SDK said that it cannot
        turn = Turn(
            status=400 if place == "error" else None,
            body=coded.body,
            headers={**headers, "content-encoding": coded.coding},
        )
        yield (
            coded,
            Exchange(
                ordinary,
                turn,
                stream=place.endswith("stream"),
                raw=kind == "raw",
                host="https://api.openai.com" if kind == "asked" else "https://llm.test",
                split=every(max(1000, len(coded.body) // 50)),
            ),
        )


@pytest.mark.parametrize(("colour", "contents"), SETTINGS, ids=["sync", "async", "contents"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("ordinary", BOTH, ids=lambda ordinary: ordinary.dialect)
def test_comes_through_as_it_was(ordinary: Ordinary, place: str, colour: Colour, contents: bool) -> None:  # noqa: FBT001
    seam = Seam(ordinary.dialect, colour)
    with keeping(contents):
        for coded, exchange in exchanges(place, ordinary):
            with decent(coded.name):
                seen = seam.compare(exchange, coded.name)
            record = seen.record
            assert record is not None
            assert contents or MARK.encode() not in record.to_json(), coded.name
            if place == "error":
                assert record.end == "error", coded.name
            elif coded.readable and "error" not in dict(seen.outcome):
                assert record.end == "complete", coded.name
                if place == "asked stream" and ordinary.dialect == "openai":
                    continue
                assert record.usage is not None, coded.name
                assert (record.usage.input_tokens, record.usage.output_tokens) == (9, 2), coded.name
    seam.close()
