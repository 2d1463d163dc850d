"""interlay run: a program whose code is not touched, and which notices nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interlay.cli.run import STARTUP
from interlay.telemetry.journal import JournalReader
from interlay.testing import Provider, Turn

ASKING = """
import sys, {module}
with {module}.Client(trust_env=False, verify=False) as client:
    answer = client.post(sys.argv[1] + "/chat/completions", json={{"model": "gpt-4o-mini", "messages": []}})
print(answer.status_code)
"""
ASYNC = """
import sys, asyncio, {module}
async def main():
    async with {module}.AsyncClient(trust_env=False, verify=False) as client:
        return await client.post(sys.argv[1] + "/chat/completions", json={{"model": "gpt-4o-mini", "messages": []}})
print(asyncio.run(main()).status_code)
"""


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


class Runner:
    """Runs programs in a folder, with a journal beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "program"
        self.folder.mkdir()
        self.home = folder / "home"
        self.environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "INTERLAY_CONFIG")}
        self.environment |= {"INTERLAY_HOME": str(self.home), "PYTHONUTF8": "1"}

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, "-m", "interlay", "run", *map(str, arguments)]

    def python(self, *arguments: object) -> list[object]:
        return ["--", sys.executable, "-W", "error", *arguments]

    def run(self, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        environment = {**self.environment, **options.pop("env", {})}
        return subprocess.run(
            self.command(*arguments), cwd=self.folder, env=environment, check=False, capture_output=True,
            encoding="utf-8", timeout=250, **options,
        )  # fmt: skip

    def records(self) -> list[Any]:
        return [entry.record for entry in JournalReader(self.home / "journal").entries()]


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


class TestRecords:
    @pytest.mark.parametrize("program", [ASKING, ASYNC], ids=["sync", "async"])
    @pytest.mark.parametrize("module", ["httpx", "httpx2"])
    def test_what_a_program_asks_of_models(self, program: str, module: str, runner: Runner, provider: Provider) -> None:
        runner.file("prog.py", program.format(module=module))
        done = runner.run(*runner.python("prog.py", provider.openai_url))
        assert (done.returncode, done.stdout, done.stderr) == (0, "200\n", "")
        (record,) = runner.records()
        assert (record.operation, record.end, record.model) == ("chat", "complete", "gpt-4o-mini")

    def test_what_the_programs_ask_that_it_starts(self, runner: Runner, provider: Provider) -> None:
        runner.file("prog.py", ASKING.format(module="httpx2"))
        starts = "import subprocess, sys; subprocess.run([sys.executable, 'prog.py', sys.argv[1]], check=True)"
        assert runner.run(*runner.python("-c", starts, provider.openai_url)).stdout == "200\n"
        assert len(runner.records()) == 1

    @pytest.mark.parametrize("given", ["option", "variable"])
    def test_through_the_chain_of_a_configuration(self, given: str, runner: Runner, provider: Provider) -> None:
        provider.script(Turn(status=503, headers={"retry-after-ms": "1"}))
        runner.file("prog.py", ASKING.format(module="httpx"))
        runner.file("audit.py", "def record(each):\n    print('seen', each.end)\n")
        config = "chain:\n- retry: {attempts: 2}\n- observe: {target: 'audit:record', inline: true}\njournal: kept\n"
        runner.file("deploy/interlay.yaml", config)
        name = "deploy/interlay.yaml"
        options = ["--config", name] if given == "option" else []
        variables = {} if options else {"INTERLAY_CONFIG": name}
        done = runner.run(*options, *runner.python("prog.py", provider.openai_url), env=variables)
        assert (done.stdout, done.stderr) == ("seen complete\n200\n", "")
        assert not runner.home.exists()
        (entry,) = JournalReader(runner.folder / "deploy" / "kept").entries()
        assert [attempt.status for attempt in entry.record.attempts] == [503, 200]

    def test_nothing_where_the_configuration_says_so(self, runner: Runner, provider: Provider) -> None:
        runner.file("prog.py", ASKING.format(module="httpx"))
        runner.file("interlay.yaml", "journal: false")
        done = runner.run("--config", "interlay.yaml", *runner.python("prog.py", provider.openai_url))
        assert (done.stdout, done.stderr) == ("200\n", "")
        assert not runner.home.exists()


class TestIsTheProgram:
    def test_with_its_arguments_input_output_and_exit_code(self, runner: Runner) -> None:
        program = "import sys; print(sys.argv, sys.stdin.read()); print('told', file=sys.stderr); sys.exit(7)"
        done = runner.run(*runner.python("-c", program, "--config", "x", "--", "-v"), input="read")
        assert (done.returncode, done.stderr) == (7, "told\n")
        assert done.stdout == "['-c', '--config', 'x', '--', '-v'] read\n"

    def test_without_two_dashes_too(self, runner: Runner) -> None:
        done = runner.run(sys.executable, "-c", "import sys; print(sys.argv)", "-q")
        assert done.stdout == "['-c', '-q']\n"

    def test_in_the_same_process_with_its_signals(self, runner: Runner) -> None:
        program = """
import os, signal, sys
print(os.getpid(), signal.getsignal(signal.SIGINT) is signal.default_int_handler, flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
print("ready", flush=True)
signal.pause()
"""
        child = subprocess.Popen(
            runner.command(*runner.python("-c", program)), env=runner.environment, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        # Where a shell runs the tests in the background, they and what they start ignore Ctrl-C.
        heard = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        assert child.stdout.readline() == f"{child.pid} {heard}\n"
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 9
        child.stdout.close()

    def test_killed_as_it_would_be(self, runner: Runner) -> None:
        assert runner.run("sh", "-c", "kill -PIPE $$").returncode == -signal.SIGPIPE

    def test_with_its_own_path_and_start(self, runner: Runner) -> None:
        runner.file("own/sitecustomize.py", "import sys\nsys.customized = __file__\n")
        told = "[sys.customized, sys.modules['sitecustomize'].__file__, sys.path]"
        program = f"import json, sys; print(json.dumps({told}))"
        own = {"PYTHONPATH": str(runner.folder / "own")}
        done = runner.run(*runner.python("-c", program), env=own)
        customized, module, path = json.loads(done.stdout)
        assert customized == module == str(runner.folder / "own" / "sitecustomize.py")
        bare = [sys.executable, "-W", "error", "-c", program]
        without = subprocess.run(
            bare, cwd=runner.folder, env={**runner.environment, **own}, capture_output=True, text=True, check=True
        )
        assert json.loads(without.stdout)[2] == path

    def test_with_what_its_own_start_says_of_an_error(self, runner: Runner) -> None:
        runner.file("own/sitecustomize.py", "raise LookupError('mine')\n")
        environment = {**runner.environment, "PYTHONPATH": str(runner.folder / "own")}
        bare = subprocess.run([sys.executable, "-c", "1"], env=environment, capture_output=True, text=True, check=False)
        done = runner.run("--", sys.executable, "-c", "1", env=environment)
        # The command's own Python says it too.
        assert (done.returncode, done.stderr) == (bare.returncode, 2 * bare.stderr)
        assert "mine" in done.stderr

    def test_without_waiting_for_interlay_where_nothing_is_sent(self, runner: Runner) -> None:
        program = "import sys; print([name for name in sys.modules if name.startswith(('interlay.', 'msgspec'))])"
        assert runner.run(*runner.python("-c", program)).stdout == "['interlay.entry', 'interlay.entry.arrivals']\n"


class TestTroubles:
    def test_a_faulty_configuration_is_said_before_the_program_begins(self, runner: Runner) -> None:
        runner.file("interlay.yaml", "chain: [rety]\njournal: 5\n")
        done = runner.run("--config", "interlay.yaml", *runner.python("-c", "print('begun')"))
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines() == [
            "error: the configuration cannot be used:",
            "interlay.yaml:1:9: chain[0]: there is no rety; did you mean retry?",
            "interlay.yaml:2:10: journal: expected true or false or text, got 5",
            "help: interlay check interlay.yaml",
        ]

    def test_one_that_fails_later_does_not_stop_the_program(self, runner: Runner, provider: Provider) -> None:
        runner.file("interlay.yaml", "chain: [observe: {target: 'no.such.module:record'}]")
        runner.file("prog.py", ASKING.format(module="httpx"))
        done = runner.run("--config", "interlay.yaml", *runner.python("prog.py", provider.openai_url))
        assert (done.returncode, done.stdout) == (0, "200\n")
        assert "runs without interlay" in done.stderr
        assert "no.such.module:record cannot be imported" in done.stderr

    def test_a_python_that_has_no_interlay_runs_without(self, runner: Runner, provider: Provider) -> None:
        # As it is where the command is another Python's: its folder is on the path, and what it needs is not.
        runner.file("own/interlay.py", "raise ImportError('not here')\n")
        runner.file("prog.py", ASKING.format(module="httpx"))
        path = os.pathsep.join([str(STARTUP), str(runner.folder / "own")])
        done = subprocess.run(
            [sys.executable, "prog.py", provider.openai_url], env=runner.environment | {"PYTHONPATH": path},
            cwd=runner.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, "200\n")
        assert done.stderr == f"interlay run: {sys.executable} runs without interlay: not here\n"

    @pytest.mark.parametrize(
        ("program", "code", "help_"),
        [
            ("no-such-program", 127, "programs are looked for on the PATH"),
            ("./prog.py", 126, "interlay run -- python ./prog.py"),
        ],
    )
    def test_a_program_that_cannot_be_run(self, program: str, code: int, help_: str, runner: Runner) -> None:
        runner.file("prog.py", "")
        done = runner.run("--", program)
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.splitlines()[-1] == f"help: {help_}"

    def test_no_program_at_all(self, runner: Runner) -> None:
        done = runner.run()
        assert done.returncode == 2
        assert "missing argument" in done.stderr
