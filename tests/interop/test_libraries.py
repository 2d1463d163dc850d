"""Releases of the SDKs that are built on httpx, on httpx2, or one on each; and an environment that has neither."""

from __future__ import annotations

import json

import pytest
from tests.interop.chapters import check, server, tell
from tests.interop.environments import TOOLS, Environment, run

NEW_OPENAI, NEW_ANTHROPIC = "openai>=3", "anthropic>=2.12"
OLD_OPENAI, OLD_ANTHROPIC = "openai<3", "anthropic<1"
"""The last releases that are built on httpx."""
TESTS = (*TOOLS, "brotli>=1.1", "zstandard>=0.23")

HTTPX = Environment("httpx", (OLD_OPENAI, OLD_ANTHROPIC, *TESTS))
HTTPX2 = Environment("httpx2", (NEW_OPENAI, NEW_ANTHROPIC, *TESTS))
OLDER_OPENAI = Environment("older-openai", (OLD_OPENAI, NEW_ANTHROPIC, *TESTS))
OLDER_ANTHROPIC = Environment("older-anthropic", (NEW_OPENAI, OLD_ANTHROPIC, *TESTS))
ALIASED = Environment("aliased", ("openai[httpx2]<3", NEW_ANTHROPIC, *TESTS))
NEITHER = Environment("neither", ())
PROVIDERS = Environment(
    "providers", (NEW_OPENAI, NEW_ANTHROPIC, "groq", "together", "mistralai", "cohere", "ollama", *TESTS)
)
"""The SDKs of five providers: two of them hold back, or bring, too much to be among the tests' own packages."""

INSTALLED = {
    HTTPX: {"httpx"},
    HTTPX2: {"httpx2"},
    OLDER_OPENAI: {"httpx", "httpx2"},
    OLDER_ANTHROPIC: {"httpx", "httpx2"},
}

pytestmark = pytest.mark.timeout(1800)  # environments are made here


@pytest.mark.parametrize("environment", INSTALLED, ids=str)
def test_a_program_runs_the_same_with_and_without(environment: Environment) -> None:
    python = environment.path()
    bare, wrapped = (tell(python, wrap=wrap) for wrap in (False, True))
    check(bare, wrapped)
    for telling in (bare, wrapped):
        assert set(telling.told["imported"]) & {"httpx", "httpx2"} == INSTALLED[environment]
    # A refused or failing call of each SDK in each colour was among them.
    told = [what for story in wrapped.told["stories"].values() for what in story["told"]]
    assert len([what for what in told if what[0] == "error"]) >= 2 * 3


@pytest.mark.parametrize("environment", [HTTPX, OLDER_OPENAI, OLDER_ANTHROPIC], ids=str)
def test_parity(environment: Environment, request: pytest.FixtureRequest) -> None:
    """Every recording, with and without interlay, as ``tests/recorded`` has it for the current releases."""
    seed = request.config.option.hypothesis_seed
    options = ["-n", "2", "-q", "-p", "no:cacheprovider", f"--hypothesis-seed={seed}"]
    printed = run(
        environment.path(), "-X", "dev", "-m", "pytest", *options, "tests/recorded/test_parity.py", timeout=1500
    )
    counts = [word for word in printed.split() if word in ("failed", "skipped", "error")]
    assert " passed" in printed
    assert counts == []


def test_parity_under_the_sdks_of_providers(request: pytest.FixtureRequest) -> None:
    """As ``tests/recorded`` has it for those SDKs that are there; here are all."""
    python, file = PROVIDERS.path(), "tests/recorded/test_parity_sdks.py"
    seed = request.config.option.hypothesis_seed
    options = ["-n", "2", "-q", "-p", "no:cacheprovider", f"--hypothesis-seed={seed}"]
    assert (
        run(python, "-c", f"from {file[:-3].replace('/', '.')} import ALL, SDKS; print(SDKS == list(ALL))") == "True\n"
    )
    files = (file, "tests/recorded/test_forms_sdks.py")
    printed = run(python, "-X", "dev", "-m", "pytest", *options, *files, timeout=1500)
    assert " passed" in printed
    assert [word for word in printed.split() if word in ("failed", "skipped", "error")] == []


@pytest.mark.parametrize("environment", [HTTPX, HTTPX2, OLDER_OPENAI], ids=str)
def test_the_core_imports_no_http_library(environment: Environment) -> None:
    code = (
        "import interlay, sys; interlay.wrap, interlay.setup; print({'httpx', 'httpx2', 'pydantic'} & set(sys.modules))"
    )
    assert run(environment.path(), "-X", "dev", "-W", "error", "-c", code) == "set()\n"


NO_LIBRARY = """
import asyncio, importlib.util, interlay, json
assert not any(map(importlib.util.find_spec, ("httpx", "httpx2", "openai", "anthropic")))
told = []
try:
    interlay.wrap(object())
except ValueError as error:
    told.append(str(error))
with interlay.using(user="u"):
    told.append(interlay.cost.price.__name__)
print(json.dumps([*told, interlay.last(), interlay.flush().done]))
"""


def test_where_there_is_neither_library_there_is_nothing_to_wrap() -> None:
    done = run(NEITHER.path(), "-X", "dev", "-W", "error", "-c", NO_LIBRARY)
    refusal, *rest = json.loads(done)
    assert "expected an SDK client" in refusal
    assert rest == ["price", [], True]


POSING = """
import httpx2
httpx2.alias_httpx()
import httpx, openai, interlay, sys
assert httpx is httpx2
assert issubclass(openai.DefaultHttpxClient, httpx2.Client)
client = interlay.wrap(openai.OpenAI(api_key="k", base_url=sys.argv[1] + "/v1", max_retries=0), provider="openai")
asked = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
client.chat.completions.create(**asked)
list(client.chat.completions.create(**asked, stream=True))
print(*(record.end for record in interlay.last()))
"""


def test_one_library_that_poses_as_the_other() -> None:
    """``httpx2.alias_httpx()`` moves an SDK of the one to the other."""
    with server() as playing:
        printed = run(ALIASED.path(), "-X", "dev", "-W", "error", "-c", POSING, playing.url)
    assert printed == "complete complete\n"
