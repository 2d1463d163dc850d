"""What interlay says, and what it never says."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from interlay.model.secrets import Secret
from interlay.telemetry import logs

CANARY = "canary-in-the-log-0001"


@pytest.fixture(autouse=True)
def _installed() -> Iterator[None]:
    Secret(CANARY)
    logs.install()
    yield
    logs.show(None)


def fail() -> None:
    try:
        raise ValueError(f"with {CANARY} in it")
    except ValueError:
        logging.getLogger("interlay.deep.down").exception("it failed for %s", CANARY)


def test_a_handler_of_the_program_sees_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    fail()
    (record,) = caplog.records
    assert record.getMessage() == "it failed for [secret]"
    assert "ValueError: with [secret] in it" in caplog.text
    assert CANARY not in caplog.text


def test_lines_of_json() -> None:
    stream = io.StringIO()
    logs.show("json", stream=stream)
    logging.getLogger("interlay.shipping").warning("%s does not take records", "otlp")
    fail()
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["level"], first["logger"], first["message"]) == (
        "WARNING", "interlay.shipping", "otlp does not take records",
    )  # fmt: skip
    assert first["time"].endswith("Z")
    assert "[secret]" in second["exception"]
    assert CANARY not in stream.getvalue()


def test_lines_of_text_go_to_one_place(caplog: pytest.LogCaptureFixture) -> None:
    stream = io.StringIO()
    logs.show("text", stream=stream)
    logging.getLogger("interlay.x").info("hello")
    assert stream.getvalue().endswith("INFO interlay.x: hello\n")
    assert caplog.records == []
    logs.show(None)
    logging.getLogger("interlay.x").warning("again")
    assert [record.getMessage() for record in caplog.records] == ["again"]


def test_installing_twice_is_installing_once() -> None:
    logs.install()
    logs.install()
    handlers = logging.getLogger("interlay").handlers
    assert sum(isinstance(handler, logs.Redactor) for handler in handlers) == 1


def test_a_message_that_cannot_be_made_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    record = logging.LogRecord("interlay.x", logging.WARNING, "f", 1, "%d", ("no number",), None)
    logs.Redactor().emit(record)


def test_a_program_without_logging_is_still_warned() -> None:
    program = (
        "import logging; from interlay.telemetry import logs; from interlay.model.secrets import Secret\n"
        "logs.install(); Secret('very-secret-thing')\n"
        "logging.getLogger('interlay.a').warning('beware of %s', 'very-secret-thing')\n"
        "logging.getLogger('interlay.a').info('nothing')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=250, check=True)
    assert done.stderr == "beware of [secret]\n"
