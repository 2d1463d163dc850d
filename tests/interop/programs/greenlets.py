"""Calls of many greenlets under gevent's monkey patching: ``python greenlets.py URL JOURNAL``."""

from gevent import monkey  # type: ignore[import-untyped]

monkey.patch_all()

# ruff: noqa: E402 - patching comes first, as gevent asks

import json
import sys
import threading
from collections import Counter
from typing import Any

import anthropic
import gevent
import openai

import interlay

GREENLETS = 50
url, journal = sys.argv[1:]
here = threading.local()
mixed: list[Any] = []
behind: list[str | None] = []


class Inline:
    """Runs in the greenlet that made the call, so it knows who that was."""

    def on_end(self, record: interlay.Record) -> None:
        if record.identity.user != here.user:
            mixed.append([record.identity.user, here.user])


interlay.setup(journal=journal)
parts = (interlay.Observe(Inline(), inline=True), interlay.Observe(lambda record: behind.append(record.identity.user)))
chat: Any = interlay.wrap(openai.OpenAI(api_key="sk-test", base_url=f"{url}/v1"), *parts, provider="openai")
claude: Any = interlay.wrap(anthropic.Anthropic(api_key="sk-test", base_url=url), *parts, provider="anthropic")
ASKED: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}


def story(user: str) -> None:
    here.user = user
    with interlay.using(user=user):
        chat.chat.completions.create(**ASKED)
        gevent.sleep(0)
        for _ in chat.chat.completions.create(**ASKED, stream=True):
            gevent.sleep(0)
        with claude.messages.create(**ASKED, max_tokens=9, stream=True) as events:
            next(iter(events))


greenlets = [gevent.spawn(story, f"u{number}") for number in range(GREENLETS)]
gevent.joinall(greenlets, raise_error=True)
flushed = interlay.flush()
records = interlay.last()
print(  # noqa: T201
    json.dumps(
        {
            "patched": monkey.is_module_patched("threading"),
            "mixed": mixed,
            "users": Counter(record.identity.user for record in records),
            "ends": Counter(record.end for record in records),
            "behind": Counter(behind),
            "done": flushed.done,
            "runner": [thread.is_alive() for thread in threading.enumerate() if thread.name == "interlay"],
        }
    )
)
