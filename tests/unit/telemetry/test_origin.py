"""Services that share a journal keep their records apart, and each record is told under the process that made it."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.unit.telemetry.backends import Backend, refuse, take
from tests.unit.telemetry.exchanges import record

from interlay.chain.journal import Journal
from interlay.chain.segments import Tally, list_segments, read_tally
from interlay.telemetry import otlp
from interlay.telemetry.cursors import Cursor
from interlay.telemetry.journal import JournalReader
from interlay.telemetry.origin import Origin, service_id
from interlay.telemetry.sending import HTTPTransport
from interlay.telemetry.settings import OTLP, Schedule, resolve
from interlay.telemetry.shipping import Shipper
from interlay.telemetry.sources import JournalSource

SHOP, DESK = "0" * 15 + "1", "0" * 15 + "2"
SOON = Schedule(every=0.05, first_pause=0.01, longest_pause=0.05)


def origin(name: str, **attributes: str) -> Origin:
    more = ",".join(f"{key.replace('_', '.')}={value}" for key, value in attributes.items())
    return Origin("1", {"OTEL_SERVICE_NAME": name, "OTEL_RESOURCE_ATTRIBUTES": more})


def small(folder: Path, service: str = "") -> Journal:
    return Journal(folder, segment_bytes=2000, max_bytes=10_000, service=service)


def line(n: int) -> bytes:
    return b'{"n":%d,"pad":"%s"}' % (n, b"." * 80)


def names(backend: Backend) -> dict[str, tuple[str, int]]:
    """Of each record that a backend has: the service and the process it was told under."""
    found = {}
    for _, body in backend.taken:
        for of in ExportTraceServiceRequest.FromString(body).resource_spans:
            told = {pair.key: pair.value for pair in of.resource.attributes}
            for scope in of.scope_spans:
                for span in scope.spans:
                    ids = [pair.value.string_value for pair in span.attributes if pair.key == "interlay.record.id"]
                    found[ids[0]] = told["service.name"].string_value, told["process.pid"].int_value
    return found


class Program:
    """A service of its own that keeps its journal where others keep theirs."""

    def __init__(self, folder: Path, of: Origin, url: str, ids: tuple[int, ...]) -> None:
        self.journal = Journal(folder, service=of.service, stamp=of.stamp)
        destination = resolve(OTLP(endpoint=url, signals=("traces",)), {})
        source = JournalSource(folder, destination.name, of.service)
        self.append(*ids)
        self.shipper = Shipper(
            destination,
            HTTPTransport(destination.endpoints),
            lambda: source,
            origin=of,
            scope=otlp.scope("1"),
            schedule=SOON,
        )
        self.shipper.start()

    def append(self, *ids: int) -> None:
        for n in ids:
            assert self.journal.append(record(id=f"{n:020x}", call_id=f"{n:020x}").to_json())

    def ship(self) -> None:
        for _ in range(1000):
            if self.shipper.flush(1.0).pending == 0:
                return
        pytest.fail("it never got through")

    def close(self) -> None:
        self.shipper.close(0.2)
        self.journal.close()


Start = Callable[..., Program]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Program] = []

    def start(of: Origin, backend: Backend, *ids: int) -> Program:
        started.append(Program(tmp_path, of, backend.url, ids))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def play() -> Iterator[Callable[..., Backend]]:
    backends: list[Backend] = []

    def make(*behaviours: Any) -> Backend:
        backends.append(Backend(*behaviours))
        return backends[-1]

    yield make
    for backend in backends:
        backend.close()


def test_each_service_ships_its_own_to_where_it_is_told_to(start: Start, play: Callable[..., Backend]) -> None:
    ours, theirs = play(), play()
    shop, desk = start(origin("shop"), ours), start(origin("desk"), theirs)
    for n in range(10):
        shop.append(n)
        desk.append(100 + n)
    shop.ship()
    desk.ship()
    assert names(ours) == {f"{n:020x}": ("shop", os.getpid()) for n in range(10)}
    assert names(theirs) == {f"{n:020x}": ("desk", os.getpid()) for n in range(100, 110)}
    assert [program.shipper.state().dropped for program in (shop, desk)] == [0, 0]


def test_what_an_earlier_process_left_is_shipped_as_that_process_own(
    start: Start, play: Callable[..., Backend]
) -> None:
    backend = play(refuse(503))
    earlier = start(origin("shop", process_pid="7", service_version="1"), backend, 1, 2)
    assert earlier.shipper.flush(30).pending == 2
    earlier.close()
    backend.behaviours[:] = [take]
    start(origin("shop", service_version="2"), backend, 3).ship()
    assert len(backend.taken) == 1  # one request holds both
    versions = {}
    for of in ExportTraceServiceRequest.FromString(backend.taken[0][1]).resource_spans:
        told = {pair.key: pair.value.string_value for pair in of.resource.attributes}
        versions[told["service.version"]] = [len(scope.spans) for scope in of.scope_spans]
    assert versions == {"1": [2], "2": [1]}


def test_what_an_earlier_version_left_is_shipped_once(
    start: Start, play: Callable[..., Backend], tmp_path: Path
) -> None:
    """It said of no record whose it is, and had one cursor for all."""
    with Cursor(tmp_path, "otlp", start="now") as cursor:
        cursor.commit()
        older = Journal(tmp_path)
        for n in range(5):
            older.append(record(id=f"{n:020x}", call_id=f"{n:020x}").to_json())
    assert [segment.service for segment in list_segments(tmp_path)] == [""]
    backend = play()
    shop, desk = start(origin("shop"), backend), start(origin("desk"), backend)
    shop.append(10)
    desk.append(20)
    shop.ship()
    desk.ship()
    assert backend.record_ids().count("0" * 20) == 1
    assert set(backend.record_ids()) == {f"{n:020x}" for n in (*range(5), 10, 20)}
    assert len(backend.record_ids()) == 7
    assert {name for name, _ in names(backend).values()} == {"shop", "desk"}


def test_readers_see_everybodys_records_with_their_origin(tmp_path: Path) -> None:
    for name in ("shop", "desk"):
        of = origin(name)
        Journal(tmp_path, service=of.service, stamp=of.stamp).append(record(id=name * 5, call_id=name * 5).to_json())
    Journal(tmp_path).append(record().to_json())
    found = [entry.record for entry in JournalReader(tmp_path).entries()]
    assert [each.resource.get("service.name") for each in found] == ["shop", "desk", None]
    assert found[0].resource["process.pid"] == os.getpid()
    assert found[2] == record()


def test_a_segment_that_was_left_is_taken_over_by_its_own_service_alone(tmp_path: Path) -> None:
    for service in (SHOP, DESK, "", SHOP, DESK, ""):
        journal = small(tmp_path, service)
        journal.append(line(1))
        journal.close()
    assert sorted(segment.service for segment in list_segments(tmp_path)) == ["", SHOP, DESK]
    assert [segment.service for segment in list_segments(tmp_path, SHOP)] == [SHOP]


def test_what_was_deleted_is_counted_against_whose_it_was(tmp_path: Path, rng: random.Random) -> None:
    """However they take turns: what a cursor delivered and lost is what its service appended."""
    journals = {service: small(tmp_path, service) for service in (SHOP, DESK, "")}
    for service in journals:
        with Cursor(tmp_path, "otlp", service=service) as cursor:
            cursor.commit()
    appended, delivered, lost = (dict.fromkeys(journals, 0) for _ in range(3))
    for _ in range(25):
        for _ in range(rng.randrange(80)):
            service = rng.choice(list(journals))
            appended[service] += journals[service].append(line(1))
        service = rng.choice(list(journals))
        with Cursor(tmp_path, "otlp", service=service) as cursor:
            delivered[service] += len(cursor.read(rng.randrange(1, 60)))
            lost[service] = cursor.lost
            cursor.commit()
    for service in journals:
        with Cursor(tmp_path, "otlp", service=service) as cursor:
            while batch := cursor.read():
                delivered[service] += len(batch)
            lost[service] = cursor.lost
    assert {service: delivered[service] + lost[service] for service in journals} == appended
    tally = read_tally(tmp_path)
    assert sum(tally.of(service) for service in journals) == tally.records > 0


def test_a_tally_of_an_earlier_version_is_of_no_service() -> None:
    assert [Tally(records=9, services={SHOP: 4}).of(who) for who in (None, SHOP, DESK, "")] == [9, 4, 0, 5]


def test_a_service_is_its_name_in_its_namespace() -> None:
    ids = {
        service_id({"service.name": "a"}),
        service_id({"service.name": "b"}),
        service_id({"service.name": "a", "service.namespace": "b"}),
        service_id({"service.name": "a", "service.namespace": "c"}),
    }
    assert len(ids) == 4
    assert origin("a", host_name="x").service == origin("a", host_name="y").service == service_id({"service.name": "a"})


@pytest.mark.parametrize("said", [None, "7"])
def test_a_forked_child_says_its_own_process(tmp_path: Path, said: str | None) -> None:
    of = origin("shop", **({"process_pid": said} if said else {}))
    journal = Journal(tmp_path, service=of.service, stamp=of.stamp)
    mine = of.instance()
    assert journal.append(record().to_json())
    child = os.fork()
    if child == 0:
        os._exit(not (journal.append(record().to_json()) and of.instance() != mine and of.service))
    _, status = os.waitpid(child, 0)
    assert status == 0
    pids = [entry.record.resource["process.pid"] for entry in JournalReader(tmp_path).entries()]
    assert pids == ([said, said] if said else [os.getpid(), child])
    assert of.instance() == mine
