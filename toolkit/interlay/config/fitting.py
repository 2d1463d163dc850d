"""Values of a configuration, fitted to the types they are wanted in. Everything that does not fit is said."""

from __future__ import annotations

import functools
import operator
import re
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin

import msgspec

from interlay.config import reading
from interlay.config.problems import Complaints, instead_of
from interlay.config.reading import Node, Place, Scalar
from interlay.model.errors import ConfigError
from interlay.model.secrets import Secret, redact

Text = Annotated[str, msgspec.Meta(extra={"variables": True})]
"""Text in which ``${NAME}`` stands for an environment variable. It may be a secret, so it is never shown."""

Hidden = Annotated[str, msgspec.Meta(extra={"variables": True, "hidden": True})]
"""The same; where a variable is in it, it becomes a ``Secret``."""

_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BLAMED: Final = re.compile(r"\w+\((\w+)=")
_SHOWN: Final = 40
_WORDS: Final = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


class Nothing:
    """Stands for a value that did not fit."""


NOTHING: Final = Nothing()


class Misfit(ConfigError):
    """A setting that is wrong for a reason that its type does not tell."""

    def __init__(self, setting: str, message: str) -> None:
        super().__init__(message)
        self.setting = setting


class Field(NamedTuple):
    """A setting."""

    type: Any
    required: bool = False


class Shape:
    """Settings by name, and what is made of them."""

    def __init__(self, fields: Mapping[str, Field], make: Callable[..., Any]) -> None:
        self.fields = fields
        self.make = make
        """Called with the settings that were given; may raise ``ConfigError``."""

    @classmethod
    def of(cls, struct: type[msgspec.Struct], make: Callable[..., Any] | None = None, **instead: object) -> Shape:
        """The shape of a struct; ``instead`` has other types for some of its fields."""
        fields = {
            field.name: Field(instead.get(field.name, field.type), field.required)
            for field in msgspec.structs.fields(struct)
        }
        return cls(fields, make or struct)


class Choice:
    """One of several shapes, by name: ``name``, or ``name: {settings}``."""

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self.shapes = shapes


class AnyOf:
    """A union of types, and of shapes, which are none."""

    def __init__(self, *kinds: Any) -> None:
        self.kinds = kinds


class Fitter:
    """Fits the nodes of one file."""

    def __init__(self, complaints: Complaints, variables: Mapping[str, str]) -> None:
        self.complaints = complaints
        self._variables = variables
        self._filled: set[str] = set()
        """Values of variables that are in use. What others say of them is redacted."""

    def fit(self, node: Node, wanted: Any, name: str) -> Any:
        """The value of ``node``, or ``NOTHING``; ``name`` is the setting's, for complaints."""
        if isinstance(wanted, Choice):
            return self._chosen(node, wanted, name)
        kinds = _alternatives(wanted)
        if isinstance(node, reading.Mapping):
            for kind in kinds:
                if isinstance(kind, Shape):
                    return self.shape(node, kind, name)
                if get_origin(kind) in (dict, Mapping):
                    return self._values(node, get_args(kind)[1], name)
        elif isinstance(node, reading.Sequence):
            for kind in kinds:
                if get_origin(kind) in (list, tuple, Sequence):
                    return self._items(node, get_args(kind)[0], get_origin(kind), name)
        else:
            return self._scalar(node, kinds, name)
        return self._misfit(node.place, kinds, name, "a list" if isinstance(node, reading.Sequence) else "settings")

    def shape(self, node: reading.Mapping, shape: Shape, name: str) -> Any:
        """What is made of settings."""
        values: dict[str, Any] = {}
        places: dict[str, Place] = {}
        sound = True
        for member in node.members:
            field = shape.fields.get(member.key)
            full = f"{name}.{member.key}" if name else member.key
            if field is None:
                self.complaints.add(member.place, f"there is no {full}; {instead_of(member.key, shape.fields)}")
                sound = False
                continue
            value = self.fit(member.node, field.type, full)
            if value is NOTHING:
                sound = False
            else:
                values[member.key], places[member.key] = value, member.node.place
        given = {member.key for member in node.members}
        for key, field in shape.fields.items():
            if field.required and key not in given:
                self.complaints.add(node.place, f"{name}.{key} is missing" if name else f"{key} is missing")
                sound = False
        places[""] = node.place
        return self._made(shape, values, places, sound=sound)

    def _made(self, shape: Shape, values: dict[str, Any], places: Mapping[str, Place], *, sound: bool) -> Any:
        """Make it, and if that fails for the sake of one setting, try without, to find what else is wrong."""
        while all(name in values for name, field in shape.fields.items() if field.required):
            try:
                made = shape.make(**values)
                return made if sound else NOTHING
            except ConfigError as error:
                blamed = _BLAMED.match(str(error))
                key = error.setting if isinstance(error, Misfit) else blamed[1] if blamed is not None else ""
                if key in values or sound:  # what is missing may only not have fitted
                    self.complaints.add(places.get(key, places[""]), redact(str(error), self._filled))
                if key not in values:
                    return NOTHING
                values, sound = {name: value for name, value in values.items() if name != key}, False
        return NOTHING

    def _chosen(self, node: Node, choice: Choice, name: str) -> Any:
        options: Node | None = None
        if isinstance(node, Scalar) and isinstance(node.value, str):
            key, place = node.value, node.place
        elif isinstance(node, reading.Mapping) and len(node.members) == 1:
            ((key, place, options),) = node.members
        else:
            self.complaints.add(node.place, f"{name}: expected one name, by itself or with settings after a colon")
            return NOTHING
        shape = choice.shapes.get(key)
        if shape is None:
            self.complaints.add(place, f"{name}: there is no {key}; {instead_of(key, choice.shapes)}")
            return NOTHING
        if options is None or (isinstance(options, Scalar) and options.value is None):
            options = reading.Mapping(place, [])
        return self.fit(options, shape, f"{name}.{key}")

    def _values(self, node: reading.Mapping, wanted: Any, name: str) -> Any:
        found = {each.key: self.fit(each.node, wanted, f"{name}.{each.key}") for each in node.members}
        return NOTHING if any(value is NOTHING for value in found.values()) else found

    def _items(self, node: reading.Sequence, wanted: Any, kind: Any, name: str) -> Any:
        found = [self.fit(item, wanted, f"{name}[{number}]") for number, item in enumerate(node.items)]
        if any(value is NOTHING for value in found):
            return NOTHING
        return tuple(found) if kind is tuple else found

    def _scalar(self, node: Scalar, kinds: list[Any], name: str) -> Any:
        value = node.value
        plain = [kind for kind in kinds if not isinstance(kind, Shape) and get_origin(kind) not in _COMPOUND]
        may_vary = any(_marked(kind, "variables") for kind in plain)
        varied = isinstance(value, str) and "${" in value
        if varied:
            if not may_vary:
                self.complaints.add(node.place, f"{name}: environment variables are not read here")
                return NOTHING
            value = self._filled_in(str(value), node.place, name)
            if value is None:
                return NOTHING
        try:
            fitted = msgspec.convert(value, _union(plain))
            return Secret(fitted) if varied and any(_marked(kind, "hidden") for kind in plain) else fitted
        except msgspec.ValidationError:
            what = "nothing" if value is None else "text" if may_vary and isinstance(value, str) else _shown(value)
            return self._misfit(node.place, kinds, name, what)

    def _filled_in(self, text: str, place: Place, name: str) -> str | None:
        """Text with the values of the variables in it."""
        self._filled.update(self._variables[each] for each in _VARIABLE.findall(text) if each in self._variables)
        missing = [each for each in _VARIABLE.findall(text) if each not in self._variables]
        for each in missing:
            what = "is not set" if _NAME.fullmatch(each) else "is no variable's name"
            self.complaints.add(place, f"{name}: {each} {what}")
        return None if missing else _VARIABLE.sub(lambda found: self._variables[found[1]], text)

    def _misfit(self, place: Place, kinds: list[Any], name: str, what: str) -> Nothing:
        wanted = " or ".join(dict.fromkeys(word for kind in kinds if (word := _described(kind))))
        hint = ""
        choices = [each for kind in kinds for each in _choices(kind)]
        if choices and what[:1] == "'":
            near = instead_of(what.strip("'"), choices)
            hint = f"; {near}" if near.startswith("did") else ""
        self.complaints.add(place, f"{name}: expected {wanted}, got {what}{hint}")
        return NOTHING


_COMPOUND: Final = (list, tuple, dict, Mapping, Sequence)


def _alternatives(wanted: Any) -> list[Any]:
    if get_origin(wanted) in (Union, types.UnionType):
        return [kind for each in get_args(wanted) for kind in _alternatives(each)]
    if isinstance(wanted, AnyOf):
        return [kind for each in wanted.kinds for kind in _alternatives(each)]
    is_struct = isinstance(wanted, type) and issubclass(wanted, msgspec.Struct)
    return [Shape.of(wanted) if is_struct else wanted]


def _union(kinds: list[Any]) -> Any:
    return functools.reduce(operator.or_, kinds) if kinds else type(...)


def _marked(kind: Any, mark: str) -> bool:
    return any(isinstance(each, msgspec.Meta) and (each.extra or {}).get(mark) for each in get_args(kind)[1:])


def _choices(kind: Any) -> tuple[str, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def _described(kind: Any) -> str:
    """What a type is called to people."""
    if isinstance(kind, Shape) or get_origin(kind) in (dict, Mapping):
        return "settings"
    if get_origin(kind) in _COMPOUND:
        return "a list"
    if kind is type(None):
        return ""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if choices := _choices(kind):
        return ", ".join(map(str, choices))
    return _WORDS.get(kind, "a number")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…{text[-1]}"
