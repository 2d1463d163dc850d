"""What interlay itself says, under ``interlay.*``: redacted before anybody else sees it, as JSON on request.

A filter on a logger does not see what its children log, and one on a handler helps that handler alone. So what
redacts is a handler of the logger ``interlay``: it comes first on each record's way up, and rewrites the record for
all handlers above, whoever put them there.
"""

from __future__ import annotations

import datetime as dt
import logging
import sys
from typing import Final, Literal, TextIO

import msgspec

from interlay.model.secrets import redact

ROOT: Final = "interlay"
_TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_plain: Final = logging.Formatter()


class Redactor(logging.Handler):
    """Blanks registered secrets in messages, arguments and tracebacks, for itself and for all handlers to come."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            record.msg, record.args = redact(record.getMessage()), None
            if record.exc_info and not record.exc_text:
                record.exc_text = redact(_plain.formatException(record.exc_info))
            if record.stack_info:
                record.stack_info = redact(record.stack_info)
        except Exception:  # noqa: BLE001 - a line may hold any object, and none may stop the program
            self.handleError(record)
            return
        # A program that set up no logging would have been told of a warning on stderr; it still is.
        if not _is_heard(record.name) and logging.lastResort is not None and record.levelno >= logging.lastResort.level:
            logging.lastResort.handle(record)


class JSONFormatter(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message``, and ``exception`` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        at = dt.datetime.fromtimestamp(record.created, dt.UTC)
        line = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_text or record.exc_info:
            line["exception"] = record.exc_text or self.formatException(record.exc_info or (None, None, None))
        return msgspec.json.encode(line).decode()


def install() -> None:
    """Put the redactor in its place. Once is enough; more does nothing."""
    logger = logging.getLogger(ROOT)
    if not any(isinstance(handler, Redactor) for handler in logger.handlers):
        logger.handlers.insert(0, Redactor())


def show(kind: Literal["text", "json"] | None, *, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Write what interlay says to ``stream`` (stderr), as text or JSON, and no longer to the program's handlers.

    None undoes it.
    """
    install()
    logger = logging.getLogger(ROOT)
    before = [handler for handler in logger.handlers if isinstance(handler, _Ours)]
    for handler in before:
        logger.removeHandler(handler)
    if kind is None:
        if before:  # else what the program has set is the program's
            logger.propagate = True
            logger.setLevel(logging.NOTSET)
        return
    logger.propagate = False
    ours = _Ours(stream if stream is not None else sys.stderr)
    ours.setFormatter(JSONFormatter() if kind == "json" else logging.Formatter(_TEXT))
    logger.addHandler(ours)
    logger.setLevel(level)


class _Ours(logging.StreamHandler[TextIO]):
    """The handler that ``show`` adds."""


def _is_heard(name: str) -> bool:
    """Whether a handler besides ours gets what this logger says."""
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        if any(not isinstance(handler, Redactor) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False
