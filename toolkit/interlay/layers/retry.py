"""Retry: send again what may succeed, never what was delivered."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import ClassVar, Final

from interlay.chain.call import Call, Response
from interlay.chain.layer import Mode, Next, Role
from interlay.chain.stream import Stream
from interlay.chain.waits import asked_wait
from interlay.model.arguments import is_count, is_number, shown
from interlay.model.errors import ConfigError, WireError
from interlay.model.record import Failure, Verdict

_STATUSES: Final = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
_HOPELESS: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_error", "access_terminated"})
"""Errors that say 429 and stay whatever one waits."""


class Retry:
    """Send a failed call again: up to ``attempts`` sends in all, an SDK's own repeats included.

    Retried are refused and broken connections, time-outs, and the statuses 408, 409, 429, 5xx and 529 that may
    pass; a spent quota is not. The wait is what the server asks for (``retry-after-ms``, ``retry-after``), else
    ``backoff`` seconds doubled each time up to ``max_wait``, less up to a quarter at random. A wait that the call's
    deadline has no room for, or longer than ``max_retry_after``, is not begun: the answer that is there is given.
    Once a byte of a response has been delivered nothing is sent again.

    Raises ``ConfigError`` for numbers out of range.
    """

    role: ClassVar[Role] = Role.RETRY

    def __init__(
        self,
        attempts: int = 3,
        *,
        backoff: float = 0.5,
        max_wait: float = 8.0,
        max_retry_after: float = 60.0,
        mode: Mode = "on",
        random: Callable[[], float] = random.random,
    ) -> None:
        if not is_count(attempts) or attempts < 1:
            raise ConfigError(f"Retry(attempts={shown(attempts)}): expected a whole number of sends, 1 or more")
        for name, value in (
            ("backoff", backoff),
            ("max_wait", max_wait),
            ("max_retry_after", max_retry_after),
        ):
            if not (is_number(value) and value >= 0):
                raise ConfigError(f"Retry({name}={shown(value)}): expected seconds, 0 or more")
        if mode not in ("on", "shadow"):
            raise ConfigError(f"Retry(mode={shown(mode)}): expected 'on' or 'shadow'")
        if not callable(random):
            raise ConfigError(f"Retry(random={shown(random)}): expected a function that gives a number from 0 to 1")
        self.attempts = attempts
        self.backoff = backoff
        self.max_wait = max_wait
        self.max_retry_after = max_retry_after
        self.mode = mode
        self._random = random

    async def __call__(self, call: Call, next: Next) -> Response:
        # A call that an SDK repeats has used up sends already.
        sent = call.spent
        if sent >= self.attempts and call.resumed is not None and self.mode == "on":
            raise call.resumed
        return await self._send(call, next, sent)

    async def _send(self, call: Call, next: Next, sent: int) -> Response:
        while True:
            sent += 1
            try:
                response = await next(call)
                if self.mode == "on" and not call.streamed and response.status < 400:
                    await response.buffer()  # an answer that breaks off is a failed send, as nobody has read it
            except WireError as error:
                if not await self._again(call, sent, error.kind, None, final=False):
                    raise
                continue
            failure = await response.failure()
            if failure is None:
                if call.streamed and self.mode == "on":
                    self._watch(call, next, response, sent)
                return response
            hopeless = response.status not in _STATUSES or response.header("x-should-retry") == "false"
            hopeless = hopeless or bool({failure.type, failure.code} & _HOPELESS)
            if response.header("x-should-retry") == "true":
                hopeless = False
            if not await self._again(call, sent, _reason(failure), asked_wait(response), final=hopeless):
                return response
            await response.discard()

    def _watch(self, call: Call, next: Next, response: Response, sent: int) -> None:
        """A stream that breaks before anything of it was delivered is a failed send too."""

        async def recover(error: WireError) -> Stream | None:
            if not await self._again(call, sent, error.kind, None, final=False):
                return None
            try:
                fresh = await self._send(call, next, sent)
            except WireError:
                return None  # the reader, who has a response, is told what became of that one
            if fresh.status >= 400:
                await fresh.discard()
                return None
            return fresh.stream

        response.stream.recover_with(recover)

    async def _again(self, call: Call, sent: int, reason: str, asked: float | None, *, final: bool) -> bool:
        """Wait for the next send, if there is to be one."""
        if final or sent >= self.attempts:
            return False
        wait = asked
        if wait is None:
            wait = min(self.backoff * 2.0 ** min(sent - 1, 60), self.max_wait) * (1 - 0.25 * self._random())
        elif wait > self.max_retry_after:
            return False
        if call.deadline is not None and call.io.monotonic() + wait >= call.deadline:
            return False
        shadow = self.mode == "shadow"
        call.verdict(
            Verdict(layer="retry", action="retry", reason=reason, shadow=shadow, seconds=0 if shadow else wait)
        )
        if shadow:
            return False
        await call.io.sleep(wait, deadline=call.deadline)
        return True


def _reason(failure: Failure) -> str:
    return f"http_{failure.status}" if failure.status is not None else failure.type
