"""A user's program under ``python -X dev -W error``: interlay adds no warning, no thread but its one, no socket."""

import pytest
from tests.interop.chapters import check, tell


@pytest.mark.timeout(600)
def test_adds_nothing_to_what_the_bare_sdks_do() -> None:
    bare, wrapped = (tell(wrap=wrap) for wrap in (False, True))
    check(bare, wrapped)
    assert bare.warned("sync") == bare.warned("asyncio") == {}
    assert bare.warned("trio")  # so that a warning would be seen
