"""YAML, strictly: places, duplicate keys, aliases, tags, and words that are words."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlay.config import reading
from interlay.config.problems import Complaints
from interlay.config.reading import Node, Scalar, read


def plain(node: Node | None) -> Any:
    if isinstance(node, reading.Mapping):
        return {member.key: plain(member.node) for member in node.members}
    if isinstance(node, reading.Sequence):
        return [plain(item) for item in node.items]
    return node.value if isinstance(node, Scalar) else None


def problems(text: str | bytes) -> list[str]:
    complaints = Complaints("f")
    read(text.encode() if isinstance(text, str) else text, complaints)
    return [str(problem) for problem in complaints.problems]


def value(text: str) -> Any:
    complaints = Complaints("f")
    node = read(text.encode(), complaints)
    assert complaints.problems == []
    return plain(node)


_TEXT = st.text(st.characters(max_codepoint=0xD7FF), max_size=9)  # JSON writes others in two halves, YAML does not


class TestScalars:
    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            # What YAML 1.1 makes a boolean, a date, a number to the base of 60 or of 8.
            *[(word, word) for word in ("no", "NO", "yes", "on", "off", "y", "n")],
            ("2026-11-25", "2026-11-25"),
            ("1:30", "1:30"),
            ("010", 10),
            ("1_000", "1_000"),
            (".inf", ".inf"),
            (".nan", ".nan"),
            ("=", "="),
            # What the core schema of YAML 1.2 says.
            ("true", True),
            ("False", False),
            ("tRue", "tRue"),
            ("~", None),
            ("null", None),
            ("", None),
            ("-17", -17),
            ("0o17", 15),
            ("0x1F", 31),
            ("1e3", 1000.0),
            ("+.5", 0.5),
            ("1.", 1.0),
            (".", "."),
            ("99999999999999999999", 99999999999999999999.0),
            ("'5'", "5"),
            ('"true"', "true"),
            ("|\n  a\n  b", "a\nb"),
        ],
    )
    def test_are_what_they_look_like(self, text: str, meant: Any) -> None:
        found = value(f"key: {text}")["key"]
        assert (found, type(found)) == (meant, type(meant))

    @given(st.recursive(
        st.none() | st.booleans() | st.integers(-(10**17), 10**17) | _TEXT
        | st.floats(allow_nan=False, allow_infinity=False, width=32),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
        max_leaves=12,
    ))  # fmt: skip
    def test_json_is_read_as_json(self, meant: Any) -> None:
        read_back = value(json.dumps({"key": meant}))["key"]
        assert read_back == meant


class TestPlaces:
    def test_are_lines_and_columns_from_one(self) -> None:
        complaints = Complaints("f")
        node = read("# ä\nä: 1\nlist:\n  - x\n  -   y: ö\n".encode("utf-8-sig"), complaints)
        assert isinstance(node, reading.Mapping)
        first, second = node.members
        assert (first.place, first.node.place) == ((2, 1), (2, 4))
        assert isinstance(second.node, reading.Sequence)
        assert [item.place for item in second.node.items] == [(4, 5), (5, 7)]


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("a: 1\nb: 2\na: 3", "f:3:1: a is here twice; it is in line 1 already"),
            ("a: {b: 1, b: 2}", "f:1:11: b is here twice; it is in line 1 already"),
            ("a: 1\n<<: {a: 2}\n<<: {}", "f:3:1: << is here twice; it is in line 2 already"),
            ("a: !!python/object/apply:os.system [ls]", "f:1:4: tags such as !!python/object/apply:os.system"),
            ("a: !mine 1", "f:1:4: tags such as !mine are not taken"),
            ("a: !!int 1", "f:1:4: tags such as !!int are not taken"),
            ("a: &x [*x]", "f:1:4: contains itself"),
            ("? [a]\n: 1", "f:1:3: expected a name before the colon"),
            ("a: b: c", "f:1:5: no YAML: mapping values are not allowed here"),
            ("a:\n\t- b", "f:2:1: no YAML: while scanning for the next token, found character"),
            ("a: *nothing", "f:1:4: no YAML: found undefined alias"),
            ("--- 1\n--- 2", "f:2:1: no YAML: expected a single document in the stream"),
            ("a: {b: [" * 20 + "]}" * 20, "f:1:89: nested more than 32 levels deep"),
            ("[" * 100_000, "f: nested more than 32 levels deep"),
            ('a: "\\ud83d"', "f:1:4: no text: half of a surrogate pair"),
            ("a: \x07", "f:1:4: no YAML: special characters are not allowed"),
            (b"a: 1\nb: \xff", "f:2:4: expected UTF-8"),
            (b"#" * (reading.MAX_BYTES + 1), "f: larger than 1,048,576 bytes"),
        ],
        ids=str,
    )
    def test_say_where_and_why(self, text: str | bytes, problem: str) -> None:
        (told,) = problems(text)
        assert told.startswith(problem)

    def test_ten_lines_cannot_stand_for_millions_of_values(self) -> None:
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
        began = time.monotonic()
        (told,) = problems("\n".join(lines))
        assert time.monotonic() - began < 10
        assert "its aliases written out" in told

    def test_nor_many_aliases_for_a_few(self) -> None:
        assert problems("a: &a 1\nb: [" + "*a, " * 100 + "]") == []
        (told,) = problems("a: &a 1\nb: [" + "*a, " * 101 + "]")
        assert told.endswith("more than 100 aliases")

    def test_what_is_wrong_in_an_alias_is_said_once(self) -> None:
        assert len(problems("a: &a {b: !mine 1}\nc: *a\nd: [*a, *a]")) == 1

    def test_all_are_said_at_once(self) -> None:
        assert len(problems("a: !x 1\nb: !y 2\nb: 3\nc: {d: !z 4}")) == 4


def test_nothing_is_an_empty_configuration() -> None:
    assert value("") == value("# only a comment\n") == {}
