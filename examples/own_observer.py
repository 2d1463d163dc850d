"""An observer of your own: totals in Prometheus' text format: ``python examples/own_observer.py``."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from decimal import Decimal

from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam

import interlay


class Totals(interlay.Observer):
    """Calls by model and end, and dollars by model. Told on interlay's background thread, read on any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[tuple[str, str]] = Counter()
        self._dollars: dict[str, Decimal] = {}

    def on_end(self, record: interlay.Record) -> None:
        model = record.served_model or record.model or "none"
        with self._lock:
            self._calls[model, record.end] += 1
            if record.cost is not None and record.cost.amount is not None:
                self._dollars[model] = self._dollars.get(model, Decimal(0)) + record.cost.amount

    def text(self) -> str:
        """What a scraper would read."""
        with self._lock:
            lines = [f'llm_calls_total{{model="{m}",end="{e}"}} {n}' for (m, e), n in sorted(self._calls.items())]
            lines += [f'llm_dollars_total{{model="{m}"}} {amount}' for m, amount in sorted(self._dollars.items())]
        return "\n".join(lines)


async def main() -> None:
    totals = Totals()
    async with AsyncOpenAI() as client:
        interlay.wrap(client, totals, provider="openai")
        question: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say this is a test"}]
        await asyncio.gather(
            *(client.chat.completions.create(model="gpt-4o-mini", messages=question) for _ in range(3))
        )
        stream = await client.chat.completions.create(model="gpt-4o-mini", messages=question, stream=True)
        async with stream:
            async for chunk in stream:
                print(chunk.choices[0].delta.content or "", end="")
        print()
    interlay.flush()
    print(totals.text())


if __name__ == "__main__":
    asyncio.run(main())
