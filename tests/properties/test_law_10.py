"""Law 10: what was inspected is what is sent. A body with two equal keys is never forwarded raw once a layer has
judged it."""

from __future__ import annotations

import json as stdlib
from typing import Any, ClassVar

import openai
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.recorded.replay import client

import interlay
from interlay.chain.call import Call, Response
from interlay.chain.layer import Next
from interlay.model import json
from interlay.model.record import Attempt
from interlay.testing import Player, Turn

KEYS = ("model", "messages", "content", "a", "é", 'quote"', "")
leaves = st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.text(max_size=4)


class Object(list[tuple[str, Any]]):
    """The members of an object, in which a key may stand twice."""


objects = st.deferred(lambda: st.lists(st.tuples(st.sampled_from(KEYS), values), max_size=4).map(Object))
values: st.SearchStrategy[Any] = st.deferred(lambda: leaves | st.lists(values, max_size=3) | objects)


def has_twins(value: Any) -> bool:
    if isinstance(value, Object):
        return len(dict(value)) < len(value) or any(has_twins(item) for _, item in value)
    return isinstance(value, list) and any(map(has_twins, value))


def plain(value: Any) -> Any:
    """What every reader makes of it: of equal keys the last counts."""
    if isinstance(value, Object):
        return {key: plain(item) for key, item in value}
    return [plain(item) for item in value] if isinstance(value, list) else value


@st.composite
def texts(draw: st.DrawFn, value: Any) -> str:
    """A value in any notation, its keys escaped now and then."""
    space = draw(st.sampled_from(["", " ", "\n\t"]))
    if isinstance(value, Object):
        members = []
        for key, item in value:
            name = stdlib.dumps(key, ensure_ascii=draw(st.booleans()))
            if key[:1].isalpha() and draw(st.booleans()):
                name = f'"\\u{ord(key[0]):04x}{name[len(stdlib.dumps(key[0])) - 1 :]}' if key.isascii() else name
            members.append(f"{space}{name}{space}:{draw(texts(item))}")
        return "{" + ",".join(members) + space + "}"
    if isinstance(value, list):
        return "[" + ",".join([space + draw(texts(item)) for item in value]) + "]"
    return stdlib.dumps(value, ensure_ascii=draw(st.booleans()))


bodies = objects.flatmap(lambda value: st.tuples(st.just(value), texts(value).map(str.encode)))


class Judge:
    """Reads the body, and lets it pass."""

    role: ClassVar[interlay.Role] = interlay.Role.GUARD

    def __init__(self) -> None:
        self.read: bytes | None = None

    async def __call__(self, call: Call, next: Next) -> Response:
        self.read = call.read()
        assert (self.read is None) is (call.body_kind == "opaque")
        return await next(call)


class Glancer(Judge):
    """Decides by the model that is asked for, and by nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.model: str | None = None

    async def __call__(self, call: Call, next: Next) -> Response:
        self.model = call.model
        assert call.outline.model == self.model
        return await next(call)


class Watcher(interlay.Observer):
    """Looks at all it is given, and so judges nothing."""

    def __init__(self) -> None:
        self.looked: list[Any] = []

    def on_start(self, call: Call) -> None:
        self.looked.append((call.model, call.read(), call.body_kind))

    def on_attempt(self, call: Call, attempt: Attempt) -> None:
        self.on_start(call)


class Onlooker:
    """Lets it pass unread."""

    role: ClassVar[interlay.Role] = interlay.Role.GUARD

    async def __call__(self, call: Call, next: Next) -> Response:
        return await next(call)


PLAYER = Player(otherwise=Turn(status=200, body=b"{}"))
JUDGE, GLANCER, WATCHER = Judge(), Glancer(), Watcher()
JUDGED, GLANCED, PASSED, WATCHED = (
    interlay.wrap(client(openai, "sync", PLAYER), *parts)
    for parts in (
        (JUDGE,),
        (GLANCER,),
        (Onlooker(),),
        (Onlooker(), interlay.Observe(WATCHER, inline=True)),
    )
)
SEALED = {"authorization": "AWS4-HMAC-SHA256 Credential=none"}


def sent_by(held: openai.OpenAI, body: bytes, host: str = "https://api.openai.com", **headers: str) -> bytes:
    PLAYER.requests.clear()
    headers = {"content-type": "application/json", **headers}
    held._client.post(f"{host}/v1/chat/completions", content=body, headers=headers)
    (sent,) = PLAYER.requests
    return sent.body


@given(bodies)
def test_twins_are_found_wherever_they_stand(drawn: tuple[Any, bytes]) -> None:
    value, body = drawn
    assert json.has_duplicate_keys(body) is has_twins(value)
    if json.encode(json.decode(body)) == body:
        assert not has_twins(value)


@given(bodies)
def test_what_a_layer_has_judged_leaves_as_it_was_read(drawn: tuple[Any, bytes]) -> None:
    value, body = drawn
    sent = sent_by(JUDGED, body)
    if has_twins(value):
        assert not json.has_duplicate_keys(sent)
        assert json.decode(sent) == plain(value)
    else:
        assert sent == body


@given(bodies)
def test_what_nobody_has_judged_leaves_as_it_came(drawn: tuple[Any, bytes]) -> None:
    _, body = drawn
    assert sent_by(PASSED, body) == body


@given(bodies)
def test_what_an_observer_looks_at_leaves_as_it_came(drawn: tuple[Any, bytes]) -> None:
    _, body = drawn
    WATCHER.looked.clear()
    assert sent_by(WATCHED, body) == body
    assert [looked[1:] for looked in WATCHER.looked] == [(body, "open")] * 2


@given(bodies)
def test_a_model_that_was_judged_is_the_one_that_is_asked_for(drawn: tuple[Any, bytes]) -> None:
    value, body = drawn
    sent = sent_by(GLANCED, body)
    assert not json.has_duplicate_keys(sent)
    asked = dict(value).get("model")
    assert GLANCER.model == (asked if isinstance(asked, str) else None)
    assert (sent == body) == (not has_twins(value))


@given(bodies)
def test_a_sealed_body_with_twins_is_not_judged(drawn: tuple[Any, bytes]) -> None:
    """It can be neither rewritten nor understood in one way: a layer is told that it is opaque, as its record is."""
    value, body = drawn
    for held in (JUDGED, GLANCED):
        GLANCER.model = None
        assert sent_by(held, body, "https://signed.test", **SEALED) == body
        assert interlay.last()[0].body == ("opaque" if has_twins(value) else "sealed")
    if has_twins(value):
        assert JUDGE.read is None
        assert GLANCER.model is None
    else:
        assert JUDGE.read == body


DEEP = b'{"deep":' + b"[" * 128 + b"]" * 128 + b","
WIDE = b'{"wide":[' + b",".join([b"0"] * 500_001) + b"],"


@settings(max_examples=30)  # some are of a megabyte
@given(bodies, st.sampled_from([DEEP, WIDE]))
def test_a_body_that_cannot_be_read_is_not_judged(drawn: tuple[Any, bytes], before: bytes) -> None:
    _, body = drawn
    body = before + b'"model":"cheap","model":"dear","body":' + body + b"}"
    for held in (JUDGED, GLANCED):
        assert sent_by(held, body) == body
        assert interlay.last()[0].body == "opaque"
    assert JUDGE.read is None
    assert GLANCER.model is None


@given(bodies)
def test_what_a_layer_puts_there_is_judged_like_what_came(drawn: tuple[Any, bytes]) -> None:
    """A layer outside has judged the call: what one inside makes of it has one reading too."""
    value, body = drawn

    class Editor:
        role: ClassVar[interlay.Role] = interlay.Role.ROUTE

        async def __call__(self, call: Call, next: Next) -> Response:
            call.replace_body(body)
            return await next(call)

    held = interlay.wrap(client(openai, "sync", PLAYER), JUDGE, Editor())
    sent = sent_by(held, b"{}")
    assert JUDGE.read == b"{}"
    assert not json.has_duplicate_keys(sent)
    assert json.decode(sent) == plain(value)
