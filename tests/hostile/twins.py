"""6: equal keys, at the top and nested. 7: the same key once more, escaped."""

from __future__ import annotations

from collections.abc import Iterator

from tests.hostile.inputs import Hostile, Ordinary, Size, with_last_member, with_member

_TOP = (
    b'"model":"other"',
    b'"model":null',
    b'"messages":[]',
    b'"stream":false',
    b'"stream":true',
    b'"stream_options":{"include_usage":false}',
    b'"choices":[]',
    b'"content":[]',
    b'"usage":null',
    b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"input_tokens":1,"output_tokens":1}',
    b'"type":"other"',
    b'"id":"other"',
)
_ESCAPED = (
    rb'"\u006dodel":"other"',
    rb'"mod\u0065l":7',
    rb'"\u0073tream":false',
    rb'"message\u0073":[]',
    rb'"\u0075sage":{}',
    rb'"\u0063hoices":null',
    rb'"\u0065rror":{"type":"other"}',
)
_NESTED = (b'"metadata":{"a":"1","a":"2"}', rb'"metadata":{"a":"1","\u0061":"2"}', b'"x":[{"a":{"b":1,"b":2}}]')


def inputs(ordinary: Ordinary, size: Size) -> Iterator[Hostile]:
    for number, members in ((6, (*_TOP, *_NESTED)), (7, _ESCAPED)):
        for member in members:
            yield Hostile(f"{number} first {member.decode()}", with_member(member))
            # An error object in an answer is the provider's own word that it failed.
            yield Hostile(f"{number} last {member.decode()}", with_last_member(member))
