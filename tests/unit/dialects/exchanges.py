"""Every recorded exchange, by the dialect that its URL is of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlay.dialects import find, named
from interlay.model import json
from interlay.model.messages import Node
from interlay.model.protocols import Codec, Dialect, WireEvent
from interlay.testing import Recording

CASSETTES = Path(__file__).parents[2] / "recorded" / "cassettes"


@dataclass(frozen=True, eq=False)
class Exchanged:
    """What was asked and answered, in bytes."""

    name: str
    codec: Codec
    method: str
    path: str
    request: bytes
    status: int
    headers: dict[str, str]
    answer: bytes

    @property
    def streamed(self) -> bool:
        """Events, or JSON lines."""
        return self.status < 400 and (not self.answer.lstrip().startswith(b"{") or b"}\n{" in self.answer)


def _all() -> list[Exchanged]:
    found = []
    for folder in sorted(path for path in CASSETTES.iterdir() if path.is_dir()):
        for recording in Recording.load_all(folder):
            for number, (request, response) in enumerate((each.request, each.response) for each in recording.exchanges):
                found_by_path = find(request.method, request.path)
                codec = named(found_by_path.name) if found_by_path is not None else None
                if isinstance(codec, Codec):
                    found.append(
                        Exchanged(
                            f"{recording.id}.{number}", codec, request.method, request.path,
                            json.encode(request.body), response.status, response.headers, response.content,
                        )
                    )  # fmt: skip
    return found


ALL = _all()
STREAMS = [each for each in ALL if each.streamed]
BODIES = [each for each in ALL if not each.streamed and each.status < 400]
ERRORS = [each for each in ALL if each.status >= 400]


def name(each: object) -> str | None:
    return each.name if isinstance(each, Exchanged) else None


def framed(dialect: Dialect, data: bytes, *cuts: int) -> list[WireEvent]:
    """The events of ``data``, fed in chunks that end at ``cuts``."""
    framer = dialect.framer()
    events: list[WireEvent] = []
    start = 0
    for end in (*sorted(cuts), len(data)):
        events += framer.feed(data[start:end])
        start = end
    return events + framer.finish()


def bare(value: Any) -> Any:
    """The same canonical value without anything that remembers the wire."""
    if isinstance(value, list):
        return [bare(item) for item in value]
    if isinstance(value, Node):
        fields = {field: bare(getattr(value, field)) for field in value.__struct_fields__}
        return type(value)(**{**fields, "raw": None, "origin": None})
    return value
