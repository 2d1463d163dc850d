"""One form for all spellings of a JSON value, and finding keys that stand twice by counting."""

from __future__ import annotations

import json as stdlib
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.properties.test_law_10 import bodies, has_twins

from interlay.model import json
from interlay.model.errors import DecodeError


def canonical(text: str | bytes) -> bytes:
    return json.encode_canonical(json.decode_canonical(text if isinstance(text, bytes) else text.encode()))


@pytest.mark.parametrize(
    ("spellings", "form"),
    [
        (("1", "1.0", "1e0", "10E-1", "0.1e+1", "1.000000000000000000000000000000000000000000"), b"1"),
        (("0", "-0", "0.0", "-0.0", "0e7", "0E-99999"), b"0"),
        (("1e22", "10000000000000000000000", "10000000000000000000000.0"), b"10000000000000000000000"),
        (("0.7", "0.70", "7e-1", "70.0E-2"), b"0.7"),
        (("-2.5e-9", "-0.0000000025"), b"-2.5E-9"),
        (("[ ]", "[]", "\n[\t]\r"), b"[]"),
        (('{"b":1,"a":{"d":1,"c":2}}', '{ "a" : {"c":2.0,"d":1}, "\\u0062":1 }'), b'{"a":{"c":2,"d":1},"b":1}'),
        (('"\\u00e9\\/\\u0022"', '"é/\\""'), '"é/\\""'.encode()),
        (('"\\ud83d\\ude00"', '"😀"'), '"😀"'.encode()),
    ],
)
def test_all_spellings_have_one_form(spellings: tuple[str, ...], form: bytes) -> None:
    assert {canonical(each) for each in spellings} == {form}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", '"1"'),
        ("true", "1"),
        ("false", "0"),
        ("null", "false"),
        ("null", "{}"),
        ('{"a":null}', "{}"),
        ("9007199254740993", "9007199254740992"),
        ("18446744073709551617", "18446744073709551616"),
        ("0.1", "0.10000000000000000001"),
        ("1e-400", "0"),
        ("[1,2]", "[2,1]"),
        ("[[1],2]", "[1,[2]]"),
        ('"e\\u0301"', '"\\u00e9"'),
        ('"a"', '"a "'),
    ],
)
def test_other_values_have_other_forms(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize(
    "text", ["1e400", "-1e999", "[1e309]", "1e99999999999999999999", "", "{", '"\\ud800"', "01", "[1,]"]
)
def test_what_is_refused_elsewhere_is_refused_here(text: str) -> None:
    with pytest.raises(DecodeError):
        json.decode_canonical(text.encode())
    with pytest.raises(DecodeError):
        json.decode(text.encode())


def test_what_is_nested_too_deep_is_refused() -> None:
    with pytest.raises(DecodeError):
        json.decode_canonical(b"[" * 129 + b"]" * 129)


@given(st.integers(-(10**40), 10**40), st.integers(-60, 60), st.integers(1, 9))
def test_the_program_s_own_settings_for_decimals_change_nothing(digits: int, exponent: int, precision: int) -> None:
    text = f"{digits}e{exponent}"
    with localcontext(prec=precision):
        form = canonical(text)
    assert Decimal(form.decode()) == Decimal(text)


def test_a_long_number_is_not_remembered() -> None:
    before = json._short_number.cache_info().currsize
    canonical("0." + "1" * 100_000)
    assert json._short_number.cache_info().currsize == before


@given(bodies)
@settings(max_examples=400)
def test_twins_are_found_by_counting_too(drawn: tuple[Any, bytes]) -> None:
    value, body = drawn
    assert json.has_one_reading(body, json.decode_canonical(body)) is not has_twins(value)


@pytest.mark.parametrize(
    "text", ['{"a":"\\":\\""}', '{":":":"}', '{"a\\\\":":\\\\"}', '{"\\u0022":"\\u003a"}', '[":",{"a":[":"]}]']
)
def test_colons_in_strings_are_not_counted(text: str) -> None:
    for spelled in (text, text.replace(":", " : "), stdlib.dumps(stdlib.loads(text))):
        assert json.has_one_reading(spelled.encode(), json.decode_canonical(spelled.encode()))
