"""Which requests a cache may answer, and what of them is no part of the question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlay.dialects._asking import FILES, GATEWAYS, is_elsewhere, refers

IGNORED: Final = frozenset(
    (
        "user",  # who asks, for the provider's watch on abuse
        "metadata",  # Mistral: labels for its own list of calls
    )
)
TELLING_HEADERS: Final[tuple[str, ...]] = ("openai-organization", "openai-project", "openai-beta", *GATEWAYS)


def unfit(body: Mapping[str, Any]) -> str | None:
    """Why a cache may not answer a request; None where it may. Some hosts fetch what an input names by its URL."""
    inputs = body.get("input")
    for each in inputs if type(inputs) is list else (inputs,):
        if is_elsewhere(each) if type(each) is str else type(each) is dict and refers(each):
            return FILES
    return None
