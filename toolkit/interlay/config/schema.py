"""What a configuration may say. What parts and destinations take is what their constructors take, by the same names."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_type_hints

from interlay.chain.recorder import Observe
from interlay.config.fitting import AnyOf, Choice, Field, Hidden, Misfit, Shape, Text
from interlay.cost import PriceBook
from interlay.cost.rows import read_row_file
from interlay.layers.cache import Cache
from interlay.layers.retry import Retry
from interlay.layers.timeout import Timeout
from interlay.model.errors import ConfigError
from interlay.telemetry import settings
from interlay.telemetry.settings import OTLP
from interlay.telemetry.vocabulary import VocabularyName

_REFERENCE: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_ADDRESS: Final = re.compile(r"(?P<host>[^\s/:]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")


class Source:
    """Where a configuration comes from, and what is done with what it names."""

    def __init__(self, folder: Path, variables: Mapping[str, str], *, imports: bool) -> None:
        self.folder = folder
        """What its relative paths are relative to."""
        self.variables = variables
        self.imports = imports
        """Whether functions are imported. A check runs nobody's code."""

    def path(self, text: str) -> Path:
        return self.folder / Path(text).expanduser()

    def function(self, reference: str) -> Any:
        """What ``module:name`` names. Raises ``Misfit``."""
        if not _REFERENCE.fullmatch(reference):
            raise Misfit("target", f"{reference!r}: expected module:name, such as myapp.audit:record")
        if not self.imports:
            return print
        module, _, name = reference.partition(":")
        try:
            found = importlib.import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
        except Exception as error:
            raise Misfit("target", f"{reference} cannot be imported: {type(error).__name__}: {error}") from error
        return found


def configuration(source: Source, make: Callable[..., Any]) -> Shape:
    """The shape of a file. ``make`` gets what it says by name: a chain's ``parts``, and what ``setup()`` takes."""

    def made(chain: Sequence[object] = (), **said: Any) -> Any:
        return make(parts=tuple(chain), **_process(source, said))

    otlp = _destination(source)
    return Shape(
        {
            "chain": Field(list[Choice(_parts(source))]),  # type: ignore[misc]
            "as_given": Field(bool),
            "journal": Field(bool | Text),
            "contents": Field(bool),
            "prices": Field(Text),
            "export": Field(AnyOf(bool, Text, otlp, list[AnyOf(Text, otlp)])),  # type: ignore[misc]
            "prometheus": Field(bool | Text),
        },
        made,
    )


def _parts(source: Source) -> dict[str, Shape]:
    """The parts that a chain may have, by the names they have in a file."""

    def observe(target: str, **options: Any) -> Observe:
        try:
            return Observe(source.function(target), **options)
        except TypeError as error:
            raise Misfit("target", str(error)) from error

    def cache(**options: Any) -> Cache:
        if (store := options.get("store")) is not None:
            options["store"] = (
                [_placed(source, s) for s in store] if isinstance(store, list) else _placed(source, store)
            )
        return Cache(**options)

    return {
        "cache": _constructor(
            Cache,
            cache,
            store=AnyOf(Text, list[Text]),
            encrypt=Hidden,
            secret=Hidden,
        ),
        "retry": _constructor(Retry, without=("random",)),
        "timeout": _constructor(Timeout),
        "observe": _constructor(Observe, observe, target=str),
        "trace": Shape(_TRACE, _trace),
    }


def _placed(source: Source, store: str) -> str:
    """The words for a store; a folder's path is relative to the file's."""
    kind, colon, path = store.partition(":")
    return f"disk:{source.path(path)}" if kind == "disk" and colon else store


def _constructor(
    kind: type[Any], make: Callable[..., Any] | None = None, *, without: tuple[str, ...] = (), **instead: object
) -> Shape:
    """The shape of a class that is made with keywords."""
    hints = get_type_hints(kind.__init__)
    fields = {
        each.name: Field(instead.get(each.name, hints.get(each.name)), each.default is each.empty)
        for each in inspect.signature(kind).parameters.values()
        if each.name not in without
    }
    return Shape(fields, make or kind)


_TRACE: Final = {
    "vocabulary": Field(VocabularyName),
    "content_limit": Field(int),
    "propagate": Field(bool),
}


def _trace(**options: Any) -> Any:
    try:
        live = importlib.import_module("interlay.telemetry.live")
    except ModuleNotFoundError as error:
        raise ConfigError(f"trace needs {error.name}: pip install 'interlay[otel]'") from error
    return live.Trace(**options)


def _destination(source: Source) -> Shape:
    """The shape of an ``OTLP``."""
    files = ("certificate", "client_certificate", "client_key")

    def make(**options: Any) -> OTLP:
        for name in files:
            if options.get(name) is not None:
                options[name] = str(source.path(options[name]))
        made = OTLP(**options)
        settings.resolve(made, source.variables)
        return made

    return Shape.of(OTLP, make, headers=dict[str, Hidden], **dict.fromkeys(("endpoint", *files), Text))


def _process(source: Source, said: dict[str, Any]) -> dict[str, Any]:
    """What a file says of the process, as ``setup()`` takes it."""
    if isinstance(said.get("journal"), str):
        said["journal"] = source.path(said["journal"])
    if "prices" in said:
        path = source.path(said["prices"])
        try:
            said["prices"] = PriceBook().with_rows(read_row_file(path))
        except ConfigError as error:
            raise Misfit("prices", str(error)) from error
    if said.get("export") is True:
        raise Misfit("export", "export: expected false, a URL, settings or a list of these, got true")
    for place in said["export"] if isinstance(said.get("export"), list) else [said.get("export")]:
        if isinstance(place, str):
            try:
                settings.resolve(OTLP(endpoint=place), source.variables)
            except ConfigError as error:
                raise Misfit("export", str(error)) from error
    if isinstance(said.get("prometheus"), str):
        address = _ADDRESS.fullmatch(said["prometheus"])
        if address is None or not 0 < int(address["port"]) < 65536:
            raise Misfit("prometheus", "prometheus: expected true, false, or an address such as 127.0.0.1:9464")
        said["prometheus"] = (address["host"].strip("[]"), int(address["port"]))
    return said
