"""What is built is what is in git, and it installs bare, with few packages, by pip and by uv."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
PACKAGES = ("toolkit/interlay", "integrations/interlay_integrations")

pytestmark = pytest.mark.timeout(300)


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
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


@pytest.fixture(scope="session")
def wheel(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, cwd=clone)
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_exactly_the_two_packages(clone: Path, wheel: Path) -> None:
    listed = run("git", "ls-files", "-z", *PACKAGES, cwd=clone).split("\0")
    tracked = {path.partition("/")[2] for path in listed if path}
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == tracked
    assert {"interlay/py.typed", "interlay_integrations/py.typed"} <= packed


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_a_bare_install_is_small_and_imports(installer: str, wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    python = venv / "bin" / "python"
    run(sys.executable, "-m", "venv", *(["--without-pip"] if installer == "uv" else []), venv, cwd=tmp_path)
    if installer == "pip":
        run(python, "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)
    else:
        run(BIN / "uv", "pip", "install", "--quiet", "--python", python, wheel, cwd=tmp_path)
    run(python, "-X", "dev", "-W", "error", "-c", "import interlay", cwd=tmp_path)
    names = "import importlib.metadata as m; print(*sorted(d.name for d in m.distributions()))"
    came = set(run(python, "-c", names, cwd=tmp_path).split()) - {"pip", "setuptools", "wheel"}
    assert len(came) <= 7, came
