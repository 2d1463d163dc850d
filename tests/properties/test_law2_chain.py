"""Law 2 through the whole chain: what a record says of usage and cost is the same streamed and buffered, however the
stream was cut, compressed or asked for, in both colours."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.dialects.exchanges import CASSETTES, framed

import interlay
from interlay.dialects import find, named
from interlay.model.protocols import Codec
from interlay.model.record import Record
from interlay.model.usage import Usage
from interlay.testing import Exchange, Player, Recording, Turn, capture, codings, sized, transports

WIRES = transports(httpx2)


def streams() -> list[Any]:
    """Every recorded stream of a dialect that can also write its answer as one body."""
    found = []
    for recording in Recording.load_all(CASSETTES):
        for number, exchange in enumerate(recording.exchanges):
            dialect = find(exchange.request.method, exchange.request.path)
            codec = named(dialect.name) if dialect is not None else None
            if isinstance(codec, Codec) and exchange.response.status == 200 and exchange.response.is_events:
                alone = Recording(
                    id=recording.id,
                    source=recording.source,
                    dialect=recording.dialect,
                    scenario=recording.scenario,
                    exchanges=[exchange],
                )
                found.append(pytest.param(alone, codec, id=f"{recording.id}.{number}"))
    return found


class Clients:
    """A wrapped client of each colour."""

    def __init__(self) -> None:
        self.sync = interlay.wrap(httpx2.Client(transport=WIRES.sync(Player())))
        self.asynchronous = interlay.wrap(httpx2.AsyncClient(transport=WIRES.asynchronous(Player())))

    def send(self, player: Player, url: str, body: dict[str, Any], *, colour: str) -> Record:
        """The record of one request whose answer was read to its end."""
        held: Any = self.sync if colour == "sync" else self.asynchronous
        held._transport.inner.player = player
        headers = {"content-type": "application/json", "authorization": "Bearer none"}
        content = json.dumps(body).encode()
        with capture() as records:
            if colour == "sync":
                held.post(url, content=content, headers=headers)
            else:
                asyncio.run(held.post(url, content=content, headers=headers))
        (record,) = records
        return record


CLIENTS = Clients()


def buffered(exchange: Exchange, codec: Codec) -> Record:
    """The same answer as one body, as the API would have sent it to who asked for no stream."""
    whole = codec.encode_response(codec.assemble(framed(codec, exchange.response.content)))
    player = Player(otherwise=Turn(body=whole, headers={"content-type": "application/json"}))
    body = {key: value for key, value in exchange.request.body.items() if key not in ("stream", "stream_options")}
    url = exchange.request.url.replace(":streamGenerateContent", ":generateContent")
    return CLIENTS.send(player, url, body, colour="sync")


def figures(record: Record) -> list[object]:
    """All that a record says of usage and cost, but for the provider's own words."""
    usage = [getattr(record.usage, field, None) for field in Usage.__struct_fields__ if field != "raw"]
    attempts = [(attempt.billed, attempt.cost) for attempt in record.attempts]
    return [usage, record.cost, attempts, record.end]


@pytest.mark.parametrize(("recording", "codec"), streams())
@settings(max_examples=5)
@given(
    sizes=st.lists(st.integers(1, 200), max_size=40),
    coding=st.none() | st.sampled_from(codings()),
    colour=st.sampled_from(("sync", "async")),
    asks=st.booleans(),
)
def test_a_record_is_the_same_streamed_and_buffered(
    recording: Recording,
    codec: Codec,
    sizes: list[int],
    coding: str | None,
    colour: str,
    asks: bool,  # noqa: FBT001
) -> None:
    (exchange,) = recording.exchanges
    body = dict(exchange.request.body)
    if not asks and exchange.request.host == "api.openai.com":
        body.pop("stream_options", None)  # then we ask, and hide it
    player = Player(recording, split=sized(*sizes), coding=coding)
    record = CLIENTS.send(player, exchange.request.url, body, colour=colour)
    assert record.streamed
    assert figures(record) == figures(buffered(exchange, codec))
