"""Make the trace of the README's picture: an agent that asks a model, calls two tools, and asks again.

    python -m scripts.phoenix http://localhost:6006

sends it to a Phoenix that runs there (``phoenix serve``). The model is a recording, played on this machine, and its
first answer is made a refusal. The picture is taken of Phoenix's own page by hand: ``docs/pictures/phoenix.png``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from typing import Any, Final

from openai import OpenAI

import interlay
from interlay.cli.story import Unhurried
from interlay.testing import Recording, Server, Turn

RECORDED: Final = "tests/recorded/cassettes/openai-chat/openai-chat-tools-roundtrip-02.json"
REFUSED: Final = Turn(status=429, headers={"retry-after-ms": "300"})
WEATHER: Final = {"Seattle, WA": "50 degrees and raining", "San Francisco, CA": "70 degrees and sunny"}
PROJECT: Final = "weather"


@interlay.observe(kind="tool")
def get_current_weather(location: str) -> str:
    """What the recording has it say, after a moment."""
    time.sleep(0.12)
    return WEATHER[location]


@interlay.observe(kind="agent")
def weather_agent(client: OpenAI, first: Any) -> str:
    """Ask, call the tools that the model asks for, and ask again."""
    messages = list(first["messages"])
    said = client.chat.completions.create(**first).choices[0].message
    messages.append(said)
    for call in said.tool_calls or ():
        told = get_current_weather(**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": told})
    answer = client.chat.completions.create(model=first["model"], messages=messages)
    return answer.choices[0].message.content or ""


def main(url: str) -> None:
    """Run the agent once, and ship what was recorded."""
    os.environ["OTEL_RESOURCE_ATTRIBUTES"] = f"openinference.project.name={PROJECT}"
    os.environ["OTEL_SERVICE_NAME"] = "weather-agent"
    recording = Recording.load(RECORDED)
    player = Unhurried([recording], turns=[REFUSED])
    with tempfile.TemporaryDirectory() as folder, Server(player) as server:
        interlay.setup(
            contents=True,
            journal=folder,
            export=interlay.OTLP(endpoint=url, vocabulary="openinference", contents="span"),
            prometheus=False,
        )
        with OpenAI(base_url=f"{server.url}/v1", api_key="none") as client, interlay.using(session="s-1", user="u-7"):
            interlay.wrap(client, interlay.Retry(attempts=3), provider="openai")
            print(weather_agent(client, recording.exchanges[0].request.body))
        print(interlay.flush(30))


if __name__ == "__main__":
    main(*sys.argv[1:2] or ["http://localhost:6006"])
