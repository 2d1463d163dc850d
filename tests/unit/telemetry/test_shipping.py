"""Records reach their destination, whatever it does."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.telemetry.backends import (
    Backend,
    cut,
    drip,
    refuse,
    refuse_if_it_holds,
    reset,
    stall,
    take,
    take_and_hang_up,
    take_but_say_rejected,
    welcome,
)
from tests.unit.telemetry.exchanges import record, refused, with_contents

from interlay.chain.journal import Journal
from interlay.model.record import Failure, Record
from interlay.telemetry import otlp
from interlay.telemetry.metrics import Metrics, Tally
from interlay.telemetry.origin import Origin
from interlay.telemetry.sending import HTTPTransport
from interlay.telemetry.settings import OTLP, Sampling, Schedule, resolve
from interlay.telemetry.shipping import Shipper
from interlay.telemetry.sources import JournalSource, MemorySource, Source

PATIENCE = 30.0
SOON = Schedule(every=0.05, first_pause=0.01, longest_pause=0.05)


def numbered(count: int, first: int = 0, **changes: Any) -> list[Record]:
    return [record(id=f"{n:020x}", call_id=f"{n:020x}", **changes) for n in range(first, first + count)]


class Rig:
    """A journal, and shippers that read it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = Journal(path)
        self.shippers: list[Shipper] = []
        self.metrics = Metrics(Tally(), lambda _work: True)

    def shipper(
        self, url: str, *, schedule: Schedule = SOON, source: Callable[[], Source] | None = None, **settings: Any
    ) -> Shipper:
        destination = resolve(OTLP(endpoint=url, **{"signals": ("traces",), **settings}), {})
        shipper = Shipper(
            destination,
            HTTPTransport(destination.endpoints),
            source or (lambda: JournalSource(self.path, destination.name)),
            origin=Origin("1", {"OTEL_SERVICE_NAME": "test"}),
            scope=otlp.scope("1"),
            schedule=schedule,
            figures=self.figures,
            note=self.metrics.note,
        )
        self.shippers.append(shipper)
        shipper.start()
        return shipper

    def figures(self) -> bytes:
        return otlp.encode_metrics(
            self.metrics.figures(), otlp.resource({"service.name": "test"}), otlp.scope("1"), 1, 2
        )

    def append(self, *records: Record) -> list[str]:
        for each in records:
            assert self.journal.append(each.to_json())
        return [each.id for each in records]

    def close(self) -> None:
        for shipper in self.shippers:
            shipper.close()
        self.journal.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def run(rig: Rig, backend: Backend, records: list[Record], **settings: Any) -> Shipper:
    """Ship records to a backend until nothing waits. All are there before the shipper looks for the first time."""
    source = JournalSource(rig.path, settings.get("name", "otlp"))
    rig.append(*records)
    shipper = rig.shipper(backend.url, source=lambda: source, **settings)
    until(lambda: shipper.flush(1.0).pending == 0)
    return shipper


@pytest.fixture
def play() -> Iterator[Callable[..., Backend]]:
    backends: list[Backend] = []

    def make(*behaviours: Any, **options: Any) -> Backend:
        backends.append(Backend(*behaviours, **options))
        return backends[-1]

    yield make
    for backend in backends:
        backend.close()


Play = Callable[..., Backend]


def test_every_record_arrives_once_and_in_order(rig: Rig, play: Play) -> None:
    backend = play()
    shipper = run(rig, backend, numbered(1200))
    assert backend.record_ids() == [f"{n:020x}" for n in range(1200)]
    state = shipper.state()
    assert (state.delivered, state.pending, state.dropped, state.trouble) == (1200, 0, 0, None)


@pytest.mark.parametrize(
    "troubles",
    [
        [refuse(503)] * 3,
        [refuse(429, retry_after="0")] * 2,
        [refuse(502), refuse(504), refuse(408)],
        [refuse(500)] * 3,
        [reset] * 3,
        [cut] * 2,
        [welcome] * 2,
        [refuse(401), refuse(404)],
        [refuse(302, location="/elsewhere")],
    ],
    ids=["503", "429", "gateway", "500", "reset", "cut", "web page", "wrong", "moved"],
)
def test_after_trouble_everything_arrives_once(rig: Rig, play: Play, troubles: list[Any]) -> None:
    backend = play(*troubles, take)
    shipper = run(rig, backend, numbered(20))
    assert backend.record_ids() == [f"{n:020x}" for n in range(20)]
    assert (shipper.state().delivered, shipper.state().dropped) == (20, 0)


@pytest.mark.parametrize("trouble", [stall, drip(15)], ids=["stalling", "dripping"])
def test_a_slow_backend_is_left_after_the_timeout(rig: Rig, play: Play, trouble: Any) -> None:
    backend = play(trouble, take)
    run(rig, backend, numbered(3), timeout=0.3)
    assert set(backend.record_ids()) == {f"{n:020x}" for n in range(3)}
    first, second = (at for at, path, *_ in backend.requests[:2])
    assert second - first < 12


def test_pain_14_flush_tells_what_is_delivered_and_what_is_not(rig: Rig, play: Play) -> None:
    backend = play(refuse(503))
    shipper = rig.shipper(backend.url)
    rig.append(*numbered(30))
    state = shipper.flush(PATIENCE)
    assert (state.delivered, state.pending, state.dropped, state.trouble) == (0, 30, 0, "http_503")
    backend.behaviours[:] = [take]
    until(lambda: shipper.flush(1.0).pending == 0)
    assert shipper.state().delivered == 30


def test_pain_14_a_burst_at_a_slow_backend_that_stumbles_drops_nothing(rig: Rig, play: Play) -> None:
    def slow(backend: Backend, handler: Any, body: bytes) -> None:
        time.sleep(0.02)
        take(backend, handler, body)

    stumbles = [slow, refuse(503), slow, reset, slow, refuse(429, retry_after="0")]
    backend = play(*stumbles, slow)
    shipper = run(rig, backend, numbered(5000))
    assert backend.record_ids() == [f"{n:020x}" for n in range(5000)]
    assert (shipper.state().delivered, shipper.state().dropped) == (5000, 0)


class HeldUp(JournalSource):
    """What is read is not given out until somebody says so."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path, name)
        self.was_read, self.go_on = threading.Event(), threading.Event()

    def read(self, limit: int) -> list[Record]:
        found = super().read(limit)
        if found:
            self.was_read.set()
            assert self.go_on.wait(PATIENCE)
        return found


def test_what_was_read_and_is_not_in_hand_yet_waits_too(rig: Rig, play: Play) -> None:
    source, pending = HeldUp(rig.path, "otlp"), []
    rig.append(*numbered(10))
    shipper = rig.shipper(play(refuse(503)).url, source=lambda: source)
    assert source.was_read.wait(PATIENCE)
    asking = threading.Thread(target=lambda: pending.append(shipper.state().pending))
    asking.start()
    asking.join(0.2)
    source.go_on.set()
    asking.join(PATIENCE)
    assert pending == [10]


def test_a_backend_that_is_down_gets_everything_when_it_is_up(rig: Rig, play: Play) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shipper = rig.shipper(f"http://127.0.0.1:{port}")
    rig.append(*numbered(600))
    state = shipper.flush(PATIENCE)
    assert (state.pending, state.trouble) == (600, "connect: ConnectionRefusedError")
    backend = play(port=port)
    until(lambda: shipper.flush(1.0).pending == 0)
    assert backend.record_ids() == [f"{n:020x}" for n in range(600)]


def test_it_waits_as_long_as_the_backend_asks(rig: Rig, play: Play) -> None:
    backend = play(refuse(429, retry_after="0.4"), take)
    run(rig, backend, numbered(1))
    first, second = (at for at, *_ in backend.requests)
    assert second - first >= 0.39


@pytest.mark.parametrize("status", [400, 413, 422, 500])
def test_one_bad_record_does_not_hold_up_the_others(
    rig: Rig, play: Play, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    records = numbered(40)
    records[17] = record(id=f"{17:020x}", call_id=f"{17:020x}", served_model="poison")
    backend = play(refuse_if_it_holds(b"poison", status))
    with caplog.at_level(logging.WARNING, "interlay.shipping"):
        shipper = run(rig, backend, records)
    assert sorted(backend.record_ids()) == [f"{n:020x}" for n in range(40) if n != 17]
    assert (shipper.state().delivered, shipper.state().dropped) == (39, 1)
    assert sum("refuses" in message for message in caplog.messages) == 1


def test_what_a_backend_says_it_did_not_take_is_not_sent_again(rig: Rig, play: Play) -> None:
    backend = play(take_but_say_rejected(2), take)
    shipper = run(rig, backend, numbered(10))
    assert len(backend.taken) == 1
    assert (shipper.state().delivered, shipper.state().dropped) == (8, 2)


def test_a_connection_that_was_closed_meanwhile_is_no_trouble(
    rig: Rig, play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    backend = play(take_and_hang_up, take)
    shipper = rig.shipper(backend.url)
    with caplog.at_level(logging.INFO, "interlay.shipping"):
        for n in range(3):
            rig.append(*numbered(1, n))
            until(lambda: shipper.flush(1.0).pending == 0)
    assert len(backend.record_ids()) == 3
    assert caplog.messages == []


def test_one_line_when_trouble_begins_and_one_when_it_ends(
    rig: Rig, play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "interlay.shipping"):
        run(rig, play(*[refuse(503)] * 6, take), numbered(3))
    assert caplog.messages == ["otlp does not take records (http_503); they wait", "otlp takes records again"]


def test_what_was_not_delivered_goes_out_at_the_next_start(rig: Rig, play: Play) -> None:
    backend = play(refuse(503))
    first = rig.shipper(backend.url)
    rig.append(*numbered(25))
    assert first.flush(PATIENCE).pending == 25
    first.close(0.2)
    backend.behaviours[:] = [take]
    second = rig.shipper(backend.url)
    until(lambda: second.flush(1.0).pending == 0)
    assert backend.record_ids() == [f"{n:020x}" for n in range(25)]


def test_what_is_there_when_a_destination_is_new_is_not_sent_to_it(rig: Rig, play: Play) -> None:
    rig.append(*numbered(5))
    backend = play()
    shipper = rig.shipper(backend.url)
    rig.append(*numbered(2, 5))
    until(lambda: shipper.flush(1.0).pending == 0)
    assert backend.record_ids() == [f"{n:020x}" for n in (5, 6)]


def test_what_the_journal_had_to_delete_is_counted(tmp_path: Path, play: Play) -> None:
    rig = Rig(tmp_path)
    rig.journal = Journal(tmp_path, segment_bytes=16_384, max_bytes=65_536)
    backend = play(refuse(503))
    shipper = rig.shipper(backend.url, schedule=SOON._replace(batch=4))
    rig.append(*numbered(300))
    shipper.flush(PATIENCE)
    backend.behaviours[:] = [take]
    until(lambda: shipper.flush(1.0).pending == 0)
    state = shipper.state()
    assert 0 < state.delivered == len(backend.record_ids()) == len(set(backend.record_ids()))
    assert (state.delivered + state.dropped, state.dropped > 0) == (300, True)
    rig.close()


def test_two_shippers_of_one_cursor_take_turns(rig: Rig, play: Play) -> None:
    backend = play()
    first = rig.shipper(backend.url)
    second = rig.shipper(backend.url)
    second.flush(PATIENCE)
    assert second.state().pending is None
    assert "another process" in (second.state().trouble or "")
    rig.append(*numbered(3))
    until(lambda: first.flush(1.0).pending == 0)
    first.close()
    rig.append(*numbered(3, 3))
    until(lambda: second.flush(1.0).pending == 0)
    assert backend.record_ids() == [f"{n:020x}" for n in range(6)]


def test_a_forked_child_leaves_the_parents_records_to_the_parent(rig: Rig, play: Play) -> None:
    backend = play(refuse(503))
    shipper = rig.shipper(backend.url)
    rig.append(*numbered(4))
    assert shipper.flush(PATIENCE).pending == 4
    child = os.fork()
    if child == 0:
        code = 1
        try:
            state = shipper.flush(1.0)
            code = 0 if (state.delivered, state.pending) == (0, None) else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    backend.behaviours[:] = [take]
    until(lambda: shipper.flush(1.0).pending == 0)
    assert backend.record_ids() == [f"{n:020x}" for n in range(4)]


def test_without_a_journal_the_last_thousand_wait_in_memory(rig: Rig, play: Play) -> None:
    memory = MemorySource()
    backend = play(refuse(503))
    shipper = rig.shipper(backend.url, source=lambda: memory, schedule=Schedule(every=60, first_pause=60))
    for each in numbered(1300):
        memory.on_end(each)
    backend.behaviours[:] = [take]
    until(lambda: shipper.flush(1.0).pending == 0)
    assert backend.record_ids() == [f"{n:020x}" for n in range(300, 1300)]
    assert (shipper.state().delivered, shipper.state().dropped) == (1000, 300)


def test_the_runs_of_one_call_go_in_one_request(rig: Rig, play: Play) -> None:
    backend = play()
    runs = [record(id=f"{n:020x}", call_id=f"{0:020x}") for n in range(3)]
    run(rig, backend, [*runs[:1], *numbered(5, 10), *runs[1:]])
    assert len(backend.taken) == 1
    assert len({span.trace_id for span in backend.spans}) == 6


def test_large_records_are_spread_over_requests(rig: Rig, play: Play) -> None:
    big = with_contents()
    assert big.contents is not None
    big.contents.input[:] = [{"role": "user", "content": "x" * 200_000}]
    records = [with_contents(id=f"{n:020x}", call_id=f"{n:020x}", contents=big.contents) for n in range(30)]
    backend = play()
    run(rig, backend, records, contents="span", content_limit=300_000)
    assert len(backend.record_ids()) == 30
    assert len(backend.taken) > 1
    assert max(len(body) for _, body in backend.taken) < 3_000_000


def test_headers_and_compression(rig: Rig, play: Play) -> None:
    backend = play()
    run(rig, backend, numbered(50), headers={"Authorization": "Bearer of-good-news"}, compression="gzip")
    _, path, headers, body = backend.requests[0]
    assert (path, headers["authorization"], headers["content-encoding"]) == (
        "/v1/traces", "Bearer of-good-news", "gzip",
    )  # fmt: skip
    assert headers["content-type"] == "application/x-protobuf"
    assert len(body) < len(backend.taken[0][1]) / 5


def test_figures_go_to_their_own_path(rig: Rig, play: Play) -> None:
    backend = play()
    rig.metrics.on_end(record())
    shipper = run(rig, backend, numbered(2), signals=("traces", "metrics"))
    shipper.flush(PATIENCE)
    assert {"gen_ai.client.operation.duration", "interlay.calls", "interlay.spool.sent"} <= set(backend.metrics)
    sent = backend.metrics["interlay.spool.sent"].sum.data_points[0]
    assert (sent.attributes[0].value.string_value, sent.as_double) == ("otlp", 2)


def test_events_go_to_theirs_with_messages_as_they_are(rig: Rig, play: Play) -> None:
    backend = play()
    failed = with_contents(id="f" * 20, call_id="f" * 20, attempts=(refused(),), end="error",
                           error=Failure(type="rate_limit_exceeded"))  # fmt: skip
    run(rig, backend, [with_contents(), failed], contents="event", signals=("traces", "logs"))
    names = [(event.event_name, event.severity_number) for event in backend.events]
    assert names == [
        ("gen_ai.client.inference.operation.details", 5),
        ("gen_ai.client.inference.operation.details", 5),
        ("gen_ai.client.operation.exception", 13),
    ]
    details = {pair.key: pair.value for pair in backend.events[0].attributes}
    asked = details["gen_ai.input.messages"].array_value.values
    assert len(asked) == 4
    assert asked[1].kvlist_value.values[0].key == "role"
    assert (backend.events[0].trace_id, backend.events[0].span_id) == (
        backend.spans[0].trace_id,
        backend.spans[0].span_id,
    )
    assert "Oslo" not in repr(backend.spans)  # in events, and there alone


def test_messages_go_nowhere_unless_the_destination_may_have_them(rig: Rig, play: Play) -> None:
    backend = play()
    run(rig, backend, [with_contents()])
    assert b"Oslo" not in b"".join(body for _, body in backend.taken)


def test_tail_sampling_keeps_what_is_worth_a_look(rig: Rig, play: Play) -> None:
    backend = play()
    plain = numbered(200)
    failed = record(id="f" * 20, call_id="f" * 20, end="error", error=Failure(type="x"), attempts=(refused(),))
    retried = record(id="e" * 20, call_id="e" * 20, attempts=(refused(), *record().attempts))
    slow = record(id="d" * 20, call_id="d" * 20, duration=60.0)
    shipper = run(rig, backend, [*plain, failed, retried, slow], sampling=Sampling(ratio=0.1))
    kept = set(backend.record_ids())
    assert {"f" * 20, "e" * 20, "d" * 20} <= kept
    assert 1 <= len(kept) < 100
    assert shipper.state().delivered == 203  # what was not chosen does not wait


def test_a_share_of_nothing_and_of_everything(rig: Rig, play: Play) -> None:
    everything, nothing = play(), play()
    run(rig, everything, numbered(10), name="all", sampling=Sampling(ratio=1))
    run(rig, nothing, numbered(10, 50), name="none", sampling=Sampling(ratio=0))
    assert len(everything.record_ids()) >= 10
    assert nothing.record_ids() == []


def test_closing_does_not_wait_for_a_backend_for_ever(rig: Rig, play: Play) -> None:
    shipper = rig.shipper(play(stall).url)
    rig.append(*numbered(1))
    began = time.monotonic()
    shipper.close(0.3)
    assert time.monotonic() - began < 10


def test_a_proxy_of_the_environment_is_used(rig: Rig, play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = play()
    monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//me:pass%20word@"))
    monkeypatch.setenv("no_proxy", "localhost")
    shipper = rig.shipper("http://collector.invalid:4318")
    rig.append(*numbered(2))
    until(lambda: shipper.flush(1.0).pending == 0)
    _, path, headers, _ = proxy.requests[0]
    assert path == "http://collector.invalid:4318/v1/traces"
    assert headers["proxy-authorization"] == "Basic bWU6cGFzcyB3b3Jk"
    assert headers["host"] == "collector.invalid:4318"
    assert len(proxy.record_ids()) == 2
