"""Frames: what is whole is found, whatever stands round it."""

import random
import struct
from itertools import pairwise
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from interlay.chain.frames import HEAD_SIZE, MARKER, OVERHEAD, Frame, Scanner, encode

PAYLOADS = [b'{"n":1}', b"", b'{"text":"\xc3\xa9"}' * 9, b"{" + b" " * 300 + b"}"]


def frames(payloads: list[bytes] = PAYLOADS) -> list[bytes]:
    return [encode(payload, 1_000 + n, n) for n, payload in enumerate(payloads)]


def scan(data: bytes, *, offset: int = 0) -> list[Frame]:
    scanner = Scanner(offset)
    return scanner.feed(data) + scanner.finish()


def payloads_in(data: bytes) -> list[bytes]:
    return [frame.payload for frame in scan(data)]


def test_a_frame_says_what_it_was_given_and_where_it_stood() -> None:
    first, second = encode(b"one", 5, 7, 2), encode(b"two", 6, 8)
    assert len(first) == OVERHEAD + 3
    assert scan(first + second, offset=100) == [
        Frame(100, 100 + len(first), 1, 5, 7, 2, b"one"),
        Frame(100 + len(first), 100 + len(first) + len(second), 1, 6, 8, 0, b"two"),
    ]


@given(st.lists(st.integers(0, 900), max_size=12))
def test_any_splitting_gives_the_same_frames(cuts: list[int]) -> None:
    data = b"".join(frames())
    scanner, found = Scanner(), list[bytes]()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        found += [frame.payload for frame in scanner.feed(data[start:end])]
    assert found == PAYLOADS
    assert scanner.offset == scanner.fed == len(data)
    assert scanner.skipped == 0


def test_a_frame_torn_at_any_byte_costs_only_itself() -> None:
    parts = frames()
    for torn in range(len(parts)):
        for kept in range(len(parts[torn])):
            data = b"".join([*parts[:torn], parts[torn][:kept], *parts[torn + 1 :]])
            assert payloads_in(data) == PAYLOADS[:torn] + PAYLOADS[torn + 1 :], (torn, kept)


def test_a_byte_changed_anywhere_costs_only_its_frame() -> None:
    parts = frames()
    for torn in range(len(parts)):
        for at in range(len(parts[torn])):
            for flip in (0x01, 0x80, 0xFF):
                damaged = bytearray(parts[torn])
                damaged[at] ^= flip
                data = b"".join([*parts[:torn], bytes(damaged), *parts[torn + 1 :]])
                found = payloads_in(data)
                assert [p for n, p in enumerate(PAYLOADS) if n != torn] == found, (torn, at, flip)


@given(st.data())
def test_nothing_is_made_up_from_noise(data: st.DataObject) -> None:
    noise = data.draw(st.binary(max_size=200))
    pieces: list[bytes] = []
    for part in frames():
        pieces += [part, data.draw(st.sampled_from([b"", noise, MARKER, MARKER + noise, noise + MARKER[:2]]))]
    assert payloads_in(b"".join(pieces)) == PAYLOADS


def test_an_unfinished_frame_is_waited_for() -> None:
    whole, last = encode(b"whole", 1, 0), encode(b"last", 2, 1)
    for kept in range(len(last)):
        scanner = Scanner()
        assert [f.payload for f in scanner.feed(whole + last[:kept])] == [b"whole"]
        assert scanner.finish() == []
        assert scanner.offset == len(whole)
        assert [f.payload for f in scanner.feed(last[kept:])] == [b"last"]
        assert scanner.skipped == 0


def test_damage_is_counted_once_it_is_certain() -> None:
    torn, whole = encode(b"x" * 50, 1, 0)[:-10], encode(b"whole", 2, 1)
    scanner = Scanner()
    assert scanner.feed(torn) == []
    assert scanner.skipped == 0
    assert [f.payload for f in scanner.feed(whole) + scanner.finish()] == [b"whole"]
    assert scanner.skipped == len(torn)


def test_a_version_that_is_not_known_is_given_whole_and_stepped_over() -> None:
    body = b"a body of another make, with no header that we know"
    newer = struct.pack("<3sBII", MARKER, 9, len(body), crc32(body, 9)) + body
    assert len(newer) == HEAD_SIZE + len(body)
    found = scan(encode(b"one", 1, 0) + newer + encode(b"two", 2, 2))
    assert [(f.version, f.payload) for f in found] == [(1, b"one"), (9, body), (1, b"two")]


def test_an_absurd_length_does_not_swallow_what_follows(rng: random.Random) -> None:
    liar = struct.pack("<3sBII", MARKER, 1, 0xFFFF_FFF0, 1) + rng.randbytes(40)
    scanner = Scanner()
    assert [f.payload for f in scanner.feed(liar + encode(b"here", 1, 0))] == [b"here"]
