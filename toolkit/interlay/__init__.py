"""One line round the LLM client you already have: every call recorded, priced, and under your rules.

import interlay
from openai import OpenAI

client = interlay.wrap(OpenAI())
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from interlay import cost as cost
    from interlay.chain.chain import Chain as Chain
    from interlay.chain.layer import Layer as Layer
    from interlay.chain.layer import Role as Role
    from interlay.chain.recorder import Observe as Observe
    from interlay.chain.recorder import Observer as Observer
    from interlay.entry.clients import unwrap as unwrap
    from interlay.entry.clients import wrap as wrap
    from interlay.entry.instrument import instrument as instrument
    from interlay.entry.instrument import uninstrument as uninstrument
    from interlay.entry.observe import observe as observe
    from interlay.entry.process import flush as flush
    from interlay.entry.process import last as last
    from interlay.entry.process import setup as setup
    from interlay.entry.scope import carry as carry
    from interlay.entry.scope import using as using
    from interlay.layers.cache import Cache as Cache
    from interlay.layers.retry import Retry as Retry
    from interlay.layers.timeout import Timeout as Timeout
    from interlay.model.errors import Refused as Refused
    from interlay.model.record import Record as Record
    from interlay.model.secrets import Secret as Secret
    from interlay.telemetry.live import Trace as Trace
    from interlay.telemetry.settings import OTLP as OTLP
    from interlay.telemetry.settings import Sampling as Sampling

__version__ = "0.1.0"

# Where each public name lives. Importing interlay loads none of it.
_HOMES = {
    "Cache": "interlay.layers.cache",
    "Chain": "interlay.config",
    "Layer": "interlay.chain.layer",
    "Observe": "interlay.chain.recorder",
    "Observer": "interlay.chain.recorder",
    "OTLP": "interlay.telemetry.settings",
    "Record": "interlay.model.record",
    "Refused": "interlay.model.errors",
    "Retry": "interlay.layers.retry",
    "Role": "interlay.chain.layer",
    "Sampling": "interlay.telemetry.settings",
    "Secret": "interlay.model.secrets",
    "Timeout": "interlay.layers.timeout",
    "Trace": "interlay.telemetry.live",
    "carry": "interlay.entry.scope",
    "flush": "interlay.entry.process",
    "instrument": "interlay.entry.instrument",
    "last": "interlay.entry.process",
    "observe": "interlay.entry.observe",
    "setup": "interlay.entry.process",
    "uninstrument": "interlay.entry.instrument",
    "unwrap": "interlay.entry.clients",
    "using": "interlay.entry.scope",
    "wrap": "interlay.entry.clients",
}

__all__ = [
    "OTLP",
    "Cache",
    "Chain",
    "Layer",
    "Observe",
    "Observer",
    "Record",
    "Refused",
    "Retry",
    "Role",
    "Sampling",
    "Secret",
    "Timeout",
    "Trace",
    "__version__",
    "carry",
    "cost",
    "flush",
    "instrument",
    "last",
    "observe",
    "setup",
    "uninstrument",
    "unwrap",
    "using",
    "wrap",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        value: object = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in ("cost", "testing"):
        value = importlib.import_module(f"interlay.{name}")
    else:
        raise AttributeError(f"module 'interlay' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
