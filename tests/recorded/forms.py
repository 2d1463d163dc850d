"""Recorded answers in their other form, as exchanges to be replayed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import structs
from tests.recorded.replay import CASSETTES, Case

from interlay.dialects import find
from interlay.model.protocols import Codec
from interlay.testing import Exchange, Recording
from interlay.testing.recordings import RecordedResponse

NO_STREAM = "openai-chat-plain-02.1"
"""It speaks."""
UNASKED = ("api.mistral.ai", "api.perplexity.ai")
"""Hosts that refuse to be asked for usage."""
LATER = {"parsed", "parsed_arguments", "parsed_output", "object", "output_text", "_request_id"}
"""What the SDKs add, and what names the form."""


def _cases() -> Iterator[Case]:
    for recording in Recording.load_all(CASSETTES):
        for number, exchange in enumerate(recording.exchanges):
            dialect = find(exchange.request.method, exchange.request.path)
            if isinstance(dialect, Codec) and exchange.response.status == 200:
                case = Case(f"{recording.id}.{number + 1}", dialect.name, exchange)
                if case.id != NO_STREAM and (not is_stream(exchange) or other_form(exchange) is not None):
                    yield case


def codec_of(exchange: Exchange) -> Codec:
    found = find(exchange.request.method, exchange.request.path)
    assert isinstance(found, Codec)
    return found


def is_stream(exchange: Exchange) -> bool:
    return exchange.request.streamed or ":stream" in exchange.request.path


def other_form(exchange: Exchange) -> Exchange | None:
    """The exchange as it would have been, had the answer been asked for in its other form; None where it has none."""
    codec, request, content = codec_of(exchange), exchange.request, exchange.response.content
    body, url = dict(request.body), request.url
    if is_stream(exchange):
        framer = codec.framer()
        made = codec.as_body([*framer.feed(content), *framer.finish()])
        body.pop("stream", None)
        url = url.replace(":streamGenerateContent", ":generateContent").replace("alt=sse", "")
        kind = "application/json"
    else:
        pieces = codec.as_stream(content, "alt=sse")
        made = None if pieces is None else b"".join(pieces)
        body |= {} if codec.name == "gemini" else {"stream": True}
        if codec.name == "openai-chat" and request.host not in UNASKED:
            body["stream_options"] = {"include_usage": True}  # the player hides usage from those who do not ask
        url = url.replace(":generateContent", ":streamGenerateContent") + ("?alt=sse" if codec.name == "gemini" else "")
        kind = codec.stream_type("alt=sse")
    if made is None:
        return None
    answer = RecordedResponse(
        status=200, headers={"content-type": kind}, body_encoding="text", body=made.decode(), exact=True
    )
    return Exchange(request=structs.replace(request, url=url, body=body), response=answer)


def both(exchange: Exchange) -> tuple[Exchange, Exchange]:
    """The answer in both forms: plain, and streamed."""
    other = other_form(exchange)
    assert other is not None
    return (other, exchange) if is_stream(exchange) else (exchange, other)


def bared(value: Any) -> Any:
    """What an SDK's object says: nothing that is null or empty, nor what the SDK has added."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(warnings=False)
    if isinstance(value, dict):
        said = {key: bared(item) for key, item in value.items() if key not in LATER}
        return {key: item for key, item in said.items() if item not in (None, [], {}, "")}
    return [bared(item) for item in value] if isinstance(value, list) else value


CASES = list(_cases())
