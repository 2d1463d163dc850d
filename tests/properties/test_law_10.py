"""Law 10: what was inspected is what is sent. A body with two equal keys is never forwarded raw once a layer has
judged it."""

from __future__ import annotations

import json as stdlib
from typing import Any, ClassVar

import openai
from hypothesis import given
from hypothesis import strategies as st
from tests.recorded.replay import client

import interlay
from interlay.chain.call import Call, Response
from interlay.chain.layer import Next
from interlay.model import json
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

    async def __call__(self, call: Call, next: Next) -> Response:
        assert call.read() is not None
        return await next(call)


class Onlooker:
    """Lets it pass unread."""

    role: ClassVar[interlay.Role] = interlay.Role.GUARD

    async def __call__(self, call: Call, next: Next) -> Response:
        return await next(call)


PLAYER = Player(otherwise=Turn(status=200, body=b"{}"))
JUDGED, PASSED = (interlay.wrap(client(openai, "sync", PLAYER), part) for part in (Judge(), Onlooker()))


def sent_by(held: openai.OpenAI, body: bytes) -> bytes:
    PLAYER.requests.clear()
    held._client.post(f"{held.base_url}chat/completions", content=body, headers={"content-type": "application/json"})
    (sent,) = PLAYER.requests
    return sent.body


@given(bodies)
def test_twins_are_found_wherever_they_stand(drawn: tuple[Any, bytes]) -> None:
    value, body = drawn
    assert json.has_duplicate_keys(body) is has_twins(value)
    if json.same_json(body):
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
