"""Law 7: a canary in any place of the input appears in no sink.

While contents are off, that holds for every place. With contents on, what is said is kept, and it holds for
credentials, secret headers, secrets in URLs and registered secrets, even where a provider echoes them. A canary counts
as found by its first eight characters.
"""

from __future__ import annotations

import json
import logging
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.entry.wires import Body, Wire, _sse

import interlay
from interlay.chain.call import Call, Response
from interlay.chain.journal import Journal
from interlay.chain.layer import Next
from interlay.cli.root import root
from interlay.entry import process
from interlay.model import secrets
from interlay.model.record import Attempt
from interlay.testing import capture

Make = Callable[[str], dict[str, Any]]


@dataclass(frozen=True)
class Place:
    """Where a canary goes: options of the client, or arguments of a call for one dialect or both."""

    name: str
    client: Make = field(default=lambda canary: {})
    openai: Make = field(default=lambda canary: {})
    anthropic: Make | None = None

    def arguments(self, dialect: str, canary: str) -> dict[str, Any]:
        make = self.openai if dialect == "openai" or self.anthropic is None else self.anthropic
        return make(canary)


def user(content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}]}


def tool(**function: Any) -> dict[str, Any]:
    plain = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    return {"tools": [{"type": "function", "function": {**plain, **function}}]}


def claude_tool(**members: Any) -> dict[str, Any]:
    return {"tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}, **members}]}


def called(**function: Any) -> dict[str, Any]:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}", **function}}
    return {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}]}


def claude_called(**block: Any) -> dict[str, Any]:
    use = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}, **block}
    return {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": [use]}]}


def _file(canary: str) -> dict[str, Any]:
    return {"type": "file", "file": {"filename": f"{canary}.pdf", "file_data": canary}}


SAID = [
    Place("prompt", openai=lambda canary: user(f"my secret is {canary}")),
    Place("prompt in parts", openai=lambda canary: user([{"type": "text", "text": canary}])),
    Place(
        "system",
        openai=lambda canary: {"messages": [{"role": "system", "content": canary}]},
        anthropic=lambda canary: {"system": canary},
    ),
    Place("name of who speaks", openai=lambda canary: {"messages": [{"role": "user", "name": canary, "content": "x"}]}),
    Place(
        "tool arguments",
        openai=lambda canary: called(arguments=json.dumps({"a": canary})),
        anthropic=lambda canary: claude_called(input={"a": canary}),
    ),
    Place(
        "name of a called tool",
        openai=lambda canary: called(name=canary),
        anthropic=lambda canary: claude_called(name=canary),
    ),
    Place(
        "tool result",
        openai=lambda canary: {"messages": [{"role": "tool", "tool_call_id": canary, "content": canary}]},
        anthropic=lambda canary: user([{"type": "tool_result", "tool_use_id": canary, "content": canary}]),
    ),
    Place(
        "tool",
        openai=lambda canary: tool(name=canary, description=canary, parameters={canary: canary}),
        anthropic=lambda canary: claude_tool(name=canary, description=canary, input_schema={canary: canary}),
    ),
    Place("tool choice", openai=lambda canary: {"tool_choice": {"type": "function", "function": {"name": canary}}}),
    Place(
        "image", openai=lambda canary: user([{"type": "image_url", "image_url": {"url": f"https://x.test/{canary}"}}])
    ),
    Place(
        "file name",
        openai=lambda canary: user([_file(canary)]),
        anthropic=lambda canary: user(
            [{"type": "document", "title": canary, "source": {"type": "text", "data": canary}}]
        ),
    ),
    Place(
        "stop",
        openai=lambda canary: {"stop": [canary]},
        anthropic=lambda canary: {"stop_sequences": [canary]},
    ),
    Place(
        "schema of the answer",
        openai=lambda canary: {
            "extra_body": {
                "response_format": {"type": "json_schema", "json_schema": {"name": canary, "schema": {canary: {}}}}
            }
        },
    ),
    Place("user field", openai=lambda canary: {"extra_body": {"user": canary}}),
    Place(
        "metadata",
        openai=lambda canary: {"extra_body": {"metadata": {canary: canary}}},
        anthropic=lambda canary: {"metadata": {"user_id": canary}},
    ),
    Place("prediction", openai=lambda canary: {"extra_body": {"prediction": {"type": "content", "content": canary}}}),
    Place("unknown field", openai=lambda canary: {"extra_body": {"x": canary, canary: 1}}),
    Place("header", openai=lambda canary: {"extra_headers": {"x-note": canary}}),
    Place("name of a header", openai=lambda canary: {"extra_headers": {canary: "x"}}),
    Place("path of the URL", client=lambda canary: {"base_url": f"https://llm.test/{canary}/v1"}),
    Place("query", openai=lambda canary: {"extra_query": {"x": canary, canary: "1"}}),
    Place("organisation", openai=lambda canary: {"extra_headers": {"openai-organization": canary}}),
]
CREDENTIALS = [
    Place("API key", client=lambda canary: {"api_key": canary}),
    Place("authorization header", openai=lambda canary: {"extra_headers": {"authorization": f"Bearer {canary}"}}),
    Place("secret header", openai=lambda canary: {"extra_headers": {"x-goog-api-key": canary}}),
    Place("cookie", openai=lambda canary: {"extra_headers": {"cookie": f"theme=dark; session={canary}"}}),
    Place("secret in the query", openai=lambda canary: {"extra_query": {"api_key": canary}}),
    Place("signature in the query", client=lambda canary: {"default_query": {"sig": canary}}),
    Place("user in the URL", client=lambda canary: {"base_url": f"https://{canary}:none@llm.test/v1"}),
    Place("password in the URL", client=lambda canary: {"base_url": f"https://none:{canary}@llm.test/v1"}),
    Place("registered secret"),
]
NOWHERE = Place("nowhere")

CALLS = 2

ENDINGS = (
    *("complete", "closed", "error event", "cut", "reset", "timeout in the body"),
    *("error", "unauthorised", "refused", "timeout", "raised", "HTML"),
)


class Echo(Wire):
    """A provider that says back, wherever it can, what it was told."""

    def __init__(self, dialect: str, ending: str, canary: str, *, stream: bool) -> None:
        super().__init__(200)
        self.dialect, self.ending, self.canary, self.stream = dialect, ending, canary, stream

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        text = f"you said {self.canary}, or {self.canary[:8]}…"
        raised = {
            "refused": httpx2.ConnectError(text),
            "timeout": httpx2.ReadTimeout(text),
            "raised": LookupError(text),
        }.get(self.ending)
        if raised is not None:
            raise raised
        headers = {"content-type": "application/json", "x-echo": self.canary}
        status = {"error": 400, "unauthorised": 401}.get(self.ending, 200)
        if status != 200:
            error = {"type": "invalid_request_error", "message": text, "param": self.canary, "code": "wrong"}
            return httpx2.Response(status, headers=headers, stream=Body([json.dumps({"error": error}).encode()]))
        if self.ending == "HTML":
            return httpx2.Response(200, headers=headers, stream=Body([f"<html>{text}</html>".encode()]))
        breaks = {"reset": httpx2.ReadError(text), "timeout in the body": httpx2.ReadTimeout(text)}.get(self.ending)
        if not self.stream:
            whole = json.dumps(self._whole(text)).encode()
            body = [whole[: len(whole) // 2]] if breaks is not None or self.ending == "cut" else [whole]
            return httpx2.Response(200, headers=headers, stream=Body(body, breaks=breaks))
        events = self._events(text)
        if self.ending == "error event":
            events[-1:] = [_sse({"type": "error", "error": {"type": "overloaded_error", "message": text}}, "error")]
        elif self.ending in ("cut", "reset", "timeout in the body"):
            events = events[:2]
        headers["content-type"] = "text/event-stream"
        return httpx2.Response(200, headers=headers, stream=Body(events, breaks=breaks))

    def _whole(self, text: str) -> dict[str, Any]:
        if self.dialect == "openai":
            call = {"id": text, "type": "function", "function": {"name": text, "arguments": text}}
            message = {"role": "assistant", "content": text, "refusal": text, "tool_calls": [call]}
            usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            return {"id": "c1", "object": "chat.completion", "model": "gpt-4o-mini", "choices": choices, "usage": usage}
        content = [
            {"type": "text", "text": text},
            {"type": "tool_use", "id": text, "name": text, "input": {text: text}},
        ]
        usage = {"input_tokens": 9, "output_tokens": 2}
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-6",
            "content": content,
            "stop_reason": "end_turn",
            "stop_sequence": text,
            "usage": usage,
        }

    def _events(self, text: str) -> list[bytes]:
        whole: dict[str, Any] = self._whole(text)
        if self.dialect == "openai":
            call = {"index": 0, **whole["choices"][0]["message"]["tool_calls"][0]}
            deltas: list[Any] = [{"role": "assistant", "content": text}, {"tool_calls": [call]}]
            chunks: list[Any] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
            chunks.append({"index": 0, "delta": {}, "finish_reason": "stop"})
            return [*(_sse({**whole, "choices": [chunk], "usage": None}) for chunk in chunks), b"data: [DONE]\n\n"]
        events: list[dict[str, Any]] = [{"type": "message_start", "message": {**whole, "content": []}}]
        delta = {"type": "text_delta", "text": text}
        events.append({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": text}})
        events.append({"type": "content_block_delta", "index": 0, "delta": delta})
        events.append({"type": "content_block_stop", "index": 0})
        ended = {"stop_reason": "end_turn", "stop_sequence": text}
        events.append({"type": "message_delta", "delta": ended, "usage": {"output_tokens": 2}})
        return [_sse(event, event["type"]) for event in (*events, {"type": "message_stop"})]


class Looker(interlay.Observer):
    """Sees all that an observer can see, and notes how it shows itself."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def note(self, *seen: object) -> None:
        self.shown += [show(each) for each in seen for show in (repr, str)]

    def on_start(self, call: Call) -> None:
        self.note(call, call.route, call.outline, call.identity, call.request, call.io, call.notes)

    def on_attempt(self, call: Call, attempt: Attempt) -> None:
        self.note(call, attempt)

    def on_end(self, record: interlay.Record) -> None:
        self.note(record)


class Passing:
    """A layer that changes nothing, and notes how a response shows itself."""

    role = interlay.Role.GUARD

    def __init__(self, looker: Looker) -> None:
        self.looker = looker

    async def __call__(self, call: Call, next: Next) -> Response:
        response = await next(call)
        self.looker.note(response, response.stream, response.stream.monitor, self, call.run)
        return response


class Sinks(logging.Handler):
    """Everywhere that something of a call can come out."""

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.DEBUG)
        self.folder = folder
        self.looker = Looker()
        self.texts: dict[str, list[str]] = {"logs": [], "objects": self.looker.shown}

    def emit(self, record: logging.LogRecord) -> None:
        self.texts["logs"] += [self.format(record), repr(record.args)]

    def raised(self, error: BaseException) -> None:
        """What interlay's own exceptions say, wherever in the chain of causes they are."""
        said = self.texts.setdefault("exceptions", [])
        seen: BaseException | None = error
        while seen is not None:
            if type(seen).__module__.startswith("interlay"):
                said += ["".join(traceback.format_exception_only(seen)), repr(seen), repr(seen.args)]
            seen = seen.__cause__ or seen.__context__

    def collect(self, records: list[interlay.Record]) -> None:
        self.texts["records"] = [text for each in records for text in (each.to_json().decode(), repr(each), str(each))]
        self.texts["files"] = [
            f"{path} {path.read_bytes().decode('latin-1')}" for path in self.folder.rglob("*") if path.is_file()
        ]
        for arguments in (
            ("calls", "--records"),
            ("show", "@last", "--messages"),
            ("show", "@last", "--json", "--messages"),
        ):
            shown = CliRunner().invoke(root, [*arguments, "--journal", str(self.folder)])
            assert shown.exit_code == 0, shown.output
            self.texts[" ".join(arguments)] = [shown.output]

    def holding(self, canary: str) -> list[str]:
        """The sinks that show a canary, or as much of it as its first eight characters."""
        return [f"{sink}: {text}" for sink, texts in self.texts.items() for text in texts if canary[:8] in text]


@contextmanager
def watching(*, contents: bool) -> Iterator[Sinks]:
    """All sinks, open inside the block."""
    recorder, logger = process.recorder, logging.getLogger("interlay")
    before = recorder.contents, recorder.journal, logger.level
    with tempfile.TemporaryDirectory() as folder:
        sinks = Sinks(Path(folder))
        recorder.contents, recorder.journal = contents, Journal(Path(folder))
        logger.addHandler(sinks)
        logger.setLevel(logging.DEBUG)
        try:
            yield sinks
        finally:
            logger.removeHandler(sinks)
            recorder.contents, recorder.journal, _ = before
            logger.setLevel(before[2])


def make_call(place: Place, dialect: str, ending: str, canary: str, sinks: Sinks, *, stream: bool) -> None:
    """One call with the canary in its place, to a provider that echoes it and ends so."""
    wire = Echo(dialect, ending, canary, stream=stream)
    options = {"max_retries": 0, **place.client(canary)}
    key = options.pop("api_key", None)
    client: Any = wire.for_openai(**options) if dialect == "openai" else wire.for_anthropic(**options)
    if key is not None:
        client.api_key = key
    cache = interlay.Cache()
    interlay.wrap(client, Passing(sinks.looker), cache, interlay.Observe(sinks.looker, inline=True))
    resource = client.chat.completions if dialect == "openai" else client.messages
    plain = {"model": "gpt-4o-mini" if dialect == "openai" else "claude-sonnet-4-6", "max_tokens": 9, **user("hello")}
    for _ in range(CALLS):  # the second may be answered from the cache
        try:
            answer = resource.create(**{**plain, **place.arguments(dialect, canary)}, stream=stream)
            if stream and ending == "closed":
                with answer as events:
                    next(iter(events))
            elif stream:
                list(answer)
        except Exception as error:  # noqa: BLE001 - which it is depends on the ending
            sinks.raised(error)
        sinks.looker.note(cache, cache.store, cache.stats())
    assert 1 <= len(wire.requests) <= CALLS
    if place is not NOWHERE:
        request = wire.requests[0]
        went = f"{request.url} {request.headers.raw!r} {request.content!r} {secrets._registered}"
        assert canary.lower() in went.lower()
    client.close()


def seen_of(place: Place, dialect: str, ending: str, canary: str, *, stream: bool, contents: bool) -> list[str]:
    with watching(contents=contents) as sinks:
        with capture() as records:
            make_call(place, dialect, ending, canary, sinks, stream=stream)
        assert len(records) == CALLS
        sinks.collect(records)
        assert len(sinks.looker.shown) >= 20
        assert sinks.texts["files"]
        return sinks.holding(canary)


# No eight characters of it stand anywhere by chance, and every place takes it as it is.
canaries = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=12, max_size=30).map(lambda text: f"Zq7{text}")
dialects = st.sampled_from(("openai", "anthropic"))
endings = st.sampled_from(ENDINGS)


def by_name(place: Place) -> str:
    return place.name


@pytest.mark.parametrize("place", [*SAID, *CREDENTIALS], ids=by_name)
@settings(max_examples=5)
@given(canary=canaries, dialect=dialects, ending=endings, stream=st.booleans())
def test_law_7_while_contents_are_off_it_is_nowhere(
    place: Place,
    canary: str,
    dialect: str,
    ending: str,
    stream: bool,  # noqa: FBT001
) -> None:
    if place.name == "registered secret":
        interlay.Secret(canary)
    assert seen_of(place, dialect, ending, canary, stream=stream, contents=False) == []


@pytest.mark.parametrize("place", CREDENTIALS, ids=by_name)
@settings(max_examples=8)
@given(canary=canaries, dialect=dialects, ending=endings, stream=st.booleans())
def test_law_7_with_contents_on_no_credential_is_kept(
    place: Place,
    canary: str,
    dialect: str,
    ending: str,
    stream: bool,  # noqa: FBT001
) -> None:
    if place.name == "registered secret":
        interlay.Secret(canary)
    assert seen_of(place, dialect, ending, canary, stream=stream, contents=True) == []


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_the_sinks_would_show_it(dialect: str) -> None:
    """A test that cannot fail is worthless: with contents on, what is no credential is kept."""
    found = seen_of(SAID[0], dialect, "complete", "Zq7-no-credential", stream=False, contents=True)
    assert {each.split(":")[0] for each in found} >= {"records", "files", "show @last --messages", "objects"}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("stream", [False, True], ids=["", "stream"])
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_law_7_at_every_ending(dialect: str, stream: bool, ending: str) -> None:  # noqa: FBT001
    place = CREDENTIALS[0]
    for contents in (False, True):
        assert seen_of(place, dialect, ending, "Zq7-a-key-that-is-long", stream=stream, contents=contents) == []
    assert seen_of(NOWHERE, dialect, ending, "Zq7-only-said-back", stream=stream, contents=False) == []
