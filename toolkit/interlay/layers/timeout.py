"""Timeout: no send, and no call, takes longer than stated."""

from __future__ import annotations

from typing import ClassVar

from interlay.chain.call import Call, Response
from interlay.chain.layer import Mode, Next, Role
from interlay.chain.waits import asked_wait
from interlay.model.arguments import is_number, shown
from interlay.model.errors import ConfigError
from interlay.model.record import Verdict


class _Began:
    """When a call entered the chain: a note of the shadow mode, which sets no deadline."""

    def __init__(self, at: float) -> None:
        self.at = at


class Timeout:
    """Limits in seconds: ``attempt`` for each send, its response included; ``total`` for the call with all its
    retries, an SDK's own included.

    A call past its limit ends in the HTTP library's ``ReadTimeout``, which SDKs report as their time-out. In
    asynchronous calls whatever is under way is cancelled. A blocking read cannot be interrupted: there the
    library's own time-outs are narrowed to what is left, and it is checked between reads, so a synchronous call
    can overrun by one read.

    An SDK that retries by itself waits no longer between its sends than ``total`` leaves, in the clients that
    ``wrap`` can reach (see there), and is told not to retry an answer that asks for a longer wait than that.

    ``mode="shadow"`` stops nothing and says in the record which limit was passed; each run of an SDK's own retries is
    then measured by itself.

    Raises ``ConfigError`` for a limit that is not above 0, or when neither is given.
    """

    role: ClassVar[Role] = Role.ATTEMPT

    def __init__(self, *, attempt: float | None = None, total: float | None = None, mode: Mode = "on") -> None:
        if attempt is None and total is None:
            raise ConfigError("Timeout(): expected attempt=, total= or both, in seconds")
        for name, value in (("attempt", attempt), ("total", total)):
            if value is not None and not (is_number(value) and value > 0):
                raise ConfigError(f"Timeout({name}={shown(value)}): expected seconds above 0")
        if mode not in ("on", "shadow"):
            raise ConfigError(f"Timeout(mode={shown(mode)}): expected 'on' or 'shadow'")
        self.attempt = attempt
        self.total = total
        self.mode = mode

    def begin(self, call: Call) -> None:
        if self.mode == "shadow":
            call.notes[_Began] = _Began(call.io.monotonic())
        elif self.total is not None:
            # A call that an SDK retries has its deadline from its first run: the earlier one stays.
            call.expire(call.io.monotonic() + self.total)

    async def __call__(self, call: Call, next: Next) -> Response:
        if self.mode == "shadow":
            return await self._watch(call, next)
        if self.attempt is None:
            response = await next(call)
        else:
            deadline = call.io.monotonic() + self.attempt
            response = await call.io.until(deadline, lambda: next(call))
            response.stream.expire(deadline)
        if call.deadline is not None and response.status >= 400:
            wait = asked_wait(response)
            if wait is not None and call.io.monotonic() + wait >= call.deadline:
                # Whoever retries this would wait for nothing: better that the caller has the answer now.
                response.set_header("x-should-retry", "false")
        return response

    async def _watch(self, call: Call, next: Next) -> Response:
        began = call.io.monotonic()
        whole = call.notes[_Began].at

        def look(*_: object) -> None:
            now = call.io.monotonic()
            for reason, since, limit in (("attempt", began, self.attempt), ("total", whole, self.total)):
                if limit is not None and now - since >= limit:
                    call.verdict(Verdict(layer="timeout", action="block", reason=reason, shadow=True))

        try:
            response = await next(call)
        except BaseException:
            look()
            raise
        response.stream.on_end(look)
        return response
