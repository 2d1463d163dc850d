"""What holds for every codec, shown on every recording of its API. A new dialect joins by its row in the registry
and recordings in tests/recorded/cassettes/."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.dialects.exchanges import ALL, BODIES, ERRORS, STREAMS, Exchanged, bare, framed, name

from interlay.dialects import DIALECTS, find, named
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.messages import ChatRequest, ChatResponse, Choice, Delta, Message, Text
from interlay.model.places import Channel, Path, TextPlace
from interlay.model.protocols import Codec, Dialect, WireEvent
from interlay.model.record import Failure
from interlay.model.usage import Usage

CODECS = [dialect for dialect in DIALECTS if isinstance(dialect, Codec)]
each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
each_codec = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
SNOWMAN = "☃"


def strings(value: Any, path: Path = ()) -> Iterator[Path]:
    """Paths of all strings in a JSON value."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from strings(item, (*path, key))


def overlooked(codec: Codec, value: Any, places: list[TextPlace]) -> list[Path]:
    """The strings that are neither in a place nor harmless."""
    taken = {place.path for place in places}
    return [
        path for path in strings(value)
        if not any(path[:end] in taken for end in range(1, len(path) + 1))
        and path[-1] not in codec.harmless
        and not (isinstance(path[-1], int) and any(step in codec.harmless for step in path))
    ]  # fmt: skip


def at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def texts(places: list[TextPlace]) -> dict[Channel, str]:
    """What the deltas say, by channel."""
    said: dict[Channel, str] = {}
    for place in places:
        if place.role == "delta":
            said[place.channel] = said.get(place.channel, "") + place.text
    return said


def streamed_usage(dialect: Dialect, events: list[WireEvent]) -> Usage | None:
    tracker = dialect.tracker()
    for event in events:
        tracker.event(event)
    return tracker.usage


class TestTheRegistry:
    @each_dialect
    def test_names_each_once(self, dialect: Dialect) -> None:
        assert named(dialect.name) is dialect

    def test_nothing_is_of_two_apis(self) -> None:
        for each in ALL:
            matching = [dialect.name for dialect in DIALECTS if dialect.matches(each.method, each.path)]
            assert matching == [each.codec.name]
        assert find("GET", ALL[0].path) is None
        assert find("POST", "/v1/files") is None

    @each_codec
    def test_every_codec_has_recordings(self, codec: Codec) -> None:
        for recordings in (STREAMS, BODIES, ERRORS):
            assert [each for each in recordings if each.codec is codec]


class TestLaw8:
    """Decode then encode gives the same JSON, unknown fields included; of requests in the same order too."""

    @pytest.mark.parametrize("each", ALL, ids=name)
    def test_requests(self, each: Exchanged) -> None:
        again = each.codec.encode_request(each.codec.decode_request(each.request))
        assert again == json.encode(json.decode(each.request))

    @pytest.mark.parametrize("each", BODIES, ids=name)
    def test_responses(self, each: Exchanged) -> None:
        again = each.codec.encode_response(each.codec.decode_response(each.answer))
        assert in_order(again) == in_order(each.answer)

    @pytest.mark.parametrize("each", ERRORS, ids=name)
    def test_errors(self, each: Exchanged) -> None:
        failure = each.codec.decode_error(each.status, each.headers, each.answer)
        assert failure.status == each.status
        assert in_order(each.codec.encode_error(failure, each.answer)) == in_order(each.answer)

    @pytest.mark.parametrize("each", STREAMS, ids=name)
    def test_events(self, each: Exchanged) -> None:
        for event in framed(each.codec, each.answer):
            deltas = each.codec.decode_event(event)
            if not deltas:
                continue
            (again,) = framed(each.codec, each.codec.encode_event(deltas))
            assert again.name == event.name
            assert again.data == event.data or in_order(again.data or b"") == in_order(event.data or b"")

    @pytest.mark.parametrize("each", BODIES, ids=name)
    def test_a_response_written_anew_says_the_same(self, each: Exchanged) -> None:
        said = bare(each.codec.decode_response(each.answer))
        again = bare(each.codec.decode_response(each.codec.encode_response(said)))
        for one, other in zip(said.choices, again.choices, strict=True):
            assert (one.finish_reason, one.message.role) == (other.finish_reason, other.message.role)
            assert texts_in(one.message) == texts_in(other.message)


def in_order(data: bytes) -> bytes:
    """The same JSON with its keys sorted; ``1`` is not ``1.0`` here."""
    return json.encode(json.decode(data), order="sorted")


def texts_in(message: Message) -> list[str]:
    return [part.text for part in message.content if isinstance(part, Text) and part.text]


class TestErrors:
    @pytest.mark.parametrize("each", ERRORS, ids=name)
    def test_another_message_is_all_that_changes(self, each: Exchanged) -> None:
        codec, said = each.codec, json.decode(each.answer)
        failure = codec.decode_error(each.status, each.headers, each.answer)
        assert failure.message
        other = Failure(type=failure.type, code=failure.code, status=failure.status, message=SNOWMAN)
        again = json.decode(codec.encode_error(other, each.answer))
        assert codec.decode_error(each.status, {}, json.encode(again)).message == SNOWMAN
        if isinstance(said.get("error"), dict):
            said["error"]["message"] = SNOWMAN
            assert again == said

    @each_codec
    def test_are_read_as_they_were_written(self, codec: Codec) -> None:
        failure = Failure(type="rate_limit_error", code="x", status=429, message="slow down")
        assert codec.decode_error(429, {}, codec.encode_error(failure)) == failure

    @each_codec
    @pytest.mark.parametrize("was", [b"", b"<html>", b"[]", b'"oops"', b"7"])
    def test_what_is_no_body_of_this_api_is_written_anew(self, codec: Codec, was: bytes) -> None:
        failure = codec.decode_error(502, {}, was)
        assert codec.encode_error(failure, was) == codec.encode_error(failure)

    @each_codec
    def test_in_mid_stream_fail_the_stream(self, codec: Codec) -> None:
        (event,) = framed(codec, codec.encode_error_event(Failure(type="api_error", message="no")))
        tracker = codec.tracker()
        tracker.event(event)
        assert tracker.failure is not None
        assert (tracker.failure.type, tracker.failure.message, tracker.ended_well) == ("api_error", "no", False)
        (delta,) = codec.decode_event(event)
        assert (delta.kind, delta.name, delta.text) == ("error", "api_error", "no")


class TestLaw2:
    """Usage is equal streamed and whole, at any chunking."""

    @pytest.mark.parametrize("each", STREAMS, ids=name)
    def test_chunks_make_no_difference(self, each: Exchanged, rng: random.Random) -> None:
        whole = framed(each.codec, each.answer)
        cuts = rng.choices(range(len(each.answer)), k=rng.randint(1, 60))
        events = framed(each.codec, each.answer, *cuts)
        assert events == whole
        assert b"".join(event.raw for event in events) == each.answer
        assert streamed_usage(each.codec, events) == streamed_usage(each.codec, whole)

    @pytest.mark.parametrize("each", STREAMS, ids=name)
    def test_the_whole_answer_says_the_same_usage(self, each: Exchanged) -> None:
        events = framed(each.codec, each.answer)
        tracker = each.codec.tracker()
        tracker.body(each.codec.encode_response(each.codec.assemble(events)))
        streamed, buffered = streamed_usage(each.codec, events), tracker.usage
        assert without_raw(buffered) == without_raw(streamed)

    @pytest.mark.parametrize("each", BODIES, ids=name)
    def test_the_codec_and_the_tracker_agree(self, each: Exchanged) -> None:
        tracker = each.codec.tracker()
        tracker.body(each.answer)
        response = each.codec.decode_response(each.answer)
        assert without_raw(response.usage) == without_raw(tracker.usage)
        assert (response.id, response.model) == (tracker.id, tracker.model)
        assert [choice.finish_reason for choice in response.choices] == tracker.finish_reasons


def without_raw(usage: Usage | None) -> list[object]:
    return [getattr(usage, field, None) for field in Usage.__struct_fields__ if field != "raw"]


class TestTextPlaces:
    @pytest.mark.parametrize("each", ALL, ids=name)
    def test_every_string_is_a_place_or_harmless(self, each: Exchanged) -> None:
        codec = each.codec
        if each.streamed:
            for event in framed(codec, each.answer):
                if event.data is not None and event.data.startswith(b"{"):
                    assert overlooked(codec, json.decode(event.data), codec.event_places(event)) == []
            return
        body = json.decode(each.answer)
        assert overlooked(codec, body, codec.response_places(body)) == []

    @pytest.mark.parametrize("each", ALL, ids=name)
    def test_a_place_holds_its_text(self, each: Exchanged) -> None:
        codec, request = each.codec, json.decode(each.request)
        found = [(request, place) for place in codec.request_places(request)]
        if not each.streamed:
            body = json.decode(each.answer)
            found += [(body, place) for place in codec.response_places(body)]
        for value, place in found:
            there = at(value, place.path)
            if isinstance(there, str):
                assert there == place.text
            else:
                assert place.role == "echo" or json.decode(place.text.encode()) == there

    @each_codec
    def test_text_that_nobody_knows_is_found(self, codec: Codec) -> None:
        new = {"new": {"deep": [{"says": "canary"}]}, "type": "new", "id": "x"}
        assert "canary" in [place.text for place in codec.response_places(new)]
        assert "canary" in [place.text for place in codec.request_places({"metadata": new, "messages": []})]
        event = WireEvent(b"data: " + json.encode(new) + b"\n\n", None, json.encode(new))
        assert [(place.channel[0], place.text) for place in codec.event_places(event)] == [("other", "canary")]

    @each_codec
    def test_what_cannot_be_read_does_not_pass_for_textless(self, codec: Codec) -> None:
        deep = b'{"a":' * 200 + b'"canary"' + b"}" * 200
        for data in (deep, b"{", b'"canary"', b'["canary"]'):
            event = WireEvent(b"data: " + data + b"\n\n", None, data)
            for read in (codec.event_places, codec.decode_event, lambda event: codec.rewrite(event, {})):
                with pytest.raises(DecodeError):
                    read(event)
        silent = WireEvent(b": ping\n\n", None, None)
        assert not codec.event_places(silent)
        assert not codec.decode_event(silent)
        assert codec.rewrite(silent, {("text", 0, 0): "a"}) == silent.raw


class TestRewriting:
    @pytest.mark.parametrize("each", STREAMS, ids=name)
    def test_with_the_same_text_changes_no_byte(self, each: Exchanged) -> None:
        for event in framed(each.codec, each.answer):
            said = texts(each.codec.event_places(event))
            assert each.codec.rewrite(event, said) == event.raw

    @pytest.mark.parametrize("each", STREAMS, ids=name)
    def test_leaves_nothing_of_the_old_text(self, each: Exchanged) -> None:
        for event in framed(each.codec, each.answer):
            said = dict.fromkeys((place.channel for place in each.codec.event_places(event)), SNOWMAN)
            if not said:
                continue
            for made in framed(each.codec, each.codec.rewrite(event, said, said)):
                for place in each.codec.event_places(made):
                    assert place.text == "" or SNOWMAN in place.text
                    assert place.role != "echo" or place.text == ""

    @pytest.mark.parametrize("each", STREAMS, ids=name)
    def test_changes_nothing_but_text(self, each: Exchanged) -> None:
        for event in framed(each.codec, each.answer):
            places = each.codec.event_places(event)
            made = framed(each.codec, each.codec.rewrite(event, dict.fromkeys(texts(places), SNOWMAN)))
            if not places or not made:
                continue
            before, after = json.decode(event.data or b""), json.decode(made[0].data or b"")
            taken = {place.path for place in places}
            kept = [path for path in strings(before) if not any(path[:end] in taken for end in range(1, len(path) + 1))]
            following = {"obfuscation", "p", "thoughtSignature"}  # padding is remade, a void signature goes
            assert [at(after, path) for path in kept if path[-1] not in following] == [
                at(before, path) for path in kept if path[-1] not in following
            ]

    @each_codec
    def test_law_10_what_was_looked_at_is_what_is_sent(self, codec: Codec) -> None:
        event = framed(codec, codec.encode_event([Delta(kind="text", text="good")]))[0]
        data = (event.data or b"").replace(b'"good"', b'"bad","X":"good"')
        key = next(place.path[-1] for place in codec.event_places(event) if place.text == "good")
        for twin in (str(key), f"\\u{ord(str(key)[0]):04x}{str(key)[1:]}"):
            (doubled,) = framed(codec, event.raw.replace(event.data or b"", data.replace(b"X", twin.encode())))
            assert "good" in [place.text for place in codec.event_places(doubled)]
            assert b"bad" not in codec.rewrite(doubled, {})


@each_codec
def test_what_another_dialect_said_can_be_written(codec: Codec) -> None:
    said = [Text(text="hello", raw={"type": "text", "text": "hello", "x": 1}, origin="another")]
    request = ChatRequest(
        model="m", messages=[Message(role="user", content=list(said))], origin="another", raw={"y": 2}
    )
    again = codec.decode_request(codec.encode_request(request))
    assert again.model == ("m" if b'"m"' in codec.encode_request(request) else None)  # the model may stand in the path
    assert texts_in(again.messages[0]) == ["hello"]
    response = ChatResponse(
        id="r", choices=[Choice(message=Message(role="assistant", content=list(said)), finish_reason="length")]
    )
    written = codec.encode_response(response)
    answer = codec.decode_response(written)
    assert answer.id == ("r" if b'"r"' in written else None)  # not every API names its answers
    assert (answer.choices[0].finish_reason, texts_in(answer.choices[0].message)) == ("length", ["hello"])


@each_dialect
def test_foreign_bytes_never_raise_where_the_record_is_made(dialect: Dialect) -> None:
    for data in (b"", b"{", b"[]", b"null", b"\xff", b'{"model":[],"stream":{},"usage":7}', b"[" * 5000):
        dialect.outline(data)
        dialect.ask_usage(data)
        dialect.decode_error(500, {}, data)
        assert dialect.usage(data).input_tokens is None
        event = WireEvent(b"data: " + data + b"\n\n", None, data)
        assert dialect.hide_usage(event) == event.raw
        tracker = dialect.tracker()
        tracker.event(event)
        tracker.tail(data)
        tracker.body(data)
        assert tracker.usage is None or tracker.usage.input_tokens is None
