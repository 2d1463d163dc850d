from __future__ import annotations

import contextlib
import json as stdlib
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlay.model import json
from interlay.model.errors import DecodeError

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


class TestDecode:
    @given(values)
    def test_gives_what_was_encoded(self, value: object) -> None:
        assert json.decode(json.encode(value)) == value

    @given(st.binary(max_size=200))
    def test_raises_nothing_but_its_own_error(self, data: bytes) -> None:
        for read in (json.decode, json.decode_exact, json.has_duplicate_keys):
            with contextlib.suppress(DecodeError):
                read(data)

    @pytest.mark.parametrize("depth", [128, 127, 1])
    def test_takes_a_depth_up_to_the_limit(self, depth: int) -> None:
        assert depth_of(json.decode(b"[" * depth + b"]" * depth)) == depth

    @pytest.mark.parametrize("depth", [129, 900, 1000, 100_000])
    @pytest.mark.parametrize("pair", [b"[]", b'{"a":}'], ids=["list", "object"])
    def test_refuses_what_is_deeper(self, depth: int, pair: bytes) -> None:
        data = pair[:-1] * depth + b"1" + pair[-1:] * depth
        for read in (json.decode, json.decode_exact, json.has_duplicate_keys):
            with pytest.raises(DecodeError, match="nested"):
                read(data)

    def test_brackets_in_strings_are_no_depth(self) -> None:
        value = {"a": "[" * 500, 'b\\"[{': ["\\" * 3 + '"{' * 200], "c": '\\"[['}
        assert json.decode(json.encode(value)) == value

    def test_strings_cannot_hide_depth(self) -> None:
        data = b'[ "]", ' * 300 + b"1" + b', "["]' * 300
        assert stdlib.loads(data)
        with pytest.raises(DecodeError, match="nested"):
            json.decode(data)

    @given(values, st.integers(0, 6))
    def test_the_depth_is_exact(self, value: object, limit: int) -> None:
        assert json.deeper_than(json.encode(value), limit) == (depth_of(value) > limit)

    def test_refuses_what_is_large(self) -> None:
        assert json.decode(b'"' + b"x" * 98 + b'"', limit=100) == "x" * 98
        with pytest.raises(DecodeError, match="100 bytes"):
            json.decode(b'"' + b"x" * 99 + b'"', limit=100)

    def test_refuses_what_is_wide(self) -> None:
        assert len(json.decode(b"[" + b"1," * 499_000 + b"1]")) == 499_001
        for item in (b"{},", b"[],", b"1,", b'"",'):
            with pytest.raises(DecodeError, match="500000 values"):
                json.decode(b"[" + item * 600_000 + b"1]")

    def test_commas_in_a_long_text_are_no_width(self) -> None:
        table = 'a,b,"c","d",\\\n' * 200_000
        assert json.decode(json.encode({"content": table}))["content"] == table

    @pytest.mark.parametrize(
        "data",
        [
            b"NaN", b"Infinity", b"1e400", b"1e1000000", b"9" * 5000, b'"\\ud800"', b'"\xc0\x80"', b"\xef\xbb\xbf{}",
            "{}".encode("utf-16"), b'"\x00"', b"", b'{"a":', b"{} x", b"nul", b"'a'", b'"\xff"', b'{"\xff":1}', b"\xff",
        ],
    )  # fmt: skip
    def test_refuses_what_is_no_json(self, data: bytes) -> None:
        with pytest.raises(DecodeError):
            json.decode(data)

    def test_messages_hold_nothing_of_the_data(self) -> None:
        class Shape(msgspec.Struct):
            model: int = 0

        for data in (b'{"model":"canary"}', b'{"model":canary}', b'"canary\xff"', b'{"model":1e400}', b"[canary"):
            with pytest.raises(DecodeError) as caught:
                json.decode(data, type=Shape)
            assert "canary" not in str(caught.value)
            assert caught.value.__cause__ is None

    def test_reads_into_a_type(self) -> None:
        assert json.decode(b"[1,2]", type=list[int]) == [1, 2]
        with pytest.raises(DecodeError):
            json.decode(b'["1"]', type=list[int])


class TestExactNumbers:
    def test_are_as_they_were_written(self) -> None:
        decoded = json.decode_exact(b'{"a":0.00170025,"b":1.10,"c":1e-5,"d":12,"e":0.1e400}')
        assert decoded == {
            "a": Decimal("0.00170025"),
            "b": Decimal("1.10"),
            "c": Decimal("0.00001"),
            "d": 12,
            "e": Decimal("0.1e400"),
        }
        assert str(decoded["b"]) == "1.10"
        assert isinstance(decoded["d"], int)


class TestTwins:
    @pytest.mark.parametrize(
        "data",
        [
            b'{"messages":1,"messages":2}',
            b'{"a":{"b":1,"c":2,"b":3}}',
            b'[[{"x":[{"k":1,"k":1}]}]]',
            b'{"model":1,"\\u006dodel":2}',
        ],
    )
    def test_are_found(self, data: bytes) -> None:
        assert json.has_duplicate_keys(data)

    @given(values)
    def test_are_not_found_where_there_are_none(self, value: object) -> None:
        assert not json.has_duplicate_keys(json.encode(value))

    @pytest.mark.parametrize(
        "data", [b'{"a": 1}', b'{"\\u0061":1}', b'{"a":1.50}', b'{"a":"\\":","b":{"a":[":"]}}', b' ":" ']
    )
    def test_are_not_what_is_written_otherwise(self, data: bytes) -> None:
        assert not json.has_duplicate_keys(data)


class Inner(msgspec.Struct):
    index: int = -1
    text: str | None = None


class Outer(msgspec.Struct):
    id: str | None = None
    count: int | None = None
    inner: Inner | None = None
    items: list[Inner] | None = None
    raw: msgspec.Raw = msgspec.Raw()


class TestReader:
    reader = json.Reader(Outer)

    def test_reads_what_it_declares(self) -> None:
        found = self.reader.read(b'{"id":"a","count":2,"other":[1],"raw": {"x": 1.50}}')
        assert (found.id, found.count, bytes(found.raw)) == ("a", 2, b'{"x": 1.50}')
        with pytest.raises(DecodeError):
            self.reader.read(b'{"id":"a","count":"2"}')

    def test_leniently_leaves_out_what_is_of_another_type(self) -> None:
        found = self.reader.lenient(b'{"id":"a","count":"2","inner":{"index":[],"text":"t"},"raw":1}')
        assert (found.id, found.count, found.inner) == ("a", None, Inner(text="t"))
        assert bytes(found.raw) == b"1"

    def test_leniently_keeps_the_good_of_a_list(self) -> None:
        found = self.reader.lenient(b'{"items":[{"index":1},7,null,{"index":"x","text":"y"},{"index":2}],"count":{}}')
        assert found.items == [Inner(index=1), Inner(text="y"), Inner(index=2)]

    @pytest.mark.parametrize("data", [b"[]", b'"a"', b"1", b"null", b"", b"{", b'{"id":\xff}', b"[" * 5000])
    def test_is_not_lenient_with_what_is_no_object(self, data: bytes) -> None:
        with pytest.raises(DecodeError):
            self.reader.lenient(data)

    @given(st.dictionaries(st.sampled_from(["id", "count", "inner", "items", "index", "text"]), values))
    def test_leniently_agrees_with_strictly(self, value: dict[str, object]) -> None:
        data = json.encode(value)
        lenient = self.reader.lenient(data)
        try:
            strict = self.reader.read(data)
        except DecodeError:
            return
        assert lenient == strict

    def test_refuses_what_is_wide_or_deep(self) -> None:
        for data in (b'{"items":[' + b"{}," * 600_000 + b"{}]}", b'{"x":' + b"[" * 100_000):
            with pytest.raises(DecodeError):
                self.reader.lenient(data)
