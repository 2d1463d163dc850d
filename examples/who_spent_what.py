"""Calls in threads on behalf of several users, and what each spent: ``python examples/who_spent_what.py``."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

from openai import OpenAI

import interlay

client = interlay.wrap(OpenAI(), provider="openai")


def ask(question: str) -> str | None:
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": question}])
    return answer.choices[0].message.content


def serve(user: str, questions: list[str]) -> None:
    """One user's questions, all at once."""
    # Threads start with an empty context; `carry` takes along who this is for.
    with ThreadPoolExecutor() as threads, interlay.using(user=user, tags=["example"]):
        list(interlay.carry(threads).map(ask, questions))


def main() -> None:
    serve("ada", ["Say this is a test", "Say it again"])
    serve("grace", ["Say this is a test"])

    spent: dict[str, Decimal] = defaultdict(Decimal)
    unknown = 0
    for record in interlay.last():
        if record.cost is None or record.cost.amount is None:
            unknown += 1
        else:
            spent[record.identity.user or "nobody"] += record.cost.amount
    for user, amount in sorted(spent.items()):
        print(f"{user:<6} ${amount}")
    if unknown:
        print(f"and {unknown} calls of unknown cost")


if __name__ == "__main__":
    main()
