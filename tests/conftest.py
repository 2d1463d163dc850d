"""What all tests share: one seed for everything random, always printed."""

import os
import random

import pytest
from hypothesis import HealthCheck, settings

# `derandomize` stays off everywhere: each run looks in new places, and the header says how to come back.
# A busy machine may be slow to make examples; that is no fault of theirs.
settings.register_profile("local", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("local"), max_examples=300)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.hookimpl(tryfirst=True)  # before hypothesis reads its option; xdist hands the option to its workers
def pytest_configure(config: pytest.Config) -> None:
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(random.SystemRandom().getrandbits(32))


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.option.hypothesis_seed} (the same again: --hypothesis-seed=…)"


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Return randomness that the printed seed and the test's own name bring back."""
    return random.Random(f"{request.config.option.hypothesis_seed} {request.node.nodeid}")
