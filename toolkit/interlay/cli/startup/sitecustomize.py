"""Python imports this at the start of every program that ``interlay run`` runs, and of those that these start.

It does next to nothing then: interlay itself is imported, and put under the clients, when the program imports an HTTP
library. A ``sitecustomize`` of the program's own, or of its Python, is run as if this one were not there.
"""  # noqa: INP001 - the folder is on the path of the program, and in no package

import importlib.util
import os
import sys
from importlib.machinery import PathFinder
from types import ModuleType

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib takes its time to import


def _watch() -> None:
    """Wait for an HTTP library."""
    try:
        from interlay.entry.arrivals import Arrivals
    except ImportError as error:
        _complain(error)
        return

    def start(_: ModuleType) -> None:
        arrivals.leave()
        try:
            from interlay.config.starting import start

            start()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with us, the program goes on
            _complain(error)

    arrivals = Arrivals(("httpx", "httpx2"), start)
    arrivals.watch()


def _complain(error: Exception) -> None:
    print(f"interlay run: {sys.executable} runs without interlay: {error}", file=sys.stderr)


def _make_way() -> None:
    """Run the ``sitecustomize`` that would have been found without this folder. What it raises is its own."""
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != _HERE]  # noqa: PTH100
    sys.path_importer_cache.pop(_HERE, None)
    spec = PathFinder.find_spec("sitecustomize")
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


_watch()
_make_way()
