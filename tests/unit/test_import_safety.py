"""`import interlay` does nothing but import: no surprise before first use."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROBE = """
import _thread, json, os, sys, sysconfig

events = []
start = _thread.start_new_thread

def started(*args):  # Python 3.11 has no audit event for this
    events.append(["_thread.start_new_thread", "", False])
    return start(*args)

_thread.start_new_thread = started
watched = ("socket.", "subprocess.", "os.fork", "os.exec", "os.posix_spawn", "os.spawn", "os.system",
           "os.mkdir", "os.remove", "os.rename", "os.truncate", "_thread.start", "urllib.", "http.client",
           "ctypes.dlopen", "signal.", "tempfile.", "shutil.", "sqlite3.", "webbrowser.")

def hook(event, args):
    if event == "open":
        path, mode, flags = args
        events.append([event, os.fsdecode(path) if not isinstance(path, int) else f"fd {path}",
                       bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))])
    elif event.startswith(watched):
        events.append([event, repr(args), False])

sys.addaudithook(hook)
exec(sys.argv[1])
found = list(events)

import threading
own = os.path.dirname(os.path.realpath(sys.modules["interlay"].__file__))
paths = sysconfig.get_paths()
print(json.dumps({
    "events": found,
    "allowed": [own, *{os.path.realpath(paths[k]) for k in ("stdlib", "platstdlib", "purelib", "platlib")}],
    "threads": threading.active_count(),
    "modules": sorted(sys.modules),
}))
"""


class Import:
    """What happened while a fresh interpreter imported something."""

    def __init__(self, statement: str) -> None:
        # -B: writing bytecode is the interpreter's doing, and not what is looked for here.
        command = [sys.executable, "-B", "-X", "dev", "-W", "error", "-c", PROBE, statement]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        told = json.loads(done.stdout)
        self.allowed = [Path(path) for path in told["allowed"]]
        self.threads: int = told["threads"]
        self.modules: list[str] = told["modules"]
        self.opened = [(Path(what), write) for event, what, write in told["events"] if event == "open"]
        self.did = [f"{event} {what}" for event, what, _ in told["events"] if event != "open"]

    def strangers(self) -> list[str]:
        """List what was opened outside the interpreter, site-packages and the package, or to be written."""
        return [
            f"{'write' if write else 'read'} {path}"
            for path, write in self.opened
            if write or not any(path.resolve().is_relative_to(folder) for folder in self.allowed)
        ]


@pytest.fixture(scope="module")
def imported() -> Import:
    return Import("import interlay")


def test_opens_no_socket_and_starts_nothing(imported: Import) -> None:
    assert imported.did == []
    assert imported.threads == 1


def test_opens_no_file_but_its_own(imported: Import) -> None:
    assert imported.strangers() == []


@pytest.mark.parametrize("name", ["pydantic", "httpx", "httpx2", "opentelemetry.sdk"])
def test_leaves_heavy_packages_alone(imported: Import, name: str) -> None:
    assert [module for module in imported.modules if f"{module}.".startswith(f"{name}.")] == []


@pytest.mark.parametrize(
    ("statement", "seen"),
    [
        ("socket; interlay_probe = socket.socket()", "socket.__new__"),
        ("subprocess; subprocess.run(['true'])", "subprocess.Popen"),
        ("threading; t = threading.Thread(target=int); t.start(); t.join()", "_thread.start"),
        ("os; open(os.devnull).close()", "read /dev/null"),
    ],
)
def test_the_probe_sees_what_it_looks_for(statement: str, seen: str) -> None:
    caught = Import(f"import interlay, {statement}")
    assert any(line.startswith(seen) for line in caught.did + caught.strangers())
