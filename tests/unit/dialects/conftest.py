"""Tests with bars run twice: every time with loose ones, and with the exact ones in `make test-long`."""

import pytest
from tests.unit.dialects.bars import EXACT, LOOSE, Bars


@pytest.fixture(params=[pytest.param(LOOSE, id="loose"), pytest.param(EXACT, id="exact", marks=pytest.mark.long)])
def bars(request: pytest.FixtureRequest) -> Bars:
    found: Bars = request.param
    return found
