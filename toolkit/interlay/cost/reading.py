"""A provider's own usage object, or a stream's events, in canonical form, for any API we know by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from interlay import dialects
from interlay.dialects.counts import Counts
from interlay.model import json
from interlay.model.cost import Estimate
from interlay.model.errors import ConfigError, DecodeError
from interlay.model.protocols import Dialect, WireEvent
from interlay.model.tokens import TOKENIZER
from interlay.model.usage import Usage

Path = tuple[str, ...]

_NUMBERS: Final = msgspec.json.Encoder(decimal_format="number")

APIS: Final[Mapping[str, str]] = {
    "chat": "openai-chat",
    "chat.completions": "openai-chat",
    "messages": "anthropic-messages",
    "messages.batches": "anthropic-messages",
    "responses": "openai-responses",
    "embeddings": "openai-embeddings",
    "images": "openai-images",
    "generateContent": "gemini",
    "streamGenerateContent": "gemini",
    "vertex": "gemini",
    "converse": "bedrock-converse",
}
"""Names that APIs go by besides our dialects' own."""

MAKERS: Final[Mapping[str, str]] = {
    "openai-chat": "openai",
    "openai-responses": "openai",
    "openai-embeddings": "openai",
    "openai-images": "openai",
    "anthropic-messages": "anthropic",
    "gemini": "gemini",
    "bedrock-converse": "bedrock",
    "cohere": "cohere",
}
"""Who made an API: the provider that is meant where none is named."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Where an API's usage object has what. Totals are sums of the fields that are there."""

    input: tuple[Path, ...]
    output: tuple[Path, ...] = ()
    """Empty for an API that has no completion: then the output is nothing, not unknown."""
    total: Path
    parts: Mapping[str, Path]
    """Counts of ``Usage`` that are parts of the two totals."""
    output_is_image: bool = False
    """Whether a completion without details is images."""


SHAPES: Final[Mapping[str, Shape]] = {
    "openai-images": Shape(
        input=(("input_tokens",),),
        output=(("output_tokens",),),
        total=("total_tokens",),
        parts={
            "input_image_tokens": ("input_tokens_details", "image_tokens"),
            "cache_read_tokens": ("input_tokens_details", "cached_tokens"),
            "output_image_tokens": ("output_tokens_details", "image_tokens"),
        },
        output_is_image=True,
    ),
    "bedrock-converse": Shape(
        input=(("inputTokens",), ("cacheReadInputTokens",), ("cacheWriteInputTokens",)),
        output=(("outputTokens",),),
        total=("totalTokens",),
        parts={
            "cache_read_tokens": ("cacheReadInputTokens",),
            "cache_write_tokens": ("cacheWriteInputTokens",),
        },
    ),
}
"""APIs whose dialects are not written yet."""


def dialect_name(api: str) -> str:
    """The dialect of an API by any of its names. Raises ``ConfigError``."""
    name = APIS.get(api, api) if isinstance(api, str) else None
    if name is None or (name not in MAKERS and dialects.named(name) is None):
        known = ", ".join(sorted({*APIS, *MAKERS}))
        raise ConfigError(f"api: {api!r}; expected one of {known}")
    return name


def read(usage: object, api: str) -> tuple[Usage | None, Estimate | None]:
    """Canonical usage of a response, and what could be counted where it has none.

    ``usage`` is the provider's object, its JSON as text (whose fractions are read as decimals), a ``Usage``,
    the events of a stream as JSON objects in order, or None. ``api`` is a dialect's name. Raises
    ``ConfigError``.
    """
    if isinstance(usage, str | bytes | bytearray):
        usage = _decoded(usage)
    if usage is None or isinstance(usage, Usage):
        return usage, None
    try:
        if isinstance(usage, Mapping):
            return _canonical(usage, api), None
        if isinstance(usage, Sequence):
            return _of_stream(usage, api)
    except (TypeError, OverflowError, RecursionError) as error:
        raise ConfigError(f"usage: {error}; expected values that are JSON") from error
    raise ConfigError(
        f"usage: {type(usage).__name__}; expected the provider's usage object, its JSON text, a Usage, "
        f"a list of stream events, or None"
    )


def _decoded(text: str | bytes | bytearray) -> object:
    try:
        decoded: object = json.decode_exact(text.encode() if isinstance(text, str) else bytes(text))
    except (DecodeError, UnicodeEncodeError) as error:
        raise ConfigError(f"usage: {error}; expected JSON text of the provider's usage object") from error
    return decoded


def _canonical(raw: Mapping[str, Any], api: str) -> Usage:
    dialect = dialects.named(api)
    return dialect.usage(_NUMBERS.encode(raw)) if dialect is not None else _shaped(raw, SHAPES[api])


def _of_stream(listed: Sequence[object], api: str) -> tuple[Usage | None, Estimate | None]:
    events: list[Mapping[str, Any]] = []
    for place, event in enumerate(listed):
        if not isinstance(event, Mapping):
            raise ConfigError(f"usage[{place}]: {type(event).__name__}; expected a stream event, a JSON object")
        events.append(event)
    dialect = dialects.named(api)
    if dialect is not None:
        return _tracked(events, dialect)
    for event in reversed(events):
        found = event.get("usage")
        if isinstance(found, Mapping):
            return _canonical(found, api), None
    return None, None


def _tracked(events: list[Mapping[str, Any]], dialect: Dialect) -> tuple[Usage | None, Estimate]:
    """What the chain itself would have gathered from these events."""
    tracker = dialect.tracker()
    for event in events:
        kind = event.get("type")
        data = _NUMBERS.encode(event)
        tracker.event(WireEvent(b"", kind if isinstance(kind, str) else None, data))
    count = round(tracker.output_tokens_estimate)
    return tracker.usage, Estimate(input_tokens=None, output_tokens=count, tokenizer=TOKENIZER)


def _shaped(raw: Mapping[str, Any], shape: Shape) -> Usage:
    counts = Counts(raw)
    whole_in = _sum(counts, shape.input)
    whole_out = _sum(counts, shape.output) if shape.output else 0
    total = counts.get(*shape.total)
    if total is not None and whole_in is not None and whole_out is not None and whole_in + whole_out != total:
        counts.flag("usage_inconsistent")
    fields: dict[str, int] = {}
    for name, path in shape.parts.items():
        fields[name] = counts.part(whole_out if name.startswith(("output", "reasoning")) else whole_in, path)
    if shape.output_is_image and whole_out and counts.get("output_tokens_details", "text_tokens") is None:
        fields["output_image_tokens"] = fields["output_image_tokens"] or whole_out
    tier = raw.get("service_tier")
    return Usage(
        input_tokens=whole_in,
        output_tokens=whole_out,
        service_tier=tier if isinstance(tier, str) else None,
        flags=counts.flags,
        raw=msgspec.Raw(_NUMBERS.encode(raw)),
        **fields,  # type: ignore[arg-type]
    )


def _sum(counts: Counts, paths: tuple[Path, ...]) -> int | None:
    found = [count for path in paths if (count := counts.get(*path)) is not None]
    return sum(found) if found else None
