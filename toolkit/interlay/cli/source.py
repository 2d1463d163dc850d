"""Records for the commands: read from the journal, filtered, folded into calls, and their JSON."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice, takewhile
from typing import Any, Final

import msgspec

from interlay.cli.family import Family, gather
from interlay.cli.options import Failed
from interlay.cli.terminal import Terminal
from interlay.model.record import Record
from interlay.telemetry.calls import FoldedCall, fold
from interlay.telemetry.journal import Entry, JournalReader

_SIBLINGS_WITHIN: Final = 3600.0
"""Seconds by which the first record of a call may be older than its next."""
_TO_GET_SOME: Final = "interlay.setup() in a program turns its journal on; interlay demo makes a few calls"
_CLOCKS: Final = 1.0
"""Seconds by which one clock may have been set while a call was under way."""
_CONSIDERED: Final = 1_000
"""Calls among whose ids one that was mistyped is looked for."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which calls are wanted. What is None is not asked about."""

    since: float | None = None
    model: str | None = None
    user: str | None = None
    session: str | None = None
    tag: str | None = None
    failed: bool = False

    def __call__(self, call: FoldedCall) -> bool:
        record = call.last
        return (
            (self.since is None or call.ended_at >= self.since)
            and (self.model is None or any(is_like(name, self.model) for name in (record.model, record.served_model)))
            and (self.user is None or record.identity.user == self.user)
            and (self.session is None or record.identity.session == self.session)
            and (self.tag is None or self.tag in record.identity.tags)
            and (not self.failed or call.failed)
        )


class Source:
    """The journal, as commands read it. Raises ``Failed`` where one is named that is none; it may be ``to_come``."""

    def __init__(self, journal: str | None, *, to_come: bool = False) -> None:
        self.reader = JournalReader(journal)
        path = self.reader.path
        if journal is not None and not path.is_dir() and not (to_come and not path.exists()):
            what = "is a file, and a journal is a folder" if path.exists() else "is not there"
            raise Failed(f"the journal {path} {what}", help="without --journal the usual one is read", exit_code=2)
        self.foreign = 0
        """Entries that are no record this version understands."""
        self.raw: dict[str, bytes] = {}
        """The bytes of each record that was read, by its id."""

    def records(self, entries: Iterable[Entry]) -> Iterator[Record]:
        """The records of entries; what is none is counted."""
        for entry in entries:
            try:
                record = entry.record
            except msgspec.DecodeError:
                self.foreign += 1
                continue
            self.raw[record.id] = entry.raw
            yield record

    def newest(self, wanted: Filter, limit: int) -> tuple[list[FoldedCall], bool]:
        """The newest calls that are wanted, oldest first, ``limit`` of them or all if 0; and whether there
        are more.
        """
        groups: dict[str, list[Record]] = {}
        complete: list[FoldedCall] = []
        # One that ended before `since` may be a sibling of one that did not.
        horizon = None if wanted.since is None else wanted.since - _SIBLINGS_WITHIN
        for record in self.records(self.reader.entries(newest_first=True, since=horizon)):
            groups.setdefault(record.call_id, []).append(record)
            if limit and len(groups) > 2 * limit + 100:
                complete += self._settle(groups, wanted, before=record.ended_at)
                if len(complete) > limit:
                    break
        complete += self._settle(groups, wanted, before=None)
        complete.sort(key=lambda call: call.started_at)
        return (complete[-limit:], True) if limit and len(complete) > limit else (complete, False)

    def _settle(self, groups: dict[str, list[Record]], wanted: Filter, before: float | None) -> list[FoldedCall]:
        """Take out the calls of which no older record can be left to read; return the wanted ones."""
        settled = []
        for call in fold(record for group in groups.values() for record in group):
            if before is None or call.started_at > before + _SIBLINGS_WITHIN:
                del groups[call.id]
                if wanted(call):
                    settled.append(call)
                else:
                    for record in call.records:
                        self.raw.pop(record.id, None)
        return settled

    def find(self, start: str) -> list[FoldedCall]:
        """The calls whose id, or a record's of theirs, begins so; ``@last`` is the newest. Newest first."""
        if start == "@last":
            newest = next(self.records(self.reader.entries(newest_first=True)), None)
            return [] if newest is None else self._whole([newest.call_id], newest.ended_at - _SIBLINGS_WITHIN)
        needle, ids = start.encode(), dict[str, None]()
        for record in self.records(e for e in self.reader.entries(newest_first=True) if needle in e.raw):
            if record.id.startswith(start) or record.call_id.startswith(start):
                ids.setdefault(record.call_id)
        return self._whole(list(ids), None)

    def _whole(self, ids: list[str], since: float | None) -> list[FoldedCall]:
        wanted, needles = set(ids), [identifier.encode() for identifier in ids]
        if not ids:
            return []
        entries = self.reader.entries(since=since)
        near = (entry for entry in entries if any(needle in entry.raw for needle in needles))
        by_id = {call.id: call for call in fold(r for r in self.records(near) if r.call_id in wanted)}
        return [by_id[identifier] for identifier in ids if identifier in by_id]

    def family(self, call: FoldedCall) -> Family:
        """The call with those that were made inside of it."""
        since = min(record.started_at for record in call.records) - _CLOCKS
        until = call.ended_at + _SIBLINGS_WITHIN
        near = takewhile(lambda entry: entry.at_ns <= until * 1e9, self.reader.entries(since=since))
        return gather(call, self.records(entry for entry in near if b'"parent_id"' in entry.raw))

    def near(self, start: str) -> str:
        """What to do about an id that no call begins with: the one that was meant, perhaps."""
        if start.startswith("@") and start != "@last":
            return "did you mean @last?"
        entries = islice(self.reader.entries(newest_first=True), _CONSIDERED)
        ids = dict.fromkeys(record.call_id[: len(start)] for record in self.records(entries))
        if not ids:
            return _TO_GET_SOME
        meant = difflib.get_close_matches(start, ids, n=1, cutoff=0.75)
        return f"did you mean {meant[0]}?" if meant else "interlay calls lists them"

    def json(self, record: Record, *, messages: bool = False) -> dict[str, Any]:
        """A record as it was written, fields unknown here included; contents only if ``messages``."""
        whole: dict[str, Any] = msgspec.json.decode(self.raw[record.id])
        if not messages:
            _without_contents(whole)
        return whole

    def tell(self, terminal: Terminal) -> None:
        """Hint at what could not be read."""
        counts = self.reader.counts
        if counts.damaged:
            terminal.hint(f"{_many(counts.damaged)} damaged and left out")
        if counts.unknown or self.foreign:
            terminal.hint(f"{_many(counts.unknown + self.foreign)} of another version and left out")
        if terminal.settings.verbose:
            deleted = self.reader.deleted()
            terminal.hint(f"journal: {self.reader.path}")
            terminal.hint(f"deleted to keep it within its bounds: {deleted.records:,} records")
            terminal.hint(f"not written by their programs, as these say: {counts.missed:,} records")


def nothing(terminal: Terminal, source: Source, wanted: Callable[[FoldedCall], bool]) -> None:
    """Say why a list is empty."""
    if next(source.reader.entries(newest_first=True), None) is None:
        terminal.hint(f"no calls in {source.reader.path}")
        terminal.hint(f"help: {_TO_GET_SOME}")
    elif wanted != Filter():
        terminal.hint("no calls match")


def is_like(name: str | None, pattern: str) -> bool:
    """A name that is, begins with, or matches (``*``, ``?``) what was asked for, whatever the case."""
    if name is None:
        return False
    name, pattern = name.lower(), pattern.lower()
    return name.startswith(pattern) or fnmatchcase(name, pattern)


def _without_contents(whole: dict[str, Any]) -> None:
    """Take out what only people who ask for messages are to see. A provider's message may echo a prompt."""
    whole.pop("contents", None)
    for holder in (whole, *whole.get("attempts", ())):
        if isinstance(holder.get("error"), dict):
            holder["error"].pop("message", None)


def _many(count: int) -> str:
    return "1 record is" if count == 1 else f"{count:,} records are"
