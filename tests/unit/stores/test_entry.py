"""What a stored answer is as bytes, and that nothing else is one."""

from __future__ import annotations

import json
import pickle
import random
import zlib
from dataclasses import dataclass

import msgspec
import pytest
import zstandard
from hypothesis import assume, given
from hypothesis import strategies as st

from interlay.model.errors import ConfigError
from interlay.stores import entry as entries
from interlay.stores.entry import Entry, decode, encode
from interlay.stores.sealing import Seal

SEAL = Seal(b"k" * 32)
KEY = "0" * 64
BODY = json.dumps({"choices": [{"message": {"content": "a long answer, " * 40}}]}).encode()
ENTRY = Entry(
    key=KEY,
    status=200,
    headers=(("content-type", "application/json"),),
    form="body",
    body=BODY,
    created=1_800_000_000.5,
    fresh_until=1_800_003_600.5,
    record_id="r1",
    scope="tenant",
    tags=("faq", "de"),
)

seals = st.sampled_from([None, SEAL])
times = st.floats(min_value=0, max_value=1e11)
made = st.builds(
    Entry,
    key=st.text(),
    status=st.integers(100, 599),
    headers=st.lists(st.tuples(st.text(), st.text()), max_size=4).map(tuple),
    form=st.sampled_from(["body", "text/event-stream"]),
    # Long and repetitive enough, at times, to be compressed one way or the other.
    body=st.lists(st.builds(lambda piece, times: piece * times, st.binary(max_size=80), st.integers(0, 600))).map(
        b"".join
    ),
    created=times,
    fresh_until=times,
    record_id=st.text(),
    scope=st.text(),
    tags=st.lists(st.text(), max_size=3).map(tuple),
    trace_id=st.none() | st.text(),
    span_id=st.none() | st.text(),
)


def frame(entry: Entry = ENTRY, seal: Seal | None = None) -> bytes:
    encoded = encode(entry, seal)
    assert encoded is not None
    return encoded


def forged(flags: int, length: int, payload: bytes, *, marker: bytes = entries.MARKER, version: int = 1) -> bytes:
    """A frame with any head and a right checksum."""
    head = entries._CHECKED.pack(marker, version, flags, length)
    return head + zlib.crc32(payload, zlib.crc32(head)).to_bytes(4, "little") + payload


def longer(more: bytes) -> bytes:
    """The entry as an array with one item more."""
    plain = msgspec.msgpack.encode(ENTRY)
    assert plain[0] == 0x9E, "an array of fourteen"
    return b"\x9f" + plain[1:] + more


@given(made, seals)
def test_comes_back_as_it_was(entry: Entry, seal: Seal | None) -> None:
    assert decode(frame(entry, seal), entry.key, seal) == entry


@given(made, seals, st.data())
def test_a_flipped_bit_makes_it_no_entry(entry: Entry, seal: Seal | None, data: st.DataObject) -> None:
    damaged = bytearray(frame(entry, seal))
    for at in data.draw(st.sets(st.integers(0, len(damaged) * 8 - 1), min_size=1, max_size=3)):
        damaged[at // 8] ^= 1 << at % 8
    assert decode(bytes(damaged), entry.key, seal) is None


@given(made, seals, st.data())
def test_a_cut_or_a_tail_makes_it_no_entry(entry: Entry, seal: Seal | None, data: st.DataObject) -> None:
    whole = frame(entry, seal)
    assert decode(whole[: data.draw(st.integers(0, len(whole) - 1))], entry.key, seal) is None
    assert decode(whole + data.draw(st.binary(min_size=1)), entry.key, seal) is None


@given(st.binary(), seals)
def test_bytes_of_others_are_no_entry(data: bytes, seal: Seal | None) -> None:
    assert decode(data, KEY, seal) is None
    assert decode(entries.MARKER + data, KEY, seal) is None


@given(st.binary(), st.integers(0, 255), st.integers(0, 2**32 - 1) | st.integers(0, 64))
def test_bytes_of_others_behind_a_right_checksum_are_no_entry(payload: bytes, flags: int, length: int) -> None:
    assert decode(forged(flags, length, payload), KEY) is None
    assert decode(forged(flags, len(payload), payload), KEY) is None
    assert decode(forged(flags, length, payload), KEY, SEAL) is None


@given(
    st.recursive(st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=3) | st.binary(max_size=3), st.lists)
)
def test_messagepack_of_another_shape_is_no_entry(value: object) -> None:
    payload = msgspec.msgpack.encode(value)
    assert decode(forged(0, len(payload), payload), KEY) is None


@given(made, seals, st.text())
def test_is_none_of_another_key(entry: Entry, seal: Seal | None, key: str) -> None:
    assume(key != entry.key)
    assert decode(frame(entry, seal), key, seal) is None


class Bomb:
    """Says so if somebody unpickles it."""

    went_off = False

    def __reduce__(self) -> tuple[object, ...]:
        return (setattr, (Bomb, "went_off", True))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_not_run(protocol: int) -> None:
    poison = pickle.dumps(Bomb(), protocol)
    assert decode(poison, KEY) is None
    assert decode(forged(0, len(poison), poison), KEY) is None
    assert not Bomb.went_off


def test_of_another_version_or_marker_is_no_entry() -> None:
    payload = msgspec.msgpack.encode(ENTRY)
    assert decode(forged(0, len(payload), payload), KEY) == ENTRY
    assert decode(forged(0, len(payload), payload, version=2), KEY) is None
    assert decode(forged(0, len(payload), payload, marker=b"\xffIL"), KEY) is None
    assert decode(forged(3, len(payload), payload), KEY) is None
    assert decode(forged(0x20, len(payload), payload), KEY) is None


def test_nesting_without_end_is_no_entry() -> None:
    for payload in (b"\x91" * 100_000, longer(b"\x91" * 100_000)):
        assert decode(forged(0, len(payload), payload), KEY) is None


@dataclass
class Coding:
    flags: int
    packed: bytes


@pytest.mark.parametrize(
    "coding",
    [Coding(1, zlib.compress(bytes(2**24), 9)), Coding(2, zstandard.compress(bytes(2**24)))],
    ids=["zlib", "zstd"],
)
@pytest.mark.parametrize("length", [0, 10, 2**24 - 1, 2**24, 2**24 + 1, entries.MAX_BYTES + 1])
def test_what_inflates_to_something_else_is_no_entry(coding: Coding, length: int) -> None:
    assert decode(forged(coding.flags, length, coding.packed), KEY) is None


def test_reads_entries_that_fields_were_added_to() -> None:
    payload = longer(msgspec.msgpack.encode("something new"))
    assert decode(forged(0, len(payload), payload), KEY) == ENTRY


class TestCompression:
    def test_is_left_out_where_it_saves_little(self) -> None:
        noise = random.Random(5).randbytes(50_000)
        assert noise in frame(msgspec.structs.replace(ENTRY, body=noise))
        assert b"short" in frame(msgspec.structs.replace(ENTRY, body=b"short"))

    @pytest.mark.parametrize("repeats", [15, 500])
    def test_makes_text_shorter(self, repeats: int) -> None:
        long = msgspec.structs.replace(ENTRY, body=BODY * repeats)
        assert len(frame(long)) < len(BODY) * repeats / 4

    def test_by_zstd_is_unread_without_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        long = msgspec.structs.replace(ENTRY, body=BODY * 500)
        by_zstd = frame(long)
        monkeypatch.setattr(entries, "zstandard", None)
        assert decode(by_zstd, KEY) is None
        assert decode(frame(long), KEY) == long


class TestSeal:
    def test_hides_what_it_seals(self) -> None:
        secret = msgspec.structs.replace(ENTRY, body=b"my word")
        assert b"my word" in frame(secret)
        sealed = frame(secret, SEAL)
        assert b"my word" not in sealed
        assert b"tenant" not in sealed
        assert frame(secret, SEAL) != sealed, "a nonce of its own each time"

    def test_an_unsealed_entry_is_none_to_whoever_seals(self) -> None:
        assert decode(frame(), KEY, SEAL) is None
        assert decode(frame(seal=SEAL), KEY) is None

    def test_opens_with_an_older_key_and_with_no_other(self) -> None:
        old, new = Seal(b"o" * 16), Seal(b"n" * 32, b"o" * 16)
        assert decode(frame(seal=old), KEY, new) == ENTRY
        assert decode(frame(seal=new), KEY, old) is None

    def test_refuses_another_head_of_the_same_length(self) -> None:
        sealed = frame(seal=SEAL)
        payload, (*_, flags, length, _check) = sealed[entries.OVERHEAD :], entries._HEAD.unpack_from(sealed)
        assert forged(flags, length, payload) == sealed
        assert decode(forged(flags, length + 1, payload), KEY, SEAL) is None

    @pytest.mark.parametrize("keys", [(), (b"short",), ("k" * 32,), (b"k" * 32, b"")])
    def test_says_what_a_key_is(self, keys: tuple[bytes, ...]) -> None:
        with pytest.raises(ConfigError, match="16, 24 or 32 bytes"):
            Seal(*keys)

    def test_shows_no_key(self) -> None:
        assert repr(SEAL) == "Seal(<1 keys>)"


def test_what_cannot_be_kept_is_not_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert encode(msgspec.structs.replace(ENTRY, scope="\ud800")) is None
    assert encode(msgspec.structs.replace(ENTRY, status=2**70)) is None
    monkeypatch.setattr(entries, "MAX_BYTES", 500)
    assert encode(ENTRY) is None
