"""Virtual environments with other packages than the tests' own, made when first asked for and kept.

They live in ``.venv-interop/``. One is made anew when what it is to hold, or what the package asks for, has changed;
remove the folder to get newer releases.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".venv-interop"
TOOLS = ("pytest>=9", "pytest-timeout>=2.4", "pytest-xdist>=3.8", "hypothesis>=6.130", "trio>=0.30")
"""What it takes to run files of this test suite in another environment."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment with interlay, editable, and some requirements."""

    name: str
    requirements: tuple[str, ...]
    python: str = sys.executable
    extra: str = ""

    def __str__(self) -> str:
        return self.name

    def path(self) -> Path:
        """The environment's interpreter; makes the environment if it is not there."""
        folder = FOLDER / self.name
        stamp = folder / ".made"
        FOLDER.mkdir(exist_ok=True)
        with (FOLDER / f"{self.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # several workers may want it
            if not stamp.exists() or stamp.read_text() != self._contents():
                shutil.rmtree(folder, ignore_errors=True)
                run(self.python, "-m", "venv", folder)
                install(folder / "bin" / "python", "--editable", self._package(), *self.requirements)
                stamp.write_text(self._contents())
        return folder / "bin" / "python"

    def _package(self) -> str:
        return f"{ROOT}[{self.extra}]" if self.extra else str(ROOT)

    def _contents(self) -> str:
        project = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
        return "\n".join([self.python, project, self._package(), *self.requirements])


def install(python: Path, *what: str | Path) -> None:
    """Install into an environment: by uv, which is quicker, else by pip."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is not None:
        command = [uv, "pip", "install", "--quiet", "--python", python, *what]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return
    run(python, "-m", "pip", "install", "--quiet", *what)


def run(*command: str | Path, cwd: Path = ROOT, timeout: float = 600) -> str:
    """What a command prints. Raises ``AssertionError`` with all of it where the command fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
