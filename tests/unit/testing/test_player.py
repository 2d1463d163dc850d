"""The player, its two kinds of wire, and the local provider: what is asked of them is what happens."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
import urllib.request
from types import ModuleType
from typing import Any

import httpx
import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

import interlay
from interlay.testing import (
    Exchange,
    NetworkRefusedError,
    Player,
    Provider,
    RecordedRequest,
    RecordedResponse,
    Recording,
    Server,
    Turn,
    at_random,
    capture,
    closed_port,
    codings,
    every,
    no_network,
    sized,
    transports,
)
from interlay.testing.bodies import Coder, accepts, unasked
from interlay.testing.recordings import Source, events_of

LIBRARIES = [pytest.param(httpx, id="httpx"), pytest.param(httpx2, id="httpx2")]
EVENTS = [
    b'data: {"choices":[{"delta":{"content":"caf\xc3\xa9"}}],"usage":null}\n\n',
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":null}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n',
    b"data: [DONE]\n\n",
]
URL = "https://api.openai.com/v1/chat/completions"
ASKING = {"model": "m", "messages": [], "stream": True, "stream_options": {"include_usage": True}}
PLAIN = {"model": "m", "messages": []}
SOURCE = Source(repo="", path="", commit="", licence="")


def exchange(body: dict[str, Any], answer: bytes, *, url: str = URL) -> Exchange:
    return Exchange(
        request=RecordedRequest(method="POST", url=url, body_encoding="json", body=body),
        response=RecordedResponse(status=200, body_encoding="text", body=answer.decode()),
    )


def recording(*exchanges: Exchange) -> Recording:
    return Recording(id="r", source=SOURCE, dialect="openai-chat", scenario="s", exchanges=list(exchanges))


CHAT = recording(exchange(ASKING, b"".join(EVENTS)), exchange(PLAIN, b'{"object":"chat.completion"}'))


def sync_client(module: ModuleType, player: Player, **options: Any) -> Any:
    return module.Client(transport=transports(module).sync(player), **options)


class Wired:
    """One request over a wire, sync or async, in memory or over a socket."""

    def __init__(self, module: ModuleType, colour: str, wire: str) -> None:
        self.module, self.colour, self.wire = module, colour, wire

    def post(
        self, player: Player, body: dict[str, Any] = ASKING, *, patience: float = 30, **options: Any
    ) -> tuple[Any, bytes]:
        """The response and its raw bytes. Raises what the library raises."""
        server = Server(player) if self.wire == "socket" else None
        url = URL if server is None else f"{server.url}/v1/chat/completions"
        try:
            if self.colour == "sync":
                transport = None if server else transports(self.module).sync(player)
                with (
                    self.module.Client(transport=transport, timeout=patience) as client,
                    client.stream("POST", url, json=body, **options) as response,
                ):
                    return response, b"".join(response.iter_raw())
            return asyncio.run(self._apost(server, player, url, body, patience, **options))
        finally:
            if server:
                server.close()

    async def _apost(
        self, server: Any, player: Player, url: str, body: Any, patience: float, **options: Any
    ) -> tuple[Any, bytes]:
        transport = None if server else transports(self.module).asynchronous(player)
        async with (
            self.module.AsyncClient(transport=transport, timeout=patience) as client,
            client.stream("POST", url, json=body, **options) as response,
        ):
            return response, b"".join([piece async for piece in response.aiter_raw()])


@pytest.fixture(
    params=[
        (module, colour, wire)
        for module in (httpx, httpx2)
        for colour in ("sync", "async")
        for wire in ("memory", "socket")
    ],
    ids=lambda p: f"{p[0].__name__}-{p[1]}-{p[2]}",
)
def wired(request: pytest.FixtureRequest) -> Wired:
    return Wired(*request.param)


class TestAnswers:
    def test_an_exchange_is_found_by_its_body(self, wired: Wired) -> None:
        player = Player(CHAT)
        assert wired.post(player, PLAIN)[1] == b'{"object":"chat.completion"}'
        assert wired.post(player, ASKING)[1] == b"".join(EVENTS)
        assert (len(player.requests), player.open, player.unmatched) == (2, 0, [])

    def test_nothing_recorded_is_a_404(self, wired: Wired) -> None:
        player = Player([])
        response, body = wired.post(player)
        assert response.status_code == 404
        assert b'"error"' in body
        assert len(player.unmatched) == 1

    def test_turns_come_first_and_in_order(self, wired: Wired) -> None:
        player = Player(CHAT, turns=[529, Turn(status=429, headers={"retry-after": "1"}), 200])
        statuses = [wired.post(player)[0] for _ in range(4)]
        assert [response.status_code for response in statuses] == [529, 429, 200, 200]
        assert statuses[1].headers["retry-after"] == "1"

    def test_what_arrived_is_kept(self, wired: Wired) -> None:
        player = Player(CHAT)
        wired.post(player, PLAIN, headers={"x-mine": "1"})
        (sent,) = player.requests
        assert sent.method == "POST"
        assert sent.path == "/v1/chat/completions"
        assert sent.header("X-Mine") == "1"
        assert sent.json() == PLAIN

    def test_garbage_is_sent_as_it_is(self, wired: Wired) -> None:
        assert wired.post(Player(CHAT, turns=[Turn(body=b"\x00\xff")]))[1] == b"\x00\xff"


class TestUsageInStreams:
    def test_is_reported_to_who_asks(self, wired: Wired) -> None:
        assert wired.post(Player(CHAT))[1] == b"".join(EVENTS)

    def test_and_not_mentioned_to_who_does_not(self, wired: Wired) -> None:
        asked = {name: value for name, value in ASKING.items() if name != "stream_options"}
        got = wired.post(Player(CHAT), asked)[1]
        assert b"usage" not in got
        assert events_of(got) == [
            EVENTS[0].replace(b',"usage":null', b""),
            EVENTS[1].replace(b',"usage":null', b""),
            EVENTS[3],
        ]

    def test_some_hosts_always_report_it(self, wired: Wired) -> None:
        player = Player(CHAT, stream_usage="always")
        assert wired.post(player, {**ASKING, "stream_options": None})[1] == b"".join(EVENTS)

    def test_some_hosts_refuse_the_question(self, wired: Wired) -> None:
        assert wired.post(Player(CHAT, stream_usage="refuse"))[0].status_code == 400

    def test_a_usage_that_is_first_in_its_object(self) -> None:
        assert unasked([b'data: {"usage":null,"choices":[1]}\n\n']) == [b'data: {"choices":[1]}\n\n']

    def test_words_in_a_text_are_left_alone(self) -> None:
        event = b'data: {"choices":[{"delta":{"content":",\\"usage\\":null"}}]}\n\n'
        assert unasked([event]) == [event]


class TestPieces:
    def test_however_cut_it_is_the_same_body(self, wired: Wired, rng: random.Random) -> None:
        seed = rng.random()
        print(seed)  # noqa: T201 - shown when it fails
        for split in (every(1), every(7), sized(1, 2, 3), at_random(seed)):
            assert wired.post(Player(CHAT, split=split))[1] == b"".join(EVENTS)

    @pytest.mark.parametrize("module", LIBRARIES)
    def test_pieces_arrive_as_cut(self, module: ModuleType) -> None:
        with (
            sync_client(module, Player(CHAT, split=every(5))) as client,
            client.stream("POST", URL, json=ASKING) as got,
        ):
            assert {len(piece) for piece in list(got.iter_raw())[:-1]} == {5}

    @pytest.mark.parametrize("coding", codings())
    def test_compressed_for_who_accepts_it(self, coding: str, wired: Wired) -> None:
        player = Player(CHAT, coding=coding)
        response, raw = wired.post(player, headers={"accept-encoding": coding})
        assert response.headers["content-encoding"] == coding
        assert raw != b"".join(EVENTS)
        response, raw = wired.post(player, headers={"accept-encoding": "identity"})
        assert "content-encoding" not in response.headers
        assert raw == b"".join(EVENTS)

    @pytest.mark.parametrize("module", LIBRARIES)
    @pytest.mark.parametrize("coding", codings())
    def test_the_libraries_can_read_it(self, coding: str, module: ModuleType) -> None:
        for split in (None, every(1)):
            with sync_client(module, Player(CHAT, coding=coding, split=split)) as client:
                answer = client.post(URL, json=ASKING)
                offered = coding in client.headers["accept-encoding"]
            # What a library does not offer to read is not sent to it.
            assert answer.headers.get("content-encoding") == (coding if offered else None)
            assert answer.content == b"".join(EVENTS)

    @pytest.mark.parametrize("coding", ["gzip", "deflate"])
    def test_each_event_can_be_read_when_it_has_come(self, coding: str) -> None:
        import zlib  # noqa: PLC0415

        coder, reader = Coder(coding), zlib.decompressobj(31 if coding == "gzip" else 15)
        for event in EVENTS:
            assert reader.decompress(coder.feed(event)) == event

    @pytest.mark.parametrize(
        ("header", "taken"), [("gzip", True), ("gzip;q=0", False), ("br, gzip;q=0.5", True), ("*", True), ("br", False)]
    )
    def test_what_a_client_accepts(self, header: str, taken: bool) -> None:  # noqa: FBT001
        assert accepts(header, "gzip") is taken

    @given(st.lists(st.sampled_from([b"data: a\n\n", b"\r\n\r\n", b"x\r\ry\n\n", b"data: b\r\n", b"\n"])))
    def test_events_joined_are_the_body(self, parts: list[bytes]) -> None:
        assert b"".join(events_of(b"".join(parts))) == b"".join(parts)

    def test_a_line_end_of_two_bytes_is_one(self) -> None:
        assert events_of(b"event: a\r\ndata: b\r\n\r\ndata: c\r\n\r\n") == [
            b"event: a\r\ndata: b\r\n\r\n",
            b"data: c\r\n\r\n",
        ]


class TestFaults:
    def test_reset_in_the_middle(self, wired: Wired) -> None:
        with pytest.raises((wired.module.ReadError, wired.module.RemoteProtocolError)):
            wired.post(Player(CHAT, turns=[Turn(fault="reset", after=2)]))

    def test_reset_before_the_headers(self, wired: Wired) -> None:
        with pytest.raises((wired.module.ReadError, wired.module.RemoteProtocolError)):
            wired.post(Player(CHAT, turns=[Turn(fault="reset")]))

    def test_a_cut_is_a_clean_end(self, wired: Wired) -> None:
        assert wired.post(Player(CHAT, turns=[Turn(fault="cut", after=2)]))[1] == b"".join(EVENTS[:2])

    def test_a_cut_at_any_byte(self, wired: Wired) -> None:
        assert wired.post(Player(CHAT, turns=[Turn(fault="cut", at=17)]))[1] == b"".join(EVENTS)[:17]

    def test_a_truncated_chunk_is_a_protocol_error(self, wired: Wired) -> None:
        with pytest.raises(wired.module.RemoteProtocolError, match="incomplete chunked read"):
            wired.post(Player(CHAT, turns=[Turn(fault="truncate", after=1)]))

    @pytest.mark.parametrize("after", [None, 1])
    def test_hanging_ends_by_the_clients_patience(self, after: int | None, wired: Wired) -> None:
        with pytest.raises(wired.module.ReadTimeout):
            wired.post(Player(CHAT, turns=[Turn(fault="hang", after=after)]), patience=0.3)

    def test_an_error_event_ends_the_stream(self, wired: Wired) -> None:
        events = events_of(wired.post(Player(CHAT, turns=[Turn(fault="error", after=1)]))[1])
        assert events[0] == EVENTS[0]
        assert events[1].startswith(b'data: {"error":')
        assert len(events) == 2

    def test_dripping_takes_its_time(self, wired: Wired) -> None:
        began = time.monotonic()
        body = b"0123456789"
        assert wired.post(Player(CHAT, turns=[Turn(drip=0.01, body=body)]), patience=10)[1] == body
        assert time.monotonic() - began >= 0.1

    def test_a_refused_connection(self) -> None:
        for module in (httpx, httpx2):
            with (
                sync_client(module, Player(CHAT, turns=[Turn(fault="refuse")])) as client,
                pytest.raises(module.ConnectError),
            ):
                client.post(URL, json=ASKING)
            with module.Client() as client, pytest.raises(module.ConnectError):
                client.post(closed_port(), json=ASKING)

    def test_a_coding_is_left_unfinished_too(self) -> None:
        import gzip  # noqa: PLC0415

        wired = Wired(httpx, "sync", "memory")
        _, raw = wired.post(Player(CHAT, coding="gzip", turns=[Turn(fault="cut", after=2)]))
        with pytest.raises(EOFError):
            gzip.decompress(raw)


class TestTheServer:
    def test_connections_are_kept_and_counted(self) -> None:
        player = Player(CHAT)
        with Server(player) as server, httpx.Client(base_url=server.url) as client:
            for _ in range(3):
                client.post("/v1/chat/completions", json=PLAIN)
            assert (server.accepted, server.connections, player.open) == (1, 1, 0)

    def test_an_abandoned_response_is_let_go(self) -> None:
        player = Player(CHAT, turns=[Turn(fault="hang", after=1)])
        with Server(player) as server, httpx.Client(base_url=server.url) as client:
            with client.stream("POST", "/v1/chat/completions", json=ASKING):
                assert player.open == 1
            until = time.monotonic() + 1
            while player.open and time.monotonic() < until:
                time.sleep(0.005)
            assert player.open == 0

    def test_closing_it_leaves_no_thread(self) -> None:
        before = threading.active_count()
        with Server(Player(CHAT, turns=[Turn(fault="hang", after=1)])) as server:
            client = httpx.Client(base_url=server.url)
            response = client.send(client.build_request("POST", "/v1/chat/completions", json=ASKING), stream=True)
        assert threading.active_count() == before
        response.close()
        client.close()

    def test_chunked_requests_are_read(self) -> None:
        player = Player(CHAT)
        with Server(player) as server:
            httpx.post(f"{server.url}/v1/chat/completions", content=iter([b'{"model":', b'"m"}']), timeout=50)
        assert player.requests[0].json() == {"model": "m"}

    def test_what_is_no_http_is_hung_up_on(self) -> None:
        with Server(Player(CHAT)) as server, socket.create_connection(("127.0.0.1", server.port), timeout=50) as raw:
            raw.sendall(b"nonsense\r\n\r\n")
            assert raw.recv(10) == b""


class TestTheProvider:
    def test_lists_its_models_and_answers_the_sdk(self) -> None:
        body = dict(Recording.bundled()["openai-chat-plain-03"].exchanges[0].request.body)
        with Provider() as provider, openai.OpenAI(base_url=provider.openai_url, api_key="none") as client:
            assert body["model"] in [model.id for model in client.models.list()]
            assert client.chat.completions.create(**body).choices

    def test_does_as_scripted(self) -> None:
        with (
            Provider() as provider,
            openai.OpenAI(base_url=provider.openai_url, api_key="none", max_retries=0) as client,
        ):
            provider.script(429)
            with pytest.raises(openai.RateLimitError):
                client.models.list()

    def test_ships_little_and_says_where_it_is_from(self) -> None:
        bundled = Recording.bundled()
        assert {recording.source.licence for recording in bundled.values()} <= {"MIT", "Apache-2.0"}
        assert all(recording.source.repo and recording.source.commit for recording in bundled.values())
        contents = [exchange.response.content for recording in bundled.values() for exchange in recording.exchanges]
        assert sum(map(len, contents)) < 150_000


class TestCapture:
    def test_has_what_was_sealed_inside(self) -> None:
        with sync_client(httpx, Player(CHAT)) as client:
            interlay.wrap(client)
            client.post(URL, json=PLAIN)
            with capture() as records:
                client.post(URL, json=PLAIN)
            client.post(URL, json=PLAIN)
        assert len(records) == 1
        assert records[0].operation == "chat"


class TestNoNetwork:
    def test_refuses_what_is_not_here(self) -> None:
        with no_network() as refused, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            for attempt in (
                lambda: socket.create_connection(("192.0.2.1", 80), timeout=1),
                lambda: socket.create_connection(("api.example", 80), timeout=1),
                lambda: datagrams.sendto(b"", ("192.0.2.1", 53)),
                lambda: asyncio.run(asyncio.open_connection("192.0.2.1", 80)),
            ):
                with pytest.raises(NetworkRefusedError):
                    attempt()
        assert refused == ["192.0.2.1", "api.example", "192.0.2.1", "192.0.2.1"]

    def test_lets_the_loopback_through(self) -> None:
        with no_network() as refused, Server(Player(CHAT)) as server:
            assert httpx.post(f"{server.url}/v1/chat/completions", json=PLAIN).status_code == 200
            host = server.url.replace("127.0.0.1", "localhost")
            with pytest.raises(urllib.request.HTTPError, match="404"):
                urllib.request.urlopen(f"{host}/nothing")
        assert refused == []

    def test_puts_everything_back(self) -> None:
        before = (socket.getaddrinfo, dict(socket.socket.__dict__))
        with pytest.raises(ZeroDivisionError), no_network():
            raise ZeroDivisionError
        assert (socket.getaddrinfo, dict(socket.socket.__dict__)) == before
