"""Run another example with no key and no network: ``python examples/offline.py examples/own_layer.py 503``.

A local provider that plays recordings answers in place of the real one, at first with the statuses that are named.
"""

from __future__ import annotations

import os
import runpy
import sys

from interlay.testing import Provider


def main(example: str, *statuses: str) -> None:
    with Provider() as provider:
        os.environ |= {
            "OPENAI_BASE_URL": provider.openai_url,
            "OPENAI_API_KEY": "no-key",
            "ANTHROPIC_BASE_URL": provider.anthropic_url,
            "ANTHROPIC_API_KEY": "no-key",
            "NO_PROXY": "127.0.0.1",
        }
        provider.script(*map(int, statuses))
        runpy.run_path(example, run_name="__main__")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} EXAMPLE [STATUS ...]")
    main(*sys.argv[1:])
