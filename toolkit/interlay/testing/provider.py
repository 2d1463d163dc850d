"""A local provider that needs no key and no network: the recordings shipped with the package, on a loopback server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from interlay.testing.player import Player, Turn
from interlay.testing.recordings import Exchange, RecordedRequest, RecordedResponse, Recording, Source
from interlay.testing.server import Server

_OWN: Final = Source(repo="interlay", path="toolkit/interlay/testing/provider.py", commit="", licence="Apache-2.0")


class Provider(Server):
    """Speaks OpenAI's, Anthropic's and Gemini's wire from recordings: models, plain and streamed answers, tool calls,
    embeddings, errors.

        with Provider() as provider:
            client = OpenAI(base_url=provider.openai_url, api_key="none")
            provider.script(429, Turn(fault="cut", after=5))  # what the next answers do

    Args:
        recordings: what it plays; those shipped with the package if none are given.
        pace: seconds before each event of a stream. A provider's own pace is some 0.02 to 0.05.
        coding: compress answers for clients that accept it, as providers do.
    """

    def __init__(
        self, recordings: Iterable[Recording] | None = None, *, pace: float = 0.0, coding: str | None = "gzip"
    ) -> None:
        played = list(Recording.bundled().values() if recordings is None else recordings)
        super().__init__(Player([*played, _models(played)], pace=pace, coding=coding))

    @property
    def openai_url(self) -> str:
        """The ``base_url`` for an OpenAI client."""
        return f"{self.url}/v1"

    @property
    def anthropic_url(self) -> str:
        """The ``base_url`` for an Anthropic client."""
        return self.url

    def script(self, *turns: Turn | int) -> None:
        """Say what the next answers do: a ``Turn``, or a status."""
        self.player.script(*turns)


def _models(recordings: Iterable[Recording]) -> Recording:
    """The list of models that the recordings ask for, as OpenAI writes it."""
    bodies = [exchange.request.body for recording in recordings for exchange in recording.exchanges]
    names = dict.fromkeys(str(body["model"]) for body in bodies if isinstance(body, dict) and "model" in body)
    data = [{"id": name, "object": "model", "created": 0, "owned_by": "interlay"} for name in names]
    listed = msgspec.json.encode({"object": "list", "data": data}).decode()
    exchange = Exchange(
        request=RecordedRequest(method="GET", url="https://localhost/v1/models"),
        response=RecordedResponse(
            status=200, headers={"content-type": "application/json"}, body_encoding="text", body=listed
        ),
    )
    return Recording(id="models", source=_OWN, dialect="openai-other", scenario="models", exchanges=[exchange])
