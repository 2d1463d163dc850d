"""How calls look: the table of many, the tree of one. Takes records, gives lines of text; prints nothing.

``calls_table`` and ``call_lines`` are what ``calls``, ``show`` and ``demo`` print; ``terminal.svg`` makes a
picture of the same lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from interlay.cli import words
from interlay.cli.costs import cost_lines
from interlay.cli.family import Family
from interlay.cli.table import Column, Table, ascii_only
from interlay.cli.terminal import Looks
from interlay.model.record import Attempt, Chunks, Record, Verdict
from interlay.telemetry.calls import FoldedCall
from interlay.telemetry.facts import answered_by_cache, producer_of

ID_DIGITS: Final = 8
"""Of an id in a table, where a person looks; a pipe gets it whole."""

_KEY_DIGITS: Final = 16
"""Of a cache's key, where a person looks: ``interlay cache forget`` takes the beginning of one."""

_COLUMNS: Final = (
    Column("time", rank=1, room=8),
    Column("call", room=ID_DIGITS),
    Column("model", elastic=True, least=8, room=11),
    Column("in > out", right=True, rank=1, room=12),
    Column("took", right=True, rank=1, room=6),
    Column("cost", right=True, rank=1, room=10),
    Column("what happened", elastic=True, least=12, room=13),
    Column("first", right=True, rank=3),
    Column("provider", rank=2),
    Column("user", rank=4),
    Column("tags", rank=5),
    Column("operation", rank=6),
)
_NEGLIGIBLE: Final = 0.001
"""Seconds between two sends that are not worth a line."""
_BAR: Final = (12, 40)
"""Least and most width of a bar."""
_NOTE: Final = 12
"""Of a note that is enough to be understood."""
_SAYING: Final = ("reasoning_content", "content", "refusal", "tool_calls")
"""Fields of a message in which something is said."""


def calls_table(calls: Sequence[FoldedCall], looks: Looks, now: float, *, growing: bool = False) -> Table:
    """A table of calls, in the order given. A ``growing`` one keeps room for rows that are still to come."""
    counts = [words.used(call) for call in calls]
    wide = (max([len(into) for into, _ in counts], default=1), max([len(out) for _, out in counts], default=1))
    if growing:
        wide = (max(wide[0], 5), max(wide[1], 4))
    columns = [c if growing else _roomless(c) for c in _COLUMNS]
    return Table(columns, [call_row(call, looks, now, wide) for call in calls], looks)


def call_row(call: FoldedCall, looks: Looks, now: float, wide: tuple[int, int] = (5, 4)) -> list[Text]:
    """One call's cells, for ``calls_table``."""
    record, how = call.last, words.ended(call, brief=True)
    into, out = words.used(call)
    first = words.duration(record.time_to_first_event) if record.time_to_first_event is not None else ""
    return [
        Text(words.clock(call.started_at, now), style="dim"),
        Text(words.clean(call.id)[:ID_DIGITS] if looks.fancy else words.clean(call.id), style="cyan"),
        Text(words.models(record, brief=True) or _where(record)),
        Text(f"{into:>{wide[0]}} > {out:>{wide[1]}}" if into else "-"),
        Text(words.duration(call.duration)),
        Text(words.money(call.cost)),
        Text(f"{how.sign} {how.words}", style=how.style),
        Text(first),
        Text(words.clean(record.provider or "")),
        Text(words.clean(record.identity.user or "")),
        Text(words.clean(",".join(record.identity.tags))),
        Text(words.clean(record.operation)),
    ]


def call_lines(family: Family | FoldedCall, looks: Looks, *, messages: bool = False) -> list[Text]:
    """One call in full: its head, its tree with the calls inside of it, its cost; its messages if asked for and
    kept.
    """
    family = family if isinstance(family, Family) else Family(family)
    call = family.call
    lines = [*_head(family, looks), *_facts(call, looks), *_tree(family, looks), Text(), *cost_lines(family, looks)]
    if messages:
        lines += [Text(), *_messages(call)]
    return lines if looks.unicode else [ascii_only(line) for line in lines]


def call_tree(call: FoldedCall, looks: Looks) -> list[Text]:
    """One call in brief: its head, with what interlay itself took, and its tree."""
    lines = [*_head(Family(call), looks, brief=True), *_tree(Family(call), looks)]
    return lines if looks.unicode else [ascii_only(line) for line in lines]


def _roomless(column: Column) -> Column:
    return Column(column.title, column.right, column.rank, column.least, column.elastic)


def _where(record: Record) -> str:
    """What a plain HTTP request was for, as far as a URL tells; the name of a function that is observed."""
    return words.clean(f"{record.method} {record.target.partition('://')[2] or record.target}".strip())


def _head(family: Family, looks: Looks, *, brief: bool = False) -> Iterator[Text]:
    """What was called, and the figures that matter most."""
    call = family.call
    record, how = call.last, words.ended(call)
    head = Text().append(f"{how.sign} ", style=f"bold {how.style}")
    head.append(f"{words.clean(record.operation)} {words.models(record, brief=brief) or _where(record)}", style="bold")
    figures = Text(f"   {words.duration(call.duration)}")
    into, out = words.used(call)
    if into:
        figures.append(f"   {into} > {out} tok")
    if family.inside:
        figures.append(f"   {sum(1 for _ in family.everybody()) - 1:,} inside")
    if family.cost is not None:
        figures.append("   ").append(words.money(family.cost), style="bold")
    if brief:
        figures.append(f"   interlay {_overhead(call)}", style="dim")
    if head.cell_len + figures.cell_len <= looks.width:
        yield head.append_text(figures)
    else:
        yield head
        yield figures[1:]


def _facts(call: FoldedCall, looks: Looks) -> Iterator[Text]:
    """How it ended, for whom it was, and under which names others know it."""
    record, identity = call.last, call.last.identity
    facts = [
        words.ended(call).words + (", streamed" if record.streamed else ""),
        _from_cache(record, looks),
        f"first token {words.duration(record.time_to_first_event)}" if record.time_to_first_event is not None else "",
        f"overhead {_overhead(call)}" if call.sends else "",
        f"tenant {identity.tenant}" if identity.tenant else "",
        f"user {identity.user}" if identity.user else "",
        f"session {identity.session}" if identity.session else "",
        f"tags {', '.join(identity.tags)}" if identity.tags else "",
        f"key {identity.key}" if identity.key else "",
    ]
    yield from _wrapped(facts, looks)
    ids = [f"call {call.id}", f"trace {record.trace.trace_id}" if record.trace else ""]
    if record.response is not None and record.response.request_id:
        ids.append(f"request {record.response.request_id}")
    if record.key is not None:
        ids.append(f"cache key {record.key[:_KEY_DIGITS] if looks.fancy else record.key}")
    yield from _wrapped(ids, looks)
    error = record.error
    if error is not None and error.message:
        yield Text(f"  {words.clean(error.message)}", style="red")


def _from_cache(record: Record, looks: Looks) -> str:
    """Whose answer a cache gave, and how old it was, where it gave one."""
    if not answered_by_cache(record):
        return ""
    assert record.cache is not None
    old = f", {words.duration(record.cache.age)} old" if record.cache.age is not None else ""
    made = producer_of(record)
    whose = f", of call {made.id[:ID_DIGITS] if looks.fancy else made.id}" if made is not None else ""
    return f"an answer from the cache{old}{whose}"


def _overhead(call: FoldedCall) -> str:
    return words.duration(sum(record.overhead for record in call.records))


def _wrapped(facts: Sequence[str], looks: Looks) -> Iterator[Text]:
    """Facts that are there, one after another, on as many lines as they take."""
    line = ""
    for fact in facts:
        if fact:
            added = f"{line} · {words.clean(fact)}" if line else f"  {words.clean(fact)}"
            if line and len(added) > looks.width:
                yield Text(line, style="dim")
                added = f"  {words.clean(fact)}"
            line = added
    if line:
        yield Text(line, style="dim")


@dataclass(slots=True)
class _Line:
    """A line of the tree: something that took time."""

    depth: int
    sign: str
    label: str
    note: str
    style: str
    seconds: float
    start: float | None
    """Seconds after the call began; None where that was not kept."""


def _tree(family: Family, looks: Looks) -> Iterator[Text]:
    call = family.call
    found = list(_lines(family))
    total = max(call.duration, 1e-9)
    labels = [_label(found, i, looks) for i in range(len(found))]
    label_width = max(label.cell_len for label in labels)
    notes = max(len(line.note) for line in found)
    bar = 0
    if looks.fancy:
        room = looks.width - 13
        # Notes give way to bars as far as they can still be understood, bars to labels.
        if room - label_width - 2 - min(notes, _NOTE) >= _BAR[0]:
            bar = max(_BAR[0], min(_BAR[1], room - label_width - 2 - notes))
        notes = max(0, min(notes, room - label_width - (2 + bar if bar else 0)))
        label_width = max(1, min(label_width, room - notes))
    for line, label in zip(found, labels, strict=True):
        text = Text().append(f"{words.duration(line.seconds):>9}  ", style="dim")
        note = Text(line.note, style="dim")
        if looks.fancy:
            label.truncate(label_width, overflow="ellipsis", pad=True)
            note.truncate(max(1, notes), overflow="ellipsis", pad=True)
        else:
            label.append(" " * (label_width - label.cell_len))
        text.append_text(label)
        if notes:
            text.append("  ").append_text(note)
        if bar and line.start is not None:
            text.append("  ")
            text.append(_bar(line.start / total, line.seconds / total, bar), style=line.style)
        yield text


def _lines(family: Family) -> Iterator[_Line]:
    """The call, and what took its time, in the order it happened."""
    call = family.call
    yield _Line(0, "", words.clean(call.last.operation), "", "blue", call.duration, 0.0)
    timed = [*_timed(_sends(call)), *(each for one in family.inside for each in _timed(_inside(one, call.started_at)))]
    for _, line in sorted(timed, key=lambda each: each[0]):
        yield line


def _timed(lines: Iterable[_Line]) -> Iterator[tuple[float, _Line]]:
    """Lines with when what they belong to began, at the first level."""
    at = 0.0
    for line in lines:
        if line.depth == 1 and line.start is not None:
            at = line.start
        yield at, line


def _inside(family: Family, began: float, depth: int = 1) -> Iterator[_Line]:
    """A call that was made inside of another, in a line, with what is inside of it in turn."""
    call, how = family.call, words.ended(family.call, brief=True)
    record, start = call.last, max(0.0, call.started_at - began)
    into, out = words.used(call)
    note = [
        how.words if how.words != "complete" else "",
        words.money(family.cost) if family.cost is not None else "",
        f"{into} > {out} tok" if into else "",
    ]
    label = f"{words.clean(record.operation)} {words.models(record, brief=True) or _where(record)}"
    yield _Line(depth, how.sign, label, "  ".join(filter(None, note)), how.style, call.duration, start)
    for each in family.inside:
        yield from _inside(each, began, depth + 1)


def _sends(call: FoldedCall) -> Iterator[_Line]:
    """What layers decided, the requests, and the waits between them."""
    began, until = call.started_at, 0.0
    for number, record in enumerate(call.records):
        # A layer that tried again said why: that belongs to the wait.
        again = [verdict for verdict in record.verdicts if verdict.action == "retry" and not verdict.shadow]
        yield from _decisions(record, began, again[: max(0, len(record.attempts) - 1)])
        for position, attempt in enumerate(record.attempts):
            start = max(until, attempt.started_at - began)
            if (number or position) and start - until > _NEGLIGIBLE:
                why = again[position - 1] if 0 < position <= len(again) else None
                note = words.clean(f"{why.layer}, {why.reason}" if why.reason else why.layer) if why else ""
                whose = "wait" if position else "wait of the SDK"
                yield _Line(1, "↻", whose, note, "bright_black", start - until, until)
            until = start + attempt.seconds
            yield from _send(record, attempt, start, last=position == len(record.attempts) - 1)


def _decisions(record: Record, began: float, told: Sequence[Verdict]) -> Iterator[_Line]:
    """What layers decided, less what is ``told`` elsewhere. When they did is not always kept."""
    for verdict in record.verdicts:
        if not any(verdict is each for each in told):
            shadow = "shadow: " if verdict.shadow else ""
            note = words.clean(f"{shadow}{verdict.action}{' ' + verdict.reason if verdict.reason else ''}")
            yield _Line(1, "", words.clean(verdict.layer), note, "yellow", verdict.seconds, None)
    cache = record.cache
    if cache is not None:
        start = None if cache.started_at is None else max(0.0, cache.started_at - began)
        note = words.clean(f"{'shadow: ' if cache.shadow else ''}{cache.outcome}, {cache.reason}")
        yield _Line(1, "", "cache", note, "cyan", cache.seconds, start)


def _send(record: Record, attempt: Attempt, start: float, *, last: bool) -> Iterator[_Line]:
    model = attempt.model or record.model
    where = attempt.provider or attempt.target.partition("://")[2].partition("/")[0] or attempt.target
    label = words.clean(f"{where}/{model}" if model else where)
    if attempt.error is not None:
        sign, style, note = "✗", "red", words.failure(attempt.error, attempt.status)
    elif last:
        sign, note, style = words.outcome(record)
        reasons = record.response.finish_reasons if record.response is not None else ()
        if record.end == "complete":
            note = words.clean(" ".join([str(attempt.status or ""), *reasons]).strip())
    else:
        sign, style, note = "✓", "green", str(attempt.status or "")
    yield _Line(1, sign, label, note, style, attempt.seconds, start)
    if last and record.streamed and record.chunks is not None and record.time_to_first_event is not None:
        first = max(0.0, record.time_to_first_event - (attempt.started_at - record.started_at))
        yield _Line(2, "", "first token", "", "bright_black", first, start)
        note = _spacing(record.chunks)
        yield _Line(2, "", "stream", note, style, max(0.0, attempt.seconds - first), start + first)


def _spacing(chunks: Chunks) -> str:
    """How evenly a stream came: the buckets in which its middle and its longest gap fall."""
    told = f"{chunks.count:,} {'chunk' if chunks.count == 1 else 'chunks'}"
    gaps = sum(chunks.buckets)
    if not gaps:
        return told
    middle = next(i for i in range(len(chunks.buckets)) if 2 * sum(chunks.buckets[: i + 1]) >= gaps)
    longest = max(i for i, count in enumerate(chunks.buckets) if count)
    return f"{told}, {_bound(middle)} apart" + (f", once {_bound(longest)}" if longest != middle else "")


def _bound(bucket: int) -> str:
    if bucket >= 14:
        return "> 82 s"
    return f"≤ {words.duration(0.01 * 2**bucket).replace('.0 ', ' ')}"


def _label(lines: list[_Line], index: int, looks: Looks) -> Text:
    line = lines[index]
    text = Text("  " * line.depth if not looks.fancy else "")
    if looks.fancy:
        for depth in range(1, line.depth + 1):
            more = _goes_on(lines, index, depth)
            own = depth == line.depth
            text.append(("├─ " if more else "└─ ") if own else ("│  " if more else "   "), style="dim")
    if line.sign:
        text.append(f"{line.sign} ", style=line.style)
    text.append(line.label)
    return text


def _goes_on(lines: list[_Line], index: int, depth: int) -> bool:
    """Whether the branch at this depth has another line below."""
    for line in lines[index + 1 :]:
        if line.depth <= depth:
            return line.depth == depth
    return False


def _bar(start: float, share: float, width: int) -> str:
    left = min(width - 1, max(0, round(start * width)))
    length = min(width - left, round(share * width))
    return " " * left + ("█" * length if length > 0 else "▏")


def _messages(call: FoldedCall) -> Iterator[Text]:
    contents = call.last.contents
    if contents is None:
        yield Text("  no messages were kept; interlay.setup(contents=True) in the program keeps them", style="dim")
        return
    for message in (*contents.input, *contents.output):
        role = str(message.get("role") or "assistant")
        yield Text(f"  {words.clean(role)}", style="bold")
        said = [piece for name in _SAYING for piece in _said(message.get(name))]
        for part in said or [""]:
            for line in words.clean_text(part).split("\n"):
                yield Text(f"    {line.expandtabs(4)}")
    if contents.truncated:
        yield Text("  what was too long to keep is left out", style="dim")


def _said(content: object) -> list[str]:
    """The pieces of a message in whichever shape its API has them: texts, tool calls, results; others by
    kind.
    """
    if content is None:
        return []
    if isinstance(content, list):
        return [piece for each in content for piece in _said(each)]
    if not isinstance(content, dict):
        return [str(content)]
    function = content.get("function")
    if isinstance(function, dict):
        return [f"{function.get('name')}({function.get('arguments') or ''})"]
    kind = str(content.get("type") or "part")
    for key in ("text", "thinking", "refusal"):
        if isinstance(content.get(key), str):
            return [content[key]] if key == "text" else [f"[{kind}] {content[key]}"]
    if kind in ("tool_use", "server_tool_use", "tool_call"):
        given = content.get("input", content.get("arguments"))
        text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        return [f"{content.get('name')}({text})"]
    return [f"[{kind}]", *_said(content.get("content"))]
