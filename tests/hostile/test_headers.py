"""24: CR, LF and NUL in headers. Nothing that interlay is told becomes a header, and nothing it reads is believed."""

from __future__ import annotations

import json

import pytest
from tests.hostile import headers
from tests.hostile.inputs import BOTH, Ordinary
from tests.hostile.seam import EVENTS, JSON, SETTINGS, Colour, Exchange, Seam, decent, keeping

import interlay
from interlay.testing import Turn

EVERY = pytest.mark.parametrize(("colour", "contents"), SETTINGS, ids=["sync", "async", "contents"])
BY_DIALECT = pytest.mark.parametrize("ordinary", BOTH, ids=lambda ordinary: ordinary.dialect)
LAYERS = (interlay.Retry(attempts=1), interlay.Timeout(total=60))
PARTS = pytest.mark.parametrize("parts", [(), LAYERS], ids=["", "layers"])
REQUEST = ("x-note", "authorization", "x-api-key", "x-stainless-retry-count", "content-type")


@BY_DIALECT
@EVERY
@PARTS
@pytest.mark.parametrize("status", [200, 429])
@pytest.mark.parametrize("stream", [False, True], ids=["", "stream"])
def test_of_a_response(
    ordinary: Ordinary,
    colour: Colour,
    contents: bool,  # noqa: FBT001
    parts: tuple[object, ...],
    status: int,
    stream: bool,  # noqa: FBT001
) -> None:
    seam = Seam(ordinary.dialect, colour, *parts)
    body = ordinary.error() if status == 429 else ordinary.stream(ordinary.data()) if stream else ordinary.answer()
    ordinarily = JSON if status == 429 or not stream else EVENTS
    if parts and status == 429:
        ordinarily = {**ordinarily, "x-should-retry": "false"}  # what a chain that retries says of its last answer
    with keeping(contents):
        for name, value in headers.inputs():
            if parts and name == "x-should-retry":
                continue
            said = f"{name}: {value[:40]!r}"
            turn = Turn(status=status, body=body, headers={**ordinarily, name: value})
            with decent(said):
                seen = seam.compare(Exchange(ordinary, turn, stream=stream), said)
            assert seen.record is not None
            if seen.record.response is None:  # the HTTP library refused the header
                assert seen.record.end == "error", said
                continue
            # Who prints a record's words prints no line ends, and no letters that move the cursor.
            words = json.dumps([seen.record.response.request_id, seen.record.response.id])
            assert not any(mark in words for mark in ("\\r", "\\n", "\\u00", "\\u1b")), said
    seam.close()


@BY_DIALECT
@EVERY
def test_of_a_request(ordinary: Ordinary, colour: Colour, contents: bool) -> None:  # noqa: FBT001
    seam = Seam(ordinary.dialect, colour)
    turn = Turn(body=ordinary.answer(), headers=JSON)
    with keeping(contents):
        for value in headers.VALUES:
            for name in REQUEST:
                said = f"{name}: {value[:40]!r}"
                with decent(said):
                    seen = seam.compare(Exchange(ordinary, turn, headers={name: value}), said)
                if seen.record is not None and len(value) > 7:
                    assert value.encode() not in seen.record.to_json(), said
    seam.close()


@BY_DIALECT
@pytest.mark.parametrize("value", headers.VALUES, ids=lambda value: repr(value[:20]))
def test_what_interlay_is_told_becomes_no_header(ordinary: Ordinary, value: str) -> None:
    seam = Seam(ordinary.dialect, "sync")
    exchange = Exchange(ordinary, Turn(body=ordinary.answer(), headers=JSON))
    with interlay.using(user=value, session=value, tenant=value, tags=[value]):
        seen = seam.compare(exchange, value)
    assert seen.record is not None
    assert seen.record.identity.user == (value or None)
    assert interlay.Record.from_json(seen.record.to_json()).identity == seen.record.identity
    seam.close()
