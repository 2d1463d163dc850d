"""Text places: where the text is in a request, a response or a stream event, whichever API wrote it."""

from __future__ import annotations

import msgspec

Channel = tuple[str, int, int]
"""Kind, choice and block: the pieces of one text share it. In requests the choice is the message's number."""
Path = tuple[str | int, ...]
"""Keys and indices that lead to a value in JSON."""


class TextPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where text stands in an event, a response or a request."""

    path: Path
    channel: Channel
    """Kind (``text``, ``reasoning``, ``refusal``, ``tool_arguments``, ``tool_result``, ``transcript``, ``error``;
    in requests ``system`` and ``tool`` too; ``other`` for what the dialect does not know), choice, block."""
    role: str
    """``delta`` (adds to the channel), ``twin`` (says the delta of the same event once more), ``repeat`` (says the
    whole so far again) or ``echo`` (shows parts of the text: log-probabilities, citations, transcripts, rejected
    predictions; of an echo that is no string, all below ``path`` is meant)."""
    text: str
    """The text; the JSON text where an object stands at ``path``, as tool arguments do; empty for echoes that are no
    strings."""
    signed: bool = False
    """True where the text is covered by a signature: released or dropped whole, never edited."""
