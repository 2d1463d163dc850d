"""What a call asks: its key, on whose behalf it is made, and when there is no key at all."""

from __future__ import annotations

import json
from typing import Any

import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.chain.asks import ANTHROPIC, CHAT, EMBEDDINGS, GEMINI, HELLO, IO, KEY, SEAT, asks, call_of, key_of

import interlay
from interlay.chain.asked import Headers
from interlay.chain.key import Question, Unfit, begin, digest, packed, question
from interlay.entry.request import HTTPRequest
from interlay.entry.seat import Seat
from interlay.model.record import Identity

GEMINI_HELLO = {"contents": [{"parts": [{"text": "Hello"}]}]}


def scope_of(headers: dict[str, str] | list[tuple[str, str]], url: str = CHAT, **options: Any) -> str:
    asked = asks(HELLO, url, headers, **options)
    assert isinstance(asked, Question)
    return asked.scope


class TestWhatHasNoKey:
    def test_no_dialect(self) -> None:
        assert asks(HELLO, "https://api.openai.com/v1/moderations") == Unfit("no_dialect")
        assert asks(HELLO, "https://api.openai.com/v1/models", method="GET") == Unfit("no_dialect")

    def test_another_method(self) -> None:
        call = call_of(HELLO)
        call.request.method = "GET"
        assert question(call) == Unfit("method")

    @pytest.mark.parametrize("body", [b"", b"[]", b"1", b"null", b'"text"'])
    def test_no_object(self, body: bytes) -> None:
        assert asks(body) == Unfit("unreadable")

    @pytest.mark.parametrize("body", [b"{", b'{"a":1e400}', b'{"a":"\\ud800"}', b'{"a":"\xff"}', b'{"a":' + b"[" * 200])
    def test_what_our_reader_refuses(self, body: bytes) -> None:
        call = call_of(body)
        assert question(call) == Unfit("opaque")
        assert call.body_kind == "opaque"
        assert call.outgoing() == body

    def test_a_number_beyond_all_exponents(self) -> None:
        assert asks(b'{"a":1e-99999999999999999999}') == Unfit("unreadable")

    def test_a_form_with_files(self) -> None:
        request = httpx2.Request("POST", CHAT, files={"file": b"x"})
        assert question(SEAT.call(HTTPRequest(request, httpx2), IO)) == Unfit("opaque")

    def test_a_sealed_body_with_two_readings(self) -> None:
        signed = {
            "authorization": "AWS4-HMAC-SHA256 Credential=AKID/20261125/eu-west-1/bedrock/aws4_request, Signature=x"
        }
        url = "https://bedrock-mantle.eu-west-1.api.aws/v1/chat/completions"
        assert asks(b'{"model":"a","model":"b"}', url, signed) == Unfit("opaque")
        assert isinstance(asks(b'{"model":"a"}', url, signed), Question)


class TestTwins:
    def test_the_last_of_two_equal_keys_is_asked_and_sent(self) -> None:
        call = call_of(b'{"model":"a","messages":[],"mod\\u0065l":"b","temperature":0.10000000000000000001}')
        asked = question(call)
        assert call.outgoing() == b'{"model":"b","messages":[],"temperature":0.1}'
        assert asked == asks(b'{"messages":[],"temperature":0.1,"model":"b"}')

    def test_a_body_without_them_is_sent_as_it_is(self) -> None:
        body = b'{ "model": "a", "messages": [], "temperature": 1e0, "x": "\\u00e9" }'
        call = call_of(body)
        assert isinstance(question(call), Question)
        assert call.judged
        assert call.outgoing() is call.request.body
        assert call.read() == body

    def test_a_body_that_was_judged_and_changed_is_judged_again(self) -> None:
        call = call_of(HELLO)
        before = question(call)
        call.replace_body(b'{"model":"gpt-4o","model":"o3","messages":[{"role":"user","content":"Hello"}]}')
        after = question(call)
        assert after != before
        assert after == asks({**HELLO, "model": "o3"})


class TestPlace:
    def test_a_stream_of_gemini_is_the_same_question(self) -> None:
        whole = key_of(GEMINI_HELLO, GEMINI)
        stream = GEMINI.replace("generateContent", "streamGenerateContent")
        assert key_of(GEMINI_HELLO, stream) == whole
        assert key_of(GEMINI_HELLO, f"{stream}?alt=sse") == whole
        assert key_of(GEMINI_HELLO, f"{stream}?alt=media") != whole

    def test_only_gemini_has_that_word(self) -> None:
        assert key_of(HELLO, f"{CHAT}?alt=sse") != key_of(HELLO)

    def test_the_model_in_the_path_is_asked(self) -> None:
        assert key_of(GEMINI_HELLO, GEMINI.replace("2.5-pro", "2.5-flash")) != key_of(GEMINI_HELLO, GEMINI)

    def test_the_order_of_the_query_is_not_but_that_of_one_name_is(self) -> None:
        assert key_of(HELLO, f"{CHAT}?a=1&b=2") == key_of(HELLO, f"{CHAT}?b=2&a=1")
        assert key_of(HELLO, f"{CHAT}?a=1&a=2") != key_of(HELLO, f"{CHAT}?a=2&a=1")
        assert key_of(HELLO, f"{CHAT}?a=1&b=2") != key_of(HELLO, f"{CHAT}?a=1%26b=2")

    def test_the_same_body_is_another_question_to_another_dialect(self) -> None:
        body = {"model": "m", "messages": [], "input": "Hello"}
        assert len({key_of(body, url) for url in (CHAT, ANTHROPIC, EMBEDDINGS)}) == 3

    def test_routes_keep_what_their_requests_have_alike(self) -> None:
        one, two = call_of(HELLO), call_of({**HELLO, "model": "o3"})
        assert one.route is two.route
        assert question(one) != question(two)
        assert question(one) == question(call_of(HELLO))


class TestHeaders:
    def test_names_are_known_in_any_case(self) -> None:
        with_beta = key_of(HELLO, ANTHROPIC, {**KEY, "anthropic-beta": "a"})
        assert key_of(HELLO, ANTHROPIC, {**KEY, "Anthropic-Beta": "a"}) == with_beta
        assert key_of(HELLO, ANTHROPIC, KEY) != with_beta

    def test_all_values_of_a_name_count(self) -> None:
        twice = [*KEY.items(), ("anthropic-beta", "a"), ("anthropic-beta", "b")]
        assert key_of(HELLO, ANTHROPIC, twice) != key_of(HELLO, ANTHROPIC, twice[:-1])
        assert key_of(HELLO, ANTHROPIC, twice) != key_of(HELLO, ANTHROPIC, [twice[0], twice[2], twice[1]])

    def test_headers_of_gateways_count(self) -> None:
        for name in (
            "cf-aig-cache-key",
            "x-portkey-provider",
            "azureml-model-deployment",
            "x-amzn-bedrock-guardrailidentifier",
        ):
            assert key_of(HELLO, CHAT, {**KEY, name: "a"}) != key_of(HELLO, CHAT, KEY), name

    def test_names_are_remembered_up_to_a_bound(self) -> None:
        headers = Headers(("told", "some-"))
        for number in range(10_000):
            asked = headers.read([(b"X-%d" % number, b"1"), (b"Told", b"2"), (b"Some-%d" % number, b"3")])
            assert [value for _, value in asked.telling] == [b"2", b"3"]
        assert len(headers._silent) + len(headers._kinds) <= 4096


class TestOnWhoseBehalf:
    def test_a_tenant_is_the_scope_whoever_pays(self) -> None:
        acme = Identity(tenant="acme")
        assert scope_of(KEY, identity=acme) == "tenant:acme"
        assert asks(HELLO, CHAT, KEY, identity=acme) == asks(
            HELLO, CHAT, {"authorization": "Bearer two"}, identity=acme
        )

    def test_without_one_the_credentials_are(self) -> None:
        scope = scope_of(KEY)
        assert scope.startswith("key:")
        assert len(scope) == len("key:") + 32
        assert "sk-one" not in scope
        assert scope_of(KEY, secret=b"one") != scope_of(KEY, secret=b"two") != scope
        assert scope_of(KEY, secret=b"x" * 100) != scope_of(KEY, secret=b"x" * 101)

    def test_nobody_is_somebody(self) -> None:
        assert scope_of({}) == scope_of({"x-request-id": "1"}) != scope_of(KEY)

    @pytest.mark.parametrize(
        "name",
        ["authorization", "x-api-key", "api-key", "x-goog-api-key", "x-corp-auth", "x-our-token", "private-signature"],
    )
    def test_whatever_looks_like_a_credential_is_one(self, name: str) -> None:
        scopes = {scope_of({**headers, name: value}) for headers in ({}, {"cookie": "a=b"}) for value in ("one", "two")}
        assert len(scopes) == 4

    def test_so_it_is_in_the_query_and_before_the_host(self) -> None:
        urls = [
            f"{CHAT}{query}" for query in ("", "?key=a", "?key=b", "?api_key=a", "?KEY=c", "?k%65y=d", "?our_token=a")
        ]
        urls.append(CHAT.replace("://", "://me:secret@"))
        assert len({scope_of({}, url) for url in urls}) == len(urls)

    def test_one_credential_is_not_two_and_their_order_is_nothing(self) -> None:
        assert scope_of({"authorization": "ab", "x-api-key": "c"}) != scope_of(
            {"authorization": "a", "x-api-key": "bc"}
        )
        assert scope_of({"authorization": "a", "x-api-key": "b"}) == scope_of({"x-api-key": "b", "authorization": "a"})

    def test_what_only_looks_like_one_counts_with_a_tenant_too(self) -> None:
        acme = Identity(tenant="acme")
        one, two = (asks(HELLO, CHAT, {**KEY, "x-max-tokens": value}, identity=acme) for value in "12")
        assert one != two
        assert asks(HELLO, f"{CHAT}?keyword=a", identity=acme) != asks(HELLO, f"{CHAT}?keyword=b", identity=acme)

    def test_what_changes_with_each_call_is_no_credential(self) -> None:
        for name in ("idempotency-key", "x-idempotency-key"):
            assert asks(HELLO, CHAT, {**KEY, name: "one"}) == asks(HELLO, CHAT, {**KEY, name: "two"})

    def test_cookies_of_balancers_are_none_and_sessions_are(self) -> None:
        balanced = {**KEY, "cookie": "__cf_bm=1; _cfuvid=2"}
        assert asks(HELLO, CHAT, balanced) == asks(HELLO, CHAT, KEY)
        one = scope_of({**KEY, "cookie": "__cf_bm=1; session=a; lang=de"})
        assert one == scope_of({**KEY, "cookie": "lang=de; session=a; __cf_bm=3"})
        assert one != scope_of({**KEY, "cookie": "session=b; lang=de"})
        assert one != scope_of(KEY)

    @pytest.mark.parametrize(
        ("form", "one", "two"),
        [
            (
                "AWS4-HMAC-SHA256 Credential={}/20261125/eu-west-1/bedrock/aws4_request, SignedHeaders=h, Signature={}",
                "AKID",
                "AKIE",
            ),
            ('Signature version="1",keyId="tenancy/{}",algorithm="rsa-sha256",signature="{}"', "me", "you"),
        ],
    )
    def test_a_signature_tells_by_the_name_of_its_key(self, form: str, one: str, two: str) -> None:
        def scope(*words: str) -> str:
            return scope_of({"authorization": form.format(*words)})

        assert scope(one, "1") == scope(one, "2") != scope(two, "1")

    def test_a_signature_that_names_no_key_counts_whole(self) -> None:
        assert scope_of({"authorization": "AWS4-X a"}) != scope_of({"authorization": "AWS4-X b"})

    def test_fields_that_are_to_be_kept_apart_stand_in_the_scope(self) -> None:
        me = Identity(tenant="acme", user="me", tags=("b", "a", "b"))
        assert scope_of(KEY, identity=me, vary_by=("user", "tags", "session")) == "tenant:acme|session|tags=a,b|user=me"
        assert asks(HELLO, identity=me, vary_by=("user", "tags")) == asks(HELLO, identity=me, vary_by=["tags", "user"])

    def test_no_words_pass_for_others(self) -> None:
        identities = [
            Identity(tenant="a|user=b"),
            Identity(tenant="a", user="b"),
            Identity(tenant="a", user=""),
            Identity(tenant="a"),
            Identity(tenant="a%7Cuser=b"),
            Identity(tenant="", user="a"),
            Identity(tenant="\ud800"),
            Identity(tenant="key:1"),
            Identity(tenant="a", tags=("x,y",)),
            Identity(tenant="a", tags=("x", "y")),
            Identity(tenant="a", tags=("",)),
            Identity(user="a"),
            Identity(),
        ]
        asked = [asks(HELLO, identity=each, vary_by=("user", "tags")) for each in identities]
        assert all(isinstance(each, Question) for each in asked)
        assert len({each.key for each in asked if isinstance(each, Question)}) == len(asked)
        scopes = {each.scope for each in asked if isinstance(each, Question)}
        assert len(scopes) == len(asked)
        assert all(scope.encode().decode() == scope for scope in scopes)


parts = st.lists(st.binary(max_size=4), max_size=5)
telling = st.lists(st.tuples(st.binary(max_size=3), st.binary(max_size=3)), max_size=3)
BEGUN = begin(dialect="d", method="POST", origin="https://h", place="/p")


class TestDigest:
    @given(parts, parts)
    def test_other_parts_never_pack_to_the_same(self, one: list[bytes], other: list[bytes]) -> None:
        assert (packed(one) == packed(other)) is (one == other)

    @given(telling, telling, st.binary(max_size=4), st.binary(max_size=4), st.binary(max_size=4), st.binary(max_size=4))
    def test_other_words_never_have_the_same_digest(
        self, one: Any, other: Any, scope: bytes, its: bytes, body: bytes, again: bytes
    ) -> None:
        same = sorted(one, key=lambda pair: pair[0]) == sorted(other, key=lambda pair: pair[0])
        same = same and (scope, b"{" + body) == (its, b"{" + again)
        assert (digest(BEGUN, [*one], scope, b"{" + body) == digest(BEGUN, [*other], its, b"{" + again)) is same

    def test_the_target_is_hashed_word_by_word(self) -> None:
        def key(*words: str) -> str:
            dialect, method, origin, place = words
            return digest(begin(dialect=dialect, method=method, origin=origin, place=place), [], b"", b"{}")

        keys = {key("ab", "c", "d", "e"), key("a", "bc", "d", "e"), key("a", "b", "cd", "e"), key("a", "b", "c", "de")}
        assert len(keys) == 4
        assert all(len(each) == 64 for each in keys)

    def test_a_hash_that_was_begun_is_left_as_it_is(self) -> None:
        assert digest(BEGUN, [], b"", b"{}") == digest(BEGUN, [], b"", b"{}")


def test_another_seat_makes_the_same_key() -> None:
    other = Seat(SEAT.chain, recorder=SEAT.recorder, price=None, provider="openai")
    request = httpx2.Request("POST", CHAT, content=json.dumps(HELLO).encode(), headers=KEY)
    assert question(other.call(HTTPRequest(request, httpx2), IO)) == asks(HELLO)


def test_both_libraries_make_the_same_key() -> None:
    url = CHAT.replace("://", "://me:secret@").replace("api.openai.com", "bücher.example:8443") + "?a=%20&key=k"
    asked = []
    for library in (httpx, httpx2):
        request = library.Request("POST", url, json=HELLO, headers={**KEY, "X-API-Key": "k", "openai-project": "p"})
        asked.append(question(SEAT.call(HTTPRequest(request, library), IO)))
    assert isinstance(asked[0], Question)
    assert asked[0] == asked[1]


def test_identity_is_what_using_says() -> None:
    with interlay.using(tenant="acme", user="me", tags=("a",)):
        asked = asks(HELLO, vary_by=("user",))
    assert asked == asks(HELLO, identity=Identity(tenant="acme", user="me"), vary_by=("user",))
