"""A layer of your own: a second model where the first cannot answer: ``python examples/own_layer.py``."""

from __future__ import annotations

import json
from typing import ClassVar

from openai import OpenAI

import interlay
from interlay.chain.call import Call, Response
from interlay.chain.layer import Next
from interlay.model.errors import WireError
from interlay.model.record import Verdict


class Fallback:
    """Ask another model where the one asked for is overloaded, gone or not reachable. Streams too: nothing of an
    answer has been delivered while its status is looked at."""

    role: ClassVar[interlay.Role] = interlay.Role.ROUTE

    def __init__(self, model: str) -> None:
        self.model = model

    async def __call__(self, call: Call, next: Next) -> Response:
        try:
            response = await next(call)
            if response.status < 500 and response.status not in (404, 429):
                return response
            reason = f"http_{response.status}"
            await response.discard()
        except WireError as error:
            reason = error.kind
        body = call.read()
        if body is not None:
            # The request that is there, changed in one place: what is built anew loses what one does not know.
            call.replace_body(json.dumps({**json.loads(body), "model": self.model}).encode())
            call.verdict(Verdict(layer="fallback", action="reroute", reason=f"{reason}: {self.model}"))
        return await next(call)


def main() -> None:
    client = interlay.wrap(OpenAI(), Fallback("gpt-4o-mini"), provider="openai")
    answer = client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Say this is a test"}]
    )
    print(answer.choices[0].message.content)
    record = interlay.last()[0]
    print(f"served by {record.served_model}, requests: {len(record.attempts)}")
    for verdict in record.verdicts:
        print(f"{verdict.layer}: {verdict.reason}")


if __name__ == "__main__":
    main()
