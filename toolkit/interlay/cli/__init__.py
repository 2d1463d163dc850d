"""The interlay command."""

from __future__ import annotations

import sys
from typing import Final

_NEEDED: Final = {"click", "rich"}


def main() -> None:
    """Run the command and exit: 0 fine, 1 nothing found, 2 usage, 3 not reachable, 130 interrupted."""
    try:
        from interlay.cli.root import run
    except ModuleNotFoundError as error:
        sys.exit(without(error, "cli"))
    sys.exit(run(sys.argv[1:]))


def without(error: ModuleNotFoundError, extra: str) -> int:
    """Say what to install where a package of an extra is missing; return the exit code.

    Raises ``error`` where something else is missing.
    """
    missing = (error.name or "").partition(".")[0]
    if missing == "interlay" or (extra == "cli" and missing not in _NEEDED):
        raise error
    print(f"error: this needs {missing}: pip install 'interlay[{extra}]'", file=sys.stderr)
    return 2
