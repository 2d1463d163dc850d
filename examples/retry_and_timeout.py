"""A client that tries again, but not for ever: ``python examples/retry_and_timeout.py``."""

from __future__ import annotations

from openai import APIError, OpenAI

import interlay
from interlay import Retry, Timeout


def main() -> None:
    client = interlay.wrap(OpenAI(), Retry(attempts=3, backoff=0.2), Timeout(attempt=30, total=60), provider="openai")
    try:
        answer = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Say this is a test"}]
        )
        print(answer.choices[0].message.content)
    except APIError as error:
        print(f"gave up: {error}")

    record = interlay.last()[0]
    for number, attempt in enumerate(record.attempts, 1):
        how = attempt.error.type if attempt.error else "ok"
        print(f"attempt {number}: {attempt.status or '-'} {how}, {attempt.seconds:.3f} s")
    for verdict in record.verdicts:
        print(f"{verdict.layer} waited {verdict.seconds:.3f} s: {verdict.reason}")
    cost = record.cost.amount if record.cost else None
    print(f"{record.end} in {record.duration:.3f} s for {'an unknown amount' if cost is None else f'${cost}'}")


if __name__ == "__main__":
    main()
