"""A message in its two forms: one body, or events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from interlay.dialects._codec import Object, a_str, an_int, an_object
from interlay.dialects._forms import DEPTH, Repeats, encode, event_object, framed, list_of, text_of, whole_body
from interlay.dialects.anthropic_messages import figures
from interlay.dialects.anthropic_messages.assembly import Assembly
from interlay.model import json
from interlay.model.errors import DecodeError
from interlay.model.protocols import WireEvent

_ENDING: Final = ("stop_reason", "stop_sequence", "stop_details", "container")
"""Members of a message that its end has."""
_BESIDE: Final = ("context_management", "input_transformations")
"""Those that stand beside the end's."""
_TOTALS: Final = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
_LATER: Final = ("server_tool_use", "output_tokens_details", "iterations", "fallback_credit")
"""Figures that are known at the end alone; the totals are told at both."""
_SILENT: Final = frozenset(("ping", "message_stop"))
_PIECES: Final = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
    "citations_delta": "citation",
    "compaction_delta": "content",
}
"""Deltas, and what each adds."""


class _Input(msgspec.Struct, gc=False):
    input: msgspec.Raw = msgspec.Raw()


class _Inputs(msgspec.Struct, gc=False):
    content: list[_Input]


_inputs: Final = json.Reader(_Inputs)


# A body as events


def as_stream(body: bytes, _query: str) -> list[bytes]:
    """The events of a message. Raises ``DecodeError``."""
    whole = whole_body(body)
    usage = an_object(whole.get("usage"), "usage")
    content = whole.get("content")
    blocks = list_of(content) if content else []
    text_of(whole.get("stop_reason"))
    if whole.get("type") != "message" or not isinstance(content, list) or an_int(usage.get("output_tokens")) is None:
        raise DecodeError("no message")
    made: list[Object] = [{"type": "message_start", "message": {**_begun(whole), "usage": _first(usage)}}]
    inputs = _inputs.read(body).content if any("input" in block for block in blocks) else []
    for index, block in enumerate(blocks):
        made += _block(index, block, bytes(inputs[index].input) if "input" in block else b"")
    beside = {key: whole[key] for key in _BESIDE if whole.get(key) is not None}
    end = {key: whole.get(key) for key in _ENDING if key in whole or key in _ENDING[:2]}
    made.append({"type": "message_delta", "delta": end, "usage": _last(usage), **beside})
    made.append({"type": "message_stop"})
    return [framed(each["type"], each) for each in made]


def _begun(whole: Object) -> Object:
    """A message of which nothing was said."""
    ends: Object = {key: None for key in _ENDING if key in whole}
    return {**{key: value for key, value in whole.items() if key not in _BESIDE}, **ends, "content": []}


def _first(usage: Object) -> Object:
    """Nothing was written yet, so readers who add the two counts up are right too."""
    later = {key for key in _LATER if usage.get(key) is not None}
    return {**{key: value for key, value in usage.items() if key not in later}, "output_tokens": 0}


def _last(usage: Object) -> Object:
    return {key: usage[key] for key in (*_TOTALS, *_LATER) if usage.get(key) is not None}


def _block(index: int, block: Object, given: bytes) -> Iterator[Object]:
    """A block: its head, what is said in pieces, its end."""
    head, deltas = _split(block, given)
    yield {"type": "content_block_start", "index": index, "content_block": head}
    for kind, said in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": {"type": kind, **said}}
    yield {"type": "content_block_stop", "index": index}


def _split(block: Object, given: bytes) -> tuple[Object, list[tuple[str, Object]]]:
    """What a block begins with, and what is added to it. Results of the provider's tools come whole."""
    kind = block.get("type")
    if kind == "text":
        cited = block.get("citations") or []
        head = {**block, "text": "", **({"citations": []} if cited else {})}
        citations = [("citations_delta", {"citation": each}) for each in (list_of(cited) if cited else ())]
        return head, [("text_delta", {"text": text}) for text in _said(block, "text")] + citations
    if kind == "thinking":
        deltas = [("thinking_delta", {"thinking": text}) for text in _said(block, "thinking")]
        if "signature" not in block:
            return {**block, "thinking": ""}, deltas
        deltas += [("signature_delta", {"signature": text}) for text in _said(block, "signature")]
        return {**block, "thinking": "", "signature": ""}, deltas
    if "input" in block:
        an_object(block["input"], "input")
        # As it stood: what was escaped, and how numbers were written, is for who asked.
        pieces = ["", given.decode()] if block["input"] else [""]
        return {**block, "input": {}}, [("input_json_delta", {"partial_json": piece}) for piece in pieces]
    if kind == "compaction":
        added: Object = {key: block[key] for key in ("content", "encrypted_content") if key in block}
        return {**block, **dict.fromkeys(added)}, [("compaction_delta", added)]
    text_of(kind)
    return block, []


def _said(block: Object, key: str) -> list[str]:
    text = text_of(block.get(key))
    return [text] if text else []


# Events as a body


def as_body(events: Iterable[WireEvent]) -> bytes:
    """The message that events add up to. Raises ``DecodeError`` where something would be lost."""
    heard = _Heard()
    for event in events:
        said = None if heard.stopped else event_object(event)
        if said is not None:
            heard.add(said)
    return encode(heard.message())


class _Heard:
    """The events of one stream, each where it may stand."""

    def __init__(self) -> None:
        self.stopped = False
        self._assembly = Assembly()
        self._repeats = Repeats()
        self._usages: list[bytes] = []
        self._arguments: dict[int, list[str]] = {}
        """Pieces of each block's input; blocks in their order."""
        self._open: set[int] = set()

    def add(self, said: Object) -> None:
        kind = a_str(said.get("type"))
        if kind == "message_start":
            self._usages.append(encode(an_object(an_object(said.get("message"), "message").get("usage"), "usage")))
        elif kind == "message_delta":
            self._usages.append(encode(an_object(said.get("usage"), "usage")))
        elif kind == "content_block_start":
            self._begin(said)
        elif kind == "content_block_delta":
            self._go_on(said)
        elif kind == "content_block_stop":
            self._open.discard(_place(said))
        elif kind not in _SILENT:
            raise DecodeError("an event that nobody knows")
        self._assembly.add_event(said)
        self.stopped = kind == "message_stop"

    def message(self) -> Object:
        """The message. Raises ``DecodeError`` for one that has not ended."""
        message = self._assembly.message()
        if message is None or not self.stopped or self._open or len(self._usages) < 2:
            raise DecodeError("the stream has no end")
        text_of(message.get("stop_reason"))
        if message.get("type") != "message":
            raise DecodeError("no message")
        usage = self._usages[0]
        for later in self._usages[1:]:
            usage = figures.merge(usage, later)
        message["usage"] = msgspec.Raw(usage)
        blocks = message["content"][-len(self._arguments) :] if self._arguments else []
        for block, pieces in zip(blocks, self._arguments.values(), strict=True):
            if arguments := "".join(pieces):
                an_object(json.decode(arguments.encode(), depth=DEPTH), "input")
                block["input"] = msgspec.Raw(arguments.encode())
        return message

    def _begin(self, said: Object) -> None:
        index = _place(said)
        if index in self._arguments:
            raise DecodeError("two blocks in one place")
        an_object(said.get("content_block"), "the block")
        self._arguments[index] = []
        self._open.add(index)

    def _go_on(self, said: Object) -> None:
        index, delta = _place(said), an_object(said.get("delta"), "the delta")
        kind = a_str(delta.get("type")) or ""
        if index not in self._open or kind not in _PIECES:
            raise DecodeError("a delta that nobody knows")
        if kind == "input_json_delta":
            self._arguments[index].append(text_of(delta.get("partial_json")))
        elif kind in ("text_delta", "thinking_delta"):
            text_of(delta.get(_PIECES[kind]))
        elif kind == "citations_delta":
            an_object(delta.get("citation"), "the citation")
        else:
            for key, value in delta.items():
                self._repeats.add((index, key), value)


def _place(said: Object) -> int:
    index = an_int(said.get("index"))
    if index is None:
        raise DecodeError("a block without a place")
    return index
