"""What is built is what is in git; it installs bare, with few packages, and with each extra, by pip and by uv; and the
demo runs from the wheel alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
PACKAGES = ("toolkit/interlay", "integrations/interlay_integrations")
LEFT_OUT = (".github/", ".ci/")
EXTRAS: list[str] = [
    name
    for name in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    if name not in ("dev", "docs", "fuzz")  # fuzz is built for some interpreters only
]

pytestmark = pytest.mark.timeout(900)


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clone of HEAD: a working tree may hold files that are not in git yet."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs a git checkout")
    folder = tmp_path_factory.mktemp("clone")
    run("git", "clone", "--quiet", "--no-hardlinks", ROOT, folder, cwd=ROOT)
    return folder


def build(kind: str, source: Path, out: Path) -> Path:
    run(sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", out, cwd=source)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="session")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", clone, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def sdist(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", clone, tmp_path_factory.mktemp("sdist"))


def tracked(clone: Path, *paths: str) -> set[str]:
    return {path for path in run("git", "ls-files", "-z", *paths, cwd=clone).split("\0") if path}


def packed(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_exactly_the_two_packages(clone: Path, wheel: Path) -> None:
    files = {path.partition("/")[2]: (clone / path).read_bytes() for path in tracked(clone, *PACKAGES)}
    assert packed(wheel) == files
    assert {"interlay/py.typed", "interlay_integrations/py.typed"} <= set(files)


def test_the_sdist_holds_what_is_in_git_and_makes_the_same_wheel(
    clone: Path, sdist: Path, wheel: Path, tmp_path: Path
) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    found = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    assert found - {"PKG-INFO"} == {path for path in tracked(clone) if not path.startswith(LEFT_OUT)}
    (tmp_path / "out").mkdir()
    assert packed(build("wheel", source, tmp_path / "out")) == packed(wheel)


def installed(installer: str, wheel: Path, extra: str, folder: Path) -> Path:
    """The interpreter of a fresh environment that holds the wheel."""
    venv = folder / "venv"
    python = venv / "bin" / "python"
    run(sys.executable, "-m", "venv", *(["--without-pip"] if installer == "uv" else []), venv, cwd=folder)
    what = f"{wheel}[{extra}]" if extra else str(wheel)
    if installer == "pip":
        run(python, "-m", "pip", "install", "--quiet", what, cwd=folder)
    else:
        run(BIN / "uv", "pip", "install", "--quiet", "--python", python, what, cwd=folder)
    return python


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_a_bare_install_is_small_and_imports(installer: str, wheel: Path, tmp_path: Path) -> None:
    python = installed(installer, wheel, "", tmp_path)
    run(python, "-X", "dev", "-W", "error", "-c", "import interlay; interlay.wrap; interlay.setup", cwd=tmp_path)
    names = "import importlib.metadata as m; print(*sorted(d.name for d in m.distributions()))"
    came = set(run(python, "-c", names, cwd=tmp_path).split()) - {"pip", "setuptools", "wheel"}
    assert len(came) <= 7, came


CHECK = """
import importlib.metadata as m, re, sys
import interlay, interlay.testing
asked = [line for line in m.requires("interlay") if f"extra == '{sys.argv[1]}'" in line.replace('"', "'")]
assert asked, sys.argv
for line in asked:
    m.version(re.match(r"[\\w.-]+", line)[0])
"""


@pytest.mark.parametrize(
    ("installer", "extra"), [*(("uv", extra) for extra in EXTRAS), ("pip", "cli"), ("pip", "brotli")]
)
def test_each_extra_brings_what_it_names(installer: str, extra: str, wheel: Path, tmp_path: Path) -> None:
    python = installed(installer, wheel, extra, tmp_path)
    run(python, "-X", "dev", "-W", "error", "-c", CHECK, extra, cwd=tmp_path)


def test_the_command_says_what_it_lacks_where_its_extra_is_missing(wheel: Path, tmp_path: Path) -> None:
    command = installed("uv", wheel, "", tmp_path).with_name("interlay")
    done = subprocess.run([command, "calls"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "interlay[cli]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_the_demo_runs_from_the_wheel_alone(installer: str, wheel: Path, tmp_path: Path) -> None:
    command = installed(installer, wheel, "demo", tmp_path).with_name("interlay")
    home = tmp_path / "home"
    printed = run(command, "demo", cwd=tmp_path, INTERLAY_HOME=str(home), NO_COLOR="1")
    assert "interlay.wrap" in printed
    listed = run(command, "calls", cwd=tmp_path, INTERLAY_HOME=str(home), NO_COLOR="1")
    assert len(listed.splitlines()) > 5
