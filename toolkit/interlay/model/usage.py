"""What a call used, in one canonical form for every API."""

from __future__ import annotations

from decimal import Decimal

import msgspec


class Usage(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    """Quantities a provider reported for one response. All counts are tokens unless the name says otherwise.

    ``input_tokens`` and ``output_tokens`` are inclusive totals: what the prompt and the completion hold as a
    whole, whatever the provider's own field means. The other token counts are *parts* of one of the two
    totals. ``None`` is "not reported"; a reported zero is zero.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None

    cache_read_tokens: int = 0
    """Part of the input that was read from the provider's prompt cache."""
    cache_write_tokens: int = 0
    """Part of the input that was written to the provider's prompt cache, all lifetimes together."""
    cache_write_5m_tokens: int = 0
    """Part of ``cache_write_tokens`` kept for five minutes."""
    cache_write_1h_tokens: int = 0
    """Part of ``cache_write_tokens`` kept for one hour."""
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    cache_read_audio_tokens: int = 0
    """Part of both ``cache_read_tokens`` and ``input_audio_tokens``."""
    cache_read_image_tokens: int = 0
    """Part of both ``cache_read_tokens`` and ``input_image_tokens``."""

    reasoning_tokens: int = 0
    """Part of the output the model spent on reasoning."""
    output_audio_tokens: int = 0
    output_image_tokens: int = 0
    citation_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0
    """Part of the output: predicted tokens that were not used, and are billed all the same."""

    tools: dict[str, int] = {}
    """Units of server-side tools by the name of the unit they are priced in: ``{"web_search": 3}``."""
    service_tier: str | None = None
    """The tier that served the call, where the usage object says so."""
    cost: Decimal | None = None
    """US dollars, where the provider itself states what it charged."""
    flags: tuple[str, ...] = ()
    """What is wrong with the provider's figures: ``usage_inconsistent`` (parts exceed their total, or the
    total differs from its parts), ``usage_invalid`` (a figure that is no non-negative integer up to 2**53, or
    a cost that is no decimal with an exponent of at most 30 either way)."""
    raw: msgspec.Raw = msgspec.Raw(b"null")
    """The provider's own usage object, as it stood on the wire."""
