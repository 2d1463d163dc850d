"""Chunks added up to the response that the API would have sent whole.

Everything is kept, also what is unknown: of members that come again the last counts, text is joined. Tool calls are
put together by index, with repairs for hosts that leave it out, or put every call on index 0.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from interlay.dialects._codec import Object, object_or_none
from interlay.dialects._openai import PADDING
from interlay.dialects.openai_chat.tracker import MAX_CHOICES
from interlay.model.protocols import WireEvent

_JOINED: Final = ("content", "reasoning_content", "reasoning", "refusal")
_MAX_CALLS: Final = 4096


class Assembly:
    """Adds up the chunks of one stream. Never raises on foreign bytes; events that are no chunk are passed over."""

    def __init__(self) -> None:
        self._top: Object = {}
        self._choices: dict[object, _Choice] = {}

    def add(self, event: WireEvent) -> None:
        """Take in one event, in the order they came."""
        if (chunk := object_or_none(event.data)) is not None:
            self.add_chunk(chunk)

    def add_chunk(self, chunk: Object) -> None:
        """Take in one event's JSON object."""
        for key, value in chunk.items():
            if key == "choices":
                self._add_choices(value)
            elif key == "x_groq" and isinstance(value, dict) and isinstance(self._top.get(key), dict):
                self._top[key] |= value
            elif key not in PADDING and (value is not None or key not in self._top):
                self._top[key] = value

    def response(self) -> Object:
        """The ``chat.completion`` object so far."""
        response = dict(self._top)
        if "object" in response:
            response["object"] = "chat.completion"
        response["choices"] = [choice.whole() for choice in self._choices.values()]
        response["choices"].sort(key=_by_index)
        return response

    def _add_choices(self, choices: Any) -> None:
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            index = _index(choice.get("index"))
            known = self._choices.get(index)
            if known is None:
                if len(self._choices) >= MAX_CHOICES:
                    continue
                known = self._choices[index] = _Choice()
            known.add(choice)


def _by_index(choice: Object) -> int:
    index = choice.get("index")
    return index if type(index) is int else 0


def _index(value: Any) -> int | None:
    return value if type(value) is int else None


class _Choice:
    """One choice, as its deltas add up."""

    def __init__(self) -> None:
        self._members: Object = {}
        self._message: Object = {}
        self._texts: dict[str, list[str]] = {}
        self._logprobs: Object = {}
        """Its lists are its own, and go on where the last ended."""
        self._calls: list[_Call] = []
        self._at: dict[int, _Call] = {}

    def add(self, choice: Object) -> None:
        delta = choice.get("delta")
        for key, value in choice.items():
            if key in ("delta", "message") or (key == "text" and delta is not None):
                continue
            if key == "logprobs" and isinstance(value, dict):
                self._add_logprobs(value)
            elif value is not None or key not in self._members:
                self._members[key] = value
        if isinstance(delta, dict):
            self._add_delta(delta)
        elif isinstance(choice.get("message"), dict):
            self._message |= choice["message"]

    def whole(self) -> Object:
        message = dict(self._message)
        for key, pieces in self._texts.items():
            message[key] = "".join(pieces)
        if self._calls:
            message["tool_calls"] = [call.whole() for call in self._calls]
        members = dict(self._members)
        if members.get("logprobs") is self._logprobs:
            own = self._logprobs.items()
            members["logprobs"] = {key: list(items) if isinstance(items, list) else items for key, items in own}
        return {**members, "message": message}

    def _add_logprobs(self, value: Object) -> None:
        self._members["logprobs"] = self._logprobs
        for name, items in value.items():
            before = self._logprobs.get(name)
            if isinstance(items, list) and isinstance(before, list):
                before += items
            elif items is not None or name not in self._logprobs:
                self._logprobs[name] = list(items) if isinstance(items, list) else items

    def _add_delta(self, delta: Object) -> None:
        message = self._message
        for key, value in delta.items():
            if value is None:
                message.setdefault(key, None)
            elif key in _JOINED and isinstance(value, str):
                self._add_text(key, value)
            elif key == "content" and isinstance(value, list):
                before = "".join(self._texts.pop(key, ())) or message.get(key)
                message[key] = _joined_parts(before, value)
            elif key == "tool_calls" and isinstance(value, list):
                message.setdefault(key, [])
                for piece in value:
                    if isinstance(piece, dict):
                        self._call(piece)
            elif key == "function_call" and isinstance(value, dict):
                message[key] = _joined_function(message.get(key), value)
            elif key == "audio" and isinstance(value, dict):
                message[key] = _joined_audio(message.get(key), value)
            elif key == "reasoning_details" and isinstance(value, list):
                message[key] = _joined_details(message.get(key), value)
            elif key == "annotations" and isinstance(value, list):
                message[key] = (message.get(key) or []) + value
            elif key != "role" or not message.get(key):
                message[key] = value

    def _add_text(self, key: str, text: str) -> None:
        """Text joins text; where a host has begun with a list of parts, it becomes one of them."""
        if key == "content" and isinstance(self._message.get(key), list):
            self._message[key] = _joined_parts(self._message[key], [{"type": "text", "text": text}])
            return
        self._message.setdefault(key, "")
        self._texts.setdefault(key, []).append(text)

    def _call(self, piece: Object) -> None:
        index = piece.get("index")
        known = self._known(index, piece) if type(index) is int and index >= 0 else self._unplaced(piece)
        if known is None:
            if len(self._calls) >= _MAX_CALLS:
                return
            known = _Call()
            self._calls.append(known)
        if type(index) is int and index >= 0:
            self._at[index] = known
        known.add(piece)

    def _known(self, index: int, piece: Object) -> _Call | None:
        """The call that a piece with an index goes on with. Another id on the same index begins another call, and
        so does a name once the arguments are whole."""
        known = self._at.get(index)
        if known is None:
            return None
        call_id = piece.get("id")
        if call_id and known.id and call_id != known.id:
            return None
        if not call_id and _name(piece) and known.is_whole():
            return None
        return known

    def _unplaced(self, piece: Object) -> _Call | None:
        """The call that a piece without an index goes on with: the one of its id, else the last, unless the piece
        is how a call begins."""
        call_id = piece.get("id")
        if call_id:
            return next((call for call in reversed(self._calls) if call.id == call_id), None)
        if not self._calls or (_name(piece) and self._calls[-1].name):
            return None
        return self._calls[-1]


class _Call:
    """One tool call, as its pieces add up."""

    def __init__(self) -> None:
        self.id: object = None
        self.name = ""
        self._members: Object = {}
        self._inner: Object = {}
        self._kind = "function"
        self._pieces: dict[str, list[str]] = {}

    def add(self, piece: Object) -> None:
        for key, value in piece.items():
            if key in ("function", "custom") and isinstance(value, dict):
                self._kind = key
                self._add_inner(value)
            elif key != "index" and (value is not None or key not in self._members):
                self._members[key] = value
        self.id = self.id or piece.get("id")
        if self.id:
            self._members["id"] = self.id

    def is_whole(self) -> bool:
        """Whether the arguments are a JSON object already."""
        try:
            return isinstance(msgspec.json.decode("".join(self._pieces.get("arguments", ()))), dict)
        except (msgspec.DecodeError, RecursionError):
            return False

    def whole(self) -> Object:
        inner = dict(self._inner)
        for key, pieces in self._pieces.items():
            inner[key] = "".join(pieces)
        return {**self._members, self._kind: inner}

    def _add_inner(self, function: Object) -> None:
        for key, value in function.items():
            if key in ("arguments", "input") and isinstance(value, str):
                self._inner.setdefault(key, "")
                self._pieces.setdefault(key, []).append(value)
            elif value is not None and (key != "name" or not self.name):
                self._inner[key] = value
        name = self._inner.get("name")
        self.name = name if isinstance(name, str) else ""


def _name(piece: Object) -> str | None:
    function = piece.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) and name else None


def _joined_parts(known: Any, pieces: list[Any]) -> list[Any]:
    """Parts of a content: text goes on with the text before it, thinking with the thinking."""
    if isinstance(known, str):
        known = [{"type": "text", "text": known}] if known else []
    parts = list(known) if isinstance(known, list) else []
    for piece in pieces:
        last = parts[-1] if parts else None
        if not isinstance(piece, dict) or not isinstance(last, dict) or last.get("type") != piece.get("type"):
            parts.append(piece)
        elif isinstance(last.get("text"), str) and isinstance(piece.get("text"), str):
            parts[-1] = {**last, **piece, "text": last["text"] + piece["text"]}
        elif isinstance(last.get("thinking"), list) and isinstance(piece.get("thinking"), list):
            thinking = _joined_parts(last["thinking"], piece["thinking"])
            parts[-1] = {**last, **piece, "thinking": thinking}
        else:
            parts.append(piece)
    return parts


def _joined_function(known: Any, piece: Object) -> Object:
    joined = dict(known) if isinstance(known, dict) else {}
    for key, value in piece.items():
        if key == "arguments" and isinstance(value, str) and isinstance(joined.get(key), str):
            joined[key] += value
        elif value is not None or key not in joined:
            joined[key] = value
    return joined


def _joined_audio(known: Any, piece: Object) -> Object:
    joined = dict(known) if isinstance(known, dict) else {}
    for key, value in piece.items():
        before = joined.get(key)
        if key == "data" and isinstance(value, str) and isinstance(before, str):
            joined[key] = _joined_base64(before, value)
        elif key == "transcript" and isinstance(value, str) and isinstance(before, str):
            joined[key] = before + value
        elif value is not None or key not in joined:
            joined[key] = value
    return joined


def _joined_base64(one: str, other: str) -> str:
    """Each piece may have its own padding, which must not stand in the middle."""
    if not one.endswith("="):
        return one + other
    try:
        return b64encode(b64decode(one, validate=True) + b64decode(other, validate=True)).decode()
    except (Base64Error, ValueError):
        return one + other


def _joined_details(known: Any, pieces: list[Any]) -> list[Any]:
    """OpenRouter's reasoning details: pieces of one index and type are one detail."""
    details = list(known) if isinstance(known, list) else []
    for piece in pieces:
        last = details[-1] if details else None
        if not (
            isinstance(piece, dict)
            and isinstance(last, dict)
            and all(last.get(key) == piece.get(key) for key in ("type", "index"))
        ):
            details.append(piece)
            continue
        joined = dict(last)
        for key, value in piece.items():
            if key in ("text", "summary", "data") and isinstance(value, str) and isinstance(last.get(key), str):
                joined[key] = last[key] + value
            elif value is not None or key not in joined:
                joined[key] = value
        details[-1] = joined
    return details


def whole(events: Iterable[WireEvent]) -> Object:
    """The response that a stream's chunks add up to."""
    assembly = Assembly()
    for event in events:
        assembly.add(event)
    return assembly.response()
