"""``interlay backtest``: its figures as a table, as JSON and as a picture."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from tests.unit.cli.records import record, refused, write
from tests.unit.cli.test_cache import KEY, hit, miss

from interlay.cli.comparison import lines
from interlay.cli.root import run
from interlay.cli.terminal import Looks
from interlay.layers.cache import Cache
from interlay.layers.rehearsal import Backtest
from interlay.model.record import Contents, Record

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def interlay(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in ``tmp_path``, where there are a configuration and a journal."""
    monkeypatch.setenv("INTERLAY_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text("chain:\n  - cache: {ttl: 10s, max_temperature: 0.5}\n  - retry\n")

    def call(*arguments: object) -> tuple[int, str, str]:
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def journal() -> list[Record]:
    """Six calls, one of which was a hit."""
    cool: dict[str, Any] = {"parameters": {"temperature": 0}}
    return [
        miss("m" * 20, **cool),
        hit("h1", 1, **cool),
        miss("m2", 2, "no-cache", **cool),
        miss("m3", 100, "expired", **cool),
        miss("w1", 101, parameters={"temperature": 1}),
        miss("w2", 102, key="cd" * 32, attempts=(refused(status=500),), end="error", **cool),
        record("n1", at=103, **cool),
    ]


def test_what_was_done_stands_beside_what_would_have_been(interlay: Run, tmp_path: Path) -> None:
    write(tmp_path / "journal", *journal())
    code, out, err = interlay("backtest", "c.yaml")
    assert (code, err) == (0, "")
    head, _, columns, *rows = out.splitlines()
    assert re.fullmatch(r"7 calls, \S+ \S+ to \S+ \S+, by c\.yaml", head)
    assert columns.split() == ["did", "would"]
    assert [" ".join(row.split()) for row in rows] == [
        "answered by the cache 1 1",
        "of all 14.3 % 14.3 %",
        "sent 6 6",
        "spent $0.000714 $0.000714",
        "saved $0.000119 $0.000119",
        "waiting saved 212 ms 212 ms",
        "",
        "cache why did would",
        "hit fresh 1 1",
        "miss absent 3 3",
        "miss expired 1 0",
        "miss no-cache 1 1",
        "bypass temperature 0 1",
        "",
        "questions told apart: 6 by their records, 1 by neither, so nothing is known of them",
        "let all pass: Retry",
    ]


def test_programs_get_one_document(interlay: Run, tmp_path: Path) -> None:
    write(tmp_path / "journal", *journal())
    code, out, err = interlay("backtest", "c.yaml", "--json")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert set(told) == {
        "config", "journal", "calls", "did", "would", "outcomes", "shadow", "keys", "layers", "timeline",
    }  # fmt: skip
    assert (told["config"], told["calls"]) == ("c.yaml", 7)
    assert told["would"] == {
        "calls": 7, "answered": 1, "refused": 0, "sent": 6, "spent": "0.000714", "saved": "0.000119", "unpriced": 0,
        "seconds_saved": 0.212,
    }  # fmt: skip
    assert {"outcome": "miss", "reason": "expired", "did": 1, "would": 0} in told["outcomes"]
    assert told["keys"] == {"record": 6, "contents": 0, "none": 1}
    assert told["layers"] == {"rehearsed": ["Cache"], "passed": ["Retry"]}
    assert sum(step["calls"] for step in told["timeline"]["steps"]) == 7


def test_the_same_records_come_to_the_same_end(interlay: Run, tmp_path: Path) -> None:
    write(tmp_path / "journal", *journal())
    assert interlay("backtest", "c.yaml", "--json") == interlay("backtest", "c.yaml", "--json")


def test_messages_stand_in_for_keys(interlay: Run, tmp_path: Path) -> None:
    said = Contents(input=[{"role": "user", "content": "hi"}], output=[])
    cool = {"parameters": {"temperature": 0}}
    write(tmp_path / "journal", record("a", contents=said, **cool), record("b", at=1, contents=said, **cool))
    out = interlay("backtest", "c.yaml")[1]
    assert re.search(r"^answered by the cache +0 +1$", out, re.MULTILINE)
    assert "questions told apart: 2 by the messages that were kept" in out


def test_no_calls_are_said_to_be_none(interlay: Run, tmp_path: Path) -> None:
    assert interlay("backtest", "c.yaml") == (0, "", f"no calls in {tmp_path}/journal\n")
    write(tmp_path / "journal", *journal())
    assert interlay("backtest", "c.yaml", "--since", "2099-01-01") == (0, "", "no calls since then\n")
    assert json.loads(interlay("backtest", "c.yaml", "--since", "2099-01-01", "--json")[1])["calls"] == 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["none.yaml"], "the configuration cannot be used:\nnone.yaml: cannot be read"),
        (["bad.yaml"], "the configuration cannot be used:\nbad.yaml:2:"),
        (["c.yaml", "--journal", "nowhere"], "the journal nowhere is not there"),
        (["c.yaml", "--plot", "picture.pdf"], "--plot picture.pdf: expected a name that ends in .svg or .png"),
        ([], "missing argument 'CONFIG'"),
    ],
)
def test_what_cannot_be_done_is_said(interlay: Run, tmp_path: Path, arguments: list[str], error: str) -> None:
    (tmp_path / "bad.yaml").write_text("chain:\n  - cach: {}\n")
    code, out, err = interlay("backtest", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {error}")


def test_no_store_is_made_or_looked_into(interlay: Run, tmp_path: Path) -> None:
    write(tmp_path / "journal", *journal())
    (tmp_path / "c.yaml").write_text("chain:\n  - cache: {store: 'disk:answers'}\n")
    assert interlay("backtest", "c.yaml")[0] == 0
    assert not (tmp_path / "answers").exists()


class TestPicture:
    @pytest.fixture
    def drawn(self, interlay: Run, tmp_path: Path) -> Callable[[str], bytes]:
        write(tmp_path / "journal", *(miss(f"{n:020x}", n * 30.0, key=f"{n % 7:064x}") for n in range(100)))

        def draw(name: str) -> bytes:
            code, out, err = interlay("backtest", "c.yaml", "--plot", name)
            assert (code, err) == (0, f"drawn: {name}\n")
            assert out
            return (tmp_path / name).read_bytes()

        return draw

    def test_is_an_svg_that_is_the_same_each_time(self, drawn: Callable[[str], bytes]) -> None:
        picture = drawn("a.svg")
        told = " ".join(ET.fromstring(picture).itertext())
        for words in ("answered by the cache, %", "spent, $", "did", "would have"):
            assert words in told
        assert drawn("b.svg") == picture

    def test_is_a_png(self, drawn: Callable[[str], bytes]) -> None:
        picture = drawn("a.PNG")
        assert picture.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", picture[16:24])
        assert 600 <= height < width

    def test_is_no_picture_without_the_package_and_says_so_first(self, tmp_path: Path) -> None:
        program = (
            "import sys; sys.modules['matplotlib'] = None\n"
            "from interlay.cli.root import run\n"
            "sys.exit(run(['backtest', 'c.yaml', '--plot', 'a.svg', '--journal', 'j']))"
        )
        (tmp_path / "j").mkdir()
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280
        )
        assert done.returncode == 2
        assert done.stderr == "error: --plot needs matplotlib\nhelp: pip install 'interlay[plot]'\n"


def test_it_fits_its_terminal() -> None:
    test = Backtest([Cache(ttl=10)])
    for each in journal():
        test.feed(each)
    test.finish()
    for width in range(40, 120):
        table = [line for line in lines(test, "c.yaml", Looks(width=width)) if "  " in line.plain]
        assert max(line.cell_len for line in table) <= width
    assert all(line.plain.isascii() for line in lines(test, "c.yaml", Looks(unicode=False)))


def test_a_key_is_the_same_in_records_and_in_backtests() -> None:
    """What `interlay cache forget --key` takes is what backtests go by."""
    test = Backtest([Cache(ttl=10)])
    test.feed(miss("a", key=KEY))
    test.finish()
    assert test.keys == {"record": 1}
