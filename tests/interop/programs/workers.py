"""A program that makes processes after its first calls: ``python workers.py URL JOURNAL METHOD``."""

import json
import multiprocessing
import os
import sys
import threading
from typing import Any

import openai

import interlay

CALLS = 5
seen: list[str | None] = []
client: Any = None


def begin(url: str, journal: str) -> None:
    """What a program does at its start, and a spawned child again."""
    global client
    interlay.setup(journal=journal)
    bare = openai.OpenAI(api_key="sk-test", base_url=f"{url}/v1")
    client = interlay.wrap(bare, interlay.Observe(lambda record: seen.append(record.identity.user)), provider="openai")


def calls(user: str) -> dict[str, Any]:
    """Some calls of one user, and what this process knows of them afterwards."""
    seen.clear()
    with interlay.using(user=user):
        for number in range(CALLS):
            asked: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": str(number)}]}
            list(client.chat.completions.create(**asked, stream=True))
    return {
        "user": user,
        "pid": os.getpid(),
        "done": interlay.flush().done,
        "observed": len(seen),
        "in memory": [record.identity.user for record in interlay.last()],
        "runners": sum(thread.name == "interlay" for thread in threading.enumerate()),
    }


def forked() -> list[dict[str, Any]]:
    """By ``os.fork``, twice, each child reporting over a pipe and leaving as an interpreter does."""
    told = []
    for number in range(2):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            with os.fdopen(writing, "w") as pipe:
                pipe.write(json.dumps(calls(f"child {number}")))
            sys.exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            told.append(json.load(pipe))
        assert os.waitpid(child, 0)[1] == 0
    return told


def main() -> None:
    url, journal, method = sys.argv[1:]
    begin(url, journal)
    before = calls("parent")
    if method == "os.fork":
        told = forked()
    else:
        context: Any = multiprocessing.get_context(method)
        again = {"initializer": begin, "initargs": (url, journal)} if method != "fork" else {}
        with context.Pool(2, maxtasksperchild=1, **again) as pool:  # or one child may do the work of both
            told = pool.map(calls, ["child 0", "child 1"], chunksize=1)
            pool.close()
            pool.join()
    print(json.dumps({"before": before, "children": told, "after": calls("parent again")}))  # noqa: T201


if __name__ == "__main__":
    main()
