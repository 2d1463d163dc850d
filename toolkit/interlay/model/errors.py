"""Errors. *Ours* says that interlay or its user got something wrong; *theirs* that the other side did."""

from __future__ import annotations

from interlay.model.arguments import is_count, is_number, shown


class InterlayError(Exception):
    """Base of every error interlay raises."""


class ConfigError(InterlayError, ValueError):
    """A part, a setting or an argument is wrong. The message names it, its value and what was expected."""


class PartError(ConfigError, TypeError):
    """Something that is neither a layer nor an observer was given as a part of a chain."""


class ForeignAwaitError(InterlayError, RuntimeError):
    """A layer awaited something other than ``next(call)`` and ``call.io`` in a synchronous call."""


class DecodeError(InterlayError, ValueError):
    """Foreign bytes could not be read: no JSON, too deep, too wide, too big, or numbers out of range.

    Messages name the limit or the position, never the contents.
    """


class WireError(InterlayError):
    """The exchange with the provider failed below HTTP. ``__cause__`` is the HTTP library's own exception."""

    kind = "wire"


class ConnectError(WireError):
    """No connection: refused, unreachable, no such host, TLS failed. Nothing was sent."""

    kind = "connect"


class WriteError(WireError):
    """The request could not be sent whole."""

    kind = "write"


class ReadError(WireError):
    """The connection broke while the response was read."""

    kind = "read"


class WireTimeout(WireError, TimeoutError):
    """The HTTP library's own time-out, or interlay's: then there is no ``__cause__``."""

    kind = "timeout"

    def __init__(self, message: str = "", *, phase: str = "read", connected: bool = True) -> None:
        super().__init__(message)
        self.phase = phase
        """``connect``, ``write``, ``read``, ``pool``, or ``deadline`` when interlay stopped it."""
        self.connected = connected


class Refused(InterlayError):
    """A layer refuses a call. At a seam it is answered in the dialect's own error shape, never raised.

    Args:
        message: for whoever made the call. It leaves with the answer, and is in no record.
        status: the answer's, from 400 to 599: 400 for what may not be said, 402 over a budget, 429 over a rate.
        type: the error's, in one low-cardinality word: ``blocked``. Records keep it.
        code: a finer word beside it.
        retryable: whether the same call may pass later. SDKs are told to send it again, or not to.
        retry_after: seconds until then.

    Raises ``ConfigError`` for a status that is none of an error, and for a time that is none.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        type: str,
        code: str | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        if not (is_count(status) and 400 <= status <= 599):
            raise ConfigError(f"Refused(status={shown(status)}): expected an error's, from 400 to 599")
        if retry_after is not None and not (is_number(retry_after) and retry_after >= 0):
            raise ConfigError(f"Refused(retry_after={shown(retry_after)}): expected seconds, 0 or more")
        super().__init__(message)
        self.status = status
        self.type = type
        self.code = code
        self.retryable = retryable
        self.retry_after = retry_after
