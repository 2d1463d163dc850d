"""``interlay cache``: what it sums up, forgets and asks beforehand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.unit.cli.records import record, write

from interlay import Chain, wrap
from interlay.chain.io import SyncIO, drive
from interlay.chain.runner import Runner
from interlay.cli.lookups import Lookups, lines
from interlay.cli.root import run
from interlay.cli.stored import be_patient
from interlay.cli.terminal import Looks
from interlay.cli.warming import _Line, _question
from interlay.cli.words import percent, size, sum_of_money
from interlay.model.cost import Cost
from interlay.model.record import CacheOutcome, Link, Record
from interlay.stores.disk import DiskStore
from interlay.testing import Provider, Recording, Turn, capture, closed_port

Run = Callable[..., tuple[int, str, str]]
KEY = "ab" * 32
SAVED = Cost(amount=Decimal(0), source="cache_hit", avoided=Decimal("0.000119"))


@pytest.fixture
def interlay(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in ``tmp_path``, where its journal is too."""
    monkeypatch.setenv("INTERLAY_HOME", str(tmp_path))
    monkeypatch.delenv("INTERLAY_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def hit(id: str, at: float, reason: str = "fresh", outcome: Any = "hit", **changes: Any) -> Record:
    did = CacheOutcome(outcome=outcome, reason=reason, age=at, entry=KEY[:16])
    made = Link(id="m" * 20, kind="cache_producer")
    given = {
        "attempts": (),
        "usage": None,
        "cost": SAVED,
        "cache": did,
        "links": (made,),
        "key": KEY,
        "duration": 0.001,
    }
    return record(id, at=at, **{**given, **changes})


def miss(id: str, at: float = 0.0, reason: str = "absent", outcome: Any = "miss", **changes: Any) -> Record:
    return record(id, at=at, **{"cache": CacheOutcome(outcome=outcome, reason=reason), "key": KEY, **changes})


def some() -> list[Record]:
    """Ten look-ups, four of them answered, and what is none."""
    return [
        miss("m" * 20),
        hit("h1", 1),
        hit("h2", 2),
        hit("h3", 3, "shared"),
        hit("s1", 4, "revalidating", "stale"),
        miss("r1", 4.1, "revalidating", parent_id="s1"),
        miss("m2", 5, "expired"),
        miss("b1", 6, "server_tools", "bypass", model="claude-sonnet-4-6", served_model=None),
        miss("b2", 86_400 * 2, "server_tools", "bypass", model="claude-sonnet-4-6", served_model=None),
        miss("e1", 7, "store", "error"),
        miss("u1", 8, "unshared"),
        record("n1", at=9),
        record("f1", at=10, operation="tool", dialect=None),
    ]


class TestStats:
    def test_say_what_was_answered_why_and_what_it_saved(self, interlay: Run, tmp_path: Path) -> None:
        write(tmp_path / "journal", *some())
        code, out, err = interlay("cache", "stats")
        assert (code, err) == (0, "")
        head, aside, _, header, *rows = out.splitlines()
        assert head == "10 look-ups, 40.0 % answered (50.0 % of those that could be), $0.000476 saved"
        assert aside == "1 calls had no cache, 1 stale answers were asked for anew"
        assert header.split() == ["cache", "why", "look-ups", "share", "saved", "waiting", "saved"]
        assert [row.split()[:4] for row in rows[:8]] == [
            ["hit", "fresh", "2", "20.0"], ["hit", "shared", "1", "10.0"], ["stale", "revalidating", "1", "10.0"],
            ["miss", "absent", "1", "10.0"], ["miss", "expired", "1", "10.0"], ["miss", "unshared", "1", "10.0"],
            ["bypass", "server_tools", "2", "20.0"], ["error", "store", "1", "10.0"],
        ]  # fmt: skip
        assert re.search(r"^gpt-4o-mini +8 +50.0 % +\$0.000476 +848 ms$", out, re.MULTILINE)
        assert re.search(r"^claude-sonnet-4-6 +2 +0.0 %$", out, re.MULTILINE)

    def test_are_one_document_for_programs(self, interlay: Run, tmp_path: Path) -> None:
        write(tmp_path / "journal", *some())
        code, out, _ = interlay("cache", "stats", "--json")
        told = json.loads(out)
        assert code == 0
        expected = {
            "calls": 11, "lookups": 10, "answered": 4, "unfit": 2, "ratio": 0.4, "saved": "0.000476", "refreshes": 1,
        }  # fmt: skip
        assert {name: told[name] for name in expected} == expected
        # What made the answers took 0.212 s each time.
        assert told["seconds_saved"] == pytest.approx(4 * 0.212)
        assert sum(each["lookups"] for each in told["outcomes"]) == 10
        assert [each["model"] for each in told["models"]] == ["gpt-4o-mini", "claude-sonnet-4-6"]
        assert [each["lookups"] for each in told["days"]] == [9, 1]
        assert told["stores"] == []

    def test_are_chosen_by_model_and_time(self, interlay: Run, tmp_path: Path) -> None:
        write(tmp_path / "journal", *some())
        assert json.loads(interlay("cache", "stats", "--json", "--model", "claude*")[1])["lookups"] == 2
        assert json.loads(interlay("cache", "stats", "--json", "--since", "2099-01-01")[1])["lookups"] == 0

    def test_leave_out_what_nobody_knows(self, interlay: Run, tmp_path: Path) -> None:
        unknown = Cost(amount=Decimal(0), source="cache_hit")
        write(tmp_path / "journal", hit("h1", 1, cost=unknown), hit("h2", 2))
        _, out, _ = interlay("cache", "stats")
        assert "2 look-ups, 100.0 % answered, $0.000119 saved\nwhat 1 of them saved is not known\n" in out
        # The calls that made the answers are in no journal.
        assert json.loads(interlay("cache", "stats", "--json")[1])["seconds_saved"] == 0

    def test_a_shadow_answered_nothing(self, interlay: Run, tmp_path: Path) -> None:
        would = CacheOutcome(outcome="hit", reason="fresh", shadow=True)
        write(tmp_path / "journal", record("a", cache=would), miss("b"))
        told = json.loads(interlay("cache", "stats", "--json")[1])
        assert (told["lookups"], told["answered"]) == (1, 0)
        assert told["shadow"] == [{"outcome": "hit", "reason": "fresh", "lookups": 1}]
        assert "in shadow: hit fresh 1" in interlay("cache", "stats")[1]

    def test_of_nothing_say_how_to_get_some(self, interlay: Run, tmp_path: Path) -> None:
        assert interlay("cache", "stats") == (0, "", "no calls\n")
        write(tmp_path / "journal", record("a"))
        code, out, err = interlay("cache", "stats")
        assert (code, out) == (0, "")
        assert err.startswith("none of 1 calls had a cache\nhelp: interlay.wrap(")

    def test_fit_their_terminal(self) -> None:
        found = Lookups()
        for each in some():
            found.add(each)
        for width in range(42, 160):
            assert max(line.cell_len for line in lines(found, Looks(width=width))[2:]) <= width
        told = lines(found, Looks(width=80, unicode=False))
        assert all(line.plain.isascii() for line in told)

    def test_models_are_told_apart_up_to_a_bound(self) -> None:
        found = Lookups()
        for number in range(600):
            found.add(miss(f"{number}", model=f"m{number}"))
        assert len(found.by_model) == 501
        assert found.by_model["other"].lookups == 100


def fill(folder: Path) -> None:
    """Four answers, two of them tagged, of two tenants."""
    io, store = SyncIO(Runner()), DiskStore(folder)

    async def keep() -> None:
        for number in range(4):
            await store.set(
                io, f"{number}" * 64, b"x" * 100, lifetime=3600.0, scope=f"tenant:{number % 2}",
                tags=["prices"] if number < 2 else [],
            )  # fmt: skip

    drive(keep())
    store.close()


class TestForget:
    @pytest.fixture
    def store(self, tmp_path: Path) -> str:
        fill(tmp_path / "answers")
        return f"disk:{tmp_path / 'answers'}"

    @pytest.mark.parametrize(
        ("conditions", "count"),
        [
            (["--key", "2" * 64], 1),
            (["--key", "9" * 64], 0),
            (["--tag", "prices"], 2),
            (["--scope", "tenant:1"], 2),
            (["--scope", "tenant:1", "--tag", "prices"], 1),
            (["--older-than", "1h"], 0),
            (["--all", "--yes"], 4),
        ],
    )
    def test_what_meets_the_conditions(self, interlay: Run, store: str, conditions: list[str], count: int) -> None:
        code, out, err = interlay("cache", "forget", *conditions, "--store", store)
        assert (code, err) == (0, "")
        assert out == ("1 answer forgotten\n" if count == 1 else f"{count} answers forgotten\n")
        held = json.loads(interlay("cache", "stats", "--json", "--store", store)[1])["stores"][0]
        assert (held["store"], held["entries"]) == (store, 4 - count)

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            ([], "nothing to forget was named"),
            (["--all"], "this forgets everything in "),
            (["--all", "--yes", "--tag", "t"], "--all goes with no condition"),
            (["--key", KEY, "--tag", "t"], "--key goes with no other condition"),
            (["--key", "xyz"], "--key xyz: expected hexadecimal digits"),
            (["--key", "abcd"], "no key begins with abcd"),
            (["--older-than", "tomorrow"], "invalid value for '--older-than': 'tomorrow' is no duration"),
        ],
    )
    def test_nothing_by_mistake(self, interlay: Run, store: str, arguments: list[str], error: str) -> None:
        code, out, err = interlay("cache", "forget", *arguments, "--store", store)
        assert (code, out) == (2, "")
        assert err.startswith(f"error: {error}")
        assert "\nhelp: " in err
        assert json.loads(interlay("cache", "stats", "--json", "--store", store)[1])["stores"][0]["entries"] == 4

    def test_by_the_beginning_of_a_key_that_the_journal_has(self, interlay: Run, store: str, tmp_path: Path) -> None:
        write(tmp_path / "journal", miss("a", key="3" * 64), miss("b", key="31" * 32))
        assert interlay("cache", "forget", "--key", "3333", "--store", store)[1] == "1 answer forgotten\n"
        code, _, err = interlay("cache", "forget", "--key", "3", "--store", store)
        assert (code, err.partition("\n")[0]) == (2, "error: --key 3: expected hexadecimal digits")
        write(tmp_path / "journal", miss("c", key="3333" * 15 + "abcd"))
        assert "2 keys begin with 3333" in interlay("cache", "forget", "--key", "3333", "--store", store)[2]


class TestStores:
    def test_of_a_configuration(self, interlay: Run, tmp_path: Path) -> None:
        fill(tmp_path / "answers")
        (tmp_path / "c.yaml").write_text("chain:\n  - cache: {store: 'disk:answers'}\n")
        code, out, _ = interlay("cache", "stats", "--config", "c.yaml")
        assert code == 0
        header, row = out.splitlines()
        assert header.split() == ["store", "answers", "holds", "bound"]
        assert row.split()[:2] == ["c.yaml", "4"]
        assert interlay("cache", "forget", "--tag", "prices", "--config", "c.yaml")[1] == "2 answers forgotten\n"

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            (["--tag", "t"], "which store is meant?"),
            (["--tag", "t", "--store", "disk:x", "--config", "c.yaml"], "which store is meant?"),
            (["--tag", "t", "--store", "memory"], "memory is in memory, and what is in a process's memory is its own"),
            (["--tag", "t", "--store", "floppy:a"], "store=floppy"),
            (["--tag", "t", "--config", "none.yaml"], "the configuration cannot be used:\nnone.yaml: cannot be read"),
            (["--tag", "t", "--config", "plain.yaml"], "plain.yaml has no cache"),
        ],
    )
    def test_that_are_none(self, interlay: Run, tmp_path: Path, arguments: list[str], error: str) -> None:
        (tmp_path / "plain.yaml").write_text("chain:\n  - retry\n")
        code, out, err = interlay("cache", "forget", *arguments)
        assert (code, out) == (2, "")
        assert err.startswith(f"error: {error}")


QUESTION = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as server:
        yield server


class TestWarm:
    @pytest.fixture
    def fill(self, tmp_path: Path, provider: Provider) -> Callable[..., Path]:
        """A file of questions, and a configuration with a cache on disk."""
        (tmp_path / "interlay.yaml").write_text("chain:\n  - cache: {store: 'disk:answers'}\n")
        provider.player.requests.clear()

        def write_lines(*bodies: dict[str, Any]) -> Path:
            file = tmp_path / "questions.jsonl"
            url = f"{provider.openai_url}/chat/completions"
            file.write_text("\n".join(json.dumps({"url": url, "body": body}) for body in bodies) + "\n\n")
            return file

        return write_lines

    @pytest.fixture
    def asked(self) -> list[dict[str, Any]]:
        """Three questions that the provider has answers to."""
        recordings = Recording.bundled()
        names = ("openai-chat-plain-03", "openai-chat-tools-04", "openai-chat-stream-usage-01")
        return [recordings[name].exchanges[0].request.body for name in names]

    def test_makes_what_is_not_there(
        self, interlay: Run, fill: Callable[..., Path], asked: list[dict[str, Any]], provider: Provider, tmp_path: Path
    ) -> None:
        file = fill(*asked)
        code, out, err = interlay("cache", "warm", file)
        assert (code, err) == (0, "")
        assert re.match(r"3 made, 0 there already; \S+ spent", out)
        code, out, _ = interlay("cache", "warm", file, "--concurrency", "2", "--json")
        told = json.loads(out)
        assert (code, told["made"], told["there"], told["spent"]) == (0, 0, 3, "0")
        held = json.loads(interlay("cache", "stats", "--json", "--config", "interlay.yaml")[1])
        assert held["stores"][0]["entries"] == 3
        # What it cost is in the journal, as of all calls.
        assert (held["lookups"], held["answered"]) == (6, 3)

    def test_is_what_an_sdk_then_finds(
        self, interlay: Run, fill: Callable[..., Path], asked: list[dict[str, Any]], provider: Provider, tmp_path: Path
    ) -> None:
        file = fill(asked[0])
        line = json.loads(file.read_text())
        file.write_text(json.dumps({**line, "headers": {"Authorization": "Bearer one"}}))
        assert interlay("cache", "warm", file)[0] == 0
        found = {}
        for key in ("one", "another"):
            chain = Chain.load(tmp_path / "interlay.yaml")
            cache: Any = chain.layers[0]
            be_patient(cache.store)
            with (
                openai.OpenAI(base_url=provider.openai_url, api_key=key, max_retries=0) as client,
                capture() as records,
            ):
                wrap(client, chain).chat.completions.create(**asked[0])
            (found[key],) = [record.cache.outcome for record in records if record.cache is not None]
        assert found == {"one": "hit", "another": "miss"}

    def test_says_what_failed(self, interlay: Run, fill: Callable[..., Path], asked: Any, provider: Provider) -> None:
        provider.script(500, 429)
        code, out, _ = interlay("cache", "warm", fill(*asked[:2]), "--concurrency", "1")
        assert code == 1
        assert out.startswith("0 made, 0 there already, 2 failed; $0 spent")
        assert "1 × 429" in out

    def test_says_what_no_cache_may_keep(
        self, interlay: Run, fill: Callable[..., Path], asked: Any, tmp_path: Path
    ) -> None:
        file = fill(asked[0])
        (tmp_path / "interlay.yaml").write_text("chain:\n  - cache: {store: 'disk:answers', max_temperature: 0}\n")
        code, out, _ = interlay("cache", "warm", file)
        assert code == 0
        assert "1 that no cache may keep" in out
        assert "1 × bypass: temperature" in out

    def test_on_behalf_of_a_tenant(self, interlay: Run, fill: Callable[..., Path], asked: Any, tmp_path: Path) -> None:
        file = fill(asked[0])
        assert interlay("cache", "warm", file, "--tenant", "acme", "--tag", "prices")[0] == 0
        assert "1 made, 0 there" in interlay("cache", "warm", file)[1]
        forget = ("cache", "forget", "--scope", "tenant:acme", "--tag", "prices", "--config", "interlay.yaml")
        assert interlay(*forget)[1] == "1 answer forgotten\n"

    @pytest.mark.parametrize(
        ("line", "error"),
        [
            ("{", "questions.jsonl:2: "),
            ("[]", "questions.jsonl:2: Expected `object`"),
            ('{"url": "http://x/v1"}', "questions.jsonl:2: Object missing required field `body`"),
            ('{"url": "ftp://x", "body": {}}', "questions.jsonl:2: `url` is no http or https URL"),
            (
                '{"url": "http://x", "body": {}, "haeders": {}}',
                "questions.jsonl:2: Object contains unknown field `haed",
            ),
            (
                '{"url": "https://api.openai.com/v1/chat/completions", "body": {}}',
                "questions.jsonl:2: there is no key for OpenAI: set OPENAI_API_KEY",
            ),
            (
                '{"url": "https://bedrock-runtime.us-east-1.amazonaws.com/x", "body": {}}',
                "questions.jsonl:2: requests to AWS - Bedrock are signed",
            ),
        ],
    )
    def test_sends_nothing_where_anything_is_wrong(
        self, interlay: Run, fill: Callable[..., Path], provider: Provider, monkeypatch: Any, line: str, error: str
    ) -> None:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        file = fill(QUESTION)
        file.write_text(file.read_text().rstrip("\n") + f"\n{line}\n")
        code, out, err = interlay("cache", "warm", file)
        assert (code, out) == (2, "")
        assert err.startswith("error: nothing was sent:\n")
        assert error in err
        assert provider.player.requests == []

    def test_a_known_provider_gets_its_key_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_API_KEY"):
            monkeypatch.setenv(name, f"key-of-{name}")
        monkeypatch.delenv("GEMINI_API_KEY", raising=False)
        plain = {"content-type": "application/json"}
        for host, given, expected in (
            ("api.openai.com", {}, {"authorization": "Bearer key-of-OPENAI_API_KEY"}),
            ("api.openai.com", {"Authorization": "Bearer own"}, {"authorization": "Bearer own"}),
            ("generativelanguage.googleapis.com", {}, {"x-goog-api-key": "key-of-GOOGLE_API_KEY"}),
            (
                "api.anthropic.com",
                {"anthropic-beta": "b"},
                {"x-api-key": "key-of-ANTHROPIC_API_KEY", "anthropic-version": "2023-06-01", "anthropic-beta": "b"},
            ),
            ("127.0.0.1:8000", {"x": "y"}, {"x": "y"}),
        ):
            question = _question(_Line(url=f"https://{host}/v1/x", body={"a": 1}, headers=given))
            assert question.headers == {**plain, **expected}
            assert question.body == b'{"a":1}'

    def test_needs_a_cache(self, interlay: Run, fill: Callable[..., Path], tmp_path: Path) -> None:
        file = fill(QUESTION)
        (tmp_path / "interlay.yaml").write_text("chain:\n  - retry\n")
        code, _, err = interlay("cache", "warm", file)
        assert (code, err.partition("\n")[0]) == (2, "error: interlay.yaml has no cache")
        (tmp_path / "interlay.yaml").write_text("chain:\n  - cache: {}\n")
        code, _, err = interlay("cache", "warm", file)
        assert code == 2
        assert err.startswith("error: interlay.yaml is in memory")

    def test_asks_nothing_where_there_is_no_store(
        self, interlay: Run, fill: Callable[..., Path], asked: Any, provider: Provider, tmp_path: Path
    ) -> None:
        file = fill(asked[0])
        store = f"redis://:geheim@{closed_port().removeprefix('http://')}/0"
        (tmp_path / "interlay.yaml").write_text(f"chain:\n  - cache: {{store: '{store}'}}\n")
        code, out, err = interlay("cache", "warm", file)
        assert (code, out) == (3, "")
        assert err.startswith("error: interlay.yaml: redis://127.0.0.1")
        assert "geheim" not in err
        assert provider.player.requests == []
        for arguments in (("stats",), ("forget", "--all", "--yes")):
            code, out, err = interlay("cache", *arguments, "--store", store)
            assert (code, out) == (3, "")
            assert "geheim" not in err

    def test_says_what_was_not_kept(
        self, interlay: Run, fill: Callable[..., Path], asked: Any, provider: Provider
    ) -> None:
        """A filtered answer is no answer to the next one who asks."""
        filtered = json.dumps(
            {
                "id": "x", "object": "chat.completion", "created": 0, "model": "gpt-4o-mini",
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": None}, "finish_reason": "content_filter"}
                ],
            }
        )  # fmt: skip
        provider.script(Turn(body=filtered.encode()))
        code, out, _ = interlay("cache", "warm", fill(asked[0]))
        assert (code, out.startswith("0 made, 0 there already, 1 that no cache may keep")) == (0, True)
        assert "1 × the cache did not keep it" in out


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (sum_of_money(Decimal("1234.567")), "$1,234.57"),
        (sum_of_money(Decimal("0.12346")), "$0.1235"),
        (sum_of_money(Decimal("0.00012345")), "$0.000123"),
        (sum_of_money(Decimal("0.0000000012")), "$0.0000000012"),
        (sum_of_money(Decimal(0)), "$0"),
        (percent(1, 3), "33.3 %"),
        (percent(0, 0), "-"),
        (size(0), "0 B"),
        (size(999), "999 B"),
        (size(1_240), "1.24 kB"),
        (size(64_000_000), "64.0 MB"),
        (size(999_999_999), "1.00 GB"),
        (size(12_345_678_901_234), "12,346 GB"),
    ],
)
def test_figures_to_read_at_a_glance(told: str, expected: str) -> None:
    assert told == expected
