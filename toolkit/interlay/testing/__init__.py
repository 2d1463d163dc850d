"""What interlay is tested with, and what you may test with: recordings, a player, captured records.

    from interlay.testing import Player, Recording, Server, capture

    with Server(Player(Recording.load(path), turns=[529, 529])) as server, capture() as records:
        ...

Nothing here imports an HTTP library: ``transports(httpx)`` is given the one you use.
"""

from interlay.testing.bodies import Split, at_random, codings, every, sized
from interlay.testing.capture import NetworkRefusedError, capture, no_network
from interlay.testing.player import Answer, Fault, Pause, Player, Sent, Turn
from interlay.testing.provider import Provider
from interlay.testing.recordings import Exchange, RecordedRequest, RecordedResponse, Recording
from interlay.testing.server import Server, closed_port
from interlay.testing.transports import Transports, transports

__all__ = [
    "Answer",
    "Exchange",
    "Fault",
    "NetworkRefusedError",
    "Pause",
    "Player",
    "Provider",
    "RecordedRequest",
    "RecordedResponse",
    "Recording",
    "Sent",
    "Server",
    "Split",
    "Transports",
    "Turn",
    "at_random",
    "capture",
    "closed_port",
    "codings",
    "every",
    "no_network",
    "sized",
    "transports",
]
