"""The doors through which foreign bytes come into the codecs, each as one function of bytes.

A door returns when all is well. It raises for whatever must not be: another exception than ``DecodeError``, bytes that
are not the same after they were decoded and encoded, chunks that change what a stream says.
"""

from __future__ import annotations

import contextlib
import json as stdlib
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from interlay.dialects import DIALECTS
from interlay.model import json, members
from interlay.model.errors import DecodeError
from interlay.model.protocols import Codec, WireEvent

SNOWMAN: Final = "\u2603"
Door = Callable[[bytes], None]
CODECS: Final = [dialect for dialect in DIALECTS if isinstance(dialect, Codec)]


def request(codec: Codec, data: bytes) -> None:
    """A request's body."""
    codec.outline(data)
    asked = codec.ask_usage(data)
    with contextlib.suppress(DecodeError):
        codec.prompt(data)
    try:
        encoded = codec.encode_request(codec.decode_request(data))
    except DecodeError:
        return
    assert same(json.decode(encoded), json.decode(data)), "law 8"
    assert codec.encode_request(codec.decode_request(encoded)) == encoded, "not stable"
    if asked is not None:
        codec.decode_request(asked)
        assert codec.outline(asked).wants_usage
    exact(codec.request_places(json.decode(data)), json.decode(data))


def response(codec: Codec, data: bytes) -> None:
    """The body of an answer that is no stream."""
    codec.tracker().tail(data[1:])
    tracker = codec.tracker()
    tracker.body(data)
    _ = tracker.usage, tracker.finish_reasons, tracker.service_tier
    with contextlib.suppress(DecodeError):
        codec.answer(data)
    for query in ("", "alt=sse"):
        other_form(codec, codec.as_stream(data, query))
    try:
        encoded = codec.encode_response(codec.decode_response(data))
    except DecodeError:
        return
    assert same(json.decode(encoded), json.decode(data)), "law 8"
    assert codec.encode_response(codec.decode_response(encoded)) == encoded, "not stable"
    exact(codec.response_places(json.decode(data)), json.decode(data))


def error(codec: Codec, data: bytes) -> None:
    """The body of an error."""
    failure = codec.decode_error(500, {}, data)
    encoded = codec.encode_error(failure)
    again = codec.decode_error(500, {}, encoded)
    assert codec.encode_error(again) == encoded, "not stable"
    with contextlib.suppress(DecodeError):
        said = json.decode(data)
        if isinstance(said, dict):
            assert same(json.decode(codec.encode_error(failure, data)), said), "law 8"
            exact(codec.response_places(said), said)
    codec.encode_error(again, data)
    codec.usage(data)


def stream(codec: Codec, data: bytes) -> None:
    """A stream's bytes, whose first byte says how they come in chunks."""
    step, data = (data[0] or 1 if data else 1), data[1:]
    events = framed(codec, data, max(1, len(data)))
    assert b"".join(event.raw for event in events) == data, "bytes lost"
    assert framed(codec, data, step) == events, "chunks make a difference"
    tracker = codec.tracker()
    before = b""
    for event in events:
        tracker.event(event)
        codec.hide_usage(event)
        restated(codec, event)
        rewritten(codec, before, event)
        before += event.raw
    _ = tracker.usage, tracker.finish_reasons, tracker.service_tier, tracker.ended_well
    with contextlib.suppress(DecodeError):
        codec.streamed_answer(events)
    if (body := codec.as_body(events)) is not None:
        other_form(codec, codec.as_stream(body))
    with contextlib.suppress(DecodeError):
        answer = codec.assemble(events)
        encoded = codec.encode_response(answer)
        assert codec.encode_response(codec.decode_response(encoded)) == encoded, "not stable"


def values(data: bytes) -> None:
    """JSON on its own, whoever sent it."""
    with contextlib.suppress(DecodeError):
        twins = json.has_duplicate_keys(data)
        assert twins is has_twins(data), "law 10"
        assert not (twins and json.encode(json.decode(data)) == data), "law 10"
    with contextlib.suppress(DecodeError):
        found = members.members(data)
        assert [member.key for member in found] or json.decode(data) == {}
        for member in found:
            json.decode(data[member.value : member.end], depth=10_000)
    with contextlib.suppress(DecodeError):
        value = json.decode(data)
        assert same(json.decode(json.encode(value)), value), "not stable"


def has_twins(data: bytes) -> bool:
    """Whether an object in JSON has a key twice, as another reader finds it."""
    twins: list[bool] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        twins.append(len(dict(pairs)) < len(pairs))

    stdlib.loads(data.decode(), object_pairs_hook=look, parse_int=len, parse_float=len)
    return any(twins)


DOORS: Final[dict[str, Door]] = {
    f"{codec.name}-{door.__name__}": partial(door, codec)
    for codec in CODECS
    for door in (request, response, error, stream)
} | {"json": values}


def framed(codec: Codec, data: bytes, step: int) -> list[WireEvent]:
    framer = codec.framer()
    events = []
    for start in range(0, len(data), step):
        events += framer.feed(data[start : start + step])
    return events + framer.finish()


def framed_behind(codec: Codec, before: bytes, data: bytes) -> list[WireEvent]:
    """The events of ``data``, which goes on with a stream: in an array only the first would be one on its own."""
    framer = codec.framer()
    framer.feed(before)
    return framer.feed(data) + framer.finish()


def other_form(codec: Codec, made: list[bytes] | None) -> None:
    """A stream that was made of a body is one, from its first event to its last."""
    if made is None:
        return
    events = framed(codec, b"".join(made), 7)
    assert [event.raw for event in events] == made, "other events"
    tracker = codec.tracker()
    for event in events:
        tracker.event(event)
        codec.hide_usage(event)
    assert tracker.ended_well, "no end"
    assert tracker.failure is None, "a failure"
    codec.as_body(events)


def restated(codec: Codec, event: WireEvent) -> None:
    """Decoding what was encoded from a decoded event, and encoding it again, gives the same bytes."""
    try:
        encoded = codec.encode_event(codec.decode_event(event))
    except DecodeError:
        return
    again = b"".join(
        codec.encode_event(codec.decode_event(each)) for each in framed(codec, encoded, max(1, len(encoded)))
    )
    assert again == encoded, "not stable"


def rewritten(codec: Codec, before: bytes, event: WireEvent) -> None:
    """Rewriting nothing changes nothing, and rewriting everything leaves nothing of the old text. ``before`` is what
    came before the event in its stream."""
    try:
        places = codec.event_places(event)
    except DecodeError:
        return
    if event.data is None or not places:
        return
    value = json.decode(event.data)
    exact(places, value)
    (alike,) = framed_behind(codec, before, codec.rewrite(event, {}))
    assert same(json.decode(alike.data or b""), value), "another value"
    texts = {place.channel: SNOWMAN for place in places if place.role != "echo"}
    for again in framed_behind(codec, before, codec.rewrite(event, texts, texts)):
        for place in codec.event_places(again):
            assert place.channel not in texts or not place.text or SNOWMAN in place.text, "text left"


def exact(places: list[Any], value: Any) -> None:
    """Each place holds the text that it says."""
    for place in places:
        found = value
        for step in place.path:
            found = found[step]
        assert place.role == "echo" or not isinstance(found, str) or found == place.text, "another text"


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values, to which neither ``true`` nor ``1.0`` is ``1``."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
