"""YAML, strictly: every value with its place, no key twice, aliases and depth bounded, no tags.

PyYAML scans and composes; it is the parser that most programs have installed already, it needs no other package, and
its nodes know their lines. Of what it would make of the nodes nothing is used: scalars are read by YAML 1.2's core
schema, in which ``no`` is a word and ``1:30`` no number, and objects are never made.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from interlay.config.problems import Complaints
from interlay.model.errors import ConfigError

MAX_BYTES: Final = 1024 * 1024
_MAX_DEPTH: Final = 32
_MAX_NODES: Final = 10_000
"""Counted with aliases written out, so that ten lines of them cannot stand for millions."""
_MAX_ALIASES: Final = 100

_NULL: Final = frozenset(("", "~", "null", "Null", "NULL"))
_BOOL: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT: Final = re.compile(r"[-+]?[0-9]{1,18}")
_BASED: Final = re.compile(r"0o[0-7]{1,20}|0x[0-9a-fA-F]{1,15}")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_TAGS: Final = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map")}

Place = tuple[int, int]
"""Line and column, from 1."""


class Scalar(NamedTuple):
    """A value without parts."""

    place: Place
    value: str | int | float | bool | None


class Sequence(NamedTuple):
    """A list."""

    place: Place
    items: list[Node]


class Member(NamedTuple):
    """A key with its value."""

    key: str
    place: Place
    """Of the key."""
    node: Node


class Mapping(NamedTuple):
    """Keys with values, in order."""

    place: Place
    members: list[Member]


Node = Scalar | Sequence | Mapping


def _pyyaml() -> Any:
    """An optional extra, and this is its one place."""
    try:
        import yaml  # type: ignore[import-untyped]  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigError("a configuration is read with PyYAML: pip install 'interlay[yaml]'") from error
    return yaml


def read(data: bytes, complaints: Complaints) -> Node | None:
    """The one document in ``data``; None where it cannot be read at all. What is wrong goes to ``complaints``.

    Raises ``ConfigError`` where PyYAML is not installed.
    """
    yaml = _pyyaml()
    if len(data) > MAX_BYTES:
        complaints.add((0, 0), f"larger than {MAX_BYTES:,} bytes")
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        complaints.add((before.count(b"\n") + 1, error.start - before.rfind(b"\n")), "expected UTF-8")
        return None
    try:
        composed = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        complaints.add(_place(mark) if mark is not None else (0, 0), f"no YAML: {said}")
        return None
    except yaml.YAMLError as error:
        before_it = text[: getattr(error, "position", 0)]
        place = (before_it.count("\n") + 1, len(before_it) - before_it.rfind("\n"))
        complaints.add(place, f"no YAML: {getattr(error, 'reason', 'it cannot be read')}")
        return None
    except RecursionError:
        complaints.add((0, 0), f"nested more than {_MAX_DEPTH} levels deep")
        return None
    if composed is None:
        return Mapping((1, 1), [])
    try:
        return _Walk(yaml, complaints).node(composed, ())
    except _TooMuchError as error:
        complaints.add(*error.args)
        return None


class _TooMuchError(Exception):
    """There is no end of it: place and problem."""


class _Walk:
    """Over PyYAML's nodes, once."""

    def __init__(self, yaml: Any, complaints: Complaints) -> None:
        self._yaml = yaml
        self._complaints = complaints
        self._nodes = 0
        self._aliases = 0
        self._seen: set[int] = set()

    def node(self, node: Any, above: tuple[int, ...], *, repeated: bool = False) -> Node | None:
        place = _place(node.start_mark)
        alias = id(node) in self._seen
        self._seen.add(id(node))
        self._nodes += 1
        self._aliases += alias and not repeated
        if self._aliases > _MAX_ALIASES:
            raise _TooMuchError(place, f"more than {_MAX_ALIASES} aliases")
        if self._nodes > _MAX_NODES:
            raise _TooMuchError(place, f"more than {_MAX_NODES:,} values, its aliases written out")
        problem = self._problem(node, above)
        if problem is not None:
            if not repeated:
                self._complaints.add(place, problem)
            return None
        above = (*above, id(node))
        if isinstance(node, self._yaml.MappingNode):
            return Mapping(place, self._members(node, above, repeated=alias or repeated))
        if isinstance(node, self._yaml.SequenceNode):
            found = [self.node(item, above, repeated=alias or repeated) for item in node.value]
            return Sequence(place, [item for item in found if item is not None])
        return Scalar(place, _scalar(node.value) if node.style is None else node.value)

    def _problem(self, node: Any, above: tuple[int, ...]) -> str | None:
        """Why not to go into a node."""
        if id(node) in above:
            return "contains itself"
        if len(above) > _MAX_DEPTH:
            return f"nested more than {_MAX_DEPTH} levels deep"
        if node.tag not in _TAGS:
            return f"tags such as {node.tag.replace('tag:yaml.org,2002:', '!!')} are not taken"
        if isinstance(node, self._yaml.ScalarNode) and _SURROGATE.search(node.value):
            return "no text: half of a surrogate pair"
        return None

    def _members(self, node: Any, above: tuple[int, ...], *, repeated: bool) -> list[Member]:
        found: list[Member] = []
        lines: dict[str, int] = {}
        for key, value in node.value:
            place = _place(key.start_mark)
            if not isinstance(key, self._yaml.ScalarNode):
                if not repeated:
                    self._complaints.add(place, "expected a name before the colon")
            elif key.value in lines:
                if not repeated:
                    line = lines[key.value]
                    self._complaints.add(place, f"{key.value} is here twice; it is in line {line} already")
            else:
                lines[key.value] = place[0]
                inner = self.node(value, above, repeated=repeated)
                if inner is not None:
                    found.append(Member(key.value, place, inner))
        return found


def _place(mark: Any) -> Place:
    return mark.line + 1, mark.column + 1


def _scalar(text: str) -> str | int | float | bool | None:
    """A plain scalar, by the core schema of YAML 1.2 (section 10.3.2), less infinity and what is no number."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text
