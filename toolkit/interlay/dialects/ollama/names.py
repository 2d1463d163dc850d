"""The name of this dialect, which its nodes carry."""

from __future__ import annotations

from typing import Final

ORIGIN: Final = "ollama"
