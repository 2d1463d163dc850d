from __future__ import annotations

import json as stdlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlay.model.errors import DecodeError
from interlay.model.members import MAX_MEMBERS, cut_member, end_of_value, find_member, members, set_member

KEYS = ("usage", "a", 'b"', "\\", "é", "")
space = st.sampled_from(["", "", " ", "\n\t"])
leaves = st.sampled_from([None, True, 1, -2.5, "", '"usage":null', '\\"', "}{][", "é,:", "\u2028"])
nested = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)
)


@st.composite
def objects(draw: st.DrawFn) -> tuple[bytes, list[tuple[str, object]]]:
    """The text of an object in any notation, with keys twice, and its members."""
    pairs = draw(st.lists(st.tuples(st.sampled_from(KEYS), nested), max_size=6))
    written = []
    for key, value in pairs:
        name = stdlib.dumps(key, ensure_ascii=draw(st.booleans()))
        if key == "usage" and draw(st.booleans()):
            name = '"\\u0075sage"'
        text = stdlib.dumps(value, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
        written.append(draw(space) + name + draw(space) + ":" + draw(space) + text + draw(space))
    return (draw(space) + "{" + draw(space) + ",".join(written) + "}" + draw(space)).encode(), pairs


def pairs_of(data: bytes) -> list[tuple[str, object]]:
    depth_first: list[list[tuple[str, object]]] = []

    def keep(pairs: list[tuple[str, object]]) -> dict[str, object]:
        depth_first.append(pairs)
        return dict(pairs)

    stdlib.loads(data, object_pairs_hook=keep)
    return depth_first[-1]


@given(objects())
def test_members_are_where_they_say(drawn: tuple[bytes, list[tuple[str, object]]]) -> None:
    data, pairs = drawn
    found = members(data)
    assert [(each.key, stdlib.loads(data[each.value : each.end])) for each in found] == pairs
    assert all(data[each.start : each.start + 1] == b'"' for each in found)


@given(objects())
def test_finding_takes_the_last_of_that_name(drawn: tuple[bytes, list[tuple[str, object]]]) -> None:
    data, pairs = drawn
    found = find_member(data, "usage")
    if found is None:
        assert "usage" not in dict(pairs)
    else:
        assert stdlib.loads(data[found.value : found.end]) == dict(pairs)["usage"]


@given(objects())
def test_cutting_takes_nothing_else(drawn: tuple[bytes, list[tuple[str, object]]]) -> None:
    data, pairs = drawn
    cut = cut_member(data, "usage")
    assert pairs_of(cut) == [pair for pair in pairs if pair[0] != "usage"]
    if "usage" not in dict(pairs):
        assert cut == data


@given(objects(), nested)
def test_setting_changes_nothing_else(drawn: tuple[bytes, list[tuple[str, object]]], value: object) -> None:
    data, pairs = drawn
    wanted = list(pairs)
    at = max((at for at, pair in enumerate(pairs) if pair[0] == "usage"), default=None)
    if at is None:
        wanted.append(("usage", value))
    else:
        wanted[at] = ("usage", value)
    assert pairs_of(set_member(data, "usage", stdlib.dumps(value).encode())) == wanted


def test_all_else_stays_byte_for_byte() -> None:
    data = b'{ "a" : 1.50 ,\t"usage":null, "text":"\\u0041 \\"usage\\":null" }\n'
    assert cut_member(data, "usage") == b'{ "a" : 1.50, "text":"\\u0041 \\"usage\\":null" }\n'
    assert set_member(data, "a", b"2") == data.replace(b"1.50", b"2")
    assert set_member(b"{ }", "a", b"1") == b'{"a":1 }'


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b'"a"', b"{", b'{"a":1', b'{"a"}', b"{} {}", b"\xff", b"[" * 5000])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    for change in (members, lambda data: cut_member(data, "a"), lambda data: set_member(data, "a", b"1")):
        with pytest.raises(DecodeError):
            change(data)


def test_a_value_that_does_not_end_is_refused() -> None:
    assert end_of_value(b' {"a":["}"]} ', 1) == 12
    with pytest.raises(DecodeError):
        end_of_value(b'{"a":[1', 0)


def test_many_members_of_one_name_take_linear_time() -> None:
    data = b"{" + b",".join([b'"usage":null'] * (MAX_MEMBERS - 1)) + b',"a":1}'
    assert cut_member(data, "usage") == b'{"a":1}'


@pytest.mark.parametrize("comma", [b",", b", "])
def test_very_many_members_are_refused(comma: bytes) -> None:
    for data in (
        b"{" + comma.join([b'"usage":null'] * (MAX_MEMBERS + 1)) + b"}",
        b"{" + comma.join(b'"%07x":1' % number for number in range(300_000)) + b"}",
    ):
        with pytest.raises(DecodeError, match="members"):
            members(data)


def test_a_long_text_is_not_very_many_members() -> None:
    said = stdlib.dumps({"content": 'He said, "no", "never" and, "not now",' * 100_000, "usage": None}).encode()
    assert [member.key for member in members(said)] == ["content", "usage"]
