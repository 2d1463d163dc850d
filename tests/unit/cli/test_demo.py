"""The demo: what it tells, and that it needs nothing."""

import re
from pathlib import Path

import pytest
from tests.unit.cli.test_command import interlay

pytestmark = pytest.mark.timeout(300)  # two SDKs are imported, on a machine that may be busy
PASTE = """\
    import interlay
    interlay.setup()                    # a journal, for `interlay calls`
    client = interlay.wrap(OpenAI())    # or Anthropic(), sync or async
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def told(home: Path) -> str:
    """The story as a pipe gets it, told behind a proxy, and beside a collector, that are not there."""
    nowhere = "http://127.0.0.1:1"
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), nowhere)
    done = interlay("demo", INTERLAY_HOME=str(home), OTEL_EXPORTER_OTLP_ENDPOINT=nowhere, **proxies)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_each_call_is_a_tree_with_its_tokens_money_time_and_overhead(told: str) -> None:
    heads = [line for line in told.splitlines() if re.match("[✓✗] (chat|embeddings) ", line)]
    assert len(heads) == 14
    for head in heads:
        assert re.search(r"  [\d.]+ m?s   ~?\d+ > ~?\d+ tok   [~<]?\$0\.\d{6}   interlay [\d.]+ ms$", head)
    assert told.count("wait of the SDK") == 2
    assert told.count("retry, http_429") == 1
    assert re.search(r"openai/gpt-4o-mini +closed", told)
    assert re.search(r"openai/gpt-4o-mini +cut", told)
    assert re.search(r"gemini/gemini-2.5-flash +200 stop", told)
    assert max(map(len, told.splitlines())) <= 100


def test_a_cache_gives_a_hit_a_stale_answer_and_one_answer_to_three_at_once(told: str) -> None:
    heads = [line for line in told.splitlines() if line.startswith("= chat ")]
    assert len(heads) == 4
    for head in heads:
        assert re.search(r"  [\d.]+ m?s   \$0   interlay [\d.]+ ms$", head)
    assert told.count("cache  hit, shared") == 2
    assert told.count("cache  hit, fresh") == 1
    assert told.count("cache  stale, revalidating") == 1
    assert len(re.findall("cache +miss", told)) == 3


def test_the_sum_is_right(told: str) -> None:
    # 22 > 3 twice, 12 > 12 and three times more with the cache, 21 > 13 twice, 67 > 47, 13 > 284, 4 > 0, 13 > 208; and
    # two streams of which nobody reported anything
    assert "18 calls, 17 requests · 231 > 619 tokens reported · ~$0.00123313\n" in told


def test_it_ends_with_three_lines_to_paste(told: str) -> None:
    assert told.endswith(PASTE)


def test_its_calls_are_in_the_journal(told: str, home: Path) -> None:
    found = re.search(r"interlay show ([0-9a-f]{8})   ", told)
    assert found is not None
    shown = interlay("show", found[1], INTERLAY_HOME=str(home))
    assert shown.returncode == 0
    assert "complete, 2 retries, streamed" in shown.stdout
    assert len(interlay("calls", "--tag", "demo", INTERLAY_HOME=str(home)).stdout.splitlines()) == 1 + 18


def test_it_is_told_in_ascii_where_nothing_else_can_be_shown(home: Path) -> None:
    done = interlay("demo", "-q", INTERLAY_HOME=str(home), PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "import interlay" not in done.stdout
