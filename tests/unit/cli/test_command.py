"""The command as a program: its exit codes, its manners, what it imports."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.cli.records import record, retried_by_sdk, write

from interlay.chain.journal import Journal
from interlay.cli.root import COMMANDS, run

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def environment(**changes: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LC_ALL", "TERM")}
    return {**kept, "LANG": "C.UTF-8", "PYTHONUTF8": "1", "TERM": "xterm", **changes}


def interlay(*arguments: object, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", "interlay", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", env=environment(**changes), check=False, timeout=280
    )


def on_a_terminal(*arguments: object, **changes: str) -> str:
    """What a person would see: the command's output through a pseudo-terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "interlay", *map(str, arguments)]
    child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(**changes))
    os.close(theirs)
    seen = b""
    try:
        while data := os.read(ours, 65536):
            seen += data
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    assert child.wait(50) == 0
    return seen.decode()


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("home") / "journal", *retried_by_sdk(), record("d0", at=5))


ALL = [[], *([name] for name in COMMANDS), *(["cache", name] for name in ("stats", "forget", "warm"))]


class TestStart:
    def test_help_imports_neither_rich_nor_a_command(self) -> None:
        probe = """
import sys
from interlay.cli.root import run
run(["--help"])
heavy = ("rich", "msgspec", "interlay.cli.calls", "interlay.cli.show", "interlay.cli.demo", "interlay.chain")
print([name for name in sys.modules if name.startswith(heavy)])
"""
        done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"

    @pytest.mark.parametrize("option", ["-h", "--help"])
    @pytest.mark.parametrize("command", ALL)
    def test_help_begins_with_examples(
        self, command: list[str], option: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run([*command, option]) == 0
        text = capsys.readouterr().out
        assert 2 <= text.partition("Options:")[0].count("\n    interlay ") <= 3
        assert max(map(len, text.splitlines())) <= 100

    @pytest.mark.parametrize("command", ALL)
    def test_version(self, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert run([*command, "--version"]) == 0
        assert re.fullmatch(r"interlay \d+\.\d+\.\d+\n", capsys.readouterr().out)

    def test_help_lists_every_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        run(["-h"])
        text = " ".join(capsys.readouterr().out.split())
        for name, place in COMMANDS.items():
            assert f" {name} {place.help}" in text

    @pytest.mark.parametrize("package", ["click", "rich"])
    def test_without_its_packages_says_what_to_install(self, package: str) -> None:
        program = f"import sys; sys.modules[{package!r}] = None; from interlay.cli import main; main()"
        command = [sys.executable, "-c", program, "calls"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"error: this needs {package}: pip install 'interlay[cli]'\n"

    @pytest.mark.parametrize("package", ["openai", "anthropic"])
    def test_the_demo_without_its_packages_says_what_to_install(self, package: str) -> None:
        program = f"import sys; sys.modules[{package!r}] = None; from interlay.cli import main; main()"
        command = [sys.executable, "-c", program, "demo"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"error: this needs {package}: pip install 'interlay[demo]'\n"

    def test_alone_is_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run([]) == 0
        alone = capsys.readouterr().out
        run(["-h"])
        assert alone == capsys.readouterr().out


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "code", "what", "help_"),
        [
            (["cals"], 2, "there is no command 'cals'", "did you mean calls?"),
            (["zzz"], 2, "there is no command 'zzz'", "interlay -h lists the commands"),
            (["calls", "--zzz"], 2, "no such option", "interlay calls -h"),
            (["calls", "--since", "soon"], 2, "'soon' is no duration such as 90s, 1h30m", "interlay calls -h"),
            (["calls", "-n", "-1"], 2, "-1 is not in the range", "interlay calls -h"),
            (["show"], 2, "missing argument 'ID'", "interlay show -h"),
            (["show", ""], 2, "an id, the beginning of one, or @last", "interlay show -h"),
            (["show", "zzz"], 1, "no call begins with 'zzz' in ", "interlay calls lists them"),
        ],
    )
    def test_say_what_and_what_to_do(
        self, journal: Path, arguments: list[str], code: int, what: str, help_: str,
        capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setenv("INTERLAY_HOME", str(journal.parent))
        assert run(arguments) == code
        out, err = capsys.readouterr()
        assert out == ""
        error, hint = err.splitlines()
        assert error.startswith("error: ")
        assert what.lower() in error.lower()
        assert hint == f"help: {help_}"

    def test_a_journal_that_cannot_be_read_is_not_reachable(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied", str(tmp_path))

        monkeypatch.setattr(os, "scandir", refuse)
        assert run(["calls", "--journal", str(tmp_path)]) == 3
        assert capsys.readouterr().err == f"error: {tmp_path}: Permission denied\n"


class TestManners:
    def test_a_pipe_gets_no_colour_no_ellipsis_and_no_lines(self, journal: Path) -> None:
        for arguments in (["calls"], ["show", "c0"]):
            done = interlay(*arguments, "--journal", journal, COLUMNS="40")
            assert (done.returncode, done.stderr) == (0, "")
            assert "\x1b" not in done.stdout
            assert not set("…│├└─█") & set(done.stdout)

    def test_a_terminal_gets_colour_and_as_much_as_fits(self, journal: Path) -> None:
        seen = on_a_terminal("calls", "--journal", journal, COLUMNS="80")
        assert ANSI.search(seen)
        assert max(len(ANSI.sub("", line)) for line in seen.splitlines()) <= 80

    @pytest.mark.parametrize(
        ("arguments", "changes"),
        [([], {"NO_COLOR": "1"}), (["--color", "never"], {"FORCE_COLOR": "1"}), ([], {"TERM": "dumb"})],
    )
    def test_colour_is_left_out_when_told(self, journal: Path, arguments: list[str], changes: dict[str, str]) -> None:
        seen = on_a_terminal("show", "c0", "--journal", journal, *arguments, COLUMNS="90", **changes)
        assert "\x1b" not in seen
        assert "█" in seen

    @pytest.mark.parametrize(
        ("arguments", "changes"),
        [
            (["--color", "always", "calls"], {}),
            (["calls", "--color", "always"], {"NO_COLOR": "1"}),
            (["calls"], {"FORCE_COLOR": "1"}),
            (["--color", "always", "calls"], {"TERM": "dumb"}),
        ],
    )
    def test_colour_is_put_in_when_told(self, journal: Path, arguments: list[str], changes: dict[str, str]) -> None:
        assert ANSI.search(interlay(*arguments, "--journal", journal, **changes).stdout)

    def test_no_colour_wins_over_forced_colour(self, journal: Path) -> None:
        done = interlay("calls", "--journal", journal, NO_COLOR="1", FORCE_COLOR="1")
        assert "\x1b" not in done.stdout

    def test_an_encoding_without_our_signs_gets_others(self, journal: Path) -> None:
        for arguments in (["calls"], ["show", "c0", "--color", "always"]):
            done = interlay(*arguments, "--journal", journal, PYTHONUTF8="0", PYTHONIOENCODING="ascii")
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.isascii()
            assert "+ 2 retries" in done.stdout or "+ chat" in ANSI.sub("", done.stdout)

    def test_a_closed_pipe_is_quiet(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "j", *(record(f"{n:020x}", at=n) for n in range(2000)))
        command = [sys.executable, "-X", "dev", "-m", "interlay", "calls", "-n", "0", "--journal", str(folder)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == b""
        child.stderr.close()
        assert child.wait(50) == 0

    def test_following_gives_each_call_as_it_ends_until_ctrl_c(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "j", record("before"))
        # A shell that runs the tests in the background has them, and what they start, ignore Ctrl-C.
        program = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
            "from interlay.cli import main; main()"
        )
        command = [sys.executable, "-X", "dev", "-c", program, "calls", "-f", "--json", "--journal", str(folder)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        assert child.stdout is not None
        assert child.stderr is not None
        assert json.loads(child.stdout.readline())["id"] == "before"
        appended = Journal(folder)
        for name in ("one", "two"):
            appended.append(record(name).to_json())
            assert select.select([child.stdout], [], [], 50)[0]
            assert json.loads(child.stdout.readline())["id"] == name
        child.send_signal(signal.SIGINT)
        assert child.wait(50) == 130
        assert child.stderr.read() == b""
        assert child.stdout.read() == b""
        child.stdout.close()
        child.stderr.close()

    def test_python_m_is_the_command(self) -> None:
        assert interlay("--version").stdout.startswith("interlay ")
