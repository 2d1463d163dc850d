"""Records to look at."""

from decimal import Decimal
from pathlib import Path
from typing import Any

from interlay.chain.journal import Journal
from interlay.model.cost import Cost, CostLine
from interlay.model.record import Answered, Attempt, Chunks, Failure, Record
from interlay.model.usage import Usage

BEGAN = 1_790_000_000.0
URL = "https://api.openai.com/v1/chat/completions"
COST = Cost(
    amount=Decimal("0.000119"),
    source="computed",
    lines=(
        CostLine(
            unit="input_tokens", quantity=412, price=Decimal("0.15"), per=1_000_000, amount=Decimal("0.0000618"),
            price_from="2026-11-01",
        ),
        CostLine(
            unit="output_tokens", quantity=96, price=Decimal("0.6"), per=1_000_000, amount=Decimal("0.0000576"),
            price_from="2026-11-01",
        ),
    ),
)  # fmt: skip
GUESS = Cost(
    amount=Decimal("0.000003"),
    source="estimated",
    estimated=True,
    tokenizer="script-count",
    lines=(
        CostLine(
            unit="input_tokens", quantity=12, price=Decimal("0.15"), per=1_000_000, amount=Decimal("0.0000018"),
            estimated=True,
        ),
        CostLine(
            unit="output_tokens", quantity=2, price=Decimal("0.6"), per=1_000_000, amount=Decimal("0.0000012"),
            estimated=True,
        ),
    ),
)  # fmt: skip


def attempt(**fields: Any) -> Attempt:
    given = {"target": URL, "provider": "openai", "model": "gpt-4o-mini", "status": 200, "started_at": BEGAN}
    return Attempt(**{**given, "seconds": 0.2, "billed": True, **fields})


def refused(status: int = 529, **fields: Any) -> Attempt:
    error = Failure(type="overloaded_error", status=status)
    return attempt(status=status, error=error, billed=False, seconds=0.1, **fields)


def record(id: str = "a1b2c3d4e5f600000000", **fields: Any) -> Record:
    """A plain good call, unless fields say otherwise. ``at`` moves it by so many seconds."""
    began = BEGAN + fields.pop("at", 0.0)
    given: dict[str, Any] = {
        "call_id": id,
        "operation": "chat",
        "dialect": "openai-chat",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "served_model": "gpt-4o-mini-2024-07-18",
        "target": URL,
        "started_at": began,
        "ended_at": began + 0.212,
        "duration": 0.212,
        "overhead": 0.0004,
        "end": "complete",
        "response": Answered(status=200, finish_reasons=("stop",), request_id="req_1"),
        "attempts": (attempt(started_at=began + 0.001),),
        "usage": Usage(input_tokens=412, output_tokens=96),
        "cost": COST,
    }
    return Record(id=id, **{**given, **fields})


def retried_by_sdk() -> list[Record]:
    """One call in three records: two refusals, then a streamed answer."""
    failed = {
        "end": "error", "usage": None, "cost": Cost(amount=Decimal(0), source="computed"), "duration": 0.1,
        "call_id": "c0", "error": Failure(type="overloaded_error", status=529),
        "response": Answered(status=529),
    }  # fmt: skip
    return [
        record("c0", attempts=(refused(),), **failed),
        record("c1", at=0.6, attempts=(refused(started_at=BEGAN + 0.6),), **failed),
        record(
            "c2",
            at=1.7,
            call_id="c0",
            streamed=True,
            duration=0.5,
            time_to_first_event=0.031,
            chunks=Chunks(count=21, buckets=(15, 4, 0, 1)),
            attempts=(attempt(started_at=BEGAN + 1.7, seconds=0.5),),
        ),
    ]


def write(folder: Path, *records: Record) -> Path:
    """A journal of these records."""
    journal = Journal(folder)
    for each in records:
        assert journal.append(each.to_json())
    journal.close()
    return folder
