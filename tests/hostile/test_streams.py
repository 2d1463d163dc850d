"""Hostile event streams: the SDK makes of them what it always makes, and the record says what is certain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest
from tests.hostile import cuts, frames, tools, usages
from tests.hostile.inputs import BOTH, MARK, HostileStream, Ordinary, Size
from tests.hostile.seam import EVENTS, SETTINGS, Colour, Exchange, Seam, Seen, decent, keeping

from interlay.testing import Fault, Turn, every

Family = Callable[[Ordinary, Size], Iterator[HostileStream]]
FAMILIES: dict[str, Family] = {module.__name__.rpartition(".")[2]: module.inputs for module in (frames, tools, usages)}
SPLITS: dict[str, Callable[[bytes], Iterable[bytes]] | None] = {
    "event by event": None,
    "byte by byte": every(1),
    "in one piece": every(1 << 30),
}
BY_DIALECT = pytest.mark.parametrize("ordinary", BOTH, ids=lambda ordinary: ordinary.dialect)


@pytest.mark.parametrize(("colour", "contents"), SETTINGS, ids=["sync", "async", "contents"])
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("raw", [False, True], ids=["", "raw"])
@pytest.mark.parametrize("family", FAMILIES)
@BY_DIALECT
def test_comes_through_as_it_was(
    ordinary: Ordinary,
    family: str,
    raw: bool,  # noqa: FBT001
    split: str,
    colour: Colour,
    contents: bool,  # noqa: FBT001
) -> None:
    seam = Seam(ordinary.dialect, colour)
    with keeping(contents):
        for hostile in FAMILIES[family](ordinary, "modest"):
            if split == "byte by byte" and len(hostile.wire) > 20_000:
                continue
            turn = Turn(body=hostile.wire, headers={**EVENTS, **hostile.headers})
            exchange = Exchange(ordinary, turn, stream=True, raw=raw, split=SPLITS[split])
            with decent(hostile.name):
                seen = seam.compare(exchange, hostile.name)
            check(hostile, seen, contents=contents)
    seam.close()


def check(hostile: HostileStream, seen: Seen, *, contents: bool) -> None:
    record, name = seen.record, hostile.name
    assert record is not None
    assert contents or MARK.encode() not in record.to_json(), name
    failed = "error" in dict(seen.outcome)
    if hostile.end is not None and not failed:
        assert record.end == hostile.end, name
    else:
        assert record.end in {"complete", "error", "closed"}, name
    if failed:
        return
    usage = record.usage
    if hostile.usage is not None:
        tokens = (None, None) if usage is None else (usage.input_tokens, usage.output_tokens)
        assert tokens == hostile.usage, name
    for flag in hostile.flags:
        assert usage is not None, name
        assert flag in usage.flags, name


@pytest.mark.parametrize("fault", cuts.WAYS)
@pytest.mark.parametrize(("colour", "contents"), SETTINGS, ids=["sync", "async", "contents"])
@BY_DIALECT
def test_27_a_disconnect_at_every_byte(ordinary: Ordinary, colour: Colour, contents: bool, fault: Fault) -> None:  # noqa: FBT001
    seam = Seam(ordinary.dialect, colour)
    with keeping(contents):
        for at, came, turn in cuts.inputs(ordinary, fault, EVENTS):
            exchange = Exchange(ordinary, turn, stream=True)
            with decent(f"{fault} at {at}"):
                seen = seam.compare(exchange, f"{fault} at {at}")
            assert seen.record is not None
            assert seen.record.end in ended(ordinary, came, fault), f"{fault} at {at}"
    seam.close()


def ended(ordinary: Ordinary, came: bytes, fault: Fault) -> set[str]:
    """What the bytes before the end say of how it ended, read here by their text."""
    openai = ordinary.dialect == "openai"
    terminal = b"data: [DONE]" if openai else b'data: {"type":"message_stop"}'
    if terminal + b"\n\n" in came:
        # SDKs read on behind the terminal event, and may meet a break there: it is over all the same.
        return {"complete"}
    if fault == "cut" and (terminal in came or (openai and b'"finish_reason":"stop"}]}' in came)):
        return {"complete"}
    return {"error"}
