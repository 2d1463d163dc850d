"""A program that ends with a stream open: ``python exits.py URL JOURNAL WAY``, without a journal bare."""

import asyncio
import sys
import threading
from typing import Any

import anthropic

url, journal, way = sys.argv[1:]
ASKED: Any = {
    "model": "claude-test",
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 9,
    "stream": True,
}


def wrapped(client: Any) -> Any:
    if journal != "bare":
        import interlay  # noqa: PLC0415 - the bare run must not have it

        interlay.setup(journal=journal)
        interlay.wrap(client, provider="anthropic")
    return client


def opened() -> Any:
    stream = wrapped(anthropic.Anthropic(api_key="sk-test", base_url=url)).messages.create(**ASKED)
    next(iter(stream))
    return stream


async def aopened() -> Any:
    stream = await wrapped(anthropic.AsyncAnthropic(api_key="sk-test", base_url=url)).messages.create(**ASKED)
    await anext(aiter(stream))
    return stream


def hold(ready: threading.Event) -> None:
    held = opened()
    ready.set()
    threading.Event().wait()
    del held


if way == "a global":
    kept = opened()
elif way == "exit in the midst":
    kept = opened()
    sys.exit(3)
elif way == "an exception":
    kept = opened()
    raise LookupError
elif way == "a loop that ended":
    kept = asyncio.run(aopened())
elif way == "a daemon thread":
    has_begun = threading.Event()
    threading.Thread(target=hold, args=(has_begun,), daemon=True).start()
    assert has_begun.wait(60)
else:
    raise ValueError(way)
