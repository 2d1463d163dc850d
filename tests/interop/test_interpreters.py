"""The quick tests under the other interpreters that the package supports, as far as this machine has them.

The workflow in ``.github/`` runs everything under each of them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest
from tests.interop.environments import Environment, run

VERSIONS = ("3.11", "3.12", "3.13")
OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"


def interpreter(version: str) -> str | None:
    """One that starts: version managers put names on the path that lead nowhere."""
    managed = Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")
    for candidate in (which(f"python{version}"), *map(str, managed)):
        if candidate is not None:
            tried = subprocess.run([candidate, "-c", "import venv, ensurepip"], capture_output=True, check=False)
            if tried.returncode == 0:
                return candidate
    return None


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("version", [version for version in VERSIONS if version != OWN])
def test_the_quick_tests_pass(version: str, request: pytest.FixtureRequest) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    environment = Environment(f"python{version}", (), python, extra="dev")
    seed = request.config.option.hypothesis_seed
    options = ["-n", "2", "-q", "-p", "no:cacheprovider", f"--hypothesis-seed={seed}", "--timeout=300"]
    run(environment.path(), "-X", "dev", "-m", "pytest", *options, "tests/unit", "tests/recorded", timeout=2900)
