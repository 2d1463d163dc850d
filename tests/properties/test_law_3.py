"""Law 3: any field, header or target that can change the answer changes the key; what cannot, does not."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, ClassVar

import openai
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.recorded.replay import client
from tests.unit.chain.asks import CHAT, HELLO, KEY, RECORDED, Ask, asks, key_of

import interlay
from interlay.chain.call import Call, Response
from interlay.chain.key import Question, Unfit, question
from interlay.chain.layer import Next
from interlay.model.json import decode_canonical, encode_canonical
from interlay.model.record import Identity
from interlay.testing import Player, Turn

FIT = [ask for ask in RECORDED if isinstance(asks(ask.body, ask.url, ask.headers), Question)]
KNOWN = [ask for ask in RECORDED if ask.dialect is not None]
each_fit = pytest.mark.parametrize("ask", FIT, ids=repr)

# What changes a body.


def changes(value: Any, *, top: bool = True, ignored: frozenset[str] = frozenset()) -> Iterator[Any]:
    """Every value that differs from ``value`` in one place, however deep, in each way that its kind allows."""
    if isinstance(value, dict):
        yield {**value, "nobody_knows_this": None}
        for name, item in value.items():
            if top and name in ignored:
                continue
            rest = {each: value[each] for each in value if each != name}
            yield rest
            yield {**rest, name + "_": item}
            for changed in changes(item, top=False):
                yield {**value, name: changed}
    elif isinstance(value, list):
        yield [*value, None]
        if value[::-1] != value:
            yield value[::-1]
        for at, item in enumerate(value):
            yield value[:at] + value[at + 1 :]
            for changed in changes(item, top=False):
                yield [*value[:at], changed, *value[at + 1 :]]
    elif isinstance(value, str):
        yield from (value + " ", value + "\u0301", None, [value])
        if value.swapcase() != value:
            yield value.swapcase()
    elif isinstance(value, bool):
        yield from (not value, int(value), str(value).lower(), None)
    elif value is None:
        yield from (False, 0, "null", {}, [])
    else:
        yield from (value + 1, str(value), value + 0.5, None, [value], -value or 7)


@each_fit
def test_a_change_anywhere_in_a_recorded_body_changes_the_key(ask: Ask) -> None:
    assert ask.dialect is not None
    before = key_of(ask.body, ask.url, ask.headers)
    keys = {before}
    told = 0
    for changed in changes(ask.body, ignored=ask.dialect.ignored):
        asked = asks(changed, ask.url, ask.headers)
        if isinstance(asked, Question):
            assert asked.key != before, changed
            keys.add(asked.key)
            told += 1
    # Most changes leave a request fit, and no two of them ask the same, but for items that stand there twice.
    assert told > 5
    assert len(keys) > 0.9 * told


@pytest.mark.parametrize("ask", KNOWN, ids=repr)
def test_whatever_a_body_is_it_is_judged(ask: Ask) -> None:
    for changed in changes(ask.body):
        assert isinstance(asks(changed, ask.url, ask.headers), Question | Unfit)


# What does not change it.


def respelled(value: Any, chance: random.Random) -> str:
    """The same JSON in another notation: order of keys, white space, escapes and numbers as chance has it."""

    def space() -> str:
        return "".join(chance.choices(" \t\n\r", k=chance.choice((0, 0, 1, 3))))

    def text(value: str) -> str:
        return '"' + "".join(letter(each) for each in value) + '"'

    def letter(each: str) -> str:
        if chance.random() < 0.1:
            units = each.encode("utf-16-be")
            return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
        if each == "/" and chance.random() < 0.5:
            return "\\/"
        return json.dumps(each, ensure_ascii=chance.random() < 0.5)[1:-1]

    if isinstance(value, dict):
        members = [f"{space()}{text(name)}{space()}:{respelled(item, chance)}" for name, item in value.items()]
        chance.shuffle(members)
        written = "{" + ",".join(members) + space() + "}"
    elif isinstance(value, list):
        written = "[" + ",".join(respelled(item, chance) for item in value) + space() + "]"
    elif isinstance(value, str):
        written = text(value) if len(value) < 2000 else json.dumps(value)
    elif isinstance(value, bool) or value is None:
        written = json.dumps(value)
    else:
        written = respelled_number(value, chance)
    return space() + written + space()


def respelled_number(value: float, chance: random.Random) -> str:
    written = f"{Decimal(str(value)):f}"
    places = chance.randint(0, 6)
    if "." in written:
        return written + "0" * places + chance.choice(("", "e0", "E+0", "e-00"))
    ways = ("", ".0", "e0", f"{'0' * places}e-{places}" if value else "e-7", f".{'0' * places}0E+00")
    return written + chance.choice(ways)


SILENT: dict[str, Any] = {
    "stream": True,
    "stream_options": {"include_usage": True},
    "user": "somebody else",
    "safety_identifier": "another",
    "metadata": {"request": "17"},
    "prompt_cache_key": "elsewhere",
    "prompt_cache_retention": "24h",
    "labels": {"team": "a"},
}
"""A value for every member that some dialect ignores."""


@given(st.sampled_from(FIT), st.integers(0, 2**32))
@settings(max_examples=400, deadline=None)
def test_another_notation_of_a_recorded_body_does_not(ask: Ask, seed: int) -> None:
    assert ask.dialect is not None
    chance = random.Random(seed)
    body = {name: item for name, item in ask.body.items() if name not in ask.dialect.ignored}
    for name in ask.dialect.ignored:
        if chance.random() < 0.5:
            body[name] = chance.choice((SILENT[name], None, False))
    spelled = respelled(body, chance).encode()
    assert json.loads(spelled) == body
    headers = [*ask.headers.items(), *(each for each in PLUMBING.items() if chance.random() < 0.5)]
    chance.shuffle(headers)
    headers = [(chance.choice((name, name.title(), name.upper())), value) for name, value in headers]
    assert key_of(spelled, ask.url, headers) == key_of(ask.body, ask.url, ask.headers)


PLUMBING = {
    "accept": "text/event-stream",
    "user-agent": "another/1.0",
    "x-stainless-retry-count": "1",
    "x-stainless-read-timeout": "17",
    "idempotency-key": "stainless-python-retry-1",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "x-request-id": "17",
    "x-client-request-id": "18",
    "cache-control": "max-age=60",
    "cookie": "__cf_bm=17; _cfuvid=18",
    "accept-encoding": "zstd",
    "x-goog-api-client": "gl-python/3.12",
}


@each_fit
def test_members_that_a_dialect_ignores_say_nothing_at_the_top_alone(ask: Ask) -> None:
    assert ask.dialect is not None
    before = key_of(ask.body, ask.url, ask.headers)
    for name in ask.dialect.ignored:
        body = {**ask.body, name: SILENT[name]}
        assert key_of(body, ask.url, ask.headers) == before
        unlike = key_of({**body, "object": {}}, ask.url, ask.headers)
        for deeper in within({**body, "object": {}}, name, ask.dialect.ignored):
            asked = asks(deeper, ask.url, ask.headers)
            assert isinstance(asked, Unfit) or asked.key not in (before, unlike), deeper


def within(value: Any, name: str, ignored: frozenset[str] | None = None) -> Iterator[Any]:
    """Every value that has a member ``name`` more; below the top, if that is where ``ignored`` members stand."""
    if isinstance(value, dict):
        if ignored is None:
            yield {**value, name: SILENT[name]} if name not in value else {**value, name: [value[name]]}
        for each, item in value.items():
            if ignored is None or each not in ignored:
                for deeper in within(item, name):
                    yield {**value, each: deeper}
    elif isinstance(value, list):
        for at, item in enumerate(value):
            for deeper in within(item, name):
                yield [*value[:at], deeper, *value[at + 1 :]]


def test_what_is_ignored_is_what_the_design_lists() -> None:
    of_chat = {"stream", "stream_options", "user", "safety_identifier", "metadata"}
    of_chat |= {"prompt_cache_key", "prompt_cache_retention"}
    ignored = {ask.dialect.name: ask.dialect.ignored for ask in RECORDED if ask.dialect is not None}
    assert ignored == {
        "openai-chat": of_chat,
        "openai-responses": {"stream", "stream_options"},
        "openai-embeddings": {"user", "metadata"},
        "anthropic-messages": {"stream", "metadata"},
        "gemini": {"labels"},
        "cohere": {"stream"},
        "ollama": {"stream"},
    }


# Target, headers, identity.


@each_fit
def test_another_target_changes_the_key(ask: Ask) -> None:
    scheme, _, rest = ask.url.partition("#")[0].partition("://")
    place, _, query = rest.partition("?")
    host, _, path = place.partition("/")
    query = f"?{query}" if query else ""
    others = [
        f"{'http' if scheme == 'https' else 'https'}://{host}/{path}{query}",
        f"{scheme}://another.{host}/{path}{query}",
        f"{scheme}://{host.partition(':')[0]}:8443/{path}{query}",
        f"{scheme}://{host}/elsewhere/{path}{query}",
        f"{scheme}://{host}/{path}{query or '?'}&api-version=2",
        f"{scheme}://{host}/{path}{query or '?'}&api-version=3",
        f"{scheme}://{host}/{path}{query or '?'}&API-version=3",
    ]
    keys = [key_of(ask.body, url, ask.headers) for url in (ask.url, *others)]
    assert len(set(keys)) == len(keys)


@each_fit
def test_another_telling_header_changes_the_key(ask: Ask) -> None:
    assert ask.dialect is not None
    for told in ask.dialect.telling_headers:
        name = told + "some" if told.endswith("-") else told
        keys = [key_of(ask.body, ask.url, {**ask.headers, name: value}) for value in ("one", "two", "")]
        assert len({*keys, key_of(ask.body, ask.url, without(ask.headers, name))}) == 4, name
    assert key_of(ask.body, ask.url, {**ask.headers, "host": "another.example"}) != key_of(
        ask.body, ask.url, ask.headers
    )


def without(headers: dict[str, str], name: str) -> dict[str, str]:
    return {each: value for each, value in headers.items() if each != name}


@each_fit
def test_another_identity_changes_the_key(ask: Ask) -> None:
    def asked(identity: Identity, *vary_by: str, token: str = "sk-one") -> str:
        headers = {**ask.headers, "authorization": f"Bearer {token}"}
        return key_of(ask.body, ask.url, headers, identity=identity, vary_by=vary_by)

    keys = [
        asked(Identity()),
        asked(Identity(), token="sk-two"),
        asked(Identity(tenant="a")),
        asked(Identity(tenant="b")),
        *(asked(Identity(tenant="a"), field) for field in ("user", "session", "key", "tags")),
        asked(Identity(tenant="a", user="me"), "user"),
        asked(Identity(tenant="a", session="me"), "session"),
        asked(Identity(tenant="a", key="me"), "key"),
        asked(Identity(tenant="a", user="me", session="me"), "user", "session"),
        asked(Identity(tenant="a", tags=("x", "y")), "tags"),
        asked(Identity(tenant="a", tags=("x",)), "tags"),
    ]
    assert len(set(keys)) == len(keys)
    # What nobody asked to keep apart does not, nor who pays where the customer is known, nor the order of tags.
    assert asked(Identity(tenant="a", user="me", tags=("x",))) == asked(Identity(tenant="a"))
    assert asked(Identity(tenant="a"), token="sk-two") == asked(Identity(tenant="a"))
    assert asked(Identity(tenant="a", tags=("y", "x")), "tags") == asked(
        Identity(tenant="a", tags=("x", "y", "x")), "tags"
    )


# All recordings against each other.


def truth(ask: Ask) -> str:
    """What a recorded request asks, told without the code that is tested."""
    assert ask.dialect is not None
    body = {name: item for name, item in ask.body.items() if name not in ask.dialect.ignored}
    headers = {name.lower(): value for name, value in ask.headers.items() if name.lower() != "accept"}
    url = ask.url.partition("#")[0].replace(":streamGenerateContent", ":generateContent").replace("?alt=sse", "")
    return json.dumps([ask.dialect.name, url, headers, body], sort_keys=True)


def test_no_two_recorded_questions_share_a_key_and_equal_ones_do() -> None:
    by_truth: dict[str, set[str]] = {}
    by_key: dict[str, set[str]] = {}
    for ask in FIT:
        key = key_of(ask.body, ask.url, ask.headers)
        by_truth.setdefault(truth(ask), set()).add(key)
        by_key.setdefault(key, set()).add(truth(ask))
    assert all(len(keys) == 1 for keys in by_truth.values())
    assert all(len(truths) == 1 for truths in by_key.values())
    assert 150 < len(by_key) < len(FIT)  # some were asked twice, as a stream and not


def test_a_request_of_no_dialect_has_no_key() -> None:
    unknown = [ask for ask in RECORDED if ask.dialect is None]
    assert unknown
    for ask in unknown:
        assert asks(ask.body, ask.url, ask.headers) == Unfit("no_dialect")


# Values.

numbers = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(json.dumps),
    st.tuples(st.integers(-(10**20), 10**20), st.integers(-30, 30)).map(lambda drawn: f"{drawn[0]}e{drawn[1]}"),
    st.decimals(allow_nan=False, allow_infinity=False, places=5, min_value=-1000, max_value=1000).map(str),
)


@given(numbers, numbers)
@example("1", "1.0")
@example("1", "1e0")
@example("-0.0", "0")
@example("1e22", "10000000000000000000000")
@example("9007199254740993", "9007199254740992")
@example("0.1", "0.10000000000000000001")
@example("1E-7", "0.0000001")
@example("0e99999", "0")
@settings(max_examples=500, deadline=None)
def test_numbers_are_equal_when_they_are_the_same_number(one: str, other: str) -> None:
    same = canonical(one) == canonical(other)
    assert same is (Decimal(one) == Decimal(other))
    assert Decimal(canonical(one).decode()) == Decimal(one)


def canonical(text: str) -> bytes:
    return encode_canonical(decode_canonical(text.encode()))


leaves = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(("1", "true", "null", "1e400"))
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
)


@given(values, values, st.integers(0, 2**32))
@settings(max_examples=500, deadline=None)
def test_values_are_equal_when_they_say_the_same(one: Any, other: Any, seed: int) -> None:
    exact: Callable[[Any], str] = lambda value: json.dumps(value, sort_keys=True)  # noqa: E731
    same = canonical(json.dumps(one)) == canonical(json.dumps(other))
    assert same is (exact(one) == exact(other))
    assert canonical(respelled(one, random.Random(seed))) == canonical(json.dumps(one))


# Who asks.

tokens = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=200)


@given(
    tokens,
    st.sampled_from("abcXYZ0123456789-_"),
    st.sampled_from(["authorization", "x-api-key", "api-key", "x-goog-api-key", "x-our-token", "cookie"]),
)
@settings(max_examples=300, deadline=None)
def test_two_tokens_that_differ_in_one_late_character_never_share_a_scope(token: str, last: str, header: str) -> None:
    if header == "cookie":
        token = "session=" + "".join(each for each in token if each not in ';, \t"')
    other = token[:-1] + (last if token[-1] != last else "~")
    scheme = "Bearer " if header == "authorization" else ""
    one, two = (asks(HELLO, CHAT, {header: scheme + each}) for each in (token, other))
    assert isinstance(one, Question)
    assert isinstance(two, Question)
    assert one.scope != two.scope
    assert one.key != two.key


# Pain 9: a key that ignores a parameter gives a wrong answer.


class Asking:
    """Notes what is asked, and lets it pass."""

    role: ClassVar[interlay.Role] = interlay.Role.CACHE

    def __init__(self) -> None:
        self.asked: list[Question | Unfit] = []

    async def __call__(self, call: Call, next: Next) -> Response:
        self.asked.append(question(call))
        return await next(call)


def keys_of(*calls: dict[str, Any], **options: Any) -> list[str]:
    """The keys of calls as the real SDK makes them."""
    asking = Asking()
    wrapped = interlay.wrap(client(openai, "sync", Player(otherwise=Turn(status=200, body=b"{}")), **options), asking)
    for arguments in calls:
        wrapped.chat.completions.create(**{**HELLO, **arguments})
    fit = [asked.key for asked in asking.asked if isinstance(asked, Question)]
    assert len(fit) == len(calls)
    return fit


def differ(*calls: dict[str, Any]) -> None:
    keys = keys_of({}, {}, *calls)
    assert keys[0] == keys[1]
    assert len(set(keys)) == len(calls) + 1


def test_pain_9_extra_body() -> None:
    differ({"extra_body": {"anything": 1}}, {"extra_body": {"anything": 2}}, {"extra_body": {"extra_body": {"a": 1}}})


def test_pain_9_safety_settings() -> None:
    setting = {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}
    differ(
        {"extra_body": {"safety_settings": [setting]}},
        {"extra_body": {"safety_settings": [{**setting, "threshold": "BLOCK_LOW_AND_ABOVE"}]}},
    )


def test_pain_9_guided_json() -> None:
    differ(
        {"extra_body": {"guided_json": {"type": "object", "properties": {"a": {"type": "string"}}}}},
        {"extra_body": {"guided_json": {"type": "object", "properties": {"a": {"type": "number"}}}}},
    )


def test_pain_9_min_p() -> None:
    differ({"extra_body": {"min_p": 0.05}}, {"extra_body": {"min_p": 0.1}}, {"extra_body": {"min_p": 0}})


def test_pain_9_repetition_penalty() -> None:
    differ({"extra_body": {"repetition_penalty": 1.1}}, {"extra_body": {"repetition_penalty": 1}})


def test_pain_9_enable_thinking() -> None:
    differ({"extra_body": {"enable_thinking": True}}, {"extra_body": {"enable_thinking": False}})


def test_pain_9_chat_template_kwargs() -> None:
    differ(
        {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}},
        {"extra_body": {"chat_template_kwargs": {"enable_thinking": True}}},
        {"extra_body": {"chat_template_kwargs": {}}},
    )


def test_pain_9_api_base() -> None:
    bases = (
        "https://api.openai.com/v1",
        "https://eu.api.openai.com/v1",
        "http://localhost:8000/v1",
        "http://localhost:8001/v1",
    )
    keys = [keys_of({}, base_url=base)[0] for base in bases]
    assert len(set(keys)) == len(bases)
    assert keys_of({}, base_url=bases[0])[0] == keys[0]


def test_pain_9_the_stream_is_the_same_question() -> None:
    keys = keys_of({}, {"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}, {"user": "me"})
    assert len(set(keys)) == 1


def test_keys_are_known_by_their_digits() -> None:
    """Entries outlive processes: a key that changes with nobody's doing makes every one of them a miss."""
    assert key_of(HELLO, CHAT, KEY) == key_of(HELLO, CHAT, KEY)
    assert key_of(HELLO, CHAT, KEY, secret=b"s") != key_of(HELLO, CHAT, KEY)
    asked = asks(HELLO, CHAT, KEY)
    assert asked == Question(
        "33977410df2cb680f12af94526b62089c4beb7c0144202cc071f2f80acff4a77",
        "key:878ea513b6d636056614dc5d2d256ec0",
    )
