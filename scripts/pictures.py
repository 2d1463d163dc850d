"""Draw the pictures of the documentation from the output of `interlay show`.

    python -m scripts.pictures           draw docs/pictures/show.svg again, from the records beside it
    python -m scripts.pictures --fresh   make the demo's calls anew first, and keep the records of one of them

The records are kept so that the picture changes only when what the command prints does.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from interlay.cli.render import call_lines
from interlay.cli.story import tell
from interlay.cli.terminal import Looks, svg
from interlay.model.record import Record
from interlay.telemetry.calls import FoldedCall

FOLDER: Final = Path(__file__).parents[1] / "docs" / "pictures"
RECORDS: Final = FOLDER / "show.jsonl"
WIDTH: Final = 96


def picture() -> str:
    """What `interlay show` prints of the kept call, as an SVG."""
    call = FoldedCall(map(Record.from_json, RECORDS.read_text().splitlines()))
    return svg(call_lines(call, Looks(width=WIDTH)), title=f"interlay show {call.id[:8]}", width=WIDTH)


def keep() -> None:
    """Keep the records of the demo's call that took the most sends."""
    records = max((told for _, told in tell()), key=len)
    RECORDS.write_bytes(b"".join(record.to_json() + b"\n" for record in records))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--fresh", action="store_true", help="make the demo's calls anew first")
    FOLDER.mkdir(exist_ok=True)
    if parser.parse_args().fresh:
        keep()
    (FOLDER / "show.svg").write_text(picture())
