"""What a cache gave, why, and what that saved: ``python examples/cache.py``."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from openai import OpenAI

import interlay

client = interlay.wrap(
    OpenAI(),
    interlay.Cache(ttl="10m", stale_if_error="1d", vary_by=("user",)),
    provider="openai",
)


def ask(question: str, *, stream: bool = False) -> str:
    asked = [{"role": "user", "content": question}]
    if not stream:
        answer = client.chat.completions.create(model="gpt-4o-mini", messages=asked)
        return answer.choices[0].message.content or ""
    events = client.chat.completions.create(model="gpt-4o-mini", messages=asked, stream=True)
    return "".join(choice.delta.content or "" for event in events for choice in event.choices)


def main() -> None:
    question = "Say this is a test"
    with interlay.using(user="ada"):
        with ThreadPoolExecutor() as threads:
            list(threads.map(interlay.carry(ask), [question] * 4))  # one request, four answers
        ask(question)
        ask(question, stream=True)  # the same answer, as a stream
    with interlay.using(user="grace"):
        ask(question)  # nobody is answered with what was said to somebody else
        with interlay.using(cache="no-cache"):
            ask(question)  # asked anew, and kept

    found: Counter[str] = Counter()
    saved = Decimal()
    for record in interlay.last():
        if record.cache is not None:
            found[f"{record.cache.outcome}, {record.cache.reason}"] += 1
        if record.cost is not None and record.cost.avoided is not None:
            saved += record.cost.avoided
    for what, times in sorted(found.items()):
        print(f"{times} {what}")
    print(f"saved ${saved}")


if __name__ == "__main__":
    main()
