"""Usage taken apart: each token in exactly one leaf."""

from __future__ import annotations

from interlay.model.usage import Usage

Leaf = tuple[str, int]
"""A unit of ``rows.PARENTS`` and how much of it was used."""


def input_leaves(usage: Usage, whole: int) -> tuple[list[Leaf], bool]:
    """The prompt's leaves, whose sum is ``whole``, and whether the parts fit into their wholes.

    Where they do not, the parts stand as the provider reported them and the rest is nothing: their sum is
    then more than ``whole``, which is never the user's loss unseen, because the caller flags it.
    """
    read, written = usage.cache_read_tokens, usage.cache_write_tokens
    audio, image = usage.input_audio_tokens, usage.input_image_tokens
    if not (written or audio or image):
        rest = whole - read
        if rest >= 0:
            return [("input", rest), ("cache_read", read)], True
        return [("cache_read", read)], False
    five, hour = usage.cache_write_5m_tokens, usage.cache_write_1h_tokens
    read_audio, read_image = usage.cache_read_audio_tokens, usage.cache_read_image_tokens
    leaves = [
        ("input", whole - read - max(written, five + hour) - (audio - read_audio) - (image - read_image)),
        ("cache_read", read - read_audio - read_image),
        ("cache_write", written - five - hour),
        ("cache_write_5m", five),
        ("cache_write_1h", hour),
        ("input_audio", audio - read_audio),
        ("cache_read_audio", read_audio),
        ("input_image", image - read_image),
        ("cache_read_image", read_image),
    ]
    return _fitting(leaves)


def output_leaves(usage: Usage, whole: int) -> tuple[list[Leaf], bool]:
    """The completion's leaves, as ``input_leaves``."""
    reasoning, audio = usage.reasoning_tokens, usage.output_audio_tokens
    image, citation = usage.output_image_tokens, usage.citation_tokens
    if not (reasoning or audio or image or citation):
        return [("output", whole)], True
    leaves = [
        ("output", whole - reasoning - audio - image - citation),
        ("reasoning", reasoning),
        ("output_audio", audio),
        ("output_image", image),
        ("citation", citation),
    ]
    return _fitting(leaves)


def _fitting(leaves: list[Leaf]) -> tuple[list[Leaf], bool]:
    fits = all(quantity >= 0 for _, quantity in leaves)
    return (leaves if fits else [leaf for leaf in leaves if leaf[1] > 0]), fits
