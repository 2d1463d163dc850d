"""``calls`` and ``show``: which calls, in what form."""

import json
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.cli.records import BEGAN, COST, attempt, record, retried_by_sdk, write

from interlay.chain.frames import encode
from interlay.chain.journal import Journal
from interlay.chain.segments import list_segments
from interlay.cli.root import run
from interlay.model.record import Contents, Failure, Identity, Record

TO_GET_SOME = "help: interlay.setup() in a program turns its journal on; interlay demo makes a few calls\n"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def interlay(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command on the journal in ``tmp_path``: its exit code, its output, its hints."""
    monkeypatch.setenv("INTERLAY_HOME", str(tmp_path))

    def call(*arguments: object) -> tuple[int, str, str]:
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def fill(tmp_path: Path) -> Callable[..., Path]:
    return lambda *records: write(tmp_path / "journal", *records)


def ids(out: str) -> list[str]:
    return [line.split()[3] if line[0].isalpha() else line.split()[1] for line in out.splitlines()[1:]]


def told(interlay: Run, *arguments: object) -> list[str]:
    """Return the ids of the calls listed."""
    code, out, _ = interlay("calls", "--json", *arguments)
    assert code == 0
    return list(dict.fromkeys(each["call_id"] for each in json.loads(out)))


class TestCalls:
    def test_are_listed_newest_last(self, interlay: Run, fill: Any) -> None:
        fill(record("b", at=2), record("a", at=1), *retried_by_sdk(), record("z", at=60))
        code, out, err = interlay("calls")
        assert (code, err) == (0, "")
        assert ids(out) == ["c0", "a", "b", "z"]

    def test_none_says_how_to_get_some(self, interlay: Run, tmp_path: Path) -> None:
        assert interlay("calls") == (
            0,
            "",
            f"no calls in {tmp_path}/journal\n{TO_GET_SOME}",
        )
        assert interlay("calls", "-q") == (0, "", "")
        assert interlay("calls", "--json")[1] == "[]\n"

    def test_none_that_match_says_so(self, interlay: Run, fill: Any) -> None:
        fill(record("a"))
        assert interlay("calls", "--failed") == (0, "", "no calls match\n")

    @pytest.mark.parametrize("extra", [[], ["--json"]])
    def test_are_as_many_as_asked_for(self, interlay: Run, fill: Any, extra: list[str]) -> None:
        fill(*(record(f"{n:020x}", at=n) for n in range(400)))
        code, out, err = interlay("calls", "-n", "3", *extra)
        assert (code, err) == (0, "the last 3; --limit 0 lists all\n")
        found = [each["id"] for each in json.loads(out)] if extra else ids(out)
        assert found == [f"{n:020x}" for n in (397, 398, 399)]
        assert len(told(interlay, "-n", "0")) == 400
        assert len(told(interlay)) == 50

    def test_a_retry_just_before_the_limit_is_not_cut_off(self, interlay: Run, fill: Any) -> None:
        fill(*(record(f"old{n}", at=-500 + n) for n in range(300)), *retried_by_sdk())
        code, out, _ = interlay("calls", "-n", "1")
        assert code == 0
        assert "✓ 2 retries" in out

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["--model", "gpt-4o"], ["mini", "user", "tags", "bad"]),
            (["--model", "GPT-4O-MINI"], ["mini", "user", "tags", "bad"]),
            (["--model", "*sonnet*"], ["claude"]),
            (["--model", "4o"], []),
            (["--user", "u-7"], ["user"]),
            (["--user", "u"], []),
            (["--session", "s-1"], ["user"]),
            (["--tag", "beta"], ["tags"]),
            (["--failed"], ["bad"]),
            (["--failed", "--user", "u-7"], []),
        ],
    )
    def test_are_chosen(self, interlay: Run, fill: Any, arguments: list[str], expected: list[str]) -> None:
        fill(
            record("mini"),
            record("claude", at=1, model="smart", served_model="claude-sonnet-4-6"),
            record("user", at=2, identity=Identity(user="u-7", session="s-1")),
            record("tags", at=3, identity=Identity(tags=("checkout", "beta"))),
            record("bad", at=4, end="error", error=Failure(type="cut")),
        )
        assert told(interlay, *arguments) == expected

    @pytest.mark.parametrize("since", ["1h", "0.5h30m", "3600s", "1d"])
    def test_since_is_a_duration(self, interlay: Run, fill: Any, since: str) -> None:
        now = time.time()
        fill(record("old", at=now - BEGAN - 200_000), record("new", at=now - BEGAN - 100))
        assert told(interlay, "--since", since) == ["new"]

    def test_since_is_a_date(self, interlay: Run, fill: Any) -> None:
        fill(record("old", at=-200_000), record("new"))
        day = time.strftime("%Y-%m-%dT%H:%M", time.localtime(BEGAN - 100))
        assert told(interlay, "--since", day) == ["new"]
        assert told(interlay, "--since", "2100-01-01") == []

    def test_records_are_a_row_each(self, interlay: Run, fill: Any) -> None:
        fill(*retried_by_sdk())
        code, out, _ = interlay("calls", "--records")
        assert code == 0
        assert ids(out) == ["c0"] * 3
        assert [line.split("  ")[-1].strip() or line for line in out.splitlines()[1:]]
        assert out.count("✗ 529 overloaded_error") == 2

    def test_a_moved_journal_is_found_by_its_path(self, interlay: Run, tmp_path: Path) -> None:
        write(tmp_path / "elsewhere", record("a"))
        assert told(interlay, "--journal", tmp_path / "elsewhere") == ["a"]


class TestJson:
    def test_has_the_records_names_and_money_in_strings(self, interlay: Run, fill: Any) -> None:
        original = record("a")
        fill(original)
        for command in (["calls", "--json"], ["show", "a", "--json"]):
            code, out, _ = interlay(*command)
            assert code == 0
            (whole,) = json.loads(out)
            assert whole["cost"]["amount"] == "0.000119"
            assert all(isinstance(line["price"], str) for line in whole["cost"]["lines"])
            assert set(whole) <= set(Record.__struct_fields__)
            assert Record.from_json(json.dumps(whole)) == original

    def test_keeps_fields_that_this_version_does_not_know(self, interlay: Run, tmp_path: Path) -> None:
        raw = record("a").to_json()[:-1] + b',"from_the_future":{"kept":"0.10"}}'
        Journal(tmp_path / "journal").append(raw)
        (whole,) = json.loads(interlay("calls", "--json")[1])
        assert whole["from_the_future"] == {"kept": "0.10"}

    def test_carries_contents_only_where_messages_are_asked_for(self, interlay: Run, fill: Any) -> None:
        echo = Failure(type="bad", message="canary")
        fill(
            record("a", end="error", error=echo, attempts=(attempt(error=echo),),
                   contents=Contents(input=[{"role": "user", "content": "canary"}]))
        )  # fmt: skip
        for command in (["calls", "--json"], ["show", "a", "--json"], ["calls"]):
            assert "canary" not in interlay(*command)[1]
        assert interlay("show", "a", "--json", "--messages")[1].count("canary") == 3


class TestShow:
    def test_finds_a_call_by_the_beginning_of_its_id_or_a_records(self, interlay: Run, fill: Any) -> None:
        fill(record("aa11"), *retried_by_sdk(), record("bb22", at=7))
        for start in ("c0", "c2", "c"):
            code, out, err = interlay("show", start)
            assert (code, err) == (0, "")
            assert "complete, 2 retries" in out
            assert "call c0" in out

    def test_last_is_the_newest_with_all_its_records(self, interlay: Run, fill: Any) -> None:
        fill(record("old", at=-9), *retried_by_sdk())
        assert "complete, 2 retries" in interlay("show", "@last")[1]

    def test_nothing_found_is_a_finding(self, interlay: Run, fill: Any, tmp_path: Path) -> None:
        code, out, err = interlay("show", "@last")
        assert (code, out) == (1, "")
        assert err == (f"error: there is no call in {tmp_path}/journal\n{TO_GET_SOME}")
        fill(record("aa11"))
        assert interlay("show", "11")[0] == 1  # in the middle of an id is not its beginning

    @pytest.mark.parametrize(
        ("given", "help_"),
        [
            ("a1b2c3d5", "did you mean a1b2c3d4?"),
            ("a1b3c3d4e5f600000000", "did you mean a1b2c3d4e5f600000000?"),
            ("@lst", "did you mean @last?"),
            ("ffffffff", "interlay calls lists them"),
        ],
    )
    def test_an_id_that_no_call_begins_with_is_told_what_was_meant(
        self, interlay: Run, fill: Any, given: str, help_: str
    ) -> None:
        fill(record("a1b2c3d4e5f600000000"), record("0011223344", at=1))
        code, out, err = interlay("show", given)
        assert (code, out) == (1, "")
        assert err.endswith(f"help: {help_}\n")

    def test_an_id_that_two_calls_begin_with_lists_them(self, interlay: Run, fill: Any) -> None:
        fill(record("aa11"), record("aa22", at=1), record("bb"))
        code, out, err = interlay("show", "aa")
        assert (code, out) == (2, "")
        assert "aa11" in err
        assert "aa22" in err
        assert "bb" not in err
        assert err.endswith("error: 2 calls begin with 'aa'\nhelp: give more of the id\n")

    def test_an_id_in_the_contents_of_another_call_is_not_mistaken(self, interlay: Run, fill: Any) -> None:
        fill(record("aa11"), record("bb", at=1, contents=Contents(input=[{"role": "user", "content": "aa11"}])))
        assert "call aa11" in interlay("show", "aa11")[1]

    def test_messages_are_shown_where_they_were_kept(self, interlay: Run, fill: Any) -> None:
        fill(record("aa", contents=Contents(input=[{"role": "user", "content": "hello there"}])), record("bb", at=1))
        assert "hello there" in interlay("show", "aa", "--messages")[1]
        assert "interlay.setup(contents=True)" in interlay("show", "bb", "--messages")[1]


@pytest.mark.parametrize("command", [["calls"], ["show", "@last"]])
class TestJournal:
    def test_that_is_not_there_is_said_to_be_none(self, interlay: Run, tmp_path: Path, command: list[str]) -> None:
        code, out, err = interlay(*command, "--journal", tmp_path / "nowhere")
        assert (code, out) == (2, "")
        assert err.startswith(f"error: the journal {tmp_path}/nowhere is not there\nhelp: ")

    def test_that_is_a_file_is_said_to_be_none(self, interlay: Run, tmp_path: Path, command: list[str]) -> None:
        (tmp_path / "notes.txt").write_text("milk")
        code, out, err = interlay(*command, "--journal", tmp_path / "notes.txt")
        assert (code, out) == (2, "")
        assert err.startswith(f"error: the journal {tmp_path}/notes.txt is a file, and a journal is a folder\n")


class TestDamage:
    def test_is_told_and_left_out(self, interlay: Run, fill: Any, tmp_path: Path) -> None:
        fill(record("a"), record("b", at=1), record("c", at=2))
        (segment,) = list_segments(tmp_path / "journal")
        path = tmp_path / "journal" / segment.name
        data = bytearray(path.read_bytes())
        data[data.index(b'"id":"b"') + 1] ^= 0xFF
        path.write_bytes(data)
        code, out, err = interlay("calls")
        assert (code, ids(out), err) == (0, ["a", "c"], "1 record is damaged and left out\n")
        assert interlay("calls", "-q")[2] == ""

    def test_records_of_another_make_are_told_and_left_out(self, interlay: Run, fill: Any, tmp_path: Path) -> None:
        fill(record("a"))
        foreign = [b'{"id":"x"}', b"no JSON", msgspec.json.encode([1])]
        frames = [encode(payload, int(BEGAN * 1e9), n) for n, payload in enumerate(foreign)]
        (tmp_path / "journal" / f"{1:020d}-1-00000000.seg").write_bytes(b"".join(frames))
        code, out, err = interlay("calls")
        assert (code, ids(out), err) == (0, ["a"], "3 records are of another version and left out\n")
        assert interlay("show", "x")[0] == 1

    def test_verbose_says_where_the_journal_is_and_what_went(self, interlay: Run, fill: Any, tmp_path: Path) -> None:
        fill(record("a"))
        err = interlay("calls", "-v")[2]
        assert f"journal: {tmp_path}/journal" in err
        assert "deleted to keep it within its bounds: 0 records" in err


def test_amounts_in_json_are_exact(interlay: Run, fill: Any) -> None:
    amount = Decimal("0.000000000000000001")
    cost = msgspec.structs.replace(COST, amount=amount)
    fill(record("a", cost=cost))
    (whole,) = json.loads(interlay("calls", "--json")[1])
    assert Decimal(whole["cost"]["amount"]) == amount
