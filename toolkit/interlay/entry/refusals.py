"""A call that a layer refused, answered as its API would answer: an exception from a transport is retried by SDKs, and
buried."""

from __future__ import annotations

import math

from interlay.chain.call import Call, Response
from interlay.chain.monitor import Monitor
from interlay.chain.stream import Bytes, Stream
from interlay.model import json
from interlay.model.errors import Refused
from interlay.model.record import Failure
from interlay.model.words import printable, word


def answer(call: Call, refused: Refused, *, retries: bool) -> Response:
    """The response to a call whose run a refusal has ended. ``retries``: whether the chain does, so that nobody above
    it is to. Headers say what was decided: ``interlay-refused``, ``interlay-record``, and ``interlay-layer`` and
    ``interlay-reason`` where a verdict has them."""
    failure = Failure(
        type=printable(refused.type),
        code=None if refused.code is None else printable(refused.code),
        status=refused.status,
        message=printable(str(refused)),
    )
    if call.dialect is not None:
        body = call.dialect.encode_error(failure)
    else:
        body = json.encode({"error": {"message": failure.message, "type": failure.type, "code": failure.code}})
    verdict = next((v for v in reversed(call.run.verdicts) if v.action == "block" and not v.shadow), None)
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "x-should-retry": "true" if refused.retryable and not retries else "false",
        "retry-after": str(math.ceil(refused.retry_after)) if refused.retry_after is not None else None,
        "retry-after-ms": str(math.ceil(refused.retry_after * 1000)) if refused.retry_after is not None else None,
        "interlay-record": call.id,
        "interlay-refused": refused.type,
        "interlay-layer": verdict.layer if verdict is not None else None,
        "interlay-reason": verdict.reason if verdict is not None else None,
    }
    return Response(
        call=call,
        status=refused.status,
        headers={name: value for name, value in headers.items() if value is not None and word(value)},
        stream=Stream(Bytes(body), Monitor(None, None, None), call, None, refused.status),
    )
