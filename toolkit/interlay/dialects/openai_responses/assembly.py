"""The events of a stream, added up to the response that the API would have sent whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from interlay.dialects._codec import Object, a_dict, a_str, an_int, object_or_none
from interlay.dialects.openai_responses.tracker import TERMINAL
from interlay.model.protocols import WireEvent

_MAX_ITEMS: Final = 4096
_MAX_PARTS: Final = 4096
_ADDED: Final = {
    "response.output_text.delta": ("content", "output_text", "text", "content_index"),
    "response.refusal.delta": ("content", "refusal", "refusal", "content_index"),
    "response.reasoning_text.delta": ("content", "reasoning_text", "text", "content_index"),
    "response.reasoning_summary_text.delta": ("summary", "summary_text", "text", "summary_index"),
}
"""Events that add to a part of an item: its list, the part's type, its text, its place."""
_GROWN: Final = {
    "response.function_call_arguments.delta": "arguments",
    "response.mcp_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
    "response.code_interpreter_call_code.delta": "code",
}
"""Events that add to a member of an item."""
_HOLDERS: Final = {"input": "custom_tool_call", "code": "code_interpreter_call"}
_THOUGHT: Final = frozenset({"reasoning_text", "summary_text"})


class _Item:
    """An item of the output, as far as it has come."""

    def __init__(self, start: Object) -> None:
        self._start = dict(start)
        self._members: dict[str, list[str]] = {}
        self._parts: dict[tuple[str, int], tuple[Object, list[str]]] = {}
        self._done: Object | None = None

    def begin(self, within: str, at: int, part: Object) -> None:
        if len(self._parts) < _MAX_PARTS:
            self._parts.setdefault((within, at), (part, []))

    def finish(self, item: Object) -> None:
        self._done = item

    def grow(self, member: str, piece: str) -> None:
        self._start.setdefault("type", _HOLDERS.get(member, "function_call"))
        self._members.setdefault(member, []).append(piece)

    def add(self, kind: str, at: int, piece: str) -> None:
        within, word, _, _ = _ADDED[kind]
        self._start.setdefault("type", "reasoning" if word in _THOUGHT else "message")
        self.begin(within, at, {"type": word})
        if (within, at) in self._parts:
            self._parts[within, at][1].append(piece)

    def whole(self) -> Object:
        """The item as the API repeats it, else as its pieces add up."""
        if self._done is not None:
            return self._done
        item = dict(self._start)
        for member, pieces in self._members.items():
            item[member] = (a_str(item.get(member)) or "") + "".join(pieces)
        for (within, _), (part, pieces) in sorted(self._parts.items(), key=lambda entry: entry[0]):
            key = "refusal" if part.get("type") == "refusal" else "text"
            listed = item.get(within)
            said = (a_str(part.get(key)) or "") + "".join(pieces)
            item[within] = [*(listed if isinstance(listed, list) else ()), {**part, key: said}]
        return item


class Assembly:
    """Adds up the events of one stream. Never raises on foreign bytes: what is no event is passed over."""

    def __init__(self) -> None:
        self._response: Object = {}
        self._items: dict[int, _Item] = {}
        self._over = False

    def add(self, event: WireEvent) -> None:
        """Take in one event, in the order they came."""
        if not self._over and (said := object_or_none(event.data)) is not None:
            self._add(a_str(said.get("type")) or event.name or "", said)

    def response(self) -> Object:
        """The response object so far: the terminal event has it whole."""
        if self._over and isinstance(self._response.get("output"), list):
            return self._response
        items = [item.whole() for _, item in sorted(self._items.items(), key=lambda entry: entry[0])]
        return {**self._response, "output": items} if items or self._response else {}

    def _add(self, kind: str, said: Object) -> None:
        if (response := a_dict(said.get("response"))) is not None:
            self._response = response
            self._over = kind in TERMINAL
            return
        at, piece = an_int(said.get("output_index")), said.get("delta")
        item = self._item(at) if at is not None else None
        if item is None:
            return
        if kind in ("response.output_item.added", "response.output_item.done"):
            self._begin(kind, item, at, a_dict(said.get("item")) or {})
        elif kind == "response.content_part.added":
            item.begin("content", an_int(said.get("content_index")) or 0, a_dict(said.get("part")) or {})
        elif kind == "response.reasoning_summary_part.added":
            item.begin("summary", an_int(said.get("summary_index")) or 0, a_dict(said.get("part")) or {})
        elif isinstance(piece, str) and kind in _GROWN:
            item.grow(_GROWN[kind], piece)
        elif isinstance(piece, str) and kind in _ADDED:
            item.add(kind, an_int(said.get(_ADDED[kind][3])) or 0, piece)

    def _begin(self, kind: str, item: _Item, at: Any, members: Object) -> None:
        if kind.endswith(".done"):
            item.finish(members)
        else:
            self._items[at] = _Item(members)

    def _item(self, at: int) -> _Item | None:
        if at not in self._items:
            if len(self._items) >= _MAX_ITEMS:
                return None
            self._items[at] = _Item({})
        return self._items[at]


def whole(events: Iterable[WireEvent]) -> Object:
    """The response object that events add up to; empty where there is none."""
    assembly = Assembly()
    for event in events:
        assembly.add(event)
    return assembly.response()
