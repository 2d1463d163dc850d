"""Secrets do not print, and are blanked wherever text is recorded, however they stand there."""

from __future__ import annotations

import copy
import json
import pickle
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlay.model import secrets
from interlay.model.secrets import MASK, Secret, redact, redact_json

VALUE = "sk-proj-4d1c7f92b0e8"


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(secrets, "_registered", {})
    monkeypatch.setattr(secrets, "_index", None)
    yield
    secrets._index = None


class TestASecret:
    def test_shows_itself_to_nobody_who_does_not_ask(self) -> None:
        secret = Secret(VALUE)
        shown = [
            repr(secret),
            str(secret),
            f"{secret}",
            f"{secret:>40}",
            f"{secret!r}",
            f"{[secret]} { ({'k': secret}) }",
        ]
        assert not any(VALUE[:8] in text for text in shown)
        assert secret.reveal() == VALUE

    @pytest.mark.parametrize(
        "way",
        [json.dumps, msgspec.json.encode, msgspec.msgpack.encode, pickle.dumps, copy.copy, vars],
        ids=lambda way: f"{way.__module__}.{way.__name__}",
    )
    def test_leaves_by_no_encoder(self, way: Any) -> None:
        with pytest.raises(TypeError) as raised:
            way(Secret(VALUE))
        assert VALUE[:8] not in str(raised.value)

    def test_is_equal_to_its_like_and_to_no_string(self) -> None:
        assert Secret(VALUE) == Secret(VALUE)
        assert hash(Secret(VALUE)) == hash(Secret(VALUE))
        assert Secret(VALUE) != VALUE
        assert Secret(VALUE) != Secret(VALUE + "x")

    @pytest.mark.parametrize("value", ["", None, 7, b"bytes" * 3])
    def test_is_a_string_with_something_in_it(self, value: Any) -> None:
        with pytest.raises(TypeError, match="expected a non-empty string"):
            Secret(value)


class TestBlanking:
    def test_takes_the_whole_and_leaves_the_rest(self) -> None:
        assert redact(f"key {VALUE}, again {VALUE}.", [VALUE]) == f"key {MASK}, again {MASK}."

    def test_finds_what_is_registered_everywhere(self) -> None:
        Secret(VALUE)
        assert redact(f"<{VALUE}>") == f"<{MASK}>"
        Secret("another-one-later")
        assert redact(f"{VALUE} another-one-later") == f"{MASK} {MASK}"

    def test_finds_the_first_eight_characters_and_as_many_as_there_are(self) -> None:
        assert redact(f"provided: {VALUE[:8]}****b0e8.", [VALUE]) == f"provided: {MASK}****b0e8."
        assert redact(f"{VALUE[:13]}", [VALUE]) == MASK
        assert redact(f"{VALUE[:7]}", [VALUE]) == VALUE[:7]

    def test_of_two_that_begin_alike_the_longer_is_blanked_whole(self) -> None:
        assert redact(f"{VALUE}-more and {VALUE}", [VALUE, f"{VALUE}-more"]) == f"{MASK} and {MASK}"

    def test_short_ones_are_no_secrets(self) -> None:
        assert redact("a short one", ["short"]) == "a short one"

    def test_a_scheme_before_it_is_none(self) -> None:
        assert redact("Bearer sk-none and Bearer of news", [f"Bearer {VALUE}"]) == "Bearer sk-none and Bearer of news"
        assert VALUE not in redact(f"Bearer {VALUE}", [f"Bearer {VALUE}"])

    def test_of_a_cookie_every_value_is_one(self) -> None:
        cookie = f"theme=dark; session={VALUE};sid=0123456789"
        assert redact(f"{VALUE[:10]} 0123456789 theme= session=", [cookie]) == f"{MASK} {MASK} theme= session="
        assert redact(cookie, [cookie]) == MASK

    @given(
        st.text(min_size=8, max_size=40).filter(lambda text: " " not in text[:8]),
        st.text(max_size=30),
        st.text(max_size=30),
    )
    def test_whatever_it_is_made_of_and_stands_in(self, value: str, before: str, after: str) -> None:
        for form in (value, json.dumps(value)[1:-1], quote(value, safe="")):
            text = before + form + after
            blanked = redact(text, [value])
            assert MASK in blanked
            assert len(form) < 8 or form not in blanked or form in MASK * 2

    @given(st.lists(st.text(min_size=8, max_size=12), max_size=5), st.text(max_size=60))
    def test_what_holds_no_secret_stays(self, values: list[str], text: str) -> None:
        # Eight characters of a secret, of a word in it, or of either in one of its forms.
        forms = [form for each in values for form in (each, json.dumps(each)[1:-1], quote(each, safe=""))]
        if not any(form[at : at + 8] in text for form in forms for at in range(max(1, len(form) - 7))):
            assert redact(text, values) == text

    def test_many_cost_what_few_do(self) -> None:
        many = [f"{number:08x}-secret" for number in range(10_000)]
        for value in many:
            Secret(value)
        text = "nothing to see here, " * 10_000 + many[77]
        started = time.process_time()
        assert redact(text).endswith(f", {MASK}")
        assert time.process_time() - started < 5

    def test_the_oldest_of_too_many_is_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(secrets, "_MAX_REGISTERED", 2)
        for value in ("first-secret", "second-secret", "third-secret"):
            Secret(value)
        assert redact("first-secret second-secret third-secret") == f"first-secret {MASK} {MASK}"


class TestJSON:
    def test_every_string_is_looked_at_keys_too(self) -> None:
        Secret("registered-one")
        value = {"a": [VALUE, {"b": f"x{VALUE}"}], VALUE: 1, "n": [1, None, True, "registered-one"]}
        expected = {"a": [MASK, {"b": f"x{MASK}"}], MASK: 1, "n": [1, None, True, MASK]}
        assert redact_json(value, [VALUE]) == expected

    def test_tool_arguments_hold_it_escaped(self) -> None:
        value = 'pass"word\\9'
        arguments = json.dumps({"password": value})
        assert redact_json({"arguments": arguments}, [value]) == {"arguments": f'{{"password": "{MASK}"}}'}
