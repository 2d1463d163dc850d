"""Requests from a file, through a configuration's chain."""

from __future__ import annotations

import contextvars
import importlib
import os
import queue
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlsplit

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from interlay.chain.chain import Chain
from interlay.chain.recorder import Observe
from interlay.cli import words
from interlay.cli.check import configured
from interlay.cli.options import Failed
from interlay.cli.stored import Opened, be_patient, holds, reach, stores_in
from interlay.cli.terminal import Terminal
from interlay.entry import process
from interlay.entry.clients import wrap
from interlay.entry.scope import using
from interlay.model.cost import EXACT, plain
from interlay.model.record import Record
from interlay.providers.hosts import Provider, provider_at

_LIBRARIES: Final = ("httpx2", "httpx")
_TIMEOUT: Final = 600.0
"""Seconds: models may think for long."""
_FLUSH: Final = 60.0
_COMPLAINTS: Final = 10
_MISSES: Final = ("miss", "hit", "stale")

_heard: contextvars.ContextVar[list[Record]] = contextvars.ContextVar("interlay_warming")


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    body: dict[str, Any]
    headers: dict[str, str] = {}


class Question(NamedTuple):
    """One request to make."""

    url: str
    body: bytes
    headers: dict[str, str]


class Tally:
    """What became of the requests."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """``there``, ``made``, ``passed`` (answered, but no cache may keep it), ``refused`` (by a layer of the chain),
        ``failed``."""
        self.reasons: Counter[str] = Counter()
        """Why some were passed by, refused or failed."""
        self.spent = Decimal(0)
        self.unpriced = 0
        self._made: list[str] = []
        self._lock = threading.Lock()

    def add(self, record: Record | None, trouble: str) -> None:
        """One more: its record, or what went wrong where there is none."""
        kind, reason = ("failed", trouble) if record is None else _became(record)
        with self._lock:
            self.counts[kind] += 1
            if kind == "made" and record is not None and record.key is not None:
                self._made.append(record.key)
            if reason:
                self.reasons[reason] += 1
            if record is not None and record.cost is not None:
                if record.cost.amount is None:
                    self.unpriced += 1
                else:
                    self.spent = EXACT.add(self.spent, record.cost.amount)

    def look(self, stores: Sequence[Opened]) -> None:
        """See whether what was made is there: what was filtered is not kept, nor what the store has no room for."""
        lost = sum(1 for key in self._made if not any(holds(store, key) for store in stores))
        if lost:
            self.counts["made"] -= lost
            self.counts["passed"] += lost
            self.reasons["the cache did not keep it"] += lost

    def told(self) -> dict[str, Any]:
        """For programs; money as a string."""
        kinds = ("there", "made", "passed", "refused", "failed")
        return {
            **{kind: self.counts[kind] for kind in kinds},
            "reasons": dict(self.reasons.most_common()),
            "spent": f"{plain(self.spent):f}",
            "unpriced": self.unpriced,
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        counts = self.counts
        said = [f"{counts['made']:,} made", f"{counts['there']:,} there already"]
        said += [f"{counts['passed']:,} that no cache may keep"] if counts["passed"] else []
        said += [f"{counts[kind]:,} {kind}" for kind in ("refused", "failed") if counts[kind]]
        unknown = f", and {self.unpriced:,} of unknown cost" if self.unpriced else ""
        yield f"{', '.join(said)}; {words.sum_of_money(self.spent)} spent{unknown}"
        for reason, count in self.reasons.most_common():
            yield f"  {count:,} × {words.clean(reason)}"


def _became(record: Record) -> tuple[str, str]:
    did = record.cache
    if did is not None and did.outcome in ("hit", "stale") and record.end == "complete":
        return "there", ""
    error = record.error
    if record.end != "complete" or (record.response is not None and (record.response.status or 200) >= 400):
        kind = "failed" if record.attempts else "refused"
        return kind, words.failure(error, record.response.status if record.response is not None else None)
    if did is None or did.outcome not in _MISSES:
        return "passed", f"{did.outcome}: {did.reason}" if did is not None else "the chain has no cache"
    return "made", ""


def warm_from(
    terminal: Terminal, file: str, config: str | None, concurrency: int, identity: Mapping[str, Any], *, as_json: bool
) -> int:
    """Make the requests of a file and say what became of them. 1 if something was refused or failed."""
    chain, tally = _chain(config), Tally()
    questions = list(_questions(file))
    library = _library()
    process.setup(export=False, prometheus=False, tracer_provider=False, meter_provider=False, **chain.process)
    try:
        with using(**identity), library.Client(timeout=_TIMEOUT) as client, _Bar(terminal, len(questions)) as bar:
            wrap(client, chain.made)
            _ask_all(client, library, questions, concurrency, tally, bar)
            process.flush(_FLUSH)  # answers are stored off their callers' path
            tally.look(chain.stores)
    finally:
        process.setup(journal=False, export=False, prometheus=False, tracer_provider=False, meter_provider=False)
    if as_json:
        terminal.write(msgspec.json.encode(tally.told()))
    else:
        for line in tally.lines():
            terminal.say(line)
    return 1 if tally.counts["refused"] or tally.counts["failed"] else 0


class _Configured(NamedTuple):
    made: Chain
    stores: list[Opened]
    process: dict[str, Any]


def _chain(config: str | None) -> _Configured:
    """A configuration's chain, with an ear of ours in it. Raises ``Failed``."""
    file, found = configured(config)
    ear = Observe(lambda record: _heard.get([]).append(record), inline=True)
    chain = Chain(*found.parts, ear, as_given=found.as_given)
    opened = stores_in(chain, words.clean(file))
    for each in opened:
        be_patient(each.store)
        reach(each)  # what nobody keeps need not be paid for
    journal = True if found.journal is None else found.journal
    return _Configured(chain, opened, {"journal": journal, "contents": found.contents, "prices": found.prices})


def _library() -> ModuleType:
    for name in _LIBRARIES:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    raise Failed("this needs an HTTP library", help="pip install httpx2", exit_code=2)


def _questions(file: str) -> Iterator[Question]:
    """The requests of a file. Everything that is wrong in it is said before anything is sent. Raises ``Failed``."""
    text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    found: list[Question] = []
    complaints: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(_question(msgspec.json.decode(line, type=_Line)))
        except (msgspec.DecodeError, ValueError) as error:
            complaints.append(f"{file}:{number}: {error}")
    if complaints:
        more = [f"and {len(complaints) - _COMPLAINTS:,} more"] if len(complaints) > _COMPLAINTS else []
        told = "\n".join([*complaints[:_COMPLAINTS], *more])
        raise Failed(
            f"nothing was sent:\n{told}", help='a line is {"url": …, "body": {…}, "headers": {…}}', exit_code=2
        )
    return iter(found)


def _question(line: _Line) -> Question:
    """Raises ``ValueError`` for what cannot be sent."""
    place = urlsplit(line.url)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise ValueError("`url` is no http or https URL")
    headers = {name.lower(): value for name, value in line.headers.items()}
    row = provider_at(place.netloc.rpartition("@")[2])
    if row is not None:
        headers = {**row.headers, **_credential(row, headers), **headers}
    return Question(line.url, msgspec.json.encode(line.body), {"content-type": "application/json", **headers})


def _credential(row: Provider, given: Iterable[str]) -> dict[str, str]:
    """The header that carries a provider's key, unless the line has one. Raises ``ValueError`` where there is none."""
    if row.signed:
        raise ValueError(f"requests to {row.name} are signed, which is the work of its SDK")
    if not row.credentials or not set(row.credentials).isdisjoint(given):
        return {}
    key = next((value for name in row.key_variables if (value := os.environ.get(name))), None)
    if key is None:
        raise ValueError(f"there is no key for {row.name}: set {' or '.join(row.key_variables)}")
    header = row.credentials[0]
    return {header: f"Bearer {key}" if header == "authorization" else key}


def _ask_all(
    client: Any, library: ModuleType, questions: Iterable[Question], concurrency: int, tally: Tally, bar: _Bar
) -> None:
    waiting: queue.SimpleQueue[Question] = queue.SimpleQueue()
    for question in questions:
        waiting.put(question)

    def work() -> None:
        while True:
            try:
                question = waiting.get_nowait()
            except queue.Empty:
                return
            _ask(client, library, question, tally)
            bar.advance()

    threads = [
        threading.Thread(target=contextvars.copy_context().run, args=(work,), name=f"warm-{n}", daemon=True)
        for n in range(concurrency)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _ask(client: Any, library: ModuleType, question: Question, tally: Tally) -> None:
    heard: list[Record] = []
    _heard.set(heard)
    trouble = "no record"
    try:
        client.post(question.url, content=question.body, headers=question.headers)
    except (library.HTTPError, library.InvalidURL, ValueError) as error:
        trouble = type(error).__name__  # its text may hold the URL, and so a key
    tally.add(heard[-1] if heard else None, trouble)


class _Bar:
    """How far it has come, on a terminal's standard error."""

    def __init__(self, terminal: Terminal, total: int) -> None:
        self._shown = sys.stderr.isatty() and not terminal.settings.quiet
        self._total = total
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self._shown:
            columns = (TextColumn("asking"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._progress = self._stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
            self._task = self._progress.add_task("", total=self._total)
        return self

    def advance(self) -> None:
        """One more is done."""
        if self._shown:
            self._progress.advance(self._task)

    def __exit__(self, *_error: object) -> None:
        self._stack.close()
