"""The recorded exchanges of the Messages API, as bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlay.dialects.anthropic_messages import AnthropicMessages
from interlay.model.protocols import WireEvent

FOLDER = Path(__file__).parents[2] / "recorded" / "cassettes" / "anthropic-messages"
DIALECT = AnthropicMessages()


@dataclass(frozen=True)
class Recorded:
    id: str
    request: bytes
    status: int
    headers: dict[str, str]
    answer: bytes

    @property
    def streamed(self) -> bool:
        return self.answer.startswith(b"event:")

    @property
    def asked(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.request)
        return body


def _load() -> list[Recorded]:
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        for number, exchange in enumerate(json.loads(path.read_text())["exchanges"], 1):
            request, response = exchange["request"], exchange["response"]
            body = json.dumps(request["body"], ensure_ascii=False, separators=(",", ":")).encode()
            answer = response["body"].encode()
            found.append(Recorded(f"{path.stem}.{number}", body, response["status"], response["headers"], answer))
    return found


ALL = _load()
STREAMS = [each for each in ALL if each.streamed]
BODIES = [each for each in ALL if not each.streamed and each.status == 200]
ERRORS = [each for each in ALL if each.status >= 400]


def name(recorded: Recorded) -> str:
    return recorded.id


def events_of(data: bytes, *cuts: int) -> list[WireEvent]:
    """The events of ``data``, fed in chunks that end at ``cuts``."""
    framer = DIALECT.framer()
    events: list[WireEvent] = []
    start = 0
    for end in (*sorted(cuts), len(data)):
        events += framer.feed(data[start:end])
        start = end
    return events + framer.finish()


def sse(*events: dict[str, Any]) -> list[WireEvent]:
    """Events of plain objects."""
    return events_of(b"".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events))
