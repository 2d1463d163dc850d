"""An answer in its two forms: one body, or events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from interlay.dialects._codec import Object, a_dict, a_str, an_int, an_object
from interlay.dialects._forms import Repeats, encode, event_object, framed, list_of, text_of, whole_body
from interlay.dialects.cohere.assembly import Assembly
from interlay.dialects.cohere.tracker import DONE, is_failure
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent

_END: Final = b"data: [DONE]\n\n"
_TEXTS: Final = ("text", "thinking")
"""Types of content that are said in pieces, and the members that have their text."""
_MESSAGE: Final = frozenset(("role", "content", "tool_plan", "tool_calls", "citations"))
_TOP: Final = frozenset(("id", "message", "finish_reason", "usage", "logprobs"))
_SAID: Final = frozenset(
    ("message-start", "content-start", "content-delta", "tool-plan-delta", "tool-call-start", "tool-call-delta",
     "citation-start", "message-end")
)  # fmt: skip
_SILENT: Final = frozenset(("content-end", "tool-call-end", "citation-end", "debug"))
_MAX_BLOCKS: Final = 4096


# A body as events


def as_stream(body: bytes, _query: str) -> list[bytes]:
    """The events of an answer. Raises ``DecodeError``."""
    whole = whole_body(body)
    message = an_object(whole.get("message"), "message")
    word = text_of(whole.get("finish_reason"))
    if is_failure(None, word) or not whole.keys() <= _TOP or not message.keys() <= _MESSAGE:
        raise DecodeError("an answer of which nobody knows how it is streamed")
    start: Object = {"role": message.get("role") or "assistant", "content": [], "tool_plan": "", "tool_calls": []}
    made = [{**_id(whole), "type": "message-start", "delta": {"message": {**start, "citations": []}}}]
    logprobs = whole.get("logprobs")
    made += _plan(message.get("tool_plan"))
    made += _content(message.get("content") or [], list_of(logprobs) if logprobs else [])
    made += _calls(message.get("tool_calls") or [])
    made += _citations(message.get("citations") or [])
    usage = {"usage": whole["usage"]} if "usage" in whole else {}
    made.append({"type": "message-end", "delta": {"finish_reason": word, **usage}})
    return [*(framed(each["type"], each) for each in made), _END]


def _id(whole: Object) -> Object:
    return {"id": whole["id"]} if "id" in whole else {}


def _event(kind: str, index: int, **message: Any) -> Object:
    return {"type": kind, "index": index, "delta": {"message": message}}


def _plan(plan: Any) -> Iterator[Object]:
    if plan:
        yield {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": text_of(plan)}}}


def _content(items: Any, logprobs: list[Object]) -> Iterator[Object]:
    """Each item: its start, its text, its end. Log-probabilities stand beside the pieces they are of."""
    for index, item in enumerate(list_of(items) if items else ()):
        key = a_str(item.get("type"))
        if index >= _MAX_BLOCKS or key not in _TEXTS or item.keys() != {"type", key}:
            raise DecodeError("a content that is not streamed")
        yield _event("content-start", index, content={**item, key: ""})
        pieces, logprobs = _taken(logprobs, text_of(item[key]))
        for piece, beside in pieces:
            yield {**_event("content-delta", index, content={key: piece}), **beside}
        yield {"type": "content-end", "index": index}
    if logprobs:
        raise DecodeError("log-probabilities of no text")


def _taken(logprobs: list[Object], text: str) -> tuple[list[tuple[str, Object]], list[Object]]:
    """The pieces of ``text`` that the first ``logprobs`` are of, and the others; one piece where there are none."""
    pieces: list[tuple[str, Object]] = []
    at = 0
    for each in logprobs:
        piece = text_of(each.get("text"))
        if at == len(text):
            break
        if not text.startswith(piece, at):
            raise DecodeError("log-probabilities of another text")
        pieces.append((piece, {"logprobs": each}))
        at += len(piece)
    if pieces and at < len(text):
        raise DecodeError("text without its log-probabilities")
    return pieces or ([(text, {})] if text else []), logprobs[len(pieces) :]


def _calls(calls: Any) -> Iterator[Object]:
    for index, call in enumerate(list_of(calls) if calls else ()):
        function = an_object(call.get("function"), "the function")
        arguments = function.get("arguments")
        if index >= _MAX_BLOCKS:
            raise DecodeError("too many calls")
        yield _event("tool-call-start", index, tool_calls={**call, "function": {**function, "arguments": ""}})
        if arguments:
            yield _event("tool-call-delta", index, tool_calls={"function": {"arguments": text_of(arguments)}})
        yield {"type": "tool-call-end", "index": index}


def _citations(citations: Any) -> Iterator[Object]:
    for index, cited in enumerate(list_of(citations) if citations else ()):
        yield _event("citation-start", index, citations=cited)
        yield {"type": "citation-end", "index": index}


# Events as a body


def as_body(events: Iterable[WireEvent]) -> bytes:
    """The answer that events add up to. Raises ``DecodeError`` where something would be lost."""
    assembly, repeats, done = Assembly(), Repeats(), False
    for event in events:
        said = None if event.data is not None and event.data.startswith(DONE) else event_object(event)
        kind = None if said is None else a_str(said.get("type"))
        if said is None or kind in _SILENT:
            continue
        if done or kind not in _SAID:
            raise DecodeError("an event that nobody knows")
        _look_through(said, repeats)
        assembly.add_event(said)
        done = kind == "message-end"
    if not done:
        raise DecodeError("the stream has no end")
    whole = assembly.response()
    text_of(whole.get("finish_reason"))
    whole["message"] = {"role": "assistant", **(a_dict(whole.get("message")) or {})}
    return encode(whole)


def _look_through(said: Object, repeats: Repeats) -> None:
    """Refuse what assemblies would lose: failures, and all but the last of members they do not know."""
    delta = a_dict(said.get("delta")) or {}
    if is_failure(delta.get("error"), delta.get("finish_reason")):
        raise DecodeError("the stream has failed")
    message, kind = a_dict(delta.get("message")) or {}, said["type"]
    for list_name in ("content", "tool_calls"):
        if kind != "message-start" and isinstance(piece := message.get(list_name), dict):
            inner = a_dict(piece.get("function")) or {}
            for key, value in (piece | inner).items():
                if key not in ("text", "thinking", "arguments", "function"):
                    repeats.add((list_name, an_int(said.get("index")), key), value)
